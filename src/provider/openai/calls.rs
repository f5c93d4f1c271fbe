//! Tool calls put together from fragments.
//!
//! The protocol numbers calls by `index` and names each once. In the wild the index is missing or
//! always 0, ids are missing, empty or repeated, names come again with every fragment, and
//! arguments come whole, as text or as an object. This file knows which call a fragment is of.

use serde_json::{Value, json};

use crate::provider::Chunk;
use crate::provider::decode::{Args, Fault, Ids, MAX_CALLS};

/// A call under way.
#[derive(Default)]
struct Slot {
    index: Option<u64>,
    id: String,
    name: String,
    args: Args,
    extra: Option<Value>,
}

/// All calls of an answer.
#[derive(Default)]
pub(super) struct Calls {
    slots: Vec<Slot>,
    /// The call of the old `function_call` member, of no account beside others.
    legacy: Option<Slot>,
}

impl Calls {
    /// Whether there is any.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.legacy.is_none()
    }

    /// Takes an element of `tool_calls`.
    pub(super) fn fragment(&mut self, value: &Value) -> Result<(), Fault> {
        let function = &value["function"];
        let args = text_of(&function["arguments"]);
        let id = value["id"].as_str().unwrap_or_default();
        let name = function["name"].as_str().unwrap_or_default();
        let index = value["index"].as_u64();
        let at = match self.find(index, id, name, !args.is_empty()) {
            Some(at) => at,
            None if self.slots.len() == MAX_CALLS => return Err(Fault::TooManyCalls),
            None => {
                self.slots.push(Slot { index, ..Slot::default() });
                self.slots.len() - 1
            }
        };
        let slot = &mut self.slots[at];
        if slot.id.is_empty() {
            id.clone_into(&mut slot.id);
        }
        if slot.name.is_empty() {
            name.clone_into(&mut slot.name);
        }
        slot.args.push(&args);
        if let Some(extra) = value.get("extra_content").filter(|e| e.is_object()) {
            slot.extra = Some(extra.clone());
        }
        Ok(())
    }

    /// Takes the old `function_call` member.
    pub(super) fn legacy(&mut self, value: &Value) {
        let slot = self.legacy.get_or_insert_default();
        if slot.name.is_empty() {
            value["name"].as_str().unwrap_or_default().clone_into(&mut slot.name);
        }
        slot.args.push(&text_of(&value["arguments"]));
    }

    /// The call that a fragment belongs to, unless it begins one.
    fn find(&self, index: Option<u64>, id: &str, name: &str, has_args: bool) -> Option<usize> {
        // A named fragment with arguments does not go on with arguments that are whole.
        let goes_on = |slot: &Slot| name.is_empty() || !has_args || !slot.args.is_closed();
        let same_id = |slot: &Slot| slot.id == id;
        let last = |fits: &dyn Fn(&Slot) -> bool| self.slots.iter().rposition(fits);
        if index.is_some() {
            let at = last(&|slot| slot.index == index)?;
            let slot = &self.slots[at];
            if !id.is_empty() && !slot.id.is_empty() && !same_id(slot) {
                return last(&|slot| slot.index == index && same_id(slot));
            }
            return goes_on(slot).then_some(at);
        }
        if !id.is_empty() {
            return last(&same_id).filter(|&at| goes_on(&self.slots[at]));
        }
        let at = self.slots.len().checked_sub(1)?;
        let slot = &self.slots[at];
        let same_name = name.is_empty() || name == slot.name;
        (same_name && goes_on(slot)).then_some(at)
    }

    /// Hands the calls over, each with an id of its own.
    pub(super) fn finish(&mut self, ids: &mut Ids, out: &mut Vec<Chunk>) {
        let legacy = self.legacy.take().filter(|_| self.slots.is_empty());
        for slot in std::mem::take(&mut self.slots).into_iter().chain(legacy) {
            let call = ids.call(&slot.id, slot.name, slot.args);
            if let Some(extra) = slot.extra {
                let opaque = json!({"type": "call_extra", "id": call.id, "extra_content": extra});
                out.push(Chunk::ReasoningEnd(opaque));
            }
            out.push(Chunk::Call(call));
        }
    }
}

