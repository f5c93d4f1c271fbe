//! `/ws` as a client sees it: chats, subscriptions, resumption, refusals.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};

use crate::model::Model;
use crate::program::{World, await_that, text, types};
use crate::socket::{Ws, assert_dense, ids};
use crate::wire::PATIENCE;

#[test]
fn a_chat_tells_its_turn_with_the_place_of_each_event() {
    let server = World::new().serve();
    let mut ws = Ws::open(&server);
    ws.say(&json!({
        "type": "chat", "message": "What is the capital of France?", "sessionId": null,
    }));
    let events = ws.hear_turn();
    let told: Vec<_> =
        types(&events).into_iter().filter(|kind| *kind != "session_changed").collect();
    assert_eq!(told, ["session", "text", "done"]);
    let id = events[0]["sessionId"].as_str().unwrap();
    assert!(events.iter().all(|event| event["sessionId"] == id), "{events:?}");
    assert!(events.iter().all(|event| event.get("requestId").is_none()), "{events:?}");
    assert_dense(&ids(&events));
    assert_eq!(ids(&events)[0], 1 << 32 | 1, "the number is that of the stream's `id:`");
    let session = server.get(&format!("/api/sessions/{id}"));
    assert_eq!(session["messages"][1]["content"], text(&events));
    let idle = ws.hear();
    assert_eq!((&idle["type"], &idle["status"]), (&json!("session_changed"), &json!("idle")));
    assert_eq!(idle.get("eventId"), None);
}

#[test]
fn several_sessions_run_over_one_socket_at_once() {
    let model = Model::start();
    let server = model.world(json!({})).serve();
    let mut ws = Ws::open(&server);
    for request in [json!("first"), json!("second"), json!(3)] {
        let message = "wait 20 words of 4 bytes";
        ws.say(&json!({ "type": "chat", "message": message, "requestId": request }));
    }
    // All three are in their middle before any may end.
    let mut events = Vec::new();
    while events.iter().filter(|e: &&Value| e["type"] == "text").count() < 30 {
        events.push(ws.hear());
    }
    model.go_on();
    while events.iter().filter(|event| event["type"] == "done").count() < 3 {
        events.push(ws.hear());
    }
    events.retain(|event| event["type"] != "session_changed");
    let sessions: BTreeSet<_> = events.iter().map(|e| e["sessionId"].as_str().unwrap()).collect();
    assert_eq!(sessions.len(), 3);
    for session in sessions {
        let own: Vec<_> = events.iter().filter(|e| e["sessionId"] == session).cloned().collect();
        assert_dense(&ids(&own));
        assert_eq!(types(&own), ["session", "text", "done"]);
        let requests: BTreeSet<_> =
            own.iter().map(|event| event["requestId"].to_string()).collect();
        assert_eq!(requests.len(), 1, "each event says for which request it is: {own:?}");
        assert!(!requests.contains("null"));
    }
}

#[test]
fn who_opens_a_session_in_the_middle_of_its_turn_misses_nothing_and_reads_nothing_twice() {
    let model = Model::start();
    let server = model.world(json!({})).serve();
    let mut first = Ws::open(&server);
    first.say(&json!({ "type": "chat", "message": "wait 20 words of 4 bytes" }));
    let begun = first.hear_until(|event| event["content"].to_string().contains("0009"));
    let id = begun[0]["sessionId"].as_str().unwrap().to_owned();
    let session = server.get(&format!("/api/sessions/{id}"));
    let mut second = Ws::open(&server);
    let after = &session["lastEventId"];
    second.say(&json!({ "type": "subscribe", "sessionId": id, "after": after }));
    model.go_on();
    let rest = second.hear_turn();
    assert_eq!(rest[0]["eventId"].as_u64().unwrap(), after.as_u64().unwrap() + 1);
    let whole = server.get(&format!("/api/sessions/{id}"))["messages"][1]["content"].clone();
    let read = session["messages"][1]["content"].as_str().unwrap().to_owned() + &text(&rest);
    assert_eq!(json!(read), whole);
}

