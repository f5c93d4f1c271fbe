//! SIGKILL at random moments, under load: what was told is there, and no id is given twice.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::program::World;
use crate::wire::PATIENCE;

const ROUNDS: usize = 100;
const CLIENTS: usize = 4;

/// All that any client was ever told.
#[derive(Default)]
struct Told {
    /// By session and event id.
    events: BTreeMap<(String, u64), Value>,
    /// User messages of turns whose `session` event was sent.
    begun: BTreeSet<(String, String)>,
    /// Turns whose `done` was sent, with their text.
    done: BTreeMap<String, (String, String)>,
    count: usize,
}

/// What the clients share.
#[derive(Default)]
struct Shared {
    told: Mutex<Told>,
    grown: Condvar,
}

/// Asks again and again until the server is gone.
fn ask_until_gone(address: SocketAddr, shared: &Shared, sessions: &[String], seed: usize) {
    for round in 0.. {
        let session = sessions.get((seed + round) % (sessions.len() + 1));
        let prompt =
            if round % 2 == 0 { "What can you do?" } else { "run `echo a; echo b; echo c`" };
        let body = json!({ "message": format!("{prompt}\n{seed}-{round}"), "sessionId": session });
        if ask(address, &body.to_string(), shared).is_none() {
            return;
        }
    }
}

/// One prompt and its events; `None` once the server is gone.
fn ask(address: SocketAddr, body: &str, shared: &Shared) -> Option<()> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let head =
        "POST /api/chat/stream HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length:";
    write!(stream, "{head} {}\r\n\r\n{body}", body.len()).ok()?;
    let (mut session, mut message, mut text) = (String::new(), String::new(), String::new());
    let mut id = 0;
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?;
        if let Some(number) = line.strip_prefix("id: ") {
            id = number.parse().unwrap();
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        // The last line of a killed server may be torn.
        let Ok(event) = serde_json::from_str::<Value>(data) else { return None };
        let mut told = shared.told.lock().unwrap();
        match event["type"].as_str().unwrap() {
            "session" => {
                event["sessionId"].as_str().unwrap().clone_into(&mut session);
                event["messageId"].as_str().unwrap().clone_into(&mut message);
                let asked = event["message"].as_str().unwrap().to_owned();
                told.begun.insert((session.clone(), asked));
            }
            "text" => text.push_str(event["content"].as_str().unwrap()),
            "done" => {
                told.done.insert(message.clone(), (session.clone(), text.clone()));
            }
            _ => {}
        }
        let before = told.events.insert((session.clone(), id), event.clone());
        assert!(before.is_none_or(|before| before == event), "id {id} was given twice");
        told.count += 1;
        shared.grown.notify_all();
    }
    Some(())
}

#[test]
fn what_was_told_survives_a_hundred_kills_under_load() {
    let shared = Arc::new(Shared::default());
    let mut world = World::new();
    for round in 0..ROUNDS {
        let server = world.serve();
        let listed = server.get("/api/sessions");
        let mut sessions: Vec<String> = Vec::new();
        for session in listed.as_array().unwrap() {
            assert_eq!(session["status"], "idle", "no session is stuck");
            sessions.push(session["id"].as_str().unwrap().to_owned());
        }
        sessions.truncate(6);
        let start = shared.told.lock().unwrap().count;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (shared, sessions) = (Arc::clone(&shared), sessions.clone());
                let address = server.address;
                let seed = round * CLIENTS + client;
                std::thread::spawn(move || ask_until_gone(address, &shared, &sessions, seed))
            })
            .collect();
        // Killed after a number of events, another one each time.
        let wanted = start + 1 + (round * 37) % 160;
        let told = shared.told.lock().unwrap();
        let (told, timeout) =
            shared.grown.wait_timeout_while(told, PATIENCE, |told| told.count < wanted).unwrap();
        assert!(!timeout.timed_out(), "the clients are answered");
        drop(told);
        assert!(!server.log.text().contains("damaged"), "{}", server.log.text());
        world = server.stop(Signal::KILL);
        for client in clients {
            client.join().unwrap();
        }
    }
    let server = world.serve();
    let told = shared.told.lock().unwrap();
    let mut kept: BTreeMap<String, Value> = BTreeMap::new();
    for (session, _) in &told.begun {
        kept.entry(session.clone())
            .or_insert_with(|| server.get(&format!("/api/sessions/{session}")));
    }
    for (session, asked) in &told.begun {
        let messages = kept[session]["messages"].as_array().unwrap();
        assert!(messages.iter().any(|m| m["content"] == *asked), "{session} lost {asked}");
    }
    for (message, (session, text)) in &told.done {
        let messages = kept[session]["messages"].as_array().unwrap();
        let answer = messages.iter().find(|m| m["id"] == *message).unwrap();
        assert_eq!((&answer["content"], &answer["finishReason"]), (&json!(text), &json!("stop")));
    }
    for session in kept.values() {
        assert_eq!(session["status"], "idle");
        for message in session["messages"].as_array().unwrap() {
            let is_answer = message["role"] == "assistant";
            assert_eq!(message["finishReason"].is_string(), is_answer, "{message}");
        }
    }
    println!(
        "{} events in {} turns, {} of them whole",
        told.count,
        told.begun.len(),
        told.done.len()
    );
    assert!(told.done.len() > ROUNDS, "enough turns ended: {}", told.done.len());
}
