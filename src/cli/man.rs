//! The manual page, made from the table of flags, for `man` (the language is man(7)).

use std::fmt::Write;

use crate::cli::flags::{COMMANDS, Command, Flag};
use crate::cli::help::SUMMARY;
use crate::cli::look::wrapped;

/// The day of the version.
const DATE: &str = "2026-11-25";

/// Lines of the source stay shorter than this.
const COLUMNS: usize = 78;

/// What is not a flag: further environment, files, and what a script reads from the end.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("OPENCODE_SERVER_PASSWORD", "The password of the server, for `serve`, `web` and --attach."),
    ("OPENCODE_SERVER_PASSWORD_FILE", "A file that has it."),
    ("OPENCODE_SERVER_USERNAME", "The user beside it (opencode)."),
    ("OPENCODE_CONFIG", "A configuration file that goes before the others."),
    ("OPENCODE_DATA_DIR", "Where sessions are kept."),
    ("NO_COLOR", "No colour, if it is not empty."),
    ("BROWSER", "The browser that `web` opens."),
];
const FILES: &[(&str, &str)] = &[
    ("opencode.json, opencode.jsonc", "The configuration, in the project or above it."),
    ("~/.config/opencode/opencode.json", "The person's own, over which the project's goes."),
    ("~/.local/share/opencode-server/", "The sessions, a folder for each project."),
];
const STATUS: &[(&str, &str)] = &[
    ("0", "It was done; with `run`, the model answered."),
    ("1", "The turn failed or had too few steps, or the connection was lost in it."),
    ("2", "Wrong usage, or an unknown session, agent or model."),
    ("3", "The server cannot be reached."),
    ("4", "Not authorised."),
    ("5", "A tool was refused for want of anybody to permit it."),
    ("124", "The time was over."),
    ("130", "Interrupted."),
];

/// The whole page.
pub(super) fn page() -> String {
    let mut page = format!(
        ".TH OPENCODE 1 {DATE} \"opencode {}\" \"User Commands\"\n.nh\n.SH NAME\n\
         opencode \\- {}\n.SH SYNOPSIS\n.B opencode\n.I COMMAND\n.RI [ OPTIONS ]\n.SH DESCRIPTION\n",
        env!("CARGO_PKG_VERSION"),
        escaped(SUMMARY),
    );
    line(
        &mut page,
        "An agent that works in a project with tools, behind an HTTP API, and the \
        commands to use it. A first try needs no key and no configuration.",
    );
    page.push_str(".SH COMMANDS\n");
    for one in COMMANDS {
        command(&mut page, one);
    }
    page.push_str(".SH EXIT STATUS\n");
    list(&mut page, STATUS);
    page.push_str(".SH ENVIRONMENT\n");
    line(
        &mut page,
        "Many flags have a variable that does the same, named beside them; flags go first.",
    );
    list(&mut page, ENVIRONMENT);
    page.push_str(".SH FILES\n");
    list(&mut page, FILES);
    page
}

fn command(page: &mut String, command: &Command) {
    let _ = writeln!(page, ".SS opencode {} {}", escaped(command.name), escaped(command.usage));
    line(page, &format!("{}.", command.summary));
    for paragraph in command.details.split('\n').filter(|text| !text.is_empty()) {
        page.push_str(".PP\n");
        line(page, paragraph);
    }
    for flag in command.flags {
        page.push_str(".TP\n");
        let _ = writeln!(page, "{}", name_of(flag));
        let end = if flag.help.ends_with('.') { "" } else { "." };
        line(page, &format!("{}{end}", flag.help));
        if let Some(env) = flag.env {
            line(page, &format!("Environment: {env}."));
        }
    }
}

fn name_of(flag: &Flag) -> String {
    let short = flag.short.map_or_else(String::new, |c| format!("\\fB\\-{c}\\fR, "));
    let value = flag.value.map_or_else(String::new, |value| format!(" \\fI{}\\fR", escaped(value)));
    format!("{short}\\fB\\-\\-{}\\fR{value}", escaped(flag.name))
}

fn list(page: &mut String, rows: &[(&str, &str)]) {
    for (name, told) in rows {
        let _ = writeln!(page, ".TP\n.B \"{}\"", escaped(name));
        line(page, told);
    }
}

/// Text in short lines; one that begins as a request does would be taken for one.
fn line(page: &mut String, text: &str) {
    for line in wrapped(&escaped(text), COLUMNS) {
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        let _ = writeln!(page, "{guard}{line}");
    }
}

/// Characters that the language reads otherwise: a bare hyphen becomes a typographic one, which
/// nobody can search for or paste.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('`', "\\(ga");
    text.replace('~', "\\(ti").replace('^', "\\(ha")
}
