//! `opencode attach` in a real terminal: what a person sees, and how the terminal is left.

use std::io::Write;
use std::net::TcpListener;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::cut_proxy::Proxy;
use crate::model::Model;
use crate::program::{Serving, World, await_that, is_alive};
use crate::scripted::{Act, Protocol, Scripted, stream};
use crate::tmux::Tmux;

const SIZE: (u16, u16) = (100, 30);

/// A server whose `bash` asks.
fn asking() -> Serving {
    World::new().config(&json!({ "permission": { "bash": "ask" } })).serve()
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The screen without its line ends: a terminal breaks long lines where it likes.
fn joined(tmux: &Tmux) -> String {
    tmux.screen().replace('\n', "")
}

fn sessions(server: &Serving) -> Vec<Value> {
    server.get("/api/sessions").as_array().unwrap().clone()
}

#[test]
fn a_visit_from_the_first_prompt_to_the_shell() {
    let server = asking();
    server.world.project.write("src/cache.py", "value = items[key]\n");
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    tmux.run("echo before");
    tmux.attach(&server.url());
    tmux.await_text("offline/guide answers, as build");

    tmux.write("replace \"items[key]\" with \"items.get(key)\" in src/cache.py");
    tmux.press(&["Enter"]);
    let screen = tmux.await_text("+1 −1");
    assert!(
        screen.contains("▌ replace") && screen.contains("1 + value = items.get(key)"),
        "{screen}"
    );
    tmux.await_text("is changed:");

    // A tool asks: its command is shown whole, Enter answers nothing, the input is still there.
    tmux.write("run `touch made && echo it ran`");
    tmux.press(&["Enter"]);
    let screen = tmux.await_text("y once");
    assert!(screen.contains("? bash asks you") && screen.contains("› Ask, @file"), "{screen}");
    tmux.press(&["Enter"]);
    tmux.write("wait");
    tmux.await_text("Tab, then y once");
    assert!(!server.world.project.path().join("made").exists());
    tmux.press(&["C-u"]);
    let screen = tmux.await_text("    y once");
    // A question takes no keys until it was there for a moment.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(screen.contains("touch made && echo it ran"), "{screen}");
    tmux.press(&["y"]);
    tmux.await_text("✓ bash");
    await_that("the command has run", || server.world.project.path().join("made").exists());
    tmux.await_text("The command has run");

    // A card is opened and closed.
    tmux.press(&["Tab", "Enter"]);
    tmux.await_text("$ touch made && echo it ran");
    tmux.press(&["Enter"]);
    tmux.await_that("the card is closed", |screen| !screen.contains("$ touch"));
    tmux.press(&["Escape"]);

    // Another session, and back.
    tmux.press(&["F2"]);
    tmux.await_text("New session");
    tmux.press(&["Enter"]);
    tmux.await_text("offline/guide answers, as build");
    tmux.write("list the files");
    tmux.press(&["Enter"]);
    tmux.await_text("opencode.json");
    assert_eq!(sessions(&server).len(), 2);
    tmux.press(&["F2"]);
    tmux.await_text("replace \"items");
    tmux.write("replace");
    tmux.await_that("one row is left", |screen| !screen.contains("+ New session"));
    tmux.press(&["Enter"]);
    tmux.await_text("The command has run");

    // Smaller, and larger again.
    tmux.resize(40, 15);
    let screen = tmux.await_that("it fits", |screen| {
        screen.lines().all(|line| line.chars().count() <= 40) && screen.contains("offline/guide")
    });
    assert!(screen.contains("› Ask, @file"), "{screen}");
    tmux.press(&["F3"]);
    tmux.await_text(" Models");
    tmux.press(&["Escape"]);
    tmux.resize(SIZE.0, SIZE.1);
    tmux.await_text("Ctrl+P all");

    tmux.press(&["C-c"]);
    tmux.await_text("Ctrl+C again quits");
    tmux.press(&["C-c"]);
    let screen = tmux.await_shell();
    assert!(screen.contains("before") && !screen.contains("cache.py"), "{screen}");
}

#[test]
fn a_session_is_named_and_deleted() {
    let server = World::new().serve();
    server.post("/api/chat", &json!({ "message": "hello there" }));
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    tmux.attach(&format!("{} --continue", server.url()));
    tmux.await_text("▌ hello there");
    tmux.press(&["C-p"]);
    tmux.await_text("Rename this session");
    tmux.write("rename");
    tmux.press(&["Enter"]);
    tmux.await_text("Enter keeps");
    tmux.press(&["C-u"]);
    tmux.write("Greetings");
    tmux.press(&["Enter"]);
    await_that("it has another title", || sessions(&server)[0]["title"] == "Greetings");
    tmux.await_text("  Greetings  ");
    tmux.press(&["F2"]);
    tmux.await_text("New session");
    tmux.press(&["Down", "C-d"]);
    tmux.await_text("for good?");
    tmux.press(&["y"]);
    await_that("it is gone", || sessions(&server).is_empty());
    tmux.await_text("offline/guide answers");
}

#[test]
fn an_answer_streams_and_is_stopped_by_escape() {
    let model = Model::start();
    let server = model.world(json!({})).serve();
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    tmux.attach(&server.url());
    tmux.await_text("mine/m answers");
    tmux.write("wait 10 words of 6 bytes");
    tmux.press(&["Enter"]);
    let screen = tmux.await_text("000004");
    assert!(!screen.contains("000005"), "{screen}");
    tmux.await_text("Esc stops");
    tmux.press(&["Escape"]);
    tmux.await_text("⊘ stopped");
    await_that("the turn has ended", || server.get("/api/status")["activeTurns"] == 0);
    tmux.await_text("000004");
}

#[test]
fn a_server_killed_in_an_answer_is_told_and_found_again() {
    let model = Model::start();
    let server = model.world(json!({})).serve();
    let port = server.address.port().to_string();
    let url = server.url();
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    tmux.attach(&url);
    tmux.await_text("mine/m answers");
    tmux.write("wait 10 words of 6 bytes");
    tmux.press(&["Enter"]);
    tmux.await_text("000004");
    let world = server.stop(Signal::KILL);
    tmux.await_text("Server gone");
    tmux.write("kept while it is gone");
    let screen = tmux.await_text("› kept while it is gone");
    assert!(screen.contains("000004"), "{screen}");
    let server = world.serve_with(&["--port", &port]);
    tmux.await_text("● 127.0.0.1");
    let screen = tmux.await_text("the server ended in the middle of this turn");
    assert!(screen.contains("000004") && screen.contains("› kept while it is gone"), "{screen}");
    assert!(!screen.contains("Esc stops"), "{screen}");
    model.go_on();
    tmux.press(&["Enter"]);
    tmux.await_text("▌ kept while it is gone\n  000\n");
    let all = sessions(&server);
    assert_eq!((all.len(), &all[0]["messageCount"]), (1, &json!(4)));
}

#[test]
fn what_was_missed_is_caught_up() {
    let model = Model::start();
    let server = model.world(json!({})).serve();
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    let proxy = Proxy::start(server.address);
    tmux.attach(&proxy.url());
    tmux.await_text("mine/m answers");
    tmux.write("wait 10 words of 6 bytes");
    tmux.press(&["Enter"]);
    tmux.await_text("000004");
    proxy.cut();
    tmux.await_text("Server gone");
    model.go_on();
    await_that("the turn ends without us", || server.get("/api/status")["activeTurns"] == 0);
    proxy.mend();
    tmux.await_text("000009");
    tmux.await_text("words caught up");
}

#[test]
fn escape_sequences_change_nothing() {
    let evil = "ok \u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}[?1049l\u{9b}31mred\u{1b}c \u{202e}end";
    let words = Protocol::OpenAi.text(evil) + &Protocol::OpenAi.end(false);
    let provider = Scripted::play([Act::Say(stream(&words))]);
    let server = provider.world(Protocol::OpenAi, &json!({})).serve();
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    tmux.attach(&server.url());
    tmux.await_text("scripted/m answers");
    tmux.write("hello");
    tmux.press(&["Enter"]);
    let screen = tmux.await_text("ok red end");
    assert!(screen.contains("▌ hello") && screen.contains("F1 keys"), "{screen}");
    assert_eq!(tmux.ask("alternate_on"), "1");
    assert!(tmux.ask("pane_title").ends_with("hello"));

    let server = World::new().serve();
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    tmux.attach(&server.url());
    tmux.await_text("offline/guide answers");
    tmux.write("run `printf 'one\\033[2J\\033]0;owned\\007two\\033[1;31m'`");
    tmux.press(&["Enter"]);
    tmux.await_text("The command has run");
    tmux.press(&["Tab", "Enter"]);
    let screen = tmux.await_text("    onetwo");
    assert!(screen.contains("▌ run"), "{screen}");
    assert_ne!(tmux.ask("pane_title"), "owned");
}

#[test]
fn what_is_wrong_is_told_before_the_screen_is_taken() {
    let server = World::new().env("OPENCODE_SERVER_PASSWORD", "right").serve();
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    tmux.attach(&server.url().replace("//", "//opencode:wrong@"));
    tmux.await_shell();
    tmux.run("clear");
    tmux.attach(&server.url().replace("//", "//opencode:wrong@"));
    assert_eq!(tmux.status(), 4, "{}", tmux.screen());

    tmux.attach("http://127.0.0.1:1");
    assert_eq!(tmux.status(), 3);
    assert!(joined(&tmux).contains("is the server running?"), "{}", tmux.screen());

    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
        stream.write_all(head.as_bytes()).unwrap();
    });
    tmux.attach(&format!("http://{address}"));
    assert_eq!(tmux.status(), 3);
    assert!(joined(&tmux).contains("is no opencode server"), "{}", tmux.screen());
    answering.join().unwrap();

    let right = server.url().replace("//", "//opencode:right@");
    for (wrong, words) in [
        ("--session none", "session"),
        ("--model no/such", "no model is called no/such"),
        ("--agent nobody", "no agent is called nobody"),
        ("--continue", "no session to continue"),
    ] {
        tmux.run("clear");
        tmux.attach(&format!("{right} {wrong}"));
        assert_eq!(tmux.status(), 2, "{wrong}: {}", tmux.screen());
        assert!(joined(&tmux).contains(words), "{wrong}: {}", tmux.screen());
    }
    let ran = server.world.run(&["attach", &right]);
    ran.assert_status(2);
    assert!(ran.stderr.contains("needs a terminal"), "{ran:?}");
    server.world.run(&["attach"]).assert_status(2);
}

