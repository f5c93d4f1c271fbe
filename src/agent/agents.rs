//! The agents there are: `build` and `plan`, and those the configuration defines or changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::agent::permission::Policy;
use crate::config::{self, Config};
use crate::tool::{Effect, Tool};

/// Who answers: instructions, a model it prefers, and what it may do.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its name.
    pub id: String,
    /// What it is for.
    pub description: String,
    /// `primary` or `subagent`, as the configuration has it.
    pub mode: String,
    /// The model it prefers.
    pub model: Option<String>,
    /// Its instructions.
    pub prompt: String,
    /// Its sampling temperature.
    pub temperature: Option<f64>,
    /// The names of the tools it may use.
    pub tools: BTreeSet<String>,
    /// Which calls of them have to be asked for, or are denied.
    pub policy: Policy,
}

/// An agent as clients see it.
#[derive(Debug, Clone, Serialize)]
pub struct AgentView {
    /// Its name.
    pub id: String,
    /// What it is for.
    pub description: String,
    /// `primary` or `subagent`.
    pub mode: String,
    /// The model it prefers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The tools it may use.
    pub tools: Vec<String>,
}

impl Agent {
    /// Whether it may use a tool; asked before every call, whatever the model was told.
    #[must_use]
    pub fn may_use(&self, tool: &str) -> bool {
        self.tools.contains(tool)
    }

    /// As clients see it.
    #[must_use]
    pub fn view(&self) -> AgentView {
        AgentView {
            id: self.id.clone(),
            description: self.description.clone(),
            mode: self.mode.clone(),
            model: self.model.clone(),
            tools: self.tools.iter().cloned().collect(),
        }
    }
}

/// What the configuration permits an agent. A project's own file restricts, and never relaxes
/// what the person set.
fn policy(config: &Config, agent: Option<&config::Agent>, root: &Path) -> Policy {
    let of_agent = |value: fn(&config::Agent) -> &Value| agent.map_or(&Value::Null, value);
    let merged = Policy::new(&config.permission, of_agent(|agent| &agent.permission));
    let persons =
        Policy::new(&config.person_permission, of_agent(|agent| &agent.person_permission));
    Policy::stricter_of(merged, persons).in_project(root)
}

/// `build`, `plan` and the configured agents.
pub(super) fn all(
    config: &Config,
    tools: &[Box<dyn Tool>],
    root: &Path,
) -> BTreeMap<String, Arc<Agent>> {
    let names = |allowed: &dyn Fn(Effect) -> bool| -> BTreeSet<String> {
        let allowed = tools.iter().filter(|tool| allowed(tool.effect()));
        allowed.map(|tool| tool.name().to_owned()).collect()
    };
    let every_tool = names(&|_| true);
    let built_in = [
        Agent {
            id: "build".into(),
            description: "Works in the project with all tools: reads, edits, runs commands".into(),
            mode: "primary".into(),
            model: None,
            prompt: super::prompt::BUILD.into(),
            temperature: None,
            tools: every_tool.clone(),
            policy: policy(config, config.agents.get("build"), root),
        },
        Agent {
            id: "plan".into(),
            description: "Reads the project and makes a plan; changes nothing".into(),
            mode: "primary".into(),
            model: None,
            prompt: super::prompt::PLAN.into(),
            temperature: None,
            tools: names(&|effect| effect == Effect::Reads),
            policy: policy(config, config.agents.get("plan"), root),
        },
    ];
    let mut agents: BTreeMap<_, _> =
        built_in.into_iter().map(|agent| (agent.id.clone(), agent)).collect();
    for (id, change) in &config.agents {
        if change.disable && id != "build" && id != "plan" {
            agents.remove(id);
            continue;
        }
        let agent = agents.entry(id.clone()).or_insert_with(|| Agent {
            id: id.clone(),
            description: String::new(),
            mode: "primary".into(),
            model: None,
            prompt: super::prompt::BUILD.into(),
            temperature: None,
            tools: every_tool.clone(),
            policy: policy(config, Some(change), root),
        });
        adapt(agent, change, &every_tool);
    }
    agents.into_iter().map(|(id, agent)| (id, Arc::new(agent))).collect()
}

fn adapt(agent: &mut Agent, change: &config::Agent, every_tool: &BTreeSet<String>) {
    if let Some(description) = &change.description {
        agent.description.clone_from(description);
    }
    if let Some(prompt) = &change.prompt {
        agent.prompt.clone_from(prompt);
    }
    if let Some(mode) = &change.mode {
        agent.mode.clone_from(mode);
    }
    if change.temperature.is_some() {
        agent.temperature = change.temperature;
    }
    if change.model.is_some() {
        agent.model.clone_from(&change.model);
    }
    for (name, &on) in &change.tools {
        if name == "*" {
            agent.tools = if on { every_tool.clone() } else { BTreeSet::new() };
        }
    }
    for (name, &on) in change.tools.iter().filter(|(name, _)| every_tool.contains(*name)) {
        if on {
            agent.tools.insert(name.clone());
        } else {
            agent.tools.remove(name);
        }
    }
}
