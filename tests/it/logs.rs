//! The log on standard error: its two forms, what each line names, and that nobody can forge one.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::program::{Serving, World, await_that};
use crate::scripted::{Act, Protocol, Scripted, answer};
use crate::wire::Client;

/// The lines of a log, each a JSON object with what all have.
fn objects(log: &str) -> Vec<Value> {
    let object = |line: &str| -> Value {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for name in ["time", "level", "room", "message"] {
            assert!(object[name].is_string(), "{name} in {line}");
        }
        object
    };
    log.lines().map(object).collect()
}

/// The log of a server that has ended.
fn log_of(server: Serving) -> String {
    let (status, log) = server.end(Signal::TERM);
    assert_eq!(status, Some(0), "{log}");
    log
}

#[test]
fn a_request_is_one_line_with_its_id_and_without_its_query() {
    let server = World::new().env("OPENCODE_LOG_FORMAT", "json").serve();
    let ids = [("X-Request-Id", "my-1")];
    assert_eq!(server.ask_with("GET", "/api/status?key=hush", &ids, None).status, 200);
    assert_eq!(server.ask("DELETE", "/api/sessions/nobody", None).status, 404);
    let log = log_of(server);
    assert!(!log.contains("hush"), "{log}");
    let lines = objects(&log);
    let of = |path: &str| {
        let mut found = lines.iter().filter(|line| line["path"] == path);
        let line = found.next().unwrap_or_else(|| panic!("no {path} in {log}"));
        assert!(found.next().is_none(), "{log}");
        line
    };
    let line = of("/api/status");
    assert_eq!((&line["room"], &line["level"]), (&json!("request"), &json!("info")));
    assert_eq!((&line["method"], &line["status"]), (&json!("GET"), &json!(200)));
    assert_eq!((&line["peer"], &line["requestId"]), (&json!("127.0.0.1"), &json!("my-1")));
    assert!(line["bytes"].as_u64().unwrap() > 100 && line["ms"].is_u64(), "{line}");
    let line = of("/api/sessions/nobody");
    assert_eq!((&line["method"], &line["status"]), (&json!("DELETE"), &json!(404)));
    assert!(line["requestId"].as_str().unwrap().contains('-'), "{line}");
}

#[test]
fn no_client_and_no_model_can_forge_a_line() {
    let protocol = Protocol::OpenAi;
    let evil = "x\n{\"level\":\"error\"}\r\u{1b}[2J\u{85}\u{2028}\"}\u{202e}";
    let provider =
        Scripted::play([Act::Say(answer(400, &json!({ "error": { "message": evil } })))]);
    for format in ["json", "text"] {
        let world = provider.world(protocol, &json!({})).env("OPENCODE_LOG_FORMAT", format);
        let server = world.serve_with(&["--log-level", "debug"]);
        let paths = ["/a%0A{}", "/\u{85}\u{2028}", "/\"}"];
        for path in paths {
            let mut client = Client::connect(server.address);
            client.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address));
            assert!(client.reply().status >= 400);
        }
        let mut client = Client::connect(server.address);
        client.send("GET /\r{\"level\":\"error\"} HTTP/1.1\r\n\r\n");
        assert_eq!(client.reply().status, 400);
        let tool = json!({ "message": evil, "model": evil, "agent": evil, "title": evil });
        assert!(server.post("/api/chat", &tool).status >= 400);
        server.post("/api/chat", &json!({ "message": evil }));
        let log = log_of(server);
        let is_plain =
            |c: char| c == '\n' || !(c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c));
        assert!(log.chars().all(is_plain), "{log:?}");
        if format == "json" {
            objects(&log);
        } else {
            for line in log.lines() {
                let parts: Vec<_> = line.splitn(4, ' ').collect();
                assert!(parts[0].ends_with('Z') && parts[0].len() == 24, "{line}");
                assert!(["error", "warn", "info", "debug"].contains(&parts[1]), "{line}");
            }
        }
    }
}

