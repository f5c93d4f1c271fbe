//! Tools that wait for a person: who asked, and how the answer finds its way back.
//!
//! The id of a question names its session. `always` answers are records of the session's log, and
//! are read from it again by every later turn.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use serde::Serialize;
use serde_json::Value;

use crate::agent::permission::Grant;
use crate::agent::{Permits, Question, Reply};
use crate::cancel::Cancel;
use crate::error::{Code, Problem};
use crate::event::{Body, Event};
use crate::id;
use crate::session::Sessions;
use crate::session::store::Store;

/// The questions that nobody has answered yet.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// Protects the open questions.
    open: Mutex<BTreeMap<String, Open>>,
    asked: AtomicU64,
}

#[derive(Debug)]
struct Open {
    session: String,
    question: Pending,
    /// Dropped with the question, which ends the wait.
    answer: Sender<Reply>,
}

/// A question as clients see it in a session.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// `POST /api/permissions/:id` answers it.
    pub id: String,
    /// The tool call that waits.
    pub call_id: String,
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub args: Value,
    /// Why it asks.
    pub reason: String,
    /// The patterns that `always` would allow.
    pub always: Vec<String>,
}

impl Desk {
    /// How many tools wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// The open questions of a session, the oldest first.
    pub(super) fn of(&self, session: &str) -> Vec<Pending> {
        let open = self.lock();
        let of_session = open.values().filter(|open| open.session == session);
        of_session.map(|open| open.question.clone()).collect()
    }

    /// Answers a question. `false` when it is not open.
    pub(super) fn answer(&self, id: &str, reply: Reply) -> bool {
        let Some(open) = self.lock().remove(id) else { return false };
        // Room for one answer, and this is the only one.
        open.answer.try_send(reply).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// How many tools wait for a person.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.desk.waiting()
    }

    /// The tools of a session that wait for a person, the oldest first.
    #[must_use]
    pub fn pending(&self, session: &str) -> Vec<Pending> {
        self.desk.of(session)
    }

    /// Answers a tool that waits: `once`, `always` or `reject`.
    ///
    /// # Errors
    /// Another word, or nothing waits for this answer, here or in another process.
    pub fn reply_permission(&self, id: &str, reply: &str) -> Result<(), Problem> {
        let Some(reply) = Reply::parse(reply) else {
            let detail = format!("`reply` must be one of once, always, reject, and is \"{reply}\"");
            return Err(Problem::new(Code::BadField, detail));
        };
        if self.desk.answer(id, reply) {
            return Ok(());
        }
        let session = session_of(id);
        if id::time_ms(session).is_some() && self.store.is_elsewhere(session) {
            let detail = "the turn in this session runs in another process (a `run` beside the \
                server), which asks nobody";
            return Err(Problem::new(Code::SessionBusy, detail));
        }
        let detail = "no tool waits for this answer: it was answered, its time was over, or its \
            turn has ended";
        Err(Problem::new(Code::NotFound, detail))
    }
}

/// The session of a question's id.
fn session_of(id: &str) -> &str {
    id.split('.').next().unwrap_or_default()
}

/// Asks a person for the tools of one turn.
pub(super) struct Asker {
    pub(super) store: Arc<Store>,
    pub(super) desk: Arc<Desk>,
    pub(super) session: String,
    pub(super) cancel: Cancel,
    /// How long a question stays open.
    pub(super) time: Duration,
    /// Whether anybody can answer.
    pub(super) can_ask: bool,
    /// What was allowed for good in this turn, a tool and a pattern each.
    pub(super) always: Vec<(String, String)>,
    /// How long this turn has waited for answers.
    pub(super) waited: Duration,
}

impl Permits for Asker {
    fn can_ask(&self) -> bool {
        self.can_ask
    }

    fn ask(&mut self, question: Question<'_>, say: &mut dyn FnMut(Body)) -> Reply {
        let number = self.desk.asked.fetch_add(1, Ordering::Relaxed);
        // Random, so that an answer cannot be guessed before the question is told.
        let id = format!("{}.{number:x}{:016x}", self.session, id::random() as u64);
        let pending = Pending {
            id: id.clone(),
            call_id: question.call_id.to_owned(),
            tool: question.tool.to_owned(),
            args: question.args.clone(),
            reason: question.reason,
            always: question.always,
        };
        let granted: Vec<_> =
            pending.always.iter().map(|each| (pending.tool.clone(), each.clone())).collect();
        let (answer, answered) = bounded(1);
        let session = self.session.clone();
        let told = pending.clone();
        self.desk.lock().insert(id.clone(), Open { session, question: pending, answer });
        say(Body::Permission {
            id: id.clone(),
            call_id: told.call_id,
            tool: told.tool,
            args: told.args,
            reason: told.reason,
            always: told.always,
        });
        self.store.set_waiting(&self.session, true);
        let (desk, asked) = (Arc::clone(&self.desk), id.clone());
        // The hook only takes the question away, which ends the wait.
        let begun = Instant::now();
        let guard = self.cancel.on_cancel(move || drop(desk.lock().remove(&asked)));
        let reply = match guard {
            Ok(_guard) => match answered.recv_timeout(self.time) {
                Ok(reply) => reply,
                Err(RecvTimeoutError::Timeout) => Reply::TimedOut,
                Err(RecvTimeoutError::Disconnected) => Reply::Cancelled,
            },
            Err(_) => Reply::Cancelled,
        };
        self.waited += begun.elapsed();
        self.desk.lock().remove(&id);
        self.store.set_waiting(&self.session, false);
        say(Body::PermissionReply { id, reply: reply.as_str().to_owned() });
        if reply == Reply::Always {
            self.always.extend(granted);
        }
        reply
    }
}

/// The `always` answers that a session's events tell.
pub(super) fn grants<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<Grant> {
    let mut asked: BTreeMap<&str, (&str, &[String])> = BTreeMap::new();
    let mut grants = Vec::new();
    for event in events {
        match &event.body {
            Body::Permission { id, tool, always, .. } => {
                asked.insert(id, (tool, always));
            }
            Body::PermissionReply { id, reply } => {
                if let Some((tool, always)) = asked.remove(id.as_str())
                    && reply == Reply::Always.as_str()
                {
                    grants.extend(
                        always.iter().map(|pattern| Grant {
                            tool: tool.to_owned(),
                            pattern: pattern.clone(),
                        }),
                    );
                }
            }
            _ => {}
        }
    }
    grants
}