#[test]
fn a_password_is_asked_for_without_showing_it() {
    let server = World::new().env("OPENCODE_SERVER_PASSWORD", "s3cret").serve();
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    tmux.attach(&server.url());
    tmux.await_text("password of opencode");
    tmux.write("s3cret");
    tmux.press(&["Enter"]);
    tmux.await_text("offline/guide answers");
    // A signal still leaves the terminal as it was.
    signal(tmux.child(), Signal::TERM);
    let screen = tmux.await_shell();
    assert!(!screen.contains("s3cret"), "{screen}");
    let world = World::new();
    let password = [("OPENCODE_SERVER_PASSWORD", "s3cret")];
    let Some(tmux) = Tmux::start(&world, SIZE, &password) else { return };
    tmux.attach(&server.url());
    tmux.await_text("offline/guide answers");
}

#[test]
fn signals_leave_the_terminal_as_it_was() {
    let server = World::new().serve();
    for (kind, status) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
        tmux.attach(&server.url());
        tmux.await_text("offline/guide answers");
        signal(tmux.child(), kind);
        tmux.await_that("the shell is back", |screen| !screen.contains("offline/guide"));
        assert_eq!(tmux.status(), status);
        tmux.await_shell();
    }
}

#[test]
fn it_is_suspended_and_comes_back() {
    let server = World::new().serve();
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    tmux.attach(&server.url());
    tmux.await_text("offline/guide answers");
    tmux.write("a draft");
    tmux.press(&["C-z"]);
    tmux.await_text("Stopped");
    tmux.await_shell();
    tmux.run("fg");
    tmux.await_text("› a draft");
    tmux.write(" goes on");
    tmux.await_text("› a draft goes on");
    tmux.press(&["C-c", "C-c", "C-c"]);
    tmux.await_shell();
}

