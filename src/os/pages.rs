//! Gives pages of memory back: of a stack before a long wait, of code that ran once.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::mm::{Advice, madvise};

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

/// Gives back the pages of the program's own code that ran so far. Most of what ran to start a
/// server never runs again; the rest is mapped again, from the kernel's copy of the file, when it
/// runs.
pub fn release_code() {
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
