//! What the offline guide makes of a line: five kinds of request, or nothing.
//!
//! Forgiving of case, courtesies and articles, and careful in doubt: a line that could mean more
//! than the words it knows is not understood, rather than answered with a wrong tool.

mod words;

use words::{
    after, after_any, bare, find, is_filler, is_one_of, looks_like_a_path, path, polite, quoted,
    rfind, trimmed,
};

/// A request that a tool can fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// List a directory.
    List {
        /// Which one; `.` is the project.
        path: String,
    },
    /// Show a file.
    Read {
        /// Which one.
        path: String,
    },
    /// Find a text.
    Search {
        /// The text, literally.
        text: String,
        /// Where, if not everywhere.
        path: Option<String>,
    },
    /// Replace a text in a file.
    Edit {
        /// The file.
        path: String,
        /// What stands there.
        old: String,
        /// What shall stand there.
        new: String,
    },
    /// Run a command.
    Run {
        /// The command line.
        command: String,
    },
}

/// Understands a line, if it can.
pub(super) fn understand(line: &str) -> Option<Wish> {
    let line = polite(line.trim());
    edit(line)
        .or_else(|| run(line))
        .or_else(|| list(line))
        .or_else(|| search(line))
        .or_else(|| read(line))
}

fn list(line: &str) -> Option<Wish> {
    let rest = after_any(line, &["list", "ls", "dir"]);
    let question = ["what", "which", "show", "show me", "display", "what are", "tell me"];
    let about_files = |text: &str| {
        let mut words = text.split_whitespace().map(bare);
        let first =
            words.find(|word| !is_filler(word) || word.to_ascii_lowercase().starts_with("file"));
        first.is_some_and(|word| word.eq_ignore_ascii_case("files"))
    };
    let rest = match rest {
        Some("") => return Some(Wish::List { path: ".".into() }),
        Some(rest) => rest,
        None => after_any(line, &question).filter(|rest| about_files(rest))?,
    };
    let words: Vec<&str> = rest.split_whitespace().map(bare).collect();
    let listed = |word: &&str| {
        is_one_of(word, &["files", "file", "folder", "directory", "dir", "contents", "content"])
    };
    let known = |word: &&str| {
        is_filler(word)
            || is_one_of(
                word,
                &[
                    "are", "there", "is", "here", "under", "inside", "at", "root", "do", "we", "i",
                    "have",
                ],
            )
    };
    let places: Vec<&str> = words.iter().copied().filter(|word| !known(word)).collect();
    match places[..] {
        [] => Some(Wish::List { path: ".".into() }),
        // "list src", or "list files in src", and not "list reasons".
        [place] if words.len() == 1 || words.iter().any(listed) => {
            let place = quoted(place).map_or(place, |(inner, _)| inner);
            Some(Wish::List { path: place.to_owned() })
        }
        _ => None,
    }
}

fn read(line: &str) -> Option<Wish> {
    let starts = [
        "read",
        "show",
        "open",
        "cat",
        "view",
        "print",
        "display",
        "see",
        "look at",
        "look into",
        "what is in",
        "what's in",
    ];
    let rest = after_any(line, &starts)?;
    let nothing = ["help", "me", "it", "everything", "files", "file", "that", "this"];
    let found = path(rest).filter(|p| !is_one_of(p, &nothing));
    let found = found.or_else(|| {
        // "read notes.txt and tell me what it says": the one word that must be a path.
        let mut paths = rest.split_whitespace().map(bare).filter(|word| looks_like_a_path(word));
        let (first, second) = (paths.next(), paths.next());
        first
            .filter(|_| second.is_none())
            .map(|word| word.trim_matches(['"', '\'', '`']).to_owned())
    });
    Some(Wish::Read { path: found? })
}

