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
mod error;
mod files;
mod follow;
mod head;
mod lease;
mod log_file;
mod memory;
mod record;
mod server_lock;
mod small;
mod tend;
#[cfg(test)]
mod seam_tests;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};

use crate::event::{Body, EventId};
use crate::session::hub::Hub;
use backend::{Backend, Events, Turns};
use changes::Word;
use files::Files;
use lease::Active;
use memory::Memory;

pub use changes::ALL_SESSIONS;
pub use error::StoreError;
pub use follow::{Follower, Next};
pub use head::Head;
pub use lease::Lease;
pub use server_lock::ServerLock;

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
    /// Sessions of which somebody tells right now how they stand, and what else is to be told.
    telling: HashMap<String, Word>,
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
    /// [`StoreError::Exists`].
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
        let hub = self.shared.hub(session, writer.last_id());
        let lease = Lease::new(session, hub, writer);
        self.shared.lock().active.insert(session.to_owned(), Arc::clone(&lease.active));
        self.wake();
        Ok(lease)
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
        let events = lease.keep(bodies)?;
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
        let (stored, writer) = active.finish(&events);
        // Who hears the last event may ask again at once, and finds the session idle.
        {
            let mut in_use = self.shared.lock();
            in_use.active.remove(&active.session);
            in_use.ending.insert(active.session.clone());
        }
        active.hub.publish(&events);
        // Told, or left to who tells, before the next turn can begin.
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
        let Some(writer) = lease.active.take_writer() else { return Err(StoreError::Missing) };
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
