//! Where sessions are kept: heads, events, leases, and the word to those who follow.
//!
//! The seam is the one a store on disk needs: whoever runs a turn holds the session's lease, and
//! one call stores events and then tells them, so the order cannot be got wrong. This store
//! keeps everything in memory. It knows nothing of turns, agents or clients.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::event::{Body, Event, EventId};
use crate::message::Usage;
use crate::session::hub::{Hub, Subscription};

/// What a list of sessions shows of one.
#[derive(Debug, Clone, PartialEq)]
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
}

/// Why the store did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No session has this id.
    #[error("no such session")]
    Missing,
    /// The id is taken, perhaps by a session that was deleted.
    #[error("the session exists already")]
    Exists,
    /// A turn runs in the session.
    #[error("a turn runs in the session")]
    Busy,
    /// The system gave no descriptor for a follower.
    #[error("no descriptor left")]
    NoDescriptor,
}

/// The right to append to one session. One turn holds it at a time.
#[derive(Debug)]
pub struct Lease {
    session: String,
    fence: u64,
    next: u64,
}

/// Sessions in memory.
#[derive(Debug, Default)]
pub struct Store {
    /// Protects all records; held for memory work, and for pushing to queues that never block.
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    sessions: BTreeMap<String, Record>,
    deleted: HashSet<String>,
    leased: usize,
}

#[derive(Debug)]
struct Record {
    head: Head,
    log: Vec<Arc<Event>>,
    fence: u64,
    leased: bool,
    hub: Arc<Hub>,
}