#[test]
fn what_happens_in_a_turn_names_the_request_that_began_it() {
    let protocol = Protocol::OpenAi;
    let provider = Scripted::a_tool_then_a_refusal(protocol);
    let world = provider.world(protocol, &json!({})).env("OPENCODE_LOG_FORMAT", "json");
    let server = world.serve_with(&["--log-level", "info,session=debug"]);
    let ask = |id: &str| {
        let body = json!({ "message": "hush" });
        server.ask_with("POST", "/api/chat", &[("X-Request-Id", id)], Some(&body)).json()
    };
    let (first, second) = (ask("first"), ask("second"));
    let log = log_of(server);
    assert!(!log.contains("hush"), "{log}");
    let lines = objects(&log);
    for (id, answer, words) in [
        ("first", &first, &["read_file begins", "read_file done", "the turn ended"][..]),
        ("second", &second, &["failed", "the turn ended"][..]),
    ] {
        let of: Vec<_> = lines.iter().filter(|line| line["requestId"] == id).collect();
        for line in &of {
            assert_eq!(line["sessionId"], answer["sessionId"], "{line}");
            assert_eq!(line["messageId"], answer["messageId"], "{line}");
        }
        let is_told = |word: &&str| {
            of.iter().any(|line| {
                line["room"] == "session" && line["message"].as_str().unwrap().contains(word)
            })
        };
        assert!(words.iter().all(is_told), "{id}: {log}");
        // The request's own line names the turn, too.
        assert!(of.iter().any(|line| line["path"] == "/api/chat"), "{log}");
    }
}

#[test]
fn levels_hold_for_single_rooms() {
    let server = World::new().serve_with(&["--log-level", "warn,request=info"]);
    server.get("/api/status");
    let (_, log) = server.end(Signal::TERM);
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains(" info request GET /api/status 200 "), "{log}");
    let server = World::new()
        .env("OPENCODE_LOG_LEVEL", "INFO,request=off")
        .file("opencode.json", "{\"mdl\":1}")
        .serve();
    server.get("/api/status");
    let (_, log) = server.end(Signal::TERM);
    assert!(log.contains(" warn cli ") && log.contains(" info cli "), "{log}");
    assert!(!log.contains(" request "), "{log}");
}

#[test]
fn the_file_says_it_too_and_a_wrong_value_says_what_there_is() {
    let world = World::new();
    world
        .home
        .write(".config/opencode/opencode.json", r#"{"logLevel":"ERROR","log":{"format":"json"}}"#);
    let shown = world.run(&["config"]);
    assert!(shown.stdout.contains("log.level") && shown.stdout.contains("ERROR"), "{shown:?}");
    for (name, value, word) in [
        ("OPENCODE_LOG_LEVEL", "loud", "\"warn\""),
        ("OPENCODE_LOG_LEVEL", "info,htp=debug", "did you mean \"http\"?"),
        ("OPENCODE_LOG_FORMAT", "xml", "\"json\""),
    ] {
        let world = World::new().env(name, value);
        let ran = world.run(&["serve", "--port", "0"]);
        assert!(ran.assert_status(2).stderr.contains(word), "{ran:?}");
        assert!(ran.stderr.contains(name), "{ran:?}");
    }
    let ran = World::new().file("opencode.json", "{\"server\":\n1}");
    let ran = ran.run(&["serve", "--log-format", "json"]);
    let lines = objects(&ran.assert_status(2).stderr);
    assert!(lines[0]["message"].as_str().unwrap().starts_with("opencode.json:2: "), "{ran:?}");
}

#[test]
fn a_strange_projects_file_cannot_silence_the_log() {
    let world = World::new().file("opencode.json", r#"{"log":{"level":"off"}}"#);
    let server = world.serve();
    server.get("/api/status");
    await_that("the request is logged", || server.log.text().contains(" request GET "));
    assert!(server.log.text().contains("opencode.json:1: log is left out"));
    let world = server.stop(Signal::TERM);
    world.run(&["trust"]).assert_status(0);
    let (_, log) = world.serve().end(Signal::TERM);
    assert_eq!(log, "");
}
