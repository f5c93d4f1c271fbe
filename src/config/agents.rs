//! The `agent` section, and names of models.

use std::collections::BTreeMap;

use serde_json::Value;

use super::decode::{At, Section, Wrong};
use super::error::Report;
use super::{Agent, permission, tools};
use crate::text::distance;

/// The agents that are always there.
pub(super) const BUILT_IN: [&str; 2] = ["build", "plan"];

pub(super) const KEYS: &[&str] =
    &["description", "mode", "model", "prompt", "tools", "disable", "temperature", "permission"];

const UNUSED: &[&str] =
    &["color", "hidden", "maxSteps", "name", "options", "steps", "top_p", "variant"];

/// All agents of the section.
pub(super) fn decode(section: &Section<'_>, report: &mut Report) -> BTreeMap<String, Agent> {
    let mut agents = BTreeMap::new();
    for (name, at) in section.members() {
        // What restricts it would restrict nobody.
        let near = |known: &&str| distance(&name.to_lowercase(), known) <= 1;
        if let Some(meant) = BUILT_IN.into_iter().find(near).filter(|meant| *meant != name) {
            let what = "is an agent of its own; did you mean";
            report.warn_at(&at, format_args!("{what} \"{meant}\", which is always there?"));
        }
        if let Some(section) = at.section(report) {
            let agent = agent(&section, report);
            if let (true, Some(at)) = (agent.disable, section.get("disable"))
                && BUILT_IN.contains(&name)
            {
                report.warn_at(&at, "is left out: the agents build and plan are always there");
            }
            agents.insert(name.to_owned(), agent);
        }
    }
    agents
}

fn agent(section: &Section<'_>, report: &mut Report) -> Agent {
    section.check_keys(KEYS, UNUSED, report);
    let text = |key, report: &mut Report| section.get(key).and_then(|at| at.any_text(report));
    Agent {
        description: text("description", report),
        model: section.get("model").and_then(|at| model(&at, report)),
        prompt: text("prompt", report),
        tools: section.get("tools").map(|at| switches(at, report)).unwrap_or_default(),
        disable: section.get("disable").and_then(|at| at.boolean(report)).unwrap_or_default(),
        mode: section.get("mode").and_then(|at| {
            at.text("\"primary\", \"subagent\" or \"all\"", report, |text| match text {
                "primary" | "subagent" | "all" => Ok(text.to_owned()),
                _ => Err(Wrong::Unlike),
            })
        }),
        temperature: section.get("temperature").and_then(|at| {
            let inside = |number| (0.0..=2.0).contains(&number).then_some(number);
            at.number("a number from 0 to 2", report, inside)
        }),
        permission: section
            .get("permission")
            .map_or(Value::Null, |at| permission::decode(&at, report)),
        person_permission: Value::Null,
    }
}

fn switches(at: At<'_>, report: &mut Report) -> BTreeMap<String, bool> {
    let mut switches = BTreeMap::new();
    if let Some(section) = at.section(report) {
        tools::check_switches(&section, report);
        for (name, at) in section.members() {
            if let Some(on) = at.boolean(report) {
                switches.insert(name.to_owned(), on);
            }
        }
    }
    switches
}

/// The name of a model, with its provider's.
pub(super) fn model(at: &At<'_>, report: &mut Report) -> Option<String> {
    let expected = "provider/model, such as \"anthropic/claude-sonnet-4\"";
    at.text(expected, report, |text| match text.split_once('/') {
        Some((provider, model))
            if !provider.is_empty()
                && !model.is_empty()
                && !text.contains(|c: char| c.is_whitespace() || c.is_control()) =>
        {
            Ok(text.to_owned())
        }
        Some(_) | None => Err(Wrong::Unlike),
    })
}
