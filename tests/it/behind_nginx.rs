//! A real nginx in front, set up as `docs/behind-a-proxy.md` has it, over TLS: below a path, with
//! streams, web sockets, and what it says of its clients.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::model::Model;
use crate::peers::leave_out;
use crate::program::{Dir, Serving, WITH_THE_TEST, World, await_that};
use crate::socket::Ws;
use crate::wire::{Client, PATIENCE};

/// A running nginx, with a plain port and one with TLS.
struct Nginx {
    child: Child,
    plain: SocketAddr,
    secure: SocketAddr,
    /// Its files, with `ca.pem` among them.
    dir: Dir,
}

impl Nginx {
    /// Starts one before a server. `None` where there is no nginx or no openssl.
    fn before(server: &Serving) -> Option<Self> {
        for (program, version) in [("nginx", "-v"), ("openssl", "version")] {
            if Command::new(program).arg(version).output().is_err() {
                leave_out(&format!("{program} is not there: scripts/test installs it"));
                return None;
            }
        }
        let dir = Dir::new();
        certify(dir.path());
        // Its ports cannot be 0, so ones that were free a moment ago are tried.
        for _ in 0..10 {
            let [plain, secure] = free_ports();
            dir.write("nginx.conf", &configuration(server, plain, secure, dir.path()));
            let log = std::fs::File::create(dir.path().join("log")).unwrap();
            let mut child = Command::new(WITH_THE_TEST[0])
                .args(&WITH_THE_TEST[1..])
                .args(["nginx", "-p"])
                .arg(dir.path())
                .arg("-c")
                .arg(dir.path().join("nginx.conf"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            let end = Instant::now() + PATIENCE;
            while child.try_wait().unwrap().is_none() {
                if TcpStream::connect(secure).is_ok() {
                    return Some(Self { child, plain, secure, dir });
                }
                assert!(Instant::now() < end, "nginx neither starts nor ends");
                std::thread::yield_now();
            }
        }
        panic!("nginx does not start: {}", dir.read("log"));
    }

    /// One request to the plain port.
    fn ask(
        &self,
        server: &Serving,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> crate::wire::Reply {
        let host = self.plain.to_string();
        let fields = [&[("Host", host.as_str()), ("Connection", "close")], fields].concat();
        let mut client = Client::connect(self.plain);
        client.send(server.request(method, path, &fields, None));
        client.reply()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("nginx's log:\n{}", self.dir.read("log"));
        }
    }
}

fn free_ports() -> [SocketAddr; 2] {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap())
}

/// The configuration that the documentation has, with this machine's ports and files.
fn configuration(server: &Serving, plain: SocketAddr, secure: SocketAddr, dir: &Path) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/behind-a-proxy.md");
    let page = std::fs::read_to_string(page).unwrap();
    let documented = page.split("```nginx\n").nth(1).unwrap().split("```").next().unwrap();
    let mut told = documented.to_owned();
    for (from, to) in [
        ("listen 443 ssl;", format!("listen {secure} ssl; listen {plain};")),
        ("server_name build.example.com;", String::new()),
        ("/etc/nginx/build", dir.join("build").display().to_string()),
        ("http://127.0.0.1:4096", server.url()),
    ] {
        assert!(told.contains(from), "{from} stands no longer in the documentation");
        told = told.replace(from, &to);
    }
    let dir = dir.display();
    format!(
        "daemon off; master_process off; pid {dir}/pid; error_log {dir}/log;\n\
         events {{}}\nhttp {{ access_log off; client_body_temp_path {dir}/a; proxy_temp_path {dir}/b;\n\
         fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;\n{told}}}\n"
    )
}

/// An authority, and a certificate of it for this machine.
fn certify(dir: &Path) {
    let openssl = |args: &str| {
        let output =
            Command::new("openssl").args(args.split(' ')).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "openssl {args}: {output:?}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca -days 2"));
    openssl(&format!("req {key} -keyout build.key -out build.csr -subj /CN=build"));
    std::fs::write(dir.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        "x509 -req -in build.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out build.pem -days 2 \
         -extfile names",
    );
}

fn basic(password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("opencode:{password}"));
    format!("Basic {pair}")
}

/// What the documentation has the server say of itself.
fn documented() -> Value {
    json!({ "basePath": "/code", "trustedProxies": ["127.0.0.1"] })
}

