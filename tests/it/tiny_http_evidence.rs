//! Why the connection layer is our own (`docs/decisions/0001-own-connection-layer.md`): one
//! request ends a server that is built on `tiny_http` as documented, and not this one. The day
//! the first test fails, the decision is to be reopened.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;

use opencode::config::Limits;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::wire::{Client, Site, Twin};

/// A length that is declared and never sent.
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1099511627776\r\n\r\n";

#[test]
fn one_request_aborts_a_server_on_tiny_http() {
    let (mut twin, address) = Twin::start("tiny_http_evidence::child");
    let mut client = Client::connect(address);
    client.send(REQUEST);
    assert!(client.rest().starts_with(b"HTTP/1.1 200 "), "it answers first");
    let status = twin.0.wait().unwrap();
    assert_eq!(status.signal(), Some(6), "it aborts: {status}");
}

/// The server of its documentation, with little memory to hurt the machine with.
#[test]
#[ignore = "the other process of the test above"]
fn child() {
    if !Twin::is_one() {
        return;
    }
    let bound = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::As, bound(16 << 30)).unwrap();
    setrlimit(Resource::Core, bound(0)).unwrap();
    let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
    let address = server.server_addr().to_ip().unwrap();
    std::thread::spawn(move || {
        for request in server.incoming_requests() {
            let _ = request.respond(tiny_http::Response::from_string("hello"));
        }
    });
    Twin::live(address);
}

#[test]
fn the_same_request_is_answered_413_here() {
    let site = Site::start(Limits::default());
    let reply = site.ask(REQUEST);
    assert_eq!((reply.status, reply.code().as_str()), (413, "body-too-large"));
    site.assert_serves();
    site.assert_ends();
}
