//! `opencode config`: each setting with where it came from, and whether the files are right.

use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::exit::{Exit, Failure};
use crate::cli::flags::Typed;
use crate::cli::look::Look;
use crate::cli::output::tell;
use crate::cli::table::{Column, column, table, word, words};
use crate::cli::{print, print_json, project, serve};
use crate::config::{self, Env, Origin, Setting};
use crate::provider;
use crate::text;

const SETTINGS: &[Column] = &[
    column("SETTING", |item| word(&item["key"])),
    words("VALUE", |item| item["value"].to_string()),
    column("FROM", |item| word(&item["from"]["place"])),
];

pub(super) fn config(typed: &Typed, env: &Env) -> Result<Exit, Failure> {
    let is_check = typed.switch("check")? == Some(true);
    match typed.words.as_slice() {
        [] => {}
        [file] if is_check => return checked_file(file, env),
        [word, ..] => {
            return Err(Failure::usage("config", &format!("unexpected \"{word}\"")));
        }
    }
    let directory = project::directory(typed, env)?;
    let options = config::Options {
        directory: &directory,
        env,
        flags: serve::flags(typed)?,
        providers: &provider::built_in(),
    };
    let config = config::load(&options).map_err(|error| wrong(&error))?;
    // Where the password is wrong, a start would fail as well.
    let credentials = config::credentials(env).map_err(|error| wrong(&error))?;
    warn(&config.warnings);
    if is_check {
        return print("the configuration is right\n");
    }
    let mut items: Vec<Value> = config.settings.iter().map(shown).collect();
    if credentials.is_some() {
        let place = config::password_source(env);
        items.push(json!({
            "key": "password", "value": config::MASK, "from": { "kind": "environment", "place": place }
        }));
    }
    if typed.switch("json")? == Some(true) {
        return print_json(&Value::from(items));
    }
    let is_default = |item: &Value| item["from"]["kind"] == "default";
    print(&table(SETTINGS, &items, is_default, Look::of(&io::stdout(), env)))
}

/// Checks a file alone.
fn checked_file(file: &str, env: &Env) -> Result<Exit, Failure> {
    let warnings = config::check(Path::new(file), env, &provider::built_in())
        .map_err(|error| wrong(&error))?;
    warn(&warnings);
    print(&format!("{} is right\n", text::escaped(file)))
}

/// What is wrong, with the columns: whoever mends a file is about to go there.
fn wrong(error: &config::ConfigError) -> Failure {
    Failure::new(Exit::Usage, error.exact())
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        tell(warning);
    }
}

fn shown(setting: &Setting) -> Value {
    let place = text::escaped(&setting.origin.to_string()).into_owned();
    let from = match &setting.origin {
        Origin::Default => json!({ "kind": "default", "place": place }),
        Origin::Environment(_) => json!({ "kind": "environment", "place": place }),
        Origin::Flag(_) => json!({ "kind": "flag", "place": place }),
        Origin::File { file, line, column } => json!({
            "kind": "file",
            "place": place,
            "file": text::escaped(&file.path.to_string_lossy()),
            "line": line,
            "column": column,
            "trusted": !file.is_foreign(),
        }),
    };
    json!({ "key": text::escaped(&setting.key()), "value": setting.value, "from": from })
}
