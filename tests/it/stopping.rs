//! How a server stops: no new turns, a grace for running ones, and nothing left behind.

use rustix::process::Signal;
use serde_json::json;

use crate::program::{World, await_that, events};
use crate::wire::Client;

fn slow() -> serde_json::Value {
    json!({ "message": "run `touch started; while [ ! -e go ]; do sleep 0.01; done; echo went`" })
}

#[test]
fn a_running_turn_has_its_grace_and_no_new_one_begins() {
    let server =
        World::new().config(&json!({ "server": { "limits": { "stopSeconds": 60 } } })).serve();
    let project = server.world.project.path().to_owned();
    let mut client = Client::connect(server.address);
    client.send(server.request("POST", "/api/chat/stream", &[], Some(&slow())));
    let mut other = Client::connect(server.address);
    await_that("the command runs", || project.join("started").exists());
    server.signal(Signal::TERM);
    await_that("the server is stopping", || server.log.text().contains("no new turns"));
    // A connection that was open before; new ones are no longer accepted.
    other.send(server.request("POST", "/api/chat", &[], Some(&json!({ "message": "hello" }))));
    let refused = other.reply();
    assert_eq!((refused.status, refused.code().as_str()), (503, "stopping"));
    assert!(refused.field("Retry-After").is_some());
    std::fs::write(project.join("go"), "").unwrap();
    let told = events(&String::from_utf8(client.reply().body).unwrap());
    assert_eq!(told.last().unwrap()["finishReason"], "stop");
    let (status, log) = server.end(Signal::TERM);
    assert!(matches!(status, Some(0 | 143)), "{status:?} {log}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let server =
        World::new().config(&json!({ "server": { "limits": { "stopSeconds": 600 } } })).serve();
    let project = server.world.project.path().to_owned();
    let mut client = Client::connect(server.address);
    client.send(server.request("POST", "/api/chat/stream", &[], Some(&slow())));
    await_that("the command runs", || project.join("started").exists());
    server.signal(Signal::INT);
    await_that("the server is stopping", || server.log.text().contains("no new turns"));
    let (status, log) = server.end(Signal::INT);
    assert_eq!(status, Some(130), "{log}");
}

/// Needs a process number space of its own, and so root or user namespaces.
#[test]
fn as_process_1_it_stops_on_sigterm_and_reaps_what_others_left() {
    let can = std::process::Command::new("unshare").args(["-pf", "--mount-proc", "true"]).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("left out: a process number space cannot be made without root");
        return;
    }
    let server =
        World::new().serve_through(&["unshare", "-pf", "--mount-proc", "--kill-child"], "");
    // An orphan that ends while the turn goes on is nobody's but the server's.
    let orphan = "run `(setsid sh -c 'sleep 0.1' &) ; for i in $(seq 400); do sleep 0.01; \
                  if ! grep -qs Z /proc/[0-9]*/stat && [ $i -gt 30 ]; then echo clean; exit; fi; \
                  done; grep -hs Z /proc/[0-9]*/stat`";
    let reply = server.post("/api/chat", &json!({ "message": orphan })).json();
    let result = reply["toolCalls"][0]["result"].as_str().unwrap();
    assert_eq!(result.trim(), "clean", "{reply}");
    let pid = server.child.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let inner: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(inner).unwrap(), Signal::TERM)
        .unwrap();
    let (status, log) = server.wait();
    assert_eq!(status, Some(0), "{log}");
}
