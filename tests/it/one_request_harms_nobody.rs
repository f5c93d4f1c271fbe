//! What brings a server down that believes its clients, each tried against this one.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use opencode::config::Limits;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::wire::{Client, PATIENCE, Site, Twin};

/// Deadlines that a test can wait for.
fn short() -> Limits {
    let time = Duration::from_millis(300);
    Limits { head_time: time, body_time: time, idle_time: time, ..Limits::default() }
}

#[test]
fn a_declared_length_costs_nothing() {
    let site = Site::start(Limits::default());
    for length in ["1099511627776", "18446744073709551615", "8388609"] {
        for path in ["/body", "/ignored"] {
            let mut client = site.connect();
            client.send(format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
            ));
            let reply = client.reply();
            assert_eq!((reply.status, reply.code().as_str()), (413, "body-too-large"));
            assert_eq!(reply.field("Connection"), Some("close"));
            assert_eq!(client.rest(), b"");
        }
    }
    site.assert_serves();
    site.assert_ends();
}

#[test]
fn clients_that_arrive_at_once_and_stay_are_all_served() {
    let site = Site::start(Limits::default());
    let (start, answered) = (Barrier::new(64), Barrier::new(64));
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                start.wait();
                let mut client = site.connect();
                client.send("GET /here HTTP/1.1\r\nHost: a\r\n\r\n");
                assert_eq!(client.reply().body, b"/here");
                answered.wait();
            });
        }
    });
    site.assert_ends();
}

#[test]
fn half_sent_requests_hold_nothing_for_long() {
    let site = Site::start(short());
    let unfinished = |text: &'static str| {
        (0..200).map(move |_| text).map(|text| {
            let mut client = site.connect();
            client.send(text);
            client
        })
    };
    let heads: Vec<_> = unfinished("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").collect();
    let bodies: Vec<_> =
        unfinished("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").collect();
    let chunks: Vec<_> =
        unfinished("POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf")
            .collect();
    site.assert_serves();
    for mut client in heads.into_iter().chain(bodies).chain(chunks) {
        assert_eq!(client.reply().code(), "request-timeout");
        assert_eq!(client.rest(), b"");
    }
    site.assert_serves();
    site.assert_ends();
}

#[test]
fn a_trickle_does_not_move_the_deadline() {
    let site = Site::start(short());
    let mut client = site.connect();
    client.stream().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    client.send("GET / HTTP/1.1\r\nX-Slow: ");
    let since = std::time::Instant::now();
    // The time-out of the client's read is the pace of its bytes.
    while std::io::Read::read(&mut client.stream(), &mut [0; 16]).is_err() {
        client.send("x");
        assert!(since.elapsed() < PATIENCE, "still trickling");
    }
    site.assert_ends();
}

#[test]
fn empty_lines_do_not_keep_a_connection() {
    let site = Site::start(short());
    let mut client = site.connect();
    client.stream().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let since = std::time::Instant::now();
    client.send("\r\n");
    while std::io::Read::read(&mut client.stream(), &mut [0; 16]).is_err() {
        client.send("\r\n");
        assert!(since.elapsed() < PATIENCE, "still there");
    }
    site.assert_ends();
}

#[test]
fn a_client_that_never_asks_is_left_without_a_word() {
    let site = Site::start(short());
    assert_eq!(site.connect().rest(), b"");
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.reply().status, 200);
    assert_eq!(client.rest(), b"", "idle after an answer");
    site.assert_ends();
}

#[test]
fn endless_lines_cost_bounded_bytes() {
    let site = Site::start(Limits::default());
    let flood = vec![b'1'; 64 * 1024];
    for (begin, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nX-Long: ", 431),
        ("GET /", 431),
        ("POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", 400),
        ("POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", 400),
    ] {
        let mut client = site.connect();
        client.send(begin);
        for _ in 0..64 {
            client.send(&flood);
        }
        assert_eq!(client.reply().status, status, "{begin}");
        assert_eq!(client.rest(), b"", "{begin}");
    }
    site.assert_serves();
    site.assert_ends();
}

