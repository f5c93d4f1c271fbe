//! `bash`: a command in the project directory, bounded in time and output.
//!
//! It is not confined to the project. It gets no input, no secret of the server, and leaves
//! nothing running beyond its turn.

use std::io::{self, PipeReader, Read};
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::Deserialize;
use serde_json::Value;

use super::field::{Field, Kind};
use super::output::Output;
use super::process::{self, Running};
use super::shell::shell;
use super::{Context, Effect, RESULT_BYTES, Tool, arguments};
use crate::os::Waker;

/// No command runs longer.
const MAX_TIME: Duration = Duration::from_secs(600);
/// After the shell's end its output is read for this long: a background process may hold the pipe.
const DRAIN: Duration = Duration::from_millis(100);
/// Between asking a command to end and killing it.
const GRACE: Duration = Duration::from_millis(300);
/// What the output may take of the result: the line on how it ended must fit too.
const OUTPUT_BYTES: usize = RESULT_BYTES - 512;
/// What is read at once, and what a pipe holds.
const READ_BYTES: usize = 16 * 1024;
const PIPE_BYTES: usize = 64 * 1024;
/// The longest argument the kernel takes.
const COMMAND_BYTES: usize = 128 * 1024 - 1;

/// Runs a shell command.
pub struct Bash {
    /// The time-out of a command that names none.
    pub default_time: Duration,
}

#[derive(Deserialize)]
struct Args {
    command: String,
    timeout_seconds: Option<NonZeroU64>,
}

/// Why the waiting for a command is over.
enum End {
    Exited,
    TimedOut,
    Stopped,
}

impl Tool for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn description(&self) -> &'static str {
        "Runs a shell command in the project directory and returns what it prints, stdout and \
         stderr together. There is no input and no terminal. A process put in the background must \
         have its output redirected to a file; it is stopped when your turn ends. Use the other \
         tools to read, search and edit files."
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            Field::required("command", Kind::Text, "The command line"),
            Field::optional(
                "timeout_seconds",
                Kind::CountTo(MAX_TIME.as_secs()),
                format!("Stop it after this time; {} without it", self.default_time.as_secs()),
            ),
            Field::optional("description", Kind::Text, "What the command is for, in a few words"),
        ]
    }

    fn effect(&self) -> Effect {
        Effect::Executes
    }

    fn run(&self, args: &Value, context: &mut Context<'_>) -> Result<String, String> {
        let args: Args = arguments(self, args)?;
        if args.command.trim().is_empty() {
            return Err("the command is empty".to_owned());
        }
        if args.command.contains('\0') {
            return Err("the command contains a NUL byte, which no argument can".to_owned());
        }
        if args.command.len() > COMMAND_BYTES {
            return Err(format!(
                "the command has more than {COMMAND_BYTES} bytes: write it to a file and run that"
            ));
        }
        if context.cancel.is_cancelled() {
            return Err("[stopped before it began]".to_owned());
        }
        let asked = args.timeout_seconds.map(|seconds| Duration::from_secs(seconds.get()));
        let time = asked.unwrap_or(self.default_time);
        run(&args.command, time.clamp(Duration::from_millis(1), MAX_TIME), context)
    }
}

