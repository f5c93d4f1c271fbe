//! The names that tools go by in `permission` and in an agent's `tools`. A name that is nobody's
//! would allow or deny nothing without a word.

use super::decode::Section;
use super::error::Report;
use crate::text::{matches, nearest};

/// What `permission` knows: the tools of this program, then `opencode`'s names for the same.
const NAMES: &[&str] = &[
    "bash",
    "edit_file",
    "glob",
    "grep",
    "list_dir",
    "read_file",
    "write_file",
    "edit",
    "list",
    "read",
    "write",
];

/// The tools of this program.
pub const TOOLS: &[&str] = NAMES.split_at(7).0;

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
    check(section, NAMES, matches, report);
}

/// Warns of the keys of an agent's `tools` that are no tool's name.
pub(super) fn check_switches(section: &Section<'_>, report: &mut Report) {
    check(section, TOOLS, |name, key| key == "*" || key == name, report);
}

fn check(section: &Section<'_>, known: &[&str], is: fn(&str, &str) -> bool, report: &mut Report) {
    for (key, at) in section.members() {
        if report.is_full() {
            return;
        }
        if known.iter().any(|name| is(name, key)) {
            continue;
        }
        let nobody = "has no effect: no tool has this name";
        // `edit` is `edit_file` where groups do not count.
        let longer = || known.iter().copied().find(|name| !key.is_empty() && name.starts_with(key));
        if ELSEWHERE.iter().any(|name| is(name, key)) {
            report.warn_at(&at, "has no effect: this program has nothing of this name");
        } else if let Some(meant) = nearest(key, known.iter().copied()).or_else(longer) {
            report.warn_at(&at, format_args!("{nobody}; did you mean \"{meant}\"?"));
        } else {
            report.warn_at(&at, format_args!("{nobody}; there are {}", known.join(", ")));
        }
    }
}
