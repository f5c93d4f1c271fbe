//! A path as rules name it: relative to the project, without detours.
//!
//! Read from its letters alone; that links do not lead elsewhere is for whoever opens it.

use std::path::Path;

/// A path as it is written in a pattern.
pub(super) fn inside(given: &str, root: Option<&Path>) -> String {
    let root = root.and_then(Path::to_str).unwrap_or_default().trim_end_matches('/');
    let relative = match given.strip_prefix(root) {
        Some(rest) if given.starts_with('/') && rest.is_empty() => "",
        Some(rest) if rest.starts_with('/') && !root.is_empty() => rest.trim_start_matches('/'),
        Some(_) | None => given,
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let folded = parts.join("/");
    match (relative.starts_with('/'), folded.is_empty()) {
        (true, _) => format!("/{folded}"),
        (false, true) => ".".to_owned(),
        (false, false) => folded,
    }
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
