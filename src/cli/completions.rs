//! `opencode completions`: what completes commands, flags and their values in a shell, made from
//! the table of flags.
//!
//! What there is of agents, models and sessions is asked of the program when it is needed.

use std::fmt::Write;

use crate::cli::exit::{Exit, Failure};
use crate::cli::flags::{COMMANDS, Command, Flag, Typed};
use crate::cli::print;

/// Prints one of the scripts.
pub(super) fn completions(typed: &Typed) -> Result<Exit, Failure> {
    match typed.words.as_slice() {
        [shell] if shell == "bash" => print(&bash()),
        [shell] if shell == "zsh" => print(&zsh()),
        [shell] if shell == "fish" => print(&fish()),
        _ => Err(typed.usage("name one shell: bash, zsh or fish")),
    }
}

/// What can stand as a value, or as a word behind a command.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Words(Vec<&'static str>),
    Files,
    Folders,
    /// The first column of a list that this command prints.
    Listed(&'static str),
    /// Whatever a person types.
    Free,
}

fn value_of(flag: &Flag) -> Value {
    let choices = flag.choices();
    match flag.name {
        _ if !choices.is_empty() => Value::Words(choices),
        "file" | "ca" => Value::Files,
        "dir" => Value::Folders,
        "agent" => Value::Listed("agents"),
        "model" => Value::Listed("models"),
        "session" => Value::Listed("sessions"),
        _ => Value::Free,
    }
}

fn words_of(command: &Command) -> Value {
    match command.name {
        "sessions show" | "sessions delete" | "sessions export" => Value::Listed("sessions"),
        "completions" => Value::Words(command.usage.split('|').collect()),
        "help" => Value::Words(first_words()),
        _ => Value::Free,
    }
}

/// The words that can follow the program's name.
fn first_words() -> Vec<&'static str> {
    let mut words: Vec<_> =
        COMMANDS.iter().map(|command| command.group().unwrap_or(command.name)).collect();
    words.dedup();
    words
}

/// Commands of two words: the first one, and what can follow it.
fn groups() -> Vec<(&'static str, Vec<&'static Command>)> {
    let mut groups: Vec<(&str, Vec<&Command>)> = Vec::new();
    for command in COMMANDS {
        let Some(group) = command.group() else { continue };
        match groups.last_mut().filter(|(name, _)| *name == group) {
            Some((_, commands)) => commands.push(command),
            None => groups.push((group, vec![command])),
        }
    }
    groups
}

/// A command's last word.
fn own(command: &Command) -> &'static str {
    command.name.rsplit(' ').next().unwrap_or(command.name)
}

fn flags(command: &Command) -> String {
    let long = command.flags.iter().map(|flag| format!("--{}", flag.name));
    long.collect::<Vec<_>>().join(" ")
}

pub(super) fn bash() -> String {
    let mut script = String::from(
        r#"# Completes opencode in bash.
_opencode_listed() {
    opencode "$@" 2>/dev/null | { read -r _; while read -r word _; do echo "$word"; done; }
}
_opencode_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}
_opencode() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
    # `--flag=value` comes as three words.
    if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
    COMPREPLY=()
"#,
    );
    let first = first_words().join(" ");
    let _ = writeln!(
        script,
        "    if (( COMP_CWORD == 1 )); then\n        \
         _opencode_words \"{first} --help --version\"\n        return\n    fi"
    );
    for (group, commands) in groups() {
        let words: Vec<_> = commands.iter().map(|command| own(command)).collect();
        let _ = writeln!(
            script,
            "    if [[ $command == {group} ]]; then\n        \
             if (( COMP_CWORD == 2 )); then _opencode_words \"{} --help\"; return; fi\n        \
             command+=\" ${{COMP_WORDS[2]}}\"\n    fi",
            words.join(" ")
        );
    }
    script.push_str("    case \"$command\" in\n");
    for command in COMMANDS {
        let _ = writeln!(script, "        \"{}\")", command.name);
        let valued: Vec<_> = command.flags.iter().filter(|flag| flag.value.is_some()).collect();
        if !valued.is_empty() {
            script.push_str("            case \"$prev\" in\n");
            for flag in valued {
                let offer = bash_offer(&value_of(flag));
                let _ = writeln!(script, "                --{}) {offer}return ;;", flag.name);
            }
            script.push_str("            esac\n");
        }
        let words = bash_offer(&words_of(command));
        let _ = writeln!(
            script,
            "            if [[ $cur == -* ]]; then _opencode_words \"{}\"; return; fi",
            flags(command)
        );
        let _ = writeln!(script, "            {words};;");
    }
    script.push_str("    esac\n}\ncomplete -F _opencode opencode\n");
    script
}

fn bash_offer(value: &Value) -> String {
    match value {
        Value::Words(words) => format!("_opencode_words \"{}\"; ", words.join(" ")),
        Value::Files => {
            "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); "
                .to_owned()
        }
        Value::Folders => {
            "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\"); "
                .to_owned()
        }
        Value::Listed(list) => format!("_opencode_words \"$(_opencode_listed {list})\"; "),
        Value::Free => String::new(),
    }
}

