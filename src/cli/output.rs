//! What a run shows: the answer on standard output, everything else on standard error.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::cancel::Guard;
use crate::cli::exit::Exit;
use crate::cli::stop::Stop;
use crate::cli::waiting::{ERASE, Waiting};
use crate::event::{Body, Denial};
use crate::message::{FinishReason, Limit, why_failed};
use crate::os::{self, Waker, Woken};
use crate::text::{keep_both_ends, plain};

/// Text that waits for a reader who pauses; beyond it the stream is no longer read on.
const BUFFER_BYTES: usize = 16 * 1024 * 1024;
/// How long a run that was ended early waits for its last text to be read.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3600);
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

/// Where the text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// None has come.
    Unbegun,
    /// Within a line.
    InLine,
    /// Behind a line that was no text.
    LineStart,
}

/// Shows the events of a turn.
pub(super) struct Printer {
    format: Format,
    stdout: Writer,
    /// Takes out of text what must not reach this standard output.
    shown: fn(&str) -> Cow<'_, str>,
    /// What makes a line about a tool dim, and ends that; empty where it is not.
    dim: (&'static str, &'static str),
    /// Standard output and standard error are one, and so text and words about it share lines.
    is_one_stream: bool,
    /// Whether a line may say whom is waited for, and that line.
    has_line: bool,
    waiting: Option<Waiting>,
    place: Place,
    /// Line ends that stand at the end only if more text follows.
    held: usize,
    /// A tool was refused for want of anybody to permit it.
    refused: bool,
    done: Option<(FinishReason, Option<Limit>)>,
}

impl Printer {
    pub(super) fn new(format: Format, stop: &Stop) -> io::Result<Self> {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_terminal = io::stderr().is_terminal();
        let can_erase = std::env::var_os("TERM").is_some_and(|t| !t.is_empty() && t != "dumb");
        Ok(Self {
            format,
            stdout: Writer::start(stop)?,
            shown: if io::stdout().is_terminal() { plain } else { as_it_is },
            dim: if is_terminal && !no_color { ("\x1b[2m", "\x1b[0m") } else { ("", "") },
            is_one_stream: format == Format::Text && is_one_stream(),
            has_line: format == Format::Text && is_terminal && can_erase,
            waiting: None,
            place: Place::Unbegun,
            held: 0,
            refused: false,
            done: None,
        })
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
            Body::Session { model, .. } if self.has_line => {
                self.waiting = Some(Waiting::start(model, self.dim));
            }
            Body::Text { content } if self.format == Format::Text => self.text(content),
            Body::ToolStart { tool, args, .. } => {
                let line = format!("{tool} {}", subject(args));
                self.aside(&keep_both_ends(&line.replace('\n', " "), LINE_BYTES));
            }
            Body::ToolEnd { tool, result, is_error: true, denied, .. } => {
                self.refused |= *denied == Some(Denial::Nobody);
                let why = keep_both_ends(why_failed(tool, result), LINE_BYTES);
                self.aside(&format!("{tool} failed: {why}"));
            }
            Body::Retry { attempt, wait_ms, reason } => {
                let wait = Duration::from_millis(*wait_ms);
                self.tell(&format!("attempt {attempt} failed, next in {wait:.1?}: {reason}"));
            }
            Body::Error { message, .. } => self.tell(message),
            Body::Done { finish_reason, limit, .. } => {
                self.done = Some((*finish_reason, *limit));
                if *finish_reason == FinishReason::Length {
                    self.tell(&format!("the answer was {}", Limit::words(*limit)));
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
            Some((FinishReason::Stop | FinishReason::Length, _)) if self.refused => Exit::Refused,
            Some((FinishReason::Aborted, _)) => {
                tell("the turn was stopped on the server");
                Exit::Failed
            }
            Some((FinishReason::Error, _) | (FinishReason::Length, Some(Limit::Steps))) | None => {
                Exit::Failed
            }
            Some((FinishReason::Stop | FinishReason::Length, _)) => Exit::Ok,
        }
    }

    /// Ends the text with one line end, and waits until it is read.
    pub(super) fn finish(&mut self) {
        self.end_waiting();
        if self.place == Place::InLine {
            self.stdout.push("\n");
        }
        self.stdout.finish();
    }

    fn text(&mut self, content: &str) {
        let content = (self.shown)(content);
        let trimmed = content.trim_end_matches('\n');
        if trimmed.is_empty() {
            self.held += content.len();
            return;
        }
        self.end_waiting();
        // Line ends before the first text are the model's habit, not its answer.
        let (before, text) = match self.place {
            Place::Unbegun => (String::new(), trimmed.trim_start_matches('\n')),
            Place::InLine | Place::LineStart => ("\n".repeat(self.held), trimmed),
        };
        self.stdout.push(&format!("{before}{text}"));
        self.place = Place::InLine;
        self.held = content.len() - trimmed.len();
    }

    /// Ends the line that says whom is waited for. A terminal that takes nothing now has it erased
    /// where it takes on.
    fn end_waiting(&mut self) {
        if self.waiting.take().is_some_and(Waiting::end) && self.is_one_stream {
            self.stdout.push(ERASE);
        }
    }

    fn aside(&mut self, line: &str) {
        let (dim, bright) = self.dim;
        self.beside(&format!("{dim}· {}{bright}\n", plain(line)));
    }

    /// A word to the person, while text may come.
    fn tell(&mut self, text: &str) {
        self.beside(&word(text));
    }

    /// Writes a line that is no text of the assistant. Where both streams are one it goes the text's
    /// way, so that it begins a line, and comes where it belongs.
    fn beside(&mut self, line: &str) {
        self.end_waiting();
        if !self.is_one_stream {
            return stderr(line);
        }
        if self.place == Place::InLine {
            self.stdout.push("\n");
            self.held = self.held.saturating_sub(1);
            self.place = Place::LineStart;
        }
        self.stdout.push(line);
    }
}

/// Whether standard output and standard error are the same terminal, pipe or file.
fn is_one_stream() -> bool {
    let same = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).ok().map(|s| (s.st_dev, s.st_ino));
    let out = same(io::stdout().as_fd());
    out.is_some() && out == same(io::stderr().as_fd())
}

