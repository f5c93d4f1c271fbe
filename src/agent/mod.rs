//! Agents: who answers, with which model and which tools.
//!
//! [`Engine`] holds what every turn of a project shares; `turn` is the loop between model and
//! tools. This room does not know who is listening: what happens goes out through one function.

mod agents;
mod prompt;
mod turn;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cancel::Cancel;
use crate::config::Config;
use crate::error::{Code, Problem};
use crate::event::Body;
use crate::message::{FinishReason, Message, Usage};
use crate::provider::{self, Catalogue, ToolSpec};
use crate::text;
use crate::tool::named::Reach;
use crate::tool::{self, Tool};

pub use agents::{Agent, AgentView};

/// Who types waits for the paths, and may be gone by then.
const FIND_TIME: Duration = Duration::from_millis(200);

/// What every turn of a project shares.
pub struct Engine {
    root: PathBuf,
    catalogue: Catalogue,
    agents: BTreeMap<String, Arc<Agent>>,
    default_agent: String,
    model: Option<String>,
    tools: Vec<Box<dyn Tool>>,
    /// What models are told of them.
    specs: Vec<ToolSpec>,
    instructions: prompt::Instructions,
    hidden_env: Vec<String>,
    steps: u32,
}

/// What was asked for, and what the session has; all may be absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'a> {
    /// The agent that the request names.
    pub agent: Option<&'a str>,
    /// The model that the request names.
    pub model: Option<&'a str>,
    /// The agent of the session.
    pub session_agent: Option<&'a str>,
    /// The model of the session.
    pub session_model: Option<&'a str>,
}

/// Who answers.
pub struct Choice {
    /// The agent.
    pub agent: Arc<Agent>,
    /// The model.
    pub model: provider::Model,
}

/// How a turn ended.
#[derive(Debug)]
pub struct Outcome {
    /// Why it ended.
    pub reason: FinishReason,
    /// What failed, when the reason is [`FinishReason::Error`].
    pub problem: Option<Problem>,
    /// What it used.
    pub usage: Usage,
}

impl Outcome {
    /// A turn that failed.
    #[must_use]
    pub fn failed(problem: Problem, usage: Usage) -> Self {
        Self { reason: FinishReason::Error, problem: Some(problem), usage }
    }
}

/// Takes each event of a turn; an error ends the turn.
pub type Emit<'a> = dyn FnMut(Body) -> Result<(), Problem> + 'a;

impl Engine {
    /// Prepares the agents of a project.
    ///
    /// # Errors
    /// A default agent that does not exist.
    pub fn new(config: &Config, catalogue: Catalogue, root: PathBuf) -> Result<Self, Problem> {
        let tools = tool::all(config.server.limits.command_time);
        let agents = agents::all(config, &tools);
        let specs = tools.iter().map(|tool| spec(tool.as_ref())).collect();
        let default_agent = config.default_agent.clone().unwrap_or_else(|| "build".to_owned());
        let engine = Self {
            root,
            catalogue,
            agents,
            default_agent,
            model: config.model.clone(),
            tools,
            specs,
            instructions: prompt::Instructions {
                names: config.instructions.clone(),
                reach: if config.instructions_from_project {
                    Reach::Project
                } else {
                    Reach::Anywhere
                },
            },
            hidden_env: config.used_env.clone(),
            steps: config.server.limits.steps,
        };
        engine.agent(&engine.default_agent)?;
        Ok(engine)
    }

    /// The models and providers there are.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The project directory.
    #[must_use]
    pub fn root(&self) -> &std::path::Path {
        &self.root
    }

    /// Paths of the project that match a few typed characters, as far as they are found at once.
    pub fn files(&self, query: &str, limit: usize) -> Result<Vec<String>, Problem> {
        let found = tool::find::paths(&self.root, query, limit, Instant::now() + FIND_TIME);
        found.map_err(|why| Problem::new(Code::Internal, why))
    }