pub(super) fn zsh() -> String {
    let mut script = String::from(
        "#compdef opencode\n# Completes opencode in zsh.\n\
         _opencode_listed() {\n    \
         local -a found\n    \
         found=(${${(f)\"$(opencode $1 2>/dev/null)\"}[2,-1]%% *})\n    \
         compadd -a found\n}\n\
         _opencode() {\n    local -a first\n    first=(\n",
    );
    for word in first_words() {
        let summary = COMMANDS
            .iter()
            .find(|command| command.group().unwrap_or(command.name) == word)
            .map_or("", |command| command.summary);
        let _ = writeln!(script, "        {}", quoted(&format!("{word}:{summary}")));
    }
    script.push_str(
        "    )\n    if (( CURRENT == 2 )); then _describe command first; return; fi\n    \
         local command=$words[2]\n    shift words; (( CURRENT-- ))\n",
    );
    for (group, commands) in groups() {
        let _ = writeln!(
            script,
            "    if [[ $command == {group} ]]; then\n        local -a second\n        second=("
        );
        for command in commands {
            let told = format!("{}:{}", own(command), command.summary);
            let _ = writeln!(script, "            {}", quoted(&told));
        }
        script.push_str(
            "        )\n        if (( CURRENT == 2 )); then _describe command second; return; fi\n        \
             command+=\" $words[2]\"\n        shift words; (( CURRENT-- ))\n    fi\n",
        );
    }
    script.push_str("    case $command in\n");
    for command in COMMANDS {
        let _ = writeln!(script, "        {}) _arguments \\", quoted(command.name));
        for flag in command.flags {
            let repeats = if flag.repeats() { "*" } else { "" };
            let help = flag.help.replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
            let value = flag.value.map_or_else(String::new, |value| {
                format!(":{}:{}", value.replace(':', "\\:"), zsh_offer(&value_of(flag)))
            });
            // A flag with a value takes `--flag value` and `--flag=value`.
            let equals = if flag.value.is_some() { "=" } else { "" };
            let spec = format!("{repeats}--{}{equals}[{help}]{value}", flag.name);
            let _ = writeln!(script, "            {} \\", quoted(&spec));
        }
        let offer = zsh_offer(&words_of(command));
        let _ = writeln!(script, "            {} ;;", quoted(&format!("*:word:{offer}")));
    }
    script.push_str("    esac\n}\n_opencode \"$@\"\n");
    script
}

fn zsh_offer(value: &Value) -> String {
    match value {
        Value::Words(words) => format!("({})", words.join(" ")),
        Value::Files => "_files".to_owned(),
        Value::Folders => "_files -/".to_owned(),
        Value::Listed(list) => format!("{{_opencode_listed {list}}}"),
        Value::Free => " ".to_owned(),
    }
}

pub(super) fn fish() -> String {
    let mut script = String::from(
        "# Completes opencode in fish.\n\
         function __opencode_listed\n    \
         opencode $argv 2>/dev/null | tail -n +2 | string replace -r ' .*' ''\nend\n\
         function __opencode_on\n    \
         set -l typed (commandline -opc)\n    \
         set -l end (math 1 + (count $argv))\n    \
         test \"$typed[2..$end]\" = \"$argv\"\nend\n\
         function __opencode_at\n    test (count (commandline -opc)) -eq $argv[1]\nend\n\
         complete -c opencode -f\n\
         complete -c opencode -n '__opencode_at 1' -l help -s h -d 'Show this help'\n\
         complete -c opencode -n '__opencode_at 1' -l version -s V -d 'Show the version'\n",
    );
    for command in COMMANDS.iter().filter(|command| command.group().is_none()) {
        fish_word(&mut script, "__opencode_at 1", command.name, command.summary);
    }
    for (group, commands) in groups() {
        fish_word(&mut script, "__opencode_at 1", group, commands[0].summary);
        for command in commands {
            let there = format!("__opencode_on {group}; and __opencode_at 2");
            fish_word(&mut script, &there, own(command), command.summary);
        }
    }
    for command in COMMANDS {
        let there = quoted(&format!("__opencode_on {}", command.name));
        for flag in command.flags {
            let short = flag.short.map_or_else(String::new, |short| format!(" -s {short}"));
            let offer =
                if flag.value.is_some() { fish_offer(&value_of(flag)) } else { String::new() };
            let (name, help) = (flag.name, quoted(flag.help));
            let _ = writeln!(
                script,
                "complete -c opencode -n {there} -l {name}{short}{offer} -d {help}"
            );
        }
        let words = words_of(command);
        if words != Value::Free {
            let _ = writeln!(script, "complete -c opencode -n {there}{}", fish_offer(&words));
        }
    }
    script
}

fn fish_word(script: &mut String, there: &str, word: &str, summary: &str) {
    let (there, summary) = (quoted(there), quoted(summary));
    let _ = writeln!(script, "complete -c opencode -n {there} -a {word} -d {summary}");
}

fn fish_offer(value: &Value) -> String {
    match value {
        Value::Words(words) => format!(" -x -a {}", quoted(&words.join(" "))),
        Value::Files => " -r -F".to_owned(),
        Value::Folders => " -x -a '(__fish_complete_directories)'".to_owned(),
        Value::Listed(list) => format!(" -x -a '(__opencode_listed {list})'"),
        Value::Free => " -x".to_owned(),
    }
}

/// A word in the quotes that all three shells have.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