#[test]
fn earlier_prompts_come_back_after_the_next_start_unless_they_began_with_a_space() {
    let server = World::new().serve();
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    let start = || {
        tmux.attach(&server.url());
        tmux.await_text("● 127.0.0.1");
    };
    let leave = || {
        tmux.press(&["C-d"]);
        tmux.await_shell();
        tmux.run("clear");
    };
    let send = |prompt: &str| {
        let lines: Vec<_> = prompt.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                tmux.press(&["C-j"]);
            }
            tmux.write(line);
        }
        tmux.press(&["Enter"]);
        tmux.await_text("I am the offline guide");
        await_that("the turn has ended", || server.get("/api/status")["activeTurns"] == 0);
        tmux.await_that("the screen has, too", |screen| !screen.contains("Esc stops"));
    };
    start();
    send("first of two\nsecond of two");
    leave();
    start();
    send(" with a secret");
    tmux.press(&["Up"]);
    tmux.await_text("›  with a secret");
    tmux.press(&["C-u"]);
    leave();
    start();
    tmux.press(&["Up"]);
    tmux.await_text("› first of two\n  second of two");
    tmux.press(&["C-u", "C-u", "C-u"]);
    tmux.await_text("› Ask, @file");
    leave();

    // Where nothing can be kept, that is all that is missing.
    let kept = server.world.home.path().join(".local/share/opencode-server/prompts.jsonl");
    std::fs::remove_file(&kept).unwrap();
    std::fs::create_dir(&kept).unwrap();
    start();
    send("not on disk");
    tmux.press(&["Up"]);
    tmux.await_text("› not on disk");
}

