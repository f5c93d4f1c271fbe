//! The real binary in a directory and a home of its own, started and stopped by the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::wire::{Client, PATIENCE, Reply};

/// In front of a program that would outlive a test that is killed: it ends with the test's thread.
pub(crate) const WITH_THE_TEST: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "--"];

/// The program: what cargo built, or another one that `OPENCODE_TEST_BINARY` names, such as the
/// binary of another processor behind its emulator.
pub(crate) fn binary() -> &'static str {
    static BINARY: OnceLock<String> = OnceLock::new();
    BINARY.get_or_init(|| {
        std::env::var("OPENCODE_TEST_BINARY")
            .unwrap_or_else(|_| env!("CARGO_BIN_EXE_opencode").to_owned())
    })
}

/// A directory that is gone with the test.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        let name = format!("opencode-test-{:032x}", opencode::id::random());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A project and a person's home, and what the environment says.
pub(crate) struct World {
    pub(crate) project: Dir,
    pub(crate) home: Dir,
    env: Vec<(String, String)>,
}

impl World {
    /// An empty project, no configuration, no key, no local model.
    pub(crate) fn new() -> Self {
        // Ports on which nothing listens, so that a model on this machine is not found.
        let env = vec![("OLLAMA_HOST".to_owned(), "http://127.0.0.1:1".to_owned())];
        Self { project: Dir::new(), home: Dir::new(), env }
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        self.project.write(name, text);
        self
    }

    pub(crate) fn config(self, config: &Value) -> Self {
        self.file("opencode.json", &config.to_string())
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a variable that nobody has set.
    pub(crate) fn env_default(self, name: &str, value: &str) -> Self {
        if self.env.iter().any(|(set, _)| set == name) { self } else { self.env(name, value) }
    }

    /// The program with arguments, in the project.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(args)
            .current_dir(self.project.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// Runs the program with something on standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // A program that does not read its input closes it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Another program in the same place, with ours as its last argument.
    pub(crate) fn through(&self, program: &str, args: &[&str]) -> Command {
        let mut command = self.beside(program, args);
        command.arg(binary());
        command
    }

    /// Another program in the same place.
    pub(crate) fn beside(&self, program: &str, args: &[&str]) -> Command {
        let like = self.command(&[]);
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.project.path())
            .env_clear()
            .envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a server on a free port.
    pub(crate) fn serve(self) -> Serving {
        self.serve_with(&[])
    }

    /// Starts a server on a free port with further flags.
    pub(crate) fn serve_with(self, flags: &[&str]) -> Serving {
        let args = [&["serve", "--port", "0"], flags].concat();
        let command = self.command(&args);
        self.started(command)
    }

    /// Starts a server with the page on a free port, with further flags.
    pub(crate) fn web_with(self, flags: &[&str]) -> Serving {
        let args = [&["web", "--no-open", "--port", "0"], flags].concat();
        let command = self.command(&args);
        self.started(command)
    }

    /// Starts a server through another program; a script for a shell comes before the server.
    pub(crate) fn serve_through(self, program: &[&str], script: &str) -> Serving {
        let server = self.command(&["serve", "--port", "0"]);
        let mut command = Command::new(program[0]);
        command.args(&program[1..]);
        if !script.is_empty() {
            command.arg(script);
        }
        command
            .arg(server.get_program())
            .args(server.get_args())
            .current_dir(self.project.path())
            .env_clear()
            .envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.started(command)
    }

    fn started(self, mut command: Command) -> Serving {
        let mut child = command.spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        let Some(url) = first.trim_end().strip_prefix("opencode server listening on ") else {
            let _ = child.wait();
            panic!("the server did not start: {first:?} {}", log.text());
        };
        let port = url.rsplit(':').next().unwrap().parse().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Serving { world: Some(self).into(), child, address, log }
    }
}

/// What a program left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let signal = output.status.signal().map_or(-1, |signal| 128 + signal);
        Self {
            status: output.status.code().unwrap_or(signal),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The status, with what else tells when it is another one.
    #[track_caller]
    pub(crate) fn assert_status(&self, status: i32) -> &Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }
}

/// Standard error of a server, read as it comes.
pub(crate) struct Log {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    fn of(stderr: ChildStderr) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut stderr = stderr;
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self { text, reader: Some(reader) }
    }

    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Serving {
    pub(crate) world: Lent,
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) log: Log,
}

/// The server's world, until it is taken back.
pub(crate) struct Lent(Option<World>);

impl From<Option<World>> for Lent {
    fn from(world: Option<World>) -> Self {
        Self(world)
    }
}

impl Lent {
    fn take(&mut self) -> World {
        self.0.take().unwrap()
    }
}

impl std::ops::Deref for Lent {
    type Target = World;

    fn deref(&self) -> &World {
        self.0.as_ref().unwrap()
    }
}

impl Serving {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One request on a connection of its own, with further fields.
    pub(crate) fn ask_with(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Reply {
        let mut client = Client::connect(self.address);
        client.send(self.request(method, path, fields, body));
        client.reply()
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.ask_with(method, path, &[], body)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let reply = self.ask("GET", path, None);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    }

    /// The same, with a password.
    pub(crate) fn get_as(&self, password: &str, path: &str) -> Value {
        use base64::Engine;
        let pair = format!("opencode:{password}");
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        let fields = [("Authorization", &*format!("Basic {encoded}"))];
        self.ask_with("GET", path, &fields, None).json()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path, Some(body))
    }

    /// A prompt, and all events of its answer.
    pub(crate) fn stream(&self, body: &Value) -> Vec<Value> {
        let reply = self.post("/api/chat/stream", body);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.field("Content-Type"), Some("text/event-stream"));
        events(&String::from_utf8(reply.body).unwrap())
    }

    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<&Value>,
    ) -> String {
        use std::fmt::Write;
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            let _ = write!(request, "Host: {}\r\n", self.address);
        }
        for (name, value) in fields {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        let body = body.map(Value::to_string);
        if let Some(body) = &body {
            let _ = write!(
                request,
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            );
        }
        request + "\r\n" + &body.unwrap_or_default()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends the server by a signal; the world can be used again.
    pub(crate) fn stop(mut self, signal: rustix::process::Signal) -> World {
        self.signal(signal);
        self.child.wait().unwrap();
        self.world.take()
    }

    /// Sends a signal and waits for the end: its status and its log.
    pub(crate) fn end(self, signal: rustix::process::Signal) -> (Option<i32>, String) {
        self.signal(signal);
        self.wait()
    }

    /// Waits for the end: its status and its log.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.log.reader.take() {
            reader.join().unwrap();
        }
        (status.code(), self.log.text())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log.text());
        }
    }
}

/// Waits until something holds; fails after a while.
#[track_caller]
pub(crate) fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < end, "it never came that {what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Whether a process runs. One that has ended and waits to be reaped does not; one between two
/// programs does, though it has no command line.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may contain anything.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
    state.is_some_and(|state| !matches!(state, "Z" | "X" | "x"))
}

/// The events in a stream's text.
pub(crate) fn events(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The types of events, runs of the same one told once.
pub(crate) fn types(events: &[Value]) -> Vec<&str> {
    let mut types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    types.dedup();
    types
}

/// The text of an answer's events.
pub(crate) fn text(events: &[Value]) -> String {
    let texts = events.iter().filter(|event| event["type"] == "text");
    texts.map(|event| event["content"].as_str().unwrap()).collect()
}
