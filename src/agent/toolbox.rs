//! The tools of one turn: which the model is told of, and a call from what the model asked for to
//! its result, past the agent's own limits, the configuration's and a person's word.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::permission::{Decision, Grant};
use super::{Agent, Engine, Permits, Question, Reply};
use crate::cancel::Cancel;
use crate::event::{Body, Denial};
use crate::provider::ToolSpec;
use crate::text;
use crate::tool::{self, Tool};

/// Runs tools for a turn.
pub(super) trait Tools {
    /// What the model may call.
    fn specs(&self) -> Arc<[ToolSpec]>;
    /// Runs one call; a failure is a result.
    fn call(&mut self, id: &str, tool: &str, args: &Value, say: &mut dyn FnMut(Body))
    -> CallResult;
}

/// What a call of a tool came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CallResult {
    pub(super) text: String,
    pub(super) is_error: bool,
    pub(super) denied: Option<Denial>,
    /// How long it ran, if it did.
    pub(super) ran: Option<Duration>,
}

impl CallResult {
    /// Of a call that did not run.
    pub(super) fn refused(text: String, denied: Option<Denial>) -> Self {
        Self { text, is_error: true, denied, ran: None }
    }
}

/// The tools of one turn.
pub(super) struct Toolbox<'a> {
    pub(super) engine: &'a Engine,
    pub(super) agent: &'a Agent,
    /// Whether the model can call any.
    pub(super) has_tools: bool,
    pub(super) cancel: &'a Cancel,
    pub(super) permits: &'a mut dyn Permits,
    /// The `always` answers of the session.
    pub(super) grants: Vec<Grant>,
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
        let Some(tool) = self.engine.tools.iter().find(|tool| tool.name() == name) else {
            let known: Vec<_> = self.agent.tools.iter().map(String::as_str).collect();
            let text = format!("there is no tool \"{name}\"; there are {}", known.join(", "));
            return CallResult::refused(text, None);
        };
        if !self.agent.may_use(name) {
            let text = format!("the agent \"{}\" may not use {name}", self.agent.id);
            return CallResult::refused(text, Some(Denial::Agent));
        }
        if let Err((text, denial)) = self.permit(id, name, args, say) {
            return CallResult::refused(text, Some(denial));
        }
        let call_id = id.to_owned();
        let mut output = |content: &str| {
            say(Body::ToolOutput { id: call_id.clone(), content: content.to_owned() });
        };
        let mut context = tool::Context {
            root: &self.engine.root,
            cancel: self.cancel,
            hidden_env: &self.engine.hidden_env,
            may_read: self.agent.may_use("read_file")
                && matches!(self.decide("read_file", args), Decision::Allow),
            output: &mut output,
        };
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| tool.run(args, &mut context)));
        let ran = Some(begun.elapsed());
        let outcome = outcome.unwrap_or_else(|_| {
            Err(format!("{name} failed by a bug in the server; its log has the place"))
        });
        let is_error = outcome.is_err();
        let (Ok(text) | Err(text)) = outcome;
        let text = text::keep_both_ends(&text, tool::RESULT_BYTES);
        CallResult { text, is_error, denied: None, ran }
    }
}

impl Toolbox<'_> {
    /// The arguments with the path that links lead to, where that is another one.
    fn led_to(&self, args: &Value) -> Result<Option<Value>, String> {
        let Some(given) = args.get("path").and_then(Value::as_str) else { return Ok(None) };
        let led_to = tool::led_to(&self.engine.root, given)?;
        Ok(led_to.map(|path| {
            let mut args = args.clone();
            args["path"] = Value::String(path);
            args
        }))
    }

    /// What the configuration says of a call.
    fn decide(&self, tool: &str, args: &Value) -> Decision {
        let decision = self.agent.policy.decide(tool, args, &self.grants);
        // A rule holds for what a link leads to, as well as for the link, and where nobody can tell
        // what that is, any might.
        match self.led_to(args) {
            Ok(Some(args)) => {
                decision.or_stricter(self.agent.policy.decide(tool, &args, &self.grants))
            }
            Ok(None) => decision,
            Err(reason) => Decision::Deny { reason },
        }
    }

    /// Asks the configuration, and a person where it says so. A refusal is told to the model.
    fn permit(
        &mut self,
        id: &str,
        tool: &str,
        args: &Value,
        say: &mut dyn FnMut(Body),
    ) -> Result<(), (String, Denial)> {
        let (reason, always) = match self.decide(tool, args) {
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
                let granted = |pattern| Grant { tool: tool.to_owned(), pattern };
                self.grants.extend(always.into_iter().map(granted));
                Ok(())
            }
            Reply::Reject => Err(("the person said no".to_owned(), Denial::Rejected)),
            Reply::TimedOut => Err(("nobody answered in time".to_owned(), Denial::Rejected)),
            Reply::Cancelled => Err(("the turn was stopped".to_owned(), Denial::Rejected)),
        }
    }
}

/// The tools of each agent as models are told of them; all turns share them.
pub(super) fn specs(
    tools: &[Box<dyn Tool>],
    agents: &BTreeMap<String, Arc<Agent>>,
) -> BTreeMap<String, Arc<[ToolSpec]>> {
    let spec = |tool: &dyn Tool| ToolSpec {
        name: tool.name().into(),
        description: tool.description().into(),
        schema: tool::schema(tool).into(),
    };
    let all: Vec<_> = tools.iter().map(|tool| spec(tool.as_ref())).collect();
    let of = |agent: &Agent| all.iter().filter(|spec| agent.may_use(&spec.name)).cloned().collect();
    agents.iter().map(|(id, agent)| (id.clone(), of(agent))).collect()
}
