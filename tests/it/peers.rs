//! Programs that nobody here wrote, as `scripts/test` installs them and names them in the
//! environment. A test whose peer is missing is left out with a sentence; with `CI=true` it fails.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::program::Dir;
use crate::wire::{Client, Reply};

/// Leaves a test out, unless nothing may be.
pub(crate) fn leave_out(sentence: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{sentence}");
    println!("left out: {sentence}");
}

/// The program that a variable names.
fn named(variable: &str, what: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        leave_out(&format!("{what} is not there ({variable} is not set; scripts/test sets it)"));
    }
    path
}

/// Whether this machine has `curl`.
pub(crate) fn has_curl() -> bool {
    let asked = Command::new("curl").arg("--version").stdout(Stdio::null()).status();
    let is_there = asked.is_ok_and(|status| status.success());
    if !is_there {
        leave_out("curl is not there");
    }
    is_there
}

/// The options with which this machine's Node.js has the `WebSocket` of browsers, if it can: behind
/// a flag since 20, without one since 22.
pub(crate) fn node_with_websocket() -> Option<&'static str> {
    let has_socket = |options: &&str| {
        let probe = "process.exit(typeof WebSocket === 'function' ? 0 : 1)";
        let mut node = Command::new("node");
        node.args(["-e", probe]).env("NODE_OPTIONS", options).stderr(Stdio::null());
        node.status().is_ok_and(|status| status.success())
    };
    let found = ["", "--experimental-websocket --no-warnings"].into_iter().find(has_socket);
    if found.is_none() {
        leave_out("there is no node with a WebSocket");
    }
    found
}

/// A running program that announced its address on standard output.
struct Peer {
    child: Child,
    address: SocketAddr,
    /// Reads on, so that the program never waits for a reader.
    reader: Option<JoinHandle<()>>,
}

impl Peer {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let address = announced(&mut stdout);
        let reader = std::thread::spawn(move || {
            let _ = std::io::copy(&mut stdout, &mut std::io::sink());
        });
        let Some(address) = address else {
            let _ = child.kill();
            panic!("{command:?} ended without an address: {:?}", child.wait());
        };
        Self { child, address, reader: Some(reader) }
    }
}

/// Reads lines until one holds an address.
fn announced(stdout: &mut BufReader<ChildStdout>) -> Option<SocketAddr> {
    stdout.lines().map_while(Result::ok).find_map(|line| {
        let (_, address) = line.split_once("http://")?;
        address.trim_end().trim_end_matches('/').parse().ok()
    })
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// aimock, which plays many providers from a list of answers and can fail in their ways.
pub(crate) struct Aimock {
    peer: Peer,
    _fixtures: Dir,
}

impl Aimock {
    /// Starts it with answers and, perhaps, the only key that it takes.
    pub(crate) fn start(fixtures: &Value, key: Option<&str>) -> Option<Self> {
        let program = named("OPENCODE_TEST_AIMOCK", "aimock")?;
        let dir = Dir::new();
        dir.write("fixtures.json", &json!({ "fixtures": fixtures }).to_string());
        let mut command = Command::new(program);
        command.args(["--port", "0", "--fixtures"]).arg(dir.path().join("fixtures.json"));
        if let Some(key) = key {
            command.env("AIMOCK_API_KEYS", key);
        }
        Some(Self { peer: Peer::start(&mut command), _fixtures: dir })
    }

    /// Its address, without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.peer.address)
    }

    /// The requests to models so far, with what they were answered.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let journal = self.control("GET", "/__aimock/journal", None).json();
        journal.as_array().unwrap().clone()
    }

    /// From now on every request fails in this way.
    pub(crate) fn fail(&self, way: &str) {
        let reply = self.control("POST", "/__aimock/chaos", Some(&json!({ way: 1 })));
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// From now on no request fails.
    pub(crate) fn recover(&self) {
        let reply = self.control("DELETE", "/__aimock/chaos", None);
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    fn control(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut client = Client::connect(self.peer.address);
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.peer.address,
            body.len()
        ));
        client.reply()
    }
}

/// A small language model behind llama.cpp's server.
pub(crate) struct RealModel(Peer);

impl RealModel {
    /// The key it takes.
    pub(crate) const KEY: &str = "sk-test";
    /// The name it goes by.
    pub(crate) const NAME: &str = "smollm2-135m";

    /// Starts it, unless another test has it running: it is large, and it ends with the last one.
    pub(crate) fn shared() -> Option<Arc<Self>> {
        /// Protects who has it; held while it starts, so that it starts once.
        static RUNNING: Mutex<Weak<RealModel>> = Mutex::new(Weak::new());
        let program = named("OPENCODE_TEST_REAL_MODEL", "the real model")?;
        // A test that failed to start it is no reason for the others not to try.
        let mut running = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(model) = running.upgrade() {
            return Some(model);
        }
        let model = Arc::new(Self(Peer::start(&mut Command::new(program))));
        *running = Arc::downgrade(&model);
        Some(model)
    }

    /// Its address, without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }
}

/// The folder of requests that another server's authors wrote.
pub(crate) fn requests() -> Option<PathBuf> {
    named("OPENCODE_TEST_REQUESTS", "gunicorn's test requests")
}

/// A script of `tests/page` that drives Chromium with `playwright-core`.
pub(crate) fn browser_script(name: &str) -> Option<Command> {
    let modules = named("OPENCODE_TEST_PAGE", "playwright-core")?;
    let chromium = named("OPENCODE_TEST_CHROMIUM", "Chromium")?;
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/page").join(name);
    let mut node = Command::new("node");
    node.arg(script).env("OPENCODE_TEST_PAGE", modules).env("OPENCODE_TEST_CHROMIUM", chromium);
    Some(node)
}
