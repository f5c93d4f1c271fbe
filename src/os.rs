//! The operating system where the standard library does not reach: waking a waiting thread,
//! waiting on descriptors, and what a child process does before it starts.
//!
//! The only module with `unsafe` code.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

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

/// What the calls that give a stack back need of it themselves.
const ROOM: usize = if cfg!(debug_assertions) { 16 * 1024 } else { 512 };
/// What is left alone at the low end of a stack, where a guard may count as a part of it.
const FLOOR: usize = 64 * 1024;
/// A wait of this length is long.
const LONG: Duration = Duration::from_millis(10);
/// So many brief ones let expect another.
const MANY: u32 = 4;

thread_local! {
    /// Where this thread's stack may be given back from, if that is known.
    static LOWEST: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Tells [`release_stack`] how large the calling thread's stack is. Called at its start, with the
/// size that it was given.
pub fn begin_stack(bytes: usize) {
    let local = 0_u8;
    let top = std::ptr::from_ref(std::hint::black_box(&local)) as usize;
    LOWEST.set(Some(top.saturating_sub(bytes) + FLOOR));
}

/// Gives back the pages that deeper calls have left below the caller on its thread's stack, if
/// the thread has told its size.
///
/// A page that was touched once stays with its thread for as long as that lives. A thread that is
/// about to wait for long calls this, and 1,000 of them hold half as much.
#[inline(never)]
pub fn release_stack() {
    use rustix::mm::{Advice, madvise};
    let Some(lowest) = LOWEST.get() else { return };
    let local = 0_u8;
    let here = std::ptr::from_ref(std::hint::black_box(&local)) as usize;
    let page = rustix::param::page_size();
    let end = here.saturating_sub(ROOM) / page * page;
    let start = lowest.next_multiple_of(page);
    let Some(length) = end.checked_sub(start).filter(|length| *length > 0) else { return };
    let pages = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: the range is below the stack pointer, further than the calls made here reach, and
    // above the lowest address that this thread's stack has by the size it told. Nothing lives
    // there, so the kernel may as well put zeros.
    #[allow(unsafe_code)]
    let released = unsafe { madvise(pages, length, Advice::LinuxDontNeed) };
    if let Err(error) = released {
        log::debug!("a stack keeps its pages: {error}");
    }
}

/// Gives back the pages of the program's own code that ran so far. Most of what ran to start a
/// server never runs again; the rest is mapped again, from the kernel's copy of the file, when it
/// runs.
pub fn release_code() {
    use rustix::mm::{Advice, madvise};
    let here = release_code as fn() as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Some((start, end)) = maps.lines().find_map(|line| code_around(here, line)) else { return };
    let pages = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: the range maps a file and cannot be written, so its pages hold what the file does,
    // and a running program's file cannot be written either.
    #[allow(unsafe_code)]
    let released = unsafe { madvise(pages, end - start, Advice::LinuxDontNeed) };
    if let Err(error) = released {
        log::debug!("the code of the start stays in memory: {error}");
    }
}

/// Where a mapping starts and ends, by its line of `/proc/self/maps` (`proc_pid_maps(5)`), if an
/// address is in it and it is a file's code.
fn code_around(address: usize, line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let is_code = fields.next() == Some("r-xp") && fields.nth(3)?.starts_with('/');
    (is_code && (start..end).contains(&address)).then_some((start, end))
}

/// Waits again and again on one thread, and gives the stack back before each wait unless the last
/// ones were brief: a stream of many tokens a second does not pay for it.
#[derive(Debug, Default)]
pub struct Waits {
    /// How many there were since the last long one.
    brief: u32,
}

impl Waits {
    /// Waits in the way that is given.
    pub fn wait<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        if self.brief < MANY {
            release_stack();
        }
        let begun = Instant::now();
        let result = wait();
        self.brief = if begun.elapsed() < LONG { self.brief.saturating_add(1) } else { 0 };
        result
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

/// Whether this process was started with a signal ignored, by its number: `nohup` does that, and a
/// shell to what it puts into the background.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| (1..=64).contains(&signal) && mask >> (signal - 1) & 1 == 1)
}

/// The time of the clock that never runs backwards, `CLOCK_MONOTONIC`.
#[must_use]
pub fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(now).unwrap_or_default()
}

