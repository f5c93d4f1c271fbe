//! What commands leave behind when they end becomes this process's own, as process 1 of a
//! container and as a child subreaper: it is reaped when it ends, so that no zombie stays.
//!
//! Only by known ids, never whatever ends next: that would take a running command's status away
//! from the tool that waits for it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// Whether orphans come to this process.
static ADOPTS: AtomicBool = AtomicBool::new(false);
/// How often what a killed process leaves is looked for.
const GENERATIONS: usize = 16;

/// The children that a tool waits for. Held while one is spawned, which is over in a moment, so
/// that none is taken for an adopted one before it is known.
static OWN: LazyLock<Mutex<HashSet<Pid>>> = LazyLock::new(Mutex::default);

/// The children that a tool waits for.
pub(super) fn own() -> MutexGuard<'static, HashSet<Pid>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes this process the one that orphans below it come to.
pub fn adopt_orphans() {
    ADOPTS.store(true, Ordering::SeqCst);
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        log::warn!("orphans of commands go to another process: {error}");
    }
}

/// A turn that may run commands. When the last one ends, what any of them left behind is killed,
/// though it has wiped the mark from its environment: while others run it cannot be told whose
/// it is.
pub struct Turn(());

/// How many turns may run commands.
static TURNS: AtomicUsize = AtomicUsize::new(0);

impl Turn {
    /// A turn begins.
    #[must_use]
    pub fn begin() -> Self {
        TURNS.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if TURNS.fetch_sub(1, Ordering::SeqCst) == 1 {
            kill_adopted();
        }
    }
}

/// Kills the children that were adopted, and theirs, which come here when these are gone.
pub fn kill_adopted() {
    if !ADOPTS.load(Ordering::SeqCst) {
        return;
    }
    // One that forks faster than it is killed is met again at the next end.
    for _ in 0..GENERATIONS {
        let own = own();
        let adopted: Vec<_> = children().into_iter().filter(|pid| !own.contains(pid)).collect();
        for pid in &adopted {
            // A child that is not reaped keeps its number, so this is no one else.
            let _ = rustix::process::kill_process(*pid, Signal::KILL);
            let _ = rustix::process::waitid(WaitId::Pid(*pid), WaitIdOptions::EXITED);
        }
        if adopted.is_empty() {
            return;
        }
    }
}

/// Reaps adopted children that have ended. To be called on SIGCHLD.
pub fn reap_adopted() {
    let own = own();
    for pid in children().into_iter().filter(|pid| !own.contains(pid)) {
        let reap = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        // One that still runs is left; one that is gone was reaped by a hunt for strays.
        let _ = rustix::process::waitid(WaitId::Pid(pid), reap);
    }
}

/// The children of all threads, as `/proc` tells.
fn children() -> Vec<Pid> {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let lists = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let numbers = lists.flat_map(|list| {
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()
    });
    numbers.filter_map(Pid::from_raw).collect()
}
