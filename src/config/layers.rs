//! The layers of the configuration, checked one by one and laid over each other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::decode::{At, Section};
use super::env::Env;
use super::error::{ConfigError, Report};
use super::files::{Places, read_bounded, utf8};
use super::origin::{ConfigFile, Origin, Scope};
use super::substitute::Substitution;
use super::tree::{Node, Tree};
use super::trust::{Trust, TrustedFile, Verdict, is_about_trust};
use super::twins::{ServerFlags, of_environment, of_flags};
use super::{
    Config, Setting, agents, keys, logs, permission, providers, references, server, syntax,
};

/// What the configuration is read for.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The project directory.
    pub directory: &'a Path,
    /// The environment.
    pub env: &'a Env,
    /// The command line.
    pub flags: ServerFlags,
    /// The providers that need no configuration; where there are none, models are not checked for
    /// theirs.
    pub providers: &'a [&'a str],
}

/// Reads everything that can be set. Later ones win: built-in defaults, the person's file, the
/// project's files from the repository's root inwards, the file that `OPENCODE_CONFIG` names, the
/// environment, the command line.
///
/// Every layer is checked for itself, so that a wrong value is told even where another hides it.
pub fn load(options: &Options<'_>) -> Result<Config, ConfigError> {
    let mut report = Report::default();
    let trust = Trust::read(options.env).unwrap_or_else(|why| {
        report.warn("trust", why);
        Trust::default()
    });
    load_with(options, &trust, report)
}

