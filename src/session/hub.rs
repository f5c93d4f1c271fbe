//! Fan-out of a session's events to whoever follows it.
//!
//! Publishing never waits: every follower has a bounded queue, and one that does not keep up is
//! cut off. Who the followers are (a stream, a script, a socket) is not known here.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::event::{Body, Event};
use crate::os::{self, Waker, Woken};

/// A queue holds at most this many events...
const QUEUE_EVENTS: usize = 16 * 1024;
/// ...and about this many bytes of them.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// The followers of one session.
#[derive(Debug, Default)]
pub struct Hub {
    /// Protects the list and the order of publishing; pushing to a queue does not block.
    queues: Mutex<Vec<Arc<Queue>>>,
}

/// Why a queue takes no more events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The follower read too slowly.
    TooSlow,
    /// The session is gone.
    Ended,
}

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    closed: Option<Closed>,
}

/// One follower's end. Dropping it stops following.
#[derive(Debug)]
pub struct Subscription {
    queue: Arc<Queue>,
    hub: Weak<Hub>,
}

/// What a follower sees next.
#[derive(Debug)]
pub enum Next {
    /// Events, in order; at least one.
    Events(VecDeque<Arc<Event>>),
    /// The peer of the watched socket is gone.
    Departed,
    /// Nothing within the time.
    Quiet,
    /// Nothing more will come.
    Closed(Closed),
}

impl Hub {
    /// Follows from now on.
    ///
    /// # Errors
    /// When the system has no descriptor left for the wake-up.
    pub fn subscribe(self: &Arc<Self>) -> io::Result<Subscription> {
        let queue = Arc::new(Queue { state: Mutex::default(), waker: Waker::new()? });
        lock(&self.queues).push(Arc::clone(&queue));
        Ok(Subscription { queue, hub: Arc::downgrade(self) })
    }

    /// Gives events to every follower; one whose queue is full is cut off.
    pub fn publish(&self, events: &[Arc<Event>]) {
        lock(&self.queues).retain(|queue| queue.push(events));
    }

    /// Tells every follower that nothing more will come.
    pub fn close(&self) {
        for queue in lock(&self.queues).drain(..) {
            queue.close(Closed::Ended);
        }
    }
}

impl Queue {
    /// Whether the events were taken.
    fn push(&self, events: &[Arc<Event>]) -> bool {
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

    fn take(&self) -> Option<Next> {
        let mut state = lock(&self.state);
        if !state.events.is_empty() {
            state.bytes = 0;
            return Some(Next::Events(std::mem::take(&mut state.events)));
        }
        state.closed.map(Next::Closed)
    }
}

impl Subscription {
    /// Waits for events, at most for `time`, and meanwhile watches a client's socket.
    pub fn next(&self, socket: Option<BorrowedFd<'_>>, time: Duration) -> io::Result<Next> {
        let end = Instant::now() + time;
        loop {
            if let Some(next) = self.queue.take() {
                return Ok(next);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Next::Quiet);
            }
            if os::wait(&self.queue.waker, socket, left)? == Woken::Departed {
                return Ok(Next::Departed);
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            lock(&hub.queues).retain(|queue| !Arc::ptr_eq(queue, &self.queue));
        }
    }
}

/// About how many bytes an event holds in memory.
fn weight(body: &Body) -> usize {
    let text = match body {
        Body::Session { message, .. } => message.len(),
        Body::Text { content }
        | Body::Reasoning { content, .. }
        | Body::ToolOutput { content, .. } => content.len(),
        Body::ToolEnd { result, .. } => result.len(),
        // Arguments are bounded where they arrive.
        _ => 1024,
    };
    text + 128
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Keep;

    fn text(id: u64, content: &str) -> Arc<Event> {
        let body = Body::Text { content: content.into() };
        Arc::new(Event { id, keep: Keep::Passing, body })
    }

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn every_follower_gets_every_event_in_order() {
        let hub = Arc::new(Hub::default());
        let followers = [hub.subscribe().unwrap(), hub.subscribe().unwrap()];
        hub.publish(&[text(1, "a")]);
        hub.publish(&[text(2, "b"), text(3, "c")]);
        for follower in &followers {
            let Next::Events(events) = follower.next(None, LONG).unwrap() else { panic!() };
            assert_eq!(events.iter().map(|e| e.id).collect::<Vec<_>>(), [1, 2, 3]);
        }
    }

    #[test]
    fn one_who_never_reads_is_cut_off_and_the_others_are_not() {
        let hub = Arc::new(Hub::default());
        let (slow, quick) = (hub.subscribe().unwrap(), hub.subscribe().unwrap());
        let mut seen = 0;
        for id in 0..=QUEUE_EVENTS as u64 {
            hub.publish(&[text(id, "x")]);
            if let Next::Events(events) = quick.next(None, LONG).unwrap() {
                seen += events.len();
            }
        }
        assert_eq!(seen, QUEUE_EVENTS + 1);
        assert!(
            matches!(slow.next(None, LONG).unwrap(), Next::Events(e) if e.len() == QUEUE_EVENTS)
        );
        assert!(matches!(slow.next(None, LONG).unwrap(), Next::Closed(Closed::TooSlow)));
    }

    #[test]
    fn a_waiting_follower_is_woken_by_an_event_and_by_the_end() {
        let hub = Arc::new(Hub::default());
        let follower = hub.subscribe().unwrap();
        let waiting = std::thread::spawn(move || {
            let first = follower.next(None, LONG).unwrap();
            (matches!(first, Next::Events(_)), follower.next(None, LONG).unwrap())
        });
        hub.publish(&[text(1, "a")]);
        hub.close();
        let (got_events, then) = waiting.join().unwrap();
        assert!(got_events && matches!(then, Next::Closed(Closed::Ended)));
    }
}
