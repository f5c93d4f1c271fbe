//! What an `always` answer may cover: the same command, or the same kind of command where no
//! argument can turn it into something else.

use super::command::Command;
use super::rule::Rule;
use super::shell::Word;

/// The pattern that an `always` answer to a command adds. It is compared with the one that a later
/// command would offer, never matched against its text: a star that a command contains is a star.
pub(super) fn offer<'a>(command: &Command, mut rules: impl Iterator<Item = &'a Rule>) -> String {
    match stem(&command.words) {
        // A rule on a special case is not answered by an answer to the general one.
        Some(stem) if rules.all(|rule| rule.is_general(&stem)) => format!("{stem} *"),
        Some(_) | None => command.source.clone(),
    }
}

/// The words that say what a command does, where its further arguments cannot make it run a
/// program, nor write a file that they name.
fn stem(words: &[Word]) -> Option<String> {
    let program = plain(words, 0)?;
    if HARMLESS.contains(&program) {
        return Some(program.to_owned());
    }
    let (_, kinds) = KINDS.iter().find(|(name, _)| *name == program)?;
    let kind = plain(words, 1).filter(|kind| kinds.contains(kind))?;
    if words.iter().any(|word| word.opaque || runs_something(&word.bare)) {
        return None;
    }
    if kind == "run" {
        let script = plain(words, 2).filter(|script| !script.starts_with('-'))?;
        return Some(format!("{program} {kind} {script}"));
    }
    Some(format!("{program} {kind}"))
}

fn plain(words: &[Word], at: usize) -> Option<&str> {
    words.get(at).filter(|word| word.is_plain()).map(|word| &*word.bare)
}

/// Whether an argument names a program to run, a file to write, or settings that can do either;
/// shortened too, as git takes it.
fn runs_something(word: &str) -> bool {
    const OPTIONS: [&str; 13] = [
        "exec",
        "receive-pack",
        "upload-pack",
        "output",
        "output-directory",
        "open-files-in-pager",
        "ext-diff",
        "textconv",
        "toolexec",
        "vettool",
        "config",
        "script-shell",
        "node-options",
    ];
    let name = word.trim_start_matches('-');
    let name = name.split('=').next().unwrap_or(name);
    word.starts_with('-') && name.len() > 1 && OPTIONS.iter().any(|option| option.starts_with(name))
}

/// Programs that look only, or make nothing but an empty place, whatever they are given.
const HARMLESS: [&str; 27] = [
    "ls",
    "cat",
    "head",
    "tail",
    "wc",
    "grep",
    "pwd",
    "echo",
    "which",
    "stat",
    "du",
    "df",
    "diff",
    "cmp",
    "cut",
    "tr",
    "basename",
    "dirname",
    "realpath",
    "readlink",
    "whoami",
    "id",
    "uname",
    "mkdir",
    "touch",
    "ps",
    "sha256sum",
];

/// Programs whose first word says what they do, with the words after which the rest is arguments.
const KINDS: [(&str, &[&str]); 9] = [
    (
        "git",
        &[
            "add",
            "blame",
            "branch",
            "checkout",
            "cherry-pick",
            "commit",
            "describe",
            "diff",
            "fetch",
            "log",
            "ls-files",
            "merge",
            "mv",
            "pull",
            "push",
            "reset",
            "restore",
            "rev-parse",
            "revert",
            "shortlog",
            "show",
            "stash",
            "status",
            "switch",
            "tag",
        ],
    ),
    ("npm", &["ls", "outdated", "run", "test", "view"]),
    ("pnpm", &["ls", "outdated", "run", "test"]),
    ("yarn", &["list", "outdated", "run", "test"]),
    ("cargo", &["bench", "build", "check", "clippy", "doc", "fmt", "metadata", "test", "tree"]),
    ("go", &["build", "fmt", "list", "mod", "test", "vet"]),
    ("docker", &["images", "inspect", "logs", "ps"]),
    ("kubectl", &["describe", "get", "logs"]),
    ("pip", &["freeze", "list", "show"]),
];
