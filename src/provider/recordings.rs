//! Streams of real providers, decoded however their bytes are cut.
//!
//! The recordings are not part of the project: the folder that `OPENCODE_RECORDINGS` names, or
//! `recordings` beside the project's `shared` folder, holds them when they are there.

use std::path::PathBuf;

use serde_json::Value;

use super::decode::{Decode, Fault, Ids};
use super::failure::message_of;
use super::{Chunk, Stop, anthropic, openai};
use crate::sse::Parser;

/// What an answer came to, pieces joined.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    text: String,
    reasoning: String,
    calls: Vec<(String, Value)>,
    stop: Option<Stop>,
    error: Option<String>,
    usage: (u64, u64),
    done: bool,
}

struct Listener {
    parser: Parser,
    decoder: Box<dyn Decode>,
    heard: Heard,
    events: Vec<crate::sse::Event>,
    chunks: Vec<Chunk>,
}

impl Listener {
    fn new(kind: &str) -> Self {
        let decoder: Box<dyn Decode> = match kind {
            "anthropic" => Box::new(anthropic::Decoder::new(Ids::default())),
            _ => Box::new(openai::Decoder::new(Ids::default(), true)),
        };
        let (parser, heard) = (Parser::default(), Heard::default());
        Self { parser, decoder, heard, events: Vec::new(), chunks: Vec::new() }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.parser.feed(bytes, &mut self.events).unwrap();
        self.take();
    }

    fn end(mut self) -> Heard {
        self.parser.finish(&mut self.events);
        self.take();
        self.decoder.end(&mut self.chunks).unwrap();
        self.take();
        self.heard.done = self.decoder.done();
        self.heard
    }

    fn take(&mut self) {
        for event in self.events.drain(..) {
            if self.decoder.done() || self.heard.error.is_some() {
                continue;
            }
            match self.decoder.event(&event, &mut self.chunks) {
                Ok(()) => {}
                Err(Fault::Reported { error, .. }) => self.heard.error = message_of(&error),
                Err(other) => panic!("{other:?}"),
            }
        }
        let heard = &mut self.heard;
        for chunk in self.chunks.drain(..) {
            match chunk {
                Chunk::Text(text) => heard.text += &text,
                Chunk::Reasoning(text) => heard.reasoning += &text,
                Chunk::Call(call) => heard.calls.push((call.tool, call.args.unwrap())),
                Chunk::Usage(usage) => {
                    heard.usage = (usage.input_tokens, usage.output_tokens);
                }
                Chunk::End(stop) => heard.stop = Some(stop),
                Chunk::ReasoningEnd(_) | Chunk::Retry { .. } => {}
            }
        }
    }
}

fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("OPENCODE_RECORDINGS").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/recordings");
    named.into_iter().chain([beside]).find(|folder| folder.join("index.json").is_file())
}

#[test]
fn real_streams_give_the_same_however_they_are_cut() {
    let Some(folder) = folder() else {
        println!("skipped: no recordings; OPENCODE_RECORDINGS names their folder");
        return;
    };
    let index = std::fs::read_to_string(folder.join("index.json")).unwrap();
    let index: Vec<Value> = serde_json::from_str(&index).unwrap();
    let mut seen = 0;
    for entry in &index {
        let kind = entry["kind"].as_str().unwrap();
        if !matches!(kind, "anthropic" | "openai-chat") {
            continue;
        }
        let file = entry["file"].as_str().unwrap();
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let mut listener = Listener::new(kind);
        listener.feed(&bytes);
        let whole = listener.end();
        check(file, &entry["expected"], &whole);

        let mut listener = Listener::new(kind);
        bytes.chunks(1).for_each(|byte| listener.feed(byte));
        assert_eq!(listener.end(), whole, "{file}, byte by byte");
        for at in splits(bytes.len()) {
            let mut listener = Listener::new(kind);
            listener.feed(&bytes[..at]);
            listener.feed(&bytes[at..]);
            assert_eq!(listener.end(), whole, "{file}, cut at {at}");
        }
        seen += 1;
    }
    assert!(seen > 20, "only {seen} recordings");
}

/// Every place to cut a short stream, and a spread of them for a long one: two million bytes a file.
fn splits(length: usize) -> impl Iterator<Item = usize> {
    let step = (length * length / 2_000_000).max(1);
    (0..length).step_by(step)
}

fn check(file: &str, expected: &Value, heard: &Heard) {
    assert_eq!(heard.text, expected["text"].as_str().unwrap(), "{file}");
    let calls = expected["toolCalls"].as_array().unwrap();
    let calls: Vec<_> = calls
        .iter()
        .map(|call| (call["tool"].as_str().unwrap().to_owned(), call["args"].clone()))
        .collect();
    assert_eq!(heard.calls, calls, "{file}");
    let error = message_of(&expected["error"]);
    assert_eq!(heard.error, error, "{file}");
    if error.is_some() {
        return;
    }
    assert!(heard.done, "{file}");
    let stop = match expected["finish"].as_str().unwrap() {
        "end_turn" | "stop" | "stop_sequence" => Stop::Finished,
        "tool_use" | "tool_calls" => Stop::Calls,
        "length" | "max_tokens" => Stop::Length,
        other => panic!("{file}: {other}"),
    };
    assert_eq!(heard.stop, Some(stop), "{file}");
    let usage = &expected["usage"];
    let number = |keys: [&str; 2]| keys.iter().find_map(|key| usage[*key].as_u64());
    if let Some(output) = number(["output_tokens", "completion_tokens"]) {
        assert_eq!(heard.usage.1, output, "{file}");
    }
    if let Some(input) = number(["input_tokens", "prompt_tokens"]) {
        assert!(heard.usage.0 <= input, "{file}");
    }
}
