//! The page's `curl` examples through a real shell and a real `curl`, as printed; only the port
//! is another one.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::peers::has_curl;
use crate::program::{Serving, World, events, text, types};
use crate::scripted::{Act, Protocol, Scripted, stream};

const STATUS: &str = r#"curl -u "opencode:my-secret-key" http://localhost:4096/api/status"#;

const CHAT: &str = r#"curl -X POST http://localhost:4096/api/chat \
-H "Content-Type: application/json" \
-d '{
"message": "Write a Python script to parse a CSV file",
"sessionId": null,
"agent": "build",
"model": "anthropic/claude-sonnet-4"
}'"#;

const STREAM: &str = r#"curl -X POST http://localhost:4096/api/chat/stream \
-H "Content-Type: application/json" \
-d '{
"message": "Explain how React hooks work",
"sessionId": null
}'"#;

/// What a shell prints for an example, with more arguments for `curl`.
fn shell(server: &Serving, example: &str, more: &str) -> String {
    let script = example.replace(":4096", &format!(":{}", server.address.port()));
    let script = script.replacen("curl ", &format!("curl --silent --show-error {more} "), 1);
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(server.world.project.path())
        // Proxies are for elsewhere.
        .env("no_proxy", "*")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_status_is_for_who_has_the_password() {
    if !has_curl() {
        return;
    }
    let server = World::new().env("OPENCODE_SERVER_PASSWORD", "my-secret-key").serve();
    assert_eq!(json_of(&shell(&server, STATUS, ""))["status"], "ok");
    let wrong = STATUS.replace("my-secret-key", "another");
    let status = shell(&server, &wrong, "--output /dev/null --write-out '%{http_code}'");
    assert_eq!(status, "401");
    let nobody = STATUS.replace(r#"-u "opencode:my-secret-key" "#, "");
    let head = shell(&server, &nobody, "--include");
    assert!(head.contains("WWW-Authenticate: Basic"), "{head}");
}

#[test]
fn the_chat_is_answered_by_the_model_it_names() {
    if !has_curl() {
        return;
    }
    let protocol = Protocol::Anthropic;
    let whole = protocol.text("import csv") + &protocol.end(false);
    let provider = Scripted::play([Act::Say(stream(&whole))]);
    let server = World::new()
        .env("ANTHROPIC_API_KEY", "sk-test")
        .env("ANTHROPIC_BASE_URL", &provider.url())
        .serve();
    let reply = json_of(&shell(&server, CHAT, ""));
    assert_eq!(reply["content"], "import csv");
    assert_eq!(reply["model"], "anthropic/claude-sonnet-4");
    assert_eq!(provider.asked()[0]["model"], "claude-sonnet-4-20250514");
}

#[test]
fn the_chat_without_a_key_names_the_variable_to_set() {
    if !has_curl() {
        return;
    }
    let problem = json_of(&shell(&World::new().serve(), CHAT, ""));
    assert_eq!(problem["status"], 422);
    assert!(problem["detail"].as_str().unwrap().contains("ANTHROPIC_API_KEY"), "{problem}");
}

#[test]
fn the_stream_is_events_from_session_to_done() {
    if !has_curl() {
        return;
    }
    let server = World::new().serve();
    for more in ["", "--no-buffer"] {
        let told = events(&shell(&server, STREAM, more));
        assert_eq!(types(&told), ["session", "text", "done"], "{told:?}");
        assert!(!text(&told).is_empty());
    }
    assert_eq!(server.get("/api/sessions").as_array().unwrap().len(), 2);
}

#[test]
fn the_stream_shows_each_event_when_it_happens() {
    if !has_curl() {
        return;
    }
    let protocol = Protocol::Anthropic;
    let provider = Scripted::play([Act::Hold(stream(&protocol.text("React hooks are")))]);
    let server = World::new()
        .env("ANTHROPIC_API_KEY", "sk-test")
        .env("ANTHROPIC_BASE_URL", &provider.url())
        .serve();
    let script = STREAM.replace(":4096", &format!(":{}", server.address.port()));
    let mut child = Command::new("bash")
        .args(["-c", &format!("exec {}", script.replacen("curl ", "curl -N --silent ", 1))])
        .env("no_proxy", "*")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(lines);
    // The provider has not finished, and will not.
    let came = lines.any(|line| line.unwrap().contains("React hooks are"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(came, "the text came while the answer was under way");
    provider.await_departure();
}

#[test]
fn every_path_of_the_table_answers_curl() {
    if !has_curl() {
        return;
    }
    let server = World::new().serve();
    let chat = json_of(&shell(&server, STREAM.replace("/stream", "").as_str(), ""));
    let session = format!("/api/sessions/{}", chat["sessionId"].as_str().unwrap());
    for path in ["/api/sessions", &session, "/api/models", "/api/providers", "/api/agents"] {
        let got = json_of(&shell(&server, &format!("curl http://localhost:4096{path}"), ""));
        assert!(!got.as_array().is_some_and(Vec::is_empty), "{path}: {got}");
    }
    let delete = format!("curl -X DELETE http://localhost:4096{session}");
    assert_eq!(shell(&server, &delete, "--write-out '%{http_code}'"), "204");
    assert_eq!(server.get("/api/sessions"), json!([]));
}