    /// The agents there are.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentView> {
        self.agents.values().map(|agent| agent.view()).collect()
    }

    /// The agent that answers where nothing else says.
    #[must_use]
    pub fn default_agent(&self) -> &str {
        &self.default_agent
    }

    /// The model that answers for an agent where neither request nor session says.
    #[must_use]
    pub fn default_model(&self, agent: Option<&str>) -> String {
        let agent = agent.and_then(|id| self.agents.get(id));
        agent
            .and_then(|agent| agent.model.clone())
            .or_else(|| self.model.clone())
            .unwrap_or_else(|| self.catalogue.default_model())
    }

    /// Who answers: the request's wish, then the session's, the agent's, the configuration's.
    ///
    /// # Errors
    /// An unknown agent or model, or a provider without a key.
    pub fn choose(&self, wish: &Wish<'_>) -> Result<Choice, Problem> {
        let agent = wish.agent.or(wish.session_agent).unwrap_or(&self.default_agent);
        let agent = self.agent(agent)?;
        let model = match wish.model.or(wish.session_model) {
            Some(model) => self.catalogue.resolve(model)?,
            None => self.catalogue.resolve(&self.default_model(Some(&agent.id)))?,
        };
        Ok(Choice { agent, model })
    }

    /// Runs one turn: the history ends with the user's message and the answer still empty.
    /// Everything that happens goes through `emit`, but the last word.
    pub fn run(
        &self,
        choice: &Choice,
        history: Vec<Message>,
        cancel: &Cancel,
        emit: &mut Emit<'_>,
    ) -> Outcome {
        let mut provider = match choice.model.connect(cancel) {
            Ok(provider) => provider,
            Err(problem) => return turn::ended(Err(problem), cancel, Usage::default()),
        };
        let system = prompt::system(&choice.agent, &self.root, &self.instructions, cancel);
        let mut toolbox = Toolbox { engine: self, agent: &choice.agent, cancel };
        let bounds = turn::Bounds { steps: self.steps };
        // Dropped when the turn ends, in a panic too.
        let _left_behind = LeftBehind(cancel);
        turn::run(provider.as_mut(), &system, history, &mut toolbox, bounds, cancel, emit)
    }

    fn agent(&self, id: &str) -> Result<Arc<Agent>, Problem> {
        self.agents.get(id).cloned().ok_or_else(|| {
            let known: Vec<_> = self.agents.keys().map(String::as_str).collect();
            let detail = format!("no agent is called \"{id}\"; there are {}", known.join(", "));
            Problem::new(Code::UnknownAgent, detail)
        })
    }
}

/// Kills what the commands of a turn left running, when the turn ends.
struct LeftBehind<'a>(&'a Cancel);

impl Drop for LeftBehind<'_> {
    fn drop(&mut self) {
        tool::end_turn(self.0);
    }
}

/// The tools of one turn.
struct Toolbox<'a> {
    engine: &'a Engine,
    agent: &'a Agent,
    cancel: &'a Cancel,
}

/// What a call of a tool came to.
#[derive(Debug, Clone, PartialEq)]
struct CallResult {
    text: String,
    is_error: bool,
    denied: bool,
}

/// Runs tools for a turn.
trait Tools {
    /// What the model may call.
    fn specs(&self) -> Vec<ToolSpec>;
    /// Runs one call; a failure is a result.
    fn call(&mut self, tool: &str, args: &Value, output: &mut dyn FnMut(&str)) -> CallResult;
}

fn spec(tool: &dyn Tool) -> ToolSpec {
    ToolSpec {
        name: tool.name().into(),
        description: tool.description().into(),
        schema: tool.schema().into(),
    }
}

impl Tools for Toolbox<'_> {
    fn specs(&self) -> Vec<ToolSpec> {
        let specs = self.engine.specs.iter();
        specs.filter(|spec| self.agent.may_use(&spec.name)).cloned().collect()
    }

    fn call(&mut self, name: &str, args: &Value, output: &mut dyn FnMut(&str)) -> CallResult {
        let refused = |text: String, denied| CallResult { text, is_error: true, denied };
        let Some(tool) = self.engine.tools.iter().find(|tool| tool.name() == name) else {
            let known: Vec<_> = self.agent.tools.iter().map(String::as_str).collect();
            let text = format!("there is no tool \"{name}\"; there are {}", known.join(", "));
            return refused(text, false);
        };
        if !self.agent.may_use(name) {
            let text = format!("the agent \"{}\" may not use {name}", self.agent.id);
            return refused(text, true);
        }
        let mut context = tool::Context {
            root: &self.engine.root,
            cancel: self.cancel,
            hidden_env: &self.engine.hidden_env,
            output,
        };
        let (text, is_error) = match tool.run(args, &mut context) {
            Ok(text) => (text, false),
            Err(text) => (text, true),
        };
        CallResult {
            text: text::keep_both_ends(&text, tool::RESULT_BYTES),
            is_error,
            denied: false,
        }
    }
}