#[test]
fn used_up_descriptors_only_delay() {
    let (_twin, address) = Twin::start("one_request_harms_nobody::starved");
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send("GET /in HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients[..32] {
        assert_eq!(client.reply().body, b"/in");
    }
    let mut late = clients.pop().unwrap();
    late.stream().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let early = std::io::Read::read(&mut late.stream(), &mut [0; 16]);
    assert!(early.is_err(), "64 descriptors cannot serve 100 clients");
    late.stream().set_read_timeout(Some(PATIENCE)).unwrap();
    drop(clients);
    assert_eq!(late.reply().body, b"/in", "it waited, and is served now");
    let mut client = Client::connect(address);
    client.send("GET /after HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.reply().body, b"/after");
}

#[test]
#[ignore = "the other process of the test above"]
fn starved() {
    if !Twin::is_one() {
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }).unwrap();
    Twin::live(Site::start(Limits::default()).running.address());
}

#[test]
fn http_2_is_told_that_it_is_not_spoken() {
    let site = Site::start(Limits::default());
    for _ in 0..100 {
        for request in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"] {
            let mut client = site.connect();
            client.send(request);
            assert_eq!(client.reply().code(), "http-version");
            assert_eq!(client.rest(), b"");
        }
    }
    site.assert_ends();
}

#[test]
fn nothing_behind_a_doubtful_request_is_served() {
    let site = Site::start(Limits::default());
    let post = "POST /body HTTP/1.1\r\nHost: a\r\n";
    for request in [
        format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody"),
        format!("{post}Content-Length: 4, 4\r\n\r\nbody"),
        format!("{post}Content-Length: +4\r\n\r\nbody"),
        format!("{post}Content-Length: 18446744073709551616\r\n\r\n"),
        format!("{post}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n"),
        format!("{post}Content-Length: 4\n\nbody"),
        format!("{post}X-Folded: a\r\n b\r\n\r\n"),
        format!("{post}X-Null: a\0b\r\n\r\n"),
        format!("{post}Host: b\r\n\r\n"),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ] {
        let mut client = site.connect();
        client.send(format!("{request}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"));
        let reply = client.reply();
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad-request"), "{request:?}");
        assert_eq!(reply.field("Connection"), Some("close"), "{request:?}");
        assert_eq!(client.rest(), b"", "{request:?}");
    }
    assert!(!site.service.seen.lock().unwrap().iter().any(|path| path == "/smuggled"));
    site.assert_serves();
    site.assert_ends();
}

#[test]
fn a_body_nobody_reads_is_not_the_next_request() {
    let site = Site::start(Limits::default());
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let next = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let length = smuggled.len();
    for body in [
        format!("Content-Length: {length}\r\n\r\n{smuggled}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n"),
    ] {
        let mut client = site.connect();
        client.send(format!("POST /ignored HTTP/1.1\r\nHost: a\r\n{body}{next}"));
        assert_eq!(client.reply().body, b"/ignored");
        assert_eq!(client.reply().body, b"/next");
        assert_eq!(client.rest(), b"");
    }
    let mut client = site.connect();
    client.send("POST /ignored HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
    client.send(smuggled);
    assert_eq!(client.reply().body, b"/ignored");
    assert_eq!(client.rest(), b"", "the end of that body cannot be told");
    assert!(!site.service.seen.lock().unwrap().iter().any(|path| path == "/smuggled"));
    site.assert_ends();
}

#[test]
fn a_thousand_event_streams_run_at_once() {
    // Both ends of each are in this process.
    let streams = (opencode::os::raise_descriptor_limit().saturating_sub(500) / 2).min(1000);
    let site = Site::start(Limits::default());
    let mut clients: Vec<_> = (0..streams).map(|_| site.connect()).collect();
    for client in &mut clients {
        client.send("GET /gated-events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    for client in &mut clients {
        client.await_text("id: 1\ndata: ");
    }
    assert_eq!(site.connections.get() as u64, streams);
    site.assert_serves();
    Arc::clone(&site.service.gate).open();
    for mut client in clients {
        let reply = client.reply();
        assert!(reply.body.ends_with(b"data: two\ndata: lines\n\n"), "{reply:?}");
        assert_eq!(client.rest(), b"");
    }
    site.assert_ends();
}
