//! Events as they are stored: runs of text and of reasoning in one entry, everything else for
//! itself. Every event keeps its id, so that a replay is exact.

use serde::{Deserialize, Serialize};

use crate::event::{Body, Event, EventId};

/// One or several events, in order, their ids dense.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The id of the first.
    id: EventId,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Text(Vec<String>),
    Reasoning(Vec<String>),
    Event(Body),
}

impl Entry {
    /// The id of its last event.
    pub(super) fn last_id(&self) -> EventId {
        match &self.what {
            What::Text(pieces) | What::Reasoning(pieces) => {
                self.id + (pieces.len() as u64).saturating_sub(1)
            }
            What::Event(_) => self.id,
        }
    }

    /// Its events after an id, in order.
    pub(super) fn events(self, after: EventId) -> impl Iterator<Item = Event> {
        let bodies: Vec<Body> = match self.what {
            What::Text(pieces) => {
                pieces.into_iter().map(|content| Body::Text { content }).collect()
            }
            What::Reasoning(pieces) => pieces
                .into_iter()
                .map(|content| Body::Reasoning { content, opaque: None })
                .collect(),
            What::Event(body) => vec![body],
        };
        let numbered = (self.id..).zip(bodies).filter(move |(id, _)| *id > after);
        numbered.map(|(id, body)| Event { id, keep: body.keep(), body })
    }
}

/// The entries of what is history among events.
pub(super) fn entries<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for event in events.filter(|event| event.body.is_history()) {
        if let Some(last) = entries.last_mut()
            && last.last_id() + 1 == event.id
            && last.what.grow(&event.body)
        {
            continue;
        }
        entries.push(Entry { id: event.id, what: What::of(&event.body) });
    }
    entries
}

impl What {
    fn of(body: &Body) -> Self {
        match body {
            Body::Text { content } => Self::Text(vec![content.clone()]),
            Body::Reasoning { content, opaque: None } => Self::Reasoning(vec![content.clone()]),
            other => Self::Event(other.clone()),
        }
    }

    /// Whether the body could be added.
    fn grow(&mut self, body: &Body) -> bool {
        match (self, body) {
            (Self::Text(pieces), Body::Text { content })
            | (Self::Reasoning(pieces), Body::Reasoning { content, opaque: None }) => {
                pieces.push(content.clone());
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_one_entry_and_come_back_as_they_were() {
        let text = |content: &str| Body::Text { content: content.into() };
        let thought = |content: &str, opaque| Body::Reasoning { content: content.into(), opaque };
        let output = Body::ToolOutput { id: "c".into(), content: "x".into() };
        let bodies = [
            thought("a", None),
            thought("b", None),
            thought("", Some(serde_json::json!({ "signature": "s" }))),
            text("c"),
            text("d"),
            output,
            text("e"),
            Body::Error { code: "x".into(), message: "y".into(), retry_after: None },
        ];
        let numbered = bodies.into_iter().enumerate();
        let events: Vec<_> = numbered
            .map(|(n, body)| Event { id: 10 + n as u64, keep: body.keep(), body })
            .collect();
        let entries = entries(events.iter());
        assert_eq!(entries.len(), 5, "{entries:?}");
        let json = serde_json::to_string(&entries).unwrap();
        let back: Vec<Entry> = serde_json::from_str(&json).unwrap();
        let again: Vec<_> = back.into_iter().flat_map(|entry| entry.events(10)).collect();
        let kept: Vec<_> =
            events.into_iter().filter(|e| e.id > 10 && e.body.is_history()).collect();
        assert_eq!(again, kept);
    }
}
