//! Completions in the shells themselves, and the manual page under the tools that read one.

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

use crate::peers::leave_out;
use crate::program::{World, binary};

/// A project in which `opencode` is a program to be found, and a session of it.
fn world() -> (World, String) {
    let world = World::new().file("notes.txt", "x").file("bin/.keep", "");
    let bin = world.project.path().join("bin");
    std::os::unix::fs::symlink(binary(), bin.join("opencode")).unwrap();
    let run = world.run(&["run", "--format", "json", "hello"]);
    let first: serde_json::Value =
        serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
    (world, first["sessionId"].as_str().unwrap().to_owned())
}

/// Another program in that project.
fn with_path(world: &World, program: &str, args: &[&str]) -> Command {
    let like = world.command(&[]);
    let path = format!(
        "{}:{}",
        world.project.path().join("bin").display(),
        std::env::var("PATH").unwrap()
    );
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(world.project.path())
        .env_clear()
        .envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", path)
        .stdin(Stdio::null());
    command
}

/// The output of a program, which has nothing to complain of; none where it is not there.
fn output(mut command: Command) -> Option<String> {
    let Output { status, stdout, stderr } = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            leave_out(&format!("there is no {} here", command.get_program().display()));
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let complaint = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.success() && complaint.is_empty(), "{command:?}: {complaint}");
    Some(String::from_utf8(stdout).unwrap())
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let (world, session) = world();
    let script = "source <(opencode completions bash)\n\
        complete -p opencode\n\
        for line in \"$@\"; do\n\
        IFS=' ' read -ra COMP_WORDS <<< \"$line\"; [[ $line == *' ' ]] && COMP_WORDS+=('')\n\
        COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); _opencode; echo \"$line: ${COMPREPLY[*]}\"\n\
        done";
    let lines = [
        "opencode se",
        "opencode sessions ",
        "opencode sessions ex",
        "opencode sessions show ",
        "opencode run --form",
        "opencode run --format ",
        "opencode run --format = j",
        "opencode run --agent ",
        "opencode run --file no",
        "opencode run --dir b",
        "opencode run --title ",
        "opencode serve --base",
        "opencode completions ",
        "opencode help comp",
        "opencode nothing ",
    ];
    let args = [&["-c", script, "bash"], &lines[..]].concat();
    let Some(told) = output(with_path(&world, "bash", &args)) else { return };
    let show = format!("opencode sessions show : {session}");
    let expected = [
        "complete -F _opencode opencode",
        "opencode se: serve sessions",
        "opencode sessions : list show delete export --help",
        "opencode sessions ex: export",
        &show,
        "opencode run --form: --format",
        "opencode run --format : text json",
        "opencode run --format = j: json",
        "opencode run --agent : build plan",
        "opencode run --file no: notes.txt",
        "opencode run --dir b: bin",
        "opencode run --title : ",
        "opencode serve --base: --base-path",
        "opencode completions : bash zsh fish",
        "opencode help comp: completions",
        "opencode nothing : ",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn fish_completes_commands_flags_and_values() {
    let (world, session) = world();
    let script = "opencode completions fish | source\n\
        for line in $argv; echo $line: (complete -C $line | string replace -r '\\t.*' ''); end";
    let lines = [
        "opencode ser",
        "opencode sessions ",
        "opencode sessions show ",
        "opencode run --form",
        "opencode run --format ",
        "opencode run --agent ",
        "opencode run --file no",
        "opencode run serve --bas",
        "opencode serve --base",
        "opencode completions ",
    ];
    let args = [&["--no-config", "-c", script], &lines[..]].concat();
    let Some(told) = output(with_path(&world, "fish", &args)) else { return };
    let show = format!("opencode sessions show : {session}");
    let expected = [
        "opencode ser: serve",
        "opencode sessions : delete export list show",
        &show,
        "opencode run --form: --format",
        "opencode run --format : json text",
        "opencode run --agent : build plan",
        "opencode run --file no: notes.txt",
        "opencode run serve --bas: ",
        "opencode serve --base: --base-path",
        "opencode completions : bash fish zsh",
    ];
    assert_eq!(told.lines().map(str::trim_end).collect::<Vec<_>>(), expected.map(str::trim_end));
}

#[test]
fn zsh_completes_commands_flags_and_values() {
    let (world, session) = world();
    let Some(script) = output(with_path(&world, "opencode", &["completions", "zsh"])) else {
        return;
    };
    if output(with_path(&world, "zsh", &["-f", "-c", "true"])).is_none() {
        return;
    }
    world.project.write("functions/_opencode", &script);
    // It completes only where somebody types: on a terminal.
    let mut zsh = with_path(&world, "script", &["-qec", "zsh -f -i", "/dev/null"])
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut typed, mut shown) = (zsh.stdin.take().unwrap(), zsh.stdout.take().unwrap());
    let mut until = |word: &str| {
        let (mut all, mut buffer) = (String::new(), [0; 1024]);
        while !all.contains(word) {
            let count = shown.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "{word} never came: {all}");
            all.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    typed
        .write_all(
            b"PS1='> '; fpath=(./functions $fpath); autoload -U compinit; compinit -u -D; \
              bindkey -e; echo re''ady\n",
        )
        .unwrap();
    until("ready");
    let watch = watchdog(&zsh);
    for (line, word) in [
        ("opencode ser", "serve "),
        ("opencode sessions ex", "export "),
        ("opencode sessions show ", &*session),
        ("opencode run --format js", "json "),
        ("opencode run --format=js", "--format=json "),
        ("opencode run --agent pl", "plan "),
        ("opencode run --file no", "notes.txt "),
        ("opencode serve --base-p", "--base-path  --"),
        ("opencode completions z", "zsh "),
    ] {
        typed.write_all(format!("{line}\t").as_bytes()).unwrap();
        until(word);
        typed.write_all(b"\x15").unwrap();
    }
    typed.write_all(b"exit\n").unwrap();
    drop(typed);
    zsh.wait().unwrap();
    drop(watch);
}

/// Ends a program that a test would wait for without end.
fn watchdog(child: &std::process::Child) -> std::sync::mpsc::Sender<()> {
    let pid = rustix::process::Pid::from_child(child);
    let (over, end) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        if end.recv_timeout(crate::wire::PATIENCE)
            == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    });
    over
}

#[test]
fn the_manual_page_is_read_without_a_complaint() {
    let (world, _) = world();
    let page = world.run(&["help", "--man"]);
    page.assert_status(0);
    world.project.write("opencode.1", &page.stdout);
    if let Some(told) = output(with_path(&world, "mandoc", &["-T", "lint", "opencode.1"])) {
        assert_eq!(told, "");
    }
    let mut man = with_path(&world, "man", &["--warnings", "-l", "opencode.1"]);
    man.envs([("LC_ALL", "C.UTF-8"), ("MANPAGER", "cat"), ("MANWIDTH", "80")]);
    let Some(shown) = output(man) else { return };
    for part in ["OPENCODE(1)", "--base-path /PREFIX", "EXIT STATUS", "opencode sessions export"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
