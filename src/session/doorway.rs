//! A door that so many go through at once. What is behind it takes memory, stack and the disk for a
//! moment; a thousand turns that begin in one instant need not all have them in the same one.

use std::sync::{Condvar, Mutex, PoisonError};

/// Who begins writes its first events, and they are on stable storage before it goes on.
const WIDTH: usize = 32;

/// The door.
#[derive(Debug)]
pub(super) struct Doorway {
    /// Protects how many may still go in.
    room: Mutex<usize>,
    left: Condvar,
}

/// As wide as a disk can make use of.
impl Default for Doorway {
    fn default() -> Self {
        Self::new(WIDTH)
    }
}

/// One that is inside, until it is dropped.
#[derive(Debug)]
pub(super) struct Inside<'a>(&'a Doorway);

impl Doorway {
    pub(super) fn new(width: usize) -> Self {
        Self { room: Mutex::new(width), left: Condvar::new() }
    }

    /// Waits for room. Whoever is inside waits for nothing but the disk, and never for a door.
    pub(super) fn enter(&self) -> Inside<'_> {
        let room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.left.wait_while(room, |room| *room == 0);
        *room.unwrap_or_else(PoisonError::into_inner) -= 1;
        Inside(self)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        *self.0.room.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn all_come_through_and_never_more_than_fit() {
        let (door, inside, most) = (Doorway::new(3), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| {
                    let _inside = door.enter();
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
        assert_eq!(*door.room.lock().unwrap(), 3);
    }
}
