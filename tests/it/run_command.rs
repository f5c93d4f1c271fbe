//! `opencode run`, as a script sees it: what is on which stream, and with which status it ends.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::program::{World, await_that, types};

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
    let world = World::new();
    let mut child =
        world.command(&["run", "--format", "json", "run `sleep 1000`"]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert!(first.contains("\"session\""), "{first}");
    drop(stdout);
    // The next event meets the closed pipe; there is none while the command sleeps, so it is
    // ended by a signal as a shell's pipeline would be.
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), Some(0 | 143)), "{status:?} {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    let output = std::process::Command::new("bash")
        .arg("-c")
        .arg(format!(
            "set -o pipefail; {} run hello | head -c 1; echo ${{PIPESTATUS[0]}}",
            env!("CARGO_BIN_EXE_opencode")
        ))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", world.home.path())
        .env("OLLAMA_HOST", "http://127.0.0.1:1")
        .current_dir(world.project.path())
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("0\n"), "{output:?}");
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
        (&["frobnicate"][..], 2, "unknown command"),
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
