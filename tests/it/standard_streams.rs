//! `opencode run` with its standard streams in every state they can be in: silent, closed, full,
//! no text, too much. It never hangs and never panics.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::peers::leave_out;
use crate::program::{World, binary};
use crate::scripted::{Protocol, said, spoken, stream};

/// What a script in bash comes to; `$0` is the program.
fn bash(world: &World, script: &str) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        world.through("bash", &["-c", script]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn no_state_of_stdin_hangs_a_run_with_a_prompt() {
    let world = World::new();
    let mode = rustix::fs::Mode::from(0o600);
    let fifo = world.project.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let both_ends = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let (socket, _other_end) = std::os::unix::net::UnixStream::pair().unwrap();
    let (empty, writer) = std::io::pipe().unwrap();
    drop(writer);
    for (name, stdin, is_silent) in [
        ("/dev/null", Stdio::null(), false),
        ("a directory", Stdio::from(File::open(world.project.path()).unwrap()), false),
        ("a pipe whose writer is gone", Stdio::from(empty), false),
        ("a fifo that is open for writing", Stdio::from(both_ends), true),
        ("a socket", Stdio::from(std::os::fd::OwnedFd::from(socket)), true),
        (
            "for writing alone",
            Stdio::from(File::create(world.project.path().join("w")).unwrap()),
            false,
        ),
    ] {
        let mut command = world.command(&["run", "hello"]);
        let output = command.stdin(stdin).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {stderr}");
        assert!(!output.stdout.is_empty(), "{name}");
        assert_eq!(stderr.contains("going on without it"), is_silent, "{name}: {stderr}");
    }
    let (status, stdout, stderr) = bash(&world, "\"$0\" run hello <&-");
    assert_eq!((status, stderr.as_str()), (Some(0), ""), "closed");
    assert!(!stdout.is_empty());
}

#[test]
fn without_a_prompt_an_empty_stdin_is_wrong_usage() {
    let world = World::new();
    for script in [
        "\"$0\" run < /dev/null",
        "\"$0\" run <&-",
        "\"$0\" run < .",
        "printf '\\n\\n' | \"$0\" run",
    ] {
        let (status, _, stderr) = bash(&world, script);
        assert_eq!(status, Some(2), "{script}: {stderr}");
        assert!(stderr.contains("nothing to ask"), "{script}: {stderr}");
    }
}

#[test]
fn a_terminal_is_no_stdin_to_wait_for() {
    let world = World::new();
    let like = world.command(&[]);
    let run = |words: &str| {
        let line = format!("exec '{}' run {words}", like.get_program().display());
        let mut script = Command::new("script");
        script
            .args(["-qec", &line, "/dev/null"])
            .current_dir(world.project.path())
            .env_clear()
            .envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))))
            // Held open, so that the terminal stays.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = script.spawn().ok()?;
        let held = child.stdin.take();
        let mut shown = String::new();
        child.stdout.take()?.read_to_string(&mut shown).unwrap();
        let status = child.wait().unwrap().code();
        drop(held);
        Some((status, shown))
    };
    let Some((status, shown)) = run("hello") else {
        leave_out("there is no `script` here");
        return;
    };
    assert_eq!(status, Some(0), "{shown}");
    let Some((status, shown)) = run("") else { return };
    assert_eq!(status, Some(2), "{shown}");
    assert!(shown.contains("nothing to ask"), "{shown}");
}

