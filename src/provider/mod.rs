//! Model providers: one file a protocol, each turning a provider's stream into [`Chunk`]s.
//!
//! A provider is pulled: the turn asks for the next chunk and so keeps the control flow; a
//! scripted provider in a test is a vector. This room knows tools only as names and schemas.

mod anthropic;
mod buffers;
mod catalogue;
#[cfg(test)]
mod connection_tests;
mod decode;
mod dial;
mod endpoint;
mod exchange;
mod failure;
#[cfg(fuzzing)]
pub mod fuzz;
mod history;
mod idle;
mod meter;
mod offline;
mod openai;
mod proxy;
#[cfg(test)]
mod recordings;
mod remote;
#[cfg(test)]
mod remote_tests;
mod retry;
mod roots;
mod socket;
#[cfg(test)]
pub(crate) mod testing;
mod transport;

use std::sync::Arc;

use serde_json::Value;

use crate::error::{Code, Problem};
use crate::message::{Message, Usage};

pub use catalogue::{
    Catalogue, GUIDE, Model, ModelInfo, Price, ProviderInfo, Source, built_in, key_variables,
};
pub(crate) use failure::one_line;
pub use meter::Meter;

/// What a model is asked.
pub struct Request<'a> {
    /// Instructions that stand before the conversation.
    pub system: &'a str,
    /// The conversation, ending with the message (or the tool results) to be answered.
    pub messages: &'a [Message],
    /// What the model may call.
    pub tools: &'a [ToolSpec],
    /// Whether it may call anything now. The tools are told all the same: a conversation with
    /// calls in it is refused without them, and a provider's cache holds only with them.
    pub may_call: bool,
    /// The sampling temperature, where the person set one.
    pub temperature: Option<f64>,
    /// Said to the model at the very end, as if by the person.
    pub note: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A request with nothing special about it.
    #[must_use]
    pub fn new(system: &'a str, messages: &'a [Message], tools: &'a [ToolSpec]) -> Self {
        Self { system, messages, tools, may_call: true, temperature: None, note: None }
    }
}

/// A tool as a model is told of it. All turns share the text and the schema.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// The name to call it by.
    pub name: Arc<str>,
    /// What it does.
    pub description: Arc<str>,
    /// JSON Schema of its arguments.
    pub schema: Arc<Value>,
}

/// One step of a model's answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Chunk {
    /// Text, as it came.
    Text(String),
    /// Reasoning, as it came.
    Reasoning(String),
    /// A block of reasoning ended; the value goes back to the provider with the history.
    ReasoningEnd(Value),
    /// A complete call of a tool.
    Call(Call),
    /// Tokens used by this request; the last one counts.
    Usage(Usage),
    /// The provider asked to wait, and the wait begins with the next pull.
    Retry {
        /// Counts failed attempts, from 1.
        attempt: u32,
        /// Milliseconds.
        wait_ms: u64,
        /// The provider's words.
        reason: String,
        /// What failed.
        code: Code,
    },
    /// The answer is whole. Nothing follows.
    End(Stop),
}

/// A tool call that a model made.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Unique within the turn.
    pub id: String,
    /// The tool's name, as the model wrote it.
    pub tool: String,
    /// The arguments: an object, or the raw text and why it is none.
    pub args: Result<Value, BadArgs>,
}

/// Arguments that are not a JSON object.
#[derive(Debug, Clone, PartialEq)]
pub struct BadArgs {
    /// What the model wrote.
    pub raw: String,
    /// What is wrong with it.
    pub why: String,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It was done.
    Finished,
    /// It waits for tool results.
    Calls,
    /// Its output limit was reached.
    Length,
}

/// An answer under way. Ends with [`Chunk::End`] or the first error.
pub type Answer<'a> = Box<dyn Iterator<Item = Result<Chunk, Problem>> + 'a>;

/// A model, connected for one turn.
pub trait Provider: Send {
    /// Asks the model. Connecting, waiting and retrying happen while the answer is pulled.
    fn ask<'a>(&'a mut self, request: &'a Request<'a>) -> Answer<'a>;
}
