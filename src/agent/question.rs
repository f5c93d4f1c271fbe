//! Asking a person to permit a tool call: what is asked, what may be answered, who can be asked.

use serde_json::Value;

use crate::event::Body;

/// A tool call that a person has to permit.
pub struct Question<'a> {
    /// The call.
    pub call_id: &'a str,
    /// The tool.
    pub tool: &'a str,
    /// Its arguments.
    pub args: &'a Value,
    /// Why it asks.
    pub reason: String,
    /// What `always` would allow.
    pub always: Vec<String>,
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Yes, this time.
    Once,
    /// Yes, and for the rest of the session.
    Always,
    /// No.
    Reject,
    /// Nobody answered in time.
    TimedOut,
    /// The turn was stopped.
    Cancelled,
}

impl Reply {
    /// The word of it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Always => "always",
            Self::Reject => "reject",
            Self::TimedOut => "timeout",
            Self::Cancelled => "aborted",
        }
    }

    /// The reply that a client may give by this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Once, Self::Always, Self::Reject].into_iter().find(|reply| reply.as_str() == word)
    }
}

/// Whoever can be asked to permit a tool call.
pub trait Permits {
    /// Whether anybody can answer.
    fn can_ask(&self) -> bool;
    /// Asks, and waits for the answer.
    fn ask(&mut self, question: Question<'_>, say: &mut dyn FnMut(Body)) -> Reply;
}
