//! Cancellation as one value handed down.
//!
//! A turn has one [`Cancel`]. Whoever is about to block registers a hook that ends the blocking
//! (shut an agent down, signal a process group, close a queue) and keeps the guard while it
//! blocks. Hooks run under the lock that registration takes, so a hook whose guard was dropped
//! never runs late; they may only set flags, shut sockets and send signals.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    cancelled: bool,
    next: u64,
    hooks: BTreeMap<u64, Hook>,
}

#[derive(Default)]
struct Shared {
    /// Protects the flag and the hooks; held while hooks run.
    state: Mutex<State>,
    changed: Condvar,
}

/// A turn's cancellation: a flag and hooks. Clones share it.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Shared>);

/// The turn was cancelled before a hook could be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// Keeps a hook registered; dropping it takes the hook back.
#[must_use = "the hook is taken back when the guard is dropped"]
pub struct Guard {
    shared: Arc<Shared>,
    key: u64,
}

impl Cancel {
    /// A token that nobody has cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag and runs every hook, once. Further calls do nothing.
    pub fn cancel(&self) {
        let mut state = self.0.lock();
        if state.cancelled {
            return;
        }
        state.cancelled = true;
        for (_, hook) in std::mem::take(&mut state.hooks) {
            hook();
        }
        self.0.changed.notify_all();
    }

    /// Whether [`Cancel::cancel`] was called. Ask at the top of every step and after any error.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.lock().cancelled
    }

    /// Whether both are the same turn's.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Registers what ends a call that is about to block.
    ///
    /// # Errors
    /// [`Cancelled`] when it is too late; the hook is then not run.
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) -> Result<Guard, Cancelled> {
        let mut state = self.0.lock();
        if state.cancelled {
            return Err(Cancelled);
        }
        let key = state.next;
        state.next += 1;
        state.hooks.insert(key, Box::new(hook));
        Ok(Guard { shared: Arc::clone(&self.0), key })
    }

    /// Waits, at most for `time`.
    ///
    /// # Errors
    /// [`Cancelled`] as soon as the token is cancelled.
    pub fn sleep(&self, time: Duration) -> Result<(), Cancelled> {
        let end = Instant::now() + time;
        let mut state = self.0.lock();
        loop {
            if state.cancelled {
                return Err(Cancelled);
            }
            let Some(left) = end.checked_duration_since(Instant::now()).filter(|d| !d.is_zero())
            else {
                return Ok(());
            };
            state =
                self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.lock().hooks.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_hook_runs_once_and_a_dropped_one_never() {
        let cancel = Cancel::new();
        let ran = Arc::new(AtomicU32::new(0));
        let (kept, dropped) = (Arc::clone(&ran), Arc::clone(&ran));
        let add = |to: Arc<AtomicU32>, n| move || _ = to.fetch_add(n, Ordering::SeqCst);
        let _guard = cancel.on_cancel(add(kept, 1)).unwrap();
        drop(cancel.on_cancel(add(dropped, 10)).unwrap());
        cancel.cancel();
        cancel.cancel();
        assert_eq!(ran.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn registering_after_the_cancel_fails_and_runs_nothing() {
        let cancel = Cancel::new();
        cancel.cancel();
        assert!(cancel.on_cancel(|| panic!("must not run")).is_err());
    }

    #[test]
    fn a_sleep_ends_with_the_cancel() {
        let cancel = Cancel::new();
        let other = cancel.clone();
        let sleeper = std::thread::spawn(move || other.sleep(Duration::from_secs(3600)));
        cancel.cancel();
        assert_eq!(sleeper.join().unwrap(), Err(Cancelled));
    }
}
