//! Sessions outlive their server, and other processes share them.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::program::{Serving, World, await_that};
use crate::taken::resident;

/// The folder of the only project that a home has sessions of.
fn store(world: &World) -> PathBuf {
    let projects = world.home.path().join(".local/share/opencode-server/projects");
    let mut folders = std::fs::read_dir(projects).unwrap();
    folders.next().unwrap().unwrap().path()
}

fn session_of(server: &Serving, message: &str) -> String {
    let reply = server.post("/api/chat", &json!({ "message": message })).json();
    reply["sessionId"].as_str().unwrap().to_owned()
}

/// Stops a server and starts another one in the same world.
fn restart(server: Serving) -> Serving {
    let world = server.stop(Signal::TERM);
    world.serve()
}

#[test]
fn a_restarted_server_has_every_session_and_goes_on_in_it() {
    let server = World::new().file("notes.txt", "oat milk").serve();
    assert_eq!(server.get("/api/status")["store"], "disk");
    let id = session_of(&server, "read the file notes.txt");
    let path = format!("/api/sessions/{id}");
    server.ask("PATCH", &path, Some(&json!({ "title": "Milk" })));
    let before = server.get(&path);
    let server = restart(server);
    assert_eq!(server.get(&path), before);
    let again = server.post("/api/chat", &json!({ "message": "and now?", "sessionId": id }));
    assert_eq!(again.status, 200);
    assert_eq!(server.get(&path)["messages"].as_array().unwrap().len(), 4);
    assert_eq!(server.ask("DELETE", &path, None).status, 204);
    let server = restart(server);
    assert_eq!(server.get("/api/sessions"), json!([]));
}

#[test]
fn only_the_person_can_read_what_is_stored() {
    let server = World::new().serve();
    session_of(&server, "hello");
    let mut files = 0;
    for entry in ignore::WalkBuilder::new(store(&server.world)).hidden(false).build().flatten() {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        let is_folder = entry.file_type().unwrap().is_dir();
        assert_eq!(mode, if is_folder { 0o700 } else { 0o600 }, "{}", entry.path().display());
        files += usize::from(!is_folder);
    }
    assert!(files >= 3, "{files} files");
}

