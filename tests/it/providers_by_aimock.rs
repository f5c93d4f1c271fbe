//! Both protocols against aimock, an implementation of the providers that nobody here wrote.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::peers::Aimock;
use crate::program::{Serving, World, events, text, types};
use crate::scripted::Protocol;
use crate::wire::Client;

/// What the mock answers, the first that fits.
fn answers() -> Value {
    json!([
        { "match": { "userMessage": "parse a CSV file" },
          "response": { "content": "import csv, and read it row by row." } },
        { "match": { "userMessage": "how React hooks work" }, "chunkSize": 8,
          "response": { "content": "React hooks are functions that allow you to use state." } },
        { "match": { "userMessage": "Refactor the auth module" },
          "response": { "content": "```\nfn verify(token: &str) {}\n```\nDone.\n\n" } },
        { "match": { "userMessage": "read the notes", "hasToolResult": false },
          "response": { "content": "Let me look. ", "toolCalls":
              [{ "name": "read_file", "arguments": { "path": "notes.txt" }, "id": "call_notes" }] } },
        { "match": { "toolCallId": "call_notes" },
          "response": { "content": "They say: oat milk." } },
        { "match": { "userMessage": "cut the line" }, "chunkSize": 6, "truncateAfterChunks": 4, "latency": 200,
          "response": { "content": "This was going to be a long answer, but somebody" } },
        { "match": {}, "response": { "content": "Here I am." } },
    ])
}

/// The model to ask for, and a project whose environment leads to the mock.
fn from_environment(protocol: Protocol, mock: &Aimock) -> (World, &'static str) {
    let world = World::new();
    match protocol {
        Protocol::OpenAi => {
            let world = world.env("OPENAI_API_KEY", "sk-test");
            (world.env("OPENAI_BASE_URL", &format!("{}/v1", mock.url())), "openai/gpt-4.1")
        }
        Protocol::Anthropic => {
            let world = world.env("ANTHROPIC_API_KEY", "sk-test");
            (world.env("ANTHROPIC_BASE_URL", &mock.url()), "anthropic/claude-sonnet-4")
        }
    }
}

/// The journal's entries of one path, so that each protocol's own endpoint is known to be used.
fn asked(mock: &Aimock, protocol: Protocol) -> Vec<Value> {
    let path = match protocol {
        Protocol::OpenAi => "/v1/chat/completions",
        Protocol::Anthropic => "/v1/messages",
    };
    let journal = mock.journal();
    assert!(journal.iter().all(|entry| entry["path"] == path), "{journal:?}");
    journal
}

#[test]
fn the_pages_examples_are_answered() {
    for protocol in Protocol::BOTH {
        let Some(mock) = Aimock::start(&answers(), None) else { return };
        let (world, model) = from_environment(protocol, &mock);
        let server = world.serve();
        let body = json!({
            "message": "Write a Python script to parse a CSV file",
            "sessionId": null,
            "agent": "build",
            "model": model,
        });
        let reply = server.post("/api/chat", &body).json();
        assert_eq!(reply["content"], "import csv, and read it row by row.", "{reply}");
        assert_eq!(
            (&reply["model"], &reply["finishReason"]),
            (&Value::from(model), &"stop".into())
        );

        let body = json!({ "message": "Explain how React hooks work", "sessionId": null });
        let told = server.stream(&body);
        assert_eq!(types(&told), ["session", "text", "done"]);
        assert_eq!(text(&told), "React hooks are functions that allow you to use state.");
        assert!(told.len() > 4, "as it comes, and not in one piece: {told:?}");

        let prompt = "Refactor the auth module to use JWT";
        let attached = server.world.run(&["run", "--attach", &server.url(), prompt]);
        let local = server.world.run(&["run", prompt]);
        for run in [&attached, &local] {
            run.assert_status(0);
            assert_eq!(run.stdout, "```\nfn verify(token: &str) {}\n```\nDone.\n");
        }
        assert_eq!(asked(&mock, protocol).len(), 4, "one request a prompt, none for a title");
    }
}

