//! Where sessions are kept: heads, events, leases, and the word to those who follow.
//!
//! Whoever runs a turn holds the session's lease. One call stores events and then tells them, so
//! the order cannot be got wrong; text alone goes ahead, and is stored about once a second. The
//! places to keep things are behind `backend::Backend`. Nothing here knows turns, agents or
//! clients.

mod backend;
mod backwards;
mod changes;
mod entry;
mod files;
mod follow;
mod memory;
mod record;
mod small;
mod tend;
#[cfg(test)]
mod seam_tests;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use serde::{Deserialize, Serialize};

use crate::event::{Body, Event, EventId, Keep};
use crate::message::Usage;
use crate::session::hub::{FOLLOWERS, Hub, weight};
use backend::{Backend, Events, Turns, Writer};
use files::Files;
use memory::Memory;

pub use changes::ALL_SESSIONS;
pub use files::ServerLock;
pub use follow::{Follower, Next};

/// Text that waits to be stored is at most about this long; more is stored at once.
const PENDING_BYTES: usize = 64 * 1024;
/// And at most so many events, fewer than the hub's ring holds.
const PENDING_EVENTS: usize = 1024;

/// What a list of sessions shows of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// Sorts by creation.
    pub id: String,
    /// The first line of its first message, until somebody names it.
    pub title: String,
    /// Milliseconds since 1970 of the last change.
    pub updated_ms: u64,
    /// The agent it was asked to use, if any.
    pub agent: Option<String>,
    /// The model it was asked to use, if any.
    pub model: Option<String>,
    /// Messages of both sides.
    pub message_count: u64,
    /// All its turns together.
    pub usage: Usage,
    /// What a person allowed for good in it, a tool and a pattern each; `None` where the log has
    /// to be asked.
    #[serde(default)]
    pub always: Option<Vec<(String, String)>>,
}

impl Head {
    /// The head of a session without messages.
    #[must_use]
    pub fn new(id: String, title: String) -> Self {
        let updated_ms = crate::id::time_ms(&id).unwrap_or_default();
        Self {
            id,
            title,
            updated_ms,
            agent: None,
            model: None,
            message_count: 0,
            usage: Usage::default(),
            always: Some(Vec::new()),
        }
    }

    /// The head with the name that a person gave it, and when.
    fn named(mut self, name: Option<(String, u64)>) -> Self {
        if let Some((title, when)) = name {
            self.title = title;
            self.updated_ms = self.updated_ms.max(when);
        }
        self
    }
}

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No session has this id.
    #[error("no session has this id")]
    Missing,
    /// The id is taken, perhaps by a session that was deleted.
    #[error("the session exists already")]
    Exists,
    /// A turn runs in the session.
    #[error("a turn runs in the session")]
    Busy,
    /// As many follow the session as may.
    #[error("{FOLLOWERS} clients follow this session, which is the limit")]
    Crowded,
    /// Another server has the project; its address.
    #[error("a server of this project is running already at {0}")]
    Served(String),
    /// Written by a later version of the program.
    #[error(
        "the sessions are of version {0}, which is newer than this program reads; use the program that wrote them"
    )]
    Newer(String),
    /// More than a record may hold, in bytes.
    #[error("an event of {0} bytes is more than can be stored")]
    TooLarge(usize),
    /// What is stored is not what was written.
    #[error("what is stored is damaged: {0}")]
    Damaged(String),
    /// The disk is full.
    #[error("the disk is full: nothing more can be stored; make room and ask again")]
    Full,
    /// The system refused.
    #[error("the sessions cannot be read or written: {0}")]
    Io(String),
}

impl StoreError {
    fn damaged(error: &serde_json::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error.to_string()),
        }
    }
}

/// The right to append to one session. One turn holds it at a time.
#[derive(Debug)]
pub struct Lease {
    active: Arc<Active>,
    fence: u64,
    next: u64,
    unfinished: bool,
}

impl Lease {
    /// Whether the turn before never ended: its `error` and `done` are to be appended first.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// The session it is for.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.active.session
    }

    fn stamp(&mut self, bodies: Vec<Body>) -> Vec<Arc<Event>> {
        let stamped = bodies.into_iter().map(|body| {
            let id = self.fence << 32 | self.next;
            self.next += 1;
            Arc::new(Event { id, keep: body.keep(), body })
        });
        stamped.collect()
    }
}

/// A session in which a turn of this process runs.
struct Active {
    session: String,
    hub: Arc<Hub>,
    /// Protects the log's writer: held while it writes, by the turn, and about once a second by
    /// the store's own thread. No other session waits for it.
    log: Mutex<Log>,
}

struct Log {
    /// `None` once the lease is given back.
    writer: Option<Box<dyn Writer>>,
    pending: Vec<Arc<Event>>,
    pending_bytes: usize,
    since: Instant,
}

