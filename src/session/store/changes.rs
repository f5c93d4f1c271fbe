//! Word of what changes in any session, to those who follow all of them, and of the server's end.
//!
//! These events are no part of a session's history: they have no id, are never stored, and one
//! that is missed is made good by looking at the session. So they leave no hole among the dense
//! ids of a turn.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::{Follower, Store};
use crate::event::{Body, Event, Keep};
use crate::os::Waker;
use crate::session::hub::{Hub, Queue};

/// Stands for all sessions where a session is named.
pub const ALL_SESSIONS: &str = "*";

/// What others leave to the one who tells of a session.
#[derive(Debug, Default)]
pub(super) struct Word {
    is_changed: bool,
    is_deleted: bool,
}

impl Store {
    /// Follows what changes in any session: `session_changed` and `session_deleted`.
    #[must_use]
    pub fn follow_all(&self, waker: Arc<Waker>) -> Follower {
        let (shared, hub) = (Arc::clone(&self.shared), Arc::clone(&self.shared.changes));
        hub.enter(usize::MAX);
        Follower::new(shared, ALL_SESSIONS.to_owned(), hub, None, Queue::new(waker, true))
    }

    /// Follows nothing but the end: it closes when the server stops.
    #[must_use]
    pub fn follow_end(&self, waker: Arc<Waker>) -> Follower {
        let (shared, hub) = (Arc::clone(&self.shared), Arc::clone(&self.shared.bell));
        hub.enter(usize::MAX);
        Follower::new(shared, String::new(), hub, None, Queue::new(waker, true))
    }

    /// Tells every follower that nothing more will come, because the server stops.
    pub fn end_following(&self) {
        let hubs: Vec<_> = self.shared.lock().hubs.values().cloned().collect();
        hubs.iter().chain([&self.shared.changes, &self.shared.bell]).for_each(|hub| hub.close());
    }

    /// Tells how a session stands now, to its followers and to those of all sessions. Whoever
    /// changes a session calls this after it. One at a time tells of a session; who comes
    /// meanwhile leaves word, and the one that tells looks again. So the last word is right, and
    /// told once, without a lock held over storage.
    pub fn tell_changed(&self, session: &str) {
        match self.shared.lock().telling.entry(session.to_owned()) {
            Entry::Occupied(mut word) => {
                word.get_mut().is_changed = true;
                return;
            }
            Entry::Vacant(place) => place.insert(Word::default()),
        };
        let mut told = None;
        loop {
            let is_wanted = self.shared.changes.announces()
                || self.own(session).is_some_and(|own| own.announces());
            let now = if is_wanted { self.state_of(session) } else { None };
            if let Some(body) = now.clone().filter(|_| now != told) {
                let event = passing(body);
                // Who began to follow meanwhile may have looked before the change.
                if let Some(own) = self.own(session) {
                    own.announce(&event);
                }
                self.shared.changes.announce(&event);
            }
            told = now;
            let Some(last) = self.last_word(session) else { continue };
            if last.is_deleted {
                self.announce_deleted(session);
            }
            return;
        }
    }

    /// Ends the telling of a session, unless it has changed again and is still there.
    fn last_word(&self, session: &str) -> Option<Word> {
        let telling = &mut self.shared.lock().telling;
        match telling.get_mut(session) {
            Some(Word { is_deleted: false, is_changed }) if *is_changed => {
                *is_changed = false;
                None
            }
            _ => Some(telling.remove(session).unwrap_or_default()),
        }
    }

    fn own(&self, session: &str) -> Option<Arc<Hub>> {
        self.shared.lock().hubs.get(session).cloned()
    }

    /// Remembers whether a tool of the session waits for a person, and tells it.
    pub fn set_waiting(&self, session: &str, waits: bool) {
        {
            let waiting = &mut self.shared.lock().waiting;
            if waits {
                waiting.insert(session.to_owned())
            } else {
                waiting.remove(session)
            };
        }
        self.tell_changed(session);
    }

    /// Whether a tool of the session waits for a person.
    #[must_use]
    pub fn is_waiting(&self, session: &str) -> bool {
        self.shared.lock().waiting.contains(session)
    }

    /// Tells that a session is gone, behind the last word of who tells of it right now.
    pub(super) fn tell_deleted(&self, session: &str) {
        if let Some(word) = self.shared.lock().telling.get_mut(session) {
            word.is_deleted = true;
            return;
        }
        self.announce_deleted(session);
    }

    fn announce_deleted(&self, session: &str) {
        let body = Body::SessionDeleted { session_id: session.to_owned() };
        self.shared.changes.announce(&passing(body));
    }

    /// What `session_changed` says of a session; nothing of one that is gone.
    fn state_of(&self, session: &str) -> Option<Body> {
        let (head, running) = self.head(session).ok()?;
        Some(Body::SessionChanged {
            session_id: head.id,
            status: if running { "running" } else { "idle" }.to_owned(),
            title: head.title,
            waiting: self.is_waiting(session),
        })
    }
}

fn passing(body: Body) -> Arc<Event> {
    Arc::new(Event { id: 0, keep: Keep::Passing, body })
}
