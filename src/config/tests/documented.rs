//! docs/configuration.md has every key that is read, and no other, with its default.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::twins::TWINS;
use crate::config::{agents, keys, logs, providers, server};

const DOCUMENT: &str = include_str!("../../../docs/configuration.md");

/// The keys in the tables of the document, with the other cells of their rows.
fn documented() -> BTreeMap<&'static str, Vec<&'static str>> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let rows = rows.map(|(key, cells)| (key, cells.split('|').map(str::trim).collect()));
    rows.filter(|(key, _)| key.starts_with(|c: char| c.is_lowercase() || c == '$')).collect()
}

#[test]
fn every_key_is_documented_and_no_other() {
    let below = |prefix: &str, keys: &[&str]| -> Vec<String> {
        keys.iter().map(|key| format!("{prefix}.{key}")).collect()
    };
    // What holds others is documented by those.
    let leaf = |key: &&str| {
        !["server", "log", "limits", "options", "models", "limit", "cost"].contains(key)
    };
    let leaves = |keys: &[&'static str]| keys.iter().copied().filter(leaf).collect::<Vec<_>>();
    let model = "provider.ID.models.NAME";
    let mut expected: Vec<String> = [
        leaves(keys::TOP).into_iter().map(str::to_owned).collect(),
        below("server", &leaves(server::KEYS)),
        below("server.limits", server::LIMITS),
        below("log", logs::KEYS),
        below("agent.NAME", agents::KEYS),
        below("provider.ID", &leaves(providers::KEYS)),
        below("provider.ID.options", providers::OPTIONS),
        below(model, &leaves(providers::MODEL)),
        below(model, &["options"]),
        below(&format!("{model}.limit"), providers::LIMIT),
        below(&format!("{model}.cost"), providers::COST),
    ]
    .concat();
    expected.sort();
    assert_eq!(documented().into_keys().collect::<Vec<_>>(), expected);
}

#[test]
fn the_defaults_are_those_of_the_program() {
    let (defaults, documented) = (server::defaults(), documented());
    let row = |section: &str, (key, default): (&String, &Value)| {
        let shown = documented[&*format!("{section}.{key}")][1].trim_matches('`').to_owned();
        assert_eq!(shown, default.to_string(), "{section}.{key}");
    };
    let Value::Object(mut server) = defaults else { panic!("{defaults}") };
    let limits = server.remove("limits").unwrap();
    server.iter().for_each(|member| row("server", member));
    limits.as_object().unwrap().iter().for_each(|member| row("server.limits", member));
    logs::defaults().as_object().unwrap().iter().for_each(|member| row("log", member));
}

#[test]
fn every_variable_that_has_a_twin_is_documented() {
    for twin in TWINS {
        assert!(DOCUMENT.contains(&format!("`{}`", twin.variable)), "{}", twin.variable);
    }
}
