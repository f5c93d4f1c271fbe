//! Sessions: what runs in them, what is kept of them, who follows them.
//!
//! [`Sessions`] is the Mutex map the server is built around: it holds the turns that run. The
//! lock is never held while anything waits on a network, a disk or a child process. This room
//! does not know HTTP: a server, a script and a terminal ask it the same way.

mod doorway;
mod follow;
mod history;
mod hub;
mod meter;
mod permission;
pub mod store;
mod title;
mod turn;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use crate::agent::{Engine, Wish};
use crate::cancel::Cancel;
use crate::error::{Code, Problem};
use crate::event::EventId;
use crate::id::{self, Ids};
use crate::message::{Message, Usage};
use crate::meter::Exposition;
use crate::os::Waker;
use crate::session::doorway::Doorway;
use crate::session::meter::Meter;
use crate::session::permission::{Asker, Desk};
use crate::session::store::{Head, Lease, Store, StoreError};
use crate::transcript::Transcript;

pub use hub::Closed;
pub use permission::Pending;
pub use store::{ALL_SESSIONS, Follower, Next};
pub use title::TITLE_CHARS;

/// A message of a user is at most this long, in bytes.
pub const MESSAGE_BYTES: usize = 512 * 1024;
/// The title of a session before its first message.
const UNTITLED: &str = "New session";
/// A deleted session's turn has this long to end.
const DELETE_TIME: Duration = Duration::from_secs(5);
/// Turns that were stopped have this long to end when the server stops.
const ABORT_TIME: Duration = Duration::from_secs(2);

/// All sessions of a project.
pub struct Sessions {
    store: Arc<Store>,
    engine: Arc<Engine>,
    ids: Ids,
    turns: Arc<Board>,
    /// Tools that wait for a person.
    desk: Arc<Desk>,
    meter: Arc<Meter>,
    bounds: Bounds,
}

/// What turns may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Turns at once.
    pub turns: usize,
    /// How long a tool waits for a person's answer.
    pub permission_time: Duration,
}

/// The Mutex map, and who waits for its end.
#[derive(Default)]
struct Board {
    /// Never held while anything waits.
    turns: Mutex<Turns>,
    /// Nothing runs or is about to.
    emptied: Condvar,
    /// Turns go through it as they begin.
    door: Doorway,
}

/// What runs now.
#[derive(Default)]
struct Turns {
    /// By the id of the answer: a session's next turn may begin while the thread of the one
    /// before is still on its way out.
    running: HashMap<String, Running>,
    /// The answer that each session's newest turn gives.
    newest: HashMap<String, String>,
    /// Threads that are past their last look at this map, to be joined.
    ended: Vec<JoinHandle<()>>,
    /// Turns that have a place and no thread yet.
    starting: usize,
    /// Sessions that are being deleted.
    going: HashSet<String>,
    stopping: bool,
}

struct Running {
    cancel: Cancel,
    thread: JoinHandle<()>,
}

/// What a client asks for.
#[derive(Debug, Clone, Default)]
pub struct Prompt {
    /// The user's words.
    pub message: String,
    /// The session to go on in; a new one otherwise.
    pub session: Option<String>,
    /// A title for a new session.
    pub title: Option<String>,
    /// The agent asked for.
    pub agent: Option<String>,
    /// `provider/model` asked for.
    pub model: Option<String>,
    /// Whether somebody can answer when a tool has to be permitted.
    pub can_ask: bool,
}

/// A turn that runs.
pub struct Started {
    /// The session it runs in.
    pub session_id: String,
    /// The id of the answer.
    pub message_id: String,
    /// The turn's events, from the first.
    pub events: Follower,
}

/// A session as clients see it in a list.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// Sorts by creation.
    pub id: String,
    /// The first line of its first message, until somebody names it.
    pub title: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub updated_at: String,
    /// The agent that answers next.
    pub agent: String,
    /// The model that answers next.
    pub model: String,
    /// `idle` or `running`.
    pub status: &'static str,
    /// Whether a tool waits for a person.
    pub waiting: bool,
    /// Messages of both sides.
    pub message_count: u64,
    /// All its turns together.
    pub usage: Usage,
}

/// Some messages of a session.
pub struct Page {
    /// In order, the newest last.
    pub messages: Vec<Message>,
    /// Whether there are messages before these.
    pub has_older: bool,
    /// The id of the last event that the session's messages tell of.
    pub last: EventId,
}

