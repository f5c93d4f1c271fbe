//! Commands and flags: parser, help, manual page, completions and hints come from one table.
//!
//! A flag is written once, so it cannot be documented wrongly.

mod commands;
mod typed;

pub(super) use commands::COMMANDS;
pub(super) use typed::Typed;

/// A command of the program.
pub(super) struct Command {
    /// The word it is called by, or the two of a command with several parts.
    pub(super) name: &'static str,
    /// What stands behind its name in a usage line.
    pub(super) usage: &'static str,
    /// One line.
    pub(super) summary: &'static str,
    /// Further paragraphs of its help.
    pub(super) details: &'static str,
    /// What it takes.
    pub(super) flags: &'static [Flag],
    /// Whether words that are no flags may follow.
    pub(super) takes_words: bool,
}

/// A flag of a command.
pub(super) struct Flag {
    /// Its long name, without the dashes.
    pub(super) name: &'static str,
    /// Its short name.
    pub(super) short: Option<char>,
    /// What its value is called in help; `None` for a switch.
    pub(super) value: Option<&'static str>,
    /// The environment variable that does the same.
    pub(super) env: Option<&'static str>,
    /// One line.
    pub(super) help: &'static str,
}

impl Command {
    /// The word before its own.
    pub(super) fn group(&self) -> Option<&'static str> {
        self.name.split_once(' ').map(|(group, _)| group)
    }
}

impl Flag {
    /// The words that its value can be, where it is one of a few.
    pub(super) fn choices(&self) -> Vec<&'static str> {
        let value = self.value.unwrap_or_default();
        if value.contains('|') { value.split('|').collect() } else { Vec::new() }
    }

    /// Whether it may stand several times.
    pub(super) fn repeats(&self) -> bool {
        self.help.contains("may be repeated")
    }
}

/// The command called by a word.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// The commands that a word stands before, as `sessions` does before `list`.
pub(super) fn group(name: &str) -> impl Iterator<Item = &'static Command> + '_ {
    COMMANDS.iter().filter(move |command| command.group() == Some(name))
}
