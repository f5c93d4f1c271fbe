//! `opencode models`, `providers` and `agents`: the lists of the API, as tables for people and,
//! with `--json`, for scripts.

use std::io;

use serde_json::{Value, json};

use crate::cancel::Cancel;
use crate::cli::exit::{Exit, Failure};
use crate::cli::flags::Typed;
use crate::cli::look::Look;
use crate::cli::password::{self, Signalled};
use crate::cli::table::{Column, column, table, word, words};
use crate::cli::{print, print_json, project};
use crate::client::Target;
use crate::config::{self, Env, ServerFlags};

const MODELS: &[Column] = &[
    column("MODEL", |item| word(&item["id"])),
    words("NAME", |item| word(&item["name"])).or_none(),
    column("CONTEXT", |item| item["contextWindow"].as_u64().map_or("-".to_owned(), thousands))
        .or_none(),
    column("USABLE", |item| if is_usable(item) { "yes" } else { "no key" }.to_owned()),
];
const PROVIDERS: &[Column] = &[
    column("PROVIDER", |item| word(&item["id"])),
    words("NAME", |item| word(&item["name"])).or_none(),
    column("MODELS", |item| word(&item["models"])).or_none(),
    column("CONFIGURED", |item| match (is_usable(item), &item["keyVariable"]) {
        (true, _) => "yes".to_owned(),
        (false, Value::String(variable)) => format!("set {variable}"),
        (false, _) => "no".to_owned(),
    }),
];
const AGENTS: &[Column] = &[
    column("AGENT", |item| word(&item["id"])),
    words("DESCRIPTION", |item| word(&item["description"])),
    words("TOOLS", |item| {
        let tools = item["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
        tools.iter().map(word).collect::<Vec<_>>().join(" ")
    })
    .or_none(),
];

/// Whether a model or a provider can be asked.
fn is_usable(item: &Value) -> bool {
    item["available"] == true || item["configured"] == true
}

/// Tokens in thousands, as providers tell them.
fn thousands(tokens: u64) -> String {
    if tokens < 1000 { tokens.to_string() } else { format!("{}k", tokens / 1000) }
}

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
        return print_json(&items);
    }
    let (columns, is_faint): (_, fn(&Value) -> bool) = match name {
        "models" => (MODELS, |item| !is_usable(item)),
        "providers" => (PROVIDERS, |item| !is_usable(item)),
        _ => (AGENTS, |_| false),
    };
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    print(&table(columns, items, is_faint, Look::of(&io::stdout(), env)))
}

fn here(name: &str, typed: &Typed, env: &Env) -> Result<Value, Failure> {
    let directory = project::directory(typed, env)?;
    // Who looks here for a model's name has perhaps a wrong one in the configuration.
    let flags = ServerFlags::default();
    let options = config::Options { directory: &directory, env, flags, providers: &[] };
    let config =
        config::load(&options).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let engine = project::engine(&config, env, directory)?;
    Ok(match name {
        "models" => json!(engine.catalogue().models()),
        "providers" => json!(engine.catalogue().providers()),
        _ => json!(engine.agents()),
    })
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
        let shown = |columns| table(PROVIDERS, &items, |_| false, Look::plain(columns));
        assert_eq!(shown(None), expected);
        assert!(
            shown(Some(50)).contains("offline    Offline…  1       yes"),
            "{}",
            shown(Some(50))
        );
    }
}
