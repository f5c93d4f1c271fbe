//! Clients that take their time, and clients without number: the others are served meanwhile, and
//! all of it is over when the deadlines are.

use std::io::Write;

use opencode::os::raise_descriptor_limit;
use serde_json::json;

use crate::program::{Serving, World, await_that};
use crate::taken::{peak, resident, threads};
use crate::wire::Client;

/// Addresses of this machine; the server sees as many clients.
const SOURCES: [&str; 5] = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"];

/// A server whose deadlines a test can wait for, and a stream that never rests.
fn busy() -> (Serving, Client) {
    let limits = json!({ "headSeconds": 1, "bodySeconds": 1, "writeSeconds": 1, "idleSeconds": 1 });
    let config = json!({ "server": { "limits": limits } });
    // One arena: what stays is then the program's, not the C library's habit.
    let server = World::new().config(&config).env("MALLOC_ARENA_MAX", "1").serve();
    let mut stream = Client::connect(server.address);
    let ask = json!({ "message": "run `while :; do echo tick; sleep 0.1; done`" });
    stream.send(server.request("POST", "/api/chat/stream", &[], Some(&ask)));
    stream.await_text("tick");
    (server, stream)
}

/// Both the health check and the stream go on.
fn assert_goes_on(server: &Serving, stream: &mut Client) {
    for _ in 0..3 {
        assert_eq!(server.ask("GET", "/healthz", None).status, 200);
        stream.forget();
        stream.await_text("tick");
    }
}

/// Two times the same: what the first one takes of memory, its own allocator included, serves the
/// second one.
fn twice(server: &Serving, stream: &mut Client, mut round: impl FnMut(&mut Client)) {
    let threads_before = threads(server.child.id());
    let mut rounds = || {
        round(stream);
        assert_goes_on(server, stream);
        await_that("the connections are gone", || {
            server.get("/api/status")["connections"].as_u64().is_some_and(|count| count <= 2)
        });
        await_that("their threads are gone", || threads(server.child.id()) <= threads_before + 1);
        resident(server.child.id())
    };
    let (first, second) = (rounds(), rounds());
    // A thousand connections that left something would double it.
    assert!(second < first + first / 3, "{first} bytes, then {second}");
}

#[test]
fn a_thousand_slow_clients_of_three_kinds_hold_nothing_for_long() {
    assert!(raise_descriptor_limit() > 4096, "this test needs more descriptors: ulimit -n");
    let (server, mut stream) = busy();
    let head = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    let body = "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 100000\r\n\r\n{\"message\": \"";
    // They ask for far more than sockets hold, and take none of it.
    let greedy = "GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    twice(&server, &mut stream, |stream| {
        let slow = (0..1000).map(|count| {
            let mut client = Client::connect_from(SOURCES[count % SOURCES.len()], server.address);
            client.send([head, body, &greedy][count % 3]);
            client
        });
        let mut slow: Vec<_> = slow.collect();
        assert_goes_on(&server, stream);
        // A byte now and then, for as long as anybody listens.
        let mut looks = 0;
        await_that("nobody listens any more", || {
            looks += 1;
            if looks % 20 == 1 {
                slow.retain_mut(|client| client.stream().write_all(b"x").is_ok());
            }
            slow.is_empty()
        });
    });
}

#[test]
fn five_thousand_connections_at_once_leave_room_for_who_asks() {
    assert!(raise_descriptor_limit() > 12_000, "this test needs more descriptors: ulimit -n");
    let (server, mut stream) = busy();
    twice(&server, &mut stream, |stream| {
        let crowd: Vec<_> = std::thread::scope(|scope| {
            let address = server.address;
            let connect = |source| {
                let connect = move |_| Client::connect_from(source, address);
                scope.spawn(move || (0..1000).map(connect).collect::<Vec<_>>())
            };
            let threads = SOURCES.map(connect);
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(crowd.len(), 5000);
        assert_goes_on(&server, stream);
        // They stay until the server has had enough of them.
        await_that("the server closes them", || crowd.iter().all(Client::has_come));
    });
}

#[test]
fn what_has_no_end_costs_little() {
    let server = World::new().serve();
    let before = resident(server.child.id());
    let json = "Host: localhost\r\nContent-Type: application/json\r\n";
    let endless = [
        ("GET /healthz HTTP/1.1\r\nX-Endless: ".to_owned(), "x".repeat(65536), 431),
        (
            format!("POST /api/chat HTTP/1.1\r\n{json}Transfer-Encoding: chunked\r\n\r\n"),
            format!("10000\r\n{}\r\n", "x".repeat(65536)),
            413,
        ),
        (
            format!("POST /api/chat HTTP/1.1\r\n{json}Content-Length: 943718400\r\n\r\n"),
            "x".repeat(65536),
            413,
        ),
    ];
    let mut most = 0;
    for (head, piece, status) in endless {
        let mut client = Client::connect(server.address);
        client.send(head);
        // Up to 64 MiB, unless the server has heard enough.
        let sent = (0..1024).take_while(|_| client.stream().write_all(piece.as_bytes()).is_ok());
        sent.for_each(|_| most = most.max(resident(server.child.id())));
        assert_eq!(client.head().status, status);
        assert_eq!(server.ask("GET", "/healthz", None).status, 200);
    }
    let cost = most.saturating_sub(before);
    assert!(cost < 10 << 20, "{cost} bytes");
}

#[test]
fn a_body_takes_little_more_than_its_bytes_whatever_is_in_it() {
    let server = World::new().serve();
    let before = resident(server.child.id());
    // Seven bytes of text are a node of some hundred bytes in a tree.
    let nodes = vec!["{\"\":0}"; 1_000_000].join(",");
    let body = format!("{{\"message\":7,\"a\":[{nodes}]}}");
    let head = format!(
        "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut client = Client::connect(server.address);
    client.send(head + &body);
    assert_eq!(client.reply().code(), "bad-field");
    let peak = peak(server.child.id());
    let cost = peak.saturating_sub(before);
    assert!(cost < 5 * body.len(), "{cost} bytes for {}", body.len());
}
