//! What a child process does before it starts, and what it cannot see of this one.

use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{DumpableBehavior, Signal};

/// Makes a child the leader of its own session and process group, without a terminal, that gets
/// SIGKILL when the thread that spawned it ends, so spawn from one that lives as long as the child
/// may.
pub fn isolate(command: &mut Command) {
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only async-signal-safe system calls are made: setsid,
    // prctl and getppid, which allocate nothing and take no lock.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
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
    // Before the other: of a process that is not dumpable these files are root's.
    if let Err(error) = wipe_environment(is_secret) {
        log::warn!("root's processes can read the secrets in the environment: {error}");
    }
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        log::warn!("the environment stays readable for this user's processes: {error}");
    }
}

fn wipe_environment(is_secret: impl Fn(&str) -> bool) -> io::Result<()> {
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
