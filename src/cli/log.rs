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
        // One write, so that lines of several threads do not mix; a closed stderr is no failure.
        let _ = io::stderr().write_all(line(record).as_bytes());
    }

    fn flush(&self) {}
}

/// One record as one line: whatever is in its text can neither begin another nor move a cursor.
fn line(record: &Record<'_>) -> String {
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
    let text = crate::text::escaped(&text);
    format!("{time} {level} {text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_cannot_forge_another() {
        let forged = "GET /x\n2026-01-01T00:00:00Z info all is well\r\x1b[2J\u{9b}1m\u{2028}é";
        let record = format_args!("{forged}");
        let text = line(&Record::builder().level(Level::Info).args(record).build());
        let expected =
            " info GET /x\\n2026-01-01T00:00:00Z info all is well\\r\\x1b[2J\\u{9b}1m\\u{2028}é\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
