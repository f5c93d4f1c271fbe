//! The turn: ask the model, run the tools it calls, tell it their results, until it is done.
//!
//! The loop owns the control flow: it pulls the model's chunks and calls the tools one by one.
//! Every event goes out through `emit` and into the answer by the same fold that clients use.

use std::time::Instant;

use crate::agent::toolbox::{CallResult, Tools};
use crate::agent::{Emit, Outcome};
use crate::cancel::Cancel;
use crate::error::{Code, Problem};
use crate::event::Body;
use crate::message::{FinishReason, Limit, Message, Usage, whole_ms};
use crate::provider::{Call, Chunk, Meter, Provider, Request, Stop, one_line};
use crate::transcript;

/// Arguments of a tool call are at most this long, in bytes of JSON.
const ARGS_BYTES: usize = 256 * 1024;
/// Text and reasoning of one answer, in bytes.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Said to the model when it has used up its steps.
const LAST_STEP: &str = "You have used all the steps of this turn. Call no more tools: say what \
    was done, what is left, and how to go on.";
/// The same where the turn has no more than one.
const ONLY_STEP: &str = "This turn has one step. Call no tools: answer with what you know.";

/// How a turn is run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner<'a> {
    /// Answers of the model; in the last one no tools are called.
    pub(super) steps: u32,
    /// The sampling temperature, where the agent has one.
    pub(super) temperature: Option<f64>,
    /// The provider that is asked.
    pub(super) provider: &'a str,
    /// Counts what comes of asking it.
    pub(super) meter: &'a Meter,
}

/// What one answer of the model came to.
struct Step {
    calls: Vec<Call>,
    cut: Option<Limit>,
}

/// Runs a turn to its end. The last message of `history` is the answer, still empty.
pub(super) fn run(
    provider: &mut dyn Provider,
    system: &str,
    history: Vec<Message>,
    tools: &mut dyn Tools,
    manner: Manner<'_>,
    cancel: &Cancel,
    emit: &mut Emit<'_>,
) -> Outcome {
    let mut usage = Usage::default();
    let mut turn = Turn { system, manner, history, cancel, emit };
    let result = turn.steps(provider, tools, &mut usage);
    ended(result, cancel, usage)
}

/// The outcome of a turn: whatever a stopped one failed with, it was stopped.
pub(super) fn ended(
    result: Result<Option<Limit>, Problem>,
    cancel: &Cancel,
    usage: Usage,
) -> Outcome {
    match result {
        Ok(limit) => {
            let reason = if limit.is_some() { FinishReason::Length } else { FinishReason::Stop };
            Outcome { reason, limit, problem: None, usage }
        }
        Err(_) if cancel.is_cancelled() => {
            Outcome { reason: FinishReason::Aborted, limit: None, problem: None, usage }
        }
        Err(problem) => Outcome::failed(problem, usage),
    }
}

struct Turn<'a, 'e> {
    system: &'a str,
    manner: Manner<'a>,
    history: Vec<Message>,
    cancel: &'a Cancel,
    emit: &'a mut Emit<'e>,
}

impl Turn<'_, '_> {
    fn steps(
        &mut self,
        provider: &mut dyn Provider,
        tools: &mut dyn Tools,
        usage: &mut Usage,
    ) -> Result<Option<Limit>, Problem> {
        let specs = tools.specs();
        let steps = self.manner.steps.max(1);
        let mut was_cut = false;
        for number in 0..steps {
            self.check()?;
            let is_last = number + 1 == steps;
            let note = match number {
                _ if !is_last => None,
                0 => Some(ONLY_STEP),
                _ => Some(LAST_STEP),
            };
            let step = self.ask(provider, &specs, note, usage)?;
            if step.calls.is_empty() {
                return Ok(step.cut);
            }
            if is_last {
                break;
            }
            // Told of it once, it would have asked for less.
            let is_cut = step.cut.is_some() && step.calls.iter().any(|call| call.args.is_err());
            if is_cut && was_cut {
                return Ok(step.cut);
            }
            was_cut = is_cut;
            for call in step.calls {
                self.check()?;
                self.call(tools, call, number, is_cut)?;
            }
        }
        // A model that calls tools although it may not wanted more.
        Ok(Some(Limit::Steps))
    }

