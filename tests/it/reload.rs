//! SIGHUP: what is taken over while the server runs, what is told of it, and that nothing of a
//! broken configuration is.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::program::{Dir, Serving, World, await_that, events};
use crate::scripted::{Act, Protocol, Scripted, stream};
use crate::wire::Client;

/// Sends SIGHUP and waits until the log has one more line that ends it: what was told meanwhile.
fn reload(server: &Serving, word: &str) -> String {
    let before = server.log.text().len();
    server.signal(Signal::HUP);
    await_that(word, || server.log.text()[before..].contains(word));
    server.log.text()[before..].to_owned()
}

fn allows(server: &Serving, origin: &str) -> bool {
    let reply = server.ask_with("GET", "/api/status", &[("Origin", origin)], None);
    reply.field("Access-Control-Allow-Origin") == Some(origin)
}

#[test]
fn what_can_change_changes_and_the_rest_is_named() {
    let world = World::new();
    let file = ".config/opencode/opencode.json";
    world.home.write(file, r#"{"server":{"cors":["http://one:1"]},"model":"ollama/a"}"#);
    let server = world.serve();
    let new = json!({
        "server": {
            "cors": ["http://two:2"],
            "basePath": "/x",
            "limits": { "turns": 3, "connections": 9 },
        },
        "log": { "level": "debug", "format": "json" },
        "model": "mine/b",
        "agent": { "helper": { "description": "helps" } },
        "provider": { "mine": {
            "npm": "@ai-sdk/openai-compatible",
            "options": { "baseURL": "http://127.0.0.1:1/v1", "apiKey": "sk-hush" },
            "models": { "b": {} },
        } },
    });
    assert!(allows(&server, "http://one:1") && !allows(&server, "http://two:2"));
    server.world.home.write(file, &new.to_string());
    let told = reload(&server, "reloaded: ");
    assert!(allows(&server, "http://two:2") && !allows(&server, "http://one:1"));
    let status = server.get("/api/status");
    assert_eq!(
        (&status["defaultModel"], &status["server"]["cors"][0]),
        (&json!("mine/b"), &json!("http://two:2"))
    );
    assert_eq!(status["server"]["port"], server.address.port(), "without a base path");
    let agents = server.get("/api/agents");
    assert!(agents.as_array().unwrap().iter().any(|agent| agent["id"] == "helper"));
    let providers = server.get("/api/providers");
    assert!(providers.as_array().unwrap().iter().any(|one| one["id"] == "mine"));
    for line in [
        r#"server.cors = [\"http://two:2\"] (~/.config/opencode/opencode.json:1), was [\"http://one:1\"]"#,
        r#"server.basePath = \"/x\" (~/.config/opencode/opencode.json:1) needs a restart; until then it is \"\""#,
        "server.limits.connections = 9 (~/.config/opencode/opencode.json:1) needs a restart",
        r#"log.level = \"debug\""#,
        r#"model = \"mine/b\""#,
        "the log's level is debug",
    ] {
        let plain = line.replace('\\', "");
        assert!(told.contains(line) || told.contains(&plain), "{line} is not in {told}");
    }
    assert!(!told.contains("hush"), "{told}");
    // From here on it is JSON.
    await_that("a request is an object of the log", || {
        server.get("/api/status");
        let log = server.log.text();
        serde_json::from_str::<Value>(log.lines().last().unwrap_or_default()).is_ok()
    });
    // Another secret is told, and what needs a restart each time.
    let other = new.to_string().replace("sk-hush", "sk-still");
    server.world.home.write(file, &other);
    let told = reload(&server, "reloaded: ");
    assert!(told.contains("provider.mine has another secret") && !told.contains("sk-"), "{told}");
    assert!(told.contains("needs a restart") && !told.contains("server.cors"), "{told}");
}

#[test]
fn what_needs_a_restart_is_told_when_it_is_taken_out_of_a_file_too() {
    let set = r#"{"server":{"basePath":"/x","limits":{"connections":9,"turns":3}}}"#;
    let server = World::new().file("opencode.json", set).serve();
    server.world.project.write("opencode.json", "{}");
    let told = reload(&server, "reloaded: ");
    for line in [
        r#"server.basePath = "" (default) needs a restart; until then it is "/x""#,
        "(default) needs a restart; until then it is 9",
        "(default), was 3",
        "reloaded: 3 settings differ",
    ] {
        assert!(told.contains(line), "{line} is not in {told}");
    }
}

#[test]
fn a_broken_file_changes_nothing_and_says_why() {
    let server =
        World::new().file("opencode.json", r#"{"server":{"cors":["http://one:1"]}}"#).serve();
    for (text, why) in [
        (
            "{\"server\":{\n\"cors\":[\"http://two:2\"],\n\"port\":\"x\"}}",
            "opencode.json:3: server.port: ",
        ),
        (
            "{\"server\":{\"cors\":[\"http://two:2\"]},\n\"default_agent\":\"nobody\"}",
            "opencode.json:2: default_agent: ",
        ),
        (
            "{\"server\":{\"cors\":[\"http://two:2\"]},\n\"model\":\"nobody/x\"}",
            "opencode.json:2: model: ",
        ),
        ("{\"server\":", "opencode.json:1"),
    ] {
        server.world.project.write("opencode.json", text);
        let told = reload(&server, "nothing has changed");
        assert!(told.contains(why) && told.contains(" error cli "), "{told}");
        assert!(allows(&server, "http://one:1") && !allows(&server, "http://two:2"), "{text}");
    }
    server.world.project.write("opencode.json", r#"{"server":{"cors":["http://one:1"]}}"#);
    assert!(reload(&server, "reloaded: ").contains("reloaded: no setting differs"));
}

#[test]
fn the_password_of_a_file_changes_and_guesses_are_not_forgotten() {
    let secrets = Dir::new();
    secrets.write("password", "first-one\n");
    let path = secrets.path().join("password");
    let server = World::new().env("OPENCODE_SERVER_PASSWORD_FILE", path.to_str().unwrap()).serve();
    let ask = |password: &str| {
        let basic = format!("Basic {}", STANDARD.encode(format!("opencode:{password}")));
        server.ask_with("GET", "/api/status", &[("Authorization", &basic)], None).status
    };
    assert_eq!((ask("first-one"), ask("second-one")), (200, 401));
    secrets.write("password", "second-one");
    let told = reload(&server, "reloaded: 1 setting differs");
    assert!(told.contains("user or password are others") && !told.contains("-one"), "{told}");
    assert_eq!((ask("first-one"), ask("second-one")), (401, 200));
    for _ in 0..8 {
        assert_eq!(ask("guess"), 401);
    }
    secrets.write("password", "third-one");
    reload(&server, "reloaded: 1 setting differs");
    assert_eq!(ask("third-one"), 429, "ten wrong ones came");
    std::fs::remove_file(&path).unwrap();
    assert!(reload(&server, "nothing has changed").contains("password"));
}

#[test]
fn a_turn_keeps_what_it_began_with() {
    let protocol = Protocol::OpenAi;
    let call =
        || Act::Say(stream(&(protocol.call(r#"{"path":"notes.txt"}"#) + &protocol.end(true))));
    let done = || Act::Say(stream(&(protocol.text("done") + &protocol.end(false))));
    let provider = Scripted::play([call(), call(), done(), call(), done()]);
    let world = provider.world(protocol, &json!({})).file("notes.txt", "words");
    let mut config: Value = serde_json::from_str(&world.project.read("opencode.json")).unwrap();
    let mut permit = |world: &World, what: &str| {
        config["permission"] = json!({ "read": what });
        world.project.write("opencode.json", &config.to_string());
    };
    permit(&world, "ask");
    let server = world.serve();
    let mut client = Client::connect(server.address);
    let body = json!({ "message": "go" });
    client.send(server.request("POST", "/api/chat/stream", &[], Some(&body)));
    let reply = |count: usize| {
        let session = server.get("/api/sessions")[0]["id"].as_str().unwrap().to_owned();
        let mut question = Value::Null;
        await_that("a tool waits", || {
            let session = server.get(&format!("/api/sessions/{session}"));
            question = session["pendingPermissions"][0].clone();
            question.is_object() && provider.asked().len() == count
        });
        let path = format!("/api/permissions/{}", question["id"].as_str().unwrap());
        assert_eq!(server.post(&path, &json!({ "reply": "once" })).status, 204);
    };
    client.await_text("\"type\":\"permission\"");
    permit(&server.world, "deny");
    reload(&server, "reloaded: ");
    reply(1);
    reply(2);
    let told = events(&String::from_utf8(client.reply().body).unwrap());
    let ends: Vec<_> = told.iter().filter(|event| event["type"] == "tool_end").collect();
    assert!(ends.len() == 2 && ends.iter().all(|end| end["isError"] == false), "{told:?}");
    // The next turn begins with the new ones.
    let told = server.stream(&json!({ "message": "go" }));
    let end = told.iter().find(|event| event["type"] == "tool_end").unwrap();
    assert_eq!(end["isError"], true, "{end}");
}

#[test]
fn a_service_manager_hears_of_it() {
    let folder = Dir::new();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(crate::wire::PATIENCE)).unwrap();
    let hear = || {
        let mut came = [0; 256];
        let count = manager.recv(&mut came).unwrap();
        String::from_utf8(came[..count].to_vec()).unwrap()
    };
    let server = World::new().env("NOTIFY_SOCKET", path.to_str().unwrap()).serve();
    assert!(hear().starts_with("READY=1\n"));
    for text in ["{}", "{"] {
        server.world.project.write("opencode.json", text);
        server.signal(Signal::HUP);
        let told = hear();
        assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told}");
        assert!(hear().starts_with("READY=1\n"));
    }
}

#[test]
fn a_server_ends_with_its_terminal_and_under_nohup_it_does_not() {
    for (nohup, ends) in [("", true), ("nohup ", false)] {
        let world = World::new();
        // The terminal is `script`'s, and gone with it.
        let command =
            format!("exec {nohup}{} serve --port 0 2>log", env!("CARGO_BIN_EXE_opencode"));
        let typescript = world.home.path().join("typescript");
        let args = ["-q", "-f", "-c", &command, typescript.to_str().unwrap()];
        let mut script = world
            .beside("script", &args)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let read = |name: &str| std::fs::read_to_string(name).unwrap_or_default();
        let said = || {
            let output = read(world.project.path().join("nohup.out").to_str().unwrap());
            let said = output + &read(typescript.to_str().unwrap());
            let (_, rest) = said.split_once("listening on http://")?;
            let address = rest.split(['\r', '\n']).next()?;
            rest.contains('\n').then(|| address.to_owned())
        };
        let mut address = None;
        await_that("it listens", || {
            address = said();
            address.is_some()
        });
        let address = address.unwrap();
        let pid = server_pid(script.id());
        script.kill().unwrap();
        script.wait().unwrap();
        if ends {
            await_that("it ends", || TcpStream::connect(&address).is_err());
        } else {
            kill_process(pid, Signal::HUP).unwrap();
            let log = world.project.path().join("log");
            await_that("it reloads", || read(log.to_str().unwrap()).contains("reloaded: "));
            assert!(TcpStream::connect(&address).is_ok());
            kill_process(pid, Signal::TERM).unwrap();
            await_that("it ends", || TcpStream::connect(&address).is_err());
        }
    }
}

/// The child of a process.
fn server_pid(parent: u32) -> Pid {
    let children = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(children).unwrap();
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}
