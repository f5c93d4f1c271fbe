//! `/metrics`: what the server has done, in the text format of Prometheus.

use serde_json::json;

use crate::program::{Serving, World};
use crate::scripted::{Act, Protocol, Scripted, answer, stream};

/// The value of a line that begins so.
fn value(server: &Serving, line: &str) -> u64 {
    let reply = server.ask("GET", "/metrics", None);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = String::from_utf8(reply.body).unwrap();
    let found = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {line} in\n{text}")).parse().unwrap()
}

#[test]
fn turns_tools_tokens_and_failures_are_counted_by_what_they_came_to() {
    let protocol = Protocol::OpenAi;
    let call = protocol.call(r#"{"path":"opencode.json"}"#) + &protocol.end(true);
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 3 } });
    let done = format!("{}data: {usage}\n\n{}", protocol.text("done"), protocol.end(false));
    let provider = Scripted::play([
        Act::Say(stream(&call)),
        Act::Say(stream(&done)),
        Act::Say(answer(400, &json!({ "error": { "message": "no" } }))),
    ]);
    let server = provider.world(protocol, &json!({})).serve();
    for status in [200, 502] {
        assert_eq!(server.post("/api/chat", &json!({ "message": "go" })).status, status);
    }
    assert_eq!(server.ask("GET", "/api/sessions/nobody", None).status, 404);
    for (line, wanted) in [
        ("opencode_turns_total{reason=\"stop\"}", 1),
        ("opencode_turns_total{reason=\"error\"}", 1),
        ("opencode_turns_total{reason=\"aborted\"}", 0),
        ("opencode_turn_errors_total{code=\"provider-failed\"}", 1),
        ("opencode_tool_runs_total{tool=\"read_file\",outcome=\"ok\"}", 1),
        ("opencode_tool_seconds_count", 1),
        ("opencode_tokens_total{kind=\"input\"}", 7),
        ("opencode_tokens_total{kind=\"output\"}", 3),
        ("opencode_provider_first_token_seconds_count", 2),
        ("opencode_turn_seconds_count", 2),
        ("opencode_http_answers_total{status=\"4xx\"}", 1),
        ("opencode_http_answers_total{status=\"5xx\"}", 1),
        ("opencode_sessions", 2),
        ("opencode_turns_running", 0),
    ] {
        assert_eq!(value(&server, line), wanted, "{line}");
    }
}

#[test]
fn the_counts_need_the_password() {
    let server = World::new().env("OPENCODE_SERVER_PASSWORD", "correct-horse").serve();
    assert_eq!(server.ask("GET", "/metrics", None).status, 401);
}
