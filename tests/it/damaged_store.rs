//! A damaged data directory: told in words, within its session, and nothing waits on it.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::program::{Serving, World};

/// The folder of the only project that a home has sessions of.
fn store(world: &World) -> PathBuf {
    let projects = world.home.path().join(".local/share/opencode-server/projects");
    std::fs::read_dir(projects).unwrap().next().unwrap().unwrap().path()
}

fn session_of(server: &Serving, message: &str) -> String {
    let reply = server.post("/api/chat", &json!({ "message": message })).json();
    reply["sessionId"].as_str().unwrap().to_owned()
}

/// Puts something else in the place of a file.
type Damage = fn(&Path);

/// What a name can become.
const DAMAGES: [(&str, Damage); 7] = [
    ("a pipe", |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
    ("endless", |path| symlink("/dev/zero", path).unwrap()),
    ("a folder", |path| std::fs::create_dir(path).unwrap()),
    ("a link to itself", |path| symlink(path, path).unwrap()),
    ("random", |path| std::fs::write(path, [0xC3, 0x28, b'\n', 0xFF].repeat(100_000)).unwrap()),
    ("empty", |path| std::fs::write(path, "").unwrap()),
    ("a large number", |path| std::fs::write(path, u64::MAX.to_string()).unwrap()),
];

fn damage(path: &Path, how: Damage) {
    let _ = std::fs::remove_file(path);
    how(path);
}

#[test]
fn a_damaged_session_answers_in_words_and_the_others_go_on() {
    let server = World::new().serve();
    let sound = session_of(&server, "hello");
    let store = store(&server.world);
    for (name, how) in DAMAGES {
        for file in ["sessions/ID.log", "sessions/ID.head", "sessions/ID.title", "running/ID"] {
            let id = session_of(&server, "hello");
            damage(&store.join(file.replace("ID", &id)), how);
            let path = format!("/api/sessions/{id}");
            let chat = json!({ "message": "and now?", "sessionId": id });
            let answers = [
                server.ask("GET", &path, None),
                server.ask("GET", &format!("{path}?limit=1"), None),
                server.post("/api/chat", &chat),
                server.ask("PATCH", &path, Some(&json!({ "title": "t" }))),
                server.ask("DELETE", &path, None),
            ];
            for answer in answers {
                if !matches!(answer.status, 200 | 204) {
                    assert!(["store-failed", "session-not-found"].contains(&&*answer.code()));
                }
            }
            let others = server.post("/api/chat", &json!({ "message": "hi", "sessionId": sound }));
            assert_eq!(others.status, 200, "with {file} {name}: {}", others.json());
        }
    }
    assert!(!server.log.text().contains("panicked"));
}

#[test]
fn a_start_on_a_damaged_store_says_what_is_wrong_or_does_without() {
    for (name, how) in DAMAGES {
        for file in ["format", "server", "key"] {
            let server = World::new().serve();
            let id = session_of(&server, "hello");
            let world = server.stop(Signal::TERM);
            damage(&store(&world).join(file), how);
            // What a server says of itself and the key of its cookies are made again.
            let is_told = match file {
                "server" => !matches!(name, "random" | "empty" | "a large number"),
                file => file == "format",
            };
            if is_told {
                let ran = world.run(&["serve", "--port", "0"]);
                assert_ne!(ran.status, 0, "{file} is {name}");
                assert!(ran.stderr.starts_with("opencode: "), "{file} is {name}: {}", ran.stderr);
            } else {
                let server = world.serve();
                let session = server.get(&format!("/api/sessions/{id}"));
                assert_eq!(session["messageCount"], 2, "{file} is {name}");
            }
        }
    }
}

#[test]
fn a_new_session_whose_turn_cannot_be_marked_is_not_left_behind() {
    let server = World::new().serve();
    let running = store(&server.world).join("running");
    std::fs::remove_dir_all(&running).unwrap();
    std::fs::write(&running, "").unwrap();
    let refused = server.post("/api/chat", &json!({ "message": "hello" }));
    assert_eq!((refused.status, &*refused.code()), (507, "store-failed"));
    assert_eq!(server.get("/api/sessions"), json!([]));
}

#[test]
fn what_a_link_in_the_store_leads_to_is_neither_read_nor_written() {
    let server = World::new().serve();
    let id = session_of(&server, "hello");
    let store = store(&server.world);
    let world = server.stop(Signal::TERM);
    let names: Vec<_> = ["server", "format", "sessions/ID.log", "sessions/ID.head", "running/ID"]
        .into_iter()
        .map(|name| name.replace("ID", &id))
        .collect();
    for name in &names {
        let (path, precious) = (store.join(name), world.home.path().join("precious"));
        let kept = std::fs::read(&path).unwrap_or_default();
        std::fs::write(&precious, "precious").unwrap();
        let _ = std::fs::remove_file(&path);
        symlink(&precious, &path).unwrap();
        let ran = world.run(&["run", "--model", "offline/guide", "--session", &id, "hello"]);
        assert!(!format!("{ran:?}").contains("precious"), "{name}: {ran:?}");
        let mut server = world.command(&["serve", "--port", "0"]).spawn().unwrap();
        // It starts, or says why not and ends: either way the link is met before the first line.
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(server.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        let _ = server.kill();
        server.wait().unwrap();
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious", "{name}: {line}");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, kept).unwrap();
    }
}

#[test]
fn a_session_that_cannot_be_read_any_more_can_be_deleted() {
    let server = World::new().serve();
    let store = store(&server.world);
    for (name, how) in DAMAGES {
        let id = session_of(&server, "hello");
        damage(&store.join(format!("sessions/{id}.log")), how);
        let reply = server.ask("DELETE", &format!("/api/sessions/{id}"), None);
        // A folder is nobody's session file: it is told, and left to the person.
        let wanted = if name == "a folder" { 507 } else { 204 };
        assert_eq!(reply.status, wanted, "{name}: {reply:?}");
    }
}
