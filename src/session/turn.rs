//! One turn in a session: from its `session` event to its `done`, on a thread of its own.
//!
//! Every turn that starts ends exactly once with `done`, a panic in it included.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::agent::{Choice, Engine, Outcome, Past};
use crate::cancel::Cancel;
use crate::context::{self, RequestId};
use crate::error::{Code, Problem};
use crate::event::Body;
use crate::id;
use crate::message::{FinishReason, Time, Usage, whole_ms};
use crate::os;
use crate::session::Prompt;
use crate::session::board::Board;
use crate::session::doorway::Doorway;
use crate::session::meter::{Meter, TurnMeter};
use crate::session::permission::Asker;
use crate::session::store::{Head, Lease, Store, StoreError};

/// Only the pages a turn touches count.
const STACK_BYTES: usize = 1024 * 1024;

/// A turn about to run.
pub(super) struct Turn {
    pub(super) store: Arc<Store>,
    pub(super) engine: Arc<Engine>,
    pub(super) meter: Arc<Meter>,
    pub(super) cancel: Cancel,
    pub(super) choice: Choice,
    /// Used by the turn's own thread alone.
    pub(super) asker: Mutex<Asker>,
    pub(super) prompt: Prompt,
    pub(super) session_id: String,
    pub(super) message_id: String,
    pub(super) user_message_id: String,
    /// The request that asked for it.
    pub(super) request: Option<RequestId>,
}

impl Turn {
    /// Runs it on a thread; the lease comes back where none could be started.
    // Boxed, for a thread keeps what its closure holds on its stack.
    pub(super) fn spawn(
        self: Box<Self>,
        lease: Lease,
        turns: Arc<Board>,
    ) -> Result<JoinHandle<()>, Lease> {
        let name = format!("turn-{}", self.message_id);
        // The lease waits outside the closure, so that a failed spawn does not lose it.
        let slot = Arc::new(Mutex::new(Some(lease)));
        let inner = Arc::clone(&slot);
        let run = move || {
            os::begin_stack(STACK_BYTES);
            let lease = inner.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(lease) = lease else { return };
            let (session_id, message_id) = (self.session_id.clone(), self.message_id.clone());
            let _entered = context::enter_turn(self.request, self.named());
            self.run(lease, &turns.door);
            turns.end(&session_id, &message_id);
        };
        let builder = std::thread::Builder::new().name(name).stack_size(STACK_BYTES);
        builder.spawn(run).map_err(|error| {
            log::error!("no thread for a turn: {error}");
            let lease = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            lease.unwrap_or_else(|| unreachable!("a thread that did not start took nothing"))
        })
    }

    /// It by its ids.
    pub(super) fn named(&self) -> context::Turn {
        let (session_id, message_id) = (self.session_id.clone(), self.message_id.clone());
        context::Turn { session_id, message_id }
    }

    fn run(&self, mut lease: Lease, door: &Doorway) {
        let begun = Instant::now();
        let mut meter = self.meter.turn();
        let answered = catch_unwind(AssertUnwindSafe(|| self.answer(&mut lease, &mut meter, door)));
        let outcome = answered.unwrap_or_else(|_| {
            let detail = "the turn failed by a bug in the server; its log has the place";
            Outcome::failed(Problem::new(Code::Internal, detail), Usage::default())
        });
        self.finish(lease, &mut meter, &outcome, begun.elapsed());
    }

    /// Stores and tells the last words.
    #[inline(never)]
    fn finish(&self, lease: Lease, meter: &mut TurnMeter<'_>, outcome: &Outcome, whole: Duration) {
        let mut last = Vec::new();
        if let Some(problem) = &outcome.problem {
            log::warn!("turn {} failed: {}", self.message_id, problem.detail);
            last.push(Body::Error {
                code: problem.code.as_str().to_owned(),
                message: problem.detail.clone(),
                retry_after: problem.retry_after,
            });
        }
        last.push(Body::Done {
            message_id: self.message_id.clone(),
            finish_reason: outcome.reason,
            limit: outcome.limit,
            usage: outcome.usage,
            time: Some(self.time(whole)),
        });
        for body in &last {
            note(body);
            meter.see(body);
        }
        let always = std::mem::take(&mut self.asker().always);
        let change = |head: &mut Head| {
            head.updated_ms = id::now_ms();
            head.usage.add(&outcome.usage);
            if let Some(known) = &mut head.always {
                known.extend(always);
            }
        };
        let stored = self.store.set_head(&lease, change);
        if let Err(error) = self.store.release(lease, last).and(stored) {
            log::error!("the end of turn {} cannot be stored: {error}", self.message_id);
        }
    }

    fn time(&self, whole: Duration) -> Time {
        let waited = self.asker().waited;
        Time { duration_ms: whole_ms(whole.saturating_sub(waited)), waited_ms: whole_ms(waited) }
    }

