//! The names that tools go by in `permission` and in an agent's `tools`. A name that is nobody's
//! would allow or deny nothing without a word.

use super::decode::Section;
use super::error::Report;
use crate::text::{matches, nearest};

/// The tools of this program.
pub const TOOLS: &[&str] =
    &["bash", "edit_file", "glob", "grep", "list_dir", "read_file", "write_file"];

/// What `permission` knows beside them: `opencode`'s names for the same.
const GROUPS: &[&str] = &["edit", "list", "read", "write"];

/// What `opencode` has elsewhere, and this program does not.
const ELSEWHERE: &[&str] = &[
    "apply_patch",
    "codesearch",
    "doom_loop",
    "external_directory",
    "lsp",
    "multiedit",
    "patch",
    "plan_enter",
    "plan_exit",
    "question",
    "skill",
    "task",
    "todoread",
    "todowrite",
    "webfetch",
    "websearch",
];

/// Warns of the keys of `permission` that cover no tool. Wildcards count in them.
pub(super) fn check_permission(section: &Section<'_>, report: &mut Report) {
    let known = || TOOLS.iter().chain(GROUPS).copied();
    check(section, known, |key, name| matches(name, key), report);
}

/// Warns of the keys of an agent's `tools` that are no tool's name.
pub(super) fn check_switches(section: &Section<'_>, report: &mut Report) {
    let is = |key: &str, name: &str| key == "*" || key == name;
    check(section, || TOOLS.iter().copied(), is, report);
}

fn check<I: Iterator<Item = &'static str>>(
    section: &Section<'_>,
    known: impl Fn() -> I,
    is: impl Fn(&str, &str) -> bool,
    report: &mut Report,
) {
    for (key, at) in section.members() {
        if report.is_full() {
            return;
        }
        if known().any(|name| is(key, name)) {
            continue;
        }
        if ELSEWHERE.iter().any(|name| is(key, name)) {
            report.warn_at(&at, "has no effect: this program has nothing of this name");
            continue;
        }
        // `edit` is `edit_file` where groups do not count.
        let longer = || known().find(|name| !key.is_empty() && name.starts_with(key));
        match nearest(key, known()).or_else(longer) {
            Some(meant) => report.warn_at(
                &at,
                format_args!("has no effect: no tool has this name; did you mean \"{meant}\"?"),
            ),
            None => report.warn_at(
                &at,
                format_args!(
                    "has no effect: no tool has this name; there are {}",
                    known().collect::<Vec<_>>().join(", ")
                ),
            ),
        }
    }
}
