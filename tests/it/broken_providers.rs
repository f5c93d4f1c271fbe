//! Providers that break in the middle of an answer: the turn ends with `error` and `done`, what
//! was said is kept, and the session goes on.

use serde_json::{Value, json};

use crate::program::{Serving, World, text, types};
use crate::scripted::{Act, Protocol, Scripted, answer, stream};
use crate::wire::Client;

const HALF: &str = "half of what I";

/// A way to break after [`HALF`] has been said.
struct Break {
    name: &'static str,
    /// What comes after the text.
    rest: fn(Protocol) -> String,
    code: &'static str,
    status: u16,
    /// A word that tells the person what happened.
    word: &'static str,
}

const BREAKS: [Break; 5] = [
    Break {
        name: "nonsense",
        rest: |_| "data: {\"choices\": so to speak}\n\n".into(),
        code: "provider-failed",
        status: 502,
        word: "not JSON",
    },
    Break {
        name: "an end without the protocol's own",
        rest: |_| String::new(),
        code: "provider-unreachable",
        status: 502,
        word: "cut the stream",
    },
    Break {
        name: "half an event",
        rest: |_| "data: {\"choi".into(),
        code: "provider-unreachable",
        status: 502,
        word: "cut the stream",
    },
    Break {
        name: "half a call",
        rest: |protocol| protocol.call("{\"path\": \"no"),
        code: "provider-unreachable",
        status: 502,
        word: "cut the stream",
    },
    Break {
        name: "an error",
        rest: |protocol| protocol.error("the moon is in the way"),
        code: "provider-failed",
        status: 502,
        word: "the moon is in the way",
    },
];

fn broken(how: &Break, protocol: Protocol) -> Act {
    Act::Say(stream(&(protocol.text(HALF) + &(how.rest)(protocol))))
}

fn fine(protocol: Protocol) -> Act {
    Act::Say(stream(&(protocol.text("all is well") + &protocol.end(false))))
}

fn session(server: &Serving, of: &Value) -> Value {
    server.get(&format!("/api/sessions/{}", of["sessionId"].as_str().unwrap()))
}

#[test]
fn a_broken_stream_ends_with_error_and_done_and_keeps_what_was_said() {
    for protocol in Protocol::BOTH {
        for how in &BREAKS {
            let provider = Scripted::play([broken(how, protocol), fine(protocol)]);
            let server = provider.world(protocol, &json!({})).serve();
            let told = server.stream(&json!({ "message": "hello" }));
            let context = format!("{protocol:?}, {}: {told:?}", how.name);
            assert_eq!(types(&told), ["session", "text", "error", "done"], "{context}");
            let [.., error, done] = &told[..] else { panic!("{context}") };
            assert_eq!(error["code"], how.code, "{context}");
            assert!(error["message"].as_str().unwrap().contains(how.word), "{context}");
            assert_eq!(done["finishReason"], "error", "{context}");
            assert_eq!(text(&told), HALF, "{context}");

            let kept = session(&server, &told[0]);
            assert_eq!((&kept["status"], &kept["messageCount"]), (&json!("idle"), &json!(2)));
            assert_eq!(kept["messages"][1]["content"], HALF, "{context}");
            assert_eq!(kept["messages"][1]["finishReason"], "error", "{context}");
            assert_eq!(kept["messages"][1]["error"], error["message"], "{context}");

            let more = json!({ "message": "go on", "sessionId": told[0]["sessionId"] });
            assert_eq!(server.post("/api/chat", &more).json()["content"], "all is well");
            let asked = provider.asked();
            let said = asked[1]["messages"].to_string();
            for part in ["hello", HALF, "go on"] {
                assert!(said.contains(part), "{context}: the model is told of it: {said}");
            }
            assert!(!said.contains("read_file"), "{context}: a call that never ran: {said}");
        }
    }
}

