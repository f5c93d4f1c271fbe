//! Fan-out of a session's events to whoever follows it, and what they missed.
//!
//! Publishing never waits: every follower has a bounded queue, and one that does not keep up is
//! cut off. The newest events stay in a ring, so that a follower who comes late or comes back
//! gets them too. Who the followers are (a stream, a script, a socket) is not known here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;

use crate::event::{Body, Event, EventId};
use crate::os::Waker;

/// A queue holds at most this many events...
const QUEUE_EVENTS: usize = 16 * 1024;
/// ...and about this many bytes of them.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// The ring holds at most this many events...
const RING_EVENTS: usize = 4096;
/// ...and about this many bytes of them.
const RING_BYTES: usize = 1024 * 1024;
/// A session has at most this many followers, beside those who asked for a turn.
pub(super) const FOLLOWERS: usize = 256;

/// The followers of one session, and its newest events.
#[derive(Debug)]
pub(super) struct Hub {
    /// Protects ring and followers, and so the order of publishing; pushing does not block.
    state: Mutex<HubState>,
}

#[derive(Debug)]
struct HubState {
    ring: VecDeque<Arc<Event>>,
    ring_bytes: usize,
    queues: Vec<Arc<Queue>>,
    /// Followers, those included whose queue is not among `queues` yet, or no more.
    followers: usize,
    /// The newest event told, or stored before anybody followed.
    told: EventId,
    /// The size of the log when `told` was last compared with it.
    size: u64,
    used: Instant,
    closed: bool,
}

/// Why a queue takes no more events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The follower read too slowly.
    TooSlow,
    /// The session is gone, or the server stops.
    Ended,
}

/// Events on their way to one follower.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    waker: Arc<Waker>,
    /// Whether announcements are wanted beside the events of turns.
    announced: bool,
}

#[derive(Debug, Default)]
struct QueueState {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    closed: Option<Closed>,
}

/// What a queue gives.
#[derive(Debug)]
pub(super) enum Taken {
    /// Events, in order; at least one.
    Events(VecDeque<Arc<Event>>),
    /// Nothing yet.
    Nothing,
    /// Nothing more will come.
    Closed(Closed),
}

/// Where a follower stands: the last event it has, and whether a turn ended with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: EventId,
    pub(super) is_end: bool,
}

impl Place {
    /// Before the first event.
    pub(super) const START: Self = Self { id: 0, is_end: true };

    /// The place of an event.
    pub(super) fn of(event: &Event) -> Self {
        Self { id: event.id, is_end: matches!(event.body, Body::Done { .. }) }
    }

    /// Whether nothing stood between this place and an event: ids are dense within a turn, and a
    /// turn follows the end of the one before.
    pub(super) fn is_followed_by(self, next: &Event) -> bool {
        let (fence, n) = (next.id >> 32, next.id & 0xffff_ffff);
        next.id == self.id + 1 || (self.is_end && n == 1 && fence == (self.id >> 32) + 1)
    }
}

impl Hub {
    /// A hub nobody follows, of a session whose newest event has this id.
    pub(super) fn new(told: EventId) -> Self {
        let state = HubState {
            ring: VecDeque::new(),
            ring_bytes: 0,
            queues: Vec::new(),
            followers: 0,
            told,
            size: 0,
            used: Instant::now(),
            closed: false,
        };
        Self { state: Mutex::new(state) }
    }

    /// Gives events to every follower; one whose queue is full is cut off.
    pub(super) fn publish(&self, events: &[Arc<Event>]) {
        let mut state = lock(&self.state);
        state.used = Instant::now();
        for event in events {
            state.ring_bytes += weight(&event.body);
            state.told = event.id;
            state.ring.push_back(Arc::clone(event));
        }
        while state.ring.len() > RING_EVENTS || state.ring_bytes > RING_BYTES {
            let Some(oldest) = state.ring.pop_front() else { break };
            state.ring_bytes -= weight(&oldest.body);
        }
        state.queues.retain(|queue| queue.push(events));
    }

    /// Gives followers an event that is no part of the history: it has no id, and whoever is not
    /// here now does not miss it.
    pub(super) fn announce(&self, event: &Arc<Event>) {
        let mut state = lock(&self.state);
        state.used = Instant::now();
        let event = std::slice::from_ref(event);
        state.queues.retain(|queue| !queue.announced || queue.push(event));
    }

