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
    const WORDS: &[&str] = &[
        "error",
        "event",
        "message",
        "meter",
        "transcript",
        "cancel",
        "context",
        "id",
        "tls",
        "percent",
        "sse",
        "text",
        "os",
    ];
    BTreeMap::from([
        ("main", &["cli"][..]),
        (
            "cli",
            &[
                "api",
                "client",
                "config",
                "discovery",
                "http",
                "session",
                "agent",
                "provider",
                "tool",
                "tui",
            ][..],
        ),
        ("tui", &["client"][..]),
        ("config", &[][..]),
        ("api", &["config", "discovery", "http", "session", "web"][..]),
        ("web", &["http"][..]),
        ("http", &["config"][..]),
        ("session", &["agent"][..]),
        ("agent", &["config", "provider", "tool"][..]),
        ("provider", &["config"][..]),
        ("tool", &[][..]),
        ("client", &["config", "discovery"][..]),
        ("discovery", &[][..]),
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
        for used in rooms_used(&text) {
            let fits = used == room
                || uses.contains(&used.as_str())
                || (words.contains(&used.as_str())
                    && !["config", "discovery", "tool"].contains(&used.as_str()));
            if !fits {
                wrong.push(format!("{} uses {used}", inside.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "rooms that reach where they may not");
}

/// The rooms that the code of a file names, without its unit tests, which may reach further.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: Vec<_> = text.lines().filter(is_code).collect();
    let mut kept = String::new();
    let mut lines = code.into_iter().peekable();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        // The item it stands before: a line that ends in `;`, or a block that ends in its column.
        let Some(item) = lines.find(|line| !line.trim_start().starts_with("#[")) else { break };
        let column = &item[..item.len() - item.trim_start().len()];
        let end = format!("{column}}}");
        if !item.ends_with(';') && !item.ends_with('}') {
            lines.by_ref().find(|line| *line == end);
        }
    }
    kept.split("crate::").skip(1).flat_map(heads).collect()
}

/// The first names of a path, or of each path in braces.
fn heads(path: &str) -> Vec<String> {
    let head = |path: &str| -> String {
        path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![head(path)] };
    let (mut depth, mut starts) = (0, vec![0]);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts.push(at + 1),
            _ => {}
        }
    }
    let names = starts.into_iter().map(|at| head(&group[at..]));
    // Nothing follows the last comma.
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn every_room_is_in_the_table_of_the_architecture() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let (_, table) = text.split_once("| room |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    for room in allowed().keys().filter(|room| **room != "main") {
        let names = [format!("`{room}.rs`"), format!("`{room}/`")];
        assert!(names.iter().any(|name| table.contains(name)), "{room}");
    }
}

#[test]
fn a_room_is_seen_however_it_is_used() {
    let text = "use crate::{agent::{Agent, Engine}, tool, cli::run::{a, b},};\n\
                #[cfg(test)]\nmod tests;\n#[cfg(test)]\nuse crate::api::x;\n// crate::sse\n\
                fn f() { crate::http::serve() }\n\
                #[cfg(test)]\n#[allow(x)]\nmod t {\n    use crate::session;\n}\n\
                pub use crate::provider as p;\n";
    let seen: Vec<_> = rooms_used(text).into_iter().collect();
    assert_eq!(seen, ["agent", "cli", "http", "provider", "tool"]);
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

#[test]
fn every_test_that_the_documents_name_is_there() {
    let text = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let named: Vec<_> = text.split('`').filter(|word| word.contains("::")).collect();
    assert!(named.len() > 40, "{named:?}");
    for name in named {
        let (place, function) = name.rsplit_once("::").unwrap();
        let path = place.trim_end_matches("::tests").replace("::", "/");
        let kinds = ["tests/it/{}.rs", "src/{}.rs", "src/{}/mod.rs", "src/{}/tests.rs"];
        let files = kinds.iter().map(|kind| root().join(kind.replace("{}", &path)));
        let has = |file| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            text.contains(&format!("fn {function}("))
        };
        assert!(files.into_iter().any(has), "there is no test {name}");
    }
}
