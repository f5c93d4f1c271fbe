//! Who is let in: credentials, hosts, origins, content types (S1 to S7).

use serde_json::json;

use crate::program::{Serving, World, await_that};

fn with_password() -> Serving {
    World::new()
        .env("OPENCODE_SERVER_PASSWORD", "my-secret-key")
        .config(&json!({ "server": { "cors": ["http://localhost:5173", "https://app.example/"] } }))
        .serve()
}

/// `opencode:my-secret-key`
const RIGHT: (&str, &str) = ("Authorization", "Basic b3BlbmNvZGU6bXktc2VjcmV0LWtleQ==");
/// `opencode:wrong`
const WRONG: (&str, &str) = ("Authorization", "Basic b3BlbmNvZGU6d3Jvbmc=");
const WS: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ("Sec-WebSocket-Version", "13"),
];

#[test]
fn with_a_password_everything_but_the_health_check_asks_for_it() {
    let server = with_password();
    for path in ["/api/status", "/api/sessions", "/api/nothing", "/ws", "/metrics", "/api"] {
        let reply = server.ask("GET", path, None);
        assert_eq!((reply.status, reply.code().as_str()), (401, "unauthorized"), "{path}");
        let challenge = "Basic realm=\"opencode\", charset=\"UTF-8\"";
        assert_eq!(reply.field("WWW-Authenticate"), Some(challenge));
    }
    let upgrade = server.ask_with("GET", "/ws", &WS, None);
    assert_eq!(upgrade.status, 401);
    let health = server.ask_with("GET", "/healthz", &[("Host", "anything.example")], None);
    assert_eq!((health.status, health.body.as_slice()), (200, &b"ok\n"[..]));
    assert_eq!(server.ask_with("GET", "/api/status", &[RIGHT], None).status, 200);
    let page = server.ask_with("GET", "/api/status", &[("X-Opencode-Page", "1")], None);
    let challenge = page.field("WWW-Authenticate").unwrap();
    assert!(!challenge.to_lowercase().starts_with("basic"), "no password box: {challenge}");
}

#[test]
fn wrong_passwords_slow_an_address_down_and_missing_ones_do_not() {
    let server = with_password();
    for _ in 0..20 {
        assert_eq!(server.ask("GET", "/api/status", None).status, 401);
    }
    for _ in 0..10 {
        assert_eq!(server.ask_with("GET", "/api/status", &[WRONG], None).status, 401);
    }
    let waits = server.ask_with("GET", "/api/status", &[RIGHT], None);
    assert_eq!((waits.status, waits.code().as_str()), (429, "too-many-attempts"));
    assert!(waits.field("Retry-After").unwrap().parse::<u64>().unwrap() <= 61);
}

#[test]
fn without_a_password_a_rebound_name_is_refused_before_anything_runs() {
    let server = World::new().config(&json!({ "server": { "allowedHosts": ["build"] } })).serve();
    let port = server.address.port();
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80", "build:80"] {
        assert_eq!(server.ask_with("GET", "/", &[("Host", host)], None).status, 200, "{host}");
    }
    let rebound = format!("evil.example:{port}");
    for host in
        [rebound.as_str(), "localhost.evil.example", "192.0.2.1", "10.0.0.1", "opencode.local"]
    {
        for path in ["/", "/api/status", "/ws", "/nothing"] {
            let reply = server.ask_with("GET", path, &[("Host", host)], None);
            assert_eq!((reply.status, reply.code().as_str()), (403, "host-refused"), "{host}");
        }
    }
}

#[test]
fn a_stranger_is_told_how_to_sign_in_and_no_version() {
    let server = with_password();
    let root = server.get("/");
    assert_eq!((&root["name"], root.get("version")), (&json!("opencode"), None));
    let denied = server.ask("GET", "/api/status", None).json();
    assert!(denied["detail"].as_str().unwrap().contains("curl -u USER:PASSWORD"), "{denied}");
    assert!(World::new().serve().get("/")["version"].is_string());
}

#[test]
fn another_pages_origin_is_refused_before_anything_runs() {
    let server = World::new().serve();
    let port = server.address.port();
    let body = json!({ "message": "run `touch pwned`" });
    let evil = format!("http://localhost:{port}.evil.com");
    for origin in ["http://localhost:3000", "null", "https://evil.example", &evil] {
        for path in ["/api/chat", "/api/chat/stream", "/api/sessions"] {
            let reply = server.ask_with("POST", path, &[("Origin", origin)], Some(&body));
            assert_eq!((reply.status, reply.code().as_str()), (403, "origin-refused"), "{origin}");
            assert_eq!(reply.field("Access-Control-Allow-Origin"), None);
        }
        let fields = [&WS[..], &[("Origin", origin)]].concat();
        assert_eq!(server.ask_with("GET", "/ws", &fields, None).code(), "origin-refused");
        let reads = server.ask_with("GET", "/api/status", &[("Origin", origin)], None);
        assert_eq!((reads.status, reads.field("Access-Control-Allow-Origin")), (200, None));
    }
    assert!(!server.world.project.path().join("pwned").exists());
    let own = format!("http://localhost:{port}");
    let host = format!("localhost:{port}");
    let fields = [("Origin", own.as_str()), ("Host", host.as_str())];
    assert_eq!(server.ask_with("POST", "/api/sessions", &fields, Some(&json!({}))).status, 201);
}

