//! What ends a run before its answer does: a signal, the time, a reader who left.

use std::sync::{Arc, Mutex, PoisonError};

use crate::cancel::Cancel;
use crate::cli::exit::Exit;

/// Ends a run early, and remembers why.
#[derive(Clone, Default)]
pub(super) struct Stop {
    /// Ends whatever blocks.
    pub(super) cancel: Cancel,
    reason: Arc<Mutex<Option<Exit>>>,
}

impl Stop {
    /// Ends the run with this status, unless it is ending already.
    pub(super) fn request(&self, exit: Exit) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(exit);
        self.cancel.cancel();
    }

    /// Why it ends, once it does.
    pub(super) fn reason(&self) -> Option<Exit> {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
