//! The forms in which a command can be meant, so that a rule against a program is not passed by
//! spelling it in another way: quoted, escaped, with a path, behind options, behind a wrapper like
//! `sudo`, or as text for another shell.
//!
//! What is found beyond the command as it is written can only restrict, never allow.

use super::shell::{self, Word};

/// What all forms of one line may have together; the rest is not looked at.
const BYTES: usize = 512 * 1024;

/// What may still be looked at.
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn new() -> Self {
        Self(BYTES)
    }

    fn take(&mut self, bytes: usize) -> bool {
        // A little for each form itself, that many empty ones are not free.
        let left = self.0.checked_sub(bytes.saturating_add(16));
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// A simple command, and what it can be taken for.
pub(super) struct Command {
    /// Its words.
    pub(super) words: Vec<Word>,
    /// As it is written, with one space between words.
    pub(super) source: String,
    /// The same command in other spellings.
    pub(super) spellings: Vec<String>,
    /// Commands that it would start.
    pub(super) inner: Vec<String>,
    /// Whether there is something in it that cannot be seen, and then what is certain: every
    /// rule that can begin otherwise than with this is out of the question.
    pub(super) hidden: Option<String>,
}

impl Command {
    pub(super) fn new(words: Vec<Word>, budget: &mut Budget) -> Self {
        let source = join(words.iter().map(|word| &*word.source));
        let mut command =
            Self { words, source, spellings: Vec::new(), inner: Vec::new(), hidden: None };
        let bare = Bare::new(&command.words);
        if command.words.iter().any(|word| word.opaque) {
            command.hidden = Some(command.certain());
        }
        let read = command.spell(&bare, budget) && command.unwrap(&bare, budget);
        if !read {
            command.hidden = Some(String::new());
        }
        command
    }

    /// Whether a rule whose pattern begins like this may be meant for what cannot be seen.
    pub(super) fn may_hide(&self, head: &str) -> bool {
        // A program is certain by its name alone, without its folder.
        let foldered = head.split(' ').next().is_some_and(|program| program.contains('/'));
        self.hidden.as_ref().is_some_and(|seen| {
            foldered || seen.starts_with(head) || head.starts_with(seen.as_str())
        })
    }

    /// The program and its first words, up to an option or something unseen.
    fn certain(&self) -> String {
        let mut seen = String::new();
        if self.words.first().is_some_and(|word| starts_others(base_name(&word.bare))) {
            return seen;
        }
        for (at, word) in self.words.iter().enumerate() {
            if word.opaque || at > 0 && is_option(&word.bare) {
                break;
            }
            seen.push_str(if at == 0 { base_name(&word.bare) } else { &word.bare });
            seen.push(' ');
        }
        seen
    }

    /// Whether later commands of its line may be something else than they say.
    pub(super) fn changes_meaning(&self) -> bool {
        self.any_is(&CHANGING)
    }

    /// Whether the shell may expand something in it that was quoted.
    pub(super) fn expands_quoted(&self) -> bool {
        let expands = |word: &Word| word.bare.contains('[') && word.bare.contains(['$', '`']);
        self.words.iter().any(expands) && self.any_is(&EXPANDING)
    }

    /// Whether its program is one of these, or one of them is called in the long way.
    fn any_is(&self, programs: &[&str]) -> bool {
        let one = |word: &Word| programs.contains(&&*word.bare);
        let long = |word: &Word| matches!(&*word.bare, "builtin" | "command");
        self.words.first().is_some_and(|word| one(word) || long(word) && self.words.iter().any(one))
    }

    fn spell(&mut self, bare: &Bare, budget: &mut Budget) -> bool {
        if !budget.take(bare.text.len()) {
            return false;
        }
        self.spellings.push(bare.text.clone());
        forms(bare, 0, &mut self.spellings, budget)
    }

    fn unwrap(&mut self, bare: &Bare, budget: &mut Budget) -> bool {
        let mut all = unwrap(bare, &mut self.inner, budget);
        let mut scripts = scripts(bare);
        while let Some(script) = scripts.pop() {
            if !budget.take(script.len()) {
                return false;
            }
            let line = shell::read(&script);
            all &= line.unread.is_none();
            for words in line.commands {
                let bare = Bare::new(&words);
                all &= !words.iter().any(|word| word.opaque)
                    && forms(&bare, 0, &mut self.inner, budget)
                    && unwrap(&bare, &mut self.inner, budget);
                scripts.extend(self::scripts(&bare));
            }
        }
        all
    }
}

/// A command without quotes, escapes and expansions, and where its words begin.
struct Bare {
    text: String,
    starts: Vec<usize>,
}

impl Bare {
    fn new(words: &[Word]) -> Self {
        let mut bare = Self { text: String::new(), starts: Vec::new() };
        // A word of which nothing is left may be none at all.
        for word in words.iter().filter(|word| !word.bare.is_empty()) {
            if !bare.text.is_empty() {
                bare.text.push(' ');
            }
            bare.starts.push(bare.text.len());
            bare.text.push_str(&word.bare);
        }
        bare
    }

    fn word(&self, at: usize) -> &str {
        let start = self.starts.get(at).copied().unwrap_or(self.text.len());
        let end = self.starts.get(at + 1).map_or(self.text.len(), |next| next - 1);
        &self.text[start..end]
    }

    /// The command that begins with a word, by the name of its program alone.
    fn from(&self, at: usize) -> &str {
        let start = self.starts.get(at).copied().unwrap_or(self.text.len());
        let word = self.word(at);
        &self.text[start + word.len() - base_name(word).len()..]
    }
}

/// The command that begins with a word, by the name of its program, with its first options and
/// without: `git -C there push` is `git push` too, and an option may take the word after it.
/// False when there was too much to look at.
fn forms(bare: &Bare, start: usize, into: &mut Vec<String>, budget: &mut Budget) -> bool {
    let option = |at: usize| at > start && is_option(bare.word(at));
    let program = base_name(bare.word(start));
    let mut at = start + 1;
    let mut text = bare.from(start);
    loop {
        // Before it is put together, so that a long line costs no more than it may.
        if !budget.take(program.len() + text.len()) {
            return false;
        }
        into.push(if at == start + 1 { text.to_owned() } else { format!("{program} {text}") });
        at += 1;
        if at >= bare.starts.len() || !(option(at - 1) || option(at - 2)) {
            return true;
        }
        text = &bare.text[bare.starts[at]..];
    }
}

/// What a wrapper can start: it is not known how it reads its own options, so every word may be
/// the program. False when there was too much to look at.
fn unwrap(bare: &Bare, inner: &mut Vec<String>, budget: &mut Budget) -> bool {
    !starts_others(base_name(bare.word(0)))
        || (1..bare.starts.len()).all(|at| forms(bare, at, inner, budget))
}

/// The words that a shell would read as command lines.
fn scripts(bare: &Bare) -> Vec<String> {
    let count = bare.starts.len();
    if let Some(env) = (0..count).find(|at| base_name(bare.word(*at)) == "env") {
        let split = (env + 1..count).filter_map(|at| split_string(bare.word(at)));
        let split: Vec<_> = split.map(str::to_owned).collect();
        if !split.is_empty() {
            return split;
        }
    }
    if !starts_others(base_name(bare.word(0))) {
        return Vec::new();
    }
    let shell = (0..count).find(|at| SHELLS.contains(&base_name(bare.word(*at))));
    let Some(shell) = shell else { return Vec::new() };
    let special =
        |text: &&str| text.contains(|c: char| !c.is_alphanumeric() && !"-_./".contains(c));
    (shell + 1..count).map(|at| bare.word(at)).filter(special).map(str::to_owned).collect()
}

/// The command line in `env -S'…'` or `--split-string=…`, where it is one word with its option.
fn split_string(word: &str) -> Option<&str> {
    if let Some(line) = word.strip_prefix("--split-string=") {
        return Some(line);
    }
    let (short, line) = word.strip_prefix('-')?.split_once('S')?;
    (short.chars().all(|c| c.is_ascii_lowercase()) && !line.is_empty()).then_some(line)
}

fn starts_others(program: &str) -> bool {
    WRAPPERS.contains(&program) || SHELLS.contains(&program)
}

fn is_option(word: &str) -> bool {
    word.starts_with(['-', '+'])
}

/// A program's name without the folder it lies in.
fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

fn join<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// Programs that start the program they are given.
const WRAPPERS: [&str; 40] = [
    "sudo",
    "doas",
    "env",
    "nice",
    "nohup",
    "timeout",
    "ionice",
    "stdbuf",
    "setsid",
    "xargs",
    "exec",
    "command",
    "builtin",
    "find",
    "strace",
    "ltrace",
    "chroot",
    "unshare",
    "nsenter",
    "flock",
    "busybox",
    "toybox",
    "runuser",
    "script",
    "entr",
    "chrt",
    "taskset",
    "systemd-run",
    "setarch",
    "linux32",
    "linux64",
    "i386",
    "x86_64",
    "prlimit",
    "setpriv",
    "choom",
    "uclampset",
    "start-stop-daemon",
    "faketime",
    "pkexec",
];

/// Programs that read a word they are given as a command line.
const SHELLS: [&str; 17] = [
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "ash",
    "fish",
    "eval",
    "trap",
    "su",
    "sg",
    "watch",
    "parallel",
    "ssh",
    "mapfile",
    "readarray",
    "compgen",
];

/// Parts of the shell after which a later command of the line may be something else than it says.
const CHANGING: [&str; 7] = ["alias", "source", ".", "hash", "enable", "shopt", "eval"];

/// Parts of the shell that expand the index of a variable they are told of, though it was quoted.
const EXPANDING: [&str; 11] = [
    "let", "test", "printf", "unset", "declare", "typeset", "local", "export", "readonly", "read",
    "wait",
];