#[test]
fn a_chat_that_fails_is_a_problem_with_what_was_said() {
    for protocol in Protocol::BOTH {
        for how in &BREAKS {
            let provider = Scripted::play([broken(how, protocol)]);
            let server = provider.world(protocol, &json!({})).serve();
            let reply = server.post("/api/chat", &json!({ "message": "hello" }));
            let context = format!("{protocol:?}, {}: {reply:?}", how.name);
            assert_eq!((reply.status, &*reply.code()), (how.status, how.code), "{context}");
            let problem = reply.json();
            assert_eq!(problem["content"], HALF, "{context}");
            assert!(problem["detail"].as_str().unwrap().contains(how.word), "{context}");
            let kept = session(&server, &problem);
            assert_eq!(kept["messages"][1]["id"], problem["messageId"], "{context}");
        }
    }
}

#[test]
fn a_run_that_fails_is_status_1_with_the_text_on_stdout() {
    for protocol in Protocol::BOTH {
        for how in &BREAKS {
            let provider = Scripted::play([broken(how, protocol), broken(how, protocol)]);
            let server = provider.world(protocol, &json!({})).serve();
            let attached = server.world.run(&["run", "--attach", &server.url(), "hello"]);
            let local = server.world.run(&["run", "hello"]);
            for run in [&attached, &local] {
                run.assert_status(1);
                assert_eq!(run.stdout, format!("{HALF}\n"), "{}: {run:?}", how.name);
                assert!(run.stderr.contains(how.word), "{}: {run:?}", how.name);
            }
        }
    }
}

#[test]
fn a_refusal_at_once_is_a_problem_and_status_1_with_an_empty_stdout() {
    for protocol in Protocol::BOTH {
        let refusal = || {
            let words = json!({ "error": { "message": "the model is on leave" } });
            Act::Say(answer(400, &words))
        };
        let provider = Scripted::play([refusal(), refusal(), refusal()]);
        let server = provider.world(protocol, &json!({})).serve();
        let told = server.stream(&json!({ "message": "hello" }));
        assert_eq!(types(&told), ["session", "error", "done"], "{told:?}");
        let reply = server.post("/api/chat", &json!({ "message": "hello" }));
        assert_eq!((reply.status, &*reply.code()), (502, "provider-failed"));
        assert_eq!(reply.json()["content"], "");
        let run = server.world.run(&["run", "hello"]);
        run.assert_status(1);
        assert_eq!(run.stdout, "");
        assert!(run.stderr.contains("the model is on leave"), "{run:?}");
    }
}

#[test]
fn the_wait_that_a_provider_asks_for_reaches_the_client() {
    let limited = || {
        let words = answer(429, &json!({ "error": { "message": "slow down" } }));
        Act::Say(words.replacen("Connection:", "Retry-After: 90\r\nConnection:", 1))
    };
    let provider = Scripted::play([limited(), limited()]);
    let server = provider.world(Protocol::OpenAi, &json!({})).serve();
    let reply = server.post("/api/chat", &json!({ "message": "hello" }));
    assert_eq!((reply.status, reply.field("retry-after")), (429, Some("90")), "{reply:?}");
    let told = server.stream(&json!({ "message": "hello" }));
    assert_eq!(told[1]["retryAfter"], 90, "{told:?}");
}

#[test]
fn a_refusal_to_go_on_is_told_as_such_and_not_tried_again() {
    let withheld = json!({ "choices": [{
        "index": 0, "delta": {}, "message": {}, "finish_reason": "content_filter",
    }] });
    let event = format!("data: {withheld}\n\n");
    // With the protocol's own end, without it, and from a server that does not stream.
    for bytes in
        [stream(&format!("{event}data: [DONE]\n\n")), stream(&event), answer(200, &withheld)]
    {
        let provider = Scripted::play([Act::Say(bytes), fine(Protocol::OpenAi)]);
        let server = provider.world(Protocol::OpenAi, &json!({})).serve();
        let told = server.stream(&json!({ "message": "hello" }));
        assert_eq!(types(&told), ["session", "error", "done"], "{told:?}");
        let words = told[1]["message"].as_str().unwrap();
        assert!(words.contains("content_filter"), "{words}");
    }
}

