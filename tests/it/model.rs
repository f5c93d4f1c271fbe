//! A model in the test's hands: a small server of Chat Completions on this machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use crate::program::World;
use crate::wire::{Gate, PATIENCE};

/// Answers `say N words of B bytes` in so many pieces, `wait N words of B bytes` with half of
/// them before the gate is opened and half behind it, `step N words of B bytes` with a word for
/// each one that is asked for, `hold N words of B bytes` with all of them and no end, `think` with
/// nothing at all, and anything else with one word.
pub(crate) struct Model {
    address: SocketAddr,
    pace: Arc<Pace>,
}

#[derive(Default)]
struct Pace {
    gate: Gate,
    /// Requests that have come whole.
    requests: AtomicUsize,
    /// Words asked for and not said.
    asked: Mutex<usize>,
    asks: Condvar,
}

impl Pace {
    /// Waits until one more word is asked for; `None` when nobody does.
    fn step(&self) -> Option<()> {
        let asked = self.asked.lock().unwrap();
        let waited = self.asks.wait_timeout_while(asked, PATIENCE, |asked| *asked == 0);
        let mut asked = waited.unwrap().0;
        *asked = asked.checked_sub(1)?;
        Some(())
    }
}

impl Model {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let pace = Arc::new(Pace::default());
        let shared = Arc::clone(&pace);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let pace = Arc::clone(&shared);
                // A turn that is stopped hangs up.
                std::thread::spawn(move || answer(stream, &pace));
            }
        });
        Self { address, pace }
    }

    /// A project whose turns this model answers.
    pub(crate) fn world(&self, mut config: Value) -> World {
        config["model"] = json!("mine/m");
        config["provider"] = json!({ "mine": {
            "npm": "@ai-sdk/openai-compatible",
            "options": { "baseURL": format!("http://{}/v1", self.address), "apiKey": "k" },
            "models": { "m": {} },
        } });
        World::new().config(&config)
    }

    /// How many requests have come whole.
    pub(crate) fn requests(&self) -> usize {
        self.pace.requests.load(Ordering::SeqCst)
    }

    /// Asks for so many words more of an answer that is said step by step.
    pub(crate) fn ask_for(&self, words: usize) {
        *self.pace.asked.lock().unwrap() += words;
        self.pace.asks.notify_all();
    }

    /// Lets every answer go on that waits.
    pub(crate) fn go_on(&self) {
        self.pace.gate.open();
    }
}

fn answer(stream: TcpStream, pace: &Pace) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?;
            }
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    pace.requests.fetch_add(1, Ordering::SeqCst);
    let body: Value = serde_json::from_slice(&body).ok()?;
    let asked = body["messages"].as_array()?.last()?["content"].as_str()?.to_owned();
    let words: Vec<_> = asked.split(' ').collect();
    let (count, bytes) = match words[..] {
        ["say" | "wait" | "step" | "hold", count, "words", "of", bytes, "bytes"] => {
            (count.parse().ok()?, bytes.parse().ok()?)
        }
        _ => (1, 3),
    };
    let mut stream = stream;
    if words[0] == "think" {
        let _ = stream.read(&mut [0]);
        return None;
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).ok()?;
    for at in 0..count {
        if words[0] == "wait" && at == count / 2 {
            pace.gate.wait();
        }
        if words[0] == "step" {
            pace.step()?;
        }
        let word = format!("{at:0bytes$} ");
        let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": word } }] });
        stream.write_all(format!("data: {chunk}\n\n").as_bytes()).ok()?;
    }
    if words[0] == "hold" {
        let _ = stream.read(&mut [0]);
        return None;
    }
    let end = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    stream.write_all(format!("data: {end}\n\ndata: [DONE]\n\n").as_bytes()).ok()
}