impl Store {
    /// Keeps a new session.
    ///
    /// # Errors
    /// [`StoreError::Exists`], for a deleted id too.
    pub fn create(&self, head: Head) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.sessions.contains_key(&head.id) || state.deleted.contains(&head.id) {
            return Err(StoreError::Exists);
        }
        let id = head.id.clone();
        let record = Record { head, log: Vec::new(), fence: 0, leased: false, hub: Arc::default() };
        state.sessions.insert(id, record);
        Ok(())
    }

    /// A session's head, and whether a turn runs in it.
    pub fn head(&self, session: &str) -> Result<(Head, bool), StoreError> {
        let state = self.lock();
        let record = state.record(session)?;
        Ok((record.head.clone(), record.leased))
    }

    /// Heads, the newest session first, each with whether a turn runs in it.
    pub fn list(&self, before: Option<&str>, limit: usize) -> Vec<(Head, bool)> {
        let state = self.lock();
        let older = match before {
            Some(id) => state.sessions.range::<str, _>((Bound::Unbounded, Bound::Excluded(id))),
            None => state.sessions.range::<str, _>((Bound::Unbounded, Bound::Unbounded)),
        };
        older.rev().take(limit).map(|(_, r)| (r.head.clone(), r.leased)).collect()
    }

    /// How many sessions are kept, and how many have a turn running.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.sessions.len(), state.leased)
    }

    /// Names a session; the one write that needs no lease.
    pub fn retitle(&self, session: &str, title: &str, now_ms: u64) -> Result<(), StoreError> {
        let mut state = self.lock();
        let head = &mut state.record_mut(session)?.head;
        title.clone_into(&mut head.title);
        head.updated_ms = now_ms;
        Ok(())
    }

    /// The stored events after an id, in order.
    pub fn read(&self, session: &str, after: EventId) -> Result<Vec<Arc<Event>>, StoreError> {
        let state = self.lock();
        let log = &state.record(session)?.log;
        let from = log.partition_point(|event| event.id <= after);
        Ok(log[from..].to_vec())
    }

    /// Takes the right to append.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while another turn holds it.
    pub fn acquire(&self, session: &str) -> Result<Lease, StoreError> {
        let mut state = self.lock();
        let record = state.record_mut(session)?;
        if record.leased {
            return Err(StoreError::Busy);
        }
        record.leased = true;
        record.fence += 1;
        let fence = record.fence;
        state.leased += 1;
        Ok(Lease { session: session.to_owned(), fence, next: 1 })
    }

    /// Takes the right to append as soon as nobody has it, waiting at most for `time`.
    pub fn acquire_within(&self, session: &str, time: Duration) -> Result<Lease, StoreError> {
        let end = Instant::now() + time;
        loop {
            match self.acquire(session) {
                Err(StoreError::Busy) => {}
                other => return other,
            }
            let state = self.lock();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreError::Busy);
            }
            if state.record(session)?.leased {
                drop(self.released.wait_timeout(state, left));
            }
        }
    }

    /// Stores events and the head as it is after them, then tells the followers.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the session was deleted meanwhile; nobody is told then.
    pub fn append(
        &self,
        lease: &mut Lease,
        bodies: Vec<Body>,
        change: impl FnOnce(&mut Head),
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        let record = state.record_mut(&lease.session)?;
        let (events, hub) = record.append(lease, bodies, change);
        drop(state);
        hub.publish(&events);
        Ok(())
    }

    /// Stores the last events of a turn, gives the lease back, and only then tells the
    /// followers: who hears `done` can start the next turn at once. Whoever takes the lease next
    /// speaks after this.
    pub fn release(&self, mut lease: Lease, bodies: Vec<Body>, change: impl FnOnce(&mut Head)) {
        let mut state = self.lock();
        let Ok(record) = state.record_mut(&lease.session) else { return };
        let (events, hub) = record.append(&mut lease, bodies, change);
        record.leased = false;
        state.leased -= 1;
        // Still under the lock, so that the next turn's events cannot come first.
        hub.publish(&events);
        drop(state);
        self.released.notify_all();
    }

    /// Follows a session from now on.
    pub fn follow(&self, session: &str) -> Result<Subscription, StoreError> {
        let hub = Arc::clone(&self.lock().record(session)?.hub);
        hub.subscribe().map_err(|_| StoreError::NoDescriptor)
    }

    /// Forgets a session for good and tells its followers. The caller stops its turn first and
    /// holds the lease, so that none begins meanwhile.
    pub fn delete(&self, mut lease: Lease) {
        let mut state = self.lock();
        state.leased -= 1;
        let Some(record) = state.sessions.remove(&lease.session) else { return };
        state.deleted.insert(lease.session.clone());
        drop(state);
        self.released.notify_all();
        let event = lease.stamp(Body::SessionDeleted { session_id: lease.session.clone() });
        record.hub.publish(&[Arc::new(event)]);
        record.hub.close();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&self, session: &str) -> Result<&Record, StoreError> {
        self.sessions.get(session).ok_or(StoreError::Missing)
    }

    fn record_mut(&mut self, session: &str) -> Result<&mut Record, StoreError> {
        self.sessions.get_mut(session).ok_or(StoreError::Missing)
    }
}

impl Record {
    fn append(
        &mut self,
        lease: &mut Lease,
        bodies: Vec<Body>,
        change: impl FnOnce(&mut Head),
    ) -> (Vec<Arc<Event>>, Arc<Hub>) {
        let events: Vec<_> = bodies.into_iter().map(|body| Arc::new(lease.stamp(body))).collect();
        for event in events.iter().filter(|event| event.body.is_history()) {
            self.keep(event);
        }
        change(&mut self.head);
        (events, Arc::clone(&self.hub))
    }

    /// A run of text, or of reasoning, grows the last event of the log, so that history costs its
    /// text and not an event for each token.
    fn keep(&mut self, event: &Arc<Event>) {
        if let Some(last) = self.log.last_mut() {
            match (&last.body, &event.body) {
                (Body::Text { .. }, Body::Text { content: more }) => {
                    let last = Arc::make_mut(last);
                    last.id = event.id;
                    if let Body::Text { content } = &mut last.body {
                        content.push_str(more);
                    }
                    return;
                }
                (
                    Body::Reasoning { opaque: None, .. },
                    Body::Reasoning { content: more, opaque: end },
                ) => {
                    let last = Arc::make_mut(last);
                    last.id = event.id;
                    if let Body::Reasoning { content, opaque } = &mut last.body {
                        content.push_str(more);
                        opaque.clone_from(end);
                    }
                    return;
                }
                _ => {}
            }
        }
        self.log.push(Arc::clone(event));
    }
}