#[test]
fn the_model_is_told_who_it_is_and_what_it_may_call() {
    for protocol in Protocol::BOTH {
        let Some(mock) = Aimock::start(&answers(), None) else { return };
        let (world, model) = from_environment(protocol, &mock);
        let server = world.file("AGENTS.md", "Prefer tabs.").serve();
        server.post("/api/chat", &json!({ "message": "hello", "model": model }));
        let body = asked(&mock, protocol)[0]["body"].clone();
        let wire = match protocol {
            Protocol::OpenAi => "gpt-4.1",
            Protocol::Anthropic => "claude-sonnet-4-20250514",
        };
        assert_eq!(body["model"], wire);
        assert_eq!(body["stream"], true);
        let all = body.to_string();
        let directory = server.world.project.path().display().to_string();
        for part in ["coding agent", &directory, "Prefer tabs."] {
            assert!(all.contains(part), "{protocol:?}: {part} is not in {all}");
        }
        let tools = body["tools"].as_array().unwrap();
        let names: BTreeSet<_> = tools
            .iter()
            .map(|tool| tool["function"]["name"].as_str().or(tool["name"].as_str()).unwrap())
            .collect();
        let agents = server.get("/api/agents");
        let build = agents.as_array().unwrap().iter().find(|agent| agent["id"] == "build");
        let allowed = build.unwrap()["tools"].as_array().unwrap();
        assert_eq!(names, allowed.iter().map(|tool| tool.as_str().unwrap()).collect());
        for tool in tools {
            let schema = tool["function"].get("parameters").or(tool.get("input_schema")).unwrap();
            assert_eq!(schema["type"], "object", "{tool}");
        }
    }
}

#[test]
fn a_tool_runs_and_its_result_goes_back() {
    for protocol in Protocol::BOTH {
        let Some(mock) = Aimock::start(&answers(), None) else { return };
        let (world, model) = from_environment(protocol, &mock);
        let server = world.file("notes.txt", "remember the oat milk\n").serve();
        let told = server.stream(&json!({ "message": "read the notes", "model": model }));
        assert_eq!(types(&told), ["session", "text", "tool_start", "tool_end", "text", "done"]);
        let end = told.iter().find(|event| event["type"] == "tool_end").unwrap();
        assert!(end["result"].as_str().unwrap().contains("oat milk"), "{end}");
        assert!(text(&told).ends_with("They say: oat milk."), "{told:?}");

        let requests = asked(&mock, protocol);
        assert_eq!(requests.len(), 2);
        let messages = requests[1]["body"]["messages"].to_string();
        for part in ["remember the oat milk", "call_notes", "read_file", "Let me look."] {
            assert!(messages.contains(part), "{protocol:?}: {part} is not in {messages}");
        }

        let run = server.world.run(&["run", "read the notes"]);
        run.assert_status(0);
        assert!(run.stdout.ends_with("They say: oat milk.\n"), "{run:?}");
        assert!(run.stderr.contains("read_file notes.txt"), "{run:?}");
    }
}

#[test]
fn a_conversation_goes_on_with_all_that_was_said() {
    for protocol in Protocol::BOTH {
        let Some(mock) = Aimock::start(&answers(), None) else { return };
        let (world, model) = from_environment(protocol, &mock);
        let server = world.file("notes.txt", "remember the oat milk\n").serve();
        let body = json!({ "message": "read the notes", "model": model });
        let first = server.post("/api/chat", &body).json();
        let body = json!({ "message": "and now?", "sessionId": first["sessionId"] });
        let second = server.post("/api/chat", &body).json();
        assert_eq!(second["content"], "Here I am.", "{second}");
        assert_eq!(second["model"], model, "what a request named is the session's");
        let messages = asked(&mock, protocol)[2]["body"]["messages"].to_string();
        let places: Vec<_> =
            ["read the notes", "Let me look.", "oat milk", "They say:", "and now?"]
                .iter()
                .map(|part| messages.find(part).unwrap_or_else(|| panic!("no {part}: {messages}")))
                .collect();
        assert!(places.is_sorted(), "{places:?}: {messages}");
    }
}

#[test]
fn a_configured_provider_is_asked_at_its_address() {
    for protocol in Protocol::BOTH {
        let Some(mock) = Aimock::start(&answers(), Some("configured-key")) else { return };
        let server = World::new()
            .env("TEST_KEY", "configured-key")
            .config(&json!({
                "model": "house/large",
                "provider": { "house": {
                    "npm": protocol.package(),
                    "name": "House",
                    "options": {
                        "baseURL": format!("{}/v1", mock.url()),
                        "apiKey": "{env:TEST_KEY}",
                    },
                    "models": { "large": { "id": "large-2", "name": "Large" } },
                } },
            }))
            .serve();
        let reply = server.post("/api/chat", &json!({ "message": "hello" })).json();
        assert_eq!(
            (&reply["content"], &reply["model"]),
            (&json!("Here I am."), &json!("house/large"))
        );
        let providers = server.get("/api/providers");
        let house = providers.as_array().unwrap().iter().find(|p| p["id"] == "house").unwrap();
        assert_eq!((&house["configured"], &house["source"]), (&json!(true), &json!("config")));
        assert!(!providers.to_string().contains("configured-key"), "{providers}");
    }
}

