//! Tools that ask: who answers, what an answer covers, and what happens where nobody can.

use std::io::{BufRead, BufReader};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::program::{Serving, World, await_that, events, types};
use crate::scripted::{Protocol, said, spoken, stream};
use crate::socket::Ws;
use crate::wire::Client;

fn world(permission: &Value) -> World {
    // The project's file restricts; that is all these tests need.
    World::new().config(&json!({ "permission": permission }))
}

/// Asks, and waits until a tool waits for a person: the stream, and the question.
fn ask(server: &Serving, message: &str, session: Option<&str>) -> (Client, Value) {
    let body = json!({ "message": message, "sessionId": session });
    let mut client = Client::connect(server.address);
    client.send(server.request("POST", "/api/chat/stream", &[], Some(&body)));
    client.await_text("\"type\":\"permission\"");
    let sessions = server.get("/api/sessions");
    let waiting = sessions.as_array().unwrap().iter().find_map(|session| {
        let path = format!("/api/sessions/{}", session["id"].as_str().unwrap());
        server.get(&path)["pendingPermissions"].get(0).cloned()
    });
    (client, waiting.unwrap())
}

fn reply(server: &Serving, question: &Value, reply: &str) -> u16 {
    let path = format!("/api/permissions/{}", question["id"].as_str().unwrap());
    server.ask("POST", &path, Some(&json!({ "reply": reply }))).status
}

fn rest(mut client: Client) -> Vec<Value> {
    events(&String::from_utf8(client.reply().body).unwrap())
}

fn end_of(events: &[Value]) -> &Value {
    events.iter().find(|event| event["type"] == "tool_end").unwrap()
}

#[test]
fn an_asked_tool_waits_for_its_answer_and_runs_once() {
    let server = world(&json!({ "bash": { "*": "ask" } })).serve();
    let (client, question) = ask(&server, "run `git status --short; touch made`", None);
    let made = server.world.project.path().join("made");
    assert!(!made.exists());
    assert_eq!(question["args"]["command"], "git status --short; touch made");
    assert!(!question["reason"].as_str().unwrap().is_empty());
    assert_eq!(server.get("/api/status")["waiting"], 1);
    assert_eq!(reply(&server, &question, "once"), 204);
    let told = rest(client);
    let mut kinds = types(&told);
    kinds.retain(|kind| *kind != "tool_output");
    let expected = ["session", "text", "tool_start", "permission", "permission_reply", "tool_end"];
    assert_eq!(kinds[..6], expected);
    let asked = told.iter().find(|event| event["type"] == "permission").unwrap();
    assert_eq!(asked["callId"], end_of(&told)["id"]);
    assert!(made.exists(), "it ran after the answer");
    assert_eq!(reply(&server, &question, "once"), 404, "an answer counts once");
    assert_eq!(server.get("/api/status")["waiting"], 0);
}

#[test]
fn the_time_a_person_took_is_told_apart_from_the_works() {
    let server = world(&json!({ "bash": { "*": "ask" } })).serve();
    let (client, question) = ask(&server, "run `sleep 0.1`", None);
    await_that("the list says who waits", || server.get("/api/sessions")[0]["waiting"] == true);
    assert_eq!(reply(&server, &question, "once"), 204);
    let told = rest(client);
    let ran = end_of(&told)["durationMs"].as_u64().unwrap();
    let done = &told[told.len() - 1];
    let (worked, waited) = (done["durationMs"].as_u64().unwrap(), done["waitedMs"].as_u64());
    assert!(ran >= 100 && worked >= ran && waited.is_some(), "{ran} {done}");
    let sessions = server.get("/api/sessions");
    assert_eq!(sessions[0]["waiting"], false);
    let id = sessions[0]["id"].as_str().unwrap();
    let answer = &server.get(&format!("/api/sessions/{id}"))["messages"][1];
    assert_eq!((&answer["durationMs"], &answer["waitedMs"]), (&json!(worked), &done["waitedMs"]));
    let tool = answer["parts"].as_array().unwrap().iter().find(|part| part["type"] == "tool");
    assert_eq!(tool.unwrap()["durationMs"], ran);
}

#[test]
fn always_covers_what_it_said_for_this_session_across_a_restart() {
    let server = world(&json!({ "bash": { "*": "ask" } })).serve();
    let (client, question) = ask(&server, "run `git status --short`", None);
    assert_eq!(question["always"], json!(["git status *"]));
    assert_eq!(reply(&server, &question, "always"), 204);
    let id = rest(client)[0]["sessionId"].as_str().unwrap().to_owned();
    let again = json!({ "message": "run `git status --porcelain`", "sessionId": id });
    assert!(!types(&server.stream(&again)).contains(&"permission"));
    let server = server.stop(Signal::TERM).serve();
    assert!(!types(&server.stream(&again)).contains(&"permission"), "the answer is kept");
    let (client, other) = ask(&server, "run `git push`", Some(&id));
    assert_eq!(reply(&server, &other, "reject"), 204);
    let told = rest(client);
    let end = end_of(&told);
    assert_eq!((&end["isError"], &end["denied"]), (&json!(true), &json!("rejected")));
    let (client, elsewhere) = ask(&server, "run `git status`", None);
    reply(&server, &elsewhere, "reject");
    rest(client);
}

