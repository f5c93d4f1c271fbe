//! Help, made from the table of flags.

use std::fmt::Write;

use crate::cli::flags::{COMMANDS, Command};

/// `opencode --help`.
pub(super) fn program() -> String {
    let mut text = format!(
        "opencode {}: the server mode of an AI coding agent\n\nUsage: opencode COMMAND [OPTIONS]\n\
         \nCommands:\n",
        env!("CARGO_PKG_VERSION")
    );
    for command in COMMANDS {
        let _ = writeln!(text, "  {:10} {}", command.name, command.summary);
    }
    text.push_str(
        "\nOptions:\n  -h, --help     Show this help\n  -V, --version  Show the version\n\n\
         `opencode help COMMAND` tells more. A first try needs no key and no configuration:\n\n  \
         opencode run \"What can you do?\"\n",
    );
    text
}

/// `opencode COMMAND --help`.
pub(super) fn command(command: &Command) -> String {
    let mut text =
        format!("{}\n\nUsage: opencode {} {}\n", command.summary, command.name, command.usage);
    if !command.flags.is_empty() {
        text.push_str("\nOptions:\n");
    }
    let rows: Vec<_> = command
        .flags
        .iter()
        .map(|flag| {
            let short = flag.short.map_or_else(|| "    ".to_owned(), |c| format!("-{c}, "));
            let value = flag.value.map_or_else(String::new, |value| format!(" {value}"));
            let env = flag.env.map_or_else(String::new, |env| format!(" [env: {env}]"));
            (format!("{short}--{}{value}", flag.name), format!("{}{env}", flag.help))
        })
        .collect();
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    for (left, right) in rows {
        let _ = writeln!(text, "  {left:width$}  {right}");
    }
    if !command.details.is_empty() {
        let _ = writeln!(text, "\n{}", command.details);
    }
    text
}
