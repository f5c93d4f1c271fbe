//! What the protocols' decoders share: their shape, tool arguments and call ids.
//!
//! A decoder is a state machine over events that pushes [`Chunk`]s. It does no I/O and knows no
//! address, so the same bytes give the same chunks however they were cut.

use std::collections::HashSet;

use serde_json::Value;

use super::{BadArgs, Call, Chunk};
use crate::message::{Message, Part};
use crate::sse::Event;

/// Bytes of one call's arguments. More than a tool is given, so that the model can be told of it.
pub(crate) const MAX_ARGS: usize = 2 * 1024 * 1024;
/// Calls in one answer.
pub(crate) const MAX_CALLS: usize = 128;

/// Why an event ends the answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// It is not JSON.
    Garbled(String),
    /// The provider reported an error; the status is what it would have been in a head.
    Reported {
        /// As HTTP would say it.
        status: u16,
        /// The error, in the provider's shape.
        error: Value,
    },
    /// The provider does not let the model answer, and why.
    Withheld(String),
    /// More calls than [`MAX_CALLS`].
    TooManyCalls,
}

/// A protocol's state machine.
pub(crate) trait Decode {
    /// Takes an event and pushes what it completes.
    fn event(&mut self, event: &Event, out: &mut Vec<Chunk>) -> Result<(), Fault>;

    /// Whether [`Chunk::End`] was pushed.
    fn done(&self) -> bool;

    /// The bytes have ended. Pushes the end, if the answer is whole without its last event.
    fn end(&mut self, out: &mut Vec<Chunk>) -> Result<(), Fault>;
}

/// Parses an event's data.
pub(crate) fn json(event: &Event) -> Result<Value, Fault> {
    serde_json::from_str(&event.data).map_err(|_| Fault::Garbled(event.data.clone()))
}

/// Arguments that come in fragments, with a running look at whether the object is closed.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the state of a scanner")]
pub(crate) struct Args {
    text: String,
    depth: u32,
    in_string: bool,
    escaped: bool,
    closed: bool,
    too_long: bool,
}

impl Args {
    /// Appends a fragment.
    pub(crate) fn push(&mut self, fragment: &str) {
        if self.text.len() + fragment.len() > MAX_ARGS {
            self.too_long = true;
            return;
        }
        self.text.push_str(fragment);
        for byte in fragment.bytes() {
            match byte {
                _ if std::mem::take(&mut self.escaped) => {}
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.depth += 1,
                b'}' | b']' if !self.in_string => {
                    self.depth = self.depth.saturating_sub(1);
                    self.closed |= self.depth == 0;
                }
                _ => {}
            }
        }
    }

    /// Whether nothing has come.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether a whole object has come.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The object, or why it is none. No arguments at all are an empty object.
    pub(crate) fn finish(self) -> Result<Value, BadArgs> {
        if self.too_long {
            let why = format!("the arguments are over {} MiB", MAX_ARGS / 1024 / 1024);
            return Err(BadArgs { raw: self.text, why });
        }
        if self.text.trim().is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        let why = match serde_json::from_str(&self.text) {
            Ok(Value::Object(map)) => return Ok(Value::Object(map)),
            // Some servers encode the object twice.
            Ok(Value::String(inner)) => match serde_json::from_str(&inner) {
                Ok(Value::Object(map)) => return Ok(Value::Object(map)),
                _ => "the arguments are a string and not a JSON object".to_owned(),
            },
            Ok(Value::Null) => return Ok(Value::Object(serde_json::Map::new())),
            Ok(_) => "the arguments are not a JSON object".to_owned(),
            Err(error) => format!("the arguments are not JSON: {error}"),
        };
        Err(BadArgs { raw: self.text, why })
    }
}

/// Gives every call an id that no other call of the conversation has.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    taken: HashSet<String>,
    seed: u64,
}

impl Ids {
    /// The ids that the conversation has, and where new ones start.
    pub(crate) fn new(messages: &[Message], seed: u64) -> Self {
        let parts = messages.iter().flat_map(|message| &message.parts);
        let taken = parts.filter_map(|part| match part {
            Part::Tool { id, .. } => Some(id.clone()),
            Part::Text { .. } | Part::Reasoning { .. } => None,
        });
        Self { taken: taken.collect(), seed }
    }

    /// The wanted id, or a new one where it is empty or taken.
    pub(crate) fn take(&mut self, wanted: &str) -> String {
        let mut id = wanted.to_owned();
        while id.is_empty() || self.taken.contains(&id) {
            self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            id = format!("call_{:016x}", mixed(self.seed));
        }
        self.taken.insert(id.clone());
        id
    }

