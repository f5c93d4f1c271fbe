//! Help, made from the table of flags.

use std::fmt::Write;

use crate::cli::flags::{self, COMMANDS, Command, Flag};
use crate::cli::look::{width, wrapped};

/// Text is wrapped to this where it goes to no terminal, and to no more on a wide one.
const COLUMNS: (usize, usize) = (80, 100);
/// Less than this is left for what stands beside a name only on a very narrow terminal.
const LEAST: usize = 20;

/// A blank at which no line is broken.
const UNBROKEN: char = '\u{a0}';

/// What the program is.
pub(super) const SUMMARY: &str = "the server mode of an AI coding agent";

/// `opencode --help`.
pub(super) fn program(columns: Option<usize>) -> String {
    let mut text = format!(
        "opencode {}: {SUMMARY}\n\nUsage: opencode COMMAND [OPTIONS]\n\nCommands:\n",
        env!("CARGO_PKG_VERSION")
    );
    let rows = COMMANDS.iter().map(|command| (command.name.to_owned(), command.summary.to_owned()));
    text.push_str(&aligned(rows.collect(), columns));
    text.push_str("\nOptions:\n");
    let options = [("-h, --help", "Show this help"), ("-V, --version", "Show the version")];
    let options = options.map(|(name, help)| (name.to_owned(), help.to_owned()));
    text.push_str(&aligned(options.into(), columns));
    text.push_str(
        "\n`opencode help COMMAND` tells more. A first try needs no key and no configuration:\n\n  \
         opencode run \"What can you do?\"\n",
    );
    text
}

/// `opencode GROUP --help`.
pub(super) fn group(name: &str, columns: Option<usize>) -> String {
    let mut text = format!("Usage: opencode {name} COMMAND [OPTIONS]\n\nCommands:\n");
    let rows = flags::group(name)
        .map(|command| (command.name[name.len() + 1..].to_owned(), command.summary.to_owned()));
    text.push_str(&aligned(rows.collect(), columns));
    let _ = writeln!(text, "\n`opencode help {name} COMMAND` tells more.");
    text
}

/// `opencode COMMAND --help`.
pub(super) fn command(command: &Command, columns: Option<usize>) -> String {
    let mut text =
        format!("{}\n\nUsage: opencode {} {}\n", command.summary, command.name, command.usage);
    text.push_str("\nOptions:\n");
    let rows = command.flags.iter().map(|flag| (name_of(flag), told_of(flag)));
    text.push_str(&aligned(rows.collect(), columns));
    if !command.details.is_empty() {
        text.push('\n');
        for line in wrapped(command.details, most(columns)) {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

fn name_of(flag: &Flag) -> String {
    let short = flag.short.map_or_else(|| "    ".to_owned(), |c| format!("-{c}, "));
    let value = flag.value.map_or_else(String::new, |value| format!(" {value}"));
    format!("{short}--{}{value}", flag.name)
}

fn told_of(flag: &Flag) -> String {
    let env = flag.env.map_or_else(String::new, |env| format!(" [env:{UNBROKEN}{env}]"));
    format!("{}{env}", flag.help)
}

fn most(columns: Option<usize>) -> usize {
    columns.unwrap_or(COLUMNS.0).min(COLUMNS.1)
}

/// Names in a column, and what they are beside them.
fn aligned(rows: Vec<(String, String)>, columns: Option<usize>) -> String {
    let names = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let room = most(columns).saturating_sub(names + 4).max(LEAST);
    let mut text = String::new();
    for (name, told) in rows {
        let mut name = name.as_str();
        for line in wrapped(&told, room) {
            let line = line.replace(UNBROKEN, " ");
            let _ = writeln!(text, "  {name:names$}  {line}");
            name = "";
        }
    }
    text
}
