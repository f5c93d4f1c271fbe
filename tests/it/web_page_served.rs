//! `opencode web`: what is served beside the API, and how it is answered for (S10); and the
//! browser that is sent there.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use flate2::read::GzDecoder;

use crate::peers::leave_out;
use crate::program::{World, await_that};
use crate::wire::{Client, Reply};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

#[track_caller]
fn assert_dressed(reply: &Reply) {
    assert_eq!(reply.field("Content-Security-Policy"), Some(POLICY), "{reply:?}");
    assert_eq!(reply.field("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(reply.field("Referrer-Policy"), Some("same-origin"));
    assert_eq!(reply.field("Cross-Origin-Resource-Policy"), Some("same-origin"));
    assert_eq!(reply.field("Cache-Control"), Some("no-cache"));
}

/// The relative addresses in a page.
fn links(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    for part in page.split(['<', '>']) {
        let ends = part.split([' ', '\n']).filter_map(|word| {
            word.strip_prefix("src=\"").or_else(|| word.strip_prefix("href=\""))
        });
        links.extend(ends.filter_map(|end| Some(end.split_once('"')?.0.to_owned())));
    }
    links
}

#[test]
fn the_page_and_its_files_are_there_at_both_depths() {
    let server = World::new().web_with(&[]);
    let page = server.ask("GET", "/", None);
    assert_eq!((page.status, page.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
    assert_dressed(&page);
    let text = String::from_utf8(page.body.clone()).unwrap();
    assert!(text.to_lowercase().starts_with("<!doctype html>"), "{text}");
    let links = links(&text);
    assert!(links.len() >= 3, "{links:?}");
    for link in links {
        assert!(link.starts_with("assets/"), "relative, and from here: {link}");
        let at_root = server.ask("GET", &format!("/{link}"), None);
        let deep = server.ask("GET", &format!("/s/{link}"), None);
        assert_eq!((at_root.status, deep.status), (200, 200), "{link}");
        assert_eq!((&at_root.body, at_root.field("ETag")), (&deep.body, deep.field("ETag")));
        assert_dressed(&at_root);
    }
    let deep = server.ask("GET", "/s/01m87y8zexample", None);
    assert_eq!((deep.status, deep.body), (200, page.body));
    let script = server.ask("GET", "/assets/app.js", None);
    assert_eq!(script.field("Content-Type"), Some("text/javascript; charset=utf-8"));
}

#[test]
fn a_browser_that_has_it_gets_no_second_copy() {
    let server = World::new().web_with(&[]);
    let page = server.ask("GET", "/", None);
    let tag = page.field("ETag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong one: {tag}");
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let reply = server.ask_with("GET", "/s/x", &[("If-None-Match", &known)], None);
        assert_eq!((reply.status, reply.field("ETag")), (304, Some(&*tag)), "{known}");
        assert!(reply.body.is_empty());
        assert_dressed(&reply);
    }
    let other = server.ask_with("GET", "/", &[("If-None-Match", "\"x\"")], None);
    assert_eq!((other.status, other.body.len()), (200, page.body.len()));
    assert_ne!(server.ask("GET", "/assets/app.js", None).field("ETag"), Some(&*tag));
}

#[test]
fn what_takes_gzip_gets_it_as_a_thing_of_its_own() {
    let server = World::new().web_with(&[]);
    let gzip = ("Accept-Encoding", "gzip, deflate, br");
    for path in ["/", "/assets/app.js", "/api/openapi.json"] {
        let plain = server.ask("GET", path, None);
        let packed = server.ask_with("GET", path, &[gzip], None);
        assert_eq!((packed.status, packed.field("Content-Encoding")), (200, Some("gzip")));
        assert_eq!(plain.field("Content-Encoding"), None);
        assert_eq!(packed.field("Content-Type"), plain.field("Content-Type"));
        let mut unpacked = Vec::new();
        GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == plain.body && packed.body.len() < plain.body.len(), "{path}");
        for reply in [&plain, &packed] {
            assert_eq!(reply.field("Vary"), Some("Accept-Encoding"), "{path}");
        }
        let Some(tag) = packed.field("ETag") else { continue };
        assert_ne!(plain.field("ETag"), Some(tag), "two representations, two validators");
        let known = [gzip, ("If-None-Match", tag)];
        let again = server.ask_with("GET", path, &known, None);
        assert_eq!((again.status, again.field("ETag")), (304, Some(tag)));
        let refused = [("Accept-Encoding", "gzip;q=0"), ("If-None-Match", tag)];
        assert_eq!(server.ask_with("GET", path, &refused, None).body, plain.body);
    }
}

#[test]
fn head_tells_the_length_and_other_methods_are_refused() {
    let server = World::new().web_with(&[]);
    let page = server.ask("GET", "/", None);
    let mut client = Client::connect(server.address);
    client.send(server.request("HEAD", "/", &[], None));
    let head = client.head();
    assert_eq!((head.status, head.field("ETag")), (200, page.field("ETag")));
    assert_eq!(head.field("Content-Length"), Some(&*page.body.len().to_string()));
    for path in ["/", "/assets/app.js", "/nothing"] {
        let reply = server.ask("DELETE", path, None);
        assert_eq!((reply.status, reply.field("Allow")), (405, Some("GET, HEAD")), "{path}");
        assert_dressed(&reply);
    }
}

#[test]
fn what_is_unknown_is_json_below_api_and_a_few_words_elsewhere() {
    let server = World::new().web_with(&[]);
    for path in ["/api", "/api/", "/api/nothing", "/api/s/x", "/metrics/x/../y"] {
        let reply = server.ask("GET", path, None);
        assert_eq!(reply.status, 404, "{path}");
        if path.starts_with("/api") {
            assert_eq!(reply.code(), "not-found", "{path}");
        }
    }
    for path in ["/nothing", "/s", "/s/", "/s/x/y", "/assets/", "/assets/../mod.rs", "/apiary"] {
        let reply = server.ask("GET", path, None);
        assert_eq!(
            (reply.status, reply.field("Content-Type")),
            (404, Some("text/plain")),
            "{path}"
        );
        assert!(reply.body.len() < 100);
        assert_dressed(&reply);
    }
    assert_eq!(server.get("/api/status")["status"], "ok");
    assert_eq!(server.ask("GET", "/ws", None).status, 426);
    assert_eq!(server.ask("GET", "/healthz", None).body, b"ok\n");
}

#[test]
fn the_page_is_public_and_what_it_shows_is_not() {
    let server = World::new().env("OPENCODE_SERVER_PASSWORD", "s3cret").web_with(&[]);
    for (path, status) in
        [("/", 200), ("/s/x", 200), ("/assets/app.js", 200), ("/api/status", 401), ("/ws", 401)]
    {
        assert_eq!(server.ask("GET", path, None).status, status, "{path}");
    }
}

#[test]
fn a_rebound_name_gets_no_page_while_there_is_no_password() {
    let server = World::new().web_with(&[]);
    for path in ["/", "/s/x", "/assets/app.js"] {
        let reply = server.ask_with("GET", path, &[("Host", "evil.example")], None);
        assert_eq!(reply.code(), "host-refused", "{path}");
    }
}

#[test]
fn the_page_is_below_the_base_path() {
    let server = World::new().web_with(&["--base-path", "/code"]);
    let page = server.ask("GET", "/code/", None);
    assert_eq!(page.field("Content-Type"), Some("text/html; charset=utf-8"));
    let bare = server.ask("GET", "/code", None);
    assert_eq!((bare.status, bare.field("Location")), (307, Some("/code/")));
    assert_dressed(&bare);
    let asked = server.ask("GET", "/code?a=b%20c", None);
    assert_eq!(asked.field("Location"), Some("/code/?a=b%20c"), "the query is kept");
    assert_eq!(server.ask("GET", "/code/s/x", None).body, page.body);
    assert_eq!(server.ask("GET", "/code/s/assets/app.js", None).status, 200);
    assert_eq!(server.get("/code/api/status")["status"], "ok");
    assert_eq!(server.ask("GET", "/", None).status, 404);
    assert_eq!(server.ask("GET", "/codex/", None).status, 404);
    let there = format!("the page is at http://127.0.0.1:{}/code/", server.address.port());
    await_that("its address is logged", || server.log.text().contains(&there));
}

#[test]
fn serve_has_no_page() {
    let server = World::new().serve();
    assert_eq!(server.get("/")["name"], "opencode");
    for path in ["/s/x", "/assets/app.js", "/index.html"] {
        assert_eq!(server.ask("GET", path, None).code(), "not-found", "{path}");
    }
}

/// A browser that writes down what it was given.
const BROWSER: &str = "#!/bin/sh\n\
    { echo \"url $*\"; echo \"parent $(cut -d' ' -f4 /proc/$$/stat)\"; env | sed 's/^/env /'\n\
    for fd in 0 1 2; do echo \"fd $(readlink /proc/$$/fd/$fd)\"; done; } > told.new\n\
    mv told.new told\n";

/// Runs `opencode web` on a terminal of its own: the world, the page's address, what the browser
/// there wrote down, and the server's process.
fn on_a_terminal(
    env: &[(&str, &str)],
    flags: &str,
) -> Option<(World, String, Option<String>, u32)> {
    let world = World::new().file("bin/xdg-open", BROWSER);
    let bin = world.project.path().join("bin");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bin.join("xdg-open"), mode).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let like = world.command(&[]);
    let program = like.get_program().to_str().unwrap();
    let mut script = Command::new("script");
    script
        .args(["-qefc", &format!("exec '{program}' web --port 0 {flags}"), "/dev/null"])
        .current_dir(world.project.path())
        .env_clear()
        .envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .envs([("PATH", &*path), ("ANTHROPIC_API_KEY", "sk-hush")])
        .env("OPENCODE_SERVER_PASSWORD", "s3cret")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let Ok(mut child) = script.spawn() else {
        leave_out("there is no `script` here");
        return None;
    };
    let mut shown = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while !shown.contains("listening on http://") {
        assert_ne!(stdout.read_line(&mut shown).unwrap(), 0, "{shown}");
    }
    let address = shown.rsplit_once("listening on http://").unwrap().1.trim().to_owned();
    let pid = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    let pid: u32 = pid.trim().parse().unwrap();
    // It answers when what opens a browser is through.
    let mut client = Client::connect(address.parse().unwrap());
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.reply().status, 200);
    let told = world.project.path().join("told");
    let expects = env.iter().any(|(name, _)| name.contains("DISPLAY")) && flags.is_empty();
    if expects {
        await_that("the browser has what it was given", || told.exists());
    }
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        assert_eq!(children, "", "nothing is left to be waited for");
    }
    let told = std::fs::read_to_string(told).ok();
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    child.wait().unwrap();
    Some((world, address, told, pid))
}

