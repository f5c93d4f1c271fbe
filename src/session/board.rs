//! The Mutex map of the turns that run, and who waits for their end.

use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cancel::Cancel;
use crate::error::{Code, Problem};
use crate::session::doorway::Doorway;
use crate::session::problem;
use crate::session::store::StoreError;

/// Turns that were stopped have this long to end when the server stops.
const ABORT_TIME: Duration = Duration::from_secs(2);

/// The map, and who waits for it to be empty.
#[derive(Default)]
pub(super) struct Board {
    /// Never held while anything waits.
    turns: Mutex<Turns>,
    /// Nothing runs or is about to.
    emptied: Condvar,
    /// Turns go through it as they begin.
    pub(super) door: Doorway,
}

/// What runs now.
#[derive(Default)]
pub(super) struct Turns {
    /// By the id of the answer: a session's next turn may begin while the thread of the one
    /// before is still on its way out.
    pub(super) running: HashMap<String, Running>,
    /// The answer that each session's newest turn gives.
    newest: HashMap<String, String>,
    /// Threads that are past their last look at this map, to be joined.
    ended: Vec<JoinHandle<()>>,
    /// Turns that have a place and no thread yet.
    pub(super) starting: usize,
    /// Sessions that are being deleted.
    pub(super) going: HashSet<String>,
    stopping: bool,
}

/// A turn in the map.
pub(super) struct Running {
    pub(super) cancel: Cancel,
    pub(super) thread: JoinHandle<()>,
}

impl Board {
    pub(super) fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell_if_idle(&self) {
        if self.lock().is_idle() {
            self.emptied.notify_all();
        }
    }

    /// Takes no new turns from now on.
    pub(super) fn close(&self) {
        self.lock().stopping = true;
    }

    /// Takes no new turns, gives the running ones their grace, stops the rest, and returns when
    /// all have ended or [`ABORT_TIME`] is over.
    pub(super) fn stop(&self, grace: Duration) {
        self.close();
        self.wait_idle(grace);
        let left: Vec<_> = self.lock().running.values().map(|turn| turn.cancel.clone()).collect();
        for cancel in &left {
            cancel.cancel();
        }
        self.wait_idle(ABORT_TIME);
        let ended = std::mem::take(&mut self.lock().ended);
        join(ended);
    }

    fn wait_idle(&self, time: Duration) {
        let waited = self.emptied.wait_timeout_while(self.lock(), time, |turns| !turns.is_idle());
        drop(waited);
    }

    /// A turn that had a place does not start.
    pub(super) fn give_place_back(&self) {
        self.lock().starting -= 1;
        self.tell_if_idle();
    }

    /// Takes a turn out whose thread has nothing more to do, and joins those that ended before it:
    /// a thread that is not joined keeps its stack.
    pub(super) fn end(&self, session: &str, message_id: &str) {
        let ended = self.lock().end(session, message_id);
        self.tell_if_idle();
        join(ended);
    }
}

impl Turns {
    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.starting == 0
    }

    pub(super) fn refuse_when_stopping(&self) -> Result<(), Problem> {
        if self.stopping {
            let detail = "the server is stopping and takes no new work; try again shortly";
            return Err(Problem::new(Code::Stopping, detail).retry_after(5));
        }
        Ok(())
    }

    /// Takes one of so many places among the turns that may run.
    pub(super) fn reserve(&mut self, session: Option<&str>, places: usize) -> Result<(), Problem> {
        self.refuse_when_stopping()?;
        if session.is_some_and(|session| self.going.contains(session)) {
            return Err(problem(StoreError::Missing, ""));
        }
        if self.running.len() + self.starting >= places {
            let detail = format!("{places} turns are running, which is the limit");
            return Err(Problem::new(Code::AtCapacity, detail).retry_after(1));
        }
        self.starting += 1;
        Ok(())
    }

    /// A turn that had a place runs.
    pub(super) fn begin(&mut self, session: &str, message_id: &str, turn: Running) {
        self.starting -= 1;
        self.running.insert(message_id.to_owned(), turn);
        self.newest.insert(session.to_owned(), message_id.to_owned());
    }

    /// What stops a session's newest turn.
    pub(super) fn newest_of(&self, session: &str) -> Option<Cancel> {
        let turn = self.running.get(self.newest.get(session)?)?;
        Some(turn.cancel.clone())
    }

    /// Takes a turn out, and gives the threads that ended before it.
    fn end(&mut self, session: &str, message_id: &str) -> Vec<JoinHandle<()>> {
        let joinable = std::mem::take(&mut self.ended);
        if self.newest.get(session).is_some_and(|newest| newest == message_id) {
            self.newest.remove(session);
        }
        self.ended.extend(self.running.remove(message_id).map(|turn| turn.thread));
        joinable
    }
}

/// Joins threads that have ended or are about to; the map is not locked meanwhile.
fn join(ended: Vec<JoinHandle<()>>) {
    for thread in ended {
        // A turn catches its own panics, so there is no result to look at.
        let _ = thread.join();
    }
}
