//! The tools an agent works with: one file a tool.
//!
//! A tool takes JSON arguments and gives a text for the model; a failure is such a text too and
//! never ends a turn. This room knows nothing of providers, sessions or permissions: whether a
//! tool may run is decided before it is called.

use std::path::Path;

use serde_json::Value;

use crate::cancel::Cancel;

/// A tool result longer than this many bytes is cut in the middle.
pub const RESULT_BYTES: usize = 64 * 1024;

/// What a tool may touch while it runs.
pub struct Context<'a> {
    /// The project directory, absolute and without symlinks. File tools never leave it.
    pub root: &'a Path,
    /// Ends the tool when the turn is stopped.
    pub cancel: &'a Cancel,
    /// Environment names that no child process may see, beside every `OPENCODE_*`.
    pub hidden_env: &'a [String],
    /// Called with what a running command prints, as it comes.
    pub output: &'a mut dyn FnMut(&str),
}

/// What a tool can do to the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Looks only.
    Reads,
    /// Changes files inside the project.
    Writes,
    /// Runs a command: anything.
    Executes,
}

/// One tool.
pub trait Tool: Send + Sync {
    /// The name the model calls it by.
    fn name(&self) -> &'static str;
    /// What the model is told about it.
    fn description(&self) -> &'static str;
    /// JSON Schema of its arguments.
    fn schema(&self) -> Value;
    /// What it can do.
    fn effect(&self) -> Effect;
    /// Runs it: `Ok` and `Err` are both texts for the model.
    ///
    /// # Errors
    /// A sentence that tells the model what went wrong and what to do.
    fn run(&self, args: &Value, context: &mut Context<'_>) -> Result<String, String>;
}
