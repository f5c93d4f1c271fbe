//! Every request has an id: in a field of its answer and in a problem.

use serde_json::json;

use crate::program::World;
use crate::wire::{Client, Reply};

fn id(reply: &Reply) -> String {
    let ids: Vec<_> =
        reply.head.lines().filter_map(|line| line.strip_prefix("X-Request-Id: ")).collect();
    assert_eq!(ids.len(), 1, "{reply:?}");
    ids[0].to_owned()
}

#[test]
fn every_answer_has_an_id_of_its_own_and_a_problem_repeats_it() {
    let server = World::new().serve();
    let mut seen = Vec::new();
    for (method, path, body, status) in [
        ("GET", "/api/status", None, 200),
        ("GET", "/healthz", None, 200),
        ("OPTIONS", "/api/status", None, 204),
        ("GET", "/api/sessions/nobody", None, 404),
        ("PUT", "/api/status", None, 405),
        ("POST", "/api/chat/stream", Some(json!({ "message": "hello" })), 200),
        ("POST", "/api/chat", Some(json!({ "message": "" })), 400),
        ("POST", "/api/chat", Some(json!({ "message": "x", "model": "no/one" })), 422),
    ] {
        let reply = server.ask(method, path, body.as_ref());
        assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
        let id = id(&reply);
        assert!(id.len() <= 24 && !seen.contains(&id), "{id} {seen:?}");
        if status >= 400 {
            assert_eq!(reply.json()["requestId"], id.as_str(), "{reply:?}");
        }
        seen.push(id);
    }
}

#[test]
fn what_is_no_request_has_an_id_too() {
    let server = World::new().serve();
    for bytes in ["GET /\r\n\r\n", "GET / HTTP/3.0\r\n\r\n", "\0"] {
        let mut client = Client::connect(server.address);
        client.send(bytes);
        let reply = client.reply();
        assert_eq!(reply.json()["requestId"], id(&reply).as_str(), "{bytes:?}");
    }
}

#[test]
fn a_clients_id_is_taken_over_if_it_is_short_and_plain_and_came_once() {
    let server = World::new().serve();
    let ask = |fields: &[(&str, &str)]| id(&server.ask_with("GET", "/nothing", fields, None));
    let long = "x".repeat(64);
    for good in ["6f9619ff-8b86-d011-b42d-00c04fc964ff", "a", &long, "A_b.C-9"] {
        assert_eq!(ask(&[("x-request-id", good)]), good);
    }
    let longer = "x".repeat(65);
    for bad in ["", "two words", "a\"b", "a,b", "<b>", "é", "a;b=c", "a\tb", &longer] {
        assert_ne!(ask(&[("X-Request-Id", bad)]), bad);
    }
    let doubled = ask(&[("X-Request-Id", "one"), ("X-Request-Id", "one")]);
    assert_ne!(doubled, "one");
}

#[test]
fn pages_of_listed_origins_may_read_it() {
    let origin = "https://app.example";
    let server = World::new().config(&json!({ "server": { "cors": [origin] } })).serve();
    let reply = server.ask_with("GET", "/api/status", &[("Origin", origin)], None);
    let exposed = reply.field("Access-Control-Expose-Headers").unwrap();
    assert!(exposed.split(", ").any(|name| name == "X-Request-Id"), "{exposed}");
}