#[test]
fn a_chat_in_a_session_that_is_subscribed_is_told_once_and_named_to_who_asked() {
    let server = World::new().serve();
    let session = server.post("/api/sessions", &json!({})).json()["id"].clone();
    let (mut ws, mut other) = (Ws::open(&server), Ws::open(&server));
    for ws in [&mut ws, &mut other] {
        ws.say(&json!({ "type": "subscribe", "sessionId": session }));
        ws.say(&json!({ "type": "subscribe", "sessionId": session, "after": null }));
        assert_eq!(ws.sync(), Vec::<Value>::new());
    }
    for request in ["one", "two"] {
        ws.say(&json!({
            "type": "chat", "message": "hello", "sessionId": session, "requestId": request,
        }));
        let events = ws.hear_until(|event| event["status"] == "idle");
        assert_dense(&ids(&events));
        for event in &events {
            let wanted = if event.get("eventId").is_some() { json!(request) } else { Value::Null };
            assert_eq!(event["requestId"], wanted, "{event}");
        }
        let seen = other.hear_until(|event| event["status"] == "idle");
        assert_eq!(ids(&seen), ids(&events));
        assert!(seen.iter().all(|event| event.get("requestId").is_none()), "{seen:?}");
    }
    ws.say(&json!({ "type": "unsubscribe", "sessionId": session }));
    ws.say(&json!({ "type": "unsubscribe", "sessionId": "nothing" }));
    assert_eq!(ws.sync(), Vec::<Value>::new());
    server.post("/api/chat", &json!({ "message": "hello", "sessionId": session }));
    assert_eq!(ws.sync(), Vec::<Value>::new(), "no more of it");
    assert!(!other.sync().is_empty());
}

#[test]
fn what_was_missed_comes_once_and_in_order_and_a_turn_outlives_its_socket() {
    let model = Model::start();
    let server = model.world(json!({})).serve();
    let mut ws = Ws::open(&server);
    let message = "wait 600 words of 8 bytes";
    ws.say(&json!({ "type": "chat", "message": message, "requestId": "r" }));
    let mut events = vec![ws.hear()];
    while ids(&events).len() < 50 {
        events.push(ws.hear());
    }
    drop(ws);
    let session = events[0]["sessionId"].clone();
    // Twice in mid-turn: once while it stands still, once while it goes on.
    for many in [100, usize::MAX] {
        let mut ws = Ws::open(&server);
        let after = ids(&events).pop().unwrap();
        ws.say(&json!({ "type": "subscribe", "sessionId": session, "after": after }));
        while many > ids(&events).len() - 50 && events[events.len() - 1]["type"] != "done" {
            events.push(ws.hear());
        }
        model.go_on();
    }
    events.retain(|event| event.get("eventId").is_some());
    assert_dense(&ids(&events));
    assert_eq!(events[events.len() - 1]["finishReason"], "stop");
    let path = format!("/api/sessions/{}", session.as_str().unwrap());
    let kept = server.get(&path)["messages"][1]["content"].as_str().unwrap().to_owned();
    assert_eq!(text(&events), kept);
    assert_eq!(kept.split_whitespace().count(), 600);
    // And all of it again, from the first event on, to one who was never there.
    let mut late = Ws::open(&server);
    late.say(&json!({ "type": "subscribe", "sessionId": session, "after": 0 }));
    let again = late.hear_turn();
    assert_eq!((ids(&again), text(&again)), (ids(&events), kept));
    assert!(again.iter().all(|event| event.get("requestId").is_none()));
}

#[test]
fn events_that_are_no_longer_kept_leave_a_gap_without_an_id() {
    let server = World::new().serve();
    let mut ws = Ws::open(&server);
    ws.say(&json!({ "type": "chat", "message": "run `yes 0123456789 | head -c 2500000`" }));
    let events = ws.hear_turn();
    assert!(types(&events).contains(&"tool_output"));
    let mut late = Ws::open(&server);
    let (session, first) = (events[0]["sessionId"].clone(), ids(&events)[0]);
    late.say(&json!({ "type": "subscribe", "sessionId": session, "after": first }));
    let missed = late.hear_turn();
    let gap = missed.iter().find(|event| event["type"] == "gap").expect("a gap");
    assert_eq!((gap.get("eventId"), &gap["sessionId"]), (None, &session));
    let missed = ids(&missed);
    assert!(missed.windows(2).all(|two| two[0] < two[1]), "{missed:?}");
    assert!(missed.len() < ids(&events).len());
    let durable =
        |events: &[Value], kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!(durable(&events, "tool_end"), 1);
    assert_eq!(missed.last(), ids(&events).last());
}

#[test]
fn an_abort_ends_the_turn_and_an_idle_session_has_none() {
    let server = World::new().serve();
    let mut ws = Ws::open(&server);
    ws.say(&json!({ "type": "chat", "message": "run `sleep 1000`", "requestId": 1 }));
    let session = ws.hear_until(|event| event["type"] == "tool_start")[0]["sessionId"].clone();
    ws.say(&json!({ "type": "chat", "message": "me too", "sessionId": session, "requestId": 2 }));
    ws.say(&json!({ "type": "abort", "sessionId": session }));
    let events = ws.hear_until(|event| event["status"] == "idle");
    let busy: Vec<_> = events.iter().filter(|event| event["requestId"] == 2).collect();
    assert_eq!(busy.len(), 1, "one word to the second chat: {busy:?}");
    assert_eq!((&busy[0]["type"], &busy[0]["code"]), (&json!("error"), &json!("session-busy")));
    let done = events.iter().find(|event| event["type"] == "done").unwrap();
    assert_eq!((&done["finishReason"], &done["requestId"]), (&json!("aborted"), &json!(1)));
    ws.say(&json!({ "type": "abort", "sessionId": session, "requestId": "late" }));
    let refused = ws.sync();
    assert_eq!((refused.len(), &refused[0]["code"]), (1, &json!("not-running")));
    assert_eq!(refused[0]["requestId"], "late");
}