/// A script gets the model's text as it is.
fn as_it_is(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// A word to the person.
pub(super) fn tell(text: &str) {
    stderr(&word(text));
}

/// A word to the person at the end, which is not waited for where nobody takes it.
pub(super) fn tell_last(text: &str) {
    if takes_words(LAST_WORDS) {
        tell(text);
    }
}

/// Whether standard error takes something within this time.
pub(super) fn takes_words(time: Duration) -> bool {
    os::takes(io::stderr(), time)
}

fn word(text: &str) -> String {
    format!("opencode: {}\n", plain(text))
}

fn stderr(line: &str) {
    // Nobody reads what cannot be written.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// What a tool is about, in a few words.
pub(super) fn subject(args: &Value) -> String {
    let named = ["command", "path", "pattern"].iter().find_map(|name| args[name].as_str());
    named.map_or_else(|| args.to_string(), str::to_owned)
}

/// Standard output on a thread of its own, so that a reader who pauses stops nothing.
struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Keeps the cancel's hook.
    _guard: Option<Guard>,
}

struct Shared {
    /// Protects the text that is not written yet.
    state: Mutex<State>,
    /// Told to who waits for the writer.
    changed: Condvar,
    /// Wakes the writer.
    more: Waker,
}

#[derive(Default)]
struct State {
    text: Vec<u8>,
    /// No more will come.
    ended: bool,
    /// The run was ended early: nobody waits long for the reader.
    hurried: bool,
    /// The writer is at its end: all is written, or nobody reads any more.
    finished: bool,
}

impl Writer {
    fn start(stop: &Stop) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            more: Waker::new()?,
        });
        let (writing, stopping) = (Arc::clone(&shared), stop.clone());
        let write = move || {
            let written = writing.write_all();
            writing.lock().finished = true;
            writing.changed.notify_all();
            match written {
                Ok(()) => {}
                // Who reads has had enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    stopping.request(Exit::Ok);
                }
                Err(error) => {
                    tell(&format!("standard output: {error}"));
                    stopping.request(Exit::Failed);
                }
            }
        };
        let thread = os::thread("stdout", write)?;
        let hurrying = Arc::clone(&shared);
        let hurry = move || {
            hurrying.lock().hurried = true;
            hurrying.changed.notify_all();
        };
        // Where it is too late for a hook, nothing was written either.
        let guard = stop.cancel.on_cancel(hurry).ok();
        shared.lock().hurried |= guard.is_none();
        Ok(Self { shared, thread: Some(thread), _guard: guard })
    }

    /// Adds text; what does not fit into the buffer any more waits for the reader, as long as the
    /// run goes on.
    fn push(&self, text: &str) {
        let full = |state: &mut State| {
            state.text.len() >= BUFFER_BYTES && !state.finished && !state.hurried
        };
        let waiting = self.shared.changed.wait_while(self.shared.lock(), full);
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
        if !state.finished && state.text.len() < BUFFER_BYTES {
            state.text.extend_from_slice(text.as_bytes());
            drop(state);
            self.shared.more.wake();
        }
    }

    /// Waits until all is read; when the run was ended early only a moment.
    fn finish(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.lock().ended = true;
        self.shared.more.wake();
        let goes_on = |state: &mut State| !state.finished && !state.hurried;
        let state = self.shared.changed.wait_while(self.shared.lock(), goes_on);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let unread = |state: &mut State| !state.finished;
        let state = self.shared.changed.wait_timeout_while(state, LAST_WORDS, unread);
        let is_finished = state.unwrap_or_else(PoisonError::into_inner).0.finished;
        if is_finished {
            // The thread only writes; it has no result.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Writes until the end; fails as soon as nobody reads any more.
    fn write_all(&self) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        loop {
            let mut state = self.lock();
            let (text, ended) = (std::mem::take(&mut state.text), state.ended);
            drop(state);
            self.changed.notify_all();
            if !text.is_empty() {
                stdout.write_all(&text)?;
                stdout.flush()?;
            } else if ended {
                return Ok(());
            } else if os::wait_unread(&self.more, stdout.as_fd(), LONG)? == Woken::Departed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
