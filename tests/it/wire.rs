//! HTTP by hand: a client that may misbehave, and a small service to misbehave towards.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use opencode::config::Limits;
use opencode::error::Problem;
use opencode::http::{Answer, Request, Response, Running, Server, Service};
use serde_json::{Value, json};

use crate::program::await_that;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a condition that other threads bring about.
#[derive(Default)]
pub(crate) struct Gate(Mutex<bool>, Condvar);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    pub(crate) fn wait(&self) {
        let (shut, waited) =
            self.1.wait_timeout_while(self.0.lock().unwrap(), PATIENCE, |open| !*open).unwrap();
        assert!(*shut && !waited.timed_out(), "the gate stayed shut");
    }
}

/// A service that shows what reached it.
#[derive(Default)]
pub(crate) struct Simple {
    /// The paths of all requests.
    pub(crate) seen: Mutex<Vec<String>>,
    /// What `/gate` and `/gated-events` wait for.
    pub(crate) gate: Arc<Gate>,
    /// Open once the client of `/until-gone` is gone.
    pub(crate) gone: Arc<Gate>,
    /// Open once `/gate` is reached.
    pub(crate) reached: Arc<Gate>,
}

impl Service for Simple {
    fn answer(&self, request: &mut Request<'_>) -> Answer {
        self.seen.lock().unwrap().push(request.path().to_owned());
        let (gate, gone) = (self.gate.clone(), self.gone.clone());
        Answer::Full(match request.path() {
            "/show" => Response::json(
                200,
                &json!({
                    "path": request.path(), "query": request.query(), "host": request.host(),
                    "media": request.content_type(), "accept": request.header("accept"),
                }),
            ),
            "/body" => match request.body() {
                Ok(body) => Response::new(200).body(body),
                Err(problem) => Response::problem(&problem),
            },
            "/json" => {
                let body = request.body().unwrap_or_default();
                let parsed = serde_json::from_slice::<Value>(&body);
                Response::new(if parsed.is_ok() { 200 } else { 400 })
            }
            "/large" => Response::new(200).body(vec![b'x'; 1_000_000]),
            "/nothing" => Response::empty(204),
            "/panic" => panic!("as asked"),
            "/gate" => {
                self.reached.open();
                gate.wait();
                Response::new(200).body(&b"after the gate"[..])
            }
            "/events" | "/gated-events" | "/panic-events" | "/until-gone" => {
                let path = request.path().to_owned();
                let write = move |stream: &mut opencode::http::EventStream<'_>| {
                    stream.event(Some(1), r#"{"type":"text"}"#)?;
                    match path.as_str() {
                        "/gated-events" => gate.wait(),
                        "/panic-events" => panic!("as asked"),
                        "/until-gone" => loop {
                            if stream.comment("still here").is_err() {
                                gone.open();
                                return Err(io::ErrorKind::BrokenPipe.into());
                            }
                            std::thread::yield_now();
                        },
                        _ => stream.comment("a\nb")?,
                    }
                    stream.event(None, "two\nlines")
                };
                let headers = vec![("X-Further", "field".to_owned())];
                return Answer::Events { headers, write: Box::new(write) };
            }
            "/upgrade" => {
                return Answer::Upgrade {
                    response: Response::new(101).header("Upgrade", "echo"),
                    serve: Box::new(|mut upgraded| {
                        let mut word = [0; 5];
                        upgraded.read_exact(&mut word).unwrap();
                        upgraded.write_all(&word).unwrap();
                    }),
                };
            }
            path => Response::new(200).body(path.to_owned().into_bytes()),
        })
    }

    fn refused(&self, request: &Request<'_>, problem: &Problem) -> Response {
        Response::problem(problem).header("X-Dressed-For", request.path().to_owned())
    }
}

/// A server with the simple service.
pub(crate) struct Site {
    pub(crate) running: Running,
    pub(crate) service: Arc<Simple>,
    pub(crate) connections: Arc<opencode::http::Traffic>,
}

impl Site {
    pub(crate) fn start(limits: Limits) -> Self {
        let server = Server::bind("127.0.0.1", 0, limits).unwrap();
        let (service, connections) = (Arc::new(Simple::default()), server.traffic());
        let running = server.start(service.clone()).unwrap();
        Self { running, service, connections }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.running.address())
    }

    /// Connects from one of this machine's own addresses.
    pub(crate) fn connect_from(&self, source: &str) -> Client {
        Client::connect_from(source, self.running.address())
    }

    /// Waits until a path was asked for so many times.
    pub(crate) fn await_seen(&self, path: &str, count: usize) {
        await_that("the requests arrive", || {
            self.service.seen.lock().unwrap().iter().filter(|seen| *seen == path).count() >= count
        });
    }

    /// Asks on a new connection and reads the answer.
    pub(crate) fn ask(&self, request: &str) -> Reply {
        let mut client = self.connect();
        client.send(request);
        client.reply()
    }

    /// The server still answers.
    pub(crate) fn assert_serves(&self) {
        assert_eq!(self.ask("GET /alive HTTP/1.1\r\nHost: a\r\n\r\n").body, b"/alive");
    }

    /// Every connection and every thread ends, within a moment.
    pub(crate) fn assert_ends(self) {
        assert_eq!(self.running.stop(PATIENCE), 0, "connections are left");
        assert_eq!(self.connections.get(), 0);
    }
}

