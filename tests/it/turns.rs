//! Turns from outside: who may work in a session, and what stops a turn.

use std::path::Path;

use serde_json::json;

use crate::program::{Serving, World, await_that, events, types};
use crate::wire::Client;

/// Runs until it is stopped, and leaves its process id in the project.
const SLOW: &str = "run `echo $$ > pid; sleep 1000`";

fn start(server: &Serving, path: &str, more: &serde_json::Value) -> Client {
    let mut body = json!({ "message": SLOW });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut client = Client::connect(server.address);
    client.send(server.request("POST", path, &[], Some(&body)));
    await_that("the command runs", || command(server).is_some());
    client
}

/// The process of the slow command, once it runs.
fn command(server: &Serving) -> Option<u32> {
    let pid = std::fs::read_to_string(server.world.project.path().join("pid")).ok()?;
    pid.trim().parse().ok()
}

fn is_alive(pid: u32) -> bool {
    // A zombie has no command line.
    std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline"))
        .is_ok_and(|line| !line.is_empty())
}

fn only_session(server: &Serving) -> serde_json::Value {
    let id = server.get("/api/sessions")[0]["id"].as_str().unwrap().to_owned();
    server.get(&format!("/api/sessions/{id}"))
}

#[test]
fn a_client_that_goes_away_stops_its_turn_and_its_command() {
    for path in ["/api/chat", "/api/chat/stream"] {
        let server = World::new().serve();
        let client = start(&server, path, &json!({}));
        let pid = command(&server).unwrap();
        assert!(is_alive(pid));
        drop(client);
        await_that("the turn ends", || server.get("/api/status")["activeTurns"] == 0);
        await_that("its command is gone", || !is_alive(pid));
        let session = only_session(&server);
        assert_eq!(session["messages"][1]["finishReason"], "aborted", "{path}");
        assert_eq!(session["messages"][1]["parts"][1]["status"], "error");
    }
}

#[test]
fn a_turn_in_the_background_goes_on_without_its_client() {
    let server = World::new().serve();
    let message = "run `echo $$ > pid; until [ -e go ]; do sleep 0.02; done; echo went on`";
    let body = json!({ "message": message, "background": true });
    drop(start(&server, "/api/chat/stream", &body));
    // Its connection is over, so whatever that does to the turn is done.
    await_that("only who asks is left", || server.get("/api/status")["connections"] == 1);
    server.world.project.write("go", "");
    await_that("the turn ends", || only_session(&server)["status"] == "idle");
    let answer = &only_session(&server)["messages"][1];
    assert_eq!(answer["finishReason"], "stop", "{answer}");
    assert_eq!(answer["parts"][1]["result"], "went on\n", "{answer}");
}

#[test]
fn an_abort_ends_the_stream_with_done_and_keeps_what_was_said() {
    let server = World::new().serve();
    let mut client = start(&server, "/api/chat/stream", &json!({}));
    let session = only_session(&server);
    assert_eq!(session["status"], "running");
    let path = format!("/api/sessions/{}", session["id"].as_str().unwrap());
    let busy = json!({ "message": "and me?", "sessionId": session["id"] });
    assert_eq!(server.post("/api/chat", &busy).code(), "session-busy");
    assert_eq!(server.ask("POST", &format!("{path}/abort"), None).status, 202);
    let told = events(&String::from_utf8(client.reply().body).unwrap());
    assert_eq!(told.last().unwrap()["finishReason"], "aborted", "{told:?}");
    assert_eq!(types(&told).last(), Some(&"done"));
    let kept = server.get(&path);
    assert!(!kept["messages"][1]["content"].as_str().unwrap().is_empty());
    let next = server.post("/api/chat", &json!({ "message": "hello", "sessionId": session["id"] }));
    assert_eq!(next.status, 200, "the session can go on");
}

#[test]
fn a_deleted_session_stops_its_turn_first() {
    let server = World::new().serve();
    let mut client = start(&server, "/api/chat/stream", &json!({}));
    let pid = command(&server).unwrap();
    let id = server.get("/api/sessions")[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.ask("DELETE", &format!("/api/sessions/{id}"), None).status, 204);
    let told = events(&String::from_utf8(client.reply().body).unwrap());
    assert_eq!(told.last().unwrap()["type"], "done");
    await_that("its command is gone", || !is_alive(pid));
}