    /// A whole call.
    pub(crate) fn call(&mut self, wanted: &str, tool: String, args: Args) -> Call {
        Call { id: self.take(wanted), tool, args: args.finish() }
    }
}

/// Spreads a number over all bits (the finaliser of `splitmix64`).
fn mixed(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The status that an error reported in a stream would have had, from its code, status or type.
pub(crate) fn status_of(error: &Value) -> u16 {
    for key in ["code", "status", "type"] {
        let number = match error.get(key) {
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(word)) => word.parse().ok().or_else(|| status_word(word)),
            _ => None,
        };
        if let Some(status) = number.and_then(|n| u16::try_from(n).ok())
            && (400..600).contains(&status)
        {
            return status;
        }
    }
    500
}

fn status_word(word: &str) -> Option<u64> {
    let word = word.to_ascii_lowercase();
    let table = [
        ("overloaded", 529),
        ("rate_limit", 429),
        ("resource_exhausted", 429),
        ("quota", 402),
        ("billing", 402),
        ("authentication", 401),
        ("unauthorized", 401),
        ("permission", 403),
        ("not_found", 404),
        ("too_large", 413),
        ("timeout", 504),
        ("invalid", 400),
        ("exceed", 400),
        ("context_length", 400),
        ("badrequest", 400),
        ("tool_use_failed", 400),
    ];
    table.iter().find(|(part, _)| word.contains(part)).map(|(_, status)| *status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn finish(fragments: &[&str]) -> (bool, Result<Value, BadArgs>) {
        let mut args = Args::default();
        for fragment in fragments {
            args.push(fragment);
        }
        (args.is_closed(), args.finish())
    }

    #[test]
    fn arguments_are_an_object_or_say_why_not() {
        assert_eq!(finish(&["{\"a\":", "\"}\\\"\"", "}"]), (true, Ok(json!({"a": "}\""}))));
        assert_eq!(finish(&[]), (false, Ok(json!({}))));
        assert_eq!(finish(&["\"{\\\"a\\\":1}\""]).1, Ok(json!({"a": 1})));
        let (closed, bad) = finish(&["{\"a\": \"}"]);
        assert!(!closed);
        assert_eq!(bad.unwrap_err().raw, "{\"a\": \"}");
        assert!(finish(&["[1]"]).1.unwrap_err().why.contains("not a JSON object"));
        let long = "x".repeat(MAX_ARGS + 1);
        assert!(finish(&[&long]).1.unwrap_err().why.contains("2 MiB"));
    }

    /// A value built from the words that both protocols know, in any nonsensical nesting.
    fn nonsense() -> impl Strategy<Value = Value> {
        let words = "(text|thinking|tool_use|content_block_(start|delta|stop)|message_(start|delta|stop)|error|(text|input_json|signature)_delta|reasoning.text|)";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            (0..2).prop_map(Value::from),
            words.prop_map(Value::from),
        ];
        let keys = "(type|index|choices|delta|message|content|content_block|usage|tool_calls|function|function_call|name|arguments|id|error|finish_reason|reasoning_details|thinking|text|input|partial_json|stop_reason)";
        leaf.prop_recursive(5, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map(keys, inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_event_is_too_odd(events in prop::collection::vec(nonsense(), 0..8)) {
            let decoders: [Box<dyn Decode>; 2] = [
                Box::new(crate::provider::anthropic::Decoder::new(Ids::default())),
                Box::new(crate::provider::openai::Decoder::new(Ids::default(), true)),
            ];
            for mut decoder in decoders {
                let mut out = Vec::new();
                for event in &events {
                    let event = Event { name: String::new(), data: event.to_string() };
                    let _ = decoder.event(&event, &mut out);
                }
                let _ = decoder.end(&mut out);
            }
        }
    }

    #[test]
    fn ids_are_never_given_twice() {
        let mut ids = Ids::new(&[], 1);
        assert_eq!(ids.take("a"), "a");
        let made = [ids.take("a"), ids.take(""), ids.take("")];
        assert!(made.iter().all(|id| id.starts_with("call_") && id.len() == 21));
        assert_eq!(HashSet::from(made).len(), 3);
    }

    #[test]
    fn a_reported_error_has_the_status_it_deserves() {
        for (error, status) in [
            (json!({"type": "overloaded_error"}), 529),
            (json!({"type": "invalid_request_error", "code": null}), 400),
            (json!({"code": 400, "message": "Token limit reached"}), 400),
            (json!({"code": "rate_limit_exceeded"}), 429),
            (json!({"code": "429"}), 429),
            (json!({"message": "?"}), 500),
        ] {
            assert_eq!(status_of(&error), status, "{error}");
        }
    }
}
