//! The conversation as models are told it: users' words and single answers, in turn.
//!
//! One assistant [`Message`] holds a whole turn, which is several answers with tool results
//! between them. Here it is taken apart again; how an answer looks on the wire is the protocols'.

use serde_json::Value;

use crate::message::{Message, Part, Role};

/// What a call without a result is answered with: the model must not wait for it.
pub(crate) const INTERRUPTED: &str = "The tool was interrupted and gave no result.";

/// One side's words.
#[derive(Debug, PartialEq)]
pub(crate) enum Entry<'a> {
    /// The person's.
    User(&'a str),
    /// One answer of the model.
    Answer(Answer<'a>),
}

/// One answer of the model, with what its calls gave.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer<'a> {
    /// What it thought and wrote, in order.
    pub(crate) said: Vec<Said<'a>>,
    /// What it called, in order.
    pub(crate) calls: Vec<Called<'a>>,
    /// Which model wrote it, where that is known.
    pub(crate) model: Option<&'a str>,
}

/// A block of an answer that is no call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Said<'a> {
    /// Its text and its opaque part.
    Reasoning(&'a str, Option<&'a Value>),
    /// Text for the reader.
    Text(&'a str),
}

/// A call and its result.
#[derive(Debug, PartialEq)]
pub(crate) struct Called<'a> {
    /// The call's id.
    pub(crate) id: &'a str,
    /// The tool's name.
    pub(crate) tool: &'a str,
    /// The arguments.
    pub(crate) args: &'a Value,
    /// What it gave.
    pub(crate) result: &'a str,
    /// Whether it failed.
    pub(crate) is_error: bool,
}

impl<'a> Answer<'a> {
    /// What it wrote, piece by piece.
    pub(crate) fn text(&self) -> impl Iterator<Item = &'a str> {
        self.said.iter().filter_map(|said| match said {
            Said::Text(text) => Some(*text),
            Said::Reasoning(..) => None,
        })
    }

    /// Text and opaque part of each block of reasoning.
    pub(crate) fn reasoning(&self) -> impl Iterator<Item = (&'a str, Option<&'a Value>)> {
        self.said.iter().filter_map(|said| match said {
            Said::Reasoning(text, opaque) => Some((*text, *opaque)),
            Said::Text(_) => None,
        })
    }

    fn is_empty(&self) -> bool {
        // Reasoning alone is no answer: no provider takes a message of nothing else.
        self.text().next().is_none() && self.calls.is_empty()
    }
}

/// Takes the messages apart. Empty texts and empty answers are left out.
pub(crate) fn entries(messages: &[Message]) -> Vec<Entry<'_>> {
    let mut out = Vec::new();
    for message in messages {
        match message.role {
            Role::User => user(message, &mut out),
            Role::Assistant => answers(message, &mut out),
        }
    }
    out
}

fn user<'a>(message: &'a Message, out: &mut Vec<Entry<'a>>) {
    let before = out.len();
    for part in &message.parts {
        if let Part::Text { text } = part
            && !text.trim().is_empty()
        {
            out.push(Entry::User(text));
        }
    }
    if out.len() == before && !message.content.trim().is_empty() {
        out.push(Entry::User(&message.content));
    }
}

fn answers<'a>(message: &'a Message, out: &mut Vec<Entry<'a>>) {
    let model = message.model.as_deref();
    let fresh = || Answer { model, ..Answer::default() };
    let mut answer = fresh();
    let mut current: Option<u32> = None;
    for (at, part) in message.parts.iter().enumerate() {
        // The step a part belongs to is that of the next call, while one follows.
        let step = message.parts[at..].iter().find_map(|part| match part {
            Part::Tool { step, .. } => Some(*step),
            Part::Text { .. } | Part::Reasoning { .. } => None,
        });
        if current.is_some() && step != current {
            if !answer.is_empty() {
                out.push(Entry::Answer(std::mem::replace(&mut answer, fresh())));
            }
            current = None;
        }
        match part {
            Part::Text { text } if text.trim().is_empty() => {}
            Part::Text { text } => answer.said.push(Said::Text(text)),
            Part::Reasoning { text, opaque } => {
                answer.said.push(Said::Reasoning(text, opaque.as_ref()));
            }
            Part::Tool { id, tool, args, result, is_error, step, .. } => {
                current = Some(*step);
                answer.calls.push(Called {
                    id,
                    tool,
                    args,
                    result: result.as_deref().unwrap_or(INTERRUPTED),
                    is_error: *is_error || result.is_none(),
                });
            }
        }
    }
    if message.parts.is_empty() && !message.content.trim().is_empty() {
        answer.said.push(Said::Text(&message.content));
    }
    if !answer.is_empty() {
        out.push(Entry::Answer(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::testing::{message, reasoning, text, tool};

    #[test]
    fn a_turn_is_taken_apart_by_its_steps() {
        let messages = [
            message(Role::User, vec![text("hi")]),
            message(
                Role::Assistant,
                vec![
                    reasoning("hm", None),
                    text("look"),
                    tool("a", 0, Some("1")),
                    text(" and "),
                    tool("b", 0, None),
                    reasoning("then", None),
                    text("again"),
                    tool("c", 1, Some("3")),
                    text("done"),
                ],
            ),
        ];
        let entries = entries(&messages);
        let [Entry::User("hi"), Entry::Answer(one), Entry::Answer(two), Entry::Answer(three)] =
            &entries[..]
        else {
            panic!("{entries:?}")
        };
        let texts = |answer: &Answer<'_>| answer.text().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(texts(one), ["look", " and "]);
        assert_eq!(one.calls.iter().map(|c| c.id).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((one.calls[1].result, one.calls[1].is_error), (INTERRUPTED, true));
        assert_eq!(two.said, [Said::Reasoning("then", None), Said::Text("again")]);
        assert_eq!((texts(three), three.calls.len()), (vec!["done".to_owned()], 0));
    }

    #[test]
    fn what_is_empty_is_left_out() {
        let messages = [
            message(Role::User, vec![text("a"), text(" \n")]),
            message(Role::Assistant, vec![text(""), reasoning("cut", None)]),
            message(Role::User, vec![text("b")]),
        ];
        assert_eq!(entries(&messages), [Entry::User("a"), Entry::User("b")]);
    }
}