impl std::fmt::Debug for Active {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Active").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Active {
    /// Stores what was told ahead.
    fn flush(&self) -> Result<(), StoreError> {
        lock(&self.log).flush(&[], false)
    }
}

impl Log {
    /// Stores what was told ahead and these events after it: all or none.
    fn flush(&mut self, events: &[Arc<Event>], sync: bool) -> Result<(), StoreError> {
        let Some(writer) = &mut self.writer else { return Err(StoreError::Missing) };
        let before = self.pending.len();
        self.pending.extend_from_slice(events);
        let stored = writer.append(&self.pending, sync);
        match stored {
            Ok(()) => {
                self.pending.clear();
                self.pending_bytes = 0;
            }
            Err(_) => self.pending.truncate(before),
        }
        stored
    }
}

/// All sessions of a project.
pub struct Store {
    shared: Arc<Shared>,
    /// Wakes the store's thread when something begins to be in use.
    nudge: Sender<()>,
    /// Ends the thread by its own end.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    backend: Box<dyn Backend>,
    in_use: Mutex<InUse>,
    released: Condvar,
    /// What changes in any session.
    changes: Arc<Hub>,
    /// Tells nothing, and closes when the server stops.
    bell: Arc<Hub>,
}

/// The sessions in use: a cache of the store, emptied of idle ones.
#[derive(Default)]
struct InUse {
    active: HashMap<String, Arc<Active>>,
    /// Sessions whose turn has told its last event, and holds the lease for a moment longer.
    ending: HashSet<String>,
    /// Sessions in which a tool waits for a person.
    waiting: HashSet<String>,
    hubs: HashMap<String, Arc<Hub>>,
}

