//! What is kept of a session beside its events: enough for a list of sessions.

use serde::{Deserialize, Serialize};

use crate::message::Usage;

/// What a list of sessions shows of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// Sorts by creation.
    pub id: String,
    /// The first line of its first message, until somebody names it.
    pub title: String,
    /// Milliseconds since 1970 of the last change.
    pub updated_ms: u64,
    /// The agent it was asked to use, if any.
    pub agent: Option<String>,
    /// The model it was asked to use, if any.
    pub model: Option<String>,
    /// Messages of both sides.
    pub message_count: u64,
    /// All its turns together.
    pub usage: Usage,
    /// What a person allowed for good in it, a tool and a pattern each; `None` where the log has
    /// to be asked.
    #[serde(default)]
    pub always: Option<Vec<(String, String)>>,
}

impl Head {
    /// The head of a session without messages.
    #[must_use]
    pub fn new(id: String, title: String) -> Self {
        let updated_ms = crate::id::time_ms(&id).unwrap_or_default();
        Self {
            id,
            title,
            updated_ms,
            agent: None,
            model: None,
            message_count: 0,
            usage: Usage::default(),
            always: Some(Vec::new()),
        }
    }

    /// The head with the name that a person gave it, and when.
    pub(super) fn named(mut self, name: Option<(String, u64)>) -> Self {
        if let Some((title, when)) = name {
            self.title = title;
            self.updated_ms = self.updated_ms.max(when);
        }
        self
    }
}
