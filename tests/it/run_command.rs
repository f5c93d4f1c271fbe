//! `opencode run`, as a script sees it: what is on which stream, and with which status it ends.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::model::Model;
use crate::program::{World, await_that, binary, is_alive, types};
use crate::tmux::Tmux;
use crate::wire::PATIENCE;

#[test]
fn the_answer_alone_is_on_stdout_and_tools_are_told_on_stderr() {
    let world = World::new().file("notes.txt", "remember the oat milk\n");
    let server = world.serve();
    let prompt = "read the file notes.txt";
    let attached = server.world.run(&["run", "--attach", &server.url(), prompt]);
    let local = server.world.run(&["run", "read", "the file", "notes.txt"]);
    for run in [&attached, &local] {
        run.assert_status(0);
        assert!(run.stdout.contains("oat milk"), "{run:?}");
        assert!(!run.stdout.contains("read_file"), "{run:?}");
        assert!(run.stderr.contains("read_file notes.txt"), "{run:?}");
        assert!(run.stdout.ends_with('\n') && !run.stdout.ends_with("\n\n"), "{run:?}");
        assert!(!run.stderr.contains('\x1b'), "no colour into a pipe: {run:?}");
    }
    assert_eq!(attached.stdout, local.stdout, "in-process is the same program");
    let sessions = server.get("/api/sessions");
    assert_eq!(sessions[0]["title"], prompt);
    let path = format!("/api/sessions/{}", sessions[0]["id"].as_str().unwrap());
    let kept = server.get(&path)["messages"][1]["content"].as_str().unwrap().to_owned();
    assert_eq!(attached.stdout.trim_end(), kept.trim(), "stdout is what the session has");
}

#[test]
fn a_command_that_failed_is_told_with_how_it_ended() {
    let world = World::new();
    for (command, why) in [
        ("exit 7", "exit status 7"),
        ("seq 9; exit 3", "exit status 3"),
        ("kill -SEGV $$", "ended by signal 11"),
    ] {
        let run = world.run(&["run", &format!("run the command `{command}`")]);
        let line = format!("· bash failed: {why}\n");
        assert!(run.stderr.contains(&line), "{run:?}");
    }
}

#[test]
fn json_is_one_event_a_line() {
    let world = World::new().file("a.txt", "x");
    let run = world.run(&["run", "--format", "json", "list files"]);
    let events: Vec<Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(types(&events), ["session", "text", "tool_start", "tool_end", "text", "done"]);
}

#[test]
fn standard_input_is_added_to_the_prompt_or_is_it() {
    let server = World::new().serve();
    let url = server.url();
    let asked = || {
        let sessions = server.get("/api/sessions");
        let path = format!("/api/sessions/{}", sessions[0]["id"].as_str().unwrap());
        server.get(&path)["messages"][0]["content"].as_str().unwrap().to_owned()
    };
    server.world.run_with(&["run", "--attach", &url, "explain"], "fn main() {}\n").assert_status(0);
    assert_eq!(asked(), "explain\n\nfn main() {}");
    server.world.run_with(&["run", "--attach", &url], "what is this?\n").assert_status(0);
    assert_eq!(asked(), "what is this?");
    server.world.project.write("a.rs", "let x = 1;\n");
    let run =
        server.world.run(&["run", "--attach", &url, "--file", "a.rs", "--title", "Named", "why?"]);
    run.assert_status(0);
    assert_eq!(asked(), "why?\n\n``` a.rs\nlet x = 1;\n```");
    assert_eq!(server.get("/api/sessions")[0]["title"], "Named");
}

#[test]
fn an_open_silent_stdin_never_hangs_a_run() {
    let world = World::new();
    let mut child = world.command(&["run", "hello"]).stdin(Stdio::piped()).spawn().unwrap();
    // Held open, never written to.
    let stdin = child.stdin.take().unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("going on without it"));
}

#[test]
fn a_dash_is_standard_input_and_no_word() {
    let run = World::new().run_with(&["run", "--format", "json", "explain", "-"], "late text\n");
    let first: Value = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["message"], "explain\n\nlate text");
}

