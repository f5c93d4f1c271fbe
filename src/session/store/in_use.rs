//! What the store knows of sessions in use, beside what is kept: turns that run, who follows, which
//! tool waits for a person.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::backend::Backend;
use super::changes::Word;
use super::lease::Active;
use crate::event::EventId;
use crate::session::hub::Hub;

/// What the store shares with its thread and with those who follow.
pub(super) struct Shared {
    pub(super) backend: Box<dyn Backend>,
    pub(super) in_use: Mutex<InUse>,
    /// A lease was given back.
    pub(super) released: Condvar,
    /// What changes in any session.
    pub(super) changes: Arc<Hub>,
    /// Tells nothing, and closes when the server stops.
    pub(super) bell: Arc<Hub>,
}

/// The sessions in use: a cache of the store, emptied of idle ones.
#[derive(Default)]
pub(super) struct InUse {
    pub(super) active: HashMap<String, Arc<Active>>,
    /// Sessions whose turn has told its last event, and holds the lease for a moment longer.
    pub(super) ending: HashSet<String>,
    /// Sessions in which a tool waits for a person.
    pub(super) waiting: HashSet<String>,
    /// Sessions of which somebody tells right now how they stand, and what else is to be told.
    pub(super) telling: HashMap<String, Word>,
    pub(super) hubs: HashMap<String, Arc<Hub>>,
}

impl InUse {
    /// Whether a turn runs in a session, if this process holds its lease.
    pub(super) fn holds(&self, session: &str) -> Option<bool> {
        if self.active.contains_key(session) {
            return Some(true);
        }
        // One that has told its last event is as good as given back.
        self.ending.contains(session).then_some(false)
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, InUse> {
        lock(&self.in_use)
    }

    /// The hub of a session in use, or a new one that knows the newest stored event.
    pub(super) fn hub(&self, session: &str, last_id: EventId) -> Arc<Hub> {
        let mut in_use = self.lock();
        let new = || Arc::new(Hub::new(last_id));
        Arc::clone(in_use.hubs.entry(session.to_owned()).or_insert_with(new))
    }

    /// The hub of any session.
    pub(super) fn hub_of(&self, session: &str) -> Arc<Hub> {
        let known = self.lock().hubs.get(session).cloned();
        known.unwrap_or_else(|| self.hub(session, self.backend.last_id(session)))
    }

    /// Waits for a lease that is being given back. `false` when a turn of this process runs on.
    pub(super) fn may_be_free(&self, session: &str) -> bool {
        let mut in_use = self.lock();
        while in_use.ending.contains(session) {
            in_use = self.released.wait(in_use).unwrap_or_else(PoisonError::into_inner);
        }
        !in_use.active.contains_key(session)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