#[test]
fn a_listed_origin_gets_its_fields_on_errors_too_and_a_preflight_needs_no_password() {
    let server = with_password();
    let origin = ("Origin", "http://localhost:5173");
    let preflight = [
        origin,
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ];
    let reply = server.ask_with("OPTIONS", "/api/chat", &preflight, None);
    assert_eq!(reply.status, 204);
    assert_eq!(reply.field("Access-Control-Allow-Origin"), Some("http://localhost:5173"));
    assert_eq!(reply.field("Access-Control-Allow-Credentials"), Some("true"));
    assert!(reply.field("Access-Control-Allow-Methods").unwrap().contains("DELETE"));
    assert!(reply.field("Access-Control-Allow-Headers").unwrap().contains("last-event-id"));
    assert!(reply.field("Access-Control-Max-Age").is_some());
    let denied = server.ask_with("GET", "/api/status", &[origin], None);
    assert_eq!(denied.status, 401);
    assert_eq!(denied.field("Access-Control-Allow-Origin"), Some("http://localhost:5173"));
    let slash = [("Origin", "https://app.example"), RIGHT];
    let reply = server.ask_with("GET", "/api/sessions", &slash, None);
    assert_eq!(reply.field("Access-Control-Allow-Origin"), Some("https://app.example"));
    assert_eq!(reply.field("Vary"), Some("Origin"));
    let other = server.ask_with("GET", "/api/sessions", &[("Origin", "http://evil"), RIGHT], None);
    assert_eq!(
        (other.field("Access-Control-Allow-Origin"), other.field("Vary")),
        (None, Some("Origin"))
    );
    let body = json!({ "message": "hi" });
    let stream = server.ask_with("POST", "/api/chat/stream", &[origin, RIGHT], Some(&body));
    assert_eq!(stream.field("Access-Control-Allow-Origin"), Some("http://localhost:5173"));
}

#[test]
fn a_body_is_taken_only_as_json() {
    let server = World::new().serve();
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    {
        let body = r#"{"message":"hi"}"#;
        let mut client = crate::wire::Client::connect(server.address);
        client.send(format!(
            "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(client.reply().code(), "not-json", "{kind}");
    }
    assert_eq!(server.get("/api/sessions"), json!([]));
}

#[test]
fn other_machines_are_refused_until_a_password_is_set() {
    // Another address of this machine stands for another machine: 127.0.0.2 is loopback too, so
    // only the word of a named proxy can tell of one here.
    let config = json!({ "server": { "hostname": "0.0.0.0", "trustedProxies": ["127.0.0.1"] } });
    let far = [("X-Forwarded-For", "198.51.100.7")];
    let server = World::new().config(&config).serve();
    let reply = server.ask_with("GET", "/api/status", &far, None);
    assert_eq!((reply.status, reply.code().as_str()), (403, "address-refused"));
    assert!(reply.json()["detail"].as_str().unwrap().contains("OPENCODE_SERVER_PASSWORD"));
    assert_eq!(server.ask("GET", "/api/status", None).status, 200, "this machine is served");
    for spoofed in
        ["127.0.0.2, x, 198.51.100.7", "127.0.0.1, unknown", "127.0.0.1, 198.51.100.7:80"]
    {
        let fields = [("X-Forwarded-For", spoofed)];
        let reply = server.ask_with("GET", "/api/status", &fields, None);
        assert_eq!((reply.status, reply.code().as_str()), (403, "address-refused"), "{spoofed}");
    }
    assert_eq!(server.ask_with("GET", "/healthz", &far, None).status, 200);
    await_that("a warning is logged", || server.log.text().contains("NO PASSWORD"));
    let open = World::new().config(&config).serve_with(&["--insecure"]);
    assert_eq!(open.ask_with("GET", "/api/status", &far, None).status, 200);
    let unnamed = World::new().config(&json!({ "server": { "hostname": "0.0.0.0" } })).serve();
    assert_eq!(unnamed.ask_with("GET", "/api/status", &far, None).status, 200, "nobody's word");
}

#[test]
fn a_base_path_is_where_everything_is() {
    let server = World::new().serve_with(&["--base-path", "/code"]);
    assert_eq!(server.get("/code/api/status")["status"], "ok");
    assert_eq!(server.get("/code")["name"], "opencode");
    assert_eq!(server.ask("GET", "/api/status", None).status, 404);
    assert_eq!(server.ask("GET", "/codex/api/status", None).status, 404);
    assert_eq!(server.ask("GET", "/healthz", None).status, 200);
    assert_eq!(server.ask("GET", "/code/healthz", None).status, 200);
    let created = server.post("/code/api/sessions", &json!({}));
    assert!(created.field("Location").unwrap().starts_with("/code/api/sessions/"));
}
