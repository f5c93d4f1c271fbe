//! `GET /api/sessions/{id}/events`: a stream that was lost is taken up where it broke.

use serde_json::{Value, json};

use crate::model::Model;
use crate::program::{Serving, World, events, types};
use crate::wire::Client;

/// Events with their ids, from the text of a stream.
fn told(text: &str) -> Vec<(Option<u64>, Value)> {
    let blocks = text.split("\n\n").filter(|block| block.contains("data: "));
    let id = |block: &str| block.lines().find_map(|line| line.strip_prefix("id: ")?.parse().ok());
    blocks.map(|block| (id(block), events(block).remove(0))).collect()
}

fn follow(server: &Serving, path: &str, fields: &[(&str, &str)]) -> Client {
    let mut client = Client::connect(server.address);
    client.send(server.request("GET", path, fields, None));
    let head = client.head();
    assert_eq!(head.status, 200, "{head:?}");
    assert_eq!(head.field("Content-Type"), Some("text/event-stream"));
    assert_eq!(head.field("Cache-Control"), Some("no-store"));
    assert_eq!(head.field("X-Accel-Buffering"), Some("no"));
    client
}

fn new_session(server: &Serving) -> (Value, String) {
    let id = server.post("/api/sessions", &json!({})).json()["id"].clone();
    let path = format!("/api/sessions/{}/events", id.as_str().unwrap());
    (id, path)
}

