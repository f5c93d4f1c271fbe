//! Anthropic's stream, event by event.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::message::Usage;
use crate::provider::decode::{Args, Decode, Fault, Ids, MAX_CALLS, json as parse, status_of};
use crate::provider::{Chunk, Stop};
use crate::sse::Event;

/// A content block under way.
enum Block {
    Text,
    Thinking {
        signature: String,
    },
    Call {
        id: String,
        tool: String,
        args: Args,
        whole: Option<Value>,
    },
    /// Of the provider's own tools, or of a kind that came later: nothing to do with us.
    Other,
}

/// The state of one answer.
pub(crate) struct Decoder {
    ids: Ids,
    blocks: BTreeMap<u64, Block>,
    usage: Usage,
    reason: String,
    calls: usize,
    done: bool,
}

impl Decoder {
    /// Before the first event.
    pub(crate) fn new(ids: Ids) -> Self {
        let (blocks, usage, reason) = (BTreeMap::new(), Usage::default(), String::new());
        Self { ids, blocks, usage, reason, calls: 0, done: false }
    }

    fn start(&mut self, value: &Value, out: &mut Vec<Chunk>) -> Result<(), Fault> {
        let block = &value["content_block"];
        let said = |key: &str| block[key].as_str().unwrap_or_default().to_owned();
        let state = match block["type"].as_str().unwrap_or_default() {
            "text" => {
                push_text(&said("text"), out, Chunk::Text);
                Block::Text
            }
            "thinking" => {
                push_text(&said("thinking"), out, Chunk::Reasoning);
                Block::Thinking { signature: said("signature") }
            }
            "redacted_thinking" => {
                out.push(Chunk::ReasoningEnd(
                    json!({"type": "redacted_thinking", "data": block["data"]}),
                ));
                Block::Other
            }
            "tool_use" => {
                self.calls += 1;
                if self.calls > MAX_CALLS {
                    return Err(Fault::TooManyCalls);
                }
                let whole =
                    block.get("input").filter(|i| i.as_object().is_some_and(|m| !m.is_empty()));
                let (id, tool, whole) = (said("id"), said("name"), whole.cloned());
                Block::Call { id, tool, args: Args::default(), whole }
            }
            _ => Block::Other,
        };
        if let Some(before) = self.blocks.insert(index(value), state) {
            self.stop(before, out);
        }
        Ok(())
    }

    fn delta(&mut self, value: &Value, out: &mut Vec<Chunk>) {
        let delta = &value["delta"];
        let said = |key: &str| delta[key].as_str().unwrap_or_default();
        match (delta["type"].as_str().unwrap_or_default(), self.blocks.get_mut(&index(value))) {
            ("text_delta", Some(Block::Text) | None) => push_text(said("text"), out, Chunk::Text),
            ("thinking_delta", Some(Block::Thinking { .. }) | None) => {
                push_text(said("thinking"), out, Chunk::Reasoning);
            }
            ("signature_delta", Some(Block::Thinking { signature })) => {
                signature.push_str(said("signature"));
            }
            ("input_json_delta", Some(Block::Call { args, .. })) => args.push(said("partial_json")),
            _ => {}
        }
    }

    fn stop(&mut self, block: Block, out: &mut Vec<Chunk>) {
        match block {
            Block::Thinking { signature } if !signature.is_empty() => {
                out.push(Chunk::ReasoningEnd(json!({"type": "thinking", "signature": signature})));
            }
            Block::Call { id, tool, mut args, whole } => {
                if let Some(whole) = whole.filter(|_| args.is_empty()) {
                    args.push(&whole.to_string());
                }
                out.push(Chunk::Call(self.ids.call(&id, tool, args)));
            }
            Block::Text | Block::Thinking { .. } | Block::Other => {}
        }
    }

    fn count(&mut self, usage: &Value, out: &mut Vec<Chunk>) {
        // Figures are cumulative; one that is absent has not changed.
        let mut set = |key: &str, to: fn(&mut Usage) -> &mut u64| {
            if let Some(count) = usage[key].as_u64() {
                *to(&mut self.usage) = count;
            }
        };
        set("input_tokens", |u| &mut u.input_tokens);
        set("output_tokens", |u| &mut u.output_tokens);
        set("cache_read_input_tokens", |u| &mut u.cache_read_tokens);
        set("cache_creation_input_tokens", |u| &mut u.cache_write_tokens);
        if usage.is_object() {
            out.push(Chunk::Usage(self.usage));
        }
    }
}

