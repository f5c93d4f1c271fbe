//! Child processes: where they are spawned, how they are waited for, and how they end.
//!
//! A command is the leader of a process group, and that group is what a stop signals first; what
//! has left it is found by [`super::stray`]. This module knows nothing of tools.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use super::reap;
use super::stray::{Call, MARK};
use crate::cancel::Cancel;
use crate::os::{self, Waker};

/// How long a killed process may take to be gone.
const DEATH: Duration = Duration::from_secs(1);
/// Without pidfds (before Linux 5.3) the end of a child is looked for this often.
const LOOK: Duration = Duration::from_millis(20);

/// A running command. Dropping it kills its group, whatever it started, and reaps it.
pub struct Running {
    child: Child,
    pid: Pid,
    /// Readable when the child has ended.
    ended: Option<OwnedFd>,
    call: Call,
    reaped: bool,
}

impl Running {
    /// Starts a command in a session and a process group of its own, marked, and dying with this
    /// server.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let call = Call::next();
        command.env(MARK, call.mark());
        os::isolate(&mut command);
        let child = spawn(command)?;
        let pid = Pid::from_child(&child);
        let ended = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok();
        Ok(Self { child, pid, ended, call, reaped: false })
    }

    /// Its process id, which is its group's too.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether the command itself has ended. It is not reaped by that, so its group's number
    /// stays its own.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        !matches!(rustix::process::waitid(WaitId::Pid(self.pid), look), Ok(None) | Err(Errno::INTR))
    }

    /// Waits until there is output, the command ended or the waker was woken, at most for `time`.
    pub fn wait(&self, output: Option<&PipeReader>, waker: Option<&Waker>, time: Duration) {
        let mut fds = Vec::new();
        fds.extend(output.map(|output| PollFd::new(output, PollFlags::IN)));
        fds.extend(waker.map(|waker| PollFd::new(waker, PollFlags::IN)));
        fds.extend(self.ended.as_ref().map(|ended| PollFd::new(ended, PollFlags::IN)));
        poll(&mut fds, if self.ended.is_none() { time.min(LOOK) } else { time });
    }

    /// Signals the group.
    pub fn signal(&self, signal: Signal) {
        signal_group(self.pid, signal);
    }

    /// Asks everything the command started to end, in its group or out of it.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
        self.call.signal(Signal::TERM);
    }

    /// Kills everything the command started, and reaps it.
    pub fn kill(mut self) -> io::Result<ExitStatus> {
        self.kill_and_reap()
    }

    /// Reaps the command after its end, and leaves what it started in the background to the end
    /// of the turn: see [`super::end_turn`].
    pub fn leave(mut self, turn: &Cancel) -> io::Result<ExitStatus> {
        self.reaped = true;
        self.call.leave(turn);
        let status = self.child.wait();
        reap::own().remove(&self.pid);
        status
    }

    fn kill_and_reap(&mut self) -> io::Result<ExitStatus> {
        self.reaped = true;
        self.signal(Signal::KILL);
        let end = Instant::now() + DEATH;
        while let (false, Some(left)) =
            (self.has_ended(), end.checked_duration_since(Instant::now()))
        {
            self.wait(None, None, left);
        }
        let status = if self.has_ended() {
            let status = self.child.wait();
            reap::own().remove(&self.pid);
            status
        } else {
            Err(io::Error::other("the command is stuck in the kernel"))
        };
        self.call.kill();
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.kill_and_reap();
        }
    }
}

/// Waits until there is output, at most for `time`.
pub fn wait_for_output(output: &PipeReader, time: Duration) {
    poll(&mut [PollFd::new(output, PollFlags::IN)], time);
}

/// Signals a process group. Nobody may call it after the group's leader was reaped.
pub fn signal_group(leader: Pid, signal: Signal) {
    // The only failure is that nothing is left in it.
    let _ = rustix::process::kill_process_group(leader, signal);
}

/// Describes how a command ended, if that was not well.
#[must_use]
pub fn failure(status: ExitStatus) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit status {code}")),
        (None, Some(signal)) => Some(format!("ended by signal {signal}")),
        (None, None) => Some("ended in an unknown way".to_owned()),
    }
}

/// A command to spawn, and where the child is awaited.
struct Request {
    command: Command,
    reply: Sender<io::Result<Child>>,
}

/// Spawns through the one thread that spawns.
///
/// The kernel kills a child made by [`os::isolate`] when the *thread* that spawned it ends, and
/// the threads of turns end. So all are spawned by a thread of their own that is started with the
/// first command and, alone among the threads, joined by nobody: it ends with the process.
fn spawn(command: Command) -> io::Result<Child> {
    let gone = || io::Error::other("the spawning thread is gone");
    let (reply, answer) = bounded(1);
    spawner()?.send(Request { command, reply }).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn spawner() -> io::Result<Sender<Request>> {
    /// Protects the only sender; held while the thread is started.
    static SPAWNER: Mutex<Option<Sender<Request>>> = Mutex::new(None);
    let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = &*spawner {
        return Ok(sender.clone());
    }
    // When it is full, further commands wait for their turn to be spawned.
    let (sender, requests) = bounded::<Request>(16);
    std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
        for Request { mut command, reply } in requests {
            let mut own = reap::own();
            let child = command.spawn();
            own.extend(child.as_ref().ok().map(Pid::from_child));
            drop(own);
            // It holds the writing end of the output, whose reader waits for the last one's end.
            drop(command);
            let _ = reply.send(child);
        }
    })?;
    *spawner = Some(sender.clone());
    Ok(sender)
}

/// Waits on descriptors. A failure is an interruption, after which everybody looks again.
fn poll(fds: &mut [PollFd<'_>], time: Duration) {
    let time = Timespec::try_from(time).unwrap_or_default();
    let _ = rustix::event::poll(fds, Some(&time));
}

/// Makes reading from a pipe return at once when there is nothing in it.
pub fn set_nonblocking(pipe: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(pipe, true)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    fn quiet(program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let asked = std::thread::spawn(|| Running::start(quiet("sleep", &["1000"])).unwrap());
        let running = asked.join().unwrap();
        running.wait(None, None, Duration::from_millis(50));
        assert!(!running.has_ended());
        assert_eq!(running.kill().unwrap().signal(), Some(9));
    }

    #[test]
    fn the_mark_of_one_command_is_not_that_of_another() {
        let one = Running::start(quiet("sleep", &["1000"])).unwrap();
        let other = Running::start(quiet("sleep", &["1000"])).unwrap();
        one.kill().unwrap();
        assert!(!other.has_ended());
    }

    #[test]
    fn an_end_is_seen_without_taking_it_away() {
        let running = Running::start(quiet("sh", &["-c", "exit 7"])).unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while !running.has_ended() && Instant::now() < end {
            running.wait(None, None, Duration::from_secs(1));
        }
        assert!(running.has_ended() && running.has_ended());
        let status = running.leave(&Cancel::new()).unwrap();
        assert_eq!(failure(status).as_deref(), Some("exit status 7"));
    }
}
