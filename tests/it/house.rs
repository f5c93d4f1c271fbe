//! The house rules: no async runtime, and rooms that depend on each other one way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn no_async_runtime_is_among_the_dependencies() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal,build,dev", "--prefix", "none"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    // The lock file has what other platforms would bring, too.
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let locked = lock.lines().filter_map(|line| line.strip_prefix("name = "));
    let names: BTreeSet<_> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .chain(locked.map(|name| name.trim_matches('"')))
        .collect();
    assert!(names.contains("tiny_http") && names.contains("ureq"), "{names:?}");
    for runtime in ["tokio", "async-std", "smol", "async-executor", "hyper", "reqwest", "mio"] {
        assert!(!names.contains(runtime), "{runtime} is an async runtime or brings one");
    }
}

/// What each room may use. The shared vocabulary uses nothing but itself.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    const WORDS: &[&str] =
        &["error", "event", "message", "transcript", "cancel", "id", "pem", "percent", "sse", "os"];
    BTreeMap::from([
        ("main", &["cli"][..]),
        ("cli", &["api", "client", "config", "http", "session", "agent", "provider", "tool"][..]),
        ("config", &[][..]),
        ("api", &["config", "http", "session", "tool"][..]),
        ("http", &["config"][..]),
        ("session", &["agent"][..]),
        ("agent", &["config", "provider", "tool"][..]),
        ("provider", &["config"][..]),
        ("tool", &[][..]),
        ("client", &["config"][..]),
    ])
    .into_iter()
    .chain(WORDS.iter().map(|word| (*word, &[][..])))
    .collect()
}

#[test]
fn rooms_depend_on_each_other_one_way() {
    let allowed = allowed();
    let words: Vec<_> =
        allowed.iter().filter(|(_, uses)| uses.is_empty()).map(|(w, _)| *w).collect();
    let mut wrong = Vec::new();
    for entry in ignore::Walk::new(root().join("src")).flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|kind| kind != "rs") {
            continue;
        }
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        if room == "lib" {
            continue;
        }
        let uses = allowed.get(room).unwrap_or_else(|| panic!("{room} is no room of the house"));
        let text = std::fs::read_to_string(path).unwrap();
        // Unit tests may reach further.
        let code = text.split("#[cfg(test)]").next().unwrap();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code: String = code.lines().filter(is_code).collect();
        for place in code.split("crate::").skip(1) {
            let used: String =
                place.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let fits = used == room
                || uses.contains(&used.as_str())
                || (words.contains(&used.as_str()) && used != "config" && used != "tool");
            if !fits && !used.is_empty() {
                wrong.push(format!("{} uses {used}", inside.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "rooms that reach where they may not");
}

#[test]
fn every_module_opens_with_what_it_is_for() {
    for entry in ignore::Walk::new(root().join("src")).flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|kind| kind == "rs") {
            let text = std::fs::read_to_string(path).unwrap();
            assert!(text.starts_with("//! "), "{} has no opening words", path.display());
        }
    }
}