/// Arguments as text, whichever way they came.
fn text_of(arguments: &Value) -> String {
    match arguments {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Call;

    fn calls(fragments: &[Value]) -> Vec<(String, String, Value)> {
        let (mut calls, mut out) = (Calls::default(), Vec::new());
        for fragment in fragments {
            calls.fragment(fragment).unwrap();
        }
        calls.finish(&mut Ids::default(), &mut out);
        out.into_iter()
            .filter_map(|chunk| match chunk {
                Chunk::Call(Call { id, tool, args }) => Some((id, tool, args.unwrap())),
                _ => None,
            })
            .collect()
    }

    fn fragment(index: Option<u64>, id: Option<&str>, name: Option<&str>, args: &str) -> Value {
        json!({"index": index, "id": id, "function": {"name": name, "arguments": args}})
    }

    fn args_of(fragments: &[Value]) -> Vec<Value> {
        calls(fragments).into_iter().map(|(_, _, args)| args).collect()
    }

    #[test]
    fn fragments_of_several_calls_may_be_mixed() {
        let found = calls(&[
            fragment(Some(0), Some("a"), Some("x"), ""),
            fragment(Some(1), Some("b"), Some("y"), "{\"n\""),
            fragment(Some(0), None, None, "{\"m\":1}"),
            fragment(Some(1), None, None, ":2}"),
        ]);
        assert_eq!(
            found,
            [("a".into(), "x".into(), json!({"m": 1})), ("b".into(), "y".into(), json!({"n": 2})),]
        );
    }

    #[test]
    fn names_and_ids_may_come_with_every_fragment() {
        for (index, id) in
            [(Some(0), Some("a")), (Some(0), Some("")), (None, Some("a")), (None, None)]
        {
            let found = args_of(&[
                fragment(index, id, Some("x"), "{\"m\""),
                fragment(index, id, Some("x"), ":1"),
                fragment(index, id, Some("x"), "}"),
                fragment(index, id, Some("x"), ""),
            ]);
            assert_eq!(found, [json!({"m": 1})], "{index:?} {id:?}");
        }
    }

    #[test]
    fn whole_calls_are_told_apart_without_index_and_id() {
        for (index, id) in
            [(None, None), (Some(0), None), (Some(0), Some("")), (None, Some("same"))]
        {
            let found = calls(&[
                fragment(index, id, Some("x"), "{\"m\":1}"),
                fragment(index, id, Some("x"), "{\"m\":2}"),
            ]);
            assert_eq!(found.len(), 2, "{index:?} {id:?}");
            assert_ne!(found[0].0, found[1].0);
        }
    }

    #[test]
    fn different_ids_at_the_same_index_are_different_calls() {
        let found = args_of(&[
            fragment(Some(0), Some("a"), Some("x"), "{\"m\":1}"),
            fragment(Some(0), Some("b"), Some("x"), "{\"m\":"),
            fragment(Some(0), Some("b"), None, "2}"),
        ]);
        assert_eq!(found, [json!({"m": 1}), json!({"m": 2})]);
    }

    #[test]
    fn arguments_may_be_an_object() {
        let value = json!({"function": {"name": "x", "arguments": {"m": 1}}});
        assert_eq!(args_of(&[value]), [json!({"m": 1})]);
    }

    #[test]
    fn a_signature_comes_before_its_call() {
        let (mut calls, mut out) = (Calls::default(), Vec::new());
        calls
            .fragment(&json!({"function": {"name": "x"}, "extra_content": {"google": {"s": 1}}}))
            .unwrap();
        calls.finish(&mut Ids::default(), &mut out);
        let [Chunk::ReasoningEnd(opaque), Chunk::Call(call)] = &out[..] else { panic!("{out:?}") };
        assert_eq!(opaque["id"], call.id);
        assert_eq!(opaque["extra_content"]["google"]["s"], 1);
    }

    #[test]
    fn there_is_a_bound_on_calls() {
        let mut calls = Calls::default();
        let more = (0..).map(|n| fragment(Some(n), None, Some("x"), ""));
        assert_eq!(more.take_while(|f| calls.fragment(f).is_ok()).count(), MAX_CALLS);
    }
}
