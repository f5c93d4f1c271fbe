//! `opencode sessions`: the project's own and a server's, for people and for scripts.

use serde_json::{Value, json};

use crate::peers::leave_out;
use crate::program::{Ran, Serving, World, await_that};
use crate::socket::Ws;

fn ids(world: &World) -> Vec<String> {
    let list: Value = serde_json::from_str(&world.run(&["sessions", "--json"]).stdout).unwrap();
    let all = list.as_array().unwrap().iter();
    all.map(|session| session["id"].as_str().unwrap().to_owned()).collect()
}

/// A project with two sessions, the newest first.
fn world() -> (World, Vec<String>) {
    let world = World::new().file("notes.txt", "remember the ```oat``` milk\n");
    world.run(&["run", "read the file notes.txt"]).assert_status(0);
    world.run(&["run", "--title", "Second", "hello"]).assert_status(0);
    let ids = ids(&world);
    assert_eq!(ids.len(), 2);
    (world, ids)
}

#[test]
fn json_is_exactly_what_the_api_gives_here_and_at_a_server() {
    let (world, ids) = world();
    let server = world.serve();
    let url = server.url();
    let json = |args: &[&str]| -> Value {
        let run = server.world.run(args);
        run.assert_status(0);
        serde_json::from_str(&run.stdout).unwrap()
    };
    let all = server.get("/api/sessions");
    for args in [
        &["sessions", "--json"][..],
        &["sessions", "list", "--json"],
        &["sessions", "list", "--json", "--attach", &url],
    ] {
        assert_eq!(json(args), all, "{args:?}");
    }
    let one = server.get(&format!("/api/sessions/{}", ids[1]));
    for args in [
        &["sessions", "show", "--json", &ids[1]][..],
        &["sessions", "show", "--json", "--attach", &url, &ids[1]],
        &["sessions", "export", "--format", "json", &ids[1]],
        &["sessions", "export", "--format", "json", "--attach", &url, &ids[1]],
    ] {
        assert_eq!(json(args), one, "{args:?}");
    }
}

#[test]
fn people_get_a_table_a_transcript_and_a_document() {
    let (world, ids) = world();
    let list = world.run(&["sessions"]);
    let rows: Vec<_> = list.stdout.lines().collect();
    assert_eq!(rows.len(), 3, "{list:?}");
    assert!(rows[0].starts_with("SESSION ") && rows[0].ends_with("  TITLE"), "{list:?}");
    assert!(rows[1].starts_with(&ids[0]) && rows[1].ends_with("  Second"), "{list:?}");
    assert!(rows[1].contains("just now") && rows[1].contains("offline/guide"), "{list:?}");
    assert_eq!(rows[1].find("Second"), rows[0].find("TITLE"), "aligned");
    let show = world.run(&["sessions", "show", &ids[1]]).stdout;
    for part in ["── You ", "read the file notes.txt", "· read_file notes.txt", "oat"] {
        assert!(show.contains(part), "{part}: {show}");
    }
    let export = world.run(&["sessions", "export", &ids[1]]).stdout;
    for part in [
        "# read the file notes.txt\n",
        "## You\n\nread the file notes.txt\n",
        "<summary><code>read_file</code> notes.txt</summary>",
        "\n````\n",
    ] {
        assert!(export.contains(part), "{part}: {export}");
    }
    let empty = World::new().run(&["sessions"]);
    assert_eq!((empty.status, empty.stdout.as_str()), (0, ""));
    assert!(empty.stderr.contains("no sessions yet"), "{empty:?}");
    assert_eq!(World::new().run(&["sessions", "--json"]).stdout, "[]\n");
}

#[test]
fn the_beginning_of_an_id_is_enough_where_no_other_begins_so() {
    let (world, ids) = world();
    let differ = (1..=36).find(|end| ids[0][..*end] != ids[1][..*end]).unwrap();
    let show = world.run(&["sessions", "show", "--json", &ids[0][..differ]]);
    show.assert_status(0);
    assert_eq!(serde_json::from_str::<Value>(&show.stdout).unwrap()["id"], *ids[0]);
    let many = world.run(&["sessions", "show", &ids[0][..differ - 1]]);
    many.assert_status(2);
    assert!(many.stderr.contains("2 sessions' ids begin"), "{many:?}");
}

