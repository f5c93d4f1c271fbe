//! Help, manual page, completions and documents name the same commands and flags: those of the table.

use std::collections::BTreeSet;

use crate::cli::completions::{bash, fish, zsh};
use crate::cli::flags::{COMMANDS, Command};
use crate::cli::{help, man};

const README: &str = include_str!("../../README.md");
const DOCUMENT: &str = include_str!("../../docs/commands.md");

/// The flags that a text names, wherever in it.
fn named_in(text: &str) -> BTreeSet<String> {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c == '-';
    let names = text.split("--").skip(1).map(|rest| {
        rest.find(|c| !is_of_name(c)).map_or(rest, |end| &rest[..end]).trim_end_matches('-')
    });
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn flags_of(command: &Command) -> BTreeSet<String> {
    command.flags.iter().map(|flag| flag.name.to_owned()).collect()
}

/// What stands in a text between two others.
fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let at = text.find(start).unwrap_or_else(|| panic!("no {start:?} in {text}"));
    let rest = &text[at + start.len()..];
    &rest[..rest.find(end).unwrap_or(rest.len())]
}

#[test]
fn help_names_them() {
    let program = help::program(None);
    for command in COMMANDS {
        assert!(program.contains(&format!("\n  {} ", command.name)), "{}", command.name);
        let text = help::command(command, Some(usize::MAX));
        let lines = between(&text, "\nOptions:\n", "\n\n").lines();
        let named: BTreeSet<_> = lines
            .filter_map(|line| {
                line.trim_start()
                    .split(' ')
                    .find_map(|word| word.strip_prefix("--").map(str::to_owned))
            })
            .collect();
        assert_eq!(named, flags_of(command), "{}", command.name);
    }
}

#[test]
fn the_manual_page_names_them() {
    let page = man::page().replace("\\-", "-");
    for command in COMMANDS {
        let start = format!(".SS opencode {} {}\n", command.name, command.usage);
        let part = between(&page, &start, "\n.S");
        let named: BTreeSet<_> = part
            .split(".TP\n")
            .skip(1)
            .flat_map(|flag| named_in(flag.lines().next().unwrap_or_default()))
            .collect();
        assert_eq!(named, flags_of(command), "{}", command.name);
        for variable in command.flags.iter().filter_map(|flag| flag.env) {
            assert!(part.contains(&format!("Environment: {variable}.")), "{variable}");
        }
    }
}

#[test]
fn completions_name_them() {
    let (bash, zsh, fish) = (bash(), zsh(), fish());
    for command in COMMANDS {
        let block = between(&bash, &format!("\n        \"{}\")", command.name), "\n        \"");
        let offered = between(block, "if [[ $cur == -* ]]; then _opencode_words", "return");
        assert_eq!(named_in(offered), flags_of(command), "bash, {}", command.name);
        let block = between(&zsh, &format!("\n        '{}') _arguments", command.name), ";;");
        let specs = block.lines().filter_map(|line| line.split('[').next());
        let named: BTreeSet<_> = specs.flat_map(named_in).collect();
        assert_eq!(named, flags_of(command), "zsh, {}", command.name);
        let there = format!("-n '__opencode_on {}' -l ", command.name);
        let lines = fish.lines().filter_map(|line| line.split_once(&there)?.1.split(' ').next());
        let named: BTreeSet<_> = lines.map(str::to_owned).collect();
        assert_eq!(named, flags_of(command), "fish, {}", command.name);
    }
}

#[test]
fn the_documents_name_them() {
    let table = between(DOCUMENT, "| command | flags, beside `--help` |\n| --- | --- |\n", "\n\n");
    let mut told = BTreeSet::new();
    for row in table.lines() {
        let (commands, flags) = row.trim_start_matches("| ").split_once(" | ").unwrap();
        let commands: Vec<_> = commands
            .split(", ")
            .map(|name| name.trim_matches('`'))
            .map(|name| COMMANDS.iter().find(|command| command.name == name).expect(name))
            .collect();
        let mut expected: BTreeSet<_> =
            commands.iter().flat_map(|command| flags_of(command)).collect();
        expected.remove("help");
        assert_eq!(named_in(flags), expected, "{row}");
        told.extend(commands.iter().map(|command| command.name));
    }
    let has_flags = |command: &&Command| command.flags.iter().any(|flag| flag.name != "help");
    let all: BTreeSet<_> = COMMANDS.iter().filter(has_flags).map(|command| command.name).collect();
    assert_eq!(told, all, "each command with flags has a row");
    for command in COMMANDS {
        let word = command.name.split(' ').next().unwrap_or_default();
        let there = [format!("`opencode {word}"), format!(" `{word}`")];
        let is_there =
            there.iter().any(|told| between(README, "## Commands", "## API").contains(told));
        assert!(is_there, "{word} is in the table of commands");
    }
}