#[test]
fn it_works_though_somebody_holds_the_file_of_prompts() {
    let server = World::new().serve();
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    let folder = server.world.home.path().join(".local/share/opencode-server");
    std::fs::create_dir_all(&folder).unwrap();
    let held = std::fs::File::create(folder.join("prompts.jsonl")).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    tmux.attach(&server.url());
    tmux.await_text("● 127.0.0.1");
    tmux.write("hello");
    tmux.press(&["Enter"]);
    tmux.await_text("I am the offline guide");
    tmux.press(&["C-d"]);
    tmux.await_shell();
    assert_eq!(held.metadata().unwrap().len(), 0);
}

#[test]
fn it_ends_with_its_terminal() {
    let server = World::new().serve();
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    tmux.attach(&server.url());
    tmux.await_text("offline/guide answers");
    let pid = tmux.child();
    tmux.close_on(pid);
}

#[test]
fn it_ends_though_its_terminal_takes_nothing() {
    for keys in [&[][..], &["C-d"]] {
        let server = World::new().serve();
        let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
        tmux.attach(&server.url());
        tmux.await_text("offline/guide answers");
        let pid = tmux.child();
        tmux.take_nothing();
        // It leaves, and cannot say so; or it wants to draw.
        tmux.press(keys);
        tmux.write("words");
        signal(pid, Signal::TERM);
        await_that("it ends", || !is_alive(pid));
        tmux.take_on();
        tmux.press(&["C-u"]);
        tmux.run("stty -a");
        tmux.await_text(" icanon");
    }
}

#[test]
fn colours_are_left_out_where_nobody_wants_them() {
    let server = World::new().serve();
    for (env, is_coloured) in [(&[][..], true), (&[("NO_COLOR", "1")][..], false)] {
        let Some(tmux) = Tmux::start(&server.world, SIZE, env) else { return };
        tmux.attach(&server.url());
        tmux.await_text("offline/guide answers");
        tmux.write("list the files");
        tmux.press(&["Enter"]);
        tmux.await_text("▌ list the files");
        let shown = tmux.coloured();
        let has_colour = shown.contains("\u{1b}[36m") || shown.contains(";36m");
        assert_eq!(has_colour, is_coloured, "{shown:?}");
        let background = ["\u{1b}[4", ";4"].map(|start| format!("{start}8;"));
        assert!(background.iter().all(|codes| !shown.contains(codes)), "{shown:?}");
    }
}