#[test]
fn a_denied_tool_never_runs_and_the_model_is_told_why() {
    let server = world(&json!({ "bash": { "*": "allow", "rm *": "deny" }, "edit": "deny" }))
        .file("kept.txt", "one")
        .serve();
    for message in [
        "run `rm kept.txt`",
        "run `true && r''m kept.txt`",
        "run `echo $(rm kept.txt)`",
        "run `/bin/rm -f kept.txt`",
        "replace \"one\" with \"two\" in kept.txt",
    ] {
        let told = server.stream(&json!({ "message": message }));
        let end = end_of(&told);
        assert_eq!(end["denied"], "configuration", "{message}: {end}");
        assert_eq!(server.world.project.read("kept.txt"), "one", "{message}");
    }
    let allowed = server.stream(&json!({ "message": "run `cat kept.txt`" }));
    assert_eq!(end_of(&allowed)["result"].as_str().unwrap().trim(), "one");
}

#[test]
fn where_nobody_can_answer_it_is_refused_at_once_and_a_run_ends_with_5() {
    let server = world(&json!({ "bash": "ask" })).serve();
    let chat = server.post("/api/chat", &json!({ "message": "run `touch made`" })).json();
    assert_eq!(chat["toolCalls"][0]["isError"], true);
    let refuse = json!({ "message": "run `touch made`", "permissions": "refuse" });
    assert_eq!(end_of(&server.stream(&refuse))["denied"], "nobody");
    let url = server.url();
    for args in [&["run", "run `touch made`"][..], &["run", "--attach", &url, "run `touch made`"]] {
        let run = server.world.run(args);
        run.assert_status(5);
        assert!(run.stderr.contains("nobody can be asked"), "{run:?}");
    }
    assert!(!server.world.project.path().join("made").exists());
}

#[test]
fn a_question_without_an_answer_is_rejected_after_its_time_and_an_abort_ends_it() {
    let config = json!({
        "permission": { "bash": "ask" },
        "server": { "limits": { "permissionSeconds": 0.05 } },
    });
    let server = World::new().config(&config).serve();
    let told = server.stream(&json!({ "message": "run `touch made`" }));
    let answer = told.iter().find(|event| event["type"] == "permission_reply").unwrap();
    assert_eq!(answer["reply"], "timeout");
    assert_eq!(end_of(&told)["denied"], "rejected");

    let server = world(&json!({ "bash": "ask" })).serve();
    let (client, _) = ask(&server, "run `touch made`", None);
    drop(client);
    await_that("the turn ends with its client", || server.get("/api/status")["activeTurns"] == 0);
    assert_eq!(server.get("/api/status")["waiting"], 0);
}

