//! The command line: which command was meant, and what its end means for a script.

mod browser;
mod discover;
mod exit;
mod flags;
mod help;
mod input;
mod lists;
mod log;
mod output;
mod password;
mod project;
mod run;
mod serve;
mod status;
mod stop;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

pub use exit::{Exit, Failure};

use crate::config::Env;
use crate::text;
use flags::Typed;

/// Commands of a later version, so that nobody thinks they were mistyped.
const LATER: [&str; 5] = ["attach", "sessions", "trust", "config", "completions"];

/// Runs the program with its arguments, without its own name.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let exit = run(args, &Env::of_process()).unwrap_or_else(|failure| {
        // Nobody reads a message that cannot be written.
        let _ = writeln!(io::stderr(), "opencode: {failure}");
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn run(args: impl IntoIterator<Item = OsString>, env: &Env) -> Result<Exit, Failure> {
    let mut args = args.into_iter();
    let Some(first) = args.next() else {
        print(&help::program())?;
        return Ok(Exit::Usage);
    };
    let name = first.to_string_lossy().into_owned();
    match name.as_str() {
        "-h" | "--help" => return print(&help::program()),
        "-V" | "--version" => {
            return print(&format!("opencode {}\n", env!("CARGO_PKG_VERSION")));
        }
        _ => {}
    }
    if LATER.contains(&name.as_str()) {
        let text = format!("{name} is not in this version yet; `opencode serve` has the API");
        return Err(Failure::new(Exit::Usage, text));
    }
    let Some(command) = flags::find(&name) else {
        let kind = if name.starts_with('-') { "flag" } else { "command" };
        let known = flags::COMMANDS.iter().map(|command| command.name);
        let hint = text::nearest(&name, known).map(|near| format!("; did you mean {near}?"));
        let hint = hint.unwrap_or_default();
        let text = format!("unknown {kind} {name}{hint} See `opencode --help`.");
        return Err(Failure::new(Exit::Usage, text));
    };
    let typed = Typed::parse(command, args)?;
    if typed.switch("help")? == Some(true) {
        return print(&help::command(command));
    }
    match command.name {
        "serve" => serve::serve(&typed, env),
        "web" => serve::web(&typed, env),
        "run" => run::run(&typed, env),
        "status" => status::status(&typed, env),
        "discover" => discover::discover(&typed),
        "models" | "providers" | "agents" => lists::list(command.name, &typed, env),
        _ => help_for(&typed.words),
    }
}

fn help_for(words: &[String]) -> Result<Exit, Failure> {
    let Some(word) = words.first() else { return print(&help::program()) };
    match flags::find(word) {
        Some(command) => print(&help::command(command)),
        None => Err(Failure::usage("help", &format!("unknown command {word}"))),
    }
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
