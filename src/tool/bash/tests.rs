//! Commands as they run: their output, their end, and what they leave behind.

use serde_json::json;

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
fn a_time_that_is_none_is_refused_with_what_one_is() {
    for seconds in [json!(-5), json!(0), json!(1.5), json!("5")] {
        let args = json!({"command": "true", "timeout_seconds": seconds});
        let error = Project::new().run(&BASH, args).unwrap_err();
        let expected = "wrong arguments: field `timeout_seconds` must be a whole number, 1 or more";
        assert_eq!(error, expected);
    }
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
    let text = bash("echo begin; head -c 300000 /dev/zero | tr '\\0' x; echo; echo end").unwrap();
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
