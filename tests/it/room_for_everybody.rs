//! Connections are bounded, and who asks gets one: what waits without asking makes room.

use opencode::config::Limits;

use crate::program::await_that;
use crate::wire::{Client, Site};

const ASK: &str = "GET /asked HTTP/1.1\r\nHost: a\r\n\r\n";
const HOLD: &str = "GET /gate HTTP/1.1\r\nHost: a\r\n\r\n";
const HALF: &str = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";

fn of(connections: usize) -> Site {
    Site::start(Limits { connections, ..Limits::default() })
}

fn begun(site: &Site, address: &str, bytes: &str) -> Client {
    let mut client = site.connect_from(address);
    client.send(bytes);
    client
}

#[test]
fn the_connection_that_has_waited_longest_makes_room() {
    let site = of(6);
    let slow = ["", "GET /slow HTTP/1.1\r\nHo", HALF];
    let mut waiting: Vec<_> = slow.iter().map(|part| begun(&site, "127.0.0.1", part)).collect();
    let mut other = begun(&site, "127.0.0.2", ASK);
    assert_eq!(other.reply().body, b"/asked");
    // An address that has half of all makes room for itself, the oldest first.
    for count in 0..3 {
        let mut client = begun(&site, "127.0.0.1", ASK);
        assert_eq!(client.reply().body, b"/asked");
        assert_eq!(waiting[count].rest(), b"", "{count}");
        waiting.push(client);
    }
    other.send(ASK);
    assert_eq!(other.reply().body, b"/asked", "another address loses nothing by it");
    // All places are taken now: one that waits goes, wherever it is from.
    let mut held: Vec<_> = (0..2).map(|_| begun(&site, "127.0.0.3", HOLD)).collect();
    site.await_seen("/gate", 2);
    let mut last = begun(&site, "127.0.0.4", ASK);
    assert_eq!(last.reply().body, b"/asked");
    waiting.push(other);
    assert_eq!(waiting[3..].iter().filter(|client| client.has_come()).count(), 1);
    site.service.gate.open();
    for client in &mut held {
        assert_eq!(client.reply().body, b"after the gate");
    }
    drop((waiting, held, last));
    site.assert_ends();
}

#[test]
fn what_is_being_answered_is_never_taken_away_and_who_comes_then_is_told_so() {
    let site = of(4);
    let holders = ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2"];
    let mut held: Vec<_> = holders.iter().map(|address| begun(&site, address, HOLD)).collect();
    site.await_seen("/gate", 4);
    for address in ["127.0.0.1", "127.0.0.2", "127.0.0.3"].repeat(30) {
        let mut client = begun(&site, address, ASK);
        let reply = client.reply();
        assert_eq!((reply.status, reply.code().as_str()), (503, "at-capacity"));
        assert_eq!(
            (reply.field("Retry-After"), reply.field("Connection")),
            (Some("1"), Some("close"))
        );
        assert_eq!(client.rest(), b"");
    }
    site.service.gate.open();
    for client in &mut held {
        assert_eq!(client.reply().body, b"after the gate");
        client.send(ASK);
        assert_eq!(client.reply().body, b"/asked");
    }
    drop(held);
    site.assert_ends();
}

#[test]
fn large_bodies_wait_for_each_other_and_small_ones_for_none() {
    const LARGE: usize = 256 * 1024;
    let limits = Limits { body_bytes: 2 * LARGE, bodies_bytes: 4 * LARGE, ..Limits::default() };
    let site = Site::start(limits);
    let head = |length: usize| {
        format!("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
    };
    // Each leaves its last byte out.
    let large = |count: usize| {
        let clients = (0..count).map(|_| {
            let mut client = site.connect();
            client.send(head(LARGE));
            client.send(vec![b'x'; LARGE - 1]);
            client
        });
        clients.collect::<Vec<_>>()
    };
    let mut under_way = large(8);
    let mut refused = Vec::new();
    await_that("bodies are refused", || {
        refused.extend(under_way.extract_if(.., |client| client.has_come()));
        refused.len() >= 4
    });
    for client in &mut refused {
        let reply = client.reply();
        assert_eq!((reply.status, reply.code().as_str()), (503, "at-capacity"));
        assert_eq!(reply.field("Retry-After"), Some("1"));
    }
    for _ in 0..20 {
        let reply = site.ask(&format!("{}{}", head(8000), "y".repeat(8000)));
        assert_eq!((reply.status, reply.body.len()), (200, 8000));
    }
    for client in &mut under_way {
        client.send("x");
        assert_eq!((client.reply().status), 200);
    }
    assert!(!under_way.is_empty());
    // What they took is given back.
    let mut again = large(2);
    for client in &mut again {
        client.send("x");
        assert_eq!(client.reply().status, 200);
    }
    drop((under_way, refused, again));
    site.assert_ends();
}
