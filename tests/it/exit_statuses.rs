//! The exit statuses of `opencode run`, each by its name, and the signals that end it.

use std::io::{BufRead, BufReader, Read};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::model::Model;
use crate::program::{Serving, World, await_that, is_alive};
use crate::scripted::{Act, Protocol, Scripted, answer, said, spoken, stream};

/// A run in the project, and one at a server of the project.
fn both(world: World, args: &[&str], check: impl Fn(i32, &str, &str)) {
    let server = world.serve();
    let url = server.url();
    for attach in [&[][..], &["--attach", &url]] {
        let run = server.world.run(&[&["run"], attach, args].concat());
        check(run.status, &run.stdout, &run.stderr);
    }
}

#[test]
fn exit_status_0_is_an_answer() {
    let (_model, world) = said([spoken("forty-two"), spoken("forty-two")]);
    both(world, &["why?"], |status, stdout, stderr| {
        assert_eq!((status, stdout, stderr), (0, "forty-two\n", ""));
    });
}

#[test]
fn exit_status_0_is_an_answer_after_a_retry_too() {
    let busy = || answer(503, &json!({ "error": { "message": "overloaded" } }));
    let (model, world) = said([busy(), spoken("at last"), busy(), spoken("at last")]);
    both(world, &["why?"], |status, stdout, stderr| {
        assert_eq!((status, stdout), (0, "at last\n"), "{stderr}");
        assert!(stderr.contains("overloaded"), "{stderr}");
    });
    assert_eq!(model.asked().len(), 4);
}

