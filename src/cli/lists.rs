//! `opencode models`, `providers` and `agents`: the lists of the API, as tables for people and,
//! with `--json`, for scripts.

use serde_json::{Value, json};

use crate::cancel::Cancel;
use crate::cli::exit::{Exit, Failure};
use crate::cli::flags::Typed;
use crate::cli::password::{self, Signalled};
use crate::cli::{print, project};
use crate::client::Target;
use crate::config::{Env, ServerFlags};
use crate::text;

/// A column: its heading, and what it shows of an item.
pub(super) type Column = (&'static str, fn(&Value) -> String);

const MODELS: &[Column] = &[
    ("MODEL", |item| word(&item["id"])),
    ("NAME", |item| word(&item["name"])),
    ("CONTEXT", |item| word(&item["contextWindow"])),
    ("USABLE", |item| if item["available"] == true { "yes" } else { "no key" }.to_owned()),
];
const PROVIDERS: &[Column] = &[
    ("PROVIDER", |item| word(&item["id"])),
    ("NAME", |item| word(&item["name"])),
    ("MODELS", |item| word(&item["models"])),
    ("CONFIGURED", |item| match (item["configured"] == true, &item["keyVariable"]) {
        (true, _) => "yes".to_owned(),
        (false, Value::String(variable)) => format!("set {variable}"),
        (false, _) => "no".to_owned(),
    }),
];
const AGENTS: &[Column] = &[
    ("AGENT", |item| word(&item["id"])),
    ("TOOLS", |item| {
        let tools = item["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
        tools.iter().map(word).collect::<Vec<_>>().join(" ")
    }),
    ("DESCRIPTION", |item| word(&item["description"])),
];

/// Prints one of the lists; `name` is the command and the last part of its path.
pub(super) fn list(name: &str, typed: &Typed, env: &Env) -> Result<Exit, Failure> {
    let items = match typed.value("attach") {
        Some(url) => {
            let target = Target::new(url, env, typed.value("ca"))?;
            let cancel = Cancel::new();
            password::signed_in(target, env, Signalled::Nobody, &cancel, |remote| {
                Ok(remote.get(&format!("/api/{name}"), &cancel)?)
            })?
        }
        None => here(name, typed, env)?,
    };
    if typed.switch("json")? == Some(true) {
        return print(&format!("{items:#}\n"));
    }
    let columns = match name {
        "models" => MODELS,
        "providers" => PROVIDERS,
        _ => AGENTS,
    };
    print(&text::plain(&table(columns, items.as_array().map(Vec::as_slice).unwrap_or_default())))
}

fn here(name: &str, typed: &Typed, env: &Env) -> Result<Value, Failure> {
    let directory = project::directory(typed, env)?;
    let config = project::configure(&directory, env, ServerFlags::default())?;
    let engine = project::engine(&config, env, directory)?;
    Ok(match name {
        "models" => json!(engine.catalogue().models()),
        "providers" => json!(engine.catalogue().providers()),
        _ => json!(engine.agents()),
    })
}

pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Columns as wide as their widest cell; the last one is not padded.
pub(super) fn table(columns: &[Column], items: &[Value]) -> String {
    let heading = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect::<Vec<_>>();
    let rows = items.iter().map(|item| columns.iter().map(|(_, cell)| cell(item)).collect());
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_say_what_to_set() {
        let items = [
            json!({ "id": "anthropic", "name": "Anthropic", "models": 11, "configured": false,
                "keyVariable": "ANTHROPIC_API_KEY" }),
            json!({ "id": "offline", "name": "Offline guide", "models": 1, "configured": true }),
        ];
        let expected = "PROVIDER   NAME           MODELS  CONFIGURED\n\
                        anthropic  Anthropic      11      set ANTHROPIC_API_KEY\n\
                        offline    Offline guide  1       yes\n";
        assert_eq!(table(PROVIDERS, &items), expected);
    }
}
