//! A language model that is one: small, slow and of poor judgement, so the tests look at the
//! protocol and at shapes, and never at what it says.

use serde_json::{Value, json};

use crate::peers::RealModel;
use crate::program::{World, text, types};
use crate::wire::Client;

/// A project that asks the model; its agent has one tool, so that its prompt is short.
fn world(model: &RealModel, key: &str, output: u32) -> World {
    World::new().config(&json!({
        "model": format!("local/{}", RealModel::NAME),
        // Poor judgement may call for ever; the last step has no tools.
        "server": { "limits": { "steps": 3 } },
        "agent": {
            "reader": {
                "prompt": "You look at files.",
                "tools": { "*": false, "list_dir": true },
            },
            "talker": { "prompt": "You are brief.", "tools": { "*": false } },
        },
        "provider": { "local": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "Local",
            "options": { "baseURL": format!("{}/v1", model.url()), "apiKey": key },
            "models": { (RealModel::NAME): {
                "limit": { "output": output },
                "options": { "temperature": 0 },
            } },
        } },
    }))
}

fn ask(message: &str, agent: &str) -> Value {
    json!({ "message": message, "agent": agent })
}

#[test]
fn a_real_answer_streams_word_by_word() {
    let Some(model) = RealModel::shared() else { return };
    let server = world(&model, RealModel::KEY, 24).serve();
    let told = server.stream(&ask("What is the capital of France?", "talker"));
    assert_eq!(types(&told), ["session", "text", "done"], "{told:?}");
    assert!(told.len() > 4, "several pieces of text: {told:?}");
    assert!(!text(&told).trim().is_empty());
    let done = told.last().unwrap();
    assert!(matches!(done["finishReason"].as_str(), Some("stop" | "length")), "{done}");
    assert!(done["usage"]["outputTokens"].as_u64().unwrap() > 3, "{done}");

    let more = json!({ "message": "And of Italy?", "sessionId": told[0]["sessionId"] });
    let told = server.stream(&more);
    assert_eq!(types(&told), ["session", "text", "done"], "the session goes on: {told:?}");
}

#[test]
fn a_real_call_runs_its_tool_and_text_follows() {
    let Some(model) = RealModel::shared() else { return };
    let server = world(&model, RealModel::KEY, 64).file("notes.txt", "oat milk\n").serve();
    let told = server.stream(&ask("List the files here.", "reader"));
    let all = types(&told);
    let start = all.iter().position(|kind| *kind == "tool_start").expect("a call");
    assert_eq!(all[start + 1], "tool_end", "{told:?}");
    assert_eq!(&all[all.len() - 3..], ["tool_end", "text", "done"], "{told:?}");
    let called = told.iter().find(|event| event["type"] == "tool_start").unwrap();
    assert_eq!(called["tool"], "list_dir", "the only one there is");
    assert!(called["args"].is_object(), "{called}");
    let reason = told.last().unwrap()["finishReason"].as_str().unwrap();
    assert!(matches!(reason, "stop" | "length"), "{reason}");
}

#[test]
fn a_wrong_key_gives_the_servers_words() {
    let Some(model) = RealModel::shared() else { return };
    let server = world(&model, "sk-wrong", 24).serve();
    let reply = server.post("/api/chat", &ask("hello", "talker"));
    assert_eq!((reply.status, &*reply.code()), (502, "provider-failed"), "{reply:?}");
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("Invalid API Key") && !detail.contains("sk-wrong"), "{detail}");
}

#[test]
fn an_abandoned_answer_frees_its_slot() {
    let Some(model) = RealModel::shared() else { return };
    // As long as the context allows, which takes minutes.
    let server = world(&model, RealModel::KEY, 3000).serve();
    let endless = ask("Count from one to a thousand, one number a line.", "talker");
    // The model answers two at a time: had it not noticed, it would be busy with these.
    for _ in 0..2 {
        let mut client = Client::connect(server.address);
        client.send(server.request("POST", "/api/chat/stream", &[], Some(&endless)));
        client.await_text("\"type\":\"text\"");
    }
    let quick = world(&model, RealModel::KEY, 4).serve();
    let told = quick.stream(&ask("Say yes.", "talker"));
    assert_eq!(types(&told), ["session", "text", "done"], "{told:?}");
    crate::program::await_that("the abandoned turns end", || {
        server.get("/api/status")["activeTurns"] == 0
    });
}