#[test]
fn a_person_with_a_display_gets_a_browser_that_knows_no_secret() {
    for display in [("DISPLAY", ":0"), ("WAYLAND_DISPLAY", "wayland-0")] {
        let Some((_world, address, told, pid)) = on_a_terminal(&[display], "") else { return };
        let told = told.unwrap();
        assert!(told.starts_with(&format!("url http://{address}/\n")), "{told}");
        assert!(!told.contains(&format!("\nparent {pid}\n")), "nobody's child: {told}");
        assert!(!told.contains("s3cret") && !told.contains("sk-hush"), "{told}");
        assert!(!told.contains("env OPENCODE_") && told.contains("env HOME="), "{told}");
        assert_eq!(told.matches("fd /dev/null").count(), 2, "stdin, stdout: {told}");
    }
}

#[test]
fn the_persons_browser_goes_first_and_none_is_no_failure() {
    let browser = [("DISPLAY", ":0"), ("BROWSER", "no-such-program:xdg-open --new %s")];
    let Some((_world, address, told, _)) = on_a_terminal(&browser, "") else { return };
    assert!(told.unwrap().starts_with(&format!("url --new http://{address}/\n")));
}

#[test]
fn no_browser_is_opened_without_a_display_or_a_person() {
    let Some((_, _, told, _)) = on_a_terminal(&[], "") else { return };
    assert_eq!(told, None, "no display");
    let Some((_, _, told, _)) = on_a_terminal(&[("DISPLAY", ":0")], "--no-open") else { return };
    assert_eq!(told, None, "not wanted");
    let server = World::new().env("DISPLAY", ":0").env("BROWSER", "touch opened");
    let server = server.web_with(&["--no-open=false"]);
    assert_eq!(server.ask("GET", "/", None).status, 200);
    assert!(!server.world.project.path().join("opened").exists(), "nobody looks at a pipe");
}
