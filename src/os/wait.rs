//! Waits on descriptors, until something happens there or another thread wakes the waiting one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

/// Wakes a thread that waits in [`wait`], by a Linux eventfd.
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    /// A waker that nobody has woken.
    pub fn new() -> io::Result<Self> {
        Ok(Self(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Wakes the waiting thread, now or when it next waits.
    pub fn wake(&self) {
        // The only failure is a full counter, and then the thread is awake already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Forgets all wakes so far.
    pub fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What [`wait`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The waker was woken; it is cleared.
    Waker,
    /// The peer of the socket is gone, or will send no more.
    Departed,
    /// Neither, within the time.
    TimedOut,
}

/// Waits until the waker is woken or the socket's peer departs, at most for `time`.
///
/// A peer that only shut its sending side counts as departed: it can no longer ask for anything,
/// and servers commonly take it so.
pub fn wait(waker: &Waker, socket: Option<BorrowedFd<'_>>, time: Duration) -> io::Result<Woken> {
    let peer = socket.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::RDHUP));
    wait_for_departure(waker, peer, time)
}

/// Waits until the waker is woken or nobody reads an output any more, at most for `time`.
///
/// Only an end is looked for: a reader that pauses, or one of a socket that shut its own sending
/// side, is still there.
pub fn wait_unread(waker: &Waker, output: BorrowedFd<'_>, time: Duration) -> io::Result<Woken> {
    let reader = PollFd::from_borrowed_fd(output, PollFlags::empty());
    wait_for_departure(waker, Some(reader), time)
}

fn wait_for_departure(
    waker: &Waker,
    other: Option<PollFd<'_>>,
    time: Duration,
) -> io::Result<Woken> {
    let mut fds = vec![PollFd::new(waker, PollFlags::IN)];
    fds.extend(other);
    if !poll(&mut fds, time)? {
        return Ok(Woken::TimedOut);
    }
    if fds.get(1).is_some_and(happened) {
        return Ok(Woken::Departed);
    }
    waker.clear();
    Ok(Woken::Waker)
}

/// What [`wait_readable`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    /// A read will not block: there are bytes, or the end, or a failure.
    Ready,
    /// The waker was woken.
    Woken,
    /// Neither, within the time.
    TimedOut,
}

/// Waits until a descriptor can be read or the waker is woken, at most for `time`.
pub fn wait_readable(waker: &Waker, fd: BorrowedFd<'_>, time: Duration) -> io::Result<Readable> {
    let mut fds = [PollFd::new(waker, PollFlags::IN), PollFd::new(&fd, PollFlags::IN)];
    if !poll(&mut fds, time)? {
        return Ok(Readable::TimedOut);
    }
    Ok(if happened(&fds[0]) { Readable::Woken } else { Readable::Ready })
}

/// Waits until the waker is woken, or the socket can be read or written as far as that is asked
/// for, or fails; at most for `time`. Tells whether the waker was woken; it is cleared.
pub fn wait_ready(
    waker: &Waker,
    socket: BorrowedFd<'_>,
    (read, write): (bool, bool),
    time: Duration,
) -> io::Result<bool> {
    let mut wanted = PollFlags::empty();
    wanted.set(PollFlags::IN, read);
    wanted.set(PollFlags::OUT, write);
    let mut fds = [PollFd::new(waker, PollFlags::IN), PollFd::new(&socket, wanted)];
    let woken = poll(&mut fds, time)? && happened(&fds[0]);
    if woken {
        waker.clear();
    }
    Ok(woken)
}

/// Waits until one of the descriptors can be read, or has failed, at most for `time`; tells which
/// of them are. `None` once the waker is woken; it is not cleared.
pub fn wait_many(
    waker: &Waker,
    fds: &[BorrowedFd<'_>],
    time: Duration,
) -> io::Result<Option<Vec<bool>>> {
    let all = std::iter::once(waker.as_fd()).chain(fds.iter().copied());
    let mut polled: Vec<_> = all.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    poll(&mut polled, time)?;
    let mut ready = polled.iter().map(happened);
    if ready.next() == Some(true) {
        return Ok(None);
    }
    Ok(Some(ready.collect()))
}

/// Whether a write to a descriptor would not block, or comes to be so within the time.
pub fn takes(fd: impl AsFd, time: Duration) -> bool {
    poll(&mut [PollFd::new(&fd, PollFlags::OUT)], time).unwrap_or(false)
}

/// Whether anything happened within the time. A signal ends the wait as its end does.
fn poll(fds: &mut [PollFd<'_>], time: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(time).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
    match rustix::event::poll(fds, Some(&timeout)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn happened(fd: &PollFd<'_>) -> bool {
    !fd.revents().is_empty()
}