fn run(line: &str, time: Duration, context: &mut Context<'_>) -> Result<String, String> {
    let failed = |error: io::Error| format!("the command could not be run: {error}");
    let (reader, writer) = io::pipe().map_err(failed)?;
    process::set_nonblocking(&reader).map_err(failed)?;
    let waker = Arc::new(Waker::new().map_err(failed)?);
    let mut command = shell(line, context.root, context.hidden_env);
    command.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let deadline = Instant::now() + time;
    let running = Running::start(command).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if !Path::new("/bin/sh").exists() => {
            "there is no shell here (/bin/sh), so no command can run; the file tools work"
                .to_owned()
        }
        _ => failed(error),
    })?;
    let hook = {
        let (waker, leader) = (Arc::clone(&waker), running.pid());
        move || {
            process::signal_group(leader, Signal::TERM);
            waker.wake();
        }
    };
    let mut pipe = Pipe { reader: Some(reader), output: Output::new(OUTPUT_BYTES) };
    // Registering fails when the turn was stopped meanwhile. The hook is taken back before the
    // command is reaped, so that it never signals a group that took over the number.
    let end = match context.cancel.on_cancel(hook) {
        Ok(_guard) => watch(&running, &mut pipe, &waker, deadline, context),
        Err(_) => End::Stopped,
    };
    let how = match end {
        End::Exited => {
            pipe.drain(&running, Instant::now() + DRAIN, context);
            let status = running.leave(context.cancel).map_err(failed)?;
            process::failure(status)
        }
        End::TimedOut | End::Stopped => {
            running.terminate();
            pipe.drain(&running, Instant::now() + GRACE, context);
            running.signal(Signal::KILL);
            pipe.drain(&running, Instant::now() + DRAIN, context);
            let _ = running.kill();
            Some(match end {
                End::TimedOut => format!(
                    "timed out after {} s; the command and all it started were stopped",
                    time.as_secs_f32()
                ),
                End::Stopped | End::Exited => "stopped before it ended".to_owned(),
            })
        }
    };
    let held = pipe.reader.is_some();
    let text = pipe.output.finish(context.output);
    result(text, how, held)
}

/// The result's text: the output, then a line on what the output does not say.
fn result(mut text: String, how: Option<String>, held: bool) -> Result<String, String> {
    if text.is_empty() {
        text.push_str("[no output]");
    }
    let mut note = |words: &str| {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push('[');
        text.push_str(words);
        text.push(']');
    };
    match how {
        Some(how) => {
            note(&how);
            Err(text)
        }
        None if held => {
            note("a process in the background still holds the output, which is no longer read");
            Ok(text)
        }
        None => Ok(text),
    }
}

/// Passes output on until the command ends, its time is over or the turn is stopped.
fn watch(
    running: &Running,
    pipe: &mut Pipe,
    waker: &Waker,
    deadline: Instant,
    context: &mut Context<'_>,
) -> End {
    loop {
        // Looked at in this order: a cancel ends the command before anybody looks again.
        let ended = running.has_ended();
        if context.cancel.is_cancelled() {
            return End::Stopped;
        }
        if ended {
            return End::Exited;
        }
        let Some(left) = deadline.checked_duration_since(Instant::now()) else {
            return End::TimedOut;
        };
        if !pipe.read(context) {
            running.wait(pipe.reader.as_ref(), Some(waker), left);
        }
    }
}

/// The reading end of a command's output, until its end, and what came through it.
struct Pipe {
    reader: Option<PipeReader>,
    output: Output,
}

impl Pipe {
    /// Takes what is there now; says whether that was anything.
    fn read(&mut self, context: &mut Context<'_>) -> bool {
        let mut buffer = [0; READ_BYTES];
        let Some(reader) = &mut self.reader else {
            return false;
        };
        match reader.read(&mut buffer) {
            Ok(0) => self.reader = None,
            Ok(read) => {
                self.output.push(&buffer[..read], context.output);
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(_) => self.reader = None,
        }
        false
    }

    /// Reads to the end of the output and of the command, at most until `deadline`, but always
    /// what the pipe holds.
    fn drain(&mut self, running: &Running, deadline: Instant, context: &mut Context<'_>) {
        let mut reads = 0;
        loop {
            if self.read(context) {
                reads += 1;
                if reads * READ_BYTES > PIPE_BYTES && Instant::now() >= deadline {
                    return;
                }
                continue;
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return;
            };
            match &self.reader {
                None if running.has_ended() => return,
                Some(reader) if running.has_ended() => process::wait_for_output(reader, left),
                reader => running.wait(reader.as_ref(), None, left),
            }
        }
    }
}

#[cfg(test)]
mod tests;