#[test]
fn a_run_goes_on_in_a_session_by_the_beginning_of_its_id() {
    let (world, ids) = world();
    let differ = (1..=36).find(|end| ids[0][..*end] != ids[1][..*end]).unwrap();
    let server = world.serve();
    let url = server.url();
    for attach in [&[][..], &["--attach", &url]] {
        let begun = ["run", "--session", &ids[1][..differ], "again"];
        server.world.run(&[&begun, attach].concat()).assert_status(0);
        let many = ["run", "--session", &ids[1][..differ - 1], "again"];
        let many = server.world.run(&[&many, attach].concat());
        many.assert_status(2);
        assert!(many.stderr.contains("2 sessions' ids begin"), "{many:?}");
    }
    let session = server.get(&format!("/api/sessions/{}", ids[1]));
    assert_eq!(session["messageCount"], 6);
}

#[test]
fn a_status_is_one_line_or_the_apis_json() {
    let server = World::new().serve();
    let url = server.url();
    let line = server.world.run(&["status", "--attach", &url]);
    assert_eq!(line.stdout.lines().count(), 1, "{line:?}");
    let json = server.world.run(&["status", "--attach", &url, "--json"]);
    let told: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&told["status"], &told["apiVersion"]), (&json!("ok"), &json!(1)));
}

#[test]
fn deleted_sessions_are_gone_here_and_at_the_server() {
    let (world, ids) = world();
    let server = world.serve();
    let url = server.url();
    let gone = server.world.run(&["sessions", "delete", &ids[0]]);
    gone.assert_status(0);
    assert_eq!(gone.stdout, format!("deleted {}\n", ids[0]));
    assert_eq!(server.get("/api/sessions").as_array().unwrap().len(), 1);
    server.world.run(&["sessions", "delete", "--attach", &url, &ids[1]]).assert_status(0);
    assert_eq!(server.get("/api/sessions"), json!([]));
    let again = server.world.run(&["sessions", "delete", &ids[0], &ids[1]]);
    again.assert_status(2);
    assert_eq!(again.stderr.matches("no session has this id").count(), 2, "{again:?}");
}

#[test]
fn none_is_deleted_where_one_of_the_names_is_wrong() {
    let (world, before) = world();
    world.run(&["sessions", "delete", &before[0], "zzz"]).assert_status(2);
    assert_eq!(ids(&world), before);
}

/// A session in which a command runs at the server.
fn running(server: &Serving) -> (Ws, String) {
    let mut ws = Ws::open(server);
    ws.say(&json!({ "type": "chat", "message": "run `sleep 1000`" }));
    let events = ws.hear_until(|event| event["type"] == "tool_start");
    let id = events[0]["sessionId"].as_str().unwrap().to_owned();
    (ws, id)
}

#[test]
fn a_turn_that_runs_elsewhere_is_left_alone_and_one_at_the_server_is_stopped() {
    let server = World::new().serve();
    let (_ws, id) = running(&server);
    let list = server.world.run(&["sessions"]);
    assert!(list.stdout.contains("  running  "), "{list:?}");
    let here = server.world.run(&["sessions", "delete", &id]);
    here.assert_status(1);
    assert!(here.stderr.contains("stop it where it was asked for"), "{here:?}");
    assert_eq!(server.get("/api/status")["activeTurns"], 1);
    let there = server.world.run(&["sessions", "delete", "--attach", &server.url(), &id]);
    there.assert_status(0);
    await_that("its turn ends", || server.get("/api/status")["activeTurns"] == 0);
}

