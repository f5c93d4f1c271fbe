//! Settings as a tree in which every value knows where it came from.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::origin::Origin;

/// A value and its origin.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Tree,
}

/// A JSON value of located values.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

/// A string.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// With everything substituted.
    pub(super) value: String,
    /// As it was written, where something was substituted: what may be shown.
    pub(super) written: Option<String>,
    /// Whether something of the environment is in it.
    pub(super) from_env: bool,
}

impl Text {
    /// A string that is what was written.
    pub(super) fn plain(value: impl Into<String>) -> Self {
        Self { value: value.into(), written: None, from_env: false }
    }
}

/// A member of an object; its origin is that of the key.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) node: Node,
}

impl Node {
    /// An object without members.
    pub(super) fn empty(origin: Origin) -> Self {
        Self { origin, value: Tree::Object(Vec::new()) }
    }

    /// The tree of a JSON value, all of one origin.
    pub(super) fn from_json(json: &Value, origin: &Origin) -> Self {
        let value = match json {
            Value::Null => Tree::Null,
            Value::Bool(value) => Tree::Bool(*value),
            Value::Number(number) => Tree::Number(number.clone()),
            Value::String(text) => Tree::Text(Text::plain(text)),
            Value::Array(items) => {
                Tree::List(items.iter().map(|item| Self::from_json(item, origin)).collect())
            }
            Value::Object(members) => {
                let entry = |(key, value)| Entry {
                    key: String::clone(key),
                    origin: origin.clone(),
                    node: Self::from_json(value, origin),
                };
                Tree::Object(members.iter().map(entry).collect())
            }
        };
        Self { origin: origin.clone(), value }
    }

    /// The value as the program uses it.
    pub(super) fn to_json(&self) -> Value {
        match &self.value {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(*value),
            Tree::Number(number) => Value::Number(number.clone()),
            Tree::Text(text) => Value::String(text.value.clone()),
            Tree::List(items) => items.iter().map(Self::to_json).collect(),
            Tree::Object(entries) => {
                let member = |entry: &Entry| (entry.key.clone(), entry.node.to_json());
                Value::Object(entries.iter().map(member).collect::<Map<_, _>>())
            }
        }
    }

    /// Lays another tree over this one: objects are merged, everything else is replaced.
    pub(super) fn merge(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Tree::Object(under), Tree::Object(over)) => merge_entries(under, over),
            (slot, value) => {
                *slot = value;
                self.origin = over.origin;
            }
        }
    }
}

/// An index, since a hostile file may have very many keys.
fn merge_entries(under: &mut Vec<Entry>, over: Vec<Entry>) {
    let mut places: HashMap<String, usize> =
        under.iter().enumerate().map(|(index, entry)| (entry.key.clone(), index)).collect();
    for entry in over {
        if let Some(&place) = places.get(&entry.key) {
            under[place].origin = entry.origin;
            under[place].node.merge(entry.node);
        } else {
            places.insert(entry.key.clone(), under.len());
            under.push(entry);
        }
    }
}
