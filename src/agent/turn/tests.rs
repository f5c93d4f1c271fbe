//! The turn against a scripted model and scripted tools.

// A script is made of results, most of which are fine.
#![allow(clippy::unnecessary_wraps)]

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::config::{self, Config, Env};
use crate::message::{Part, Role, ToolStatus};
use crate::provider::{Answer, BadArgs, Catalogue, ToolSpec, testing};

/// What a model was asked.
struct Asked {
    messages: Vec<Message>,
    tools: usize,
    may_call: bool,
    note: Option<String>,
}

/// Answers of a model, one a step; what it was asked is kept.
#[derive(Default)]
struct Script {
    steps: VecDeque<Vec<Result<Chunk, Problem>>>,
    asked: Vec<Asked>,
}

impl Provider for Script {
    fn ask<'a>(&'a mut self, request: &'a Request<'a>) -> Answer<'a> {
        assert_eq!(request.system, "system", "a provider's cache needs it unchanged");
        assert_eq!(request.temperature, Some(0.5));
        self.asked.push(Asked {
            messages: request.messages.to_vec(),
            tools: request.tools.len(),
            may_call: request.may_call,
            note: request.note.map(str::to_owned),
        });
        Box::new(self.steps.pop_front().unwrap_or_default().into_iter())
    }
}

/// Tools that answer with their arguments.
struct Echo;

impl Tools for Echo {
    fn specs(&self) -> Arc<[ToolSpec]> {
        let schema = json!({ "type": "object" }).into();
        [ToolSpec { name: "echo".into(), description: "Echoes".into(), schema }].into()
    }

    fn call(
        &mut self,
        id: &str,
        tool: &str,
        args: &Value,
        say: &mut dyn FnMut(Body),
    ) -> CallResult {
        say(Body::ToolOutput { id: id.to_owned(), content: "some output".to_owned() });
        CallResult {
            text: format!("{tool} {args}"),
            is_error: tool != "echo",
            denied: None,
            ran: None,
        }
    }
}

fn text(content: &str) -> Result<Chunk, Problem> {
    Ok(Chunk::Text(content.into()))
}

fn call(id: &str, tool: &str, args: Value) -> Result<Chunk, Problem> {
    Ok(Chunk::Call(Call { id: id.into(), tool: tool.into(), args: Ok(args) }))
}

fn end(stop: Stop) -> Result<Chunk, Problem> {
    Ok(Chunk::End(stop))
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        id: "m".into(),
        role,
        created_at: String::new(),
        content: String::new(),
        parts,
        model: None,
        usage: None,
        time: None,
        finish_reason: None,
        limit: None,
        error: None,
    }
}

struct Played {
    outcome: Outcome,
    events: Vec<Body>,
    script: Script,
}

fn play(steps: Vec<Vec<Result<Chunk, Problem>>>, bound: u32, cancel: &Cancel) -> Played {
    let mut script = Script { steps: steps.into(), ..Script::default() };
    let (outcome, events) = play_with(&mut script, bound, cancel);
    Played { outcome, events, script }
}

fn play_with(provider: &mut dyn Provider, bound: u32, cancel: &Cancel) -> (Outcome, Vec<Body>) {
    let question = vec![Part::Text { text: "please".into() }];
    let history = vec![message(Role::User, question), message(Role::Assistant, vec![])];
    let mut events = Vec::new();
    let mut emit = |body: Body| {
        if matches!(&body, Body::Text { content } if content == "stop me") {
            cancel.cancel();
        }
        events.push(body);
        Ok(())
    };
    let meter = Meter::default();
    let manner =
        Manner { steps: bound, temperature: Some(0.5), provider: "scripted", meter: &meter };
    let outcome = run(provider, "system", history, &mut Echo, manner, cancel, &mut emit);
    (outcome, events)
}

fn told(events: &[Body]) -> Vec<String> {
    let name =
        |body: &Body| serde_json::to_value(body).unwrap()["type"].as_str().unwrap().to_owned();
    events.iter().map(name).collect()
}