#[test]
fn the_api_is_reached_below_its_path_by_every_client() {
    let world = World::new().env("OPENCODE_SERVER_PASSWORD", "s3cret");
    let server = world.config(&json!({ "server": documented() })).serve();
    let Some(nginx) = Nginx::before(&server) else { return };
    let (password, wrong) = (basic("s3cret"), basic("wrong"));
    let signed = [("Authorization", password.as_str())];
    assert_eq!(nginx.ask(&server, "GET", "/code/healthz", &[]).body, b"ok\n");
    let status = nginx.ask(&server, "GET", "/code/api/status", &signed);
    assert_eq!((status.status, &status.json()["auth"]), (200, &json!(true)));
    assert_eq!(nginx.ask(&server, "GET", "/code/api/status", &[]).status, 401);
    assert_eq!(nginx.ask(&server, "GET", "/api/status", &signed).status, 404, "nginx says so");

    // A page of this origin is the server's own, by whichever scheme; another one is not.
    for (origin, status) in [
        (format!("http://{}", nginx.plain), 201),
        (format!("https://{}", nginx.plain), 201),
        ("https://evil.example".to_owned(), 403),
    ] {
        let fields = [signed[0], ("Origin", &origin), ("Content-Type", "application/json")];
        let host = nginx.plain.to_string();
        let fields = [&[("Host", host.as_str()), ("Connection", "close")], &fields[..2]].concat();
        let mut client = Client::connect(nginx.plain);
        client.send(server.request("POST", "/code/api/sessions", &fields, Some(&json!({}))));
        assert_eq!(client.reply().status, status, "{origin}");
    }

    // Wrong passwords are counted for who sent them, and nobody else waits for it.
    let from = |address: &str, password: &str| {
        let fields = [("Authorization", password), ("X-Forwarded-For", address)];
        nginx.ask(&server, "GET", "/code/api/status", &fields).status
    };
    for _ in 0..10 {
        assert_eq!(from("203.0.113.5", &wrong), 401);
    }
    assert_eq!(from("203.0.113.5", &wrong), 429);
    assert_eq!(from("203.0.113.6", &wrong), 401);
    assert_eq!(from("203.0.113.6", &password), 200);

    // The program itself, over TLS, with the authority that vouches for nginx.
    let ca = nginx.dir.path().join("ca.pem");
    let url = format!("https://{}/code", nginx.secure);
    let args = ["run", "--ca", ca.to_str().unwrap(), "--attach", &url, "hello"];
    let run = server.world.run(&args);
    run.assert_status(0);
    assert!(run.stdout.contains("offline guide"), "{run:?}");
    let strange = server.world.run(&["status", "--attach", &url]);
    strange.assert_status(3);
    let plain = format!("http://{}/code", nginx.plain);
    server.world.run(&["status", "--attach", &plain]).assert_status(0);
}

#[test]
fn without_a_password_a_client_behind_it_is_no_client_of_this_machine() {
    let server = World::new().config(&json!({ "server": documented() })).serve();
    let Some(nginx) = Nginx::before(&server) else { return };
    let from = |address: &str| {
        let fields = [("X-Forwarded-For", address)];
        nginx.ask(&server, "GET", "/code/api/status", &fields).status
    };
    assert_eq!(nginx.ask(&server, "GET", "/code/api/status", &[]).status, 200);
    assert_eq!(from("203.0.113.5"), 403);
    assert_eq!(from("somebody"), 403);
}

#[test]
fn streams_are_not_held_back_and_a_client_that_leaves_stops_its_turn() {
    let model = Model::start();
    let server = model.world(json!({ "server": documented() })).serve();
    let Some(nginx) = Nginx::before(&server) else { return };
    let host = nginx.plain.to_string();
    let body = json!({ "message": "step 3 words of 5 bytes" });
    let mut client = Client::connect(nginx.plain);
    let fields = [("Host", host.as_str())];
    client.send(server.request("POST", "/code/api/chat/stream", &fields, Some(&body)));
    client.await_text("\"type\":\"session\"");
    // Each word is read before the next one is said.
    for word in ["00000", "00001"] {
        model.ask_for(1);
        client.await_text(word);
    }
    let running = || server.get("/code/api/status")["activeTurns"].clone();
    assert_eq!(running(), 1);
    drop(client);
    await_that("the turn stops", || running() == 0);
    let id = server.get("/code/api/sessions")[0]["id"].as_str().unwrap().to_owned();
    let session = server.get(&format!("/code/api/sessions/{id}"));
    assert_eq!(session["messages"][1]["finishReason"], "aborted");
}

#[test]
fn a_websocket_is_upgraded() {
    let server = World::new().config(&json!({ "server": documented() })).serve();
    let Some(nginx) = Nginx::before(&server) else { return };
    let stream = TcpStream::connect(nginx.plain).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let url = format!("ws://{}/code/ws", nginx.plain);
    let mut socket = Ws(tungstenite::client(url, stream).unwrap().0);
    socket.say(&json!({ "type": "ping" }));
    assert_eq!(socket.hear()["type"], "pong");
    socket.say(&json!({ "type": "chat", "message": "hello" }));
    let events = socket.hear_turn();
    assert_eq!(events.last().unwrap()["finishReason"], "stop");
}
