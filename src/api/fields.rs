//! Typed fields of a JSON body, each failure naming the field and what it should be.

use serde_json::{Map, Value};

use crate::error::{Code, Problem};
use crate::http::Request;

/// The members of a body.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads and parses a body; an empty one has no members.
    pub(super) fn read(request: &mut Request<'_>) -> Result<Self, Problem> {
        let bytes = request.body()?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Problem::new(Code::BadField, "the body must be a JSON object")),
            Err(error) => {
                Err(Problem::new(Code::BadJson, format!("the body is not JSON: {error}")))
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
