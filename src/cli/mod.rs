//! The command line: which command was meant, and what its end means for a script.

mod attach;
mod browser;
mod completions;
mod config;
mod discover;
mod exit;
mod export;
mod flags;
mod help;
mod input;
mod lists;
mod log;
mod look;
mod man;
mod notify;
mod output;
mod password;
mod project;
mod reload;
mod run;
#[cfg(test)]
mod same_flags;
mod serve;
mod sessions;
mod show;
mod status;
mod stop;
mod table;
mod trust;
mod waiting;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

pub use exit::{Exit, Failure};

use serde_json::Value;

use crate::config::Env;
use crate::text;
use flags::Typed;
use look::Look;
use output::tell;

/// Runs the program with its arguments, without its own name.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let exit = run(args, &Env::of_process()).unwrap_or_else(|failure| {
        tell(&failure.to_string());
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn run(args: impl IntoIterator<Item = OsString>, env: &Env) -> Result<Exit, Failure> {
    let mut args = args.into_iter().peekable();
    let columns = Look::of(&io::stdout(), env).width;
    let Some(first) = args.next() else {
        print(&help::program(columns))?;
        return Ok(Exit::Usage);
    };
    let mut name = first.to_string_lossy().into_owned();
    match name.as_str() {
        "-h" | "--help" => return print(&help::program(columns)),
        "-V" | "--version" => {
            return print(&format!("opencode {}\n", env!("CARGO_PKG_VERSION")));
        }
        _ => {}
    }
    // `sessions` alone is the first command of its kind.
    let usual = flags::group(&name).next();
    if let Some(usual) = usual {
        let second = args.peek().map(|word| word.to_string_lossy().into_owned());
        match second.as_deref() {
            Some("-h" | "--help") => return print(&help::group(&name, columns)),
            Some(word) if !word.starts_with('-') => {
                name = format!("{name} {word}");
                args.next();
            }
            _ => usual.name.clone_into(&mut name),
        }
    }
    let command = flags::find(&name).ok_or_else(|| unknown(&name))?;
    let typed = Typed::parse(command, args)?;
    if typed.switch("help")? == Some(true) {
        return print(&help::command(command, columns));
    }
    match command.name {
        "serve" => serve::serve(&typed, env),
        "web" => serve::web(&typed, env),
        "run" => run::run(&typed, env),
        "attach" => attach::attach(&typed, env),
        "status" => status::status(&typed, env),
        "discover" => discover::discover(&typed, env),
        "trust" => trust::trust(&typed, env),
        "config" => config::config(&typed, env),
        "models" | "providers" | "agents" => lists::list(command.name, &typed, env),
        "completions" => completions::completions(&typed),
        "sessions list" => sessions::list(&typed, env),
        "sessions show" => sessions::show(&typed, env),
        "sessions delete" => sessions::delete(&typed, env),
        "sessions export" => sessions::export(&typed, env),
        "help" => help_for(&typed, columns),
        name => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Failure {
    let kind = if name.starts_with('-') { "flag" } else { "command" };
    let known = flags::COMMANDS.iter().map(|command| command.name);
    let hint = text::nearest(name, known);
    let hint = hint.map_or_else(|| ".".to_owned(), |near| format!("; did you mean {near}?"));
    Failure::new(Exit::Usage, format!("unknown {kind} {name}{hint} See `opencode --help`."))
}

fn help_for(typed: &Typed, columns: Option<usize>) -> Result<Exit, Failure> {
    if typed.switch("man")? == Some(true) {
        return print(&man::page());
    }
    let name = typed.words.join(" ");
    match flags::find(&name) {
        _ if name.is_empty() => print(&help::program(columns)),
        Some(command) => print(&help::command(command, columns)),
        None if flags::group(&name).next().is_some() => print(&help::group(&name, columns)),
        None => Err(typed.usage(&format!("unknown command {name}"))),
    }
}

/// Prints JSON for programs, as the API gives it.
fn print_json(value: &Value) -> Result<Exit, Failure> {
    print(&text::plain_json(&format!("{value:#}\n")))
}

/// Prints to standard output; a reader that left is no failure.
fn print(text: &str) -> Result<Exit, Failure> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, format!("standard output: {error}")))
        }
        _ => Ok(Exit::Ok),
    }
}
