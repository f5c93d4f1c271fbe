//! The stream of Chat Completions, chunk by chunk.

use serde_json::{Value, json};

use super::calls::Calls;
use crate::message::Usage;
use crate::provider::decode::{Decode, Fault, Ids, json as parse, status_of};
use crate::provider::{Chunk, Stop};
use crate::sse::Event;

/// The state of one answer.
pub(crate) struct Decoder {
    ids: Ids,
    calls: Calls,
    usage: Option<Usage>,
    /// The last `finish_reason`.
    reason: Option<String>,
    /// `reasoning_details`, where they are kept.
    details: Option<Vec<Value>>,
    done: bool,
}

impl Decoder {
    /// Before the first chunk.
    pub(crate) fn new(ids: Ids, keeps_details: bool) -> Self {
        let details = keeps_details.then(Vec::new);
        Self { ids, calls: Calls::default(), usage: None, reason: None, details, done: false }
    }

    fn choice(&mut self, choice: &Value, out: &mut Vec<Chunk>) -> Result<(), Fault> {
        // A server that does not stream says `message` where others say `delta`.
        let delta = choice.get("delta").or_else(|| choice.get("message")).unwrap_or(&Value::Null);
        let thought = ["reasoning_content", "reasoning"]
            .iter()
            .find_map(|key| delta[key].as_str().filter(|text| !text.is_empty()));
        if let Some(text) = thought {
            out.push(Chunk::Reasoning(text.to_owned()));
        }
        if let (Some(kept), Some(new)) = (&mut self.details, delta["reasoning_details"].as_array())
        {
            for detail in new {
                keep(kept, detail);
            }
        }
        content(&delta["content"], out);
        content(&delta["refusal"], out);
        for fragment in delta["tool_calls"].as_array().into_iter().flatten() {
            self.calls.fragment(fragment)?;
        }
        if delta["function_call"].is_object() {
            self.calls.legacy(&delta["function_call"]);
        }
        if let Some(reason) = choice["finish_reason"].as_str().filter(|r| !r.is_empty()) {
            self.reason = Some(reason.to_owned());
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Chunk>) -> Result<(), Fault> {
        let reason = self.reason.as_deref().unwrap_or_default();
        if matches!(reason, "content_filter" | "error") {
            return Err(Fault::Withheld(reason.to_owned()));
        }
        let stop = match reason {
            "length" | "max_tokens" | "model_length" => Stop::Length,
            _ if self.calls.is_empty() => Stop::Finished,
            _ => Stop::Calls,
        };
        if let Some(details) = self.details.take().filter(|details| !details.is_empty()) {
            out.push(Chunk::ReasoningEnd(json!({"type": "reasoning_details", "details": details})));
        }
        self.calls.finish(&mut self.ids, out);
        out.extend(self.usage.take().map(Chunk::Usage));
        out.push(Chunk::End(stop));
        self.done = true;
        Ok(())
    }
}

impl Decode for Decoder {
    fn event(&mut self, event: &Event, out: &mut Vec<Chunk>) -> Result<(), Fault> {
        if event.data.trim() == "[DONE]" {
            return self.finish(out);
        }
        if event.data.trim().is_empty() {
            return Ok(());
        }
        let value = parse(event)?;
        if let Some(error) = error_of(&value, &event.name) {
            return Err(Fault::Reported { status: status_of(error), error: error.clone() });
        }
        for usage in [&value["usage"], &value["x_groq"]["usage"]] {
            if let Some(usage) = usage_of(usage) {
                self.usage = Some(usage);
            }
        }
        let choices = value["choices"].as_array().into_iter().flatten();
        // Only the first of several answers is ours: we ask for one.
        for choice in choices.filter(|choice| choice["index"].as_u64().unwrap_or_default() == 0) {
            self.choice(choice, out)?;
        }
        Ok(())
    }

    fn done(&self) -> bool {
        self.done
    }

