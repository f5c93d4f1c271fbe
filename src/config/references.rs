//! Names that have to lead somewhere: to an agent, to a provider, to a file.
//!
//! Agents and providers may stand in another file than their names, so these are looked at when all
//! files are laid over each other.

use super::agents::BUILT_IN;
use super::decode::{At, Section};
use super::error::Report;
use super::files::Places;
use super::layers::leaves_project;
use super::tree::{Node, Tree};
use crate::text::nearest;

/// Checks the default agent and the providers that are named; these are `built_in` or in the
/// configuration. Where none are given, they are not checked.
pub(super) fn check(root: &Node, built_in: &[&str], report: &mut Report) {
    let quiet = &mut Report::default();
    let Some(top) = At::root(root).section(quiet) else { return };
    let (mut names, mut models) = (BUILT_IN.to_vec(), vec![top.get("model")]);
    let agents = top.get("agent").and_then(|at| at.section(quiet));
    for (name, at) in agents.iter().flat_map(Section::members) {
        let Some(agent) = at.section(quiet) else { continue };
        let is_off = agent.get("disable").and_then(|at| at.boolean(quiet)) == Some(true);
        if !is_off && !BUILT_IN.contains(&name) {
            names.push(name);
        }
        if !is_off || BUILT_IN.contains(&name) {
            models.push(agent.get("model"));
        }
    }
    if let Some(at) = top.get("default_agent")
        && text(&at).is_some_and(|name| !names.contains(&name))
    {
        at.expected(&format!("an agent, one of {}", names.join(", ")), report);
    }
    if built_in.is_empty() {
        return;
    }
    let mut providers = built_in.to_vec();
    let own = top.get("provider").and_then(|at| at.section(&mut Report::default()));
    providers.extend(own.iter().flat_map(|section| section.members().map(|(id, _)| id)));
    for item in top.get("disabled_providers").iter().flat_map(At::items) {
        let Some(id) = text(&item).filter(|id| !providers.contains(id)) else { continue };
        let near = nearest(id, providers.iter().copied());
        let near = near.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
        report.warn_at(&item, format_args!("has no effect: no provider has this id{near}"));
    }
    for at in models.into_iter().flatten() {
        // Another form of it has been told.
        let provider = text(&at).and_then(|name| name.split_once('/'));
        if provider.is_some_and(|(id, _)| !providers.contains(&id)) {
            let expected = format!(
                "a model of a provider that is built in or configured, one of {}",
                providers.join(", ")
            );
            at.expected(&expected, report);
        }
    }
}

/// Warns of files that one layer's `instructions` name and that are not there. Of a glob there may
/// be none.
pub(super) fn check_instructions(root: &Node, places: &Places, report: &mut Report) {
    let top = At::root(root).section(&mut Report::default());
    for item in top.and_then(|top| top.get("instructions")).iter().flat_map(At::items) {
        let Some(path) = text(&item) else { continue };
        let is_left_out =
            path.contains("://") || item.node.origin.is_foreign() && leaves_project(path);
        if !is_left_out
            && !path.contains(['*', '?', '[', '{'])
            && !places.directory.join(places.expand(path)).exists()
        {
            report.warn_at(&item, "there is no such file, and the model is told without it");
        }
    }
}

/// A text that is not empty.
fn text<'a>(at: &At<'a>) -> Option<&'a str> {
    match &at.node.value {
        Tree::Text(text) => Some(text.value.as_str()).filter(|text| !text.is_empty()),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::List(_) | Tree::Object(_) => None,
    }
}