    /// Whether anybody wants announcements.
    pub(super) fn announces(&self) -> bool {
        lock(&self.state).queues.iter().any(|queue| queue.announced)
    }

    /// Tells every follower that nothing more will come.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        for queue in state.queues.drain(..) {
            queue.close(Closed::Ended);
        }
    }

    /// Takes a place among so many followers; `false` when there is none. [`Hub::leave`] gives it
    /// back.
    pub(super) fn enter(&self, most: usize) -> bool {
        let mut state = lock(&self.state);
        let has_room = state.followers < most;
        state.followers += usize::from(has_room);
        has_room
    }

    /// Adds a follower who wants what comes from now on.
    pub(super) fn join(&self, queue: &Arc<Queue>) {
        let mut state = lock(&self.state);
        state.used = Instant::now();
        if state.closed {
            queue.close(Closed::Ended);
        } else {
            state.queues.push(Arc::clone(queue));
        }
    }

    /// Adds a follower who stands at a place, if the ring goes on from there: its queue then has
    /// what it missed. Otherwise tells from where on the ring goes on.
    pub(super) fn join_at(&self, queue: &Arc<Queue>, place: Place) -> Result<(), EventId> {
        let mut state = lock(&self.state);
        state.used = Instant::now();
        let from = state.ring.partition_point(|event| event.id <= place.id);
        let goes_on = match state.ring.get(from) {
            Some(next) => {
                place.is_followed_by(next) || (from > 0 && state.ring[from - 1].id == place.id)
            }
            None => place.id >= state.told,
        };
        if !goes_on {
            return Err(state.ring.get(from).map_or(state.told, |next| next.id - 1));
        }
        let missed: Vec<_> = state.ring.iter().skip(from).cloned().collect();
        if state.closed {
            queue.push(&missed);
            queue.close(Closed::Ended);
        } else if queue.push(&missed) {
            state.queues.push(Arc::clone(queue));
        }
        Ok(())
    }

    /// Takes a follower away.
    pub(super) fn leave(&self, queue: &Arc<Queue>) {
        let mut state = lock(&self.state);
        state.used = Instant::now();
        state.followers -= 1;
        state.queues.retain(|other| !Arc::ptr_eq(other, queue));
    }

    /// Whether anybody follows, and since when nothing has happened.
    pub(super) fn use_of(&self) -> (bool, Instant) {
        let state = lock(&self.state);
        (!state.queues.is_empty(), state.used)
    }

    /// The id of the newest event told, if the log has another size than when this was last
    /// asked.
    pub(super) fn told_before(&self, size: u64) -> Option<EventId> {
        let mut state = lock(&self.state);
        (std::mem::replace(&mut state.size, size) != size).then_some(state.told)
    }

    /// How many follow, and how many events the fullest of their queues has.
    pub(super) fn depth(&self) -> (usize, usize) {
        let state = lock(&self.state);
        let deepest = state.queues.iter().map(|queue| lock(&queue.state).events.len()).max();
        (state.followers, deepest.unwrap_or(0))
    }

    /// The place of an event that the ring has.
    pub(super) fn place_of(&self, id: EventId) -> Option<Place> {
        let state = lock(&self.state);
        let at = state.ring.binary_search_by_key(&id, |event| event.id).ok()?;
        Some(Place::of(&state.ring[at]))
    }
}

impl Queue {
    /// An empty queue that wakes this waker, for announcements too or not.
    pub(super) fn new(waker: Arc<Waker>, announced: bool) -> Self {
        Self { state: Mutex::default(), waker, announced }
    }

    /// What it wakes.
    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Whether the events were taken.
    fn push(&self, events: &[Arc<Event>]) -> bool {
        if events.is_empty() {
            return true;
        }
        let bytes: usize = events.iter().map(|event| weight(&event.body)).sum();
        let mut state = lock(&self.state);
        let fits =
            state.events.len() + events.len() <= QUEUE_EVENTS && state.bytes + bytes <= QUEUE_BYTES;
        if !fits {
            drop(state);
            self.close(Closed::TooSlow);
            return false;
        }
        let was_empty = state.events.is_empty();
        state.events.extend(events.iter().cloned());
        state.bytes += bytes;
        drop(state);
        if was_empty {
            self.waker.wake();
        }
        true
    }

