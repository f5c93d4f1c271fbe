//! Typed fields of a JSON body, each failure naming the field and what it should be.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{Code, Problem};
use crate::event::EventId;
use crate::http::Request;

/// Numbers from here on are not exact in every JSON reader, and no event has one.
pub(super) const FIRST_INEXACT: EventId = 1 << 53;
/// A client's own name for its request is at most this long.
const LABEL_BYTES: usize = 256;
/// Members that are kept. No body has as many that mean something.
const MEMBERS: usize = 64;

/// The members of a body.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads and parses a body; an empty one has no members.
    pub(super) fn read(request: &mut Request<'_>) -> Result<Self, Problem> {
        let bytes = request.body()?;
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        Self::parse(&bytes, "the body")
    }

    /// Parses what is named so.
    pub(super) fn parse(json: &[u8], name: &str) -> Result<Self, Problem> {
        match serde_json::from_slice(json) {
            Ok(Top::Object(members)) => Ok(Self(members)),
            Ok(Top::Other) => {
                Err(Problem::new(Code::BadField, format!("{name} must be a JSON object")))
            }
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

/// What a body is at its top. No field is an array or an object, so what is in them is read past:
/// a tree of it takes seventy times the memory of its text, and strangers may send it.
enum Top {
    Object(Map<String, Value>),
    Other,
}

impl<'de> Deserialize<'de> for Top {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TopVisitor)
    }
}

struct TopVisitor;

impl<'de> Visitor<'de> for TopVisitor {
    type Value = Top;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let Scalar(value) = map.next_value()?;
            // The last of doubled members counts, as it commonly does.
            if members.len() < MEMBERS || members.contains_key(&name) {
                members.insert(name, value);
            }
        }
        Ok(Top::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Top, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Top::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Top, E> {
        Ok(Top::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Top, E> {
        Ok(Top::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Top, E> {
        Ok(Top::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Top, E> {
        Ok(Top::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Top, E> {
        Ok(Top::Other)
    }

    fn visit_unit<E>(self) -> Result<Top, E> {
        Ok(Top::Other)
    }
}

/// A member's value; an array or an object stands without what was in it.
struct Scalar(Value);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor).map(Self)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object(Map::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(Vec::new()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

fn wrong(name: &str, expected: &str, found: &Value) -> Problem {
    let found = crate::text::keep_both_ends(&found.to_string(), 80);
    Problem::new(Code::BadField, format!("`{name}` must be {expected}, and is {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_arrays_and_objects_is_read_past() {
        let json = br#"{"a": [{"b": 1}, [2]], "c": {"d": {}}, "e": "x", "e": null, "f": 1.5}"#;
        let Ok(Fields(members)) = Fields::parse(json, "it") else { panic!() };
        assert_eq!(
            Value::Object(members),
            serde_json::json!({"a": [], "c": {}, "e": null, "f": 1.5})
        );
        for (json, code) in [
            (&b"[1, {}]"[..], Code::BadField),
            (b"7", Code::BadField),
            (b"null", Code::BadField),
            (b"{\"a\": [1,}", Code::BadJson),
            (b"{\"a\": 1} x", Code::BadJson),
        ] {
            assert_eq!(Fields::parse(json, "it").err().unwrap().code, code);
        }
        let many: Vec<_> = (0..1000).map(|n| format!("\"m{n}\": 1,")).collect();
        let many = many.concat();
        let Ok(Fields(members)) = Fields::parse(format!("{{{many}\"z\": 1}}").as_bytes(), "it")
        else {
            panic!()
        };
        assert_eq!(members.len(), MEMBERS);
    }
}
