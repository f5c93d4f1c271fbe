//! What commands leave behind, found by the mark in its environment and killed.
//!
//! A process group catches what stays in it; `setsid` and daemons leave. All of them inherit the
//! environment entry their command was started with, which names the server and the command, so
//! each can be found in `/proc`. What wipes its environment as well is not found.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use crate::cancel::Cancel;

/// The environment name that marks a command and everything it starts.
pub const MARK: &str = "OPENCODE_CHILD";
/// How long marked strays are hunted: each pass kills all it finds, the next finds what these had
/// just forked.
const HUNT: Duration = Duration::from_millis(400);

/// One command's number within this server; with the server's own name it is the command's mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call(u64);

/// Kills what the commands of a turn left running. To be called at the end of every turn.
pub fn end_turn(turn: &Cancel) {
    let mut marks = Vec::new();
    ended().retain(|(of, call)| {
        let others = !of.same_as(turn);
        if !others {
            marks.push(call.mark());
        }
        others
    });
    if !marks.is_empty() {
        kill_marked(&|found| marks.iter().any(|mark| mark.as_bytes() == found));
    }
}

/// Kills what commands of servers left running that are themselves gone, killed before they could
/// do it. To be called once at start.
pub fn kill_orphans() {
    kill_marked(&|mark| orphaned(mark).unwrap_or(false));
}

impl Call {
    /// A number that no command had before.
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The value of [`MARK`] for this command.
    pub(super) fn mark(self) -> String {
        format!("{}.{}", instance(), self.0)
    }

    /// Signals what carries this mark.
    pub(super) fn signal(self, signal: Signal) {
        let mark = self.mark();
        signal_marked(signal, &|found| found == mark.as_bytes());
    }

    /// Kills what carries this mark, and what that starts meanwhile.
    pub(super) fn kill(self) {
        let mark = self.mark();
        kill_marked(&|found| found == mark.as_bytes());
    }

    /// Leaves what carries this mark to the turn's end.
    pub(super) fn leave(self, turn: &Cancel) {
        ended().push((turn.clone(), self));
    }
}

/// The commands that ended and may have left something running, with their turn. The lock
/// protects this list and is held only to look at it.
fn ended() -> MutexGuard<'static, Vec<(Cancel, Call)>> {
    static ENDED: Mutex<Vec<(Cancel, Call)>> = Mutex::new(Vec::new());
    ENDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of this process that no other has until the machine starts anew: process number
/// space, process number and time of start.
fn instance() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let pid = std::process::id();
        format!("{}-{pid}-{}", pid_space(), started(pid).unwrap_or(0))
    })
}

fn pid_space() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

/// When a process started, in the kernel's ticks.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything; the time is the 22nd field, 20th after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Whether a mark is that of a server which is gone.
fn orphaned(mark: &[u8]) -> Option<bool> {
    let (server, _call) = std::str::from_utf8(mark).ok()?.rsplit_once('.')?;
    let [space, pid, start] = server.split('-').collect::<Vec<_>>().try_into().ok()?;
    let (pid, start): (u32, u64) = (pid.parse().ok()?, start.parse().ok()?);
    Some(space == pid_space() && started(pid) != Some(start))
}

/// Kills every process whose mark is wanted, until a look finds none, and reaps those that had
/// become this process's own.
fn kill_marked(wanted: &dyn Fn(&[u8]) -> bool) {
    let end = Instant::now() + HUNT;
    let mut killed = Vec::new();
    loop {
        let found = signal_marked(Signal::KILL, wanted);
        let done = found.is_empty();
        killed.extend(found);
        // A dead process is a zombie until it is reaped, and has no environment any more.
        killed.retain(|pid| {
            let reap = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            matches!(rustix::process::waitid(WaitId::Pid(*pid), reap), Ok(None) | Err(Errno::INTR))
        });
        if (done && killed.is_empty()) || Instant::now() > end {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Signals every process whose mark is wanted, and says which they were.
fn signal_marked(signal: Signal, wanted: &dyn Fn(&[u8]) -> bool) -> Vec<Pid> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let number =
        |entry: io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    processes
        .filter_map(|entry| number(entry).and_then(Pid::from_raw))
        .filter(|pid| *pid != rustix::process::getpid())
        .filter(|pid| {
            // Opened before the mark is read: should the process end and its number be given
            // away in between, the signal goes nowhere.
            let process = rustix::process::pidfd_open(*pid, PidfdFlags::empty());
            if !has_mark(*pid, wanted) {
                return false;
            }
            match process {
                Ok(process) => rustix::process::pidfd_send_signal(process, signal),
                Err(Errno::NOSYS) => rustix::process::kill_process(*pid, signal),
                Err(error) => Err(error),
            }
            .is_ok()
        })
        .collect()
}

fn has_mark(pid: Pid, wanted: &dyn Fn(&[u8]) -> bool) -> bool {
    const BOUND: u64 = 8 * 1024 * 1024;
    let mut environment = Vec::new();
    let Ok(file) = File::open(format!("/proc/{}/environ", pid.as_raw_nonzero())) else {
        return false;
    };
    // What a process that ends meanwhile still gives is enough, or it needs no signal.
    let _ = file.take(BOUND).read_to_end(&mut environment);
    environment
        .split(|byte| *byte == 0)
        .filter_map(|entry| entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))
        .any(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::process::Running;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    fn sleep() -> Command {
        let mut command = Command::new("sleep");
        command.arg("1000");
        command
    }

    #[test]
    fn only_marks_of_servers_that_are_gone_are_orphans() {
        let (space, pid) = (pid_space(), std::process::id());
        let start = started(pid).unwrap();
        assert_eq!(orphaned(Call(3).mark().as_bytes()), Some(false));
        assert_eq!(orphaned(format!("{space}-{pid}-{}.3", start + 1).as_bytes()), Some(true));
        assert_eq!(orphaned(format!("1{space}-{pid}-{}.3", start + 1).as_bytes()), Some(false));
        assert_eq!(orphaned(b"somebody else's"), None);
    }

    #[test]
    fn orphans_are_killed_and_others_are_not() {
        let mut gone = sleep();
        gone.env(MARK, format!("{}-4194305-1.9", pid_space()));
        let mut gone = gone.spawn().unwrap();
        let kept = Running::start(sleep()).unwrap();
        // `spawn` returns after exec, when the mark can be seen.
        kill_orphans();
        // Either it was reaped as a stray that had become ours, or it is now.
        assert!(gone.wait().map_or(true, |status| status.signal() == Some(9)));
        assert!(!kept.has_ended());
    }
}
