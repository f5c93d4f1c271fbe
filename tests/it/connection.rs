//! How connections behave towards clients that mean well.

use std::net::Shutdown;
use std::time::Duration;

use opencode::config::Limits;
use opencode::http::Server;
use serde_json::{Value, json};

use crate::wire::Site;

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let site = Site::start(Limits::default());
    let mut client = site.connect();
    client.send(
        "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody\
         GET /nothing HTTP/1.1\r\nHost: a\r\n\r\nHEAD /a HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.reply().body, b"/a");
    assert_eq!(client.reply().body, b"body");
    let nothing = client.reply();
    assert_eq!((nothing.status, nothing.field("Content-Length")), (204, None));
    let head = client.head();
    assert_eq!(head.field("Content-Length"), Some("2"));
    let last = client.reply();
    assert_eq!((&last.body[..], last.field("Connection")), (&b"/b"[..], Some("close")));
    assert_eq!(client.rest(), b"");
    site.assert_ends();
}

#[test]
fn a_request_cut_anywhere_is_the_same_request() {
    let site = Site::start(Limits::default());
    let mut client = site.connect();
    let request = "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   4;x\r\nbody\r\n0\r\nA: b\r\n\r\n";
    for byte in request.bytes() {
        client.send([byte]);
    }
    assert_eq!(client.reply().body, b"body");
    site.assert_ends();
}

#[test]
fn the_service_sees_the_request_as_it_came() {
    let site = Site::start(Limits::default());
    let reply = site.ask(
        "GET http://a:1/show?x=%20 HTTP/1.1\r\nHost: A:1\r\nAccept: b\r\nAccept: c\r\n\
         Content-Type: application/json ; charset=utf-8\r\n\r\n",
    );
    let shown: Value = serde_json::from_slice(&reply.body).unwrap();
    let media = "application/json";
    let expected =
        json!({"path": "/show", "query": "x=%20", "host": "a:1", "media": media, "accept": null});
    assert_eq!(shown, expected);
    site.assert_ends();
}