/// Reads everything, with a list of trusted files in hand.
fn load_with(
    options: &Options<'_>,
    trust: &Trust,
    mut report: Report,
) -> Result<Config, ConfigError> {
    let places = Places::of(options.directory, options.env);
    let mut substitution = Substitution::new(options.env, &places);
    let mut layers = Vec::new();
    if options.env.is_garbled("OPENCODE_CONFIG") {
        report.error("OPENCODE_CONFIG", "expected a path in UTF-8; correct or unset this variable");
    }
    for (file, text) in places.read(options.env, &mut report) {
        let file = judged(file, &text, trust, &places, &mut report);
        if let Some(mut root) = syntax::parse(&text, &file, &mut report) {
            substitution.apply(&mut root, &file, &mut report);
            name_default_agent(&mut root, &mut report);
            logs::name_level(&mut root, &mut report);
            logs::leave_out_foreign(&mut root, &mut report);
            layers.push(root);
        }
    }
    layers.push(of_environment(options.env, &mut report));
    layers.push(of_flags(&options.flags));
    let is_whole = report.errors.is_empty();
    for layer in &layers {
        decode(layer, &mut report);
        references::check_instructions(layer, &places, &mut report);
    }

    let defaults = Node::from_json(&defaults(), &Origin::Default);
    let (mut merged, mut persons) = (defaults.clone(), defaults);
    for layer in layers {
        if !layer.origin.is_foreign() {
            persons.merge(layer.clone());
        }
        merged.merge(layer);
    }
    // In a file that could not be read may stand what a name leads to.
    if is_whole {
        references::check(&merged, options.providers, &mut report);
    }
    if !report.errors.is_empty() {
        return Err(ConfigError { issues: report.errors });
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

/// What holds where nobody says anything.
fn defaults() -> Value {
    json!({ "server": server::defaults(), "log": logs::defaults() })
}

/// The file, with what the person's list says of it.
fn judged(
    file: Arc<ConfigFile>,
    text: &str,
    trust: &Trust,
    places: &Places,
    report: &mut Report,
) -> Arc<ConfigFile> {
    if file.scope != Scope::Project {
        return file;
    }
    // What is wrong in it is told when it is read.
    let Some(root) = syntax::parse(text, &file, &mut Report::default()) else { return file };
    match trust.verdict(&file, &root, places) {
        Verdict::Unknown => file,
        Verdict::Trusted => Arc::new(ConfigFile { trusted: true, ..(*file).clone() }),
        Verdict::Changed => {
            report.warn(
                &file.shown,
                "is no longer trusted, since it has changed; look at it, and run `opencode trust` again",
            );
            file
        }
    }
}

/// Trusts a project's files as they are now, and tells which they are and which of their settings
/// that is about.
///
/// # Errors
/// Files that cannot be used, or a list that cannot be written.
pub fn trust(
    directory: &Path,
    env: &Env,
    now: &str,
) -> Result<(Vec<PathBuf>, Vec<Setting>), ConfigError> {
    let mut trust = Trust::read(env).unwrap_or_default();
    let places = Places::of(directory, env);
    let mut files = Vec::new();
    let mut report = Report::default();
    for (file, text) in places.read(env, &mut report) {
        if file.scope == Scope::Project
            && let Some(root) = syntax::parse(&text, &file, &mut report)
        {
            trust.add(&file, &root, &places, now);
            files.push(file.path.clone());
        }
    }
    // What cannot be used is not trusted either.
    let options = Options { directory, env, flags: ServerFlags::default(), providers: &[] };
    let config = load_with(&options, &trust, Report::default())?;
    if !files.is_empty() {
        trust.write(env).map_err(|why| ConfigError::one("trust", why))?;
    }
    let needs_trust = |setting: &Setting| setting.origin.is_project() && is_about(setting);
    Ok((files, config.settings.into_iter().filter(needs_trust).collect()))
}

/// Whether a setting is one that trust is about.
fn is_about(setting: &Setting) -> bool {
    let path: Vec<_> = setting.path.iter().map(String::as_str).collect();
    let brings = |text: &str| text.contains("{env:") || text.contains("{file:");
    is_about_trust(&path) || setting.value.as_str().is_some_and(brings)
}

/// Trusts nothing any more that lies in a directory, and tells what that was.
///
/// # Errors
/// A list that cannot be read or written.
pub fn distrust(directory: &Path, env: &Env) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |why| ConfigError::one("trust", why);
    let mut trust = Trust::read(env).map_err(failed)?;
    let gone = trust.remove(directory);
    if !gone.is_empty() {
        trust.write(env).map_err(failed)?;
    }
    Ok(gone.into_iter().map(|file| file.path).collect())
}

/// All files that are trusted.
///
/// # Errors
/// A list that cannot be read.
pub fn trusted(env: &Env) -> Result<Vec<TrustedFile>, ConfigError> {
    let trust = Trust::read(env).map_err(|why| ConfigError::one("trust", why))?;
    Ok(trust.into_files())
}

/// Checks one file alone, as one of the person's own, and tells what they should know. Another file
/// may define what its names lead to.
///
/// # Errors
/// What is wrong in it.
pub fn check(path: &Path, env: &Env, providers: &[&str]) -> Result<Vec<String>, ConfigError> {
    let mut report = Report::default();
    let places = Places::of(path.parent().unwrap_or(Path::new(".")), env);
    let (file, scope) = (path.to_owned(), Scope::Named);
    let shown = path.display().to_string();
    let text = read_bounded(path, true).and_then(utf8);
    let text = text.map_err(|why| ConfigError::one(shown.clone(), why))?;
    let file = Arc::new(ConfigFile { path: file, shown, scope, trusted: false });
    if let Some(mut root) = syntax::parse(&text, &file, &mut report) {
        Substitution::new(env, &places).apply(&mut root, &file, &mut report);
        name_default_agent(&mut root, &mut report);
        logs::name_level(&mut root, &mut report);
        decode(&root, &mut report);
        references::check_instructions(&root, &places, &mut report);
        let mut names = Report::default();
        references::check(&root, providers, &mut names);
        for issue in names.errors {
            report.warn(issue.place, format_args!("{}, unless another file has it", issue.message));
        }
        report.warnings.append(&mut names.warnings);
    }
    if report.errors.is_empty() {
        Ok(report.warnings)
    } else {
        Err(ConfigError { issues: report.errors })
    }
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
    if let Some(section) = top.get("log").and_then(|at| at.section(report)) {
        logs::decode(&section, &mut config.log, report);
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
    config.instructions_from_project = at.node.origin.is_foreign();
    let read = |item: &At<'_>, report: &mut Report| {
        let path = item.any_text(report)?;
        if path.contains("://") {
            report.warn_at(item, "is left out: instructions are read from files, not fetched");
            return None;
        }
        if item.node.origin.is_foreign() && leaves_project(&path) {
            report.warn_at(
                item,
                "is left out: a project's file may only name instructions inside the project, until you run `opencode trust`",
            );
            return None;
        }
        Some(path)
    };
    config.instructions = at.list("a list of paths", report, read).unwrap_or_default();
}

/// Whether a path plainly lies outside; links are for whoever opens it.
pub(super) fn leaves_project(path: &str) -> bool {
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
            merged.disable |= agent.disable;
            // A tool that the person took from an agent is not given back by a project.
            merged.tools.extend(agent.tools.into_iter().filter(|(_, on)| !on));
        }
    }
    for id in persons.disabled_providers {
        if !config.disabled_providers.contains(&id) {
            config.disabled_providers.push(id);
        }
    }
    for (id, provider) in persons.providers {
        if let Some(merged) = config.providers.get_mut(&id) {
            merged.options_from_person =
                provider.models.values().any(|model| !model.options.is_empty());
        }
    }
}
