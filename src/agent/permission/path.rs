//! A path as rules name it: relative to the project, without detours.
//!
//! Read from its letters alone. Where links lead is looked at by whoever may look at files, who
//! asks about that path too.

use std::path::Path;

/// A path as it is written in a pattern.
pub(super) fn inside(given: &str, root: Option<&Path>) -> String {
    let parts = folded(given);
    if !given.starts_with('/') {
        return if parts.is_empty() { ".".to_owned() } else { parts.join("/") };
    }
    let root = root.and_then(Path::to_str).map(folded).filter(|root| !root.is_empty());
    match root.and_then(|root| parts.strip_prefix(&*root)) {
        Some([]) => ".".to_owned(),
        Some(rest) => rest.join("/"),
        None => format!("/{}", parts.join("/")),
    }
}

/// The parts of a path, without detours.
fn folded(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

/// Whether a path goes up somewhere.
pub(super) fn climbs(given: &str) -> bool {
    given.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detours_are_taken_out() {
        let root = Some(Path::new("/home/me/app"));
        for (given, expected) in [
            ("src/a.rs", "src/a.rs"),
            ("./src//a.rs", "src/a.rs"),
            ("src/../secret/x", "secret/x"),
            ("src/./../../x", "../x"),
            ("../../x", "../../x"),
            ("/home/me/app/src/a.rs", "src/a.rs"),
            ("/home/me/app", "."),
            ("/home/me/app/", "."),
            ("/home/me/application", "/home/me/application"),
            ("//home/me/app/a.rs", "a.rs"),
            ("/home/me/./app/a.rs", "a.rs"),
            ("/home/you/../me/app/a.rs", "a.rs"),
            ("/etc//passwd", "/etc/passwd"),
            (".", "."),
            ("", "."),
            ("a/..", "."),
        ] {
            assert_eq!(inside(given, root), expected, "{given}");
        }
        assert_eq!(inside("/etc/./x", None), "/etc/x");
        assert_eq!(inside("/x", Some(Path::new("/"))), "/x");
    }
}