#[test]
fn a_client_that_asks_first_is_told_to_continue() {
    let site = Site::start(Limits::default());
    let mut client = site.connect();
    let expect = "Host: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    client.send(format!("POST /body HTTP/1.1\r\n{expect}"));
    assert_eq!(client.head().head, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    assert_eq!(client.reply().body, b"body");
    client.send(format!("POST /ignored HTTP/1.1\r\n{expect}"));
    let reply = client.reply();
    assert_eq!((&reply.body[..], reply.field("Connection")), (&b"/ignored"[..], Some("close")));
    let refused = site.ask("POST /body HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n");
    assert_eq!((refused.status, refused.code().as_str()), (417, "expectation-failed"));
    assert_eq!(refused.field("X-Dressed-For"), Some("/body"));
    site.assert_ends();
}

#[test]
fn a_client_that_sends_it_all_before_it_reads_hears_the_413() {
    let site = Site::start(Limits::default());
    let mut client = site.connect();
    client.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n");
    client.send(vec![b'x'; 20_000_000]);
    assert_eq!(client.reply().code(), "body-too-large");
    let mut client = site.connect();
    client.send("POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1312d00\r\n");
    client.send(vec![b'x'; 20_000_000]);
    assert_eq!(client.reply().code(), "body-too-large");
    site.assert_ends();
}

#[test]
fn a_large_answer_arrives_whole() {
    let site = Site::start(Limits::default());
    assert_eq!(site.ask("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").body.len(), 1_000_000);
    site.assert_ends();
}

#[test]
fn events_are_chunks_and_the_connection_goes_on() {
    let site = Site::start(Limits::default());
    let mut client = site.connect();
    let events = "id: 1\ndata: {\"type\":\"text\"}\n\n: a\n: b\n\ndata: two\ndata: lines\n\n";
    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    let reply = client.reply();
    assert_eq!(String::from_utf8_lossy(&reply.body), events);
    assert_eq!(reply.field("Content-Type"), Some("text/event-stream"));
    assert_eq!(reply.field("Cache-Control"), Some("no-store"));
    assert_eq!(reply.field("X-Further"), Some("field"));
    client.send("HEAD /events HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().field("Transfer-Encoding"), Some("chunked"));
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.reply().body, b"/next");
    let reply = site.ask("GET /events HTTP/1.0\r\n\r\n");
    assert_eq!(String::from_utf8_lossy(&reply.body), events, "HTTP/1.0 has no chunks");
    assert_eq!(reply.field("Connection"), Some("close"));
    site.assert_ends();
}

#[test]
fn a_stream_notices_at_once_that_its_client_is_gone() {
    for half in [true, false] {
        // A gate that is open stays open, so each round has its own.
        let site = Site::start(Limits::default());
        let mut client = site.connect();
        client.send("GET /until-gone HTTP/1.1\r\nHost: a\r\n\r\n");
        client.await_text("still here");
        let half_open = if half {
            client.stream().shutdown(Shutdown::Write).unwrap();
            Some(client)
        } else {
            drop(client);
            None
        };
        site.service.gone.wait();
        drop(half_open);
        site.assert_ends();
    }
}

#[test]
fn an_upgraded_connection_begins_with_what_had_come() {
    let site = Site::start(Limits::default());
    let mut client = site.connect();
    client.send(
        "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhel",
    );
    let reply = client.head();
    assert_eq!((reply.status, reply.field("Connection")), (101, Some("upgrade")));
    assert_eq!((reply.field("Upgrade"), reply.field("Content-Length")), (Some("echo"), None));
    client.send("lo");
    assert_eq!(client.rest(), b"hello");
    site.assert_ends();
}

#[test]
fn a_panic_is_the_500_of_its_request_alone() {
    let site = Site::start(Limits::default());
    let reply = site.ask("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((reply.status, reply.code().as_str()), (500, "internal"));
    assert_eq!(reply.field("X-Dressed-For"), Some("/panic"));
    let mut client = site.connect();
    client.send("GET /panic-events HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.reply().body, b"id: 1\ndata: {\"type\":\"text\"}\n\n");
    assert_eq!(client.rest(), b"");
    site.assert_serves();
    site.assert_ends();
}

#[test]
fn the_deepest_json_fits_the_stack_of_a_connection() {
    let site = Site::start(Limits::default());
    let post = |depth: usize| {
        let body = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let length = body.len();
        site.ask(&format!(
            "POST /json HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    };
    assert_eq!(post(127).status, 200);
    assert_eq!(post(100_000).status, 400);
    site.assert_ends();
}

#[test]
fn stopping_lets_requests_end_and_closes_the_idle() {
    let site = Site::start(Limits::default());
    let (mut idle, mut fresh, mut busy) = (site.connect(), site.connect(), site.connect());
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.reply().status, 200);
    busy.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n");
    site.service.reached.wait();
    let (service, address) = (site.service.clone(), site.running.address());
    let stop = std::thread::spawn(move || site.assert_ends());
    assert_eq!(idle.rest(), b"");
    assert_eq!(fresh.rest(), b"");
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
    service.gate.open();
    let reply = busy.reply();
    assert_eq!(
        (&reply.body[..], reply.field("Connection")),
        (&b"after the gate"[..], Some("close"))
    );
    stop.join().unwrap();
}

#[test]
fn after_the_grace_sockets_are_shut() {
    let site = Site::start(Limits::default());
    let mut client = site.connect();
    client.send("GET /until-gone HTTP/1.1\r\nHost: a\r\n\r\n");
    client.await_text("still here");
    assert_eq!(site.running.stop(Duration::from_millis(50)), 0);
    client.rest();
}

#[test]
fn addresses_and_names_can_be_bound() {
    for hostname in ["127.0.0.1", "localhost"] {
        let server = Server::bind(hostname, 0, Limits::default()).unwrap();
        let port = server.address().port();
        assert!(server.address().ip().is_loopback());
        let error = Server::bind(hostname, port, Limits::default()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    }
    assert!(Server::bind("no such name", 0, Limits::default()).is_err());
}
