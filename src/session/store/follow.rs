//! Following a session: what was missed first, from storage and from the hub's ring, then what
//! comes, with no hole and nothing twice. Where something is no longer kept, a `gap` says so.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::in_use::Shared;
use super::{Events, Store, StoreError};
use crate::event::{Body, Event, EventId, Keep};
use crate::os::{self, Waits, Waker, Woken};
use crate::session::hub::{Closed, FOLLOWERS, Hub, Place, Queue, Taken};

/// Events that are read from storage at a time.
const PAGE: usize = 512;

/// One who follows a session. Dropping it stops following.
pub struct Follower {
    shared: Arc<Shared>,
    session: String,
    hub: Arc<Hub>,
    queue: Arc<Queue>,
    waker: Arc<Waker>,
    /// Where it stands while it is behind; `None` once events come as they are told.
    behind: Option<Behind>,
    waits: Waits,
}

struct Behind {
    place: Place,
    stored: Option<Events>,
}

/// What a follower sees next.
#[derive(Debug)]
pub enum Next {
    /// Events, in order; at least one. A `gap` among them has no id of its own.
    Events(VecDeque<Arc<Event>>),
    /// The peer of the watched socket is gone.
    Departed,
    /// Nothing within the time.
    Quiet,
    /// Nothing more will come.
    Closed(Closed),
}

impl Store {
    /// Follows a session's events alone: what came after one, or from now on.
    #[cfg(test)]
    pub(super) fn follow(
        &self,
        session: &str,
        after: Option<EventId>,
    ) -> Result<Follower, StoreError> {
        self.shared.backend.head(session)?;
        self.enter(session, after, Queue::new(Arc::new(Waker::new()?), false), FOLLOWERS)
    }

    /// Follows a session, and wakes a waker that others share: what came after an event, or from
    /// now on, and how the session stands whenever that changes: `session_changed` comes among
    /// the events, without an id.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or [`StoreError::Crowded`].
    pub fn subscribe(
        &self,
        session: &str,
        after: Option<EventId>,
        waker: Arc<Waker>,
    ) -> Result<Follower, StoreError> {
        self.shared.backend.head(session)?;
        self.enter(session, after, Queue::new(waker, true), FOLLOWERS)
    }

    /// Follows a session for one who asks for a turn in it and wants nothing else; there is room
    /// however many follow.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or no descriptor is left for the wake-up.
    pub fn follow_turn(&self, session: &str) -> Result<Follower, StoreError> {
        // Its lease is held, so it is there.
        self.enter(session, None, Queue::new(Arc::new(Waker::new()?), false), usize::MAX)
    }

    fn enter(
        &self,
        session: &str,
        after: Option<EventId>,
        queue: Queue,
        most: usize,
    ) -> Result<Follower, StoreError> {
        self.wake();
        let hub = self.shared.hub_of(session);
        if !hub.enter(most) {
            return Err(StoreError::Crowded);
        }
        Ok(Follower::new(Arc::clone(&self.shared), session.to_owned(), hub, after, queue))
    }
}

impl Follower {
    /// One who has entered the hub.
    pub(super) fn new(
        shared: Arc<Shared>,
        session: String,
        hub: Arc<Hub>,
        after: Option<EventId>,
        queue: Queue,
    ) -> Self {
        let waker = queue.waker();
        let queue = Arc::new(queue);
        let behind =
            after.map(|id| Behind { place: place_of(&shared, &session, &hub, id), stored: None });
        if behind.is_none() {
            hub.join(&queue);
        }
        Self { shared, session, hub, queue, waker, behind, waits: Waits::default() }
    }

    /// The session it follows.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// What has come since the last time, without waiting.
    ///
    /// # Errors
    /// Storage that cannot be read.
    // Whoever follows waits most of its time, and no look at what came is part of that.
    #[inline(never)]
    pub fn poll(&mut self) -> Result<Option<Next>, StoreError> {
        if let Some(behind) = &mut self.behind {
            match behind.catch_up(&self.shared, &self.session, &self.hub, &self.queue)? {
                CaughtUp::Still(events) => return Ok(Some(Next::Events(events))),
                CaughtUp::Now(gap) => {
                    self.behind = None;
                    if gap {
                        return Ok(Some(Next::Events([gap_event()].into())));
                    }
                }
            }
        }
        Ok(match self.queue.take() {
            Taken::Events(events) => Some(Next::Events(events)),
            Taken::Nothing => None,
            Taken::Closed(why) => Some(Next::Closed(why)),
        })
    }

    /// Waits for events, at most for `time`, and meanwhile watches a client's socket.
    pub fn next(&mut self, socket: Option<BorrowedFd<'_>>, time: Duration) -> io::Result<Next> {
        let end = Instant::now() + time;
        loop {
            if let Some(next) = self.poll().map_err(io::Error::other)? {
                return Ok(next);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Next::Quiet);
            }
            let waker = &self.waker;
            if self.waits.wait(|| os::wait(waker, socket, left))? == Woken::Departed {
                return Ok(Next::Departed);
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.hub.leave(&self.queue);
    }
}

/// Where one stands who has an event; whether a turn ended with it is looked up.
fn place_of(shared: &Shared, session: &str, hub: &Hub, id: EventId) -> Place {
    if id == 0 {
        return Place::START;
    }
    let stored = || {
        let event = shared.backend.events(session, id - 1).ok()?.next()?.ok()?;
        (event.id == id).then(|| Place::of(&event))
    };
    hub.place_of(id).or_else(stored).unwrap_or(Place { id, is_end: false })
}

enum CaughtUp {
    /// These come next, and more after them.
    Still(VecDeque<Arc<Event>>),
    /// The queue has what comes next, behind a gap or not.
    Now(bool),
}

impl Behind {
    fn catch_up(
        &mut self,
        shared: &Shared,
        session: &str,
        hub: &Hub,
        queue: &Arc<Queue>,
    ) -> Result<CaughtUp, StoreError> {
        let ring_start = match hub.join_at(queue, self.place) {
            Ok(()) => return Ok(CaughtUp::Now(false)),
            Err(ring_start) => ring_start,
        };
        let stored = match &mut self.stored {
            Some(stored) => stored,
            None => self.stored.insert(shared.backend.events(session, self.place.id)?),
        };
        let mut page = VecDeque::new();
        while page.len() < PAGE
            && let Some(event) = stored.next()
        {
            let event = event?;
            if event.id <= self.place.id {
                continue;
            }
            if !self.place.is_followed_by(&event) {
                page.push_back(gap_event());
            }
            self.place = Place::of(&event);
            page.push_back(Arc::new(event));
        }
        if !page.is_empty() {
            return Ok(CaughtUp::Still(page));
        }
        // Storage has no more, and the ring does not go on from here: what lay between is lost.
        self.place = Place { id: ring_start, is_end: false };
        match hub.join_at(queue, self.place) {
            Ok(()) => Ok(CaughtUp::Now(true)),
            // The ring has moved on meanwhile; the next look starts from the new place.
            Err(_) => Ok(CaughtUp::Still([gap_event()].into())),
        }
    }
}

/// Says that events are missing here. It has no id, so that nobody resumes from it.
fn gap_event() -> Arc<Event> {
    Arc::new(Event { id: 0, keep: Keep::Passing, body: Body::Gap })
}