#[test]
fn a_key_that_is_refused_gives_the_providers_words() {
    for protocol in Protocol::BOTH {
        let Some(mock) = Aimock::start(&answers(), Some("another-key")) else { return };
        let (world, _) = from_environment(protocol, &mock);
        let server = world.serve();
        let reply = server.post("/api/chat", &json!({ "message": "hello" }));
        assert_eq!((reply.status, &*reply.code()), (502, "provider-failed"));
        let problem = reply.json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("Invalid API key") && detail.contains("_API_KEY"), "{detail}");
        assert!(!detail.contains("sk-test"), "{detail}");
        let run = server.world.run(&["run", "hello"]);
        run.assert_status(1);
        assert!(run.stdout.is_empty() && run.stderr.contains("Invalid API key"), "{run:?}");
    }
}

/// Begins to ask; the answer is still to be read.
fn begin(server: &Serving) -> Client {
    let mut client = Client::connect(server.address);
    let body = json!({ "message": "hello" });
    client.send(server.request("POST", "/api/chat/stream", &[], Some(&body)));
    client
}

fn rest(mut client: Client) -> Vec<Value> {
    events(&String::from_utf8(client.reply().body).unwrap())
}

#[test]
fn a_fault_that_passes_is_waited_out() {
    for protocol in Protocol::BOTH {
        for way in ["dropRate", "malformedRate", "disconnectRate", "rateLimitRate"] {
            let Some(mock) = Aimock::start(&answers(), None) else { return };
            let (world, _) = from_environment(protocol, &mock);
            let server = world.serve();
            mock.fail(way);
            let mut client = begin(&server);
            client.await_any(&["\"type\":\"retry\"", "\"type\":\"error\""]);
            mock.recover();
            let told = rest(client);
            assert_eq!(types(&told), ["session", "retry", "text", "done"], "{way}: {told:?}");
            assert_eq!(told[1]["attempt"], 1);
            assert!(!told[1]["reason"].as_str().unwrap().is_empty());
            assert_eq!(text(&told), "Here I am.");
        }
    }
}

#[test]
fn a_fault_that_stays_ends_the_turn_and_not_the_server() {
    let mut waiting = Vec::new();
    for protocol in Protocol::BOTH {
        let Some(mock) = Aimock::start(&answers(), None) else { return };
        let (world, _) = from_environment(protocol, &mock);
        let server = world.serve();
        mock.fail("malformedRate");
        let client = begin(&server);
        waiting.push((mock, server, client));
    }
    // Both wait out their attempts at the same time.
    for (mock, server, client) in waiting {
        let told = rest(client);
        assert_eq!(types(&told), ["session", "retry", "error", "done"], "{told:?}");
        assert_eq!(told.last().unwrap()["finishReason"], "error");
        mock.recover();
        let body = json!({ "message": "again", "sessionId": told[0]["sessionId"] });
        assert_eq!(server.post("/api/chat", &body).json()["content"], "Here I am.");
    }
}

#[test]
fn an_answer_that_is_cut_is_kept_as_far_as_it_came() {
    for protocol in Protocol::BOTH {
        let Some(mock) = Aimock::start(&answers(), None) else { return };
        let (world, _) = from_environment(protocol, &mock);
        let server = world.serve();
        let told = server.stream(&json!({ "message": "cut the line" }));
        assert_eq!(types(&told), ["session", "text", "error", "done"], "{told:?}");
        let said = text(&told);
        assert!("This was going to be a long answer".starts_with(&said), "{said}");
        assert!(!said.is_empty());
        let path = format!("/api/sessions/{}", told[0]["sessionId"].as_str().unwrap());
        assert_eq!(server.get(&path)["messages"][1]["content"], said);
        let run = server.world.run(&["run", "cut the line"]);
        run.assert_status(1);
        assert_eq!(run.stdout.trim_end(), said.trim_end(), "{run:?}");
    }
}