#[test]
fn a_dumb_terminal_gets_lines() {
    let server = asking();
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[("TERM", "dumb")]) else { return };
    tmux.attach(&server.url());
    tmux.await_text("Write a line to ask.");
    assert_eq!(tmux.ask("alternate_on"), "0");
    tmux.run("run `echo it ran`");
    tmux.await_text("n refuse:");
    tmux.run("y");
    let screen = tmux.await_text("[bash: 1 line]");
    assert!(screen.contains("[bash echo it ran]"), "{screen}");
    tmux.await_text("It printed:");
    tmux.run("/quit");
    tmux.await_shell();
}

#[test]
fn a_line_written_while_the_server_is_away_is_sent_when_it_is_back() {
    let server = World::new().serve();
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[("TERM", "dumb")]) else { return };
    let proxy = Proxy::start(server.address);
    tmux.attach(&proxy.url());
    tmux.await_text("Write a line to ask.");
    tmux.run("run `echo it ran`");
    tmux.await_text("It printed:");
    proxy.cut();
    tmux.await_text("Server gone");
    tmux.run("run `echo twice`");
    tmux.await_text("this is sent when the server is there");
    tmux.run("run `echo thrice`");
    tmux.await_text("this was not sent");
    proxy.mend();
    tmux.await_text("[bash echo twice]");
    await_that("its turn has ended", || {
        server.get("/api/status")["activeTurns"] == 0 && sessions(&server)[0]["messageCount"] == 4
    });
    assert_eq!(sessions(&server).len(), 1);
    assert!(!tmux.screen().contains("[bash echo thrice]"), "{}", tmux.screen());
}

#[test]
fn a_line_written_while_the_server_is_away_is_sent_behind_the_turn_that_runs() {
    let model = Model::start();
    let mut server = model.world(json!({})).serve();
    let Some(tmux) = Tmux::start(&server.world, (100, 60), &[("TERM", "dumb")]) else { return };
    let proxy = Proxy::start(server.address);
    tmux.attach(&proxy.url());
    tmux.await_text("Write a line to ask.");
    // The turn goes on with the connection, has ended without it, or ended with the server.
    for (round, bytes) in [4, 8, 12].into_iter().enumerate() {
        model.ask_for(1);
        tmux.run(&format!("step 2 words of {bytes} bytes"));
        tmux.await_text(&"0".repeat(bytes));
        proxy.cut();
        tmux.await_that("the server is gone", |screen| {
            screen.matches("Server gone").count() == round + 1
        });
        let next = format!("next {round}");
        tmux.run(&next);
        tmux.await_that("the line is promised", |screen| {
            screen.matches("this is sent when the server is there").count() == round + 1
        });
        match round {
            0 => {}
            1 => {
                model.ask_for(1);
                await_that("no turn runs", || server.get("/api/status")["activeTurns"] == 0);
            }
            _ => {
                let port = server.address.port().to_string();
                server = server.stop(Signal::KILL).serve_with(&["--port", &port]);
                // One for the answer that nobody hears any more; what comes next follows on the
                // prompt, whose answer is lost.
                model.ask_for(2);
            }
        }
        let follows = |count: &str| {
            let page = String::from_utf8(server.ask("GET", "/metrics", None).body).unwrap();
            page.contains(&format!("\nopencode_followers {count}\n"))
        };
        await_that("nobody follows any more", || follows("0"));
        proxy.mend();
        if round == 0 {
            await_that("it follows again", || follows("1"));
            model.ask_for(1);
        }
        tmux.await_text(&format!("> {next}\n000"));
        await_that("its turn has ended", || {
            server.get("/api/status")["activeTurns"] == 0
                && sessions(&server)[0]["messageCount"] == 4 * (round + 1)
        });
    }
    assert_eq!(sessions(&server).len(), 1);
}

#[test]
fn a_proxy_that_ends_tls_is_trusted_by_its_authority() {
    let server = World::new().serve();
    let url = crate::tls_proxy::start(server.address);
    let Some(tmux) = Tmux::start(&server.world, SIZE, &[]) else { return };
    tmux.attach(&url);
    assert_eq!(tmux.status(), 3, "{}", tmux.screen());
    tmux.attach(&format!("--ca {} {url}", crate::tls_proxy::authority()));
    tmux.await_text("offline/guide answers");
    tmux.write("list the files");
    tmux.press(&["Enter"]);
    tmux.await_text("✓ list");
    tmux.await_text("● localhost:");
}
