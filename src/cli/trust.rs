//! `opencode trust`: which projects' files may do what is the person's alone.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::exit::{Exit, Failure};
use crate::cli::flags::Typed;
use crate::cli::look::Look;
use crate::cli::table::{Column, column, table, word, words};
use crate::cli::{print, print_json, project};
use crate::config::{self, Env};
use crate::id;
use crate::text;

const FILES: &[Column] = &[
    words("FILE", |item| word(&item["path"])),
    column("TRUSTED", |item| word(&item["trustedAt"])).or_none(),
    column("STATE", |item| word(&item["state"])),
];

pub(super) fn trust(typed: &Typed, env: &Env) -> Result<Exit, Failure> {
    let is = |name| Ok::<_, Failure>(typed.switch(name)? == Some(true));
    let (list, remove) = (is("list")?, is("remove")?);
    let wrong = |text: &str| Err(Failure::usage("trust", text));
    match typed.words.as_slice() {
        [] | [_] if list && remove => wrong("--list and --remove exclude each other"),
        [] if list => shown(env, is("json")?),
        [_] if list => wrong("--list takes no PATH"),
        [] | [_] => {
            let directory = match typed.words.first() {
                Some(path) => project::at(Path::new(path))?,
                None => project::directory(typed, env)?,
            };
            if remove { removed(&directory, env) } else { added(&directory, env) }
        }
        [_, more, ..] => wrong(&format!("unexpected \"{more}\"")),
    }
}

fn added(directory: &Path, env: &Env) -> Result<Exit, Failure> {
    let (files, settings) = config::trust(directory, env, &id::rfc3339(id::now_ms()))
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    if files.is_empty() {
        let text = "has no opencode.json or opencode.jsonc, so there is nothing to trust";
        return print(&format!("{} {text}\n", plain(directory)));
    }
    let mut told = String::new();
    for file in &files {
        let _ = writeln!(told, "trusted: {}", plain(file));
    }
    for setting in &settings {
        let _ = writeln!(told, "  {setting}");
    }
    print(&told)
}

fn removed(directory: &Path, env: &Env) -> Result<Exit, Failure> {
    let gone = config::distrust(directory, env)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    if gone.is_empty() {
        let text = format!("nothing in {} was trusted", plain(directory));
        return Err(Failure::new(Exit::Usage, text));
    }
    let lines = gone.iter().map(|path| format!("no longer trusted: {}\n", plain(path)));
    print(&lines.collect::<String>())
}

fn shown(env: &Env, is_json: bool) -> Result<Exit, Failure> {
    let files =
        config::trusted(env).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let item = |file: &config::TrustedFile| {
        json!({
            "path": plain(&file.path),
            "trustedAt": file.trusted_at,
            "state": if file.path.exists() { "there" } else { "gone" },
        })
    };
    let items: Vec<Value> = files.iter().map(item).collect();
    if is_json {
        return print_json(&Value::from(items));
    }
    if items.is_empty() {
        return print("no project is trusted\n");
    }
    let is_gone = |item: &Value| item["state"] == "gone";
    print(&table(FILES, &items, is_gone, Look::of(&io::stdout(), env)))
}

fn plain(path: &Path) -> String {
    text::escaped(&path.to_string_lossy()).into_owned()
}
