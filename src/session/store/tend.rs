//! What the store does by itself, on a thread of its own: it stores text that was told ahead, tells
//! of turns that other processes ran, and forgets sessions that nobody uses.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, select};

use super::in_use::{InUse, Shared};
use crate::session::hub::Hub;

/// Text that was told is stored within about this time.
const FLUSH_TIME: Duration = Duration::from_secs(1);
/// A session that nobody uses keeps its newest events in memory for this time...
const IDLE_TIME: Duration = Duration::from_secs(60);
/// ...and at most so many sessions do, the last used ones.
const IDLE_HUBS: usize = 32;

impl Shared {
    /// The store's own thread: stores text that waits, follows turns of other processes, and
    /// forgets sessions that nobody uses. It sleeps while there is none in use.
    pub(super) fn tend(&self, nudged: &Receiver<()>, stopped: &Receiver<()>) {
        loop {
            let in_use = self.lock();
            let idle = in_use.active.is_empty() && in_use.hubs.is_empty();
            drop(in_use);
            if idle {
                select! {
                    recv(nudged) -> _ => {}
                    recv(stopped) -> _ => return,
                }
            }
            if stopped.recv_timeout(FLUSH_TIME) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            self.flush_old();
            self.tell_of_others();
            self.forget_idle();
        }
    }

    fn flush_old(&self) {
        let active: Vec<_> = self.lock().active.values().cloned().collect();
        for active in active {
            if let Err(error) = active.flush_older(FLUSH_TIME / 2) {
                // The turn meets the same failure with its next event that has to be stored.
                log::warn!("text of a running turn cannot be stored: {error}");
            }
        }
    }

    /// A turn of another process is told here when it has ended.
    fn tell_of_others(&self) {
        let in_use = self.lock();
        let followed: Vec<_> = in_use
            .hubs
            .iter()
            .filter(|(id, hub)| in_use.holds(id).is_none() && hub.use_of().0)
            .map(|(id, hub)| (id.clone(), Arc::clone(hub)))
            .collect();
        drop(in_use);
        for (id, hub) in followed {
            if self.backend.is_leased(&id) {
                continue;
            }
            let Some(told) = hub.told_before(self.backend.size(&id)) else { continue };
            let Ok(events) = self.backend.events(&id, told) else { continue };
            let events: Vec<_> = events.filter_map(Result::ok).map(Arc::new).collect();
            // A turn that began here meanwhile speaks for itself, and after these.
            if !events.is_empty() && self.lock().holds(&id).is_none() {
                hub.publish(&events);
            }
        }
    }

    fn forget_idle(&self) {
        let mut in_use = self.lock();
        let InUse { active, hubs, .. } = &mut *in_use;
        // When it was last used, if nobody uses it. A follower on its way in holds the hub too.
        let idle_since = |id: &String, hub: &Arc<Hub>| {
            let (is_followed, used) = hub.use_of();
            let is_idle = !is_followed && !active.contains_key(id) && Arc::strong_count(hub) == 1;
            is_idle.then_some(used)
        };
        let mut idle: Vec<_> = hubs.iter().filter_map(|(id, hub)| idle_since(id, hub)).collect();
        idle.sort_unstable_by(|a, b| b.cmp(a));
        let crowded_out = idle.get(IDLE_HUBS).copied();
        hubs.retain(|id, hub| {
            idle_since(id, hub).is_none_or(|used| {
                used.elapsed() < IDLE_TIME && crowded_out.is_none_or(|oldest| used > oldest)
            })
        });
        hubs.shrink_to(4 * IDLE_HUBS);
    }
}
