//! The connection below `/ws`: who is let in, what breaks the protocol, how it is kept and ended.

use base64::Engine as _;
use serde_json::json;
use tungstenite::Message;

use crate::program::{World, await_that};
use crate::socket::{Ended, Ws, close_code, frame, handshake, head_of_frame, knock, raw};
use crate::wire::Client;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

#[test]
fn a_handshake_is_answered_as_the_standard_says_or_refused() {
    let server = World::new().serve();
    let good = handshake(
        KEY,
        &[("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Extensions", "permessage-deflate")],
    );
    let mut client = Client::connect(server.address);
    client.send(server.request("GET", "/ws", &good, None));
    let reply = client.head();
    assert_eq!(reply.status, 101);
    assert_eq!(reply.field("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(reply.field("Upgrade"), Some("websocket"));
    assert_eq!(reply.field("Sec-WebSocket-Protocol"), None);
    assert_eq!(reply.field("Sec-WebSocket-Extensions"), None);

    let plain = server.ask("GET", "/ws", None);
    assert_eq!((plain.status, plain.code().as_str()), (426, "upgrade-required"));
    assert_eq!(plain.field("Upgrade"), Some("websocket"));
    for (name, value, status) in [
        ("Upgrade", "h2c", 426),
        ("Connection", "keep-alive", 426),
        ("Sec-WebSocket-Version", "8", 426),
        ("Sec-WebSocket-Version", "", 426),
        ("Sec-WebSocket-Key", "", 400),
        ("Sec-WebSocket-Key", "c2hvcnQ=", 400),
        ("Sec-WebSocket-Key", "not base64 at all!!!!!==", 400),
    ] {
        let mut fields = handshake(KEY, &[]);
        fields.retain(|(field, _)| *field != name);
        fields.push((name, value));
        let reply = server.ask_with("GET", "/ws", &fields, None);
        assert_eq!(reply.status, status, "{name}: {value}");
        if status == 426 {
            assert_eq!(reply.field("Sec-WebSocket-Version"), Some("13"));
        }
    }
    let head = server.request("HEAD", "/ws", &handshake(KEY, &[]), None);
    let mut client = Client::connect(server.address);
    client.send(head);
    assert_eq!(client.head().status, 426);
    let doubled = handshake(KEY, &[("Sec-WebSocket-Key", KEY)]);
    assert_eq!(server.ask_with("GET", "/ws", &doubled, None).status, 400);
    let body = server.ask_with("GET", "/ws", &handshake(KEY, &[]), Some(&json!({})));
    assert_eq!(body.status, 400, "a body would be taken for frames");
    assert_eq!(server.ask_with("POST", "/ws", &handshake(KEY, &[]), None).status, 405);
}

#[test]
fn origins_and_hosts_are_checked_before_the_upgrade() {
    let config = json!({ "server": { "cors": ["http://localhost:5173"] } });
    let server = World::new().config(&config).serve();
    let port = server.address.port();
    let own = format!("http://{}", server.address);
    let evil = format!("http://localhost:{port}.evil.com");
    for origin in ["http://localhost:3000", "null", "https://evil.example", &evil] {
        let (_, reply) = knock(&server, &[("Origin", origin)]);
        assert_eq!(reply.status, 403, "{origin}");
    }
    for origin in [own.as_str(), "http://localhost:5173"] {
        let (mut client, reply) = knock(&server, &[("Origin", origin)]);
        assert_eq!(reply.status, 101, "{origin}");
        client.send(frame(0x88, &1000u16.to_be_bytes()));
        assert_eq!(close_code(&mut client), 1000);
    }
    let rebound = format!("evil.example:{port}");
    for more in [&[("Host", rebound.as_str())][..], &[("Host", &rebound), ("Origin", &evil)]] {
        assert_eq!(knock(&server, more).1.status, 403);
    }
}

#[test]
fn credentials_are_checked_before_the_upgrade() {
    let server = World::new().env("OPENCODE_SERVER_PASSWORD", "my-secret-key").serve();
    let basic =
        |pair: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    assert_eq!(knock(&server, &[]).1.status, 401);
    let wrong = basic("opencode:wrong");
    assert_eq!(knock(&server, &[("Authorization", &wrong)]).1.status, 401);
    let own = format!("http://{}", server.address);
    let (_, page) = knock(&server, &[("Origin", &own)]);
    assert_eq!(page.status, 401);
    let challenge = page.field("WWW-Authenticate").unwrap().to_lowercase();
    assert!(!challenge.starts_with("basic"), "no password box: {challenge}");
    let right = basic("opencode:my-secret-key");
    assert_eq!(knock(&server, &[("Authorization", &right)]).1.status, 101);
    let evil = [("Authorization", right.as_str()), ("Origin", "https://evil.example")];
    assert_eq!(knock(&server, &evil).1.status, 403);
}

#[test]
fn frames_that_break_the_protocol_close_with_1002() {
    let server = World::new().serve();
    let unmasked = [0x81, 2, b'{', b'}'].to_vec();
    let mut continued = frame(0x01, b"{");
    continued.extend(frame(0x81, b"}"));
    for (name, bytes) in [
        ("unmasked", unmasked),
        ("a reserved bit", frame(0xc1, b"{}")),
        ("a reserved data code", frame(0x83, b"{}")),
        ("a reserved control code", frame(0x8b, b"{}")),
        ("an oversized ping", frame(0x89, &[b'x'; 126])),
        ("an oversized close", frame(0x88, &[b'x'; 126])),
        ("a fragmented ping", frame(0x09, b"x")),
        ("a close frame of one byte", frame(0x88, b"x")),
        ("a close code nobody may send", frame(0x88, &1006u16.to_be_bytes())),
        ("a continuation of nothing", frame(0x80, b"x")),
        ("a message within a message", continued),
    ] {
        let mut client = raw(&server);
        client.send(bytes);
        assert_eq!(close_code(&mut client), 1002, "{name}");
    }
}

#[test]
fn text_that_is_not_utf_8_closes_with_1007() {
    let server = World::new().serve();
    let mut fragmented = frame(0x01, b"{\xff");
    fragmented.extend(frame(0x80, b"}"));
    for bytes in [frame(0x81, b"\xff"), frame(0x81, b"{\"a\":\"\xe2\x82\"}"), fragmented] {
        let mut client = raw(&server);
        client.send(bytes);
        assert_eq!(close_code(&mut client), 1007);
    }
}

#[test]
fn a_message_that_is_too_big_closes_with_1009_and_the_largest_allowed_is_heard() {
    let server = World::new().serve();
    let mut declared = raw(&server);
    declared.send([&head_of_frame(0x81, 5_000_000)[..], &[0; 4]].concat());
    assert_eq!(close_code(&mut declared), 1009, "nothing of it needs to come");
    let mut endless = raw(&server);
    endless.send([&head_of_frame(0x81, 1 << 62)[..], &[0; 64]].concat());
    assert_eq!(close_code(&mut endless), 1009);
    let mut fragmented = raw(&server);
    fragmented.send(frame(0x01, &vec![b' '; 2_000_000]));
    fragmented.send(frame(0x80, &vec![b' '; 2_000_000]));
    assert_eq!(close_code(&mut fragmented), 1009);
    let mut sent = Ws::open(&server);
    sent.0.send(Message::text(" ".repeat(8_000_000))).unwrap();
    assert!(matches!(sent.rest().1, Ended::Closed(1009, _)), "it is told, though it still sends");

    // Every byte of the longest message escaped.
    let mut ws = Ws::open(&server);
    let message = format!(r#"{{"type":"chat","message":"{}"}}"#, r"\u0020".repeat(512 * 1024));
    ws.0.send(Message::text(message)).unwrap();
    assert_eq!(ws.hear()["message"], "`message` is empty: say what to do");
    let small = json!({ "server": { "limits": { "bodyBytes": 1000 } } });
    let server = World::new().config(&small).serve();
    let mut ws = Ws::open(&server);
    ws.say(&json!({ "type": "ping", "more": "x".repeat(1000) }));
    assert!(matches!(ws.rest().1, Ended::Closed(1009, _)));
}

#[test]
fn pings_are_answered_both_ways_and_a_silent_peer_is_gone() {
    let limits =
        json!({ "server": { "limits": { "heartbeatSeconds": 0.05, "writeSeconds": 0.5 } } });
    let server = World::new().config(&limits).serve();
    let mut silent = raw(&server);
    let mut ws = Ws::open(&server);
    ws.0.send(Message::Ping(tungstenite::Bytes::from_static(b"there?"))).unwrap();
    let mut pings = 0;
    let mut pongs = 0;
    // Longer than a silent one may last.
    while pings < 40 || pongs < 1 {
        match ws.0.read().unwrap() {
            Message::Ping(_) => pings += 1,
            Message::Pong(payload) => {
                assert_eq!(&payload[..], b"there?");
                pongs += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(ws.sync().is_empty(), "one who answers is kept");
    let pinged = silent.rest();
    assert!(pinged.starts_with(&[0x89, 0]), "{pinged:?}");
    assert!(pinged.chunks(2).all(|ping| ping == [0x89, 0]), "{pinged:?}");
}

#[test]
fn a_close_is_answered_and_ends_the_connection() {
    let server = World::new().serve();
    let mut ws = Ws::open(&server);
    ws.say(&json!({ "type": "chat", "message": "run `sleep 1000`" }));
    let session = ws.hear()["sessionId"].as_str().unwrap().to_owned();
    ws.0.close(None).unwrap();
    loop {
        match ws.0.read() {
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    await_that("its thread is free", || server.get("/api/status")["connections"] == 1);
    assert_eq!(server.get("/api/status")["activeTurns"], 1, "the turn goes on");
    let path = format!("/api/sessions/{session}/abort");
    assert_eq!(server.ask("POST", &path, None).status, 202);
    let mut empty = raw(&server);
    empty.send(frame(0x88, b""));
    assert_eq!(empty.rest(), [0x88, 0]);
    // What came with the head of the handshake is not lost.
    let key = KEY;
    let mut early = Client::connect(server.address);
    let request = server.request("GET", "/ws", &handshake(key, &[]), None).into_bytes();
    early.send([request, frame(0x81, br#"{"type":"ping"}"#)].concat());
    assert_eq!(early.head().status, 101);
    early.await_text(r#"{"type":"pong"}"#);
}

#[test]
fn a_stopping_server_tells_how_turns_ended_and_closes_with_1001() {
    let config = json!({ "server": { "limits": { "stopSeconds": 0.1 } } });
    let server = World::new().config(&config).serve();
    let (mut busy, mut idle) = (Ws::open(&server), Ws::open(&server));
    idle.sync();
    busy.say(&json!({ "type": "chat", "message": "run `sleep 1000`" }));
    busy.hear_until(|event| event["type"] == "tool_start");
    let (busy, idle) =
        (std::thread::spawn(move || busy.rest()), std::thread::spawn(move || idle.rest()));
    let (status, log) = server.end(rustix::process::Signal::TERM);
    assert_eq!(status, Some(0), "{log}");
    assert!(!log.contains("did not end in time"), "{log}");
    let (events, ended) = busy.join().unwrap();
    assert!(matches!(ended, Ended::Closed(1001, _)), "{ended:?}");
    let done = events.iter().find(|event| event["type"] == "done").expect("a done");
    assert_eq!(done["finishReason"], "aborted");
    assert!(matches!(idle.join().unwrap().1, Ended::Closed(1001, _)));
    assert!(log.contains("GET /ws 101"), "{log}");
}