    fn end(&mut self, out: &mut Vec<Chunk>) -> Result<(), Fault> {
        // Some servers leave `[DONE]` out; with a reason the answer is whole all the same.
        if self.reason.is_some() && !self.done { self.finish(out) } else { Ok(()) }
    }
}

/// An error in the place of a chunk, in a chunk or in a choice.
fn error_of<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let is_error = |error: &&Value| !error.is_null() && **error != json!(false);
    let inside = value.get("error").or_else(|| value.pointer("/choices/0/error"));
    let whole = value["object"] == "error" || (name == "error" && value["choices"].is_null());
    inside.filter(is_error).or_else(|| whole.then_some(value))
}

/// Text, or a list of parts as Mistral sends it.
fn content(value: &Value, out: &mut Vec<Chunk>) {
    match value {
        Value::String(text) if !text.is_empty() => out.push(Chunk::Text(text.clone())),
        Value::Array(parts) => {
            for part in parts {
                let thinking = part["type"] == "thinking";
                let inner = &part[if thinking { "thinking" } else { "text" }];
                let chunk = if thinking { Chunk::Reasoning } else { Chunk::Text };
                let texts = match inner {
                    Value::Array(texts) => {
                        texts.iter().filter_map(|t| t["text"].as_str()).collect()
                    }
                    other => other.as_str().unwrap_or_default().to_owned(),
                };
                if !texts.is_empty() {
                    out.push(chunk(texts));
                }
            }
        }
        _ => {}
    }
}

fn usage_of(value: &Value) -> Option<Usage> {
    let prompt = value["prompt_tokens"].as_u64()?;
    let details = &value["prompt_tokens_details"];
    let hit =
        details["cached_tokens"].as_u64().or_else(|| value["prompt_cache_hit_tokens"].as_u64());
    let (read, write) =
        (hit.unwrap_or_default(), details["cache_write_tokens"].as_u64().unwrap_or_default());
    Some(Usage {
        input_tokens: prompt.saturating_sub(read).saturating_sub(write),
        output_tokens: value["completion_tokens"].as_u64().unwrap_or_default(),
        cache_read_tokens: read,
        cache_write_tokens: write,
        cost: value["cost"].as_f64(),
    })
}

