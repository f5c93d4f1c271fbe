//! Typed fields of a JSON body, each failure naming the field and what it should be.

use serde_json::{Map, Value};

use crate::error::{Code, Problem};
use crate::event::EventId;
use crate::http::Request;

/// Numbers from here on are not exact in every JSON reader, and no event has one.
pub(super) const FIRST_INEXACT: EventId = 1 << 53;
/// A client's own name for its request is at most this long.
const LABEL_BYTES: usize = 256;

/// The members of a body.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads and parses a body; an empty one has no members.
    pub(super) fn read(request: &mut Request<'_>) -> Result<Self, Problem> {
        let bytes = request.body()?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Map::new()));
        }
        Self::parse(&bytes, "the body")
    }

    /// Parses what is named so.
    pub(super) fn parse(json: &[u8], name: &str) -> Result<Self, Problem> {
        match serde_json::from_slice(json) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Problem::new(Code::BadField, format!("{name} must be a JSON object"))),
            Err(error) => Err(Problem::new(Code::BadJson, format!("{name} is not JSON: {error}"))),
        }
    }

    /// An event's id, as a number; null and absent are alike.
    pub(super) fn event_id(&self, name: &str) -> Result<Option<EventId>, Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().filter(|id| *id < FIRST_INEXACT) {
                Some(id) => Ok(Some(id)),
                None => Err(wrong(name, "the `eventId` of an event, or 0", value)),
            },
        }
    }

    /// A short string or a number that its sender knows something by.
    pub(super) fn label(&self, name: &str) -> Result<Option<Value>, Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value @ Value::Number(_)) => Ok(Some(value.clone())),
            Some(Value::String(text)) if text.len() <= LABEL_BYTES => Ok(Some(text.clone().into())),
            Some(other) => {
                let expected = format!("a number, or a string of at most {LABEL_BYTES} bytes");
                Err(wrong(name, &expected, other))
            }
        }
    }

    /// A string; null and absent are alike.
    pub(super) fn string(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(wrong(name, "a string", other)),
        }
    }

    /// A string that must be there.
    pub(super) fn required(&self, name: &str) -> Result<String, Problem> {
        self.string(name)?.ok_or_else(|| {
            Problem::new(Code::BadField, format!("`{name}` is missing, and must be a string"))
        })
    }

    /// True or false; null and absent are false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(wrong(name, "true or false", other)),
        }
    }

    /// One of a few words; null and absent are alike.
    pub(super) fn word(&self, name: &str, words: &[&str]) -> Result<Option<String>, Problem> {
        match self.string(name)? {
            Some(word) if !words.contains(&word.as_str()) => {
                let expected = format!("one of {}", words.join(", "));
                Err(wrong(name, &expected, &Value::String(word)))
            }
            word => Ok(word),
        }
    }
}

fn wrong(name: &str, expected: &str, found: &Value) -> Problem {
    let found = crate::text::keep_both_ends(&found.to_string(), 80);
    Problem::new(Code::BadField, format!("`{name}` must be {expected}, and is {found}"))
}
