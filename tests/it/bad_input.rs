//! What bad input gets: a status, a code, and a sentence that says what to do.

use serde_json::{Value, json};

use crate::program::World;
use crate::wire::Client;

#[test]
fn each_wrong_request_has_its_code_and_names_what_to_do() {
    let server = World::new().serve();
    let id = "0123456789abcdefghjkmnpqrstvwxyz0123";
    let long = "x".repeat(512 * 1024 + 1);
    let cases: &[(&str, &str, Value, u16, &str, &str)] = &[
        ("POST", "/api/chat", json!({}), 400, "bad-field", "`message`"),
        ("POST", "/api/chat", json!({ "message": "  " }), 400, "bad-field", "empty"),
        ("POST", "/api/chat", json!({ "message": 5 }), 400, "bad-field", "a string"),
        ("POST", "/api/chat", json!([]), 400, "bad-field", "object"),
        (
            "POST",
            "/api/chat",
            json!({ "message": "x", "background": "yes" }),
            400,
            "bad-field",
            "background",
        ),
        (
            "POST",
            "/api/chat",
            json!({ "message": "x", "permissions": "maybe" }),
            400,
            "bad-field",
            "refuse",
        ),
        ("POST", "/api/chat", json!({ "message": long }), 413, "message-too-large", "file"),
        (
            "POST",
            "/api/chat",
            json!({ "message": "x", "sessionId": id }),
            404,
            "session-not-found",
            "sessions",
        ),
        (
            "POST",
            "/api/chat",
            json!({ "message": "x", "sessionId": "../x" }),
            404,
            "session-not-found",
            "sessions",
        ),
        (
            "POST",
            "/api/chat",
            json!({ "message": "x", "agent": "chef" }),
            422,
            "unknown-agent",
            "build",
        ),
        (
            "POST",
            "/api/chat",
            json!({ "message": "x", "model": "gpt" }),
            422,
            "unknown-model",
            "gpt",
        ),
        (
            "POST",
            "/api/chat",
            json!({ "message": "x", "model": "nobody/gpt" }),
            422,
            "unknown-model",
            "nobody",
        ),
        (
            "POST",
            "/api/chat/stream",
            json!({ "message": "x", "model": "openai/gpt-4o" }),
            422,
            "provider-not-configured",
            "OPENAI_API_KEY",
        ),
        ("POST", "/api/sessions", json!({ "title": " " }), 400, "bad-field", "title"),
        ("POST", "/api/sessions", json!({ "agent": "chef" }), 422, "unknown-agent", "plan"),
        ("PATCH", "/api/sessions/x", json!({}), 400, "bad-field", "title"),
        ("PATCH", "/api/sessions/x", json!({ "title": "t" }), 404, "session-not-found", "sessions"),
        ("DELETE", "/api/sessions/x", json!({}), 404, "session-not-found", "sessions"),
        ("POST", "/api/sessions/x/abort", json!({}), 404, "session-not-found", "sessions"),
        ("GET", "/api/sessions?limit=0", json!({}), 400, "bad-field", "limit"),
        ("GET", "/api/sessions?before=zzz", json!({}), 400, "bad-field", "\"zzz\""),
        ("GET", "/api/sessions/x?before=zzz", json!({}), 400, "bad-field", "\"zzz\""),
        ("GET", "/api/sessions?limit=&limit=4", json!({}), 400, "bad-field", "once"),
        ("GET", "/api/nothing", json!({}), 404, "not-found", "openapi"),
        ("DELETE", "/api/status", json!({}), 405, "method-not-allowed", "GET"),
    ];
    for (method, path, body, status, code, word) in cases {
        let reply = server.ask(method, path, Some(body));
        assert_eq!((reply.status, reply.code().as_str()), (*status, *code), "{path} {reply:?}");
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(word), "{path}: {detail}");
    }
    let reply = server.ask("DELETE", "/api/status", None);
    assert_eq!(reply.field("Allow"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(server.get("/api/sessions"), json!([]), "nothing is left of what was refused");
    assert_eq!(server.get("/api/status")["status"], "ok");
}

#[test]
fn a_project_that_is_gone_is_told() {
    let server = World::new().serve();
    std::fs::remove_dir_all(server.world.project.path()).unwrap();
    let reply = server.ask("GET", "/api/files?query=a", None);
    assert_eq!((reply.status, reply.code().as_str()), (404, "not-found"), "{reply:?}");
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("is not there any more: put it back"), "{detail}");
}

#[test]
fn a_body_that_is_no_json_is_told_with_its_place() {
    let server = World::new().serve();
    let mut client = Client::connect(server.address);
    for body in ["{\"message\": }", "\u{feff}", " \r", &"[".repeat(100_000)] {
        client.send(format!(
            "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let reply = client.reply();
        assert_eq!(reply.code(), "bad-json");
        assert!(reply.json()["detail"].as_str().unwrap().contains("line 1"), "{reply:?}");
    }
}

#[test]
fn a_wrong_configuration_stops_the_start_with_file_and_line() {
    for (text, words) in [
        ("{\n \"server\": {\n  \"port\": \"http\"\n }\n}", &["opencode.json:3", "port"][..]),
        ("{\n // a comment\n \"server\": {\"cors\": [\"*\"]}\n}", &["opencode.json:3", "cors"]),
        ("{\n \"model\": 5,\n}", &["opencode.json:2", "model"]),
        ("{\n \"server\": {\n", &["opencode.json:"]),
        ("{\n \"agent\": \"chef\"\n}", &["chef", "build"]),
    ] {
        let run = World::new().file("opencode.json", text).run(&["serve", "--port", "0"]);
        run.assert_status(2);
        for word in words {
            assert!(run.stderr.contains(word), "{text}: {run:?}");
        }
    }
    let run = World::new().env("OPENCODE_PORT", "http").run(&["serve"]);
    assert!(run.assert_status(2).stderr.contains("OPENCODE_PORT"), "{run:?}");
    let run = World::new().run(&["serve", "--port", "99999"]);
    assert!(run.assert_status(2).stderr.contains("65535"), "{run:?}");
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let server = World::new().serve();
    let port = server.address.port().to_string();
    let run = World::new().run(&["serve", "--port", &port]);
    run.assert_status(1);
    assert!(run.stderr.contains(&port) && run.stdout.is_empty(), "{run:?}");
}

#[test]
fn unknown_keys_are_a_warning_and_comments_are_fine() {
    let text = "{\n // where it listens\n \"server\": { \"prot\": 1 },\n}";
    let server = World::new().file("opencode.jsonc", text).serve();
    assert_eq!(server.get("/api/status")["status"], "ok");
    assert!(server.log.text().contains("opencode.jsonc:3"), "{}", server.log.text());
}