impl Decode for Decoder {
    fn event(&mut self, event: &Event, out: &mut Vec<Chunk>) -> Result<(), Fault> {
        let value = parse(event)?;
        match value["type"].as_str().unwrap_or(&event.name) {
            "message_start" => self.count(&value["message"]["usage"], out),
            "content_block_start" => self.start(&value, out)?,
            "content_block_delta" => self.delta(&value, out),
            "content_block_stop" => {
                if let Some(block) = self.blocks.remove(&index(&value)) {
                    self.stop(block, out);
                }
            }
            "message_delta" => {
                if let Some(reason) = value["delta"]["stop_reason"].as_str() {
                    reason.clone_into(&mut self.reason);
                }
                self.count(&value["usage"], out);
            }
            "message_stop" => {
                for (_, block) in std::mem::take(&mut self.blocks) {
                    self.stop(block, out);
                }
                let stop = match self.reason.as_str() {
                    "refusal" => return Err(Fault::Withheld("refusal".into())),
                    "max_tokens" | "model_context_window_exceeded" => Stop::Length,
                    _ if self.calls > 0 => Stop::Calls,
                    _ => Stop::Finished,
                };
                out.push(Chunk::End(stop));
                self.done = true;
            }
            "error" => {
                let error = value.get("error").unwrap_or(&value).clone();
                return Err(Fault::Reported { status: status_of(&error), error });
            }
            // `ping`, and events that came later.
            _ => {}
        }
        Ok(())
    }

    fn done(&self) -> bool {
        self.done
    }

    fn end(&mut self, _: &mut Vec<Chunk>) -> Result<(), Fault> {
        // Only `message_stop` ends an answer.
        Ok(())
    }
}

fn index(value: &Value) -> u64 {
    value["index"].as_u64().unwrap_or_default()
}

fn push_text(text: &str, out: &mut Vec<Chunk>, chunk: fn(String) -> Chunk) {
    if !text.is_empty() {
        out.push(chunk(text.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Call;

    fn run(events: &[Value]) -> (Vec<Chunk>, Option<Fault>, bool) {
        let (mut decoder, mut out) = (Decoder::new(Ids::default()), Vec::new());
        for event in events {
            let event = Event { name: String::new(), data: event.to_string() };
            if let Err(fault) = decoder.event(&event, &mut out) {
                return (out, Some(fault), decoder.done());
            }
        }
        decoder.end(&mut out).unwrap();
        let done = decoder.done();
        (out, None, done)
    }

    fn start(index: u64, block: &Value) -> Value {
        json!({"type": "content_block_start", "index": index, "content_block": block})
    }

    fn delta(index: u64, delta: &Value) -> Value {
        json!({"type": "content_block_delta", "index": index, "delta": delta})
    }

    fn stop(index: u64) -> Value {
        json!({"type": "content_block_stop", "index": index})
    }

    #[test]
    fn thinking_text_and_calls_come_in_order() {
        let (out, fault, done) = run(&[
            json!({"type": "message_start", "message": {"usage": {"input_tokens": 9, "cache_read_input_tokens": 2}}}),
            start(0, &json!({"type": "thinking", "thinking": ""})),
            delta(0, &json!({"type": "thinking_delta", "thinking": "hm"})),
            delta(0, &json!({"type": "signature_delta", "signature": "si"})),
            delta(0, &json!({"type": "signature_delta", "signature": "g"})),
            stop(0),
            start(1, &json!({"type": "redacted_thinking", "data": "x"})),
            stop(1),
            start(2, &json!({"type": "server_tool_use", "id": "s", "name": "web_search"})),
            delta(2, &json!({"type": "input_json_delta", "partial_json": "{"})),
            stop(2),
            start(3, &json!({"type": "tool_use", "id": "t", "name": "bash", "input": {}})),
            delta(3, &json!({"type": "input_json_delta", "partial_json": "{\"command\":"})),
            delta(3, &json!({"type": "input_json_delta", "partial_json": "\"ls\"}"})),
            stop(3),
            json!({"type": "later", "x": 1}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}}),
            json!({"type": "message_stop"}),
        ]);
        let usage = Usage { input_tokens: 9, cache_read_tokens: 2, ..Usage::default() };
        let args = Ok(json!({"command": "ls"}));
        assert_eq!((fault, done), (None, true));
        assert_eq!(
            out,
            [
                Chunk::Usage(usage),
                Chunk::Reasoning("hm".into()),
                Chunk::ReasoningEnd(json!({"type": "thinking", "signature": "sig"})),
                Chunk::ReasoningEnd(json!({"type": "redacted_thinking", "data": "x"})),
                Chunk::Call(Call { id: "t".into(), tool: "bash".into(), args }),
                Chunk::Usage(Usage { output_tokens: 5, ..usage }),
                Chunk::End(Stop::Calls),
            ]
        );
    }

    #[test]
    fn half_a_call_is_no_call() {
        let (out, _, done) = run(&[
            start(0, &json!({"type": "tool_use", "id": "t", "name": "bash", "input": {}})),
            delta(0, &json!({"type": "input_json_delta", "partial_json": "{\"comm"})),
        ]);
        assert_eq!((out, done), (vec![], false));
    }

    #[test]
    fn errors_and_refusals_end_the_answer() {
        let error = json!({"type": "overloaded_error", "message": "Overloaded"});
        let (_, fault, _) = run(&[json!({"type": "error", "error": error})]);
        assert_eq!(fault, Some(Fault::Reported { status: 529, error }));
        let (_, fault, _) = run(&[
            json!({"type": "message_delta", "delta": {"stop_reason": "refusal"}}),
            json!({"type": "message_stop"}),
        ]);
        assert_eq!(fault, Some(Fault::Withheld("refusal".into())));
    }
}
