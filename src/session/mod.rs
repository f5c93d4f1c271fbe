//! Sessions: what runs in them, what is kept of them, who follows them.
//!
//! [`Sessions`] is the Mutex map the server is built around: it holds the turns that run. The
//! lock is never held while anything waits on a network, a disk or a child process. This room
//! does not know HTTP: a server, a script and a terminal ask it the same way.

mod board;
mod doorway;
mod follow;
mod history;
mod hub;
mod meter;
mod permission;
mod start;
pub mod store;
mod title;
mod turn;
mod view;

use std::sync::{Arc, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crate::agent::{Engine, Wish};
use crate::error::{Code, Problem};
use crate::id::{self, Ids};
use crate::meter::Exposition;
use crate::session::board::{Board, Turns};
use crate::session::meter::Meter;
use crate::session::permission::Desk;
use crate::session::store::{Head, Store, StoreError};

pub use hub::Closed;
pub use permission::Pending;
pub use start::{MESSAGE_BYTES, Prompt, Started};
pub use store::{ALL_SESSIONS, Follower, Next};
pub use title::TITLE_CHARS;
pub use view::{Page, SessionView};

/// The title of a session before its first message.
const UNTITLED: &str = "New session";
/// A deleted session's turn has this long to end.
const DELETE_TIME: Duration = Duration::from_secs(5);

/// All sessions of a project.
pub struct Sessions {
    store: Arc<Store>,
    /// Protects which setup new turns get; it is replaced as a whole.
    setup: RwLock<Arc<Setup>>,
    ids: Ids,
    turns: Arc<Board>,
    /// Tools that wait for a person.
    desk: Arc<Desk>,
    meter: Arc<Meter>,
}

/// What the configuration makes of sessions. A turn keeps the one that it began with.
#[derive(Clone)]
pub struct Setup {
    /// What answers.
    pub engine: Arc<Engine>,
    /// What turns may take.
    pub bounds: Bounds,
}

/// What turns may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Turns at once.
    pub turns: usize,
    /// How long a tool waits for a person's answer.
    pub permission_time: Duration,
}

impl Sessions {
    /// The sessions of a store; turns in it that never ended are ended now.
    #[must_use]
    pub fn new(engine: Arc<Engine>, store: Store, bounds: Bounds) -> Self {
        let newest = store.newest().and_then(|id| id::time_ms(&id));
        let ids = Ids::after(newest.unwrap_or_default());
        let sessions = Self {
            store: Arc::new(store),
            setup: RwLock::new(Arc::new(Setup { engine, bounds })),
            ids,
            turns: Arc::default(),
            desk: Arc::default(),
            meter: Arc::default(),
        };
        for session in sessions.store.unfinished() {
            sessions.end_unfinished(&session);
        }
        sessions
    }

    /// Ends a turn whose process died in it: its session can go on, or its deletion is ended.
    fn end_unfinished(&self, session: &str) {
        match self.store.acquire(session) {
            Ok(mut lease) => {
                let ended = turn::end_unfinished(&self.store, &mut lease);
                if let Err(error) = ended.and_then(|()| self.store.release(lease, Vec::new())) {
                    log::error!("session {session} has an unfinished turn: {error}");
                }
            }
            Err(StoreError::Busy | StoreError::Elsewhere) => {}
            // It was being deleted; what is left of it goes, too.
            Err(StoreError::Missing) => {
                let _ = self.store.discard(session);
            }
            Err(error) => log::error!("session {session} has an unfinished turn: {error}"),
        }
    }