impl Sessions {
    /// The sessions of a store; turns in it that never ended are ended now.
    #[must_use]
    pub fn new(engine: Arc<Engine>, store: Store, bounds: Bounds) -> Self {
        let newest = store.newest().and_then(|id| id::time_ms(&id));
        let ids = Ids::after(newest.unwrap_or_default());
        let sessions = Self {
            store: Arc::new(store),
            engine,
            ids,
            turns: Arc::default(),
            desk: Arc::default(),
            meter: Arc::default(),
            bounds,
        };
        for session in sessions.store.unfinished() {
            sessions.end_unfinished(&session);
        }
        sessions
    }

    /// Ends a turn whose process died in it: its session can go on.
    fn end_unfinished(&self, session: &str) {
        match self.store.acquire(session) {
            Ok(mut lease) => {
                let ended = turn::end_unfinished(&self.store, &mut lease);
                if let Err(error) = ended.and_then(|()| self.store.release(lease, Vec::new())) {
                    log::error!("session {session} has an unfinished turn: {error}");
                }
            }
            Err(StoreError::Busy | StoreError::Missing) => {}
            Err(error) => log::error!("session {session} has an unfinished turn: {error}"),
        }
    }

    /// `disk` or `memory`.
    #[must_use]
    pub fn store_kind(&self) -> &'static str {
        self.store.kind()
    }

    /// What answers in these sessions.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
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
        self.meter.print(page);
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
        self.engine.choose(&wish)?;
        let title = title.unwrap_or_else(|| UNTITLED.to_owned());
        let head = self.new_head(title, agent, model);
        self.store.create(&head).map_err(|e| problem(e, &head.id))?;
        Ok(self.view(head, false))
    }

    /// Sessions, the newest first.
    pub fn list(&self, before: Option<&str>, limit: usize) -> Result<Vec<SessionView>, Problem> {
        let heads = self.store.list(before, limit).map_err(|e| problem(e, ""))?;
        Ok(heads.into_iter().map(|(head, running)| self.view(head, running)).collect())
    }

    /// One session with all its messages.
    pub fn get(&self, session: &str) -> Result<(SessionView, Page), Problem> {
        let missing = |e| problem(e, session);
        let (head, running) = self.store.head(session).map_err(missing)?;
        let mut transcript = Transcript::default();
        let mut last = 0;
        for event in self.store.read(session, 0).map_err(missing)? {
            let event = event.map_err(missing)?;
            transcript.apply(&event.body);
            last = event.id;
        }
        let page = Page { messages: transcript.into_messages(), has_older: false, last };
        Ok((self.view(head, running), page))
    }

    /// The newest messages of a session, at most so many, or those before one of them; and whether
    /// there are older ones. What is older is not read.
    pub fn page(
        &self,
        session: &str,
        before: Option<&str>,
        limit: usize,
    ) -> Result<(SessionView, Page), Problem> {
        let missing = |e| problem(e, session);
        let (head, running) = self.store.head(session).map_err(missing)?;
        let mut last = before.map(|_| self.store.last_id(session));
        let mut turns = Vec::new();
        let mut count = 0;
        for turn in self.store.turns(session, before).map_err(missing)? {
            let turn = turn.map_err(missing)?;
            last = last.or(turn.last().map(|event| event.id));
            let mut messages = Transcript::of(&turn).into_messages();
            messages.retain(|message| before.is_none_or(|before| message.id.as_str() < before));
            count += messages.len();
            turns.push(messages);
            if count > limit {
                break;
            }
        }
        let mut messages: Vec<_> = turns.into_iter().rev().flatten().collect();
        let older = messages.len().saturating_sub(limit);
        messages.drain(..older);
        let page = Page { messages, has_older: older > 0, last: last.unwrap_or(0) };
        Ok((self.view(head, running), page))
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
            _ if running && self.store.is_elsewhere(session) => Err(Problem::new(
                Code::SessionBusy,
                "the turn in this session runs in another process (a `run` beside the server) \
                 and can be stopped there only",
            )),
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
            Err(error @ (StoreError::Busy | StoreError::Missing)) => Err(error),
            // What cannot be read any more can still be thrown away.
            Err(_) => self.store.discard(session),
        };
        deleted.map_err(|e| problem(e, session))
    }

    /// Starts a turn. Its events come through the subscription, whose first is `session` and
    /// whose last is `done`; they come whether or not anybody reads them.
    ///
    /// # Errors
    /// Whatever can be refused before the turn begins; nothing is kept of it then.
    pub fn start(&self, prompt: Prompt) -> Result<Started, Problem> {
        self.start_for(prompt, Store::follow_turn)
    }

    /// The same for one who follows other sessions too, by a waker they share: the subscription
    /// goes on after the turn, and tells what else happens to the session.
    pub fn start_with(&self, prompt: Prompt, waker: Arc<Waker>) -> Result<Started, Problem> {
        self.start_for(prompt, |store, session| store.subscribe(session, None, waker))
    }

    fn start_for(
        &self,
        prompt: Prompt,
        follow: impl FnOnce(&Store, &str) -> Result<Follower, StoreError>,
    ) -> Result<Started, Problem> {
        check_message(&prompt.message)?;
        let known = match &prompt.session {
            Some(session) => Some(self.store.head(session).map_err(|e| problem(e, session))?.0),
            None => None,
        };
        let choice = self.engine.choose(&Wish {
            agent: prompt.agent.as_deref(),
            model: prompt.model.as_deref(),
            session_agent: known.as_ref().and_then(|head| head.agent.as_deref()),
            session_model: known.as_ref().and_then(|head| head.model.as_deref()),
        })?;

        self.reserve(prompt.session.as_deref())?;
        let is_new = known.is_none();
        let inside = self.turns.door.enter();
        let prepared = self.prepare(&prompt, known, follow);
        drop(inside);
        let (session_id, lease, events) = match prepared {
            Ok(prepared) => prepared,
            Err(problem) => {
                self.give_place_back();
                return Err(problem);
            }
        };

        let user_message_id = self.ids.next();
        let message_id = self.ids.next();
        let cancel = Cancel::new();
        let asker = Asker {
            store: Arc::clone(&self.store),
            desk: Arc::clone(&self.desk),
            session: session_id.clone(),
            cancel: cancel.clone(),
            time: self.bounds.permission_time,
            can_ask: prompt.can_ask,
            always: Vec::new(),
            waited: Duration::ZERO,
        };
        let turn = Box::new(turn::Turn {
            asker: Mutex::new(asker),
            store: Arc::clone(&self.store),
            engine: Arc::clone(&self.engine),
            meter: Arc::clone(&self.meter),
            cancel: cancel.clone(),
            choice,
            prompt,
            session_id: session_id.clone(),
            message_id: message_id.clone(),
            user_message_id,
        });
        // The map stays locked until the turn stands in it: the thread's last act is to look.
        let mut turns = self.lock();
        turns.starting -= 1;
        match turn.spawn(lease, Arc::clone(&self.turns)) {
            Ok(thread) => {
                turns.running.insert(message_id.clone(), Running { cancel, thread });
                turns.newest.insert(session_id.clone(), message_id.clone());
                drop(turns);
                Ok(Started { session_id, message_id, events })
            }
            Err(lease) => {
                drop(turns);
                self.turns.tell_if_idle();
                self.give_back(lease, is_new);
                let detail = "no thread could be started for the turn; try again shortly";
                Err(Problem::new(Code::AtCapacity, detail).retry_after(1))
            }
        }
    }

    /// Takes a place among the turns that may run.
    fn reserve(&self, session: Option<&str>) -> Result<(), Problem> {
        let mut turns = self.lock();
        turns.refuse_when_stopping()?;
        if session.is_some_and(|session| turns.going.contains(session)) {
            return Err(problem(StoreError::Missing, ""));
        }
        if turns.running.len() + turns.starting >= self.bounds.turns {
            let detail = format!("{} turns are running, which is the limit", self.bounds.turns);
            return Err(Problem::new(Code::AtCapacity, detail).retry_after(1));
        }
        turns.starting += 1;
        Ok(())
    }

    /// What a turn needs of the store: its session, made where it is new, the lease, and the
    /// first follower.
    fn prepare(
        &self,
        prompt: &Prompt,
        known: Option<Head>,
        follow: impl FnOnce(&Store, &str) -> Result<Follower, StoreError>,
    ) -> Result<(String, Lease, Follower), Problem> {
        let is_new = known.is_none();
        let head = known.unwrap_or_else(|| {
            let title = prompt.title.clone().unwrap_or_else(|| title::of(&prompt.message));
            self.new_head(title, prompt.agent.clone(), prompt.model.clone())
        });
        let id = head.id.clone();
        if is_new {
            self.store.create(&head).map_err(|e| problem(e, &id))?;
        }
        let mut lease = match self.store.acquire(&id) {
            Ok(lease) => lease,
            Err(error) => {
                if is_new {
                    self.store.uncreate(&id);
                }
                return Err(problem(error, &id));
            }
        };
        let ended = turn::end_unfinished(&self.store, &mut lease);
        // Followed from here: what is said before belongs to an earlier turn.
        match ended.and_then(|()| follow(&self.store, &id)) {
            Ok(events) => Ok((id, lease, events)),
            Err(error) => {
                self.give_back(lease, is_new);
                Err(problem(error, &id))
            }
        }
    }

    /// Takes no new turns from now on.
    pub fn close(&self) {
        self.lock().stopping = true;
    }

    /// Takes no new turns, gives the running ones their grace, stops the rest, and returns when
    /// all have ended.
    pub fn stop(&self, grace: Duration) {
        self.close();
        self.wait_idle(grace);
        let left: Vec<_> = self.lock().running.values().map(|t| t.cancel.clone()).collect();
        for cancel in &left {
            cancel.cancel();
        }
        self.wait_idle(ABORT_TIME);
        let ended = std::mem::take(&mut self.lock().ended);
        join(ended);
        // The last words of the turns are in the followers' queues, before this one.
        self.store.end_following();
    }

    fn wait_idle(&self, time: Duration) {
        let waited =
            self.turns.emptied.wait_timeout_while(self.lock(), time, |turns| !turns.is_idle());
        drop(waited);
    }

    /// A turn that had a place does not start.
    fn give_place_back(&self) {
        self.lock().starting -= 1;
        self.turns.tell_if_idle();
    }

    fn new_head(&self, title: String, agent: Option<String>, model: Option<String>) -> Head {
        Head { agent, model, ..Head::new(self.ids.next(), title) }
    }

    /// Undoes the start of a turn that could not start.
    fn give_back(&self, lease: Lease, is_new: bool) {
        let given =
            if is_new { self.store.delete(lease) } else { self.store.release(lease, Vec::new()) };
        if let Err(error) = given {
            log::error!("a session whose turn could not start: {error}");
        }
    }

    fn view(&self, head: Head, running: bool) -> SessionView {
        let agent = head.agent.unwrap_or_else(|| self.engine.default_agent().to_owned());
        let model = head.model.unwrap_or_else(|| self.engine.default_model(Some(&agent)));
        SessionView {
            created_at: id::rfc3339(id::time_ms(&head.id).unwrap_or_default()),
            updated_at: id::rfc3339(head.updated_ms),
            waiting: self.store.is_waiting(&head.id),
            id: head.id,
            title: head.title,
            agent,
            model,
            status: if running { "running" } else { "idle" },
            message_count: head.message_count,
            usage: head.usage,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock()
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_if_idle(&self) {
        if self.lock().is_idle() {
            self.emptied.notify_all();
        }
    }

    /// Takes a turn out whose thread has nothing more to do, and joins those that ended before it:
    /// a thread that is not joined keeps its stack.
    fn end(&self, session: &str, message_id: &str) {
        let ended = self.lock().end(session, message_id);
        self.tell_if_idle();
        join(ended);
    }
}

impl Turns {
    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.starting == 0
    }

    fn refuse_when_stopping(&self) -> Result<(), Problem> {
        if self.stopping {
            let detail = "the server is stopping and takes no new work; try again shortly";
            return Err(Problem::new(Code::Stopping, detail).retry_after(5));
        }
        Ok(())
    }

    /// What stops a session's newest turn.
    fn newest_of(&self, session: &str) -> Option<Cancel> {
        let turn = self.running.get(self.newest.get(session)?)?;
        Some(turn.cancel.clone())
    }

    /// Takes a turn out, and gives the threads that ended before it.
    fn end(&mut self, session: &str, message_id: &str) -> Vec<JoinHandle<()>> {
        let joinable = std::mem::take(&mut self.ended);
        if self.newest.get(session).is_some_and(|newest| newest == message_id) {
            self.newest.remove(session);
        }
        self.ended.extend(self.running.remove(message_id).map(|turn| turn.thread));
        joinable
    }
}

/// Joins threads that have ended or are about to; the map is not locked meanwhile.
fn join(ended: Vec<JoinHandle<()>>) {
    for thread in ended {
        // A turn catches its own panics, so there is no result to look at.
        let _ = thread.join();
    }
}

fn check_message(message: &str) -> Result<(), Problem> {
    if message.trim().is_empty() {
        return Err(Problem::new(Code::BadField, "`message` is empty: say what to do"));
    }
    if message.len() > MESSAGE_BYTES {
        let detail = format!(
            "the message has {} bytes, and {MESSAGE_BYTES} are allowed: name a file in the \
             project for the agent to read instead",
            message.len()
        );
        return Err(Problem::new(Code::MessageTooLarge, detail));
    }
    Ok(())
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
