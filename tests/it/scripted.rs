//! A model provider that says exactly what a test wants, in either protocol: it plays one act a
//! request and keeps what it was asked.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::program::World;
use crate::wire::{Gate, PATIENCE};

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    OpenAi,
    Anthropic,
}

impl Protocol {
    pub(crate) const BOTH: [Self; 2] = [Self::OpenAi, Self::Anthropic];

    /// The package that stands for it in a configuration.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::OpenAi => "@ai-sdk/openai-compatible",
            Self::Anthropic => "@ai-sdk/anthropic",
        }
    }

    /// An event with some text.
    pub(crate) fn text(self, text: &str) -> String {
        match self {
            Self::OpenAi => openai(&json!({ "content": text })),
            Self::Anthropic => {
                anthropic(&json!({
                    "type": "content_block_start", "index": 0,
                    "content_block": { "type": "text", "text": "" },
                })) + &anthropic(&json!({
                    "type": "content_block_delta", "index": 0,
                    "delta": { "type": "text_delta", "text": text },
                }))
            }
        }
    }

    /// Events that begin a call of `read_file`, with as much of the arguments.
    pub(crate) fn call(self, args: &str) -> String {
        match self {
            Self::OpenAi => openai(&json!({ "tool_calls": [{
                "index": 0, "id": "call_1", "type": "function",
                "function": { "name": "read_file", "arguments": args },
            }] })),
            Self::Anthropic => {
                anthropic(&json!({
                    "type": "content_block_start", "index": 1,
                    "content_block":
                        { "type": "tool_use", "id": "call_1", "name": "read_file", "input": {} },
                })) + &anthropic(&json!({
                    "type": "content_block_delta", "index": 1,
                    "delta": { "type": "input_json_delta", "partial_json": args },
                }))
            }
        }
    }

    /// The events that end an answer.
    pub(crate) fn end(self, after_call: bool) -> String {
        match self {
            Self::OpenAi => {
                let reason = if after_call { "tool_calls" } else { "stop" };
                let choice = json!({ "index": 0, "delta": {}, "finish_reason": reason });
                data(&json!({ "choices": [choice] })) + "data: [DONE]\n\n"
            }
            Self::Anthropic => {
                let reason = if after_call { "tool_use" } else { "end_turn" };
                anthropic(&json!({ "type": "message_delta", "delta": { "stop_reason": reason } }))
                    + &anthropic(&json!({ "type": "message_stop" }))
            }
        }
    }

    /// An error in the middle of a stream.
    pub(crate) fn error(self, words: &str) -> String {
        match self {
            Self::OpenAi => data(&json!({ "error": { "message": words, "code": 400 } })),
            Self::Anthropic => anthropic(&json!({
                "type": "error",
                "error": { "type": "invalid_request_error", "message": words },
            })),
        }
    }
}

fn openai(delta: &Value) -> String {
    data(&json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] }))
}

fn anthropic(event: &Value) -> String {
    format!("event: {}\n{}", event["type"].as_str().unwrap(), data(event))
}

fn data(event: &Value) -> String {
    format!("data: {event}\n\n")
}

/// What happens to one request.
pub(crate) enum Act {
    /// These bytes, then the connection ends.
    Say(String),
    /// These bytes, and the connection is there for the next request.
    Keep(String),
    /// These bytes, and no more for as long as the client stays.
    Hold(String),
}

/// A stream of events, which ends where its connection does.
pub(crate) fn stream(events: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{events}"
    )
}

/// A stream of events that ends before its connection does.
pub(crate) fn chunked(events: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{events}\r\n0\r\n\r\n",
        events.len()
    )
}

/// An answer that is no stream.
pub(crate) fn answer(status: u16, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 {status} As Told\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A project in which a model says the same to whoever asks.
pub(crate) fn said(acts: impl IntoIterator<Item = String>) -> (Scripted, World) {
    let model = Scripted::play(acts.into_iter().map(Act::Say));
    let world = model.world(Protocol::OpenAi, &json!({}));
    (model, world)
}

/// An answer of these words.
pub(crate) fn spoken(text: &str) -> String {
    stream(&(Protocol::OpenAi.text(text) + &Protocol::OpenAi.end(false)))
}

/// The provider; it ends when it is dropped.
pub(crate) struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// What is still to be played.
    acts: Mutex<VecDeque<Act>>,
    /// The heads, in small letters, and the bodies of all requests.
    asked: Mutex<Vec<(String, Value)>>,
    /// How many connections there were.
    connections: AtomicUsize,
    /// Open once a client of [`Act::Hold`] has left.
    left: Gate,
    over: AtomicBool,
}

impl Scripted {
    pub(crate) fn play(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        shared.acts.lock().unwrap().extend(acts);
        let playing = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if playing.over.load(Ordering::SeqCst) {
                    return;
                }
                playing.answer(stream.unwrap());
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// A turn that reads the project's configuration and says so, and one that is refused.
    pub(crate) fn a_tool_then_a_refusal(protocol: Protocol) -> Self {
        let call = protocol.call(r#"{"path":"opencode.json"}"#) + &protocol.end(true);
        let done = protocol.text("done") + &protocol.end(false);
        Self::play([
            Act::Say(stream(&call)),
            Act::Say(stream(&done)),
            Act::Say(answer(400, &json!({ "error": { "message": "no" } }))),
        ])
    }

    /// Its address, without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A project that is configured to ask it, as `scripted/m`.
    pub(crate) fn world(&self, protocol: Protocol, server: &Value) -> World {
        World::new().config(&json!({
            "model": "scripted/m",
            "server": server,
            "provider": { "scripted": {
                "npm": protocol.package(),
                "name": "Scripted",
                "options": { "baseURL": format!("{}/v1", self.url()), "apiKey": "sk-test" },
                "models": { "m": {} },
            } },
        }))
    }

    /// The bodies of the requests so far.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.shared.asked.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    /// The heads of the requests so far, in small letters.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().iter().map(|(head, _)| head.clone()).collect()
    }

    /// How many connections its requests came over.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until the client of an [`Act::Hold`] has closed its connection.
    pub(crate) fn await_departure(&self) {
        self.shared.left.wait();
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.connections.fetch_add(1, Ordering::SeqCst);
        while self.play(&mut stream) {}
    }

    /// Whether another request may follow.
    fn play(&self, stream: &mut TcpStream) -> bool {
        let request = read_request(stream);
        self.asked.lock().unwrap().push(request);
        // A client may leave at any time.
        match self.acts.lock().unwrap().pop_front() {
            Some(Act::Keep(bytes)) => return stream.write_all(bytes.as_bytes()).is_ok(),
            Some(Act::Say(bytes)) => {
                let _ = stream.write_all(bytes.as_bytes());
            }
            Some(Act::Hold(bytes)) => {
                let _ = stream.write_all(bytes.as_bytes());
                let is_gone = match stream.read(&mut [0; 16]) {
                    Ok(count) => count == 0,
                    Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
                };
                if is_gone {
                    self.left.open();
                }
            }
            None => {
                let words = json!({ "error": { "message": "the script has no more acts" } });
                let _ = stream.write_all(answer(400, &words).as_bytes());
            }
        }
        false
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the thread, which sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the scripted provider failed");
        }
    }
}

fn read_request(stream: &mut TcpStream) -> (String, Value) {
    let (mut came, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "a request broke off");
        came.extend_from_slice(&buffer[..count]);
        let Some(end) = came.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&came[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if came.len() >= end + 4 + length.unwrap().parse::<usize>().unwrap() {
            let body = serde_json::from_slice(&came[end + 4..]).unwrap();
            return (head, body);
        }
    }
}