    /// `disk` or `memory`.
    #[must_use]
    pub fn store_kind(&self) -> &'static str {
        self.store.kind()
    }

    /// What turns that begin now get.
    #[must_use]
    pub fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives turns another setup from now on; those that run keep theirs.
    pub fn set_up(&self, setup: Setup) {
        *self.setup.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(setup);
    }

    /// How many sessions there are, and how many have a turn running.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        self.store.counts()
    }

    /// Prints what turns have come to, and who follows them.
    pub fn print(&self, page: &mut Exposition) {
        let (sessions, running) = self.counts();
        let gauge = |page: &mut Exposition, name, help, value| {
            page.single(name, "gauge", help, value as u64);
        };
        gauge(page, "opencode_sessions", "Sessions there are.", sessions);
        gauge(page, "opencode_turns_running", "Turns that run.", running);
        let help = "Sessions in which a tool waits for a person.";
        gauge(page, "opencode_sessions_waiting", help, self.waiting());
        let (followers, deepest) = self.store.following();
        gauge(page, "opencode_followers", "Who follows a session's events.", followers);
        let help = "Events in the fullest queue of one who follows.";
        gauge(page, "opencode_queue_events_max", help, deepest);
        let help = "Turns that have a place and wait for the disk to begin.";
        gauge(page, "opencode_turns_starting", help, self.lock().starting);
        self.meter.print(page);
        self.setup().engine.meter().print(page);
    }

    /// Makes an empty session.
    ///
    /// # Errors
    /// An unknown agent or model.
    pub fn create(
        &self,
        title: Option<String>,
        agent: Option<String>,
        model: Option<String>,
    ) -> Result<SessionView, Problem> {
        self.lock().refuse_when_stopping()?;
        let wish = Wish { agent: agent.as_deref(), model: model.as_deref(), ..Wish::default() };
        self.setup().engine.choose(&wish)?;
        let title = title.unwrap_or_else(|| UNTITLED.to_owned());
        let head = self.new_head(title, agent, model);
        self.store.create(&head).map_err(|e| problem(e, &head.id))?;
        Ok(self.view(head, false))
    }

    /// Names a session.
    pub fn rename(&self, session: &str, title: &str) -> Result<SessionView, Problem> {
        let missing = |e| problem(e, session);
        self.store.retitle(session, title, id::now_ms()).map_err(missing)?;
        let (head, running) = self.store.head(session).map_err(missing)?;
        Ok(self.view(head, running))
    }

    /// Stops the session's turn; its `done` follows within a second.
    ///
    /// # Errors
    /// [`Code::NotRunning`] when there is none.
    pub fn abort(&self, session: &str) -> Result<(), Problem> {
        let (_, running) = self.store.head(session).map_err(|e| problem(e, session))?;
        let cancel = self.lock().newest_of(session);
        match cancel {
            Some(cancel) if running => {
                cancel.cancel();
                Ok(())
            }
            _ if running && self.store.is_elsewhere(session) => {
                Err(problem(StoreError::Elsewhere, session))
            }
            _ => Err(Problem::new(
                Code::NotRunning,
                "no turn is running in this session, so there is nothing to abort",
            )),
        }
    }

    /// Stops the turn with this answer, if it still runs.
    pub fn abort_turn(&self, message_id: &str) {
        let cancel = self.lock().running.get(message_id).map(|turn| turn.cancel.clone());
        if let Some(cancel) = cancel {
            cancel.cancel();
        }
    }

    /// Forgets a session; its turn is stopped first.
    pub fn delete(&self, session: &str) -> Result<(), Problem> {
        if let Err(error @ StoreError::Missing) = self.store.head(session) {
            return Err(problem(error, session));
        }
        // From here on no turn begins in it, so the one that runs is the last.
        self.lock().going.insert(session.to_owned());
        let deleted = self.delete_going(session);
        self.lock().going.remove(session);
        deleted
    }

    fn delete_going(&self, session: &str) -> Result<(), Problem> {
        if let Some(cancel) = self.lock().newest_of(session) {
            cancel.cancel();
        }
        let deleted = match self.store.acquire_within(session, DELETE_TIME) {
            Ok(lease) => self.store.delete(lease),
            Err(error @ (StoreError::Busy | StoreError::Elsewhere | StoreError::Missing)) => {
                Err(error)
            }
            // What cannot be read any more can still be thrown away.
            Err(_) => self.store.discard(session),
        };
        deleted.map_err(|e| problem(e, session))
    }

    /// Takes no new turns from now on.
    pub fn close(&self) {
        self.turns.close();
    }

    /// Takes no new turns, gives the running ones their grace, stops the rest, and returns when
    /// all have ended.
    pub fn stop(&self, grace: Duration) {
        self.turns.stop(grace);
        // The last words of the turns are in the followers' queues, before this one.
        self.store.end_following();
    }

    fn new_head(&self, title: String, agent: Option<String>, model: Option<String>) -> Head {
        Head { agent, model, ..Head::new(self.ids.next(), title) }
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock()
    }
}

// It stands in `map_err`, which gives the error away.
#[allow(clippy::needless_pass_by_value)]
fn problem(error: StoreError, session: &str) -> Problem {
    match error {
        StoreError::Missing => Problem::new(
            Code::SessionNotFound,
            "no session has this id; GET /api/sessions lists those there are",
        ),
        StoreError::Busy => Problem::new(
            Code::SessionBusy,
            "a turn is running in this session: wait for its `done`, or POST to \
             /api/sessions/{id}/abort",
        )
        .with("sessionId", session),
        StoreError::Elsewhere => Problem::new(
            Code::SessionBusy,
            "the turn in this session runs in another process (a `run` beside the server) and can \
             be stopped there only: wait for its `done`",
        )
        .with("sessionId", session),
        StoreError::Crowded => Problem::new(Code::AtCapacity, error.to_string()).retry_after(5),
        StoreError::Exists => Problem::new(Code::Internal, "the new session's id was taken"),
        StoreError::Full
        | StoreError::Served(_)
        | StoreError::Newer(_)
        | StoreError::TooLarge(_)
        | StoreError::Damaged(_)
        | StoreError::Io(_) => Problem::new(Code::StoreFailed, error.to_string()),
    }
}