fn search(line: &str) -> Option<Wish> {
    let (mut rest, any_text) =
        match after_any(line, &["search for", "look for", "grep for", "grep"]) {
            Some(rest) => (rest, true),
            None => match after(line, "search") {
                // "search src for TODO", "search the project for TODO"
                Some(rest) => {
                    let at = find(&format!(" {rest}"), "for")?;
                    let place = path(&rest[..at.saturating_sub(1)]).filter(|p| !is_filler(p));
                    let text = trimmed(&rest[at + 4..])?;
                    return Some(Wish::Search { text, path: place });
                }
                None => (after_any(line, &["find", "where is", "where's"])?, false),
            },
        };
    while let Some(after) = after_any(
        rest,
        &["the text", "the word", "the string", "text", "all occurrences of", "occurrences of"],
    ) {
        rest = after;
    }
    if let Some((text, tail)) = quoted(rest) {
        let place = after_any(tail, &["in", "under", "inside", "within"]).and_then(path);
        let place = place.filter(|p| !is_filler(p));
        return (!text.is_empty()).then(|| Wish::Search { text: text.to_owned(), path: place });
    }
    let (text, place) = match rfind(rest, "in") {
        Some(at) => match path(&rest[at + 4..]) {
            Some(place) => (&rest[..at], Some(place).filter(|p| !is_filler(p))),
            None if any_text => (rest, None),
            None => return None,
        },
        None => (rest, None),
    };
    let text = trimmed(text)?;
    // "find the bug" is no search for these words.
    let plain = any_text || !text.contains(char::is_whitespace);
    plain.then_some(Wish::Search { text, path: place })
}

fn edit(line: &str) -> Option<Wish> {
    // "in notes.txt, replace …" and "edit notes.txt: replace …"
    if let Some(rest) = after_any(line, &["in", "edit", "in the file"])
        && let Some(at) = rest.to_ascii_lowercase().find("replace ")
        && let Some(file) = path(&rest[..at])
    {
        let (old, new, tail) = exchange(&rest[at + 8..])?;
        return tail.trim().is_empty().then_some(Wish::Edit { path: file, old, new });
    }
    let (rest, needs_quotes) = match after_any(line, &["replace", "substitute"]) {
        Some(rest) => (rest, false),
        None => (after(line, "change")?, true),
    };
    if needs_quotes && quoted(rest).is_none() {
        return None;
    }
    let (old, new, tail) = exchange(rest)?;
    let file = path(after(tail.trim_start(), "in")?)?;
    Some(Wish::Edit { path: file, old, new })
}

/// `A with B`, each quoted or plain, and what follows.
fn exchange(text: &str) -> Option<(String, String, &str)> {
    let (old, rest) = if let Some((old, rest)) = quoted(text) {
        (old, after_any(rest, &["with", "by", "to"])?)
    } else {
        let at = find(text, "with")?;
        (text[..at].trim(), text[at + 6..].trim_start())
    };
    let (new, tail) = match quoted(rest) {
        Some((new, tail)) => (new, tail),
        None => match rfind(rest, "in") {
            Some(at) => (rest[..at].trim(), &rest[at + 1..]),
            None => (rest.trim(), ""),
        },
    };
    (!old.is_empty()).then(|| (old.to_owned(), new.to_owned(), tail))
}