#[test]
fn what_is_no_text_or_too_much_is_told_and_not_sent() {
    let world = World::new().file("nul.txt", "a\0b").file("long.txt", &"x".repeat(256 * 1024 + 1));
    std::fs::write(world.project.path().join("latin1.txt"), b"Gr\xfc\xdfe\n").unwrap();
    std::fs::write(world.project.path().join("huge.txt"), vec![b'x'; 512 * 1024 + 1]).unwrap();
    std::fs::copy(binary(), world.project.path().join("binary")).unwrap();
    for (script, word) in [
        ("\"$0\" run hello < latin1.txt", "standard input: it is not UTF-8"),
        ("\"$0\" run hello < nul.txt", "standard input: it has NUL bytes"),
        ("\"$0\" run hello < huge.txt", "standard input: it has more than 524288 bytes"),
        ("yes | \"$0\" run hello", "standard input: it has more than 524288 bytes"),
        ("\"$0\" run hello < binary", "standard input: it"),
        ("\"$0\" run --file latin1.txt hello", "--file latin1.txt: it is not UTF-8"),
        ("\"$0\" run --file nul.txt hello", "--file nul.txt: it has NUL bytes"),
        ("\"$0\" run --file long.txt hello", "--file long.txt: it has more than 262144 bytes"),
        ("\"$0\" run --file binary hello", "--file binary: it"),
        ("\"$0\" run --file . hello", "--file .: it is a directory"),
        ("\"$0\" run --file /dev/full hello", "--file /dev/full: it is no file"),
        ("\"$0\" run --file missing hello", "--file missing: No such file"),
        ("\"$0\" run $'Gr\\xfc\\xdfe'", "is not UTF-8"),
        ("\"$0\" run --title $'\\xff' hello", "is not UTF-8"),
        ("\"$0\" run --file $'\\xff' hello", "is not UTF-8"),
        ("\"$0\" $'r\\xffn' hello", "unknown command"),
    ] {
        let (status, stdout, stderr) = bash(&world, script);
        assert_eq!((status, stdout.as_str()), (Some(2), ""), "{script}: {stderr}");
        assert!(stderr.contains(word), "{script}: {stderr}");
    }
    assert_eq!(world.run(&["sessions", "--json"]).stdout, "[]\n", "nothing was asked");
    let run = world.run_with(&["run", "--format", "json", "-"], &"é".repeat(256 * 1024));
    run.assert_status(0);
    let first: Value = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["message"].as_str().unwrap().len(), 512 * 1024, "as much as there may be");
}

#[test]
fn a_file_and_stdin_and_words_are_one_message() {
    let world = World::new().file("a.txt", "from the file\n");
    let args = ["run", "--format", "json", "--file", "a.txt", "two", "words"];
    let run = world.run_with(&args, "from the pipe\n");
    let first: Value = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
    let expected = "two words\n\nfrom the pipe\n\n``` a.txt\nfrom the file\n```";
    assert_eq!(first["message"], expected);
    let dashes = world.run(&["run", "--format", "json", "--", "--not", "-a", "flag"]);
    let first: Value = serde_json::from_str(dashes.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["message"], "--not -a flag");
}

#[test]
fn an_output_that_is_closed_or_full_never_panics() {
    let world = World::new().file("long.txt", &"many words\n".repeat(20_000));
    let server = world.serve();
    let attach = format!("--attach {}", server.url());
    for attach in ["", &attach] {
        let ask = format!("\"$0\" run {attach}");
        for (script, expected, word) in [
            (
                format!(
                    "{ask} 'read the file long.txt' | head -1 > /dev/null; exit ${{PIPESTATUS[0]}}"
                ),
                0,
                "",
            ),
            (
                format!(
                    "{ask} --format json 'read the file long.txt' | head -c 1 > /dev/null; exit ${{PIPESTATUS[0]}}"
                ),
                0,
                "",
            ),
            (format!("{ask} hello >&-"), 0, ""),
            (format!("{ask} hello > /dev/full"), 1, "standard output: No space left"),
            (format!("{ask} --format json hello > /dev/full"), 1, "standard output: No space left"),
            (format!("{ask} 'read the file long.txt' 2>&- > /dev/null"), 0, ""),
            (format!("{ask} 'read the file long.txt' 2> /dev/full > /dev/null"), 0, ""),
            (format!("{ask} 'read the file long.txt' 2> >(exit) > /dev/null"), 0, ""),
            (format!("{ask} hello >&- 2>&- <&-"), 0, ""),
            (format!("{ask} --agent nobody hello >&- 2>&- <&-"), 2, ""),
        ] {
            let (status, _, stderr) = bash(&server.world, &script);
            assert_eq!(status, Some(expected), "{script}: {stderr}");
            assert!(stderr.contains(word) && !stderr.contains("panic"), "{script}: {stderr}");
            if word.is_empty() {
                assert!(stderr.lines().all(|line| line.starts_with('·')), "{script}: {stderr}");
            }
        }
    }
    for command in
        ["sessions", "models --json", "help", "help --man", "completions zsh", "--version"]
    {
        let (status, _, stderr) = bash(&server.world, &format!("\"$0\" {command} > /dev/full"));
        assert_eq!(status, Some(1), "{command}: {stderr}");
        assert!(stderr.contains("standard output: No space left"), "{command}: {stderr}");
        let script = format!("\"$0\" {command} >&-");
        assert_eq!(bash(&server.world, &script).0, Some(0), "{command}");
        let script = format!("\"$0\" {command} | true; exit ${{PIPESTATUS[0]}}");
        let (status, _, stderr) = bash(&server.world, &script);
        assert_eq!((status, stderr.as_str()), (Some(0), ""), "{command}");
    }
}