#[test]
fn a_provider_that_speaks_no_tls_is_told_as_such() {
    // Any server that answers what is no request, as real ones do.
    let plain = World::new().serve();
    let server = World::new()
        .config(&json!({
            "model": "mine/m",
            "provider": { "mine": {
                "npm": "@ai-sdk/openai-compatible",
                "options": { "baseURL": plain.url().replace("http:", "https:"), "apiKey": "k" },
                "models": { "m": {} },
            } },
        }))
        .serve();
    let reply = server.post("/api/chat", &json!({ "message": "hello" }));
    assert_eq!((reply.status, &*reply.code()), (502, "provider-unreachable"), "{reply:?}");
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with("is it http:// instead of https://?"), "{detail}");
}

#[test]
fn a_provider_that_falls_silent_is_a_time_out() {
    for protocol in Protocol::BOTH {
        let provider = Scripted::play([Act::Hold(stream(&protocol.text(HALF))), fine(protocol)]);
        let limits = json!({ "limits": { "providerSeconds": 0.3 } });
        let server = provider.world(protocol, &limits).serve();
        let reply = server.post("/api/chat", &json!({ "message": "hello" }));
        assert_eq!((reply.status, &*reply.code()), (504, "provider-timeout"), "{reply:?}");
        assert_eq!(reply.json()["content"], HALF);
        provider.await_departure();
        assert_eq!(server.post("/api/chat", &json!({ "message": "again" })).status, 200);
    }
}

#[test]
fn an_abandoned_stream_closes_the_providers_connection() {
    for protocol in Protocol::BOTH {
        for path in ["/api/chat", "/api/chat/stream"] {
            let provider = Scripted::play([Act::Hold(stream(&protocol.text(HALF)))]);
            let server = provider.world(protocol, &json!({})).serve();
            let mut client = Client::connect(server.address);
            let body = json!({ "message": "hello" });
            client.send(server.request("POST", path, &[], Some(&body)));
            crate::program::await_that("the provider is asked", || provider.asked().len() == 1);
            drop(client);
            provider.await_departure();
        }
    }
}

#[test]
fn an_answer_without_a_word_is_asked_for_again() {
    for protocol in Protocol::BOTH {
        let provider = Scripted::play([Act::Say(stream(&protocol.end(false))), fine(protocol)]);
        let server = provider.world(protocol, &json!({})).serve();
        let told = server.stream(&json!({ "message": "hello" }));
        assert_eq!(types(&told), ["session", "retry", "text", "done"], "{told:?}");
        assert!(told[1]["reason"].as_str().unwrap().contains("answered nothing"), "{told:?}");
    }
}

#[test]
fn a_turn_without_a_word_leaves_no_hole_in_the_history() {
    for protocol in Protocol::BOTH {
        let refusal = answer(400, &json!({ "error": { "message": "no" } }));
        let provider = Scripted::play([Act::Say(refusal), fine(protocol)]);
        let server = provider.world(protocol, &json!({})).serve();
        let empty = server.post("/api/chat", &json!({ "message": "hello" })).json();
        assert_eq!(empty["content"], "", "{empty}");
        let more = json!({ "message": "go on", "sessionId": empty["sessionId"] });
        assert_eq!(server.post("/api/chat", &more).json()["content"], "all is well");
        let asked = provider.asked();
        let messages = asked[1]["messages"].as_array().unwrap();
        let roles: Vec<_> = messages.iter().map(|message| &message["role"]).collect();
        assert!(!roles.contains(&&json!("assistant")), "{protocol:?}: {messages:?}");
        assert!(asked[1]["messages"].to_string().contains("hello"), "{messages:?}");
    }
}

