//! The line on a terminal's standard error that says whom a run waits for, until something comes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::process::getpgrp;
use rustix::termios::{tcgetpgrp, tcgetwinsize};

use crate::cancel::Cancel;
use crate::cli::look::fit;
use crate::cli::output::{LAST_WORDS, takes_words};
use crate::os;
use crate::text::plain;

const SECOND: Duration = Duration::from_secs(1);

/// Erases the line.
pub(super) const ERASE: &str = "\r\x1b[K";

/// The line.
pub(super) struct Waiting {
    over: Cancel,
    thread: Option<JoinHandle<()>>,
    /// Closes with the thread.
    ended: Receiver<()>,
    is_shown: Arc<AtomicBool>,
}

impl Waiting {
    /// Begins it, between what makes a line dim and what ends that. It is not to be seen before a
    /// second has passed: who answers at once is not waited for.
    pub(super) fn start(model: &str, (dim, bright): (&'static str, &'static str)) -> Self {
        let over = Cancel::new();
        let model = plain(model).replace('\n', " ");
        let (running, ended) = bounded(0);
        let is_shown = Arc::new(AtomicBool::new(false));
        let (until, shown) = (over.clone(), Arc::clone(&is_shown));
        let show = move || {
            let _running: Sender<()> = running;
            let begun = Instant::now();
            let mut seconds = 1;
            while until
                .sleep((begun + seconds * SECOND).saturating_duration_since(Instant::now()))
                .is_ok()
            {
                if is_in_foreground() {
                    let line = format!("· waiting for {model}… {seconds}s");
                    // A line that is broken could not be erased.
                    let columns = tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
                    let columns = if columns == 0 { 80 } else { usize::from(columns) };
                    let line = format!("\r{dim}{}{bright}\x1b[K", fit(&line, columns - 1));
                    if write(&line) {
                        shown.store(true, Ordering::SeqCst);
                    }
                }
                seconds += 1;
            }
            if shown.load(Ordering::SeqCst) && (!is_in_foreground() || write(ERASE)) {
                shown.store(false, Ordering::SeqCst);
            }
        };
        let thread = os::thread("waiting", show).ok();
        Self { over, thread, ended, is_shown }
    }

    /// Ends it. What comes next finds the line erased, unless the terminal takes nothing: then this
    /// is `true`.
    pub(super) fn end(mut self) -> bool {
        self.over.cancel();
        // A terminal that stops taking anything within a line holds the thread.
        if self.ended.recv_timeout(LAST_WORDS).is_err_and(|error| !error.is_timeout()) {
            let _ = self.thread.take().map(JoinHandle::join);
        }
        self.is_shown.load(Ordering::SeqCst)
    }
}

/// Writes to a terminal that takes something now; the lock of standard error is left to those who
/// have to say more.
fn write(text: &str) -> bool {
    takes_words(Duration::ZERO) && rustix::io::write(io::stderr(), text.as_bytes()).is_ok()
}

/// Whether the terminal is this program's, and not that of a shell which has it in the background.
fn is_in_foreground() -> bool {
    tcgetpgrp(io::stderr()).map_or(true, |group| group == getpgrp())
}
