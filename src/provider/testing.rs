//! What this room's tests share: parts of conversations, an endpoint, and a scripted server.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::endpoint::{Endpoint, Secret};
use super::proxy::Proxies;
use super::retry::Policy;
use super::roots::Roots;
use crate::config::Protocol;
use crate::message::{Message, Part, Role, ToolStatus};

pub(crate) fn message(role: Role, parts: Vec<Part>) -> Message {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text { text } => Some(text.as_str()),
        _ => None,
    });
    Message {
        id: "m".into(),
        role,
        created_at: String::new(),
        content: texts.collect(),
        parts,
        model: None,
        usage: None,
        time: None,
        finish_reason: None,
        limit: None,
        error: None,
    }
}

pub(crate) fn text(text: &str) -> Part {
    Part::Text { text: text.into() }
}

pub(crate) fn reasoning(text: &str, opaque: Option<Value>) -> Part {
    Part::Reasoning { text: text.into(), opaque }
}

pub(crate) fn tool(id: &str, step: u32, result: Option<&str>) -> Part {
    Part::Tool {
        id: id.into(),
        tool: "read_file".into(),
        args: json!({"path": "x"}),
        result: result.map(Into::into),
        is_error: false,
        status: ToolStatus::Completed,
        duration_ms: None,
        step,
    }
}

/// Short waits, so that tests do not sleep.
pub(crate) fn quick() -> Policy {
    let ms = Duration::from_millis;
    Policy { retries: 2, first: ms(2), longest: ms(5), patience: ms(1000) }
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint {
        provider: "anthropic".into(),
        name: "Anthropic".into(),
        full_id: "anthropic/claude-x".into(),
        model: "claude-x".into(),
        protocol: Protocol::Anthropic,
        base: "http://127.0.0.1:1/v1".into(),
        key: Some(Secret::new("sk-very-secret")),
        key_origin: "the key in ANTHROPIC_API_KEY".into(),
        headers: Vec::new(),
        options: Map::new(),
        output_limit: None,
        output_known: None,
        cost: None,
        silence: Duration::from_secs(10),
        policy: quick(),
        proxies: Proxies::default(),
        roots: Roots::default(),
    }
}

/// An address of this machine where a connection is never made: the queue of a listener that
/// accepts nothing is full. It is one as long as what holds it is kept.
pub(crate) struct BlackHole {
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
    pub(crate) address: std::net::SocketAddr,
}

impl BlackHole {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok();
        let queue = std::iter::from_fn(connect).collect();
        Self { _listener: listener, _queue: queue, address }
    }

    /// Waits until somebody tries to connect.
    pub(crate) fn wait_for_a_try(&self) {
        let remote = format!("0100007F:{:04X} 02 ", self.address.port());
        while !std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&remote) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What the server does with one connection after it has read a request.
pub(crate) enum Act {
    /// Sends these bytes and closes.
    Send(String),
    /// Sends these bytes and holds the connection until the client leaves.
    Hold(String),
    /// Closes without a word.
    Drop,
}

/// A server that plays a script, one act a connection, and returns the requests it got.
pub(crate) fn server(acts: Vec<Act>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let play = move || {
        let mut requests = Vec::new();
        for act in acts {
            let (mut stream, _) = listener.accept().unwrap();
            requests.push(read_request(&mut stream));
            match act {
                Act::Send(bytes) => stream.write_all(bytes.as_bytes()).unwrap(),
                Act::Hold(bytes) => {
                    stream.write_all(bytes.as_bytes()).unwrap();
                    let _ = stream.read(&mut [0]);
                }
                Act::Drop => {}
            }
        }
        requests
    };
    (base, std::thread::spawn(play))
}

/// A request, once it has come whole.
pub(crate) fn read_request(stream: &mut (impl Read + ?Sized)) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let declared = lower.split("content-length: ").nth(1);
            let declared = declared.map_or(0, |l| l.lines().next().unwrap().parse().unwrap());
            if body.len() >= declared {
                return text;
            }
        }
        assert!(length > 0, "the request broke off: {text}");
    }
}

/// A streamed answer with these events, complete as far as HTTP goes.
pub(crate) fn stream(events: &[&str]) -> String {
    let mut body = head();
    for event in events {
        body += &chunked(event);
    }
    body + "0\r\n\r\n"
}

/// The head of a streamed answer.
pub(crate) fn head() -> String {
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\
     connection: close\r\n\r\n"
        .into()
}

/// One event as a chunk.
pub(crate) fn chunked(event: &str) -> String {
    let data = format!("data: {event}\n\n");
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// An answer with a status, more headers and a body.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}
