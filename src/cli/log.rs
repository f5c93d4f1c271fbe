//! The log on standard error: one line a record, control characters escaped.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::id::{now_ms, rfc3339};
use crate::text::escaped;

/// A thread keeps room for a line of this length.
const KEPT: usize = 1024;

struct Stderr;

static LOGGER: Stderr = Stderr;

/// Sends the log to standard error from now on.
pub(super) fn start(level: LevelFilter) {
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(level);
    }
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What the libraries tell below a warning is theirs, and may hold addresses and headers.
        metadata.target().starts_with("opencode")
            || metadata.target() == "request"
            || metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        thread_local! {
            static LINE: RefCell<String> = const { RefCell::new(String::new()) };
        }
        LINE.with_borrow_mut(|text| {
            line(text, record);
            // One write, so that lines of several threads do not mix; a closed stderr is no
            // failure.
            let _ = io::stderr().write_all(text.as_bytes());
            text.shrink_to(KEPT);
        });
    }

    fn flush(&self) {}
}

/// Prints one record as one line: whatever is in its text can neither begin another nor move a
/// cursor.
fn line(text: &mut String, record: &Record<'_>) {
    let level = match record.level() {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    text.clear();
    push_time(text, now_ms());
    // Writing to a string cannot fail.
    let _ = write!(text, " {level} ");
    let _ = write!(Escaping(text), "{}", record.args());
    text.push('\n');
}

/// The time in RFC 3339; all but its milliseconds is printed once a second.
fn push_time(text: &mut String, ms: u64) {
    thread_local! {
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    SECOND.with_borrow_mut(|(second, printed)| {
        if *second != ms / 1000 {
            *second = ms / 1000;
            rfc3339(*second * 1000).trim_end_matches(".000Z").clone_into(printed);
        }
        let _ = write!(text, "{printed}.{:03}Z", ms % 1000);
    });
}

/// Escapes what is written through it.
struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0.push_str(&escaped(part));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_milliseconds() {
        for ms in [1_764_000_000_000, 1_764_000_000_007, 1_764_000_001_120] {
            let mut text = String::new();
            push_time(&mut text, ms);
            assert_eq!(text, rfc3339(ms));
        }
    }

    #[test]
    fn a_record_cannot_forge_another() {
        let forged = "GET /x\n2026-01-01T00:00:00Z info all is well\r\x1b[2J\u{9b}1m\u{2028}é";
        let mut text = String::new();
        let record = format_args!("{forged}");
        line(&mut text, &Record::builder().level(Level::Info).args(record).build());
        let expected =
            " info GET /x\\n2026-01-01T00:00:00Z info all is well\\r\\x1b[2J\\u{9b}1m\\u{2028}é\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