#[test]
fn a_closed_stdout_ends_the_run_quietly() {
    let server = World::new().serve();
    let url = server.url();
    for attach in [&[][..], &["--attach", &url]] {
        // The reader leaves while the command runs and nothing is written.
        let args = [&["run", "--format", "json"], attach, &["run `sleep 1000`"]].concat();
        let mut child = server.world.command(&args).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("tool_start")));
        drop(lines);
        let (status, stderr) = ended(child);
        assert_eq!(status, Some(0), "{stderr}");
        assert!(stderr.lines().all(|line| line.starts_with('·')), "{stderr}");
    }
    await_that("the turn ends on the server", || server.get("/api/status")["activeTurns"] == 0);
}

/// Waits for the end of a run, at most a while: its status, and what it said.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let pid = rustix::process::Pid::from_child(&child);
    let (over, end) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if end.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    });
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    drop(over);
    watch.join().unwrap();
    (child.wait().unwrap().code(), stderr)
}

#[test]
fn a_reader_that_pauses_does_not_outlast_the_time() {
    let world = World::new().file("long.txt", &"many words\n".repeat(4000));
    let args = ["run", "--format", "json", "--timeout", "1", "read the file long.txt"];
    let mut child = world.command(&args).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    // Held open and never read: more than the pipe holds is left over.
    let (status, stderr) = ended(child);
    drop(stdout);
    assert_eq!(status, Some(124), "{stderr}");
}