/// Whether this process has a terminal whose hang-up is its own.
#[must_use]
pub fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
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

    /// Kilobytes of the calling thread's stack that are resident.
    fn resident() -> u64 {
        let local = 0_u8;
        resident_around(std::ptr::from_ref(std::hint::black_box(&local)) as u64)
    }

    /// Kilobytes that are resident of the mapping with an address.
    fn resident_around(here: u64) -> u64 {
        let maps = std::fs::read_to_string("/proc/thread-self/smaps").unwrap();
        let mut inside = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let hex = |text| u64::from_str_radix(text, 16).ok();
            if let Some((start, end)) = range.and_then(|(a, b)| Some((hex(a)?, hex(b)?))) {
                inside = (start..end).contains(&here);
            } else if let Some(size) = line.strip_prefix("Rss:").filter(|_| inside) {
                return size.trim().trim_end_matches(" kB").parse().unwrap();
            }
        }
        panic!("no such mapping")
    }

    fn deep(levels: usize) -> usize {
        let frame = std::hint::black_box([levels; 64]);
        if levels > 0 { frame[7] + deep(levels - 1) } else { 0 }
    }

    #[test]
    fn a_machine_has_memory() {
        assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn an_ignored_signal_is_known() {
        // The standard library ignores the one and leaves the other.
        assert!(is_ignored(13) && !is_ignored(15));
        assert!(!is_ignored(0) && !is_ignored(65));
    }

    #[test]
    fn a_released_stack_is_smaller_and_keeps_what_its_thread_uses() {
        const STACK: usize = 512 * 1024;
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(|| {
            begin_stack(STACK);
            // What reads the figures is deep itself.
            resident();
            let kept = std::hint::black_box([7_u8; 10_000]);
            for _ in 0..3 {
                release_stack();
                let before = resident();
                assert_eq!(deep(100), 5050);
                let room = (ROOM / 1024) as u64 + 4;
                assert!(resident() > before + room);
                release_stack();
                assert!(resident() <= before + room);
            }
            assert!(kept.iter().all(|byte| *byte == 7));
        });
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn code_that_ran_is_given_back_and_runs_again() {
        let resident_code = || resident_around(release_code as fn() as usize as u64);
        let before = resident_code();
        release_code();
        let after = resident_code();
        assert!(after < before, "{after} of {before} kB");
    }

    #[test]
    fn only_a_files_code_is_taken_for_it() {
        let line = |flags, path| format!("1000-3000 {flags} 00001000 fe:00 42    {path}");
        assert_eq!(code_around(0x1000, &line("r-xp", "/bin/a b")), Some((0x1000, 0x3000)));
        assert_eq!(code_around(0x3000, &line("r-xp", "/bin/a")), None);
        for (flags, path) in
            [("rwxp", "/bin/a"), ("r--p", "/bin/a"), ("r-xp", "[vdso]"), ("r-xp", "")]
        {
            assert_eq!(code_around(0x2000, &line(flags, path)), None, "{flags} {path}");
        }
        assert_eq!(code_around(0, ""), None);
    }

    #[test]
    fn a_stack_of_unknown_size_and_the_end_of_one_are_let_be() {
        const STACK: usize = 128 * 1024;
        fn at_the_end(levels: usize) -> usize {
            let frame = std::hint::black_box([levels; 64]);
            release_stack();
            if levels > 0 { frame[7] + at_the_end(levels - 1) } else { 0 }
        }
        release_stack();
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(|| {
            begin_stack(STACK);
            assert_eq!(at_the_end(100), 5050);
        });
        thread.unwrap().join().unwrap();
    }
}
