//! A turn that runs: its clock, which stands while a person is asked, and what its commands print.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::text::boundary;
use crate::tui::api::Pending;

/// Of what a running command prints, so much is kept until it ends.
const OUTPUT_BYTES: usize = 8 * 1024;

/// A turn that runs.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) since: Instant,
    /// Time that it waited for a person.
    waited: Duration,
    waiting_since: Option<Instant>,
    /// A person asked it to stop.
    pub(crate) is_stopping: bool,
    /// When each running tool began, without waits.
    pub(super) began: HashMap<String, Instant>,
    /// The end of what each running command printed.
    pub(crate) output: HashMap<String, String>,
    /// Why the provider is asked again, and when.
    pub(crate) retry: Option<(String, Instant)>,
}

/// A tool that asks.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) asked: Pending,
    /// Since when a person can see it.
    pub(crate) since: Instant,
    /// The answer is on its way.
    pub(crate) is_answered: bool,
}

impl Turn {
    pub(super) fn starting(now: Instant) -> Self {
        Self {
            since: now,
            waited: Duration::ZERO,
            waiting_since: None,
            is_stopping: false,
            began: HashMap::new(),
            output: HashMap::new(),
            retry: None,
        }
    }

    /// Its time without waits for a person, and those.
    pub(crate) fn took(&self, now: Instant) -> (Duration, Duration) {
        let waiting = self.waiting_since.map(|since| now.saturating_duration_since(since));
        let waited = self.waited + waiting.unwrap_or_default();
        (now.saturating_duration_since(self.since).saturating_sub(waited), waited)
    }

    /// How long a tool has been running.
    pub(crate) fn ran(&self, call: &str, now: Instant) -> Option<Duration> {
        let waiting = self.waiting_since.map(|since| now.saturating_duration_since(since));
        let began = self.began.get(call)?;
        Some(now.saturating_duration_since(*began).saturating_sub(waiting.unwrap_or_default()))
    }

    /// Whether it waits for a person.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting_since.is_some()
    }

    /// It waits for a person, or goes on.
    pub(super) fn wait(&mut self, is_asking: bool, now: Instant) {
        match (is_asking, self.waiting_since) {
            (true, None) => self.waiting_since = Some(now),
            (false, Some(since)) => {
                let wait = now.saturating_duration_since(since);
                self.waited += wait;
                self.waiting_since = None;
                for began in self.began.values_mut() {
                    *began += wait;
                }
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    pub(super) fn print(&mut self, call: &str, content: &str) {
        let output = self.output.entry(call.to_owned()).or_default();
        output.push_str(content);
        if output.len() > 2 * OUTPUT_BYTES {
            let cut = boundary(output, output.len() - OUTPUT_BYTES);
            output.drain(..cut);
        }
    }
}

impl Question {
    pub(super) fn new(asked: Pending, now: Instant) -> Self {
        Self { asked, since: now, is_answered: false }
    }
}
