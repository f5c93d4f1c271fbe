//! What the holder of a session's lease does: takes it, stores events and tells them, changes the
//! head, and gives the lease back or forgets the session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Head, Lease, Store, StoreError};
use crate::event::Body;

impl Store {
    /// Takes the right to append.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while another turn holds it, [`StoreError::Elsewhere`] while one of
    /// another process does.
    pub fn acquire(&self, session: &str) -> Result<Lease, StoreError> {
        let writer = match self.shared.backend.lease(session) {
            // A turn that has told its `done` is giving its lease back right now, or just has.
            Err(StoreError::Busy) if self.shared.may_be_free(session) => {
                self.shared.backend.lease(session)
            }
            other => other,
        };
        let writer = match writer {
            Err(StoreError::Busy) if self.is_elsewhere(session) => Err(StoreError::Elsewhere),
            other => other,
        }?;
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
                // One that is taking it right now looks like another process.
                Err(StoreError::Busy | StoreError::Elsewhere) => {}
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
}