    fn asker(&self) -> MutexGuard<'_, Asker> {
        self.asker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, lease: &mut Lease, meter: &mut TurnMeter<'_>, door: &Doorway) -> Outcome {
        let inside = door.enter();
        let begun = self.begin(lease, meter);
        drop(inside);
        match begun {
            Ok(past) => {
                let mut emit = |body| {
                    note(&body);
                    meter.see(&body);
                    self.store.append(lease, vec![body]).map_err(failed)
                };
                let asker: &mut Asker = &mut self.asker();
                self.engine.run(&self.choice, past, &self.cancel, asker, &mut emit)
            }
            Err(problem) => Outcome::failed(problem, Usage::default()),
        }
    }

    /// Stores and tells the user's message, and gives the past up to it.
    // The turn lasts, and its start should take no stack meanwhile.
    #[inline(never)]
    fn begin(&self, lease: &mut Lease, meter: &mut TurnMeter<'_>) -> Result<Past, Problem> {
        let prompt = &self.prompt;
        let change = |head: &mut Head| {
            if head.message_count == 0 && head.title == super::UNTITLED {
                head.title =
                    prompt.title.clone().unwrap_or_else(|| super::title::of(&prompt.message));
            }
            head.message_count += 2;
            head.updated_ms = id::now_ms();
            // What a request names becomes the session's.
            if prompt.agent.is_some() {
                head.agent.clone_from(&prompt.agent);
            }
            if prompt.model.is_some() {
                head.model.clone_from(&prompt.model);
            }
        };
        let head = self.store.set_head(lease, change).map_err(failed)?;
        let body = Body::Session {
            session_id: self.session_id.clone(),
            title: head.title.clone(),
            agent: self.choice.agent.id.clone(),
            model: self.choice.model.id().to_owned(),
            message_id: self.message_id.clone(),
            user_message_id: self.user_message_id.clone(),
            message: prompt.message.clone(),
        };
        meter.see(&body);
        self.store.append(lease, vec![body]).map_err(failed)?;
        let window = self.choice.model.info.context_window;
        super::history::past(&self.store, lease, &head, window).map_err(failed)
    }
}

/// What of a turn stands in the log: nothing that anybody wrote.
fn note(body: &Body) {
    match body {
        Body::ToolStart { id, tool, .. } => log::debug!("{tool} begins, call {id}"),
        Body::ToolEnd { id, tool, is_error, duration_ms, .. } => {
            let end = if *is_error { "failed" } else { "done" };
            log::debug!("{tool} {end} after {} ms, call {id}", duration_ms.unwrap_or_default());
        }
        Body::Retry { attempt, wait_ms, .. } => {
            log::info!("the provider is asked again in {wait_ms} ms, attempt {attempt}");
        }
        Body::Done { finish_reason, usage, time, .. } => log::debug!(
            "the turn ended ({}) after {} ms, tokens in {} out {}",
            format!("{finish_reason:?}").to_lowercase(),
            time.as_ref().map_or(0, |time| time.duration_ms),
            usage.input_tokens,
            usage.output_tokens,
        ),
        Body::Session { .. }
        | Body::Text { .. }
        | Body::Reasoning { .. }
        | Body::ToolOutput { .. }
        | Body::Permission { .. }
        | Body::PermissionReply { .. }
        | Body::Error { .. }
        | Body::Gap
        | Body::SessionChanged { .. }
        | Body::SessionDeleted { .. } => {}
    }
}

fn failed(error: StoreError) -> Problem {
    super::problem(error, "")
}

/// Says the last words of a turn whose process died in it.
pub(super) fn end_unfinished(store: &Store, lease: &mut Lease) -> Result<(), StoreError> {
    if lease.is_unfinished() {
        let last = last_words(store, lease.session())?;
        store.append(lease, last)?;
    }
    Ok(())
}

/// The last words of a turn that was left open; none where it had said them.
fn last_words(store: &Store, session: &str) -> Result<Vec<Body>, StoreError> {
    let mut open = None;
    let mut calls = Vec::new();
    for event in store.turns(session, None)?.next().transpose()?.unwrap_or_default() {
        match event.body {
            Body::Session { message_id, .. } => open = Some(message_id),
            Body::ToolStart { id, tool, .. } => calls.push((id, tool)),
            Body::ToolEnd { id: ended, .. } => calls.retain(|(id, _)| *id != ended),
            Body::Done { .. } => {
                open = None;
                calls.clear();
            }
            _ => {}
        }
    }
    let Some(message_id) = open else { return Ok(Vec::new()) };
    let interrupted = calls.into_iter().map(|(id, tool)| Body::ToolEnd {
        id,
        tool,
        result: "interrupted: the server ended while this ran".to_owned(),
        is_error: true,
        duration_ms: None,
        denied: None,
    });
    let message = "the server ended in the middle of this turn; what it had said is kept";
    Ok(interrupted
        .chain([
            Body::Error {
                code: Code::Internal.as_str().to_owned(),
                message: message.to_owned(),
                retry_after: None,
            },
            Body::Done {
                message_id,
                finish_reason: FinishReason::Error,
                limit: None,
                usage: Usage::default(),
                time: None,
            },
        ])
        .collect())
}
