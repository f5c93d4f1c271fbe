//! Agents: who answers, with which model and which tools.
//!
//! [`Engine`] holds what every turn of a project shares; `turn` is the loop between model and
//! tools. This room does not know who is listening: what happens goes out through one function.

mod agents;
pub mod permission;
mod prompt;
mod turn;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cancel::Cancel;
use crate::config::Config;
use crate::error::{Code, Problem};
use crate::event::{Body, Denial};
use crate::message::{FinishReason, Message, Usage};
use crate::provider::{self, Catalogue, ToolSpec};
use crate::text;
use crate::tool::named::Reach;
use crate::tool::{self, Tool};

pub use agents::{Agent, AgentView};
use permission::{Decision, Grant};

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
        let agents = agents::all(config, &tools, &root);
        let specs = specs(&tools, &agents);
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

/// The tools of one turn.
struct Toolbox<'a> {
    engine: &'a Engine,
    agent: &'a Agent,
    /// Whether the model can call any.
    has_tools: bool,
    cancel: &'a Cancel,
    permits: &'a mut dyn Permits,
    /// The `always` answers of the session.
    grants: Vec<Grant>,
}

/// What a call of a tool came to.
#[derive(Debug, Clone, PartialEq)]
struct CallResult {
    text: String,
    is_error: bool,
    denied: Option<Denial>,
    /// How long it ran, if it did.
    ran: Option<Duration>,
}

/// A tool call that a person has to permit.
pub struct Question<'a> {
    /// The call.
    pub call_id: &'a str,
    /// The tool.
    pub tool: &'a str,
    /// Its arguments.
    pub args: &'a Value,
    /// Why it asks.
    pub reason: String,
    /// What `always` would allow.
    pub always: Vec<String>,
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Yes, this time.
    Once,
    /// Yes, and for the rest of the session.
    Always,
    /// No.
    Reject,
    /// Nobody answered in time.
    TimedOut,
    /// The turn was stopped.
    Cancelled,
}

impl Reply {
    /// The word of it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Always => "always",
            Self::Reject => "reject",
            Self::TimedOut => "timeout",
            Self::Cancelled => "aborted",
        }
    }

    /// The reply that a client may give by this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Once, Self::Always, Self::Reject].into_iter().find(|reply| reply.as_str() == word)
    }
}

/// Whoever can be asked to permit a tool call.
pub trait Permits {
    /// Whether anybody can answer.
    fn can_ask(&self) -> bool;
    /// Asks, and waits for the answer.
    fn ask(&mut self, question: Question<'_>, say: &mut dyn FnMut(Body)) -> Reply;
}

/// Runs tools for a turn.
trait Tools {
    /// What the model may call.
    fn specs(&self) -> Arc<[ToolSpec]>;
    /// Runs one call; a failure is a result.
    fn call(&mut self, id: &str, tool: &str, args: &Value, say: &mut dyn FnMut(Body))
    -> CallResult;
}

/// The tools of each agent as models are told of them; all turns share them.
fn specs(
    tools: &[Box<dyn Tool>],
    agents: &BTreeMap<String, Arc<Agent>>,
) -> BTreeMap<String, Arc<[ToolSpec]>> {
    let spec = |tool: &dyn Tool| ToolSpec {
        name: tool.name().into(),
        description: tool.description().into(),
        schema: tool.schema().into(),
    };
    let all: Vec<_> = tools.iter().map(|tool| spec(tool.as_ref())).collect();
    let of = |agent: &Agent| all.iter().filter(|spec| agent.may_use(&spec.name)).cloned().collect();
    agents.iter().map(|(id, agent)| (id.clone(), of(agent))).collect()
}

impl Tools for Toolbox<'_> {
    fn specs(&self) -> Arc<[ToolSpec]> {
        let specs = self.engine.specs.get(&self.agent.id).filter(|_| self.has_tools);
        specs.cloned().unwrap_or_default()
    }

    fn call(
        &mut self,
        id: &str,
        name: &str,
        args: &Value,
        say: &mut dyn FnMut(Body),
    ) -> CallResult {
        let refused = |text: String, denied| CallResult { text, is_error: true, denied, ran: None };
        let Some(tool) = self.engine.tools.iter().find(|tool| tool.name() == name) else {
            let known: Vec<_> = self.agent.tools.iter().map(String::as_str).collect();
            let text = format!("there is no tool \"{name}\"; there are {}", known.join(", "));
            return refused(text, None);
        };
        if !self.agent.may_use(name) {
            let text = format!("the agent \"{}\" may not use {name}", self.agent.id);
            return refused(text, Some(Denial::Agent));
        }
        if let Err((text, denial)) = self.permit(id, name, args, say) {
            return refused(text, Some(denial));
        }
        let call_id = id.to_owned();
        let mut output = |content: &str| {
            say(Body::ToolOutput { id: call_id.clone(), content: content.to_owned() });
        };
        let mut context = tool::Context {
            root: &self.engine.root,
            cancel: self.cancel,
            hidden_env: &self.engine.hidden_env,
            output: &mut output,
        };
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| tool.run(args, &mut context)));
        let ran = Some(begun.elapsed());
        let (text, is_error) = match outcome {
            Ok(Ok(text)) => (text, false),
            Ok(Err(text)) => (text, true),
            Err(_) => {
                (format!("{name} failed by a bug in the server; its log has the place"), true)
            }
        };
        let text = text::keep_both_ends(&text, tool::RESULT_BYTES);
        CallResult { text, is_error, denied: None, ran }
    }
}

impl Toolbox<'_> {
    /// The arguments with the path that links lead to, where that is another one.
    fn led_to(&self, args: &Value) -> Option<Value> {
        let given = args.get("path")?.as_str()?;
        let led_to = tool::led_to(&self.engine.root, given)?;
        let mut args = args.clone();
        args["path"] = Value::String(led_to);
        Some(args)
    }

    /// Asks the configuration, and a person where it says so. A refusal is told to the model.
    fn permit(
        &mut self,
        id: &str,
        tool: &str,
        args: &Value,
        say: &mut dyn FnMut(Body),
    ) -> Result<(), (String, Denial)> {
        let decision = self.agent.policy.decide(tool, args, &self.grants);
        // A rule holds for what a link leads to, as well as for the link.
        let decision = match self.led_to(args) {
            Some(args) => decision.or_stricter(self.agent.policy.decide(tool, &args, &self.grants)),
            None => decision,
        };
        let (reason, always) = match decision {
            Decision::Allow => return Ok(()),
            Decision::Deny { reason } => return Err((reason, Denial::Configuration)),
            Decision::Ask { reason, always } => (reason, always),
        };
        if !self.permits.can_ask() {
            return Err((format!("{reason}; nobody can be asked here"), Denial::Nobody));
        }
        let question = Question { call_id: id, tool, args, reason, always: always.clone() };
        match self.permits.ask(question, say) {
            Reply::Once => Ok(()),
            Reply::Always => {
                let tool = tool.to_owned();
                let granted =
                    always.into_iter().map(|pattern| Grant { tool: tool.clone(), pattern });
                self.grants.extend(granted);
                Ok(())
            }
            Reply::Reject => Err(("the person said no".to_owned(), Denial::Rejected)),
            Reply::TimedOut => Err(("nobody answered in time".to_owned(), Denial::Rejected)),
            Reply::Cancelled => Err(("the turn was stopped".to_owned(), Denial::Rejected)),
        }
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