/// A client that sends what it is told.
pub(crate) struct Client {
    stream: TcpStream,
    came: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// Without its framing.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of a problem+json answer.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.field("Content-Type"), Some("application/problem+json"), "{self:?}");
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        problem["code"].as_str().unwrap().to_owned()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    /// Connects from a loopback address other than the usual one.
    pub(crate) fn connect_from(source: &str, address: SocketAddr) -> Self {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
        connect(&socket, &address).unwrap();
        Self::of(socket.into())
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, came: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends; a server that has closed already is no failure of the test.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Whether something can be read now.
    pub(crate) fn has_come(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        peeked.is_ok()
    }

    /// One more read; 0 is the end of the connection, a reset too.
    pub(crate) fn more(&mut self) -> usize {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.came.extend_from_slice(&buffer[..count]);
                count
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.more(),
            Err(error) => panic!("nothing came: {error}; before it {:?}", self.text()),
        }
    }

    /// Forgets what came and was not taken.
    pub(crate) fn forget(&mut self) {
        self.came.clear();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.came).into_owned()
    }

    /// Reads until the text has come, and leaves it unread.
    pub(crate) fn await_text(&mut self, text: &str) {
        self.await_any(&[text]);
    }

    /// Reads until one of the texts has come, and leaves it unread.
    pub(crate) fn await_any(&mut self, texts: &[&str]) {
        let end = Instant::now() + PATIENCE;
        while !texts.iter().any(|text| self.text().contains(text)) {
            // A stream's comments come whatever else does.
            assert!(Instant::now() < end, "none of {texts:?} came: {:?}", self.text());
            assert_ne!(self.more(), 0, "closed before any of {texts:?}: {:?}", self.text());
        }
    }

    /// Reads to the end of the connection: all that came and was not taken.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more() > 0 {}
        std::mem::take(&mut self.came)
    }

    /// Reads a head.
    pub(crate) fn head(&mut self) -> Reply {
        let end = loop {
            if let Some(end) = self.came.windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
            assert_ne!(self.more(), 0, "closed within a head: {:?}", self.text());
        };
        let head = String::from_utf8(self.came.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head, body: Vec::new() }
    }

    /// Reads an answer with its body, however it is framed.
    pub(crate) fn reply(&mut self) -> Reply {
        let mut reply = self.head();
        if reply.field("Transfer-Encoding").is_some() {
            while !self.chunk(&mut reply.body) {}
        } else if let Some(length) = reply.field("Content-Length") {
            let length = length.parse().unwrap();
            reply.body = self.take(length);
        } else if reply.status == 200 {
            reply.body = self.rest();
        }
        reply
    }

    /// What the whole chunks hold that have come.
    pub(crate) fn take_chunks(&mut self) -> String {
        let mut body = Vec::new();
        while self.has_chunk() {
            self.chunk(&mut body);
        }
        String::from_utf8(body).unwrap()
    }

    /// What all chunks hold up to the last one.
    pub(crate) fn chunks_to_end(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while !self.chunk(&mut body) {}
        body
    }

    fn has_chunk(&self) -> bool {
        let Some(end) = self.came.windows(2).position(|part| part == b"\r\n") else { return false };
        let size = std::str::from_utf8(&self.came[..end]).unwrap();
        self.came.len() >= end + 4 + usize::from_str_radix(size, 16).unwrap()
    }

    /// Reads one chunk, and tells whether it was the last one.
    fn chunk(&mut self, body: &mut Vec<u8>) -> bool {
        let end = loop {
            if let Some(end) = self.came.windows(2).position(|part| part == b"\r\n") {
                break end;
            }
            assert_ne!(self.more(), 0, "closed within chunks: {:?}", self.text());
        };
        let line = self.take(end + 2);
        let size = usize::from_str_radix(std::str::from_utf8(&line[..end]).unwrap(), 16).unwrap();
        body.extend(self.take(size));
        assert_eq!(self.take(2), b"\r\n");
        size == 0
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.came.len() < count {
            assert_ne!(self.more(), 0, "closed within a body: {:?}", self.text());
        }
        self.came.drain(..count).collect()
    }
}

/// Another process of this test binary that runs one ignored test as its only work.
pub(crate) struct Twin(pub(crate) Child);

/// Tells the twin that it is one.
const TWIN: &str = "OPENCODE_TEST_TWIN";

impl Twin {
    /// Starts it and reads the address it announces.
    pub(crate) fn start(test: &str) -> (Self, SocketAddr) {
        use std::io::{BufRead, BufReader};
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
            .env(TWIN, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut twin = Self(child);
        let lines = BufReader::new(twin.0.stdout.take().unwrap()).lines();
        let mut addresses = lines
            .map_while(Result::ok)
            .filter_map(|line| line.split("listening on ").nth(1)?.parse().ok());
        let address = addresses.next().expect("the twin announces its address");
        (twin, address)
    }

    /// In the twin: announces the address and lives until the parent lets go. `false` in a
    /// process that is none, where an ignored test was run by hand.
    pub(crate) fn is_one() -> bool {
        std::env::var_os(TWIN).is_some()
    }

    /// In the twin: announces the address and lives until the parent lets go.
    pub(crate) fn live(address: SocketAddr) {
        println!("listening on {address}");
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
