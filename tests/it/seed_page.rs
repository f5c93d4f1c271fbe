//! The user's page, sentence by sentence: its `curl` examples and its scripts as printed, on the
//! embedded default, in a directory without configuration and with no key.

use serde_json::json;

use crate::program::{World, binary, text, types};

#[test]
fn a_chat_answers_and_names_its_session() {
    let server = World::new().serve();
    let body = json!({
        "message": "Write a Python script to parse a CSV file",
        "sessionId": null,
        "agent": "build",
    });
    let reply = server.post("/api/chat", &body).json();
    assert_eq!(reply["model"], "offline/guide");
    assert_eq!(reply["finishReason"], "stop");
    assert!(!reply["content"].as_str().unwrap().trim().is_empty());
    let session = server.get(&format!("/api/sessions/{}", reply["sessionId"].as_str().unwrap()));
    assert_eq!(session["messages"][1]["id"], reply["messageId"]);
    assert_eq!(session["messages"][1]["content"], reply["content"]);
    assert_eq!(session["title"], "Write a Python script to parse a CSV file");
}

#[test]
fn the_model_that_was_asked_for_answers_or_nobody() {
    let server = World::new().serve();
    let body = json!({
        "message": "Write a Python script to parse a CSV file",
        "sessionId": null,
        "agent": "build",
        "model": "anthropic/claude-sonnet-4",
    });
    let reply = server.post("/api/chat", &body);
    assert_eq!((reply.status, reply.code().as_str()), (422, "provider-not-configured"));
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("ANTHROPIC_API_KEY"), "{detail}");
    assert_eq!(server.get("/api/sessions"), json!([]), "nothing is left of a refused chat");
}

#[test]
fn a_stream_tells_session_text_tools_and_done() {
    let server = World::new().file("notes.txt", "remember the oat milk\n").serve();
    let events = server.stream(&json!({ "message": "read the file notes.txt" }));
    assert_eq!(types(&events), ["session", "text", "tool_start", "tool_end", "text", "done"]);
    let start = events.iter().find(|event| event["type"] == "tool_start").unwrap();
    assert_eq!(
        (&start["tool"], &start["args"]),
        (&json!("read_file"), &json!({ "path": "notes.txt" }))
    );
    let end = events.iter().find(|event| event["type"] == "tool_end").unwrap();
    assert!(end["result"].as_str().unwrap().contains("oat milk"), "{end}");
    assert_eq!(end["id"], start["id"]);
    let session =
        server.get(&format!("/api/sessions/{}", events[0]["sessionId"].as_str().unwrap()));
    assert_eq!(session["messages"][1]["content"], text(&events), "what was told is what is kept");
    assert_eq!(session["status"], "idle");
}

#[test]
fn both_scripts_on_the_page_run_as_printed() {
    let server = World::new().serve();
    let run = server.world.run(&[
        "run",
        "--attach",
        &server.url(),
        "Refactor the auth module to use JWT",
    ]);
    run.assert_status(0);
    assert!(run.stdout.ends_with('\n') && !run.stdout.ends_with("\n\n"), "{:?}", run.stdout);

    let script = format!(
        "#!/bin/bash\nresult=$({} run --attach {} \"$1\")\necho \"$result\" | grep -A5 '```' | head -20\n",
        binary(),
        server.url()
    );
    server.world.project.write("ask.sh", &script);
    let output = std::process::Command::new("bash")
        .args(["ask.sh", "Refactor the auth module to use JWT"])
        .current_dir(server.world.project.path())
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && shown.starts_with("```"), "{shown:?}");
}

#[test]
fn every_list_on_the_page_is_there() {
    let server = World::new().serve();
    let status = server.get("/api/status");
    assert_eq!(status["status"], "ok");
    assert_eq!(status["server"]["hostname"], "127.0.0.1");
    assert_eq!(status["server"]["port"], server.address.port());
    let models = server.get("/api/models");
    let named = |id: &str| models.as_array().unwrap().iter().find(|m| m["id"] == id).cloned();
    assert_eq!(named("anthropic/claude-sonnet-4").unwrap()["available"], false);
    assert_eq!(named("offline/guide").unwrap()["available"], true);
    let providers = server.get("/api/providers");
    assert!(providers.as_array().unwrap().iter().any(|p| p["id"] == "offline"));
    let agents = server.get("/api/agents");
    let ids: Vec<_> = agents.as_array().unwrap().iter().map(|a| a["id"].clone()).collect();
    assert_eq!(ids, ["build", "plan"]);
}

#[test]
fn a_session_is_listed_shown_named_and_deleted() {
    let server = World::new().serve();
    let first = server.post("/api/chat", &json!({ "message": "hello" })).json();
    let id = first["sessionId"].as_str().unwrap();
    let again = server.post("/api/chat", &json!({ "message": "and now?", "sessionId": id })).json();
    assert_eq!(again["sessionId"], id);
    let path = format!("/api/sessions/{id}");
    let session = server.get(&path);
    assert_eq!(session["messageCount"], 4);
    assert_eq!(session["messages"].as_array().unwrap().len(), 4);
    let page = server.ask("GET", &format!("{path}?limit=2"), None);
    let older = page.field("Link").unwrap().split(['<', '>']).nth(1).unwrap().to_owned();
    assert_eq!(page.json()["messages"][0]["content"], "and now?");
    assert_eq!(server.get(&older)["messages"][0]["content"], "hello");
    let named = server.ask("PATCH", &path, Some(&json!({ "title": "Greeting" })));
    assert_eq!(named.json()["title"], "Greeting");
    assert_eq!(server.get("/api/sessions")[0]["title"], "Greeting");
    assert_eq!(server.ask("DELETE", &path, None).status, 204);
    assert_eq!(server.ask("GET", &path, None).code(), "session-not-found");
    assert_eq!(server.get("/api/sessions"), json!([]));
}