    fn close(&self, why: Closed) {
        lock(&self.state).closed.get_or_insert(why);
        self.waker.wake();
    }

    /// What has come since the last time.
    pub(super) fn take(&self) -> Taken {
        let mut state = lock(&self.state);
        if !state.events.is_empty() {
            state.bytes = 0;
            return Taken::Events(std::mem::take(&mut state.events));
        }
        state.closed.map_or(Taken::Nothing, Taken::Closed)
    }
}

/// About how many bytes an event holds in memory.
pub(super) fn weight(body: &Body) -> usize {
    let text = match body {
        Body::Session { message, .. } => message.len(),
        Body::Text { content } | Body::ToolOutput { content, .. } => content.len(),
        Body::Reasoning { content, opaque } => content.len() + opaque.as_ref().map_or(0, weight_of),
        Body::ToolEnd { result, .. } => result.len(),
        Body::ToolStart { args, .. } | Body::Permission { args, .. } => weight_of(args),
        Body::PermissionReply { .. }
        | Body::Retry { .. }
        | Body::Gap
        | Body::Error { .. }
        | Body::Done { .. }
        | Body::SessionChanged { .. }
        | Body::SessionDeleted { .. } => 256,
    };
    text + 128
}

fn weight_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 32,
        Value::String(text) => 32 + text.len(),
        Value::Array(items) => items.iter().map(weight_of).sum::<usize>() + 32,
        Value::Object(members) => {
            members.iter().map(|(name, value)| name.len() + 32 + weight_of(value)).sum::<usize>()
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Keep;

    fn text(id: u64) -> Arc<Event> {
        let body = Body::Text { content: "x".into() };
        Arc::new(Event { id, keep: Keep::Passing, body })
    }

    fn queue() -> Arc<Queue> {
        Arc::new(Queue::new(Arc::new(Waker::new().unwrap()), true))
    }

    fn ids(queue: &Queue) -> Vec<u64> {
        match queue.take() {
            Taken::Events(events) => events.iter().map(|event| event.id).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn one_who_never_reads_is_cut_off_and_the_others_are_not() {
        let hub = Hub::new(0);
        let (slow, quick) = (queue(), queue());
        hub.join(&slow);
        hub.join(&quick);
        let mut seen = 0;
        for id in 1..=QUEUE_EVENTS as u64 + 1 {
            hub.publish(&[text(id)]);
            seen += ids(&quick).len();
        }
        assert_eq!(seen, QUEUE_EVENTS + 1);
        assert_eq!(ids(&slow).len(), QUEUE_EVENTS);
        assert!(matches!(slow.take(), Taken::Closed(Closed::TooSlow)));
    }

    #[test]
    fn the_ring_gives_what_was_missed_once_and_in_order_or_says_where_it_begins() {
        let hub = Hub::new(0);
        for id in 1..=RING_EVENTS as u64 + 10 {
            hub.publish(&[text(id)]);
        }
        let place = |id| Place { id, is_end: false };
        assert_eq!(hub.join_at(&queue(), place(5)), Err(10));
        let late = queue();
        assert_eq!(hub.join_at(&late, place(RING_EVENTS as u64 + 7)), Ok(()));
        hub.publish(&[text(RING_EVENTS as u64 + 11)]);
        let from = RING_EVENTS as u64 + 8;
        assert_eq!(ids(&late), (from..from + 4).collect::<Vec<_>>());
    }

    #[test]
    fn a_turn_follows_the_end_of_the_one_before_and_nothing_else() {
        let place = |id, is_end| Place { id, is_end };
        assert!(place(1 << 32 | 9, true).is_followed_by(&text(2 << 32 | 1)));
        assert!(!place(1 << 32 | 9, false).is_followed_by(&text(2 << 32 | 1)));
        assert!(!place(1 << 32 | 9, true).is_followed_by(&text(3 << 32 | 1)));
        assert!(!place(1 << 32 | 9, true).is_followed_by(&text(2 << 32 | 2)));
        assert!(Place::START.is_followed_by(&text(1 << 32 | 1)));
    }
}