#[test]
fn arguments_that_are_no_object_are_told_to_the_model_and_do_not_end_the_turn() {
    for protocol in Protocol::BOTH {
        for bad in ["{\"path\": \"notes.txt\"", "{broken", "[1]"] {
            let call = protocol.call(bad) + &protocol.end(true);
            let provider = Scripted::play([Act::Say(stream(&call)), fine(protocol)]);
            let server = provider.world(protocol, &json!({})).serve();
            let told = server.stream(&json!({ "message": "read the notes" }));
            let context = format!("{protocol:?}, {bad}: {told:?}");
            assert_eq!(
                types(&told),
                ["session", "tool_start", "tool_end", "text", "done"],
                "{context}"
            );
            assert_eq!((&told[1]["args"], &told[2]["isError"]), (&json!({}), &json!(true)));
            assert!(told[2]["result"].as_str().unwrap().contains("not"), "{context}");
            assert_eq!(told[4]["finishReason"], "stop", "{context}");
            let said = &provider.asked()[1]["messages"];
            let (answer, result) = (&said[said.as_array().unwrap().len() - 2], said.to_string());
            let given = match protocol {
                Protocol::OpenAi => &answer["tool_calls"][0]["function"]["arguments"],
                Protocol::Anthropic => &answer["content"][0]["input"],
            };
            assert!(*given == json!({}) || *given == json!("{}"), "{context}: {said}");
            assert!(result.contains("with one JSON object"), "{context}: {said}");
        }
    }
}

#[test]
fn a_call_cut_at_the_output_limit_is_told_to_the_model_once_and_then_ends_the_turn() {
    for protocol in Protocol::BOTH {
        let end = protocol.end(true).replace("\"tool_calls\"", "\"length\"");
        let end = end.replace("\"tool_use\"", "\"max_tokens\"");
        let half = || Act::Say(stream(&(protocol.call("{\"path\": \"no") + &end)));
        let provider = Scripted::play([half(), fine(protocol), half(), half(), fine(protocol)]);
        let server = provider.world(protocol, &json!({})).serve();
        let told = server.stream(&json!({ "message": "read the notes" }));
        assert_eq!(types(&told), ["session", "tool_start", "tool_end", "text", "done"], "{told:?}");
        let result = told[2]["result"].as_str().unwrap();
        assert!(result.contains("output limit") && result.contains("smaller pieces"), "{result}");

        let told = server.stream(&json!({ "message": "and these" }));
        assert_eq!(types(&told), ["session", "tool_start", "tool_end", "done"], "{told:?}");
        let done = &told[3];
        assert_eq!((&done["finishReason"], &done["limit"]), (&json!("length"), &json!("output")));
        assert_eq!(provider.asked().len(), 4);
    }
}

#[test]
fn a_failure_after_a_tool_keeps_the_tool_and_its_result() {
    for protocol in Protocol::BOTH {
        let call = protocol.text("I look. ")
            + &protocol.call("{\"path\": \"notes.txt\"}")
            + &protocol.end(true);
        let [nonsense, ..] = &BREAKS;
        let provider =
            Scripted::play([Act::Say(stream(&call)), broken(nonsense, protocol), fine(protocol)]);
        let world = provider.world(protocol, &json!({})).file("notes.txt", "oat milk\n");
        let server = world.serve();
        let told = server.stream(&json!({ "message": "read the notes" }));
        let expected = ["session", "text", "tool_start", "tool_end", "text", "error", "done"];
        assert_eq!(types(&told), expected, "{told:?}");
        let more = json!({ "message": "go on", "sessionId": told[0]["sessionId"] });
        assert_eq!(server.post("/api/chat", &more).json()["content"], "all is well");
        let said = provider.asked()[2]["messages"].to_string();
        assert!(said.contains("oat milk") && said.contains(HALF), "{said}");
    }
}
