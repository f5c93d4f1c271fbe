//! What a run shows: the answer on standard output, everything else on standard error.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::cli::exit::Exit;
use crate::cli::run::Stop;
use crate::cli::text::plain;
use crate::event::{Body, Denial};
use crate::message::FinishReason;
use crate::tool::keep_both_ends;

/// Text that waits for a reader who pauses; beyond it the stream is no longer read on.
const BUFFER_BYTES: usize = 16 * 1024 * 1024;
/// A line about a tool is cut to this many bytes.
const LINE_BYTES: usize = 160;

/// What standard output carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The assistant's text.
    Text,
    /// One event a line.
    Json,
}

/// Shows the events of a turn.
pub(super) struct Printer {
    format: Format,
    stdout: Writer,
    /// Takes out of text what must not reach this standard output.
    shown: fn(&str) -> Cow<'_, str>,
    dim: bool,
    /// Line ends that stand at the end only if more text follows.
    held: usize,
    said: bool,
    /// A tool was refused for want of anybody to permit it.
    refused: bool,
    done: Option<FinishReason>,
}

impl Printer {
    pub(super) fn new(format: Format, stop: &Stop) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            format,
            stdout: Writer::start(stop),
            shown: if io::stdout().is_terminal() { plain } else { as_it_is },
            dim: io::stderr().is_terminal() && !no_color,
            held: 0,
            said: false,
            refused: false,
            done: None,
        }
    }

    /// Takes the next event.
    pub(super) fn event(&mut self, body: &Body) {
        if self.format == Format::Json {
            match serde_json::to_string(body) {
                Ok(line) => self.stdout.push(&format!("{line}\n")),
                Err(error) => tell(&format!("an event cannot be written: {error}")),
            }
        }
        match body {
            Body::Text { content } if self.format == Format::Text => self.text(content),
            Body::ToolStart { tool, args, .. } => {
                let line = format!("{tool} {}", subject(args));
                self.aside(&keep_both_ends(&line.replace('\n', " "), LINE_BYTES));
            }
            Body::ToolEnd { tool, result, is_error: true, denied, .. } => {
                self.refused |= *denied == Some(Denial::Nobody);
                let line = result.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
                self.aside(&format!("{tool} failed: {}", keep_both_ends(line, LINE_BYTES)));
            }
            Body::Retry { attempt, wait_ms, reason } => {
                let wait = Duration::from_millis(*wait_ms);
                tell(&format!("attempt {attempt} failed, next in {wait:.1?}: {reason}"));
            }
            Body::Error { message, .. } => {
                tell(message);
            }
            Body::Done { finish_reason, .. } => {
                self.done = Some(*finish_reason);
                if *finish_reason == FinishReason::Length {
                    tell("the answer was cut at the model's output limit");
                }
            }
            _ => {}
        }
    }

    /// Whether the turn's last event has come.
    pub(super) fn is_done(&self) -> bool {
        self.done.is_some()
    }

    /// The status that the events tell.
    pub(super) fn exit(&self) -> Exit {
        match self.done {
            Some(FinishReason::Stop | FinishReason::Length) if self.refused => Exit::Refused,
            Some(FinishReason::Stop | FinishReason::Length) => Exit::Ok,
            Some(FinishReason::Aborted) => {
                tell("the turn was stopped on the server");
                Exit::Failed
            }
            Some(FinishReason::Error) | None => Exit::Failed,
        }
    }

    /// Ends the text with one line end, and waits until it is read if `wait`.
    pub(super) fn finish(&mut self, wait: bool) {
        if self.said && self.format == Format::Text {
            self.stdout.push("\n");
        }
        self.stdout.finish(wait);
    }

    fn text(&mut self, content: &str) {
        let content = (self.shown)(content);
        let trimmed = content.trim_end_matches('\n');
        if trimmed.is_empty() {
            self.held += content.len();
            return;
        }
        // Line ends before the first text are the model's habit, not its answer.
        let before = if self.said { "\n".repeat(self.held) } else { String::new() };
        let text = if self.said { trimmed } else { trimmed.trim_start_matches('\n') };
        self.stdout.push(&format!("{before}{text}"));
        self.said = true;
        self.held = content.len() - trimmed.len();
    }

    fn aside(&self, line: &str) {
        let line = plain(line);
        if self.dim {
            stderr(&format!("\x1b[2m· {line}\x1b[0m\n"));
        } else {
            stderr(&format!("· {line}\n"));
        }
    }
}

/// A script gets the model's text as it is.
fn as_it_is(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// A word to the person.
pub(super) fn tell(text: &str) {
    stderr(&format!("opencode: {}\n", plain(text)));
}

fn stderr(line: &str) {
    // Nobody reads what cannot be written.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// What a tool is about, in a few words.
fn subject(args: &Value) -> String {
    let named = ["command", "path", "pattern"].iter().find_map(|name| args[name].as_str());
    named.map_or_else(|| args.to_string(), str::to_owned)
}

/// Standard output on a thread of its own, so that a reader who pauses stops nothing.
struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Protects the text that is not written yet.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    text: Vec<u8>,
    /// No more will come.
    ended: bool,
    /// Nobody reads any more.
    closed: bool,
}

impl Writer {
    fn start(stop: &Stop) -> Self {
        let shared = Arc::new(Shared::default());
        let (writing, stop) = (Arc::clone(&shared), stop.clone());
        let write = move || {
            if writing.write_all().is_err() {
                writing.lock().closed = true;
                writing.changed.notify_all();
                stop.request(Exit::Ok);
            }
        };
        let thread = std::thread::Builder::new().name("stdout".to_owned()).spawn(write);
        Self { shared, thread: thread.ok() }
    }

    fn push(&self, text: &str) {
        let mut state = self.shared.lock();
        while state.text.len() >= BUFFER_BYTES && !state.closed {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.closed {
            state.text.extend_from_slice(text.as_bytes());
            self.shared.changed.notify_all();
        }
    }

    fn finish(&mut self, wait: bool) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && wait
        {
            // The thread only writes; it has no result.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Writes until the end.
    fn write_all(&self) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        loop {
            let mut state = self.lock();
            while state.text.is_empty() && !state.ended {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.text.is_empty() {
                return Ok(());
            }
            let text = std::mem::take(&mut state.text);
            drop(state);
            self.changed.notify_all();
            stdout.write_all(&text)?;
            stdout.flush()?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