impl Store {
    /// Sessions that are gone with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::over(Box::new(Memory::default()))
    }

    /// Sessions in a folder, which is made where it is not there.
    ///
    /// # Errors
    /// A folder that cannot be written, or one of a later version.
    pub fn in_folder(root: &Path) -> Result<Self, StoreError> {
        Ok(Self::over(Box::new(Files::open(root)?)))
    }

    fn over(backend: Box<dyn Backend>) -> Self {
        let shared = Arc::new(Shared {
            backend,
            in_use: Mutex::default(),
            released: Condvar::new(),
            changes: Arc::new(Hub::new(0)),
            bell: Arc::new(Hub::new(0)),
        });
        let (nudge, nudged) = bounded(1);
        let (stop, stopped) = bounded(0);
        let tended = Arc::clone(&shared);
        let tend = move || tended.tend(&nudged, &stopped);
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(tend);
        if let Err(error) = &thread {
            log::warn!("text is stored with the next event only: {error}");
        }
        Self { shared, nudge, stop: Some(stop), thread: thread.ok() }
    }

    /// `disk` or `memory`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.shared.backend.name()
    }

    /// Keeps a new session.
    ///
    /// # Errors
    /// [`StoreError::Exists`], for a deleted id too.
    pub fn create(&self, head: &Head) -> Result<(), StoreError> {
        self.shared.backend.create(head)?;
        self.tell_changed(&head.id);
        Ok(())
    }

    /// Takes back a session that was made a moment ago and has nothing in it.
    pub fn uncreate(&self, session: &str) {
        if let Err(error) = self.shared.backend.uncreate(session) {
            log::warn!("session {session} stays behind, with nothing in it: {error}");
        }
        self.tell_deleted(session);
    }

    /// A session's head, and whether a turn runs in it.
    pub fn head(&self, session: &str) -> Result<(Head, bool), StoreError> {
        let head = self.shared.backend.head(session)?;
        Ok((head, self.is_running(session)))
    }

    /// Whether a turn runs in a session, in this process or another.
    fn is_running(&self, session: &str) -> bool {
        match self.shared.lock().holds(session) {
            Some(runs) => runs,
            None => self.shared.backend.is_leased(session),
        }
    }

    /// Whether a turn of another process runs in a session.
    #[must_use]
    pub fn is_elsewhere(&self, session: &str) -> bool {
        self.shared.lock().holds(session).is_none() && self.shared.backend.is_leased(session)
    }

    /// Heads, the newest session first, each with whether a turn runs in it.
    pub fn list(
        &self,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Head, bool)>, StoreError> {
        let backend = &self.shared.backend;
        let elsewhere = backend.leased(&|id| self.shared.lock().holds(id).is_some());
        let mut heads = Vec::new();
        for id in backend.ids(before, limit)? {
            match backend.head(&id) {
                Ok(head) => {
                    let here = self.shared.lock().holds(&id);
                    heads.push((head, here.unwrap_or_else(|| elsewhere.contains(&id))));
                }
                // Deleted since the list was made.
                Err(StoreError::Missing) => {}
                Err(error) => log::error!("session {id} cannot be listed: {error}"),
            }
        }
        Ok(heads)
    }

    /// The newest session's id, by its name alone.
    #[must_use]
    pub fn newest(&self) -> Option<String> {
        self.shared.backend.ids(None, 1).ok()?.pop()
    }

    /// How many sessions are kept, and in how many a turn of this process runs.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let running = self.shared.lock().active.len();
        (self.shared.backend.count(), running)
    }

    /// How many follow a session or all of them, and how many events their fullest queue has.
    #[must_use]
    pub fn following(&self) -> (usize, usize) {
        let hubs: Vec<_> = self.shared.lock().hubs.values().cloned().collect();
        let depths = hubs.iter().chain([&self.shared.changes]).map(|hub| hub.depth());
        depths.fold((0, 0), |(all, deepest), (count, depth)| (all + count, deepest.max(depth)))
    }

    /// Names a session; the one write that needs no lease.
    pub fn retitle(&self, session: &str, title: &str, now_ms: u64) -> Result<(), StoreError> {
        self.shared.backend.retitle(session, title, now_ms)?;
        self.tell_changed(session);
        Ok(())
    }

    /// The events after an id, in order, those told ahead included.
    pub fn read(&self, session: &str, after: EventId) -> Result<Events, StoreError> {
        self.flush(session);
        self.shared.backend.events(session, after)
    }

    /// The turns whose message is older than the one with this id, or all, the newest first, each
    /// with its events in order, those told ahead included.
    pub fn turns(&self, session: &str, before: Option<&str>) -> Result<Turns, StoreError> {
        self.flush(session);
        self.shared.backend.turns(session, before)
    }

    /// The id of the last stored event, 0 where there is none.
    #[must_use]
    pub fn last_id(&self, session: &str) -> EventId {
        self.flush(session);
        self.shared.backend.last_id(session)
    }

    /// Stores what was told ahead.
    fn flush(&self, session: &str) {
        let active = self.shared.lock().active.get(session).cloned();
        if let Some(active) = active {
            // One whose lease ends at this moment has stored everything.
            let _ = active.flush();
        }
    }

    /// Takes the right to append.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while another turn holds it.
    pub fn acquire(&self, session: &str) -> Result<Lease, StoreError> {
        let writer = match self.shared.backend.lease(session) {
            // A turn that has told its `done` is giving its lease back right now, or just has.
            Err(StoreError::Busy) if self.shared.may_be_free(session) => {
                self.shared.backend.lease(session)?
            }
            other => other?,
        };
        let fence = writer.fence();
        let unfinished = writer.is_unfinished();
        let hub = self.shared.hub(session, writer.last_id());
        let log = Log {
            writer: Some(writer),
            pending: Vec::new(),
            pending_bytes: 0,
            since: Instant::now(),
        };
        let active = Active { session: session.to_owned(), hub, log: Mutex::new(log) };
        let active = Arc::new(active);
        self.shared.lock().active.insert(session.to_owned(), Arc::clone(&active));
        self.wake();
        Ok(Lease { active, fence, next: 1, unfinished })
    }

    /// Takes the right to append as soon as nobody in this process has it, waiting at most for
    /// `time`.
    pub fn acquire_within(&self, session: &str, time: Duration) -> Result<Lease, StoreError> {
        let end = Instant::now() + time;
        loop {
            match self.acquire(session) {
                Err(StoreError::Busy) => {}
                other => return other,
            }
            let in_use = self.shared.lock();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreError::Busy);
            }
            if !in_use.active.contains_key(session) {
                drop(in_use);
                // Given back since the look, or held by another process, which is not waited for.
                return self.acquire(session);
            }
            drop(self.shared.released.wait_timeout(in_use, left));
        }
    }

    /// Stores events, and only then tells the followers. Events that may pass are told at once
    /// and stored with what comes next, or within about a second.
    ///
    /// # Errors
    /// What could not be stored is not told either.
    pub fn append(&self, lease: &mut Lease, bodies: Vec<Body>) -> Result<(), StoreError> {
        let first = lease.next;
        let events = lease.stamp(bodies);
        let mut log = lock(&lease.active.log);
        let durable = events.iter().any(|event| event.keep == Keep::Durable);
        if durable {
            if let Err(error) = log.flush(&events, true) {
                drop(log);
                // They were never told, so their ids are free.
                lease.next = first;
                return Err(error);
            }
        } else {
            if log.pending.is_empty() {
                log.since = Instant::now();
            }
            let history = events.iter().filter(|event| event.body.is_history());
            for event in history {
                log.pending_bytes += weight(&event.body);
                log.pending.push(Arc::clone(event));
            }
            if log.pending_bytes > PENDING_BYTES || log.pending.len() > PENDING_EVENTS {
                log.flush(&[], false)?;
            }
        }
        drop(log);
        lease.active.hub.publish(&events);
        if events.iter().any(|event| matches!(event.body, Body::Session { .. })) {
            self.tell_changed(&lease.active.session);
        }
        Ok(())
    }

    /// Changes a session's head, as the holder of its lease, and gives it.
    pub fn set_head(
        &self,
        lease: &Lease,
        change: impl FnOnce(&mut Head),
    ) -> Result<Head, StoreError> {
        let mut head = self.shared.backend.head(&lease.active.session)?;
        change(&mut head);
        self.shared.backend.set_head(&head)?;
        Ok(head)
    }

    /// Stores the last events of a turn, tells them, and gives the lease back. What cannot be
    /// stored is told all the same: a turn that ends must say so. The turn then stands unfinished
    /// in the store, until whoever comes next finishes it.
    ///
    /// # Errors
    /// What could not be stored.
    pub fn release(&self, mut lease: Lease, bodies: Vec<Body>) -> Result<(), StoreError> {
        let events = lease.stamp(bodies);
        let active = &lease.active;
        let mut log = lock(&active.log);
        let stored = log.flush(&events, true);
        let writer = log.writer.take();
        drop(log);
        // Who hears the last event may ask again at once, and finds the session idle.
        {
            let mut in_use = self.shared.lock();
            in_use.active.remove(&active.session);
            in_use.ending.insert(active.session.clone());
        }
        active.hub.publish(&events);
        // Before the next turn can begin and say otherwise.
        self.tell_changed(&active.session);
        match (writer, &stored) {
            (Some(writer), Ok(())) => writer.release(),
            // Dropped, the lock goes and the mark of an unfinished turn stays.
            (writer, _) => drop(writer),
        }
        self.shared.lock().ending.remove(&active.session);
        self.shared.released.notify_all();
        stored
    }

    /// Forgets a session for good and tells its followers. The caller stops its turn first and
    /// holds the lease, so that none begins meanwhile.
    pub fn delete(&self, mut lease: Lease) -> Result<(), StoreError> {
        let session = lease.active.session.clone();
        let event = lease.stamp(vec![Body::SessionDeleted { session_id: session.clone() }]);
        let writer = lock(&lease.active.log).writer.take();
        let Some(writer) = writer else { return Err(StoreError::Missing) };
        let deleted = self.shared.backend.delete(&session, writer);
        let hub = {
            let mut in_use = self.shared.lock();
            in_use.active.remove(&session);
            if deleted.is_ok() { in_use.hubs.remove(&session) } else { None }
        };
        self.shared.released.notify_all();
        if let Some(hub) = hub {
            hub.publish(&event);
            hub.close();
        }
        if deleted.is_ok() {
            self.tell_deleted(&session);
        }
        deleted
    }

    /// Forgets a session for good that can no longer be read.
    pub fn discard(&self, session: &str) -> Result<(), StoreError> {
        self.shared.backend.discard(session)?;
        let hub = self.shared.lock().hubs.remove(session);
        if let Some(hub) = hub {
            hub.close();
        }
        self.tell_deleted(session);
        Ok(())
    }

    /// Sessions whose turn never ended because its process died.
    #[must_use]
    pub fn unfinished(&self) -> Vec<String> {
        self.shared.backend.unfinished()
    }

    fn wake(&self) {
        // A nudge that waits already is enough.
        let _ = self.nudge.try_send(());
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl InUse {
    /// Whether a turn runs in a session, if this process holds its lease.
    fn holds(&self, session: &str) -> Option<bool> {
        if self.active.contains_key(session) {
            return Some(true);
        }
        // One that has told its last event is as good as given back.
        self.ending.contains(session).then_some(false)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, InUse> {
        lock(&self.in_use)
    }

    /// The hub of a session in use, or a new one that knows the newest stored event.
    fn hub(&self, session: &str, last_id: EventId) -> Arc<Hub> {
        let mut in_use = self.lock();
        let new = || Arc::new(Hub::new(last_id));
        Arc::clone(in_use.hubs.entry(session.to_owned()).or_insert_with(new))
    }

    fn hub_of(&self, session: &str) -> Arc<Hub> {
        let known = self.lock().hubs.get(session).cloned();
        known.unwrap_or_else(|| self.hub(session, self.backend.last_id(session)))
    }

    /// Waits for a lease that is being given back. `false` when a turn of this process runs on.
    fn may_be_free(&self, session: &str) -> bool {
        let mut in_use = self.lock();
        while in_use.ending.contains(session) {
            in_use = self.released.wait(in_use).unwrap_or_else(PoisonError::into_inner);
        }
        !in_use.active.contains_key(session)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
