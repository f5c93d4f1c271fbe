//! Sessions as clients see them: in a list, whole, and by the page.

use serde::Serialize;

use crate::error::Problem;
use crate::event::EventId;
use crate::id;
use crate::message::{Message, Usage};
use crate::session::store::Head;
use crate::session::{Sessions, problem};
use crate::transcript::Transcript;

/// A session as clients see it in a list.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// Sorts by creation.
    pub id: String,
    /// The first line of its first message, until somebody names it.
    pub title: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub updated_at: String,
    /// The agent that answers next.
    pub agent: String,
    /// The model that answers next.
    pub model: String,
    /// `idle` or `running`.
    pub status: &'static str,
    /// Whether a tool waits for a person.
    pub waiting: bool,
    /// Messages of both sides.
    pub message_count: u64,
    /// All its turns together.
    pub usage: Usage,
}

/// Some messages of a session.
pub struct Page {
    /// In order, the newest last.
    pub messages: Vec<Message>,
    /// Whether there are messages before these.
    pub has_older: bool,
    /// The id of the last event that the session's messages tell of.
    pub last: EventId,
}

impl Sessions {
    /// Sessions, the newest first.
    pub fn list(&self, before: Option<&str>, limit: usize) -> Result<Vec<SessionView>, Problem> {
        let heads = self.store.list(before, limit).map_err(|e| problem(e, ""))?;
        Ok(heads.into_iter().map(|(head, running)| self.view(head, running)).collect())
    }

    /// One session with all its messages.
    pub fn get(&self, session: &str) -> Result<(SessionView, Page), Problem> {
        let missing = |e| problem(e, session);
        let (head, running) = self.store.head(session).map_err(missing)?;
        let mut transcript = Transcript::default();
        let mut last = 0;
        for event in self.store.read(session, 0).map_err(missing)? {
            let event = event.map_err(missing)?;
            transcript.apply(&event.body);
            last = event.id;
        }
        let page = Page { messages: transcript.into_messages(), has_older: false, last };
        Ok((self.view(head, running), page))
    }

    /// The newest messages of a session, at most so many, or those before one of them; and whether
    /// there are older ones. What is older is not read.
    pub fn page(
        &self,
        session: &str,
        before: Option<&str>,
        limit: usize,
    ) -> Result<(SessionView, Page), Problem> {
        let missing = |e| problem(e, session);
        let (head, running) = self.store.head(session).map_err(missing)?;
        let mut last = before.map(|_| self.store.last_id(session));
        let mut turns = Vec::new();
        let mut count = 0;
        for turn in self.store.turns(session, before).map_err(missing)? {
            let turn = turn.map_err(missing)?;
            last = last.or(turn.last().map(|event| event.id));
            let mut messages = Transcript::of(&turn).into_messages();
            messages.retain(|message| before.is_none_or(|before| message.id.as_str() < before));
            count += messages.len();
            turns.push(messages);
            if count > limit {
                break;
            }
        }
        let mut messages: Vec<_> = turns.into_iter().rev().flatten().collect();
        let older = messages.len().saturating_sub(limit);
        messages.drain(..older);
        let page = Page { messages, has_older: older > 0, last: last.unwrap_or(0) };
        Ok((self.view(head, running), page))
    }

    pub(super) fn view(&self, head: Head, running: bool) -> SessionView {
        let engine = &self.setup().engine;
        let agent = head.agent.unwrap_or_else(|| engine.default_agent().to_owned());
        let model = head.model.unwrap_or_else(|| engine.default_model(Some(&agent)).into_owned());
        SessionView {
            created_at: id::rfc3339(id::time_ms(&head.id).unwrap_or_default()),
            updated_at: id::rfc3339(head.updated_ms),
            waiting: self.store.is_waiting(&head.id),
            id: head.id,
            title: head.title,
            agent,
            model,
            status: if running { "running" } else { "idle" },
            message_count: head.message_count,
            usage: head.usage,
        }
    }
}
