//! `bash`: a command in the project directory, bounded in time and output.
//!
//! It is not confined to the project. It gets no input, no secret of the server, and leaves
//! nothing running beyond its turn.

use std::io::{self, PipeReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};

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
    timeout_seconds: Option<u64>,
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

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "The command line"},
                "timeout_seconds": {"type": "integer", "minimum": 1, "maximum": MAX_TIME.as_secs(), "description": format!("Stop it after this time; {} without it", self.default_time.as_secs())},
                "description": {"type": "string", "description": "What the command is for, in a few words"}
            },
            "required": ["command"],
            "additionalProperties": false
        })
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
        let time = args.timeout_seconds.map_or(self.default_time, Duration::from_secs);
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
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use crate::tool::project::Project;

    const BASH: Bash = Bash { default_time: Duration::from_secs(60) };

    fn bash(command: &str) -> Result<String, String> {
        Project::new().run(&BASH, json!({"command": command}))
    }

    /// Whether a process runs; a dead one that nobody has reaped yet does not.
    fn runs(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }

    /// Runs a command that prints one line of process numbers and goes on for ever, cancels it
    /// then, and gives the numbers and the result, which only the cancel can bring about.
    fn cancel_after_line(command: &str) -> (Vec<String>, Result<String, String>) {
        let (project, cancel) = (Project::new(), Cancel::new());
        let (mut printed, mut cancelled) = (String::new(), false);
        let other = cancel.clone();
        let ended = project.run_until(&BASH, &json!({"command": command}), &cancel, &mut |text| {
            printed.push_str(text);
            if printed.contains('\n') && !std::mem::replace(&mut cancelled, true) {
                // From another thread, as an abort comes.
                let other = other.clone();
                std::thread::spawn(move || other.cancel()).join().unwrap();
            }
        });
        let pids = printed.split_whitespace().map(str::to_owned).collect();
        (pids, ended)
    }

    #[test]
    fn both_streams_come_in_order_from_the_project() {
        let project = Project::new();
        let args = json!({"command": "echo one; echo two >&2; echo three; pwd; cat"});
        let text = project.run(&BASH, args).unwrap();
        assert_eq!(text, format!("one\ntwo\nthree\n{}\n", project.path().display()));
        assert_eq!(bash("true").as_deref(), Ok("[no output]"));
    }

    #[test]
    fn a_command_has_no_terminal_even_where_the_server_has_one() {
        let text = bash(
            "read -r stat < /proc/$$/stat; set -- ${stat##*) }; echo $(($3 - $$)) $(($4 - $$)) $5; \
             (exec 3<>/dev/tty) 2>&- || echo none",
        );
        // Leader of its group and its session, whose terminal has no number.
        assert_eq!(text.as_deref(), Ok("0 0 0\nnone\n"));
    }

    #[test]
    fn an_exit_status_is_an_error_with_its_output() {
        assert_eq!(bash("printf out; exit 3"), Err("out\n[exit status 3]".to_owned()));
        assert_eq!(bash("false"), Err("[no output]\n[exit status 1]".to_owned()));
        assert_eq!(bash("kill -9 $$"), Err("[no output]\n[ended by signal 9]".to_owned()));
    }

    #[test]
    fn output_is_passed_on_before_the_end() {
        let (project, mut seen) = (Project::new(), Vec::new());
        let fifo = project.path().join("go");
        let mode = rustix::fs::Mode::from(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let args = json!({"command": "echo before; cat go; echo after"});
        // The command waits for what only the first piece of its output brings about.
        project
            .run_until(&BASH, &args, &Cancel::new(), &mut |text| {
                if seen.is_empty() {
                    std::fs::write(&fifo, "between\n").unwrap();
                }
                seen.push(text.to_owned());
            })
            .unwrap();
        assert_eq!(seen[0], "before\n");
        assert_eq!(seen.concat(), "before\nbetween\nafter\n");
    }

    #[test]
    fn long_output_keeps_both_ends() {
        let text =
            bash("echo begin; head -c 300000 /dev/zero | tr '\\0' x; echo; echo end").unwrap();
        assert!(text.len() <= RESULT_BYTES);
        assert!(text.starts_with("begin\nxxx") && text.ends_with("xxx\nend\n"));
        assert!(text.contains(" bytes left out …]"));
    }

    #[test]
    fn of_the_servers_names_only_the_mark_is_left() {
        let text = bash("env").unwrap();
        let own: Vec<_> = text.lines().filter(|line| line.starts_with("OPENCODE_")).collect();
        assert!(matches!(own[..], [mark] if mark.starts_with("OPENCODE_CHILD=")), "{own:?}");
        assert!(text.contains("\nPAGER=cat\n") || text.starts_with("PAGER=cat\n"));
    }

    #[test]
    fn a_command_is_stopped_when_its_time_is_over() {
        let project = Project::new();
        let quick = Bash { default_time: Duration::from_millis(200) };
        let args = json!({"command": "echo $$; trap '' TERM; while :; do sleep 0.05; done"});
        let error = project.run(&quick, args).unwrap_err();
        let (pid, note) = error.split_once('\n').unwrap();
        assert!(note.contains("timed out after 0.2 s"), "{error}");
        assert!(!runs(pid));
    }

    #[test]
    fn a_stop_ends_the_group_and_what_left_it() {
        let (pids, ended) = cancel_after_line(
            "sleep infinity & a=$!; setsid sleep infinity & b=$!; echo $$ $a $b; sleep infinity",
        );
        assert!(ended.unwrap_err().ends_with("[stopped before it ended]"));
        assert_eq!(pids.len(), 3);
        assert!(!pids.iter().any(|pid| runs(pid)));
    }

    #[test]
    fn a_stop_ends_what_will_not_listen() {
        let (pids, ended) = cancel_after_line(
            "trap '' TERM HUP; setsid bash -c 'echo $$; while :; do sleep 0.1; done' & wait",
        );
        assert!(ended.is_err() && pids.len() == 1);
        assert!(!pids.iter().any(|pid| runs(pid)));
    }

    #[test]
    fn a_background_process_holds_nobody_up_and_ends_with_the_turn() {
        let (project, turn, other) = (Project::new(), Cancel::new(), Cancel::new());
        let args = json!({"command": "setsid sleep infinity & echo $!"});
        let text = project.run_until(&BASH, &args, &turn, &mut |_| {}).unwrap();
        let (pid, note) = text.split_once('\n').unwrap();
        assert!(note.contains("in the background"), "{text}");
        crate::tool::end_turn(&other);
        assert!(runs(pid), "another turn's end is not this one's");
        crate::tool::end_turn(&turn);
        assert!(!runs(pid));
    }

    #[test]
    fn nothing_starts_in_a_stopped_turn() {
        let (project, cancel) = (Project::new(), Cancel::new());
        cancel.cancel();
        let args = json!({"command": "touch made"});
        assert!(project.run_until(&BASH, &args, &cancel, &mut |_| {}).is_err());
        assert!(!project.path().join("made").exists());
    }

    #[test]
    fn a_panic_of_the_listener_leaves_nothing_running() {
        let (project, mut pid) = (Project::new(), String::new());
        let args = json!({"command": "echo $$; sleep infinity"});
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            project.run_until(&BASH, &args, &Cancel::new(), &mut |text| {
                text.trim().clone_into(&mut pid);
                std::panic::resume_unwind(Box::new(()));
            })
        }));
        assert!(panicked.is_err() && !runs(&pid));
    }

    #[test]
    fn impossible_commands_are_refused_in_words() {
        assert!(bash(" ").unwrap_err().contains("empty"));
        assert!(bash("a\0b").unwrap_err().contains("NUL"));
        assert!(bash(&"x".repeat(200_000)).unwrap_err().contains("write it to a file"));
    }
}