#[test]
fn results_of_all_calls_of_a_step_reach_the_next_one() {
    let steps = vec![
        vec![
            text("Look"),
            call("a", "echo", json!({ "x": 1 })),
            call("b", "nope", json!({})),
            Ok(Chunk::Usage(Usage { input_tokens: 5, ..Usage::default() })),
            end(Stop::Calls),
        ],
        vec![
            text("Done."),
            Ok(Chunk::Usage(Usage { input_tokens: 7, ..Usage::default() })),
            end(Stop::Finished),
        ],
    ];
    let played = play(steps, 10, &Cancel::new());
    assert_eq!(played.outcome.reason, FinishReason::Stop);
    assert_eq!(played.outcome.usage.input_tokens, 12);
    let call = ["tool_start", "tool_output", "tool_end"];
    let expected = [&["text"], &call[..], &call[..], &["text", "text"][..]].concat();
    assert_eq!(told(&played.events), expected);
    assert_eq!(
        played.script.asked[0].messages.len(),
        1,
        "an empty answer is not shown to the model"
    );
    let second = &played.script.asked[1].messages;
    let Part::Tool { result, status, step, .. } = &second[1].parts[1] else { panic!() };
    assert_eq!(
        (result.as_deref(), *status, *step),
        (Some("echo {\"x\":1}"), ToolStatus::Completed, 0)
    );
    let Part::Tool { status, .. } = &second[1].parts[2] else { panic!() };
    assert_eq!(*status, ToolStatus::Error, "a failing tool is a result, not the end");
    assert!(matches!(&played.events[7], Body::Text { content } if content == "\n\n"));
}

#[test]
fn arguments_that_are_no_object_are_told_to_the_model_which_calls_again() {
    let raw = "{\"path\": \n2026 error forged".to_owned();
    let args = Err(BadArgs { raw, why: "the arguments are not JSON: EOF".into() });
    let bad = Ok(Chunk::Call(Call { id: "a".into(), tool: "echo".into(), args }));
    let steps = vec![
        vec![text("I will"), bad, end(Stop::Calls)],
        vec![call("b", "echo", json!({ "x": 1 })), end(Stop::Calls)],
        vec![text("Done."), end(Stop::Finished)],
    ];
    let played = play(steps, 10, &Cancel::new());
    assert_eq!((played.outcome.reason, played.outcome.problem), (FinishReason::Stop, None));
    let Part::Tool { args, result, status, .. } = &played.script.asked[1].messages[1].parts[1]
    else {
        panic!()
    };
    assert_eq!((args, status), (&json!({}), &ToolStatus::Error), "no provider takes less");
    let expected = "the arguments are not JSON: EOF; call echo again, with one JSON object. They \
                    were: {\"path\": 2026 error forged";
    assert_eq!(result.as_deref(), Some(expected));
    let ran = played.events.iter().filter(|body| matches!(body, Body::ToolOutput { .. })).count();
    assert_eq!(ran, 1, "nothing runs with what is no object");
}

#[test]
fn an_answer_without_its_end_and_an_error_in_it_fail_the_turn() {
    let cut = play(vec![vec![text("half an ans")]], 10, &Cancel::new());
    assert_eq!(cut.outcome.problem.unwrap().code, Code::ProviderFailed);
    assert_eq!(told(&cut.events), ["text"]);
    let problem = Problem::new(Code::ProviderRateLimited, "slow down");
    let failed = play(vec![vec![text("x"), Err(problem.clone())]], 10, &Cancel::new());
    assert_eq!(failed.outcome.problem, Some(problem));
    assert_eq!(failed.outcome.reason, FinishReason::Error);
}

#[test]
fn in_the_last_step_no_tools_are_called_and_the_turn_was_cut() {
    let again = || vec![call("a", "echo", json!({})), end(Stop::Calls)];
    let played = play(vec![again(), again(), again(), again()], 3, &Cancel::new());
    let Outcome { reason, limit, .. } = played.outcome;
    assert_eq!((reason, limit), (FinishReason::Length, Some(Limit::Steps)));
    let asked = played.script.asked;
    assert_eq!(asked.iter().map(|asked| asked.may_call).collect::<Vec<_>>(), [true, true, false]);
    assert!(asked.iter().all(|asked| asked.tools == 1), "a history with calls needs them");
    assert_eq!(asked[2].note.as_deref(), Some(LAST_STEP));
    let tools_run = told(&played.events).iter().filter(|name| *name == "tool_start").count();
    assert_eq!(tools_run, 2);
    let said = played.events.iter().any(|body| matches!(body, Body::Text { .. }));
    assert!(!said, "nothing is put into the model's mouth");
}

#[test]
fn a_turn_of_one_step_is_an_answer_without_tools() {
    let steps = vec![vec![text("I know."), end(Stop::Finished)]];
    let played = play(steps, 1, &Cancel::new());
    assert_eq!(told(&played.events), ["text"]);
    let asked = &played.script.asked[0];
    assert_eq!((asked.may_call, asked.note.as_deref()), (false, Some(ONLY_STEP)));
}

