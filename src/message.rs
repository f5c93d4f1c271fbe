//! The conversation as it is kept and as clients read it.
//!
//! A [`Message`] is what the API shows and what a provider is told; tokens and costs are counted
//! in [`Usage`]. Nothing here does I/O.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One side's contribution: a user's message, or all that the model did in one turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Sorts by creation; holds its time.
    pub id: String,
    /// Who speaks.
    pub role: Role,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// All its text parts, joined.
    pub content: String,
    /// What happened, in order.
    pub parts: Vec<Part>,
    /// `provider/model` of an assistant's message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens that the turn used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// How long the turn took, once it ended and where that is known.
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub time: Option<Time>,
    /// Absent while the turn runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// The limit that it was cut at; where none is known, the model's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<Limit>,
    /// Why the turn failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One piece of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Part {
    /// Text for the reader.
    Text {
        /// As the model wrote it.
        text: String,
    },
    /// What the model thought before it spoke.
    Reasoning {
        /// As the model wrote it; may be empty when the provider hides it.
        text: String,
        /// What the provider wants back unchanged with the history, such as a signature.
        #[serde(skip_serializing_if = "Option::is_none")]
        opaque: Option<Value>,
    },
    /// A tool that the model called.
    Tool {
        /// The provider's id of the call, or ours where it gave none.
        id: String,
        /// The tool's name.
        tool: String,
        /// Its arguments, a JSON object.
        args: Value,
        /// Absent while it runs.
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<String>,
        /// Whether it failed.
        is_error: bool,
        /// Where it stands.
        status: ToolStatus,
        /// Milliseconds that it ran, without the time a person took to permit it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        duration_ms: Option<u64>,
        /// Counts the model's answers within the turn, from 0: calls of one answer share it.
        step: u32,
    },
}

/// Where a tool call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolStatus {
    /// Started, no result yet.
    Running,
    /// Ended well.
    Completed,
    /// Ended with a failure that the model was told.
    Error,
    /// Not permitted.
    Denied,
}

/// Whether a tool's result is the diff of the file that it changed.
#[must_use]
pub fn is_diff(tool: &str, result: &str) -> bool {
    matches!(tool, "edit_file" | "write_file") && result.starts_with("--- ")
}

/// The line of a tool's result that says why it failed: of a command it is the last, on how that
/// ended.
#[must_use]
pub fn why_failed<'a>(tool: &str, result: &'a str) -> &'a str {
    let mut lines = result.lines().filter(|line| !line.trim().is_empty());
    match tool {
        "bash" => lines.next_back().unwrap_or_default().trim_matches(['[', ']']),
        _ => lines.next().unwrap_or_default(),
    }
}

/// Why a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The model had said what it wanted to say.
    Stop,
    /// A limit cut the answer.
    Length,
    /// Somebody stopped it.
    Aborted,
    /// It failed; an `error` event says why.
    Error,
}

/// What cut an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", from = "String")]
pub enum Limit {
    /// What the model may write at once.
    Output,
    /// What one answer may have here.
    Answer,
    /// The answers that a turn may have, and the model wanted more.
    Steps,
}

/// A limit that another version told of is the one that is always there.
impl<T: AsRef<str>> From<T> for Limit {
    fn from(name: T) -> Self {
        match name.as_ref() {
            "answer" => Self::Answer,
            "steps" => Self::Steps,
            _ => Self::Output,
        }
    }
}

impl Limit {
    /// What became of the answer, in words that follow "was".
    #[must_use]
    pub fn words(limit: Option<Self>) -> &'static str {
        match limit {
            Some(Self::Output) | None => "cut at the model's output limit",
            Some(Self::Answer) => "cut at 4 MiB, the most that one may have",
            Some(Self::Steps) => {
                "cut after all steps of the turn: send another message to go on, or raise \
                 server.limits.steps"
            }
        }
    }
}

/// How long a turn took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Time {
    /// Milliseconds of work, without what it waited for a person.
    pub duration_ms: u64,
    /// Milliseconds that it waited for a person.
    pub waited_ms: u64,
}

/// A time as clients are told it.
#[must_use]
pub fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Tokens used, and their price where it is known.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Tokens read that no cache had.
    pub input_tokens: u64,
    /// Tokens written, reasoning included.
    pub output_tokens: u64,
    /// Tokens read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Tokens written into the provider's cache.
    pub cache_write_tokens: u64,
    /// US dollars, as the provider reported them; `null` where the price is unknown.
    pub cost: Option<f64>,
}

impl Usage {
    /// Adds another step's or turn's figures.
    pub fn add(&mut self, other: &Self) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cache_read_tokens += other.cache_read_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.cost = match (self.cost, other.cost) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0.0) + b.unwrap_or(0.0)),
        };
    }
}