    /// One answer of the model; where it is told a note, it may call no tools.
    // Most of a turn's time is spent in here, and none of the rest should take stack meanwhile.
    #[inline(never)]
    fn ask(
        &mut self,
        provider: &mut dyn Provider,
        tools: &[crate::provider::ToolSpec],
        note: Option<&str>,
        usage: &mut Usage,
    ) -> Result<Step, Problem> {
        // The answer under way is still empty in the first step, and then nothing to show.
        let (answer, before) = match self.history.split_last() {
            Some((answer, before)) if answer.parts.is_empty() => (answer, before),
            Some((answer, _)) => (answer, &self.history[..]),
            None => return Err(Problem::new(Code::Internal, "a turn without a message")),
        };
        let mut grown = answer.clone();
        let mut must_part = needs_separator(answer);
        let request = Request::new(self.system, before, tools);
        let temperature = self.manner.temperature;
        let request = Request { may_call: note.is_none(), temperature, note, ..request };

        let mut step = Step { calls: Vec::new(), cut: None };
        let mut room = ANSWER_BYTES;
        let mut used = Usage::default();
        let mut whole = false;
        let mut failure = None;
        let Manner { provider: name, meter, .. } = self.manner;
        let asked = Instant::now();
        for chunk in provider.ask(&request) {
            let body = match chunk {
                Ok(Chunk::Text(text)) if text.is_empty() => continue,
                Ok(Chunk::Text(_) | Chunk::Reasoning(_) | Chunk::ReasoningEnd(_)) if room == 0 => {
                    // Dropping the answer closes its connection.
                    step = Step { calls: Vec::new(), cut: Some(Limit::Answer) };
                    whole = true;
                    break;
                }
                Ok(Chunk::Text(text)) => {
                    let text = cut(text, &mut room);
                    if std::mem::take(&mut must_part) {
                        say(&mut grown, self.emit, Body::Text { content: "\n\n".to_owned() })?;
                    }
                    Body::Text { content: text }
                }
                Ok(Chunk::Reasoning(content)) => {
                    Body::Reasoning { content: cut(content, &mut room), opaque: None }
                }
                Ok(Chunk::ReasoningEnd(opaque)) => {
                    room = room.saturating_sub(opaque.to_string().len());
                    Body::Reasoning { content: String::new(), opaque: Some(opaque) }
                }
                Ok(Chunk::Retry { attempt, wait_ms, reason, code }) => {
                    meter.failed(name, code);
                    Body::Retry { attempt, wait_ms, reason }
                }
                Ok(Chunk::Call(call)) => {
                    step.calls.push(call);
                    continue;
                }
                Ok(Chunk::Usage(figures)) => {
                    used = figures;
                    continue;
                }
                Ok(Chunk::End(stop)) => {
                    step.cut = (stop == Stop::Length).then_some(Limit::Output);
                    whole = true;
                    break;
                }
                Err(problem) => {
                    meter.failed(name, problem.code);
                    failure = Some(problem);
                    break;
                }
            };
            if let Err(problem) = say(&mut grown, self.emit, body) {
                failure = Some(problem);
                break;
            }
        }
        meter.ended(asked.elapsed());
        usage.add(&used);
        if let Some(answer) = self.history.last_mut() {
            *answer = grown;
        }
        self.check()?;
        match failure {
            Some(problem) => Err(problem),
            None if !whole => {
                let detail = "the provider's answer ended before it was whole; ask again";
                Err(Problem::new(Code::ProviderFailed, detail))
            }
            None => Ok(step),
        }
    }

    /// Runs one call and tells what it came to. Its answer may be cut within the arguments.
    #[inline(never)]
    fn call(
        &mut self,
        tools: &mut dyn Tools,
        call: Call,
        step: u32,
        is_cut: bool,
    ) -> Result<(), Problem> {
        let Call { id, tool, args } = call;
        let (args, wrong) = match args {
            Ok(args) => match args.to_string().len() {
                length if length > ARGS_BYTES => {
                    let text = format!(
                        "the arguments have {length} bytes, and {ARGS_BYTES} are allowed: work in \
                         smaller pieces"
                    );
                    (serde_json::json!({ "omittedBytes": length }), Some(text))
                }
                _ => (args, None),
            },
            // A provider takes nothing but an object back.
            Err(bad) => {
                let text = if is_cut {
                    "your answer reached its output limit within these arguments, and nothing was \
                     done: work in smaller pieces"
                        .to_owned()
                } else {
                    let raw = one_line(&crate::text::keep_both_ends(&bad.raw, 400));
                    format!(
                        "{}; call {tool} again, with one JSON object. They were: {raw}",
                        bad.why
                    )
                };
                (serde_json::json!({}), Some(text))
            }
        };

        let start =
            Body::ToolStart { id: id.clone(), tool: tool.clone(), args: args.clone(), step };
        self.tell(start)?;
        let result = if let Some(text) = wrong {
            CallResult::refused(text, None)
        } else {
            let mut failure = None;
            let emit = &mut *self.emit;
            let mut say = |body: Body| {
                if failure.is_none() {
                    failure = emit(body).err();
                }
            };
            let result = tools.call(&id, &tool, &args, &mut say);
            if let Some(problem) = failure {
                return Err(problem);
            }
            result
        };
        let CallResult { text, is_error, denied, ran } = result;
        let duration_ms = ran.map(whole_ms);
        self.tell(Body::ToolEnd { id, tool, result: text, is_error, duration_ms, denied })
    }

    fn tell(&mut self, body: Body) -> Result<(), Problem> {
        match self.history.last_mut() {
            Some(answer) => say(answer, self.emit, body),
            None => (self.emit)(body),
        }
    }

    fn check(&self) -> Result<(), Problem> {
        if self.cancel.is_cancelled() {
            return Err(Problem::new(Code::Aborted, "the turn was stopped"));
        }
        Ok(())
    }
}

#[inline(never)]
fn say(answer: &mut Message, emit: &mut Emit<'_>, body: Body) -> Result<(), Problem> {
    transcript::grow(answer, &body);
    emit(body)
}

/// The text as far as there is room for it.
fn cut(mut text: String, room: &mut usize) -> String {
    if text.len() <= *room {
        *room -= text.len();
        return text;
    }
    let end = (0..=std::mem::take(room)).rev().find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or_default());
    text
}

/// Text after a tool begins a paragraph of its own, for everyone who joins the texts.
fn needs_separator(answer: &Message) -> bool {
    !answer.content.is_empty() && !answer.content.ends_with('\n')
}

#[cfg(test)]
mod tests;