#[test]
fn what_is_refused_gets_one_error_and_the_socket_stays_open() {
    let server = World::new().serve();
    let mut ws = Ws::open(&server);
    let session = server.post("/api/sessions", &json!({})).json()["id"].clone();
    for (message, code) in [
        ("{", "bad-json"),
        ("[]", "bad-field"),
        ("{}", "bad-field"),
        (r#"{"type":"sing"}"#, "bad-field"),
        (r#"{"type":5}"#, "bad-field"),
        (r#"{"type":"ping","requestId":{}}"#, "bad-field"),
        (r#"{"type":"chat"}"#, "bad-field"),
        (r#"{"type":"chat","message":""}"#, "bad-field"),
        (r#"{"type":"chat","message":"hi","permissions":"maybe"}"#, "bad-field"),
        (r#"{"type":"chat","message":"hi","sessionId":"nobody"}"#, "session-not-found"),
        (r#"{"type":"chat","message":"hi","sessionId":"*"}"#, "session-not-found"),
        (r#"{"type":"chat","message":"hi","agent":"nobody"}"#, "unknown-agent"),
        (r#"{"type":"chat","message":"hi","model":"no/body"}"#, "unknown-model"),
        (r#"{"type":"abort"}"#, "bad-field"),
        (r#"{"type":"abort","sessionId":"nobody"}"#, "session-not-found"),
        (r#"{"type":"subscribe","sessionId":"nobody"}"#, "session-not-found"),
        (r#"{"type":"subscribe","sessionId":"*","after":-1}"#, "bad-field"),
        (r#"{"type":"subscribe","sessionId":"*","after":"x"}"#, "bad-field"),
        (r#"{"type":"subscribe","sessionId":"*","after":9007199254740992}"#, "bad-field"),
        (r#"{"type":"permission","id":"x","reply":"perhaps"}"#, "bad-field"),
    ] {
        ws.0.send(tungstenite::Message::text(message)).unwrap();
        let refused = ws.sync();
        assert_eq!(refused.len(), 1, "{message}: {refused:?}");
        let mut members: Vec<_> = refused[0].as_object().unwrap().keys().cloned().collect();
        members.sort();
        assert_eq!(members, ["code", "message", "type"], "{message}");
        assert_eq!((&refused[0]["type"], &refused[0]["code"]), (&json!("error"), &json!(code)));
    }
    let long = "x".repeat(600 * 1024);
    ws.say(&json!({ "type": "chat", "message": long, "sessionId": session, "requestId": "big" }));
    let refused = ws.sync();
    assert_eq!((refused.len(), &refused[0]["code"]), (1, &json!("message-too-large")));
    assert_eq!(refused[0]["requestId"], "big");
    ws.say(&json!({ "type": "permission", "id": "nothing", "reply": "once" }));
    assert_eq!(ws.sync().len(), 1);
    ws.0.send(tungstenite::Message::binary(&b"{}"[..])).unwrap();
    assert_eq!(ws.sync()[0]["code"], "bad-json");
    assert_eq!(server.get("/api/sessions").as_array().unwrap().len(), 1, "nothing was begun");
}

#[test]
fn changes_of_all_sessions_are_told_once() {
    let server = World::new().serve();
    let mut ws = Ws::open(&server);
    ws.say(&json!({ "type": "subscribe", "sessionId": "*" }));
    ws.say(&json!({ "type": "subscribe", "sessionId": "*" }));
    ws.sync();
    let id = server.post("/api/sessions", &json!({})).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/sessions/{id}");
    server.post("/api/chat", &json!({ "message": "hello", "sessionId": id }));
    let mut told = ws.hear_until(|event| event["title"] == "hello" && event["status"] == "idle");
    server.ask("PATCH", &path, Some(&json!({ "title": "Named" })));
    server.ask("DELETE", &path, None);
    told.extend(ws.hear_until(|event| event["type"] == "session_deleted"));
    assert!(told.iter().all(|event| event["sessionId"] == *id && event.get("eventId").is_none()));
    let told: Vec<_> = told
        .iter()
        .map(|event| {
            let word = |name: &str| event[name].as_str().unwrap_or("-").to_owned();
            (word("status"), word("title"))
        })
        .collect();
    let pair = |status: &str, title: &str| (status.to_owned(), title.to_owned());
    let wanted = [
        pair("idle", "New session"),
        pair("running", "hello"),
        pair("idle", "hello"),
        pair("idle", "Named"),
        pair("-", "-"),
    ];
    assert_eq!(told, wanted);

    // One who has both the session and all of them is told once, and in the turn's order.
    ws.say(&json!({ "type": "chat", "message": "hello" }));
    let told = ws.hear_until(|event| event["type"] == "done");
    let id = told[0]["sessionId"].as_str().unwrap().to_owned();
    assert_eq!(ws.hear()["type"], "session_changed");
    server.ask("DELETE", &format!("/api/sessions/{id}"), None);
    assert_eq!(ws.hear()["type"], "session_deleted");
    assert_eq!(ws.sync(), Vec::<Value>::new(), "the deletion is told once");
}

#[test]
fn a_deleted_session_ends_with_done_and_its_deletion() {
    let server = World::new().serve();
    let mut ws = Ws::open(&server);
    ws.say(&json!({ "type": "chat", "message": "run `sleep 1000`" }));
    let session = ws.hear_until(|event| event["type"] == "tool_start")[0]["sessionId"].clone();
    let path = format!("/api/sessions/{}", session.as_str().unwrap());
    assert_eq!(server.ask("DELETE", &path, None).status, 204);
    let rest = ws.hear_until(|event| event["type"] == "session_deleted");
    assert!(types(&rest).contains(&"done"), "{rest:?}");
    assert_eq!(ws.sync(), Vec::<Value>::new());
}

#[test]
fn one_socket_follows_so_many_sessions_and_no_more() {
    let server = World::new().serve();
    let mut ws = Ws::open(&server);
    let new = || server.post("/api/sessions", &json!({})).json()["id"].clone();
    let first = new();
    ws.say(&json!({ "type": "subscribe", "sessionId": first }));
    for _ in 1..64 {
        ws.say(&json!({ "type": "subscribe", "sessionId": new() }));
    }
    assert_eq!(ws.sync(), Vec::<Value>::new());
    let last = new();
    let count = server.get("/api/sessions").as_array().unwrap().len();
    ws.say(&json!({ "type": "subscribe", "sessionId": last }));
    ws.say(&json!({ "type": "chat", "message": "hello" }));
    let refused = ws.sync();
    assert_eq!(refused.iter().filter(|event| event["code"] == "at-capacity").count(), 2);
    assert_eq!(server.get("/api/sessions").as_array().unwrap().len(), count);
    ws.say(&json!({ "type": "unsubscribe", "sessionId": first }));
    ws.say(&json!({ "type": "subscribe", "sessionId": last }));
    assert_eq!(ws.sync(), Vec::<Value>::new());
}

/// The script of the page, with another port.
const PAGE: &str = r"
const ws = new WebSocket('ws://localhost:4096/ws');

ws.onopen = () => {
ws.send(JSON.stringify({
type: 'chat',
message: 'What is the capital of France?',
sessionId: null
}));
};

ws.onmessage = (event) => {
const data = JSON.parse(event.data);
if (data.type === 'text') {
console.log(data.content);
}
};
";

#[test]
fn the_script_on_the_page_runs_as_printed() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let Some(options) = crate::peers::node_with_websocket() else { return };
    let server = World::new().serve();
    let script = PAGE.replace("4096", &server.address.port().to_string());
    let mut node = Command::new("node")
        .args(["-e", &script])
        .env("NODE_OPTIONS", options)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(node.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _ = node.kill();
    node.wait().unwrap();
    let id = server.get("/api/sessions")[0]["id"].as_str().unwrap().to_owned();
    await_that("the turn ends", || server.get(&format!("/api/sessions/{id}"))["status"] == "idle");
    let session = server.get(&format!("/api/sessions/{id}"));
    assert_eq!(session["messages"][0]["content"], "What is the capital of France?");
    let content = session["messages"][1]["content"].as_str().unwrap();
    assert!(!line.trim().is_empty() && content.starts_with(line.trim_end()), "{line:?}");
}

#[test]
fn a_client_that_keeps_talking_hears_what_happens_meanwhile() {
    let server = World::new().serve();
    let mut ws = Ws::open(&server);
    ws.say(&json!({ "type": "chat", "message": "hello" }));
    // So far ahead that there is always something to read for the server, however long the turn
    // takes to begin.
    for _ in 0..500 {
        ws.say(&json!({ "type": "ping" }));
    }
    let end = Instant::now() + PATIENCE;
    loop {
        match ws.hear()["type"].as_str() {
            Some("pong") => ws.say(&json!({ "type": "ping" })),
            kind => break assert_eq!(kind, Some("session")),
        }
        assert!(Instant::now() < end, "nothing is told while the client talks");
    }
}