#[test]
fn a_fifo_is_read_as_long_as_somebody_writes_to_it() {
    let world = World::new();
    let fifo = world.project.path().join("fifo");
    let mode = rustix::fs::Mode::from(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let run = |more: &[&str]| {
        let args = [&["run", "--format", "json", "--file", "fifo"], more, &["why?"]].concat();
        world.command(&args).spawn().unwrap()
    };
    let (status, stderr) = ended(run(&[]));
    assert_eq!(status, Some(2), "{stderr}");
    assert!(stderr.contains("--file fifo") && stderr.contains("nobody writes"), "{stderr}");
    let flags = rustix::fs::OFlags::RDWR;
    let writer = rustix::fs::open(&fifo, flags, rustix::fs::Mode::empty()).unwrap();
    let (status, stderr) = ended(run(&["--timeout", "1.5"]));
    assert_eq!(status, Some(124), "{stderr}");
    drop(writer);
    let script = "exec \"$0\" run --format json --file <(sleep 0.1; echo late) 'why?'";
    let mut bash = world.command(&[]);
    let program = bash.get_program().to_owned();
    bash = through("bash", &["-c", script], &program, &bash);
    let run = bash.output().unwrap();
    let first = String::from_utf8(run.stdout).unwrap();
    let first: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    let message = first["message"].as_str().unwrap();
    assert!(message.starts_with("why?\n\n``` /dev/fd/") && message.contains("late\n"), "{message}");
    for (path, word) in [(".", "directory"), ("/dev/zero", "is no file")] {
        let run = world.run(&["run", "--file", path, "why?"]);
        run.assert_status(2);
        assert!(run.stderr.contains(word), "{run:?}");
    }
}

/// Another program with the environment of one of ours.
fn through(program: &str, args: &[&str], ours: &OsStr, like: &Command) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .arg(ours)
        .current_dir(like.get_current_dir().unwrap())
        .env_clear()
        .envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn a_server_that_never_answers_holds_nobody_beyond_the_time() {
    // Nobody accepts, and who waits already fills the queue: a connection is never made.
    let hole = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    rustix::net::bind(&hole, &any).unwrap();
    rustix::net::listen(&hole, 0).unwrap();
    let address = rustix::net::getsockname(&hole).unwrap();
    let address = std::net::SocketAddr::try_from(address).unwrap();
    let short = std::time::Duration::from_millis(200);
    let mut queue = Vec::new();
    while let Ok(one) = std::net::TcpStream::connect_timeout(&address, short) {
        queue.push(one);
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let world = World::new();
    for address in [address, silent.local_addr().unwrap()] {
        for more in [&["x"][..], &["--continue", "x"]] {
            let url = format!("http://{address}");
            let flags = ["run", "--timeout", "0.5", "--attach", &url];
            let start = std::time::Instant::now();
            world.run(&[&flags, more].concat()).assert_status(124);
            // It would be 10 s for the connection and 30 s for the answer.
            assert!(start.elapsed().as_secs() < 8, "{more:?}: {:?}", start.elapsed());
        }
    }
}

#[test]
fn each_failure_has_its_status_and_one_line_that_says_what_to_do() {
    let server = World::new().env("OPENCODE_SERVER_PASSWORD", "s3cret").serve();
    let url = server.url();
    let world = World::new();
    let with_url = url.replace("http://", "http://opencode:s3cret@");
    let unknown = "0123456789abcdefghjkmnpqrstvwxyz0123";
    for (args, status, word) in [
        (&["run", "--atach", "x", "hi"][..], 2, "--attach"),
        (&["run"][..], 2, "nothing to ask"),
        (&["run", "--format", "yaml", "x"][..], 2, "text or json"),
        (&["run", "--timeout", "soon", "x"][..], 2, "seconds"),
        (&["run", "--file", "/nowhere", "x"][..], 2, "/nowhere"),
        (&["run", "--attach", "build:4096", "x"][..], 2, "http://HOST:PORT"),
        (&["run", "--agent", "chef", "x"][..], 2, "build, plan"),
        (&["run", "--model", "gpt", "x"][..], 2, "gpt"),
        (&["run", "--model", "anthropic/claude-sonnet-4", "x"][..], 2, "ANTHROPIC_API_KEY"),
        (&["run", "--attach", "http://127.0.0.1:1", "x"][..], 3, "nothing listens"),
        (&["run", "--attach", &url, "x"][..], 4, "password"),
        (&["run", "--attach", &with_url, "--session", unknown, "x"][..], 2, "session"),
        (&["run", "--attach", &with_url, "--continue", "x"][..], 2, "--continue"),
        (&["run", "--attach", &with_url, "--model", "x/y", "x"][..], 2, "x"),
        (&["frobnicate"][..], 2, "unknown command frobnicate. See `opencode --help`."),
        (&["-v"][..], 2, "unknown flag -v. See `opencode --help`."),
        (&["srve"][..], 2, "unknown command srve; did you mean serve? See `opencode --help`."),
        (&["attach"][..], 2, "give one URL"),
        (&["status", "--attach", "http://127.0.0.1:1"][..], 3, "nothing listens"),
    ] {
        let run = world.run(args);
        run.assert_status(status);
        assert!(run.stderr.contains(word), "{args:?}: {run:?}");
        assert_eq!(run.stderr.trim_end().lines().count(), 1, "{args:?}: {run:?}");
        assert!(run.stdout.is_empty() && !run.stderr.contains("s3cret"), "{args:?}: {run:?}");
    }
    world.run(&["run", "--attach", &with_url, "hello"]).assert_status(0);
    server.world.run(&["run", "--attach", &url, "--continue", "again"]).assert_status(0);
    assert_eq!(server.get_as("s3cret", "/api/sessions")[0]["messageCount"], 4);
}

#[test]
fn a_run_that_takes_too_long_ends_with_124_and_so_does_its_turn() {
    let server = World::new().serve();
    let slow = "run `sleep 1000`";
    for args in [
        &["run", "--timeout", "0.3", slow][..],
        &["run", "--timeout", "0.3", "--attach", &server.url(), slow],
    ] {
        let run = server.world.run(args);
        run.assert_status(124);
    }
    // The client may have left before its turn began, so that none is active yet.
    await_that("the turn ends on the server", || {
        let sessions = server.get("/api/sessions");
        sessions[0]["id"].as_str().is_some_and(|id| {
            let session = server.get(&format!("/api/sessions/{id}"));
            session["messages"][1]["finishReason"] == "aborted"
        })
    });
}

#[test]
fn an_interrupted_run_ends_with_130_and_so_does_its_turn() {
    let server = World::new().serve();
    let args = ["run", "--format", "json", "--attach", &server.url(), "run `sleep 1000`"];
    let mut child = server.world.command(&args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("tool_start")));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    await_that("the turn ends on the server", || server.get("/api/status")["activeTurns"] == 0);
    let id = server.get("/api/sessions")[0]["id"].as_str().unwrap().to_owned();
    let message = &server.get(&format!("/api/sessions/{id}"))["messages"][1];
    assert_eq!(message["finishReason"], "aborted");
    assert!(!message["content"].as_str().unwrap().is_empty(), "what was said is kept");
}

#[test]
fn a_lost_server_is_status_1_with_what_came() {
    let mut server = World::new().serve();
    let args = ["run", "--attach", &server.url(), "run `sleep 1000`"];
    let mut child = server.world.command(&args).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("sleep 1000") {
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "{line}");
    }
    server.child.kill().unwrap();
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(stdout.ends_with('\n') && !stdout.trim().is_empty(), "{stdout:?}");
}