#[test]
fn a_second_server_of_the_project_names_the_first_and_another_project_has_its_own() {
    let server = World::new().serve();
    let second = server.world.run(&["serve", "--port", "0"]);
    second.assert_status(1);
    assert!(second.stderr.contains(&server.url()), "{second:?}");
    let elsewhere = World::new();
    let mut command = elsewhere.command(&["serve", "--port", "0"]);
    let mut other = command.env("HOME", server.world.home.path()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(other.stdout.take().unwrap()).read_line(&mut line).unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(line.starts_with("opencode server listening on"), "{line}");
}

#[test]
fn a_run_beside_the_server_shares_its_sessions() {
    let server = World::new().serve();
    server.world.run(&["run", "--title", "By a run", "hello"]).assert_status(0);
    let listed = server.get("/api/sessions");
    assert_eq!((&listed[0]["title"], &listed[0]["status"]), (&json!("By a run"), &json!("idle")));
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    server.world.run(&["run", "--session", &id, "and again"]).assert_status(0);
    server.world.run(&["run", "--continue", "and once more"]).assert_status(0);
    assert_eq!(server.get(&format!("/api/sessions/{id}"))["messageCount"], 6);

    let slow = ["run", "--continue", "run `touch started; sleep 1000`"];
    let mut child = server.world.command(&slow).spawn().unwrap();
    let started = server.world.project.path().join("started");
    await_that("the run works", || started.exists());
    let path = format!("/api/sessions/{id}");
    assert_eq!(server.get("/api/sessions")[0]["status"], "running");
    assert_eq!(server.get(&path)["status"], "running");
    let chat = server.post("/api/chat", &json!({ "message": "me too", "sessionId": id }));
    assert_eq!(chat.code(), "session-busy");
    let abort = server.ask("POST", &format!("{path}/abort"), None);
    assert_eq!(abort.status, 409);
    assert!(abort.json()["detail"].as_str().unwrap().contains("another process"), "{abort:?}");
    // SIGKILL: what it leaves unfinished is finished by whoever comes next.
    child.kill().unwrap();
    child.wait().unwrap();
    await_that("its lock is gone", || server.get(&path)["status"] == "idle");
    let next = server.post("/api/chat", &json!({ "message": "go on", "sessionId": id }));
    assert_eq!(next.status, 200, "{next:?}");
    let messages = server.get(&path)["messages"].clone();
    assert_eq!(messages[7]["finishReason"], "error");
    assert_eq!(messages[9]["finishReason"], "stop");
}

#[test]
fn a_torn_record_is_cut_off_and_nothing_before_it_is_lost() {
    let server = World::new().serve();
    let id = session_of(&server, "hello");
    let path = format!("/api/sessions/{id}");
    let before = server.get(&path);
    let world = server.stop(Signal::KILL);
    let log = store(&world).join(format!("sessions/{id}.log"));
    let mut bytes = std::fs::read(&log).unwrap();
    let whole = bytes.len();
    bytes.extend_from_slice(b"0badc0de 9 [{\"id\":9,\"text\":[\"half a rec");
    std::fs::write(&log, &bytes).unwrap();
    let head = log.with_extension("head");
    std::fs::write(&head, "{\"id\":").unwrap();
    let server = world.serve();
    assert_eq!(server.get(&path)["messages"], before["messages"]);
    assert_eq!(server.get("/api/sessions")[0]["title"], "hello", "the head comes from the log");
    let next = server.post("/api/chat", &json!({ "message": "go on", "sessionId": id }));
    assert_eq!(next.status, 200);
    assert_eq!(server.get(&path)["messages"].as_array().unwrap().len(), 4);
    let kept = std::fs::read(&log).unwrap();
    assert!(kept.len() > whole && kept[..whole] == bytes[..whole]);
    assert!(!String::from_utf8_lossy(&kept).contains("half a rec"));
}

#[test]
fn a_store_of_a_later_version_is_refused_in_words() {
    let server = World::new().serve();
    let id = session_of(&server, "hello");
    let world = server.stop(Signal::TERM);
    let folder = store(&world);
    let log = folder.join(format!("sessions/{id}.log"));
    let newer =
        std::fs::read_to_string(&log).unwrap().replacen("opencode-log 1", "opencode-log 2", 1);
    std::fs::write(&log, newer).unwrap();
    let server = world.serve();
    let reply = server.ask("GET", &format!("/api/sessions/{id}"), None);
    assert_eq!(reply.code(), "store-failed");
    assert!(reply.json()["detail"].as_str().unwrap().contains("version 2"), "{reply:?}");
    let world = server.stop(Signal::TERM);
    std::fs::write(folder.join("format"), "7\n").unwrap();
    let refused = world.run(&["serve", "--port", "0"]);
    refused.assert_status(1);
    assert!(refused.stderr.contains("version 7"), "{refused:?}");
}

#[test]
fn where_nothing_can_be_written_sessions_live_in_memory_with_one_warning() {
    let server = World::new().env("OPENCODE_DATA_DIR", "/proc/nowhere").serve();
    session_of(&server, "hello");
    assert_eq!(server.get("/api/status")["store"], "memory");
    assert_eq!(server.get("/api/sessions").as_array().unwrap().len(), 1);
    let (_, log) = server.end(Signal::TERM);
    assert_eq!(log.matches("in memory").count(), 1, "{log}");
}

/// Needs a mount of its own, and so root or user namespaces.
#[test]
fn a_full_disk_fails_the_turn_in_words_and_harms_nothing_before() {
    let can_mount = Command::new("unshare").args(["-m", "true"]).status();
    if !can_mount.is_ok_and(|status| status.success()) {
        println!("left out: a small disk cannot be mounted without root");
        return;
    }
    let world = World::new();
    let disk = world.home.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let world = world.env("OPENCODE_DATA_DIR", disk.to_str().unwrap());
    let server = world.serve_through(
        &["unshare", "-m", "sh", "-c"],
        &format!("mount -t tmpfs -o size=512k none {} && exec \"$0\" \"$@\"", disk.display()),
    );
    let id = session_of(&server, "hello");
    let path = format!("/api/sessions/{id}");
    let before = server.get(&path)["messages"].clone();
    let long = format!("say nothing of {}", "x".repeat(200_000));
    let mut failed = None;
    for _ in 0..5 {
        let reply = server.post("/api/chat", &json!({ "message": long, "sessionId": id }));
        if reply.status != 200 {
            failed = Some(reply);
            break;
        }
    }
    let failed = failed.expect("the disk is full at some time");
    assert_eq!(failed.code(), "store-failed");
    assert!(failed.json()["detail"].as_str().unwrap().contains("disk is full"), "{failed:?}");
    let after = server.get(&path)["messages"].clone();
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1], before[1]);
    assert_eq!(server.get("/api/status")["status"], "ok");
    assert_eq!(server.get(&path)["status"], "idle");
}

