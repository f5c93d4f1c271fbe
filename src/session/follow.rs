//! Following sessions: one, all of them, or the server's end.

use std::sync::Arc;

use super::{Follower, Sessions, problem};
use crate::error::Problem;
use crate::event::EventId;
use crate::os::Waker;

impl Sessions {
    /// Follows a session: what came after an event, or from now on, and how the session stands.
    ///
    /// # Errors
    /// No such session, or as many follow it as may.
    pub fn follow(&self, session: &str, after: Option<EventId>) -> Result<Follower, Problem> {
        let waker = Waker::new().map_err(|e| problem(e.into(), session))?;
        self.follow_with(session, after, Arc::new(waker))
    }

    /// The same, waking a waker that others share.
    ///
    /// # Errors
    /// As [`Sessions::follow`].
    pub fn follow_with(
        &self,
        session: &str,
        after: Option<EventId>,
        waker: Arc<Waker>,
    ) -> Result<Follower, Problem> {
        self.store.subscribe(session, after, waker).map_err(|e| problem(e, session))
    }

    /// Follows what changes in any session.
    #[must_use]
    pub fn follow_all(&self, waker: Arc<Waker>) -> Follower {
        self.store.follow_all(waker)
    }

    /// Follows nothing but the end: it closes when the server stops, behind the last word of the
    /// last turn.
    #[must_use]
    pub fn follow_end(&self, waker: Arc<Waker>) -> Follower {
        self.store.follow_end(waker)
    }
}