#[test]
fn the_answer_can_be_captured_paged_and_cut_by_other_programs() {
    let world = World::new().file("code.rs", "fn main() {}\n");
    let server = world.serve();
    let url = server.url();
    let (status, stdout, _) = bash(
        &server.world,
        &format!(
            "result=$(\"$0\" run --attach {url} 'read the file code.rs')\n\
             echo \"$result\" | grep -A5 '```' | head -20"
        ),
    );
    assert_eq!(status, Some(0));
    assert!(stdout.starts_with("```") && stdout.contains("fn main() {}"), "{stdout}");
    let (status, stdout, stderr) = bash(
        &server.world,
        "set -eo pipefail; \"$0\" run 'read the file code.rs' | tail -n 1 | wc -l",
    );
    assert_eq!((status, stdout.trim()), (Some(0), "1"), "a last line that is one: {stderr}");
}

#[test]
fn a_model_without_a_word_leaves_stdout_empty_and_a_last_line_is_ended_once() {
    for (said_by_model, printed) in
        [("\n\n", ""), ("x", "x\n"), ("x\n", "x\n"), ("\n\nx\n\n\n", "x\n"), ("a\n\nb", "a\n\nb\n")]
    {
        let (_model, world) = said([spoken(said_by_model)]);
        let run = world.run(&["run", "why?"]);
        assert_eq!((run.status, run.stdout.as_str()), (0, printed), "{said_by_model:?}: {run:?}");
    }
}

/// What a terminal gets of the program with these words, where `script` can make one.
fn on_a_terminal(world: &World, words: &str, (name, value): (&str, &str)) -> Option<String> {
    let line = format!("exec '{}' {words}", binary());
    let script = world.beside("script", &["-qec", &line, "/dev/null"]).env(name, value).output();
    let Ok(output) = script else {
        leave_out("there is no `script` here");
        return None;
    };
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn where_both_streams_are_one_what_a_tool_does_has_a_line_of_its_own() {
    let shown = |world: &World, prompt: &str| {
        let text = on_a_terminal(world, &format!("run '{prompt}'"), ("NO_COLOR", "1"))?;
        Some(text.replace("\r\n", "\n"))
    };
    let world = World::new().file("notes.txt", "remember the oat milk\n");
    let Some(text) = shown(&world, "read the file notes.txt") else { return };
    let expected = "Let me open `notes.txt`.\n· read_file notes.txt\n\nHere is `notes.txt`:\n\n\
                    ```\nremember the oat milk\n```\n";
    assert_eq!(text, expected);
    let together = bash(&world, "\"$0\" run 'read the file notes.txt' 2>&1");
    assert_eq!(together, (Some(0), expected.to_owned(), String::new()));
    // In the middle of a line, and as the last word.
    let protocol = Protocol::OpenAi;
    let (_model, world) = said([stream(&(protocol.text("Half a") + &protocol.error("gone")))]);
    let text = shown(&world, "why?").unwrap();
    assert!(text.starts_with("Half a\nopencode: ") && text.ends_with('\n'), "{text:?}");
    assert!(!text.contains("\n\n"), "{text:?}");
}

#[test]
fn a_terminal_is_not_moved_by_what_a_model_or_a_tool_says() {
    let evil = "red\u{1b}[31m title\u{1b}]0;owned\u{7} up\u{9b}A";
    let (_model, world) = said([spoken(evil)]);
    let Some(shown) = on_a_terminal(&world, "run 'why?' 2>&1", ("TERM", "xterm")) else { return };
    assert!(shown.contains("red[31m title]0;owned upA"), "{shown:?}");
    // A pipe gets it as it is, and standard error never does.
    let (_model, world) = said([spoken(evil)]);
    assert_eq!(world.run(&["run", "why?"]).stdout, format!("{evil}\n"));
    let broken = Protocol::OpenAi.error(evil);
    let (_model, world) = said([stream(&broken)]);
    let run = world.run(&["run", "why?"]);
    run.assert_status(1);
    assert!(run.stderr.contains("[31m title") && !run.stderr.contains('\u{1b}'), "{run:?}");
}

#[test]
fn a_silent_fifo_and_a_pipe_that_comes_late_are_waited_for_when_asked_to() {
    let world = World::new();
    let mut child = world
        .command(&["run", "--format", "json", "-", "explain"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"first ").unwrap();
    stdin.write_all(b"second").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["message"], "explain\n\nfirst second");
}