#[test]
fn a_turn_of_a_run_beside_the_server_is_told_as_one_that_ends_there_only() {
    let server = World::new().serve();
    let mut run = server.world.command(&["run", "run `sleep 1000`"]).spawn().unwrap();
    await_that("its command runs", || {
        let all = server.get("/api/sessions");
        all[0]["status"] == "running"
    });
    let id = server.get("/api/sessions")[0]["id"].as_str().unwrap().to_owned();
    let message = json!({ "message": "and?", "sessionId": id });
    for (method, path, body) in [
        ("POST", "/api/chat".to_owned(), Some(&message)),
        ("DELETE", format!("/api/sessions/{id}"), None),
        ("POST", format!("/api/sessions/{id}/abort"), None),
    ] {
        let refused = server.ask(method, &path, body);
        assert_eq!((refused.status, &*refused.code()), (409, "session-busy"), "{path}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("another process") && !detail.contains("/abort"), "{detail}");
    }
    run.kill().unwrap();
    run.wait().unwrap();
}

#[test]
fn wrong_calls_are_told_in_one_line() {
    let (world, ids) = world();
    for (args, status, word) in [
        (&["sessions", "shwo"][..], 2, "did you mean sessions show?"),
        (&["sessions", "show"], 2, "name one session"),
        (&["sessions", "show", &ids[0], &ids[1]], 2, "name one session"),
        (&["sessions", "show", "nothing"], 2, "lists them, those of a server with --attach URL"),
        (
            &["sessions", "show", &ids[0].replace('0', "1")],
            2,
            "has this id; `opencode sessions` lists them, those of",
        ),
        (&["sessions", "delete"], 2, "name sessions"),
        (&["sessions", "export", "--format", "pdf", &ids[0]], 2, "markdown or json"),
        (&["sessions", "list", "extra"], 2, "unexpected \"extra\""),
        (&["sessions", "--attach", "http://127.0.0.1:1"], 3, "nothing listens"),
        (&["completions"], 2, "bash, zsh or fish"),
        (&["completions", "tcsh"], 2, "bash, zsh or fish"),
    ] {
        let run = world.run(args);
        run.assert_status(status);
        assert!(run.stderr.contains(word), "{args:?}: {run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{args:?}: {run:?}");
    }
    let help = world.run(&["sessions", "--help"]);
    assert!(help.stdout.contains("export  Print a session"), "{help:?}");
    assert_eq!(world.run(&["help", "sessions"]).stdout, help.stdout);
    let server = World::new().env("OPENCODE_SERVER_PASSWORD", "s3cret").serve();
    world.run(&["sessions", "delete", "--attach", &server.url(), &ids[0]]).assert_status(4);
}

#[test]
fn nothing_that_was_said_moves_the_cursor() {
    let evil = "e\u{1b}]0;owned\u{7}v\u{9b}31mi\u{202e}l";
    let server = World::new().file("evil.txt", &format!("{evil}\n")).serve();
    let created = server.post("/api/sessions", &json!({ "title": "x" })).json();
    let id = created["id"].as_str().unwrap();
    let prompt = format!("read the file evil.txt {evil}");
    server.post("/api/chat", &json!({ "message": "read the file evil.txt", "sessionId": id }));
    server.post("/api/chat", &json!({ "message": prompt, "title": evil }));
    let url = server.url();
    for attach in [&[][..], &["--attach", &url]] {
        for args in [
            &["sessions"][..],
            &["sessions", "--json"],
            &["sessions", "show", id],
            &["sessions", "show", "--json", id],
            &["sessions", "export", id],
            &["sessions", "export", "--format", "json", id],
        ] {
            assert_harmless(&server.world.run(&[args, attach].concat()), args);
        }
    }
}

#[track_caller]
fn assert_harmless(run: &Ran, args: &[&str]) {
    run.assert_status(0);
    let harmful = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
    assert!(!run.stdout.contains(harmful) && !run.stderr.contains(harmful), "{args:?}: {run:?}");
}

#[test]
fn a_terminal_gets_lines_that_fit_and_colour_if_wanted() {
    let (world, ids) = world();
    let long = "a title that is so long that it cannot stand on one line of a narrow terminal";
    world.run(&["run", "--title", long, "hello"]).assert_status(0);
    for (columns, no_color) in [(40, ""), (80, ""), (120, ""), (80, "1")] {
        let Some(shown) = on_a_terminal(&world, columns, no_color, "sessions") else { return };
        assert_eq!(shown.contains("\x1b[1m"), no_color.is_empty(), "{shown:?}");
        let plain = shown.replace("\x1b[1m", "").replace("\x1b[0m", "").replace('\r', "");
        assert_eq!(plain.trim_end().lines().count(), 4, "{columns}: {plain}");
        for line in plain.lines() {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
        if columns == 80 {
            assert!(plain.contains('…'), "{plain}");
            assert!(!plain.contains(&ids[0]), "an id as short as it can be: {plain}");
        }
    }
}

/// What a command shows on a terminal so wide.
fn on_a_terminal(world: &World, columns: usize, no_color: &str, args: &str) -> Option<String> {
    let like = world.command(&[]);
    let program = like.get_program().to_str().unwrap();
    let line = format!("stty cols {columns} rows 24; exec '{program}' {args}");
    let mut script = std::process::Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .current_dir(world.project.path())
        .env_clear()
        .envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .envs([("TERM", "xterm"), ("NO_COLOR", no_color)])
        .stdin(std::process::Stdio::null());
    let Ok(output) = script.output() else {
        leave_out("there is no `script` here");
        return None;
    };
    Some(String::from_utf8(output.stdout).unwrap())
}
