//! Agents: who answers, with which model and which tools.
//!
//! [`Engine`] holds what every turn of a project shares; `turn` is the loop between model and
//! tools. This room does not know who is listening: what happens goes out through one function.

mod agents;
pub mod permission;
mod prompt;
mod question;
mod toolbox;
mod turn;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::config::Config;
use crate::error::{Code, Problem};
use crate::event::Body;
use crate::message::{FinishReason, Limit, Message, Usage};
use crate::provider::{self, Catalogue, ToolSpec};
use crate::tool::named::Reach;
use crate::tool::{self, Tool};
use permission::Grant;
use toolbox::Toolbox;

pub use agents::{Agent, AgentView};
pub use question::{Permits, Question, Reply};

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
    /// What models are told of them, by the agent that has them.
    specs: BTreeMap<String, Arc<[ToolSpec]>>,
    instructions: prompt::Instructions,
    hidden_env: Vec<String>,
    steps: u32,
    /// What models were told last, as long as a turn has it.
    told: Mutex<Option<Weak<str>>>,
    meter: Arc<provider::Meter>,
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

/// What came before a turn's answer.
pub struct Past {
    /// The conversation, as far as the model is told of it.
    pub messages: Vec<Message>,
    /// Whether its beginning is left out.
    pub is_cut: bool,
    /// The `always` answers of the session.
    pub grants: Vec<Grant>,
}

/// How a turn ended.
#[derive(Debug)]
pub struct Outcome {
    /// Why it ended.
    pub reason: FinishReason,
    /// What cut it, when the reason is [`FinishReason::Length`].
    pub limit: Option<Limit>,
    /// What failed, when the reason is [`FinishReason::Error`].
    pub problem: Option<Problem>,
    /// What it used.
    pub usage: Usage,
}

impl Outcome {
    /// A turn that failed.
    #[must_use]
    pub fn failed(problem: Problem, usage: Usage) -> Self {
        Self { reason: FinishReason::Error, limit: None, problem: Some(problem), usage }
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
        let agents = agents::all(config, &tools, &root);
        let specs = toolbox::specs(&tools, &agents);
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
            told: Mutex::default(),
            meter: Arc::default(),
        };
        engine.agent(&engine.default_agent)?;
        Ok(engine)
    }

    /// The same engine, which goes on counting where another one stands.
    #[must_use]
    pub fn in_place_of(self, other: &Self) -> Self {
        Self { meter: Arc::clone(&other.meter), ..self }
    }

    /// What requests to providers came to.
    #[must_use]
    pub fn meter(&self) -> &provider::Meter {
        &self.meter
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
    ///
    /// # Errors
    /// A project directory that is gone, or that cannot be read.
    pub fn files(&self, query: &str, limit: usize) -> Result<Vec<String>, Problem> {
        let found = tool::find::paths(&self.root, query, limit, Instant::now() + FIND_TIME);
        found.map_err(|why| {
            if self.root.exists() {
                return Problem::new(Code::Internal, why);
            }
            let root = self.root.display();
            let detail = format!(
                "the project directory {root} is not there any more: put it back, or start the \
                 server in another one"
            );
            Problem::new(Code::NotFound, detail)
        })
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
    pub fn default_model(&self, agent: Option<&str>) -> Cow<'_, str> {
        let agent = agent.and_then(|id| self.agents.get(id));
        agent
            .and_then(|agent| agent.model.as_deref())
            .or(self.model.as_deref())
            .map_or_else(|| self.catalogue.default_model(), Cow::Borrowed)
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

    /// Runs one turn: the past ends with the user's message and the answer still empty.
    /// Everything that happens goes through `emit`, but the last word.
    pub fn run(
        &self,
        choice: &Choice,
        past: Past,
        cancel: &Cancel,
        permits: &mut dyn Permits,
        emit: &mut Emit<'_>,
    ) -> Outcome {
        let mut provider = match choice.model.connect(cancel) {
            Ok(provider) => provider,
            Err(problem) => return turn::ended(Err(problem), cancel, Usage::default()),
        };
        let Past { messages, is_cut, grants } = past;
        let mut system = prompt::system(&choice.agent, &self.root, &self.instructions, cancel);
        if is_cut {
            system.push_str(prompt::CUT);
        }
        let system = self.shared(system);
        let agent = &choice.agent;
        let has_tools = choice.model.info.tool_calls;
        let mut toolbox = Toolbox { engine: self, agent, has_tools, cancel, permits, grants };
        let manner = turn::Manner {
            steps: self.steps,
            temperature: agent.temperature,
            provider: &choice.model.info.provider,
            meter: &self.meter,
        };
        // Dropped when the turn ends, in a panic too.
        let _left_behind = (LeftBehind(cancel), tool::Turn::begin());
        turn::run(provider.as_mut(), &system, messages, &mut toolbox, manner, cancel, emit)
    }

    /// Turns that run at the same time are mostly told the same: they share it.
    #[inline(never)]
    fn shared(&self, system: String) -> Arc<str> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.as_ref().and_then(Weak::upgrade) {
            Some(same) if *same == *system => same,
            _ => {
                let system = Arc::from(system);
                *told = Some(Arc::downgrade(&system));
                system
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::message::Role;
    use crate::provider::testing::{Act, message, server, stream, text};

    /// Nobody is there to be asked.
    struct Nobody;

    impl Permits for Nobody {
        fn can_ask(&self) -> bool {
            false
        }

        fn ask(&mut self, _question: Question<'_>, _say: &mut dyn FnMut(Body)) -> Reply {
            Reply::Reject
        }
    }

    #[test]
    fn the_configuration_knows_the_tools_names() {
        let mut tools: Vec<_> =
            tool::all(std::time::Duration::ZERO).iter().map(|tool| tool.name()).collect();
        tools.sort_unstable();
        assert_eq!(tools, config::TOOLS);
    }

    #[test]
    fn what_the_configuration_says_of_agent_and_model_is_done() {
        let done = r#"{"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}"#;
        let (base, thread) = server(vec![Act::Send(stream(&[done, "[DONE]"]))]);
        let model = config::Model { tool_calls: Some(false), ..config::Model::default() };
        let mine = config::Provider {
            base_url: Some(base),
            models: [("m".to_owned(), model)].into(),
            ..config::Provider::default()
        };
        let cool = config::Agent { temperature: Some(0.25), ..config::Agent::default() };
        let config = Config {
            providers: [("mine".to_owned(), mine)].into(),
            agents: [("build".to_owned(), cool)].into(),
            ..Config::default()
        };
        let catalogue = Catalogue::new(&config, &config::Env::default());
        let engine = Engine::new(&config, catalogue, std::env::temp_dir()).unwrap();
        let wish = Wish { model: Some("mine/m"), ..Wish::default() };
        let choice = engine.choose(&wish).unwrap();
        let messages =
            vec![message(Role::User, vec![text("hi")]), message(Role::Assistant, vec![])];
        let past = Past { messages, is_cut: true, grants: Vec::new() };
        let (cancel, emit) = (Cancel::new(), &mut |_| Ok(()));
        let outcome = engine.run(&choice, past, &cancel, &mut Nobody, emit);
        assert_eq!((outcome.reason, outcome.problem), (FinishReason::Stop, None));
        let request = thread.join().unwrap().remove(0);
        assert!(request.contains("\"temperature\":0.25"), "{request}");
        assert!(!request.contains("\"tools\""), "{request}");
    }
}
