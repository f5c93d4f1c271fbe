//! Signing in: the cookie that a page has instead of the password (S21), what it opens, and what
//! ends it.

use serde_json::json;

use crate::program::{Serving, World, await_that};
use crate::socket::knock;
use crate::wire::{Client, Reply};

const PASSWORD: &str = "correct horse";

fn world() -> World {
    World::new().env("OPENCODE_SERVER_PASSWORD", PASSWORD)
}

fn sign_in(server: &Serving, fields: &[(&str, &str)]) -> Reply {
    server.ask_with("POST", "/api/login", fields, Some(&json!({ "password": PASSWORD })))
}

/// What a browser sends back of a `Set-Cookie`.
fn cookie(reply: &Reply) -> String {
    assert_eq!(reply.status, 204, "{reply:?}");
    reply.field("Set-Cookie").unwrap().split(';').next().unwrap().to_owned()
}

fn status_with(server: &Serving, cookie: &str) -> u16 {
    server.ask_with("GET", "/api/status", &[("Cookie", cookie)], None).status
}

#[test]
fn a_cookie_stands_for_the_password_on_the_api_and_the_websocket() {
    let server = world().web_with(&[]);
    let reply = sign_in(&server, &[]);
    let set = reply.field("Set-Cookie").unwrap();
    assert!(set.starts_with("opencode-"), "{set}");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"] {
        assert!(set.split("; ").any(|one| one == part), "{part}: {set}");
    }
    assert!(!set.contains("Secure") && !set.contains("Domain"), "{set}");
    assert!(reply.body.is_empty() && reply.field("Cache-Control") == Some("no-store"));
    let cookie = cookie(&reply);
    assert_eq!(status_with(&server, &cookie), 200);
    assert_eq!(status_with(&server, &format!("theme=dark; {cookie}; x=y")), 200);
    let own = format!("http://{}", server.address);
    let (_, head) = knock(&server, &[("Cookie", &cookie), ("Origin", &own)]);
    assert_eq!(head.status, 101, "{head:?}");
    let (_, head) = knock(&server, &[("Origin", &own)]);
    assert_eq!(head.status, 401);
    assert!(!head.field("WWW-Authenticate").unwrap().starts_with("Basic"), "{head:?}");
}

#[test]
fn a_cookie_that_is_none_is_no_failure_and_no_way_in() {
    let server = world().serve();
    let cookie = cookie(&sign_in(&server, &[]));
    let (name, value) = cookie.split_once('=').unwrap();
    let wrong = [
        format!("{name}="),
        format!("{name}=9{value}"),
        format!("{name}={value}x"),
        format!("x={value}"),
    ];
    for wrong in wrong.iter().cycle().take(30) {
        assert_eq!(status_with(&server, wrong), 401, "{wrong}");
    }
    // Beside it a right password is one, and thirty bad cookies have made nobody wait.
    let basic = "Basic b3BlbmNvZGU6Y29ycmVjdCBob3JzZQ==";
    let both = [("Cookie", &*wrong[1]), ("Authorization", basic)];
    assert_eq!(server.ask_with("GET", "/api/status", &both, None).status, 200);
    assert_eq!(status_with(&server, &format!("{}; {cookie}", wrong[1])), 200);
}

#[test]
fn it_outlives_a_restart_and_not_a_change_of_the_password() {
    use rustix::process::Signal;
    let server = world().serve();
    let cookie = cookie(&sign_in(&server, &[]));
    let key =
        format!("{}/.local/share/opencode-server/projects", server.world.home.path().display());
    let key = std::fs::read_dir(key).unwrap().next().unwrap().unwrap().path().join("key");
    let meta = std::fs::metadata(key).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions());
    assert_eq!((mode & 0o777, meta.len()), (0o600, 32));
    let again = server.stop(Signal::KILL).serve();
    assert_eq!(status_with(&again, &cookie), 200);
    let renamed = again.stop(Signal::TERM).env("OPENCODE_SERVER_USERNAME", "ann").serve();
    assert_eq!(status_with(&renamed, &cookie), 401);
    let world = renamed.stop(Signal::TERM).env("OPENCODE_SERVER_USERNAME", "opencode");
    let changed = world.env("OPENCODE_SERVER_PASSWORD", "battery staple").serve();
    assert_eq!(status_with(&changed, &cookie), 401);
}

