//! What commands and clients leave behind: nothing.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use serde_json::json;

use crate::model::Model;
use crate::program::{Serving, World, await_that, is_alive};
use crate::taken::{children, descriptors, resident, thread_names, threads};
use crate::wire::Client;

/// Three sleepers: in the group, in a session of its own, and in the foreground. Each says who it
/// is before it sleeps.
const SLEEPERS: &str = "run `sh -c 'echo $$ > a; exec sleep 1000' & \
    setsid sh -c 'echo $$ > b; exec sleep 1000' & sh -c 'echo $$ > c; exec sleep 1000'`";

fn sleepers(project: &Path) -> Option<Vec<u32>> {
    let read = |name| std::fs::read_to_string(project.join(name)).ok()?.trim().parse().ok();
    ["a", "b", "c"].into_iter().map(read).collect()
}

/// A turn whose command is three sleepers: its client, and who they are.
fn asleep(server: &Serving) -> (Client, Vec<u32>) {
    let project = server.world.project.path().to_owned();
    let mut client = Client::connect(server.address);
    let body = json!({ "message": SLEEPERS });
    client.send(server.request("POST", "/api/chat/stream", &[], Some(&body)));
    await_that("all three sleep", || sleepers(&project).is_some());
    (client, sleepers(&project).unwrap())
}

#[test]
fn an_abort_ends_every_process_of_a_command_those_that_left_its_group_too() {
    let server = World::new().serve();
    let (mut client, pids) = asleep(&server);
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    let id = server.get("/api/sessions")[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.ask("POST", &format!("/api/sessions/{id}/abort"), None).status, 202);
    client.await_text("\"type\":\"done\"");
    // `done` is the turn's last word: by then all are gone.
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "{pids:?}");
}

#[test]
fn after_a_kill_of_the_server_the_shell_dies_with_it_and_strays_at_the_next_start() {
    let server = World::new().serve();
    let (_client, pids) = asleep(&server);
    let world = server.stop(Signal::KILL);
    let server = world.serve();
    await_that("all three are gone", || !pids.iter().any(|pid| is_alive(*pid)));
    let id = server.get("/api/sessions")[0]["id"].as_str().unwrap().to_owned();
    let session = server.get(&format!("/api/sessions/{id}"));
    assert_eq!(session["status"], "idle");
    let part = &session["messages"][1]["parts"][1];
    assert_eq!((&part["status"], &part["isError"]), (&json!("error"), &json!(true)), "{part}");
}

/// Opens a stream, hears its first event, and is gone.
fn abandon(address: SocketAddr, request: &str) {
    let mut client = Client::connect(address);
    client.send(request);
    client.await_text("\"type\":\"session\"");
}

#[test]
fn a_thousand_abandoned_streams_leave_threads_and_descriptors_where_they_were() {
    let server = World::new().serve();
    let pid = server.child.id();
    let body = json!({ "message": "run `sleep 1000`" });
    let request = server.request("POST", "/api/chat/stream", &[], Some(&body));
    abandon(server.address, &request);
    let is_idle = || {
        let status = server.get("/api/status");
        status["activeTurns"] == 0 && status["connections"] == 1
    };
    await_that("the first one is gone", is_idle);
    let before = descriptors(pid);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..125 {
                    abandon(server.address, &request);
                }
            });
        }
    });
    await_that("all are gone", is_idle);
    await_that("no thread of a turn is left", || {
        !thread_names(pid).iter().any(|name| name.starts_with("turn-"))
    });
    // Each session in use keeps its hub for a minute, which has no descriptor.
    await_that("descriptors are given back", || descriptors(pid) <= before + 2);
    assert_eq!(children(pid), "", "no command is left");
}

#[test]
fn a_thousand_streams_abandoned_at_once_leave_memory_where_it_was() {
    const STREAMS: usize = 1000;
    // Each has two ends here and one more to read from.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let all = rustix::process::Rlimit { current: limit, maximum: limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, all).unwrap();
    // What a thread of glibc keeps of freed memory for itself would drown what is looked for.
    let plain = "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1";
    let server = Model::start().world(json!({})).env("GLIBC_TUNABLES", plain).serve();
    let pid = server.child.id();
    let body = json!({ "message": "hold 1 words of 20 bytes" });
    let request = server.request("POST", "/api/chat/stream", &[], Some(&body));
    let round = || {
        let streams: Vec<_> = (0..STREAMS)
            .map(|_| {
                let mut client = Client::connect(server.address);
                client.send(&request);
                client
            })
            .collect();
        let hear = |mut client: Client| {
            client.await_text("\"type\":\"text\"");
            client
        };
        let streams: Vec<_> = streams.into_iter().map(hear).collect();
        let held = resident(pid);
        drop(streams);
        await_that("all are gone", || {
            let status = server.get("/api/status");
            status["activeTurns"] == 0 && status["connections"] == 1
        });
        await_that("the last turn's thread is gone", || {
            !thread_names(pid).iter().any(|name| name.starts_with("turn-"))
        });
        (held, resident(pid))
    };
    // In the first round few streams may ever be at the same place at once, on a busy machine.
    let _ = round();
    let first = round();
    let held = round().0;
    println!("resident with {STREAMS} streams: {} bytes, then {held}", first.0);
    // 3 KB that each stream left behind would be seen.
    assert!(held < first.0 + 3000 * 1024, "{first:?} {held}");
    // Threads that wait for a connection give their stacks back after a moment.
    await_that("as much is given back", || resident(pid) < first.1 + 3000 * 1024);
    await_that("threads that wait for a connection leave", || threads(pid) < 10);
}

#[test]
fn turns_that_wait_for_a_model_hold_neither_their_requests_nor_a_thread_more() {
    const TURNS: usize = 200;
    let model = Model::start();
    let plain = "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1";
    let world = model.world(json!({})).env("GLIBC_TUNABLES", plain);
    world.project.write("AGENTS.md", &"Mind the gap. ".repeat(2000));
    let server = world.serve();
    let pid = server.child.id();
    let body = json!({ "message": "think" });
    let request = server.request("POST", "/api/chat/stream", &[], Some(&body));
    let mut turns = Vec::new();
    let mut wait_for = |count| {
        while turns.len() < count {
            let mut client = Client::connect(server.address);
            client.send(&request);
            turns.push(client);
        }
        await_that("the model has all requests", || model.requests() == count);
        await_that("no thread but the turns' own is left", || {
            !thread_names(pid).contains("provider-call")
        });
        resident(pid)
    };
    let few = wait_for(TURNS / 10);
    let many = wait_for(TURNS);
    let each = (many - few) / (TURNS - TURNS / 10);
    println!("a waiting turn takes {each} bytes");
    // The instructions have 28 KB: held by each, they or a request would be seen.
    assert!(each < 110_000, "{few} {many}: {each} each");
}

#[test]
fn what_wipes_its_environment_ends_with_the_last_turn() {
    let server = World::new().serve();
    let project = server.world.project.path().to_owned();
    let stray = "run `env -i setsid sh -c 'echo $$ > a; exec sleep 1000' >/dev/null 2>&1 & \
        env -i sh -c 'echo $$ > b; exec sleep 1000' >/dev/null 2>&1 & \
        until [ -s a ] && [ -s b ]; do sleep 0.01; done; echo $$ > c`";
    assert_eq!(server.post("/api/chat", &json!({ "message": stray })).status, 200);
    let pids = sleepers(&project).unwrap();
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "{pids:?}");
}