#[test]
fn ten_thousand_stored_sessions_cost_a_start_nothing() {
    let server = World::new().serve();
    let id = session_of(&server, "hello");
    let world = server.stop(Signal::TERM);
    let folder = store(&world).join("sessions");
    let ids = opencode::id::Ids::default();
    // Logs that nobody may open: reading one of them would fail the request.
    for _ in 0..10_000 {
        std::fs::write(folder.join(format!("{}.log", ids.next())), "no log at all").unwrap();
    }
    let server = world.serve();
    assert_eq!(server.get("/api/status")["sessions"], 10_001);
    assert_eq!(server.get(&format!("/api/sessions/{id}"))["messageCount"], 2);
    assert!(!server.log.text().contains("damaged"), "{}", server.log.text());
}

#[test]
fn memory_follows_the_sessions_in_use() {
    let server = World::new().serve();
    let pid = server.child.id();
    let message = "m".repeat(100_000);
    let ask = |message: &str| server.post("/api/chat", &json!({ "message": message })).status;
    for _ in 0..10 {
        assert_eq!(ask(&message), 200);
    }
    let few = resident(pid);
    for _ in 0..300 {
        assert_eq!(ask(&message), 200);
    }
    // 30 MB of messages more are stored; the last used sessions hold theirs for a minute.
    await_that("the others are let go", || resident(pid) < few + 24_000 * 1024);
    let listed: Vec<Value> = serde_json::from_value(server.get("/api/sessions")).unwrap();
    assert_eq!(listed.len(), 310);
}

#[test]
fn a_deletion_that_was_interrupted_is_ended_by_the_next_start() {
    let server = World::new().serve();
    let (gone, kept) = (session_of(&server, "hello"), session_of(&server, "hello"));
    let world = server.stop(Signal::TERM);
    let folder = store(&world);
    // As a kill leaves it: the log goes first, the lock last.
    std::fs::remove_file(folder.join(format!("sessions/{gone}.log"))).unwrap();
    std::fs::write(folder.join(format!("running/{gone}")), "1").unwrap();
    let server = world.serve();
    let all = server.get("/api/sessions");
    assert_eq!((all.as_array().unwrap().len(), &all[0]["id"]), (1, &json!(kept)));
    for place in ["sessions", "running"] {
        let names = std::fs::read_dir(folder.join(place)).unwrap().flatten();
        let left: Vec<_> = names.map(|entry| entry.file_name().into_string().unwrap()).collect();
        assert!(!left.iter().any(|name| name.contains(&gone)), "{left:?}");
    }
}

#[test]
fn a_lock_that_outlives_its_server_is_waited_for() {
    let world = World::new().serve().stop(Signal::KILL);
    let held = std::fs::File::open(store(&world).join("server")).unwrap();
    held.lock().unwrap();
    let mut next = world.command(&["serve", "--port", "0"]).spawn().unwrap();
    let mut log = BufReader::new(next.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("does not answer: waiting")));
    held.unlock().unwrap();
    let mut first = String::new();
    BufReader::new(next.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("opencode server listening on "), "{first}");
    next.kill().unwrap();
    next.wait().unwrap();
}