#[test]
fn a_projects_file_restricts_and_never_relaxes_what_the_person_set() {
    let world = world(&json!({ "bash": "allow" }));
    world.home.write(".config/opencode/opencode.json", r#"{ "permission": { "bash": "deny" } }"#);
    let server = world.serve();
    let told = server.stream(&json!({ "message": "run `touch made`" }));
    assert_eq!(end_of(&told)["denied"], "configuration");
}

#[test]
fn an_unknown_answer_names_what_to_do() {
    let server = world(&json!({ "bash": "ask" })).serve();
    let id = "0123456789abcdefghjkmnpqrstvwxyz0123.0";
    let path = format!("/api/permissions/{id}");
    assert_eq!(server.ask("POST", &path, Some(&json!({ "reply": "once" }))).code(), "not-found");
    let wrong = server.ask("POST", &path, Some(&json!({ "reply": "yes" })));
    assert!(wrong.json()["detail"].as_str().unwrap().contains("once, always, reject"));
    let mut child =
        server.world.command(&["run", "--format", "json", "run `true`"]).spawn().unwrap();
    let lines: Vec<_> = BufReader::new(child.stdout.take().unwrap()).lines().collect();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert!(lines.iter().any(|line| line.as_ref().unwrap().contains("\"denied\":\"nobody\"")));
}

#[test]
fn a_socket_hears_the_question_and_answers_it() {
    let server = world(&json!({ "bash": "ask" })).serve();
    let mut ws = Ws::open(&server);
    ws.say(&json!({ "type": "subscribe", "sessionId": "*" }));
    ws.say(&json!({ "type": "chat", "message": "run `touch made`", "requestId": "r1" }));
    let asked = ws.hear_until(|event| event["type"] == "permission");
    let question = asked.last().unwrap();
    let waits =
        ws.hear_until(|event| event["type"] == "session_changed" && event["waiting"] == true);
    assert_eq!(waits.last().unwrap()["sessionId"], question["sessionId"]);
    ws.say(&json!({ "type": "permission", "id": question["id"], "reply": "maybe" }));
    let refused = ws.hear_until(|event| event["type"] == "error");
    assert!(refused.last().unwrap()["message"].as_str().unwrap().contains("once, always, reject"));
    ws.say(&json!({ "type": "permission", "id": question["id"], "reply": "once" }));
    let told = ws.hear_until(|event| event["type"] == "done");
    assert!(told.iter().any(|event| event["type"] == "permission_reply"));
    assert!(told.iter().any(|event| event["waiting"] == false));
    assert!(server.world.project.path().join("made").exists());
}

#[test]
fn a_rule_on_a_path_holds_however_it_is_spelled_and_for_what_a_link_leads_to() {
    let rules = json!({ "*": "allow", "secret.txt": "deny" });
    let server = world(&json!({ "read": rules, "edit": rules })).file("secret.txt", "one").serve();
    let project = server.world.project.path().to_owned();
    std::os::unix::fs::symlink("secret.txt", project.join("link.txt")).unwrap();
    let whole = project.to_str().unwrap();
    let (folder, name) = whole.rsplit_once('/').unwrap();
    for path in [
        "secret.txt".to_owned(),
        "./secret.txt".to_owned(),
        "link.txt".to_owned(),
        format!("{whole}/secret.txt"),
        format!("/{whole}/secret.txt"),
        format!("{folder}/./{name}/secret.txt"),
    ] {
        for message in
            [format!("read the file {path}"), format!("replace \"one\" with \"two\" in {path}")]
        {
            let told = server.stream(&json!({ "message": message }));
            assert_eq!(end_of(&told)["denied"], "configuration", "{message}: {told:?}");
        }
    }
    assert_eq!(server.world.project.read("secret.txt"), "one");
}

#[test]
fn a_rule_holds_for_what_a_new_file_would_be_made_in() {
    let write = |path: &str| {
        let args = json!({ "path": path, "content": "new\n" }).to_string();
        let call = Protocol::OpenAi.call(&args).replace("read_file", "write_file");
        [stream(&(call + &Protocol::OpenAi.end(true))), spoken("done")]
    };
    let paths = [
        "link/a",
        "link/new/a",
        "link/new/../newer/a",
        "fresh/../link/new/a",
        "fresh/../link/a",
        "dangling",
        "through",
        "later",
    ];
    let (_model, world) = said(paths.into_iter().chain(["open/new/a"]).flat_map(write));
    let world = world.file("secret/old", "kept");
    for (to, name) in [
        ("secret", "link"),
        ("link/new", "dangling"),
        ("dangling", "through"),
        ("fresh/../secret/new", "later"),
    ] {
        std::os::unix::fs::symlink(to, world.project.path().join(name)).unwrap();
    }
    let rules = json!({ "edit": { "*": "allow", "secret/*": "deny" } });
    let own = json!({ "permission": rules }).to_string();
    world.home.write(".config/opencode/opencode.json", &own);
    let server = world.serve();
    let end = |path: &str| end_of(&server.stream(&json!({ "message": path }))).clone();
    for path in paths {
        let told = end(path);
        assert_eq!(told["denied"], "configuration", "{path}: {told}");
    }
    assert_eq!(end("open/new/a")["result"], "`open/new/a` created: 1 lines, 4 bytes");
    let made = std::fs::read_dir(server.world.project.path().join("secret")).unwrap();
    assert_eq!(made.count(), 1);
}

#[test]
fn a_file_that_is_written_over_shows_what_it_was_where_it_may_be_read() {
    let write = |path: &str| {
        let args = json!({ "path": path, "content": "new\n" }).to_string();
        let call = Protocol::OpenAi.call(&args).replace("read_file", "write_file");
        [stream(&(call + &Protocol::OpenAi.end(true))), spoken("done")]
    };
    let paths = ["open.txt", "secret.txt", "link.txt", "made.txt"];
    let (_model, world) = said(paths.into_iter().flat_map(write));
    let world = world.file("open.txt", "old\n").file("secret.txt", "hush\n").file("s", "hush\n");
    std::os::unix::fs::symlink("s", world.project.path().join("link.txt")).unwrap();
    let rules = json!({ "*": "allow", "secret.txt": "deny", "s": "ask" });
    let own = json!({ "permission": { "read": rules } }).to_string();
    world.home.write(".config/opencode/opencode.json", &own);
    let server = world.serve();
    let results = paths.map(|path| {
        let told = server.stream(&json!({ "message": format!("write {path}") }));
        end_of(&told)["result"].as_str().unwrap().to_owned()
    });
    assert_eq!(
        results,
        [
            "--- a/open.txt\n+++ b/open.txt\n@@ -1 +1 @@\n-old\n+new\n",
            "`secret.txt` overwritten: 1 lines, 4 bytes",
            "`link.txt` overwritten: 1 lines, 4 bytes",
            "`made.txt` created: 1 lines, 4 bytes",
        ]
    );
    assert_eq!(server.world.project.read("s"), "new\n");
}