#[test]
fn a_stopping_server_ends_its_turns_with_done_and_exits_0() {
    let config = json!({ "server": { "limits": { "stopSeconds": 0.1 } } });
    let server = World::new().config(&config).serve();
    let mut client = start(&server, "/api/chat/stream", &json!({}));
    let pid = command(&server).unwrap();
    let (status, log) = server.end(rustix::process::Signal::TERM);
    assert_eq!(status, Some(0), "{log}");
    let told = events(&String::from_utf8(client.reply().body).unwrap());
    assert_eq!(told.last().unwrap()["finishReason"], "aborted", "{told:?}");
    assert!(!is_alive(pid));
    assert!(log.contains("POST /api/chat/stream 200"), "{log}");
}

#[test]
fn an_agent_that_plans_reads_and_never_writes() {
    let server = World::new().file("notes.txt", "oat milk").serve();
    let ask = |message: &str| {
        server.post("/api/chat", &json!({ "message": message, "agent": "plan" })).json()
    };
    let read = ask("read the file notes.txt");
    assert_eq!(read["toolCalls"][0]["isError"], false);
    let write = ask("run `touch made`");
    assert_eq!(write["toolCalls"], json!([]), "the guide is not even told of the tool");
    assert!(!server.world.project.path().join("made").exists());
}

#[test]
fn the_guide_really_edits_searches_and_runs() {
    let server = World::new().file("src/a.txt", "one fish\n").serve();
    let ask = |message: &str| {
        let reply = server.post("/api/chat", &json!({ "message": message }));
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    };
    let edit = ask("replace \"one\" with \"two\" in src/a.txt");
    assert_eq!(edit["toolCalls"][0]["tool"], "edit_file", "{edit}");
    assert_eq!(server.world.project.read("src/a.txt"), "two fish\n");
    let found = ask("search for fish");
    assert!(found["toolCalls"][0]["result"].as_str().unwrap().contains("src/a.txt:1"), "{found}");
    let ran = ask("run `wc -l < src/a.txt`");
    assert_eq!(ran["toolCalls"][0]["result"].as_str().unwrap().trim(), "1", "{ran}");
    let listed = ask("list files");
    assert!(listed["toolCalls"][0]["result"].as_str().unwrap().contains("src/"), "{listed}");
    let failed = ask("read the file nothing.txt");
    assert_eq!(
        (&failed["toolCalls"][0]["isError"], &failed["finishReason"]),
        (&json!(true), &json!("stop"))
    );
}

#[test]
fn a_command_sees_no_secret_of_the_server() {
    let server = World::new()
        .env("OPENCODE_SERVER_PASSWORD", "pass-w0rd")
        .env("MY_TOKEN", "t0ken")
        .env("MISTRAL_API_KEY", "k3y")
        .env("HARMLESS", "yes")
        .config(&json!({
            "model": "offline/guide",
            "provider": { "mine": {
                "npm": "@ai-sdk/openai-compatible",
                "options": { "baseURL": "http://127.0.0.1:1/v1", "apiKey": "{env:MY_TOKEN}" },
            } },
        }))
        .serve();
    let body = json!({ "message": "run `env; cat /proc/$PPID/environ; true`" });
    let fields = [("Authorization", "Basic b3BlbmNvZGU6cGFzcy13MHJk")];
    let reply = server.ask_with("POST", "/api/chat", &fields, Some(&body)).json();
    let result = reply["toolCalls"][0]["result"].as_str().unwrap();
    assert!(result.contains("HARMLESS=yes"), "{result}");
    // Root reads every process's environment; who runs the tests may be root.
    let own = result.split("cat: ").next().unwrap();
    let own = own.split('\0').next().unwrap();
    for secret in ["pass-w0rd", "t0ken", "k3y"] {
        assert!(!own.contains(secret), "{secret}: {own}");
        if !rustix::process::geteuid().is_root() {
            assert!(!result.contains(secret), "{secret}: {result}");
        }
    }
    assert!(!server.log.text().contains("pass-w0rd"));
}
