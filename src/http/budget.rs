//! A bound for all request bodies that are being read at one time.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What a body may take without asking: an ordinary request is read however many large ones are
/// under way.
const FREE: usize = 16 * 1024;

/// Bytes that all bodies may take together.
#[derive(Debug)]
pub(super) struct Budget(AtomicUsize);

/// What one body has taken of it, given back on drop.
pub(super) struct Share<'a> {
    budget: &'a Budget,
    taken: usize,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    pub(super) fn share(&self) -> Share<'_> {
        Share { budget: self, taken: 0 }
    }
}

impl Share<'_> {
    /// Takes what a body of this size needs. `false` where there is not as much.
    pub(super) fn grow_to(&mut self, size: usize) -> bool {
        let more = size.saturating_sub(FREE).saturating_sub(self.taken);
        let left = &self.budget.0;
        let fits = more == 0
            || left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(more))
                .is_ok();
        if fits {
            self.taken += more;
        }
        fits
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back_and_small_bodies_need_nothing() {
        let budget = Budget::new(1000);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.grow_to(FREE + 600) && one.grow_to(FREE + 700) && one.grow_to(5));
        assert!(!other.grow_to(FREE + 301));
        assert!(other.grow_to(FREE) && other.grow_to(FREE + 300));
        assert!(!one.grow_to(FREE + 701));
        drop(one);
        assert!(other.grow_to(FREE + 1000));
    }
}
