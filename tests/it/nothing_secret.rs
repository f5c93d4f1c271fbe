//! A secret stays where it was given: it is in no answer, no line of the log, nothing stored and
//! no child's environment, though a provider repeats its key and a client sends its password.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::json;

use crate::program::{Dir, World};
use crate::scripted::{Act, Protocol, Scripted, answer, stream};
use crate::wire::Client;

const PASSWORD: &str = "correct-horse-battery";
const WRONG: &str = "wrong-horse-battery";
const KEY: &str = "sk-live-4f9c2a77d1";
const HEADER: &str = "hdr-8812aa6b09";
/// A key of a provider that nobody asks.
const IDLE_KEY: &str = "sk-ant-6d5e4f3a2b";

/// All text of files below a folder, the names of the files among it.
fn all_text(folder: &Path) -> String {
    let mut text = String::new();
    for entry in ignore::WalkBuilder::new(folder).standard_filters(false).build().flatten() {
        text.push_str(&entry.path().to_string_lossy());
        if entry.file_type().is_some_and(|kind| kind.is_file()) {
            let bytes = std::fs::read(entry.path()).unwrap();
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    text
}

#[test]
fn no_answer_no_log_nothing_stored_and_no_child_has_a_secret() {
    let protocol = Protocol::OpenAi;
    let echo = format!("bad key {KEY}, sent with {HEADER}");
    let called = protocol.call(r#"{"path":"opencode.json"}"#) + &protocol.end(true);
    let provider = Scripted::play([
        Act::Say(answer(401, &json!({ "error": { "message": echo } }))),
        Act::Say(stream(&(protocol.text("so far") + &protocol.error(&echo)))),
        Act::Say(stream(&called)),
        Act::Say(stream(&(protocol.text("read it") + &protocol.end(false)))),
    ]);
    // The secrets come from the environment, as the configuration's own file has only their names.
    let data = Dir::new();
    let mut world = World::new().config(&json!({
        "model": "scripted/m",
        "provider": { "scripted": {
            "npm": protocol.package(),
            "options": {
                "baseURL": format!("{}/v1", provider.url()),
                "apiKey": "{env:MY_KEY}",
                "headers": { "X-Team": "{env:MY_HEADER}" },
            },
            "models": { "m": {} },
        } },
    }));
    for (name, value) in [
        ("MY_KEY", KEY),
        ("MY_HEADER", HEADER),
        ("ANTHROPIC_API_KEY", IDLE_KEY),
        ("OPENCODE_SERVER_PASSWORD", PASSWORD),
        ("OPENCODE_DATA_DIR", data.path().to_str().unwrap()),
    ] {
        world = world.env(name, value);
    }
    let server = world.web_with(&[]);

    let basic =
        |password: &str| format!("Basic {}", STANDARD.encode(format!("opencode:{password}")));
    let right = basic(PASSWORD);
    let mut told = String::new();
    let mut ask = |method: &str, path: &str, body: Option<&serde_json::Value>| {
        let reply = server.ask_with(method, path, &[("Authorization", &right)], body);
        told.push_str(&reply.head);
        told.push_str(&String::from_utf8_lossy(&reply.body));
        reply
    };
    for path in ["status", "models", "providers", "agents", "sessions", "openapi.json", "files"] {
        assert_eq!(ask("GET", &format!("/api/{path}"), None).status, 200, "{path}");
    }
    // One turn refused, one that fails in its answer, one with a tool.
    for status in [502, 502, 200] {
        let reply = ask("POST", "/api/chat", Some(&json!({ "message": "hello" })));
        assert_eq!(reply.status, status, "{reply:?}");
    }
    let guide =
        |command: &str| json!({ "message": format!("run `{command}`"), "model": "offline/guide" });
    ask("POST", "/api/chat", Some(&guide("env; cat /proc/$PPID/environ; cat /proc/*/environ")));
    for session in server.get_as(PASSWORD, "/api/sessions").as_array().unwrap() {
        let id = session["id"].as_str().unwrap();
        assert_eq!(ask("GET", &format!("/api/sessions/{id}"), None).status, 200);
    }
    // Credentials in every place where a client may put them, right and wrong.
    let login = json!({ "username": "opencode", "password": PASSWORD });
    let signed = ask("POST", "/api/login", Some(&login));
    assert_eq!(signed.status, 204);
    let cookie = signed.field("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let ticket = cookie.split_once('=').unwrap().1.to_owned();
    let wrong = json!({ "password": WRONG });
    assert_eq!(ask("POST", "/api/login", Some(&wrong)).status, 401);
    for (field, value) in [("Authorization", basic(WRONG)), ("Cookie", format!("{cookie}x"))] {
        let reply = server.ask_with("GET", "/api/status", &[(field, &value)], None);
        assert_eq!(reply.status, 401);
        told.push_str(&reply.head);
        told.push_str(&String::from_utf8_lossy(&reply.body));
    }
    let mut odd = Client::connect(server.address);
    odd.send(format!("GET /api/status?password={PASSWORD} HTTP/1.1\r\nAuthorization: {right}\r\n"));
    odd.send(format!("Cookie: {cookie}\r\nHost: a\r\nHost: b\r\n\r\n"));
    assert_eq!(odd.reply().status, 400);

    // What a login gives to its own client is no leak.
    let told = told.replace(&cookie, "");
    let home = server.world.home.path().to_owned();
    let (status, log) = server.end(Signal::TERM);
    assert_eq!(status, Some(0));
    assert!(log.contains("/api/login"), "requests are in the log: {log}");
    let stored = all_text(data.path()) + &all_text(&home);
    assert!(stored.contains("bad key"), "what the provider said is stored");
    for secret in [PASSWORD, WRONG, KEY, HEADER, IDLE_KEY, &right[6..], &ticket] {
        for (place, text) in [("an answer", &told), ("the log", &log), ("what is stored", &stored)]
        {
            let at = text.find(secret);
            let near = at.map(|at| &text[text.floor_char_boundary(at.saturating_sub(200))..at]);
            assert_eq!(near, None, "{secret} is in {place}");
        }
    }
}