#[test]
fn a_cancelled_turn_is_aborted_whatever_it_failed_with() {
    let broken = Problem::new(Code::ProviderUnreachable, "connection reset");
    let steps = vec![vec![text("stop me"), Err(broken)], vec![text("never"), end(Stop::Finished)]];
    let played = play(steps, 10, &Cancel::new());
    assert_eq!((played.outcome.reason, played.outcome.problem), (FinishReason::Aborted, None));
    assert_eq!(told(&played.events), ["text"]);
}

#[test]
fn an_answer_cut_at_its_length_says_so() {
    let played = play(vec![vec![text("long"), end(Stop::Length)]], 10, &Cancel::new());
    let Outcome { reason, limit, .. } = played.outcome;
    assert_eq!((reason, limit), (FinishReason::Length, Some(Limit::Output)));
}

#[test]
fn an_endless_answer_is_cut_and_the_turn_ends() {
    let piece = "é".repeat(ANSWER_BYTES / 8 + 3);
    let thought = Ok(Chunk::Reasoning(piece.clone()));
    let pieces = (0..20).map(|_| text(&piece));
    let answer = [thought, call("a", "echo", json!({}))].into_iter().chain(pieces).collect();
    let played = play(vec![answer], 10, &Cancel::new());
    assert_eq!((played.outcome.reason, played.outcome.problem), (FinishReason::Length, None));
    assert_eq!(played.outcome.limit, Some(Limit::Answer), "not the model's own");
    let bytes: usize = played
        .events
        .iter()
        .map(|body| match body {
            Body::Text { content } | Body::Reasoning { content, .. } => content.len(),
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(bytes, ANSWER_BYTES);
}

#[test]
fn oversized_arguments_are_refused_to_the_model_and_not_kept() {
    let big = json!({ "content": "x".repeat(ARGS_BYTES) });
    let steps =
        vec![vec![call("a", "echo", big), end(Stop::Calls)], vec![text("ok"), end(Stop::Finished)]];
    let played = play(steps, 10, &Cancel::new());
    let Body::ToolEnd { result, is_error: true, .. } = &played.events[1] else { panic!() };
    assert!(result.contains("smaller pieces"), "{result}");
    assert!(
        matches!(&played.events[0], Body::ToolStart { args, .. } if args.to_string().len() < 100)
    );
}

/// Plays against a provider over a socket, and returns what it was asked.
fn play_remote(answers: Vec<String>) -> (Outcome, Vec<Body>, Vec<String>) {
    let (base, server) = testing::server(answers.into_iter().map(testing::Act::Send).collect());
    let mine = config::Provider { base_url: Some(base), ..config::Provider::default() };
    let config = Config { providers: [("mine".to_owned(), mine)].into(), ..Config::default() };
    let catalogue = Catalogue::new(&config, &Env::default());
    let cancel = Cancel::new();
    let mut model = catalogue.resolve("mine/m").unwrap().connect(&cancel).unwrap();
    let (outcome, events) = play_with(model.as_mut(), 10, &cancel);
    (outcome, events, server.join().unwrap())
}

#[test]
fn a_provider_whose_call_is_oversized_goes_on_in_smaller_pieces() {
    let args = json!({ "content": "x".repeat(ARGS_BYTES) }).to_string();
    let half = args.len() / 2;
    let fragment = |args: &str, reason: Option<&str>| {
        let call =
            json!({ "index": 0, "id": "c", "function": { "name": "echo", "arguments": args } });
        json!({ "choices": [{ "delta": { "tool_calls": [call] }, "finish_reason": reason }] })
    };
    let first = [
        fragment(&args[..half], None).to_string(),
        fragment(&args[half..], Some("tool_calls")).to_string(),
    ];
    let done = json!({ "choices": [{ "delta": { "content": "ok" }, "finish_reason": "stop" }] });
    let (outcome, events, requests) = play_remote(vec![
        testing::stream(&[&first[0], &first[1], "[DONE]"]),
        testing::stream(&[&done.to_string(), "[DONE]"]),
    ]);
    assert_eq!((outcome.reason, outcome.problem), (FinishReason::Stop, None));
    assert_eq!(told(&events), ["tool_start", "tool_end", "text"]);
    let Body::ToolStart { args: shown, .. } = &events[0] else { panic!() };
    assert_eq!(*shown, json!({ "omittedBytes": args.len() }));
    assert!(requests[1].contains("smaller pieces") && requests[1].len() < ARGS_BYTES);
}