#[test]
fn sessions_in_memory_have_a_key_as_long_as_they_last() {
    use rustix::process::Signal;
    // A file where the folder should be.
    let world = world().file("taken", "").env("OPENCODE_DATA_DIR", "taken");
    let server = world.serve();
    let first = cookie(&sign_in(&server, &[]));
    assert_eq!(status_with(&server, &first), 200);
    assert_eq!(status_with(&server.stop(Signal::TERM).serve(), &first), 401);
}

#[test]
fn a_wrong_password_is_refused_as_everywhere_and_slows_the_address_down() {
    let server = world().serve();
    let wrong = json!({ "password": "guess" });
    let page = [("X-Opencode-Page", "1")];
    let refused = server.ask_with("POST", "/api/login", &page, Some(&wrong));
    assert_eq!((refused.code().as_str(), refused.field("Set-Cookie")), ("unauthorized", None));
    assert!(!refused.field("WWW-Authenticate").unwrap().starts_with("Basic"), "{refused:?}");
    let user = json!({ "username": "root", "password": PASSWORD });
    let other = server.post("/api/login", &user);
    assert_eq!(other.json()["detail"], refused.json()["detail"], "which of the two is not told");
    let right = json!({ "username": "opencode", "password": PASSWORD });
    assert_eq!(server.post("/api/login", &right).status, 204);
    let signed_in = cookie(&sign_in(&server, &[]));
    for _ in 0..8 {
        assert_eq!(server.post("/api/login", &wrong).status, 401);
    }
    let waits = sign_in(&server, &[]);
    assert_eq!((waits.code().as_str(), waits.field("Set-Cookie")), ("too-many-attempts", None));
    assert!(waits.field("Retry-After").is_some());
    assert_eq!(
        server.ask_with("GET", "/api/status", &[("Authorization", "Basic x")], None).status,
        429
    );
    assert_eq!(status_with(&server, &signed_in), 200, "who is in already is not kept out");
}

#[test]
fn bad_bodies_are_told_what_is_wrong() {
    let server = world().serve();
    for (body, word) in [
        (json!({}), "`password` is missing"),
        (json!({ "password": 7 }), "`password` must be a string"),
        (json!({ "username": [], "password": "x" }), "`username` must be a string"),
    ] {
        let reply = server.post("/api/login", &body);
        assert_eq!(reply.code(), "bad-field");
        assert!(reply.json()["detail"].as_str().unwrap().contains(word), "{reply:?}");
    }
    let form = "POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n\r\na=b";
    let mut client = crate::wire::Client::connect(server.address);
    client.send(form);
    assert_eq!(client.reply().code(), "not-json");
    let other = server.ask("GET", "/api/login", None);
    assert_eq!(other.status, 401, "nothing else is open");
}

#[test]
fn signing_out_takes_the_cookie_back_whether_it_was_good_or_not() {
    let server = world().serve();
    let set = sign_in(&server, &[]);
    let name = cookie(&set).split_once('=').unwrap().0.to_owned();
    for sent in [cookie(&set), "x=y".to_owned()] {
        let out = server.ask_with("DELETE", "/api/login", &[("Cookie", &sent)], None);
        let gone = format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
        assert_eq!((out.status, out.field("Set-Cookie")), (204, Some(&*gone)));
    }
}

#[test]
fn without_a_password_there_is_nothing_to_sign_in_to() {
    let server = World::new().serve();
    let reply = sign_in(&server, &[]);
    assert_eq!((reply.status, reply.field("Set-Cookie")), (204, None));
    let out = server.ask("DELETE", "/api/login", None);
    assert_eq!((out.status, out.field("Set-Cookie")), (204, None));
}

#[test]
fn two_servers_of_one_host_keep_their_cookies_apart() {
    let (one, other) = (world().serve(), world().serve());
    let (ours, theirs) = (cookie(&sign_in(&one, &[])), cookie(&sign_in(&other, &[])));
    let name = |cookie: &str| cookie.split_once('=').unwrap().0.to_owned();
    assert_ne!(name(&ours), name(&theirs), "a browser keeps both");
    let both = format!("{ours}; {theirs}");
    assert_eq!((status_with(&one, &both), status_with(&other, &both)), (200, 200));
    assert_eq!((status_with(&one, &theirs), status_with(&other, &ours)), (401, 401));
    let (_, value) = theirs.split_once('=').unwrap();
    assert_eq!(status_with(&one, &format!("{}={value}", name(&ours))), 401, "by another key");
}

