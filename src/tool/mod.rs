//! The tools an agent works with: one file a tool.
//!
//! A tool takes JSON arguments and gives a text for the model; a failure is such a text too and
//! never ends a turn. This room knows nothing of providers, sessions or permissions: whether a
//! tool may run is decided before it is called.

mod bash;
mod difference;
mod edit_file;
mod field;
mod file;
pub mod find;
mod glob;
mod grep;
mod lines;
mod list_dir;
pub mod named;
mod output;
pub mod place;
pub mod process;
#[cfg(test)]
mod project;
mod reap;
mod read_file;
pub mod root;
mod shell;
pub mod stray;
mod utf16;
mod walk;
mod write_file;

use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use bash::Bash;
pub use edit_file::EditFile;
pub use field::Field;
pub use glob::Glob;
pub use grep::Grep;
pub use list_dir::ListDir;
pub use named::led_to;
pub use read_file::ReadFile;
pub use reap::{Turn, adopt_orphans, kill_adopted, reap_adopted};
pub use shell::{hide_secrets, protect_environment};
pub use stray::{end_turn, kill_orphans};
pub use write_file::WriteFile;

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
    /// Whether `read_file` could show the file that the call names.
    pub may_read: bool,
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
    /// What it takes.
    fn fields(&self) -> Vec<Field>;
    /// What it can do.
    fn effect(&self) -> Effect;
    /// Runs it: `Ok` and `Err` are both texts for the model.
    ///
    /// # Errors
    /// A sentence that tells the model what went wrong and what to do.
    fn run(&self, args: &Value, context: &mut Context<'_>) -> Result<String, String>;
}

/// Every tool, in the order a model is told of them. A command that names no time of its own is
/// stopped after `default_command_time`.
#[must_use]
pub fn all(default_command_time: Duration) -> Vec<Box<dyn Tool>> {
    vec![
        Box::new(ReadFile),
        Box::new(ListDir),
        Box::new(Glob),
        Box::new(Grep),
        Box::new(EditFile),
        Box::new(WriteFile),
        Box::new(Bash { default_time: default_command_time }),
    ]
}

/// The JSON Schema of a tool's arguments.
#[must_use]
pub fn schema(tool: &dyn Tool) -> Value {
    field::schema(&tool.fields())
}

/// Reads a tool's arguments; the error names the field that is wrong.
fn arguments<T: DeserializeOwned>(tool: &dyn Tool, args: &Value) -> Result<T, String> {
    // Some models send null where there is nothing to say.
    let none = Value::Object(serde_json::Map::new());
    let args = if args.is_null() { &none } else { args };
    T::deserialize(args).map_err(|error| {
        field::wrong_field(&tool.fields(), args)
            .unwrap_or_else(|| format!("wrong arguments for {}: {error}", tool.name()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_tells_a_model_what_it_takes() {
        let names: Vec<_> = all(Duration::from_secs(1)).iter().map(|tool| tool.name()).collect();
        let expected = ["read_file", "list_dir", "glob", "grep", "edit_file", "write_file", "bash"];
        assert_eq!(names, expected);
        for tool in all(Duration::from_secs(1)) {
            let schema = schema(&*tool);
            assert_eq!(schema["type"], "object");
            assert_eq!(schema["additionalProperties"], false, "{}", tool.name());
            for name in schema["required"].as_array().unwrap() {
                assert!(schema["properties"].get(name.as_str().unwrap()).is_some());
            }
            assert!((40..700).contains(&tool.description().len()), "{}", tool.name());
        }
    }
}