/// Adds a fragment of `reasoning_details` to the one it goes on with.
fn keep(kept: &mut Vec<Value>, detail: &Value) {
    let goes_on = |last: &&mut Value| {
        last.is_object()
            && last["type"] == detail["type"]
            && last["index"] == detail["index"]
            && (detail["id"].is_null() || last["id"] == detail["id"])
    };
    let Some(last) = kept.last_mut().filter(goes_on) else {
        kept.push(detail.clone());
        return;
    };
    for (key, value) in detail.as_object().into_iter().flatten() {
        match (last.get_mut(key), value) {
            (Some(Value::String(text)), Value::String(more))
                if matches!(key.as_str(), "text" | "summary" | "data") =>
            {
                text.push_str(more);
            }
            (_, Value::Null) => {}
            _ => last[key] = value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Call;

    fn run(events: &[&str]) -> (Vec<Chunk>, Option<Fault>, bool) {
        let (mut decoder, mut out) = (Decoder::new(Ids::default(), true), Vec::new());
        for data in events {
            let event = Event { name: String::new(), data: (*data).to_owned() };
            if let Err(fault) = decoder.event(&event, &mut out) {
                return (out, Some(fault), decoder.done());
            }
        }
        decoder.end(&mut out).unwrap();
        let done = decoder.done();
        (out, None, done)
    }

    fn text(out: &[Chunk]) -> String {
        out.iter()
            .filter_map(|c| if let Chunk::Text(t) = c { Some(t.as_str()) } else { None })
            .collect()
    }

    #[test]
    fn an_answer_needs_a_reason_or_the_end() {
        let hello = r#"{"choices":[{"index":0,"delta":{"content":"hello"}}]}"#;
        let reason = r#"{"choices":[{"index":0,"delta":{"content":null},"finish_reason":"stop"}]}"#;
        for (events, whole) in [
            (&[hello][..], false),
            (&[hello, "[DONE]"], true),
            (&[hello, reason], true),
            (&[hello, reason, "[DONE]"], true),
        ] {
            let (out, fault, done) = run(events);
            assert_eq!((text(&out).as_str(), fault, done), ("hello", None, whole));
            let ends = out.iter().filter(|c| matches!(c, Chunk::End(Stop::Finished))).count();
            assert_eq!(ends, usize::from(whole));
        }
    }

    #[test]
    fn text_and_thoughts_come_in_every_shape() {
        let (out, _, _) = run(&[
            r#"{"choices":[{"delta":{"reasoning_content":"a","content":null}}]}"#,
            r#"{"choices":[{"delta":{"reasoning":"b","reasoning_content":""}}]}"#,
            r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"c"}]},{"type":"text","text":"d"}]}}]}"#,
            r#"{"choices":[{"index":1,"delta":{"content":"not ours"}}]}"#,
            r#"{"choices":[{"delta":{"refusal":"e"}}]}"#,
        ]);
        let thought = |t: &str| Chunk::Reasoning(t.into());
        let text = |t: &str| Chunk::Text(t.into());
        assert_eq!(out, [thought("a"), thought("b"), thought("c"), text("d"), text("e")]);
    }

    #[test]
    fn usage_comes_once_and_last() {
        let (out, _, _) = run(&[
            r#"{"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":5,"completion_tokens":1}}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2,"cost":0.5,"prompt_tokens_details":{"cached_tokens":4}}}"#,
            "[DONE]",
        ]);
        let usage = Usage {
            input_tokens: 6,
            output_tokens: 2,
            cache_read_tokens: 4,
            cost: Some(0.5),
            ..Usage::default()
        };
        assert_eq!(out[1..], [Chunk::Usage(usage), Chunk::End(Stop::Finished)]);
    }

    #[test]
    fn errors_are_found_wherever_they_hide() {
        for (data, status) in [
            (
                r#"{"error":{"code":400,"message":"Token limit reached"},"choices":[{"delta":{}}]}"#,
                400,
            ),
            (r#"{"error":"out of memory"}"#, 500),
            (r#"{"object":"error","message":"too long","code":400}"#, 400),
            (r#"{"choices":[{"error":{"code":502,"message":"x"},"delta":{}}]}"#, 502),
        ] {
            let (_, fault, _) = run(&[data]);
            assert!(
                matches!(&fault, Some(Fault::Reported { status: s, .. }) if *s == status),
                "{data}: {fault:?}"
            );
        }
        assert!(matches!(run(&["{\"cho"]).1, Some(Fault::Garbled(_))));
        let filtered = r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#;
        assert!(matches!(run(&[filtered, "[DONE]"]).1, Some(Fault::Withheld(_))));
    }

    #[test]
    fn a_whole_answer_and_an_old_function_call_are_understood() {
        let (out, _, done) = run(&[
            r#"{"choices":[{"message":{"content":"hi","function_call":{"name":"f","arguments":"{}"}},"finish_reason":"function_call"}]}"#,
        ]);
        assert!(done);
        assert!(matches!(
            &out[..],
            [Chunk::Text(_), Chunk::Call(Call { .. }), Chunk::End(Stop::Calls)]
        ));
    }

    #[test]
    fn details_of_reasoning_that_are_no_objects_are_kept_apart() {
        let odd = r#"{"choices":[{"delta":{"reasoning_details":["a",{"text":"b"}]}}]}"#;
        let (out, fault, done) = run(&[odd, "[DONE]"]);
        assert_eq!((fault, done), (None, true));
        let details = json!(["a", {"text": "b"}]);
        let whole = json!({"type": "reasoning_details", "details": details});
        assert_eq!(out[0], Chunk::ReasoningEnd(whole));
    }

    #[test]
    fn details_of_reasoning_are_put_together() {
        let (out, _, _) = run(&[
            r#"{"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.text","index":0,"text":"a"}]}}]}"#,
            r#"{"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.text","index":0,"text":"b","signature":"s"}]}}]}"#,
            "[DONE]",
        ]);
        let whole = json!([{"type": "reasoning.text", "index": 0, "text": "ab", "signature": "s"}]);
        assert_eq!(
            out[0],
            Chunk::ReasoningEnd(json!({"type": "reasoning_details", "details": whole}))
        );
    }
}