/// Reads until a turn is over, chunks and all.
fn turn(client: &mut Client) -> String {
    client.await_text(r#""type":"done""#);
    client.await_text(r#""status":"idle""#);
    client.take_chunks()
}

#[test]
fn a_stream_that_broke_is_resumed_without_a_hole_and_nothing_twice() {
    let model = Model::start();
    let server = model.world(json!({})).serve();
    let (id, path) = new_session(&server);
    let mut whole = follow(&server, &path, &[]);
    let mut first = Client::connect(server.address);
    let message = "wait 400 words of 8 bytes";
    let body = json!({ "message": message, "sessionId": id, "background": true });
    first.send(server.request("POST", "/api/chat/stream", &[], Some(&body)));
    assert_eq!(first.head().status, 200);
    first.await_text("00000042");
    let mut parts = told(&first.take_chunks());
    drop(first);
    // It broke there, whatever had come already; and so does the next one, in mid-turn.
    let broken_at = |parts: &mut Vec<(Option<u64>, Value)>, word: &str| {
        let at = parts.iter().position(|(_, body)| body["content"] == format!("{word} "));
        parts.truncate(at.unwrap() + 1);
    };
    broken_at(&mut parts, "00000042");
    let last = |parts: &[(Option<u64>, Value)]| {
        parts.iter().filter_map(|(id, _)| *id).next_back().unwrap().to_string()
    };
    let mut second = follow(&server, &path, &[("Last-Event-ID", &last(&parts))]);
    second.await_text("00000123");
    parts.extend(told(&second.take_chunks()));
    drop(second);
    broken_at(&mut parts, "00000123");
    model.go_on();
    let mut third = follow(&server, &format!("{path}?after={}", last(&parts)), &[]);
    parts.extend(told(&turn(&mut third)));
    parts.retain(|(id, _)| id.is_some());
    let mut all = told(&turn(&mut whole));
    all.retain(|(id, _)| id.is_some());
    assert_eq!(all.len(), 402);
    assert_eq!(parts, all);
    // And from the beginning, when it is over; the header goes over the address.
    let mut late = follow(&server, &format!("{path}?after=7"), &[("Last-Event-ID", "0")]);
    late.await_text(r#""type":"done""#);
    assert_eq!(told(&late.take_chunks()), all);
}

#[test]
fn without_an_id_a_stream_begins_now_and_it_ends_with_its_session() {
    let server = World::new().serve();
    let (id, path) = new_session(&server);
    server.post("/api/chat", &json!({ "message": "before", "sessionId": id }));
    let mut client = follow(&server, &path, &[("Last-Event-ID", "")]);
    server.post("/api/chat", &json!({ "message": "after", "sessionId": id }));
    let session = path.trim_end_matches("/events");
    server.ask("PATCH", session, Some(&json!({ "title": "Named" })));
    server.ask("DELETE", session, None);
    let text = String::from_utf8(client.chunks_to_end()).unwrap();
    let mut seen = told(&text);
    // The turn before had told its `done`; that the session is idle may have come after that.
    let from = seen.iter().position(|(_, body)| body["type"] == "session").unwrap();
    assert!(seen.drain(..from).all(|(_, body)| body["type"] == "session_changed"));
    let bodies: Vec<_> = seen.iter().map(|(_, body)| body.clone()).collect();
    let wanted =
        ["session", "session_changed", "text", "done", "session_changed", "session_deleted"];
    assert_eq!(types(&bodies), wanted, "{text}");
    assert_eq!(bodies[0]["message"], "after");
    for (id, body) in &seen {
        assert_eq!(id.is_none(), body["type"] == "session_changed", "{body}");
    }
    assert!(bodies.iter().any(|body| body["title"] == "Named"));
    assert_eq!(server.ask("GET", &path, None).code(), "session-not-found");
}

#[test]
fn what_is_no_longer_kept_is_a_gap_that_nobody_resumes_from() {
    let server = World::new().serve();
    let (id, path) = new_session(&server);
    let body = json!({ "message": "run `yes 0123456789 | head -c 2500000`", "sessionId": id });
    assert_eq!(server.post("/api/chat", &body).status, 200);
    let first = (1u64 << 32 | 1).to_string();
    let mut client = follow(&server, &path, &[("Last-Event-ID", &first)]);
    client.await_text(r#""type":"done""#);
    let seen = told(&client.take_chunks());
    assert!(seen.iter().any(|(id, body)| body["type"] == "gap" && id.is_none()));
    let ids: Vec<_> = seen.iter().filter_map(|(id, _)| *id).collect();
    assert!(ids.windows(2).all(|two| two[0] < two[1]), "{ids:?}");
}

#[test]
fn a_stream_is_kept_alive_and_a_bad_place_is_refused() {
    let config = json!({ "server": { "limits": { "heartbeatSeconds": 0.05 } } });
    let server = World::new().config(&config).serve();
    let (_, path) = new_session(&server);
    let mut client = follow(&server, &path, &[]);
    client.await_text(": \n\n");
    for value in ["x", "-1", "+1", "1.5", "9007199254740992", "99999999999999999999"] {
        let reply = server.ask_with("GET", &path, &[("Last-Event-ID", value)], None);
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad-field"), "{value}");
        assert_eq!(server.ask("GET", &format!("{path}?after={value}"), None).status, 400);
    }
    let twice = [("Last-Event-ID", "1"), ("Last-Event-ID", "2")];
    assert_eq!(server.ask_with("GET", &path, &twice, None).status, 400);
    let unknown = server.ask("GET", "/api/sessions/nobody/events", None);
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "session-not-found"));
    let mut head = Client::connect(server.address);
    head.send(server.request("HEAD", &path, &[], None));
    assert_eq!(head.head().status, 200);
    head.send(server.request("HEAD", "/api/sessions/nobody/events", &[], None));
    assert_eq!(head.head().status, 404, "the connection goes on");
    assert_eq!(server.ask("POST", &path, Some(&json!({}))).status, 405);
}

#[test]
fn a_session_has_so_many_followers_and_no_more() {
    let server = World::new().serve();
    let (id, path) = new_session(&server);
    let mut all: Vec<_> = (0..256).map(|_| follow(&server, &path, &[])).collect();
    let reply = server.ask("GET", &path, None);
    assert_eq!((reply.status, reply.code().as_str()), (503, "at-capacity"));
    assert!(reply.field("Retry-After").is_some());
    let chat = server.post("/api/chat", &json!({ "message": "hello", "sessionId": id }));
    assert_eq!(chat.status, 200, "a turn is no follower");
    all.pop();
    crate::program::await_that("a place is free", || {
        let mut client = Client::connect(server.address);
        client.send(server.request("GET", &path, &[], None));
        client.head().status == 200
    });
}

#[test]
fn a_stopping_server_ends_its_streams() {
    let server = World::new().serve();
    let (_, path) = new_session(&server);
    let mut client = follow(&server, &path, &[]);
    let (status, log) = server.end(rustix::process::Signal::TERM);
    assert_eq!(status, Some(0), "{log}");
    assert_eq!(client.chunks_to_end(), b"");
}