#[test]
fn another_sites_page_does_nothing_with_it() {
    let server = world().serve();
    let evil = ("Origin", "http://localhost:3000");
    assert_eq!(sign_in(&server, &[evil]).code(), "origin-refused", "nobody is signed in unasked");
    let cookie = cookie(&sign_in(&server, &[]));
    let fields = [evil, ("Cookie", &*cookie)];
    let body = json!({ "message": "hi" });
    for path in ["/api/chat", "/api/sessions"] {
        assert_eq!(server.ask_with("POST", path, &fields, Some(&body)).code(), "origin-refused");
    }
    assert_eq!(server.ask_with("DELETE", "/api/login", &fields, None).code(), "origin-refused");
    let (_, head) = knock(&server, &fields);
    assert_eq!(head.status, 403);
    let read = server.ask_with("GET", "/api/status", &fields, None);
    assert_eq!(read.field("Access-Control-Allow-Origin"), None, "it cannot read the answer");
}

#[test]
fn the_cookie_is_as_wide_as_its_way_allows() {
    let config = json!({ "server": {
        "cors": ["https://app.example", "http://localhost:5173"],
        "trustedProxies": ["127.0.0.1"],
        "basePath": "/code",
    } });
    let server = world().config(&config).serve();
    let set = |fields: &[(&str, &str)]| {
        let body = json!({ "password": PASSWORD });
        let reply = server.ask_with("POST", "/code/api/login", fields, Some(&body));
        let (_, rest) = reply.field("Set-Cookie").unwrap().split_once("; ").unwrap();
        assert!(rest.starts_with("Path=/code/; Max-Age=2592000; HttpOnly; "), "{rest}");
        rest.rsplit_once("HttpOnly; ").unwrap().1.to_owned()
    };
    let https = ("X-Forwarded-Proto", "https");
    let (name, own) = (("Host", "build.example"), ("Origin", "https://build.example"));
    assert_eq!(set(&[]), "SameSite=Strict");
    assert_eq!(set(&[https]), "SameSite=Strict; Secure");
    assert_eq!(set(&[name, own, https]), "SameSite=Strict; Secure");
    assert_eq!(set(&[("Origin", "http://localhost:5173")]), "SameSite=Strict");
    let far = [name, ("Origin", "https://app.example"), https];
    assert_eq!(set(&far), "SameSite=None; Secure; Partitioned");
    let fields = [("Origin", "https://app.example")];
    let out = server.ask_with("DELETE", "/code/api/login", &fields, None);
    assert!(out.field("Set-Cookie").unwrap().ends_with("SameSite=None; Secure; Partitioned"));
    // Nobody else's word is taken for https.
    let plain = world().serve();
    let reply = sign_in(&plain, &[https]);
    assert!(!reply.field("Set-Cookie").unwrap().contains("Secure"));
}

#[test]
fn no_log_has_password_or_cookie() {
    let server = world().web_with(&[]);
    let cookie = cookie(&sign_in(&server, &[]));
    server.post("/api/login", &json!({ "password": "near miss" }));
    assert_eq!(status_with(&server, &cookie), 200);
    assert_eq!(status_with(&server, &format!("{cookie}x")), 401);
    let value = cookie.split_once('=').unwrap().1.to_owned();
    await_that("the requests are logged", || server.log.text().contains("/api/status 401"));
    let log = server.log.text();
    for secret in [PASSWORD, "near miss", &value] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn what_a_stranger_sends_to_sign_in_is_small_and_says_so_itself() {
    let server = world().serve();
    let long = json!({ "password": "x".repeat(10_000) });
    let reply = server.post("/api/login", &long);
    assert_eq!((reply.status, reply.code().as_str()), (413, "body-too-large"));
    let mut client = Client::connect(server.address);
    client.send(
        "POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
    );
    assert_eq!(client.reply().status, 413);
}
