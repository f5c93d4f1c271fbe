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
mod in_use;
mod lease;
mod log_file;
mod memory;
mod record;
mod server_lock;
mod small;
mod tend;
mod write;
#[cfg(test)]
mod seam_tests;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

use crate::event::EventId;
use crate::session::hub::Hub;
use backend::{Backend, Events, Turns};
use files::Files;
use in_use::Shared;
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
        let thread = crate::os::thread("store", tend);
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
