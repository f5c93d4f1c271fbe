//! Asking a person once for a server's password, where none was given.
//!
//! Only where somebody can answer: a terminal is on standard input and on standard error.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cancel::Cancel;
use crate::cli::exit::{Exit, Failure};
use crate::client::{Remote, Target};
use crate::config::Env;
use crate::os::{Readable, Waker, wait_readable};

/// Longer passwords are none.
const BYTES: usize = 4096;
const LONG: Duration = Duration::from_secs(3600);

/// Who handles signals when nobody is being asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signalled {
    /// The command itself.
    Command,
    /// Nobody: they end the program.
    Nobody,
}

/// Does something with a server, once more with the person's password if it wants one.
pub(super) fn signed_in<T>(
    target: Target,
    env: &Env,
    signalled: Signalled,
    cancel: &Cancel,
    mut act: impl FnMut(&Remote) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut target = target.found(cancel)?;
    let result = act(&Remote::new(&target)?);
    let can_ask =
        target.credentials.is_none() && io::stdin().is_terminal() && io::stderr().is_terminal();
    match result {
        Err(failure) if failure.wants_password() && can_ask => {
            let user = env.get("OPENCODE_SERVER_USERNAME").unwrap_or("opencode").to_owned();
            let asked = ask(&format!("password of {user} at {}: ", target.base), signalled, cancel);
            let asked =
                asked.map_err(|error| Failure::new(Exit::Failed, format!("terminal: {error}")))?;
            let Some(password) = asked else { return Err(failure) };
            target.credentials = Some((user, password));
            act(&Remote::new(&target)?)
        }
        result => result,
    }
}

/// Reads a line that is not shown; `None` where there is none.
fn ask(question: &str, signalled: Signalled, cancel: &Cancel) -> io::Result<Option<String>> {
    let waker = Arc::new(Waker::new()?);
    let hook = Arc::clone(&waker);
    let Ok(_guard) = cancel.on_cancel(move || hook.wake()) else { return Ok(None) };
    let quiet = Quiet::start(signalled)?;
    let mut stderr = io::stderr();
    stderr.write_all(crate::text::plain(question).as_bytes())?;
    let mut line = Vec::new();
    let mut buffer = [0; 512];
    let stdin = io::stdin();
    while !line.ends_with(b"\n") && line.len() <= BYTES {
        match wait_readable(&waker, stdin.as_fd(), LONG)? {
            Readable::Woken => break,
            Readable::TimedOut => continue,
            Readable::Ready => {}
        }
        match rustix::io::read(stdin.as_fd(), &mut buffer) {
            Ok(0) => break,
            Ok(n) => line.extend_from_slice(&buffer[..n]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    drop(quiet);
    let whole = line.strip_suffix(b"\n");
    // The end of the line was not shown either.
    stderr.write_all(b"\n")?;
    Ok(whole.and_then(|line| String::from_utf8(line.to_vec()).ok()))
}

/// A terminal that does not show what is typed, until this is dropped or a signal comes.
struct Quiet(Arc<Mutex<Option<Termios>>>);

impl Quiet {
    fn start(signalled: Signalled) -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // What the terminal was, as long as it is not that. Protects against restoring it twice.
        let quiet = Self(Arc::new(Mutex::new(Some(before))));
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])?;
        let changed = Arc::clone(&quiet.0);
        let watch = move || {
            for signal in signals.forever() {
                if restore(&changed) || signalled == Signalled::Nobody {
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
            }
        };
        // It ends with the program: a signal that has had a handler stays without its own effect.
        crate::os::thread("terminal", watch)?;
        tcsetattr(io::stdin(), OptionalActions::Now, &silent)?;
        Ok(quiet)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        restore(&self.0);
    }
}

/// Says whether there was anything to restore.
fn restore(changed: &Mutex<Option<Termios>>) -> bool {
    let before = changed.lock().unwrap_or_else(PoisonError::into_inner).take();
    let is_changed = before.is_some();
    if let Some(before) = before {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
    is_changed
}
