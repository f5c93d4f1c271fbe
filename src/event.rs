//! The one event schema that every client sees: SSE, WebSocket and `run --format json`.
//!
//! A turn produces each event once; nobody re-shapes it on the way. The durable ones are also
//! the history: [`crate::session`] folds them into messages.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message::{FinishReason, Limit, Time, Usage};

/// A number that orders a session's events and is never given twice.
///
/// The session's count of turns (its fence) is in the bits from 32 up, a dense counter in the
/// lower ones; so it stays below 2^53 and is exact in every JSON reader.
pub type EventId = u64;

/// Whether an event must be stored before anybody is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Stored first, told then.
    Durable,
    /// May be told first; text is stored about once a second, the rest never.
    Passing,
}

/// One event of one session.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place in the session.
    pub id: EventId,
    /// What was promised about it.
    pub keep: Keep,
    /// What it says.
    pub body: Body,
}

/// What an event says, as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Body {
    /// A turn begins.
    Session {
        /// The session it runs in.
        session_id: String,
        /// The session's title.
        title: String,
        /// The agent that answers.
        agent: String,
        /// `provider/model` that answers.
        model: String,
        /// The id of the answer.
        message_id: String,
        /// The id of the user's message.
        user_message_id: String,
        /// The user's text.
        message: String,
    },
    /// The model wrote.
    Text {
        /// What it wrote.
        content: String,
    },
    /// The model thought.
    Reasoning {
        /// What it thought.
        content: String,
        /// What the provider wants back unchanged; ends a block of reasoning.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        opaque: Option<Value>,
    },
    /// A tool is about to run.
    ToolStart {
        /// Names the call until its `tool_end`.
        id: String,
        /// The tool.
        tool: String,
        /// Its arguments.
        args: Value,
        /// Counts the model's answers within the turn, from 0.
        step: u32,
    },
    /// A running command printed.
    ToolOutput {
        /// The call.
        id: String,
        /// What it printed.
        content: String,
    },
    /// A tool waits for a person.
    Permission {
        /// Names the request; `POST /api/permissions/:id` answers it.
        id: String,
        /// The tool call that waits.
        call_id: String,
        /// The tool.
        tool: String,
        /// Its arguments.
        args: Value,
        /// Why it asks.
        reason: String,
        /// The patterns that `always` would allow.
        always: Vec<String>,
    },
    /// A person answered.
    PermissionReply {
        /// The request.
        id: String,
        /// `once`, `always` or `reject`; `timeout` or `aborted` where nobody answered.
        reply: String,
    },
    /// A tool ended.
    ToolEnd {
        /// The call.
        id: String,
        /// The tool.
        tool: String,
        /// What the model is told.
        result: String,
        /// Whether it failed.
        is_error: bool,
        /// Milliseconds that it ran, without the time a person took to permit it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        duration_ms: Option<u64>,
        /// Why it was not permitted, and so never ran.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        denied: Option<Denial>,
    },
    /// The provider asked to wait.
    Retry {
        /// Counts the attempts that failed, from 1.
        attempt: u32,
        /// Milliseconds until the next one.
        wait_ms: u64,
        /// The provider's words.
        reason: String,
    },
    /// Events are missing here that are no longer kept: fetch the session again.
    Gap,
    /// The turn failed.
    Error {
        /// The word of [`crate::error::Code`].
        code: String,
        /// What happened, and what to do.
        message: String,
        /// Seconds after which trying again makes sense.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        retry_after: Option<u64>,
    },
    /// The turn ended; always the last event of a turn.
    Done {
        /// The id of the answer.
        message_id: String,
        /// Why it ended.
        finish_reason: FinishReason,
        /// The limit that the answer was cut at.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        limit: Option<Limit>,
        /// What the turn used.
        usage: Usage,
        /// How long it took, where that is known.
        #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
        time: Option<Time>,
    },
    /// A session began or ended a turn, or has another title.
    SessionChanged {
        /// The session.
        session_id: String,
        /// `idle` or `running`.
        status: String,
        /// Its title now.
        title: String,
        /// Whether a tool waits for a person.
        waiting: bool,
    },
    /// A session is gone.
    SessionDeleted {
        /// The session.
        session_id: String,
    },
}

/// Why a tool call was not permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Denial {
    /// The agent may not use the tool.
    Agent,
    /// The configuration denies it.
    Configuration,
    /// It has to be asked for, and nobody can answer.
    Nobody,
    /// A person said no, or said nothing in time.
    Rejected,
}

impl Body {
    /// What is promised about an event of this kind.
    #[must_use]
    pub fn keep(&self) -> Keep {
        match self {
            Self::Session { .. }
            | Self::ToolStart { .. }
            | Self::ToolEnd { .. }
            | Self::Permission { .. }
            | Self::PermissionReply { .. }
            | Self::Error { .. }
            | Self::Done { .. } => Keep::Durable,
            Self::Text { .. }
            | Self::Reasoning { .. }
            | Self::ToolOutput { .. }
            | Self::Retry { .. }
            | Self::Gap
            | Self::SessionChanged { .. }
            | Self::SessionDeleted { .. } => Keep::Passing,
        }
    }

    /// Whether it is part of the history: told events that are not are never read again.
    #[must_use]
    pub fn is_history(&self) -> bool {
        match self {
            Self::Text { .. } | Self::Reasoning { .. } => true,
            _ => self.keep() == Keep::Durable,
        }
    }
}