impl Lease {
    fn stamp(&mut self, body: Body) -> Event {
        let id = self.fence << 32 | self.next;
        self.next += 1;
        Event { id, keep: body.keep(), body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::hub::Next;

    const LONG: Duration = Duration::from_secs(3600);

    fn store_with(id: &str) -> Store {
        let store = Store::default();
        store.create(head(id)).unwrap();
        store
    }

    fn head(id: &str) -> Head {
        Head {
            id: id.into(),
            title: "t".into(),
            updated_ms: 0,
            agent: None,
            model: None,
            message_count: 0,
            usage: Usage::default(),
        }
    }

    fn text(content: &str) -> Body {
        Body::Text { content: content.into() }
    }

    #[test]
    fn one_turn_holds_a_session_at_a_time_and_each_has_a_higher_fence() {
        let store = store_with("a");
        let mut first = store.acquire("a").unwrap();
        assert_eq!(store.acquire("a").unwrap_err(), StoreError::Busy);
        store.append(&mut first, vec![text("x")], |_| ()).unwrap();
        store.release(first, vec![], |_| ());
        let mut second = store.acquire("a").unwrap();
        store.append(&mut second, vec![text("y"), text("z")], |_| ()).unwrap();
        let log = store.read("a", 0).unwrap();
        assert_eq!(log.len(), 1, "a run of text is one event");
        assert_eq!((log[0].id, &log[0].body), (2 << 32 | 2, &text("xyz")), "named by its last");
    }

    #[test]
    fn whoever_hears_the_last_event_finds_the_session_free() {
        let store = store_with("a");
        let follower = store.follow("a").unwrap();
        let lease = store.acquire("a").unwrap();
        store.release(lease, vec![text("end")], |head| head.message_count = 2);
        assert!(matches!(follower.next(None, LONG).unwrap(), Next::Events(_)));
        let (head, running) = store.head("a").unwrap();
        assert_eq!((head.message_count, running), (2, false));
        assert_eq!(store.counts(), (1, 0));
    }

    #[test]
    fn a_deleted_session_is_gone_its_id_stays_taken_and_followers_are_told() {
        let store = store_with("a");
        let follower = store.follow("a").unwrap();
        store.delete(store.acquire("a").unwrap());
        assert_eq!(store.head("a").unwrap_err(), StoreError::Missing);
        assert_eq!(store.create(head("a")).unwrap_err(), StoreError::Exists);
        let Next::Events(events) = follower.next(None, LONG).unwrap() else { panic!() };
        assert!(
            matches!(&events[0].body, Body::SessionDeleted { session_id } if session_id == "a")
        );
        assert!(matches!(follower.next(None, LONG).unwrap(), Next::Closed(_)));
    }

    #[test]
    fn sessions_are_listed_newest_first_and_paged() {
        let store = Store::default();
        for id in ["a", "b", "c"] {
            store.create(head(id)).unwrap();
        }
        let ids = |before, limit| {
            store.list(before, limit).into_iter().map(|(h, _)| h.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(None, 2), ["c", "b"]);
        assert_eq!(ids(Some("b"), 9), ["a"]);
    }

    #[test]
    fn waiting_for_a_lease_ends_with_its_release() {
        let store = Arc::new(store_with("a"));
        let held = store.acquire("a").unwrap();
        let other = Arc::clone(&store);
        let waiter = std::thread::spawn(move || other.acquire_within("a", LONG).map(|_| ()));
        store.release(held, vec![], |_| ());
        assert_eq!(waiter.join().unwrap(), Ok(()));
        assert_eq!(store.acquire_within("a", Duration::ZERO).unwrap_err(), StoreError::Busy);
    }
}
