//! The layers of the configuration, checked one by one and laid over each other.

use std::path::Path;

use serde_json::{Value, json};

use super::decode::{At, Section};
use super::env::Env;
use super::error::{ConfigError, Report};
use super::files::Places;
use super::origin::Origin;
use super::substitute::Substitution;
use super::tree::{Node, Tree};
use super::twins::{ServerFlags, of_environment, of_flags};
use super::{Config, agents, keys, permission, providers, server, syntax};

/// What the configuration is read for.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The project directory.
    pub directory: &'a Path,
    /// The environment.
    pub env: &'a Env,
    /// The command line.
    pub flags: ServerFlags,
}

/// Reads everything that can be set. Later ones win: built-in defaults, the person's file, the
/// project's files from the repository's root inwards, the file that `OPENCODE_CONFIG` names, the
/// environment, the command line.
///
/// Every layer is checked for itself, so that a wrong value is told even where another hides it.
pub fn load(options: &Options<'_>) -> Result<Config, ConfigError> {
    let mut report = Report::default();
    let places = Places::of(options.directory, options.env);
    let mut substitution = Substitution::new(options.env, &places);
    let mut layers = Vec::new();
    if options.env.is_garbled("OPENCODE_CONFIG") {
        report.error("OPENCODE_CONFIG", "expected a path in UTF-8; correct or unset this variable");
    }
    for (file, text) in places.read(options.env, &mut report) {
        if let Some(mut root) = syntax::parse(&text, &file, &mut report) {
            substitution.apply(&mut root, &file, &mut report);
            name_default_agent(&mut root, &mut report);
            layers.push(root);
        }
    }
    layers.push(of_environment(options.env, &mut report));
    layers.push(of_flags(&options.flags));
    for layer in &layers {
        decode(layer, &mut report);
    }
    if !report.errors.is_empty() {
        return Err(ConfigError { issues: report.errors });
    }

    let defaults = Node::from_json(&json!({ "server": server::defaults() }), &Origin::Default);
    let (mut merged, mut persons) = (defaults.clone(), defaults);
    for layer in layers {
        if !layer.origin.is_project() {
            persons.merge(layer.clone());
        }
        merged.merge(layer);
    }
    let mut second = Report::default();
    let mut config = decode(&merged, &mut second);
    if !config.instructions_from_project {
        for path in &mut config.instructions {
            *path = places.expand(path).to_string_lossy().into_owned();
        }
    }
    // Sections of one kind each may be of another together (`permission`), never wrong.
    if !second.errors.is_empty() {
        return Err(ConfigError { issues: second.errors });
    }
    config.settings = second.settings;
    config.used_env = substitution.used_env.into_iter().collect();
    config.project_env = substitution.project_env;
    config.warnings = report.warnings;
    remember_person(&mut config, decode(&persons, &mut Report::default()));
    Ok(config)
}

/// `agent` may be a text, the name of the agent that answers where nothing else says: the same as
/// `default_agent`. From here on it is, so that it merges with objects of agents.
fn name_default_agent(root: &mut Node, report: &mut Report) {
    let Tree::Object(entries) = &mut root.value else { return };
    let named = entries.iter().any(|entry| entry.key == "default_agent");
    let place = entries
        .iter()
        .position(|entry| entry.key == "agent" && matches!(entry.node.value, Tree::Text(_)));
    let Some(place) = place else { return };
    if named {
        let entry = entries.remove(place);
        report.warn(entry.origin, "agent is left out, since default_agent says it too");
    } else {
        "default_agent".clone_into(&mut entries[place].key);
    }
}

/// Reads a tree into the typed settings; what is wrong stays at its default and is reported.
fn decode(root: &Node, report: &mut Report) -> Config {
    let mut config = Config::default();
    let Some(top) = At::root(root).section(report) else { return config };
    top.check_keys(keys::TOP, keys::TOP_UNUSED, report);
    if let Some(section) = top.get("server").and_then(|at| at.section(report)) {
        server::decode(&section, &mut config.server, report);
    }
    config.model = top.get("model").and_then(|at| agents::model(&at, report));
    config.default_agent = top.get("default_agent").and_then(|at| at.any_text(report));
    if let Some(section) = top.get("agent").and_then(|at| at.section(report)) {
        config.agents = agents::decode(&section, report);
    }
    if let Some(section) = top.get("provider").and_then(|at| at.section(report)) {
        config.providers = providers::decode(&section, report);
    }
    config.disabled_providers = top
        .get("disabled_providers")
        .and_then(|at| at.list("a list of provider names", report, At::any_text))
        .unwrap_or_default();
    config.permission =
        top.get("permission").map_or(Value::Null, |at| permission::decode(&at, report));
    instructions(&top, &mut config, report);
    config
}

fn instructions(top: &Section<'_>, config: &mut Config, report: &mut Report) {
    let Some(at) = top.get("instructions") else { return };
    config.instructions_from_project = at.node.origin.is_project();
    let read = |item: &At<'_>, report: &mut Report| {
        let path = item.any_text(report)?;
        if path.contains("://") {
            report.warn_at(item, "is left out: instructions are read from files, not fetched");
            return None;
        }
        if item.node.origin.is_project() && leaves_project(&path) {
            report.warn_at(
                item,
                "is left out: a project's file may only name instructions inside the project",
            );
            return None;
        }
        Some(path)
    };
    config.instructions = at.list("a list of paths", report, read).unwrap_or_default();
}

/// Whether a path plainly lies outside; links are for whoever opens it.
fn leaves_project(path: &str) -> bool {
    let mut depth = 0usize;
    path.starts_with(['/', '~'])
        || path.split('/').any(|part| match part {
            ".." => match depth.checked_sub(1) {
                Some(up) => {
                    depth = up;
                    false
                }
                None => true,
            },
            "" | "." => false,
            _ => {
                depth += 1;
                false
            }
        })
}

/// Keeps beside the settings what they are without the project's files, where that matters.
fn remember_person(config: &mut Config, persons: Config) {
    config.person_permission = persons.permission;
    for (name, agent) in persons.agents {
        if let Some(merged) = config.agents.get_mut(&name) {
            merged.person_permission = agent.permission;
        }
    }
    for (id, provider) in persons.providers {
        if let Some(merged) = config.providers.get_mut(&id) {
            merged.options_from_person =
                provider.models.values().any(|model| !model.options.is_empty());
        }
    }
}
