//! Requests that nobody here wrote: what another server's authors hold for malformed is refused,
//! with nothing behind it served, and what they hold for sound is understood.
//!
//! They are the test requests in gunicorn's source distribution. `OPENCODE_TEST_REQUESTS` names
//! their folder, with `valid` and `invalid` in it.

use std::path::Path;

use opencode::config::Limits;

use crate::peers;
use crate::wire::Site;

/// Files with their bytes: line ends and tabs stand in them as escapes.
fn requests(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "http"))
        .map(|path| {
            let text = std::fs::read(&path).unwrap();
            let text = text.into_iter().filter(|&byte| byte != b'\n').collect::<Vec<_>>();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, with_host(unescaped(&text)))
        })
        .collect();
    found.sort();
    assert!(found.len() > 20, "{} requests in {}", found.len(), folder.display());
    found
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                other => panic!("an escape of {other:?}"),
            },
            byte => byte,
        });
    }
    bytes
}

/// Most of them are from before `Host` was asked for, and are not about it.
fn with_host(bytes: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    let line = bytes.windows(11).position(|part| part == b" HTTP/1.1\r\n");
    match line {
        Some(at) if !text.contains("\nhost:") => {
            [&bytes[..at + 11], b"Host: a\r\n", &bytes[at + 11..]].concat()
        }
        _ => bytes,
    }
}

/// Malformed by an option of that server's, or beyond a limit of it: sound ones here.
const A_MATTER_OF_TASTE: [(&str, &str); 8] = [
    ("003c", "a method it holds for unconventional"),
    ("006", "its limit of a target"),
    ("010", "its limit of a field"),
    ("011", "its limit of fields"),
    ("012", "its limit of a field"),
    ("017", "its limit of a field"),
    ("019", "fields of a proxy that contradict each other, which nobody here trusts"),
    ("chunked_07", "an underscore in a name, which is not mapped to a hyphen here"),
];

/// What that server lets pass and this one refuses.
const STRICTER: [(&str, &str); 11] = [
    ("005", "a target has no fragment"),
    ("009", "a target has no fragment"),
    ("025", "a coding other than chunked"),
    ("025_line", "a coding other than chunked"),
    ("028", "a field that is folded"),
    ("029", "a coding other than chunked"),
    ("030", "a coding other than chunked"),
    ("compat_obs_fold", "a field that is folded"),
    ("compat_obs_fold_huge", "a field that is folded"),
    ("pp_01", "the PROXY protocol"),
    ("pp_02", "the PROXY protocol"),
];

fn is_in(table: &[(&str, &str)], name: &str) -> bool {
    table.iter().any(|(known, _)| *known == name)
}

/// Sends a request and another one behind it, and tells the first status and the paths served.
fn tried(site: &Site, bytes: &[u8]) -> (String, Vec<String>) {
    site.service.seen.lock().unwrap().clear();
    let mut client = site.connect();
    client.send(bytes);
    client.send("GET /behind HTTP/1.1\r\nHost: a\r\n\r\n");
    let _ = client.stream().shutdown(std::net::Shutdown::Write);
    let text = String::from_utf8_lossy(&client.rest()).into_owned();
    let status = text.strip_prefix("HTTP/1.1 ").unwrap_or(&text).chars().take(3).collect();
    (status, std::mem::take(&mut *site.service.seen.lock().unwrap()))
}

#[test]
fn behind_a_malformed_request_nothing_is_served() {
    let Some(folder) = peers::requests() else { return };
    let site = Site::start(Limits::default());
    for (name, bytes) in requests(&folder.join("invalid")) {
        let (status, served) = tried(&site, &bytes);
        if !is_in(&A_MATTER_OF_TASTE, &name) {
            assert!(!served.iter().any(|path| path == "/behind"), "{name}: {status} {served:?}");
        }
        assert!(served.len() <= 2, "{name}: {served:?}");
    }
    site.assert_serves();
    site.assert_ends();
}

#[test]
fn a_sound_request_is_understood_or_refused_for_a_reason() {
    let Some(folder) = peers::requests() else { return };
    let site = Site::start(Limits::default());
    for (name, bytes) in requests(&folder.join("valid")) {
        let (status, served) = tried(&site, &bytes);
        let wanted = if is_in(&STRICTER, &name) { "400" } else { "200" };
        assert_eq!(status, wanted, "{name}: {served:?}");
    }
    site.assert_ends();
}