fn run(line: &str) -> Option<Wish> {
    let rest = match line.strip_prefix(['$', '!']) {
        Some(rest) => rest.trim_start(),
        None => after_any(line, &["run", "execute", "exec"])?,
    };
    let rest = after_any(
        rest,
        &["the shell command", "the command", "this command", "command", "shell command"],
    )
    .unwrap_or(rest);
    let rest = rest.trim_start_matches(':').trim();
    if let Some((command, tail)) = quoted(rest)
        && tail.trim_matches(['.', '?', '!']).is_empty()
        && !command.trim().is_empty()
    {
        return Some(Wish::Run { command: command.trim().to_owned() });
    }
    // "run the tests" is no command line.
    let vague = ["the", "a", "an", "my", "all", "it", "this", "that", "some", "your"];
    let first = rest.split_whitespace().next()?;
    (!is_one_of(first, &vague)).then(|| Wish::Run { command: rest.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(path: &str) -> Wish {
        Wish::List { path: path.into() }
    }

    fn read(path: &str) -> Wish {
        Wish::Read { path: path.into() }
    }

    fn search(text: &str, path: Option<&str>) -> Wish {
        Wish::Search { text: text.into(), path: path.map(Into::into) }
    }

    fn edit(old: &str, new: &str, path: &str) -> Wish {
        Wish::Edit { path: path.into(), old: old.into(), new: new.into() }
    }

    fn run(command: &str) -> Wish {
        Wish::Run { command: command.into() }
    }

    #[test]
    fn every_phrasing_is_understood() {
        for (line, wish) in [
            ("list files", list(".")),
            ("List the files in this directory, please", list(".")),
            ("ls", list(".")),
            ("ls src", list("src")),
            ("list files in src", list("src")),
            ("List all files in the src/provider folder.", list("src/provider")),
            ("what files are in src?", list("src")),
            ("Which files are there?", list(".")),
            ("Show me the files in the project", list(".")),
            ("list the docs directory", list("docs")),
            ("read the file notes.txt", read("notes.txt")),
            ("Please read notes.txt", read("notes.txt")),
            ("READ Cargo.toml.", read("Cargo.toml")),
            ("show me the contents of src/main.rs", read("src/main.rs")),
            ("show the file README", read("README")),
            ("open `my notes.txt`", read("my notes.txt")),
            ("cat Makefile", read("Makefile")),
            ("could you read @src/lib.rs?", read("src/lib.rs")),
            ("What is in notes.txt?", read("notes.txt")),
            ("read notes.txt and tell me what it says", read("notes.txt")),
            ("search for TODO", search("TODO", None)),
            ("search for \"fn main\" in src", search("fn main", Some("src"))),
            ("Search for hello world in the project", search("hello world", None)),
            ("find TODO in src/lib.rs", search("TODO", Some("src/lib.rs"))),
            ("grep unwrap src", search("unwrap src", None)),
            ("search src for unwrap", search("unwrap", Some("src"))),
            ("search the project for the milk", search("the milk", None)),
            ("find the text 'a b' in x.txt", search("a b", Some("x.txt"))),
            ("where is Cancel?", search("Cancel", None)),
            ("replace \"milk\" with \"tea\" in notes.txt", edit("milk", "tea", "notes.txt")),
            ("Replace milk with oat milk in notes.txt", edit("milk", "oat milk", "notes.txt")),
            ("change 'a' to '' in the file x.txt", edit("a", "", "x.txt")),
            ("in notes.txt, replace \"a\" with \"b\"", edit("a", "b", "notes.txt")),
            ("replace “a in b” by “c” in 'my file.txt'", edit("a in b", "c", "my file.txt")),
            ("run ls -la", run("ls -la")),
            ("run the command `git status`", run("git status")),
            ("run `echo hi | wc -c`", run("echo hi | wc -c")),
            ("Execute: make test", run("make test")),
            ("run the command echo hello", run("echo hello")),
            ("$ echo $HOME", run("echo $HOME")),
            ("please run \"echo hi\".", run("echo hi")),
        ] {
            assert_eq!(understand(line), Some(wish), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_too_odd(line in "((run|read|find|replace|list|with|in|for|please|é|\"|“|”|`|\\.|x)[ ,:]?){0,12}") {
            understand(&line);
        }
    }

    #[test]
    fn in_doubt_nothing_is_done() {
        for line in [
            "",
            "What can you do?",
            "Write a Python script to parse a CSV file",
            "Refactor the auth module to use JWT",
            "Explain how React hooks work",
            "What is the capital of France?",
            "list reasons to use Rust",
            "list three prime numbers",
            "show me how React hooks work",
            "show help",
            "read",
            "open",
            "run the tests",
            "run",
            "find the bug in the auth module",
            "change the colour of the button to red in the page",
            "replace the old parser",
            "search",
            "reading is fun",
            "é",
            "pléase",
            "what does this do",
        ] {
            assert_eq!(understand(line), None, "{line}");
        }
    }
}
