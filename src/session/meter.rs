//! What turns come to, counted from the events they tell: there is nothing else to ask.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::event::Body;
use crate::message::{FinishReason, Usage};
use crate::meter::{Counter, Exposition, Histogram};

/// A model may call tools by any name: the first so many names and outcomes are told apart.
const TOOLS: usize = 64;
const REASONS: [FinishReason; 4] =
    [FinishReason::Stop, FinishReason::Length, FinishReason::Aborted, FinishReason::Error];

/// The counts of all turns.
#[derive(Debug, Default)]
pub(super) struct Meter {
    turns: [Counter; REASONS.len()],
    turn_times: Histogram,
    first_tokens: Histogram,
    tool_times: Histogram,
    input: Counter,
    output: Counter,
    cache_read: Counter,
    cache_write: Counter,
    retries: Counter,
    /// Protects the counts by tool and outcome, and by an error's code.
    named: Mutex<Named>,
}

#[derive(Debug, Default)]
struct Named {
    tools: BTreeMap<(String, &'static str), u64>,
    errors: BTreeMap<String, u64>,
}

/// What one turn has told so far.
#[derive(Debug)]
pub(super) struct TurnMeter<'a> {
    meter: &'a Meter,
    /// The model was asked then, and has said nothing yet.
    asked: Option<Instant>,
    /// The answer whose calls run.
    step: Option<u32>,
}

impl Meter {
    /// For a turn that begins.
    pub(super) fn turn(&self) -> TurnMeter<'_> {
        TurnMeter { meter: self, asked: None, step: None }
    }

    fn count_tokens(&self, usage: &Usage) {
        self.input.add(usage.input_tokens);
        self.output.add(usage.output_tokens);
        self.cache_read.add(usage.cache_read_tokens);
        self.cache_write.add(usage.cache_write_tokens);
    }

    fn count_tool(&self, tool: &str, outcome: &'static str) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tool.to_owned(), outcome);
        let is_known = named.tools.contains_key(&key) || named.tools.len() < TOOLS;
        let key = if is_known { key } else { ("other".to_owned(), outcome) };
        *named.tools.entry(key).or_default() += 1;
    }

    /// Prints all of it.
    pub(super) fn print(&self, page: &mut Exposition) {
        page.family("opencode_turns_total", "counter", "Turns that ended, by why.");
        for (reason, counter) in REASONS.iter().zip(&self.turns) {
            page.value("opencode_turns_total", &[("reason", name(*reason))], counter.get());
        }
        let help = "Time of turns, without what they waited for a person.";
        page.times("opencode_turn_seconds", help, &self.turn_times);
        let help = "Time from asking a model to the first of its answer, retries included.";
        page.times("opencode_provider_first_token_seconds", help, &self.first_tokens);
        page.family("opencode_tokens_total", "counter", "Tokens that providers counted.");
        for (kind, counter) in [
            ("input", &self.input),
            ("output", &self.output),
            ("cache_read", &self.cache_read),
            ("cache_write", &self.cache_write),
        ] {
            page.value("opencode_tokens_total", &[("kind", kind)], counter.get());
        }
        let help = "Requests to providers that were tried again.";
        page.single("opencode_provider_retries_total", "counter", help, self.retries.get());
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        page.family("opencode_turn_errors_total", "counter", "Turns that failed, by code.");
        for (code, count) in &named.errors {
            page.value("opencode_turn_errors_total", &[("code", code)], *count);
        }
        page.family("opencode_tool_runs_total", "counter", "Tool calls, by what they came to.");
        for ((tool, outcome), count) in &named.tools {
            let labels = [("tool", tool.as_str()), ("outcome", *outcome)];
            page.value("opencode_tool_runs_total", &labels, *count);
        }
        page.times("opencode_tool_seconds", "Time that tools ran.", &self.tool_times);
    }
}

impl TurnMeter<'_> {
    /// The model has begun to answer.
    fn hear(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.meter.first_tokens.see(asked.elapsed());
        }
    }

    /// Counts an event of the turn.
    pub(super) fn see(&mut self, body: &Body) {
        let meter = self.meter;
        match body {
            Body::Session { .. } => self.asked = Some(Instant::now()),
            Body::Text { .. } | Body::Reasoning { .. } => self.hear(),
            Body::ToolStart { step, .. } => {
                // A further call of one answer was not waited for.
                if self.step.replace(*step) == Some(*step) {
                    self.asked = None;
                } else {
                    self.hear();
                }
            }
            Body::ToolEnd { tool, is_error, duration_ms, denied, .. } => {
                let outcome = match (denied, is_error) {
                    (Some(_), _) => "denied",
                    (None, true) => "error",
                    (None, false) => "ok",
                };
                meter.count_tool(tool, outcome);
                if let Some(ms) = duration_ms {
                    meter.tool_times.see(Duration::from_millis(*ms));
                }
                self.asked = Some(Instant::now());
            }
            Body::Retry { .. } => meter.retries.add(1),
            Body::Error { code, .. } => {
                let mut named = meter.named.lock().unwrap_or_else(PoisonError::into_inner);
                *named.errors.entry(code.clone()).or_default() += 1;
            }
            Body::Done { finish_reason, usage, time, .. } => {
                if let Some(at) = REASONS.iter().position(|reason| reason == finish_reason) {
                    meter.turns[at].add(1);
                }
                meter.count_tokens(usage);
                if let Some(time) = time {
                    meter.turn_times.see(Duration::from_millis(time.duration_ms));
                }
            }
            Body::ToolOutput { .. }
            | Body::Permission { .. }
            | Body::PermissionReply { .. }
            | Body::Gap
            | Body::SessionChanged { .. }
            | Body::SessionDeleted { .. } => {}
        }
    }
}

fn name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Aborted => "aborted",
        FinishReason::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_two_calls_was_waited_for_once() {
        let meter = Meter::default();
        let mut turn = meter.turn();
        let start = |id: &str, step| Body::ToolStart {
            id: id.to_owned(),
            tool: "bash".to_owned(),
            args: serde_json::Value::Null,
            step,
        };
        let end = |id: &str| Body::ToolEnd {
            id: id.to_owned(),
            tool: "bash".to_owned(),
            result: String::new(),
            is_error: false,
            duration_ms: Some(1),
            denied: None,
        };
        turn.asked = Some(Instant::now());
        for body in [start("a", 0), end("a"), start("b", 0), end("b"), start("c", 1), end("c")] {
            turn.see(&body);
        }
        turn.see(&Body::Text { content: "done".to_owned() });
        let mut page = Exposition::default();
        meter.print(&mut page);
        let text = page.into_text();
        assert!(text.contains("opencode_provider_first_token_seconds_count 3\n"), "{text}");
        assert!(text.contains("{tool=\"bash\",outcome=\"ok\"} 3\n"), "{text}");
    }

    #[test]
    fn tools_beyond_the_bound_are_counted_as_others() {
        let meter = Meter::default();
        for number in 0..TOOLS + 10 {
            meter.count_tool(&format!("tool-{number}"), "error");
        }
        meter.count_tool("tool-0", "error");
        let mut page = Exposition::default();
        meter.print(&mut page);
        let text = page.into_text();
        assert!(text.contains("{tool=\"tool-0\",outcome=\"error\"} 2\n"), "{text}");
        assert!(text.contains("{tool=\"other\",outcome=\"error\"} 10\n"), "{text}");
    }
}
