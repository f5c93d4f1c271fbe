//! The log on standard error: one line a record, control characters escaped.

use std::io::{self, Write};

use log::{Level, LevelFilter, Log, Metadata, Record};

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
        let time = jiff::Timestamp::now().as_millisecond();
        let time = crate::id::rfc3339(u64::try_from(time).unwrap_or_default());
        let level = match record.level() {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        let text = record.args().to_string();
        let text = crate::text::plain(&text);
        // One write, so that lines of several threads do not mix; a closed stderr is no failure.
        let _ = io::stderr().write_all(format!("{time} {level} {text}\n").as_bytes());
    }

    fn flush(&self) {}
}
