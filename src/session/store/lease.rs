//! The right to append to a session, and the log that its turn writes.
//!
//! What must not be lost is stored before anybody hears of it. Text alone is told ahead and waits
//! here for what comes next; the store's own thread does not let it wait long.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::StoreError;
use super::backend::Writer;
use super::in_use::lock;
use crate::event::{Body, Event, Keep};
use crate::session::hub::{Hub, weight};

/// Text that waits to be stored is at most about this long; more is stored at once.
const PENDING_BYTES: usize = 64 * 1024;
/// And at most so many events, fewer than the hub's ring holds.
const PENDING_EVENTS: usize = 1024;

/// The right to append to one session. One turn holds it at a time.
#[derive(Debug)]
pub struct Lease {
    pub(super) active: Arc<Active>,
    fence: u64,
    next: u64,
    unfinished: bool,
}

impl Lease {
    pub(super) fn new(session: &str, hub: Arc<Hub>, writer: Box<dyn Writer>) -> Self {
        let fence = writer.fence();
        let unfinished = writer.is_unfinished();
        let log = Log {
            writer: Some(writer),
            pending: Vec::new(),
            pending_bytes: 0,
            since: Instant::now(),
        };
        let active = Active { session: session.to_owned(), hub, log: Mutex::new(log) };
        Self { active: Arc::new(active), fence, next: 1, unfinished }
    }

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

    /// Gives events their ids.
    pub(super) fn stamp(&mut self, bodies: Vec<Body>) -> Vec<Arc<Event>> {
        let stamped = bodies.into_iter().map(|body| {
            let id = self.fence << 32 | self.next;
            self.next += 1;
            Arc::new(Event { id, keep: body.keep(), body })
        });
        stamped.collect()
    }

    /// Gives events their ids and stores them, or keeps them until later if they may pass.
    pub(super) fn keep(&mut self, bodies: Vec<Body>) -> Result<Vec<Arc<Event>>, StoreError> {
        let first = self.next;
        let events = self.stamp(bodies);
        let mut log = lock(&self.active.log);
        if events.iter().any(|event| event.keep == Keep::Durable) {
            if let Err(error) = log.flush(&events, true) {
                // They were never told, so their ids are free.
                self.next = first;
                return Err(error);
            }
        } else {
            log.hold(&events)?;
        }
        Ok(events)
    }
}

/// A session in which a turn of this process runs.
pub(super) struct Active {
    pub(super) session: String,
    pub(super) hub: Arc<Hub>,
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
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        lock(&self.log).flush(&[], false)
    }

    /// The same if it has waited for so long, and the lease is still held.
    pub(super) fn flush_older(&self, age: Duration) -> Result<(), StoreError> {
        let mut log = lock(&self.log);
        if log.writer.is_some() && !log.pending.is_empty() && log.since.elapsed() >= age {
            return log.flush(&[], false);
        }
        Ok(())
    }

    /// Stores a turn's last events and gives its writer away: nothing is appended after them.
    pub(super) fn finish(
        &self,
        events: &[Arc<Event>],
    ) -> (Result<(), StoreError>, Option<Box<dyn Writer>>) {
        let mut log = lock(&self.log);
        let stored = log.flush(events, true);
        (stored, log.writer.take())
    }

    /// Gives the writer away without a last word.
    pub(super) fn take_writer(&self) -> Option<Box<dyn Writer>> {
        lock(&self.log).writer.take()
    }
}

impl Log {
    /// Keeps events that may pass until what comes next is stored.
    fn hold(&mut self, events: &[Arc<Event>]) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            self.since = Instant::now();
        }
        for event in events.iter().filter(|event| event.body.is_history()) {
            self.pending_bytes += weight(&event.body);
            self.pending.push(Arc::clone(event));
        }
        if self.pending_bytes > PENDING_BYTES || self.pending.len() > PENDING_EVENTS {
            self.flush(&[], false)?;
        }
        Ok(())
    }

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