#[test]
fn help_and_version_are_there() {
    let world = World::new();
    assert!(world.run(&["--version"]).stdout.starts_with("opencode 0."));
    for args in
        [&["--help"][..], &["help"], &["run", "--help"], &["help", "serve"], &["serve", "-h"]]
    {
        let run = world.run(args);
        run.assert_status(0);
        assert!(run.stdout.contains("Usage: opencode"), "{run:?}");
    }
    assert!(world.run(&["serve", "--help"]).stdout.contains("OPENCODE_BASE_PATH"));
    assert_eq!(json!(world.run(&["help", "nothing"]).status), json!(2));
}

/// Runs the program on a terminal of its own; answers the question for a password, if it comes.
/// Gives the status and what the terminal showed.
fn on_a_terminal(world: &World, args: &str, answer: &[u8]) -> Option<(Option<i32>, String)> {
    let like = world.command(&[]);
    let program = like.get_program().to_str().unwrap().to_owned();
    let line = format!("trap : INT; {program} {args}; s=$?; stty -a; exit $s");
    let mut script = Command::new("script");
    let child = script
        .args(["-qec", &line, "/dev/null"])
        .current_dir(like.get_current_dir().unwrap())
        .env_clear()
        .envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("left out: there is no `script` here");
        return None;
    };
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut buffer, mut answered) = (Vec::new(), [0; 1024], false);
    while let Ok(count @ 1..) = stdout.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..count]);
        if !answered && String::from_utf8_lossy(&shown).contains("password of opencode at") {
            answered = true;
            stdin.write_all(answer).unwrap();
        }
    }
    drop(stdin);
    let shown = String::from_utf8_lossy(&shown).into_owned();
    Some((child.wait().unwrap().code(), shown))
}

#[test]
fn a_person_is_asked_for_the_password_once_and_it_is_not_shown() {
    let server = World::new().env("OPENCODE_SERVER_PASSWORD", "s3cret").serve();
    let world = World::new();
    let url = server.url();
    for command in ["status", "models", "run hello"] {
        let args = command.replacen(' ', &format!(" --attach {url} "), 1);
        let args = if args == command { format!("{command} --attach {url}") } else { args };
        for (answer, status) in
            [(&b"s3cret\n"[..], 0), (b"wr0ng\n", 4), (b"\x04", 4), (b"\x03", 130)]
        {
            let Some((ended, shown)) = on_a_terminal(&world, &args, answer) else { return };
            assert_eq!(ended, Some(status), "{args}: {shown}");
            assert_eq!(shown.matches("password of").count(), 1, "{args}: {shown}");
            assert!(!shown.contains("s3cret") && !shown.contains("wr0ng"), "{args}: {shown}");
            assert!(shown.contains(" echo "), "it is shown again: {shown}");
        }
    }
}