#[test]
fn exit_status_1_is_a_turn_that_failed_and_what_came_of_it_is_on_stdout() {
    let broken = || {
        stream(&(Protocol::OpenAi.text("The half of") + &Protocol::OpenAi.error("out of credits")))
    };
    let (_model, world) = said([broken(), broken()]);
    both(world, &["why?"], |status, stdout, stderr| {
        assert_eq!((status, stdout), (1, "The half of\n"), "{stderr}");
        assert!(stderr.contains("out of credits"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    });
}

#[test]
fn exit_status_1_is_a_turn_that_ran_out_of_steps_and_stdout_has_the_models_words_alone() {
    let protocol = Protocol::OpenAi;
    let call = protocol.text("I look.") + &protocol.call("{\"path\": \".\"}") + &protocol.end(true);
    let model = Scripted::play((0..8).map(|_| Act::Say(stream(&call))));
    let world = model.world(protocol, &json!({ "limits": { "steps": 2 } }));
    both(world, &["why?"], |status, stdout, stderr| {
        assert_eq!((status, stdout), (1, "I look.\n\nI look.\n"), "{stderr}");
        assert!(stderr.contains("the answer was cut after all steps of the turn"), "{stderr}");
    });
    let server = model.world(protocol, &json!({ "limits": { "steps": 2 } })).serve();
    let reply = server.post("/api/chat", &json!({ "message": "why?" })).json();
    assert_eq!((&reply["finishReason"], &reply["limit"]), (&json!("length"), &json!("steps")));
    let told = server.stream(&json!({ "message": "why?" }));
    let done = told.last().unwrap();
    assert_eq!((&done["finishReason"], &done["limit"]), (&json!("length"), &json!("steps")));
    let session = told[0]["sessionId"].as_str().unwrap();
    let kept = &server.get(&format!("/api/sessions/{session}"))["messages"][1];
    assert_eq!((&kept["finishReason"], &kept["limit"]), (&json!("length"), &json!("steps")));
    for show in [&["sessions", "show"][..], &["sessions", "export"]] {
        let shown = server.world.run(&[show, &[session, "--attach", &server.url()]].concat());
        assert!(shown.stdout.contains("cut after all steps"), "{shown:?}");
    }
}

#[test]
fn exit_status_1_is_a_model_that_refuses_before_a_word() {
    let no = || answer(401, &json!({ "error": { "message": "invalid api key" } }));
    let (_model, world) = said([no(), no()]);
    both(world, &["why?"], |status, stdout, stderr| {
        assert_eq!((status, stdout), (1, ""), "nothing was said: {stderr}");
        assert!(stderr.contains("invalid api key"), "{stderr}");
    });
}

#[test]
fn exit_status_2_is_wrong_usage_or_something_unknown() {
    let session = "0".repeat(36);
    let server = World::new().serve();
    let url = server.url();
    for args in [
        &["--sesion", "x", "why?"][..],
        &["--session", &session, "why?"],
        &["--session", "zz", "why?"],
        &["--session", &session, "--continue", "why?"],
        &["--continue", "why?"],
        &["--agent", "nobody", "why?"],
        &["--model", "no/such", "why?"],
        &["--timeout", "0", "why?"],
        &["--timeout", "-1", "why?"],
        &["--timeout", "inf", "why?"],
        &["--format", "xml", "why?"],
        &["--continue=perhaps", "why?"],
        &["--file"],
        &[],
        &["  "],
    ] {
        for attach in [&[][..], &["--attach", &url]] {
            let run = server.world.run(&[&["run"], attach, args].concat());
            assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{args:?}: {run:?}");
            assert_eq!(run.stderr.lines().count(), 1, "{args:?}: {run:?}");
            assert!(run.stderr.starts_with("opencode: "), "{args:?}: {run:?}");
        }
    }
}

#[test]
fn exit_status_3_is_a_server_that_cannot_be_reached() {
    let world = World::new();
    for url in ["http://127.0.0.1:1", "http://no-such-host.invalid:4096"] {
        let run = world.run(&["run", "--attach", url, "why?"]);
        run.assert_status(3);
        assert!(run.stdout.is_empty() && run.stderr.contains("cannot reach"), "{run:?}");
    }
    // Something that is no opencode server answers.
    let other = Scripted::play([Act::Say(answer(404, &json!({ "no": "such path" })))]);
    let run = world.run(&["run", "--attach", &other.url(), "why?"]);
    run.assert_status(3);
    assert!(run.stderr.contains("is the address right?"), "{run:?}");
}

#[test]
fn exit_status_3_is_an_address_that_is_nearly_right() {
    let root = World::new().serve();
    let below = World::new().serve_with(&["--base-path", "/below"]);
    let there = |server: &Serving| format!("http://127.0.0.1:{}", server.address.port());
    for (typed, right) in [
        (there(&root) + "/foo", there(&root)),
        (there(&below), there(&below) + "/below"),
        (there(&below) + "/foo", there(&below) + "/below"),
    ] {
        for command in [&["run", "why?"][..], &["status"], &["sessions"]] {
            let run = root.world.run(&[command, &["--attach", &typed]].concat());
            run.assert_status(3);
            let told = format!("opencode: an opencode server is at {right}, and not at {typed}\n");
            assert_eq!(run.stderr, told);
        }
    }
    let plain = there(&root).replace("http:", "https:");
    let run = root.world.run(&["run", "--attach", &plain, "why?"]);
    run.assert_status(3);
    assert!(run.stderr.contains("is it http:// instead of https://?"), "{run:?}");
}

#[test]
fn exit_status_4_is_a_password_that_is_wrong_or_missing() {
    let server = World::new().env("OPENCODE_SERVER_PASSWORD", "s3cret").serve();
    let url = server.url();
    let world = World::new();
    world.run(&["run", "--attach", &url, "hello"]).assert_status(4);
    let wrong = url.replace("http://", "http://opencode:guess@");
    let run = world.run(&["run", "--attach", &wrong, "hello"]);
    run.assert_status(4);
    assert!(!run.stderr.contains("guess"), "{run:?}");
    // As the page has it: from the environment; and by the user that the server names.
    server.world.run(&["run", "--attach", &url, "hello"]).assert_status(0);
    let named = World::new()
        .env("OPENCODE_SERVER_PASSWORD", "s3cret")
        .env("OPENCODE_SERVER_USERNAME", "ann")
        .serve();
    named.world.run(&["run", "--attach", &named.url(), "hello"]).assert_status(0);
    server.world.run(&["run", "--attach", &named.url(), "hello"]).assert_status(4);
}

#[test]
fn exit_status_5_is_a_tool_that_nobody_could_permit() {
    let world = World::new().config(&json!({ "permission": { "bash": "ask" } }));
    both(world, &["run `touch made`"], |status, stdout, stderr| {
        assert_eq!(status, 5, "{stderr}");
        assert!(!stdout.is_empty() && stderr.contains("nobody can be asked"), "{stderr}");
    });
}

#[test]
fn exit_status_124_is_the_time_that_was_over() {
    both(World::new(), &["--timeout", "0.3", "run `sleep 1000`"], |status, _, stderr| {
        assert_eq!(status, 124, "{stderr}");
        assert!(stderr.contains("the time was over"), "{stderr}");
    });
}

/// A run whose command runs: the process, and the command's own.
fn running(world: &World, more: &[&str]) -> (std::process::Child, u32) {
    let args = [&["run", "--format", "json"], more, &["run `echo $$; exec sleep 1000`"]].concat();
    let mut child = world.command(&args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let event = lines
        .find_map(|line| {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            (event["type"] == "tool_output").then_some(event)
        })
        .unwrap();
    // Who reads stays as long as the run.
    std::thread::spawn(move || lines.count());
    (child, event["content"].as_str().unwrap().trim().parse().unwrap())
}

#[test]
fn exit_status_130_is_ctrl_c_and_other_signals_have_theirs() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let server = World::new().serve();
        let url = server.url();
        for attach in [&[][..], &["--attach", &url]] {
            let (mut child, command) = running(&server.world, attach);
            kill_process(Pid::from_child(&child), signal).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(status), "{attach:?}");
            await_that("its command ends", || !is_alive(command));
        }
        await_that("no turn is left", || server.get("/api/status")["activeTurns"] == 0);
        let sessions = server.get("/api/sessions");
        for session in sessions.as_array().unwrap() {
            let path = format!("/api/sessions/{}", session["id"].as_str().unwrap());
            assert_eq!(server.get(&path)["messages"][1]["finishReason"], "aborted", "{signal:?}");
        }
    }
}

#[test]
fn a_signal_that_the_caller_ignores_is_ignored() {
    // As `nohup` does, and a shell without job control for what it puts into the background.
    for (name, signal) in [("HUP", Signal::HUP), ("INT", Signal::INT)] {
        let model = Model::start();
        let world = model.world(json!({}));
        let script = format!("trap '' {name}; exec \"$0\" run 'wait 2 words of 3 bytes'");
        let mut child = world.through("sh", &["-c", &script]).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut first = [0; 4];
        stdout.read_exact(&mut first).unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        model.go_on();
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!((child.wait().unwrap().code(), rest.trim_end()), (Some(0), "001"), "{name}");
    }
}
