//! The operating system where the standard library does not reach: waking a waiting thread,
//! waiting on descriptors, and what a child process does before it starts.
//!
//! The only module with `unsafe` code.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
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
    let mut fds = vec![PollFd::new(waker, PollFlags::IN)];
    if let Some(socket) = &socket {
        fds.push(PollFd::new(socket, PollFlags::RDHUP));
    }
    let timeout = Timespec::try_from(time).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
    match rustix::event::poll(&mut fds, Some(&timeout)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Woken::TimedOut),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) {
        return Ok(Woken::Departed);
    }
    waker.clear();
    Ok(Woken::Waker)
}

/// Waits until the waker is woken or nobody reads an output any more, at most for `time`.
///
/// Only an end is looked for: a reader that pauses, or one of a socket that shut its own sending
/// side, is still there.
pub fn wait_unread(waker: &Waker, output: BorrowedFd<'_>, time: Duration) -> io::Result<Woken> {
    let mut fds =
        [PollFd::new(waker, PollFlags::IN), PollFd::from_borrowed_fd(output, PollFlags::empty())];
    let timeout = Timespec::try_from(time).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
    match rustix::event::poll(&mut fds, Some(&timeout)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Woken::TimedOut),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    if !fds[1].revents().is_empty() {
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
    let timeout = Timespec::try_from(time).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
    match rustix::event::poll(&mut fds, Some(&timeout)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Readable::TimedOut),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    if fds[0].revents().is_empty() { Ok(Readable::Ready) } else { Ok(Readable::Woken) }
}

/// As much of a stack as [`release_stack`] gives back. An exchange with a provider goes 24 KiB
/// deeper than the wait for its next token, more with TLS.
const RELEASED: usize = 48 * 1024;

/// Gives back the pages that deeper calls have left below the caller on its thread's stack.
///
/// A page that was touched once stays with its thread for as long as that lives. A thread that is
/// about to wait for long calls this, and 1,000 of them hold a third less.
#[inline(never)]
#[allow(clippy::large_stack_arrays)]
pub fn release_stack() {
    use rustix::mm::{Advice, madvise};
    // Lies where those calls had their frames.
    let mut below = [MaybeUninit::<u8>::uninit(); RELEASED];
    let page = rustix::param::page_size();
    let unaligned = below.as_mut_ptr().align_offset(page);
    let length = RELEASED.saturating_sub(unaligned) / page * page;
    let Some(pages) = below.get_mut(unaligned..unaligned + length) else { return };
    // SAFETY: the range lies within `below`, which is private memory, is written by nobody else
    // and holds no value; the kernel may as well put zeros there.
    #[allow(unsafe_code)]
    let released = unsafe { madvise(pages.as_mut_ptr().cast(), length, Advice::LinuxDontNeed) };
    if let Err(error) = released {
        log::debug!("a stack keeps its pages: {error}");
    }
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
    let timeout = Timespec::try_from(time).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
    match rustix::event::poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let woken = !fds[0].revents().is_empty();
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
    let timeout = Timespec::try_from(time).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
    match rustix::event::poll(&mut polled, Some(&timeout)) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(Some(vec![false; fds.len()])),
        Err(error) => return Err(error.into()),
    }
    let mut ready = polled.iter().map(|fd| !fd.revents().is_empty());
    if ready.next() == Some(true) {
        return Ok(None);
    }
    Ok(Some(ready.collect()))
}

/// Makes a child the leader of its own session and process group, without a terminal, that gets
/// SIGKILL when the thread that spawned it ends, so spawn from one that lives as long as the child
/// may.
pub fn isolate(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only async-signal-safe system calls are made: setsid,
    // prctl and getppid, which allocate nothing and take no lock.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            if rustix::process::getppid() == Some(parent) {
                Ok(())
            } else {
                Err(io::Error::other("the server ended"))
            }
        });
    }
}

/// Hides this process's environment from its children: the values of those names are overwritten
/// where the kernel shows them (`/proc/PID/environ`), and of the rest an ordinary user sees
/// nothing while the process is not dumpable. That ends with `exec`, so children are not touched.
///
/// To be called while no other thread looks at the environment; a wiped name is set to nothing
/// from then on.
pub fn protect_environment(is_secret: impl Fn(&str) -> bool) {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    // Before the other: of a process that is not dumpable these files are root's.
    if let Err(error) = wipe_environment(is_secret) {
        log::warn!("root's processes can read the secrets in the environment: {error}");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        log::warn!("the environment stays readable for this user's processes: {error}");
    }
}

fn wipe_environment(is_secret: impl Fn(&str) -> bool) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Behind the name, which may contain anything, come the fields from the third on; the 50th
    // and the 51st are where the environment begins and ends (proc_pid_stat(5)).
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let mut bounds = fields.split(' ').skip(47).map_while(|field| field.trim().parse::<u64>().ok());
    let (Some(start), Some(end)) = (bounds.next(), bounds.next()) else {
        return Err(io::Error::other("/proc/self/stat does not tell where it is"));
    };
    let mut bytes = vec![0; end.saturating_sub(start) as usize];
    let memory = std::fs::OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
    memory.read_exact_at(&mut bytes, start)?;
    let mut at = start;
    for entry in bytes.split(|&byte| byte == 0) {
        if let Some(equals) = entry.iter().position(|&byte| byte == b'=')
            && is_secret(&String::from_utf8_lossy(&entry[..equals]))
        {
            let value = equals + 1;
            memory.write_all_at(&vec![0; entry.len() - value], at + value as u64)?;
        }
        at += entry.len() as u64 + 1;
    }
    Ok(())
}

/// Raises the number of open descriptors to what the hard limit allows, and returns it.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(1024)
}

/// The bytes of memory this process may use: the machine's, or what its control group allows
/// (cgroup v2, `memory.max`). `None` where nothing tells.
#[must_use]
pub fn memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| {
        let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        kilobytes.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kb| kb * 1024)
    });
    let group = read("/proc/self/cgroup").and_then(|text| {
        let group = text.lines().find_map(|line| line.strip_prefix("0::"))?;
        read(&format!("/sys/fs/cgroup{}/memory.max", group.trim_end_matches('/')))
            .or_else(|| read("/sys/fs/cgroup/memory.max"))?
            .trim()
            .parse::<u64>()
            .ok()
    });
    match (machine, group) {
        (Some(machine), Some(group)) => Some(machine.min(group)),
        (machine, group) => machine.or(group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_memory() {
        assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn a_released_stack_keeps_what_its_thread_uses() {
        fn deep(levels: usize) -> usize {
            let frame = std::hint::black_box([levels; 64]);
            if levels > 0 { frame[7] + deep(levels - 1) } else { 0 }
        }
        let kept = std::hint::black_box([7_u8; 10_000]);
        for _ in 0..3 {
            assert_eq!(deep(100), 5050);
            release_stack();
        }
        assert!(kept.iter().all(|byte| *byte == 7));
    }
}