#[test]
fn a_terminal_says_whom_is_waited_for_until_something_comes() {
    const SIZE: (u16, u16) = (60, 12);
    let model = Model::start();
    let server = model.world(json!({})).serve();
    let run = format!("{} run 'wait 1 words of 6 bytes'", binary());
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    let plain = Tmux::start(&server.world, SIZE, &[("NO_COLOR", "1")]).unwrap();
    // Those that show none wait for longer than those that do.
    let others = ["2>said", "--format json", "& wait", ""].map(|more| {
        let term = if more.is_empty() { "dumb" } else { "tmux-256color" };
        let other = Tmux::start(&server.world, SIZE, &[("TERM", term)]).unwrap();
        other.run(&format!("{run} {more}"));
        other
    });
    await_that("they wait", || model.requests() == others.len());
    tmux.run(&format!("clear; {run} --attach {}", server.url()));
    plain.run(&format!("clear; {run}"));
    plain.await_text("· waiting for mine/m… 2s");
    assert!(!plain.coloured().contains('\u{1b}'), "{:?}", plain.coloured());
    tmux.await_text("· waiting for mine/m… 2s");
    assert!(tmux.coloured().contains("\u{1b}[2m· waiting"), "{:?}", tmux.coloured());
    for other in &others {
        assert!(!other.screen().contains("waiting"), "{}", other.screen());
    }
    model.go_on();
    for terminal in [&tmux, &plain].into_iter().chain(&others) {
        terminal.await_text("000000");
        let screen = terminal.await_shell();
        assert!(!screen.contains("waiting"), "{screen}");
    }
    assert_eq!(server.world.project.read("said"), "");
}

#[test]
fn a_run_that_waits_ends_though_its_terminal_takes_nothing() {
    let model = Model::start();
    let server = model.world(json!({})).serve();
    for (flag, status) in [("", 143), ("--timeout 5", 124), ("--timeout 99", 0)] {
        let Some(tmux) = Tmux::start(&server.world, (60, 12), &[]) else { return };
        tmux.run(&format!("clear; {} run {flag} 'wait 1 words of 6 bytes'", binary()));
        tmux.await_text("· waiting for mine/m… 1s");
        let pid = tmux.child();
        tmux.take_nothing();
        // It wants to say that it still waits, and is ended by the signal or the time.
        let thread = waiting_thread(pid);
        let looks = switches(&thread);
        await_that("it wants to write", || switches(&thread) > looks);
        if flag.is_empty() {
            kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::TERM)
                .unwrap();
        } else if status == 0 {
            // An answer that comes meanwhile is there, and the line is not, when it takes on.
            model.go_on();
            await_that("the answer has come", || !thread.exists());
            tmux.take_on();
            let screen = tmux.await_text("000000");
            assert!(!screen.contains("waiting"), "{screen}");
        }
        await_that("it ends", || !is_alive(pid));
        tmux.take_on();
        assert_eq!(tmux.status(), status);
    }
}

/// Where the kernel tells about a program's thread that says whom is waited for.
fn waiting_thread(pid: u32) -> PathBuf {
    let mut threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let is_it = |path: &PathBuf| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name == "waiting\n")
    };
    threads.find_map(|thread| Some(thread.unwrap().path()).filter(is_it)).unwrap()
}

/// How often a thread has waited, for the clock or for a reader.
fn switches(thread: &Path) -> u64 {
    let status = std::fs::read_to_string(thread.join("status")).unwrap();
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.unwrap().trim().parse().unwrap()
}

#[test]
fn the_line_of_who_is_waited_for_is_gone_when_a_run_is_interrupted() {
    let model = Model::start();
    let server = model.world(json!({})).serve();
    let Some(tmux) = Tmux::start(&server.world, (60, 12), &[]) else { return };
    tmux.run(&format!("clear; {} run 'wait 1 words of 6 bytes'", binary()));
    tmux.await_text("· waiting for mine/m… 1s");
    tmux.press(&["C-c"]);
    let screen = tmux.await_shell();
    assert!(!screen.contains("waiting"), "{screen}");
}
