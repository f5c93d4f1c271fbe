//! The line on a terminal's standard error that says whom a run waits for, until something comes.

use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::getpgrp;
use rustix::termios::{tcgetpgrp, tcgetwinsize};

use crate::cancel::Cancel;
use crate::cli::look::fit;
use crate::cli::output::stderr;
use crate::os;
use crate::text::plain;

const SECOND: Duration = Duration::from_secs(1);

/// The line; it is erased when this is dropped.
pub(super) struct Waiting {
    over: Cancel,
    thread: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Begins it, between what makes a line dim and what ends that. It is not to be seen before a
    /// second has passed: who answers at once is not waited for.
    pub(super) fn start(model: &str, (dim, bright): (&'static str, &'static str)) -> Self {
        let over = Cancel::new();
        let model = plain(model).replace('\n', " ");
        let until = over.clone();
        let show = move || {
            let begun = Instant::now();
            let (mut seconds, mut is_shown) = (1, false);
            while until
                .sleep((begun + seconds * SECOND).saturating_duration_since(Instant::now()))
                .is_ok()
            {
                if is_in_foreground() {
                    let line = format!("· waiting for {model}… {seconds}s");
                    // A line that is broken could not be erased.
                    let columns = tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
                    let columns = if columns == 0 { 80 } else { usize::from(columns) };
                    stderr(&format!("\r{dim}{}{bright}\x1b[K", fit(&line, columns - 1)));
                    is_shown = true;
                }
                seconds += 1;
            }
            if is_shown && is_in_foreground() {
                stderr("\r\x1b[K");
            }
        };
        let thread = os::thread("waiting", show);
        Self { over, thread: thread.ok() }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.over.cancel();
        // What comes next finds the line erased.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Whether the terminal is this program's, and not that of a shell which has it in the background.
fn is_in_foreground() -> bool {
    tcgetpgrp(io::stderr()).map_or(true, |group| group == getpgrp())
}
