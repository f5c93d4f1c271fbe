//! The log on standard error: one line a record, for people or as JSON, with the request and the
//! turn that it is about. Whatever is in a text, it can neither begin a line nor move a cursor.

mod line;

use std::cell::Cell;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::config::{Format, Levels, Logs, ROOMS};

/// A thread keeps room for a line of this length.
const KEPT: usize = 1024;

/// As many bytes are written to a pipe whole, without others' between them (`pipe(7)`).
const PIPE_PIECE: usize = 4096;

/// What is logged now; whoever logs looks at it, and nobody waits for anybody.
struct Stderr {
    general: AtomicUsize,
    rooms: [AtomicUsize; ROOMS.len()],
    is_json: AtomicBool,
}

static LOGGER: Stderr = Stderr {
    general: AtomicUsize::new(0),
    rooms: [const { AtomicUsize::new(0) }; ROOMS.len()],
    is_json: AtomicBool::new(false),
};

/// Sends the log to standard error from now on, a panic's words too.
pub(super) fn start(logs: &Logs) {
    if log::set_logger(&LOGGER).is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let at = panic.location().map(ToString::to_string).unwrap_or_default();
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("?");
            // One with values in its message is a `String`, one without is not.
            let text = panic.payload().downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.payload().downcast_ref::<&str>().copied());
            let text = text.unwrap_or("without a text");
            log::error!(target: "opencode", "panicked at {at} in thread {thread}: {text}");
        }));
    }
    set(logs);
}

/// What a command of a person says on standard error.
pub(super) fn only_errors() -> Logs {
    Logs { levels: Levels::all(LevelFilter::Error), format: Format::Text }
}

/// Changes what is logged.
pub(super) fn set(logs: &Logs) {
    LOGGER.general.store(logs.levels.general as usize, Ordering::Relaxed);
    for (level, wanted) in LOGGER.rooms.iter().zip(&logs.levels.rooms) {
        level.store(*wanted as usize, Ordering::Relaxed);
    }
    LOGGER.is_json.store(logs.format == Format::Json, Ordering::Relaxed);
    log::set_max_level(logs.levels.most());
}

/// Whether lines are JSON.
pub(super) fn is_json() -> bool {
    LOGGER.is_json.load(Ordering::Relaxed)
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = match room(metadata.target()) {
            Some(room) => {
                let place = ROOMS.iter().position(|known| *known == room);
                place.map_or(&self.general, |place| &self.rooms[place])
            }
            // What the libraries tell below a warning is theirs, and may hold addresses and
            // headers.
            None if metadata.level() <= Level::Warn => &self.general,
            None => return false,
        };
        metadata.level() as usize <= level.load(Ordering::Relaxed)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        thread_local! {
            static LINE: Cell<String> = const { Cell::new(String::new()) };
        }
        // Taken, not borrowed: a value that panics as it is printed is a record as well.
        let mut text = LINE.try_with(Cell::take).unwrap_or_default();
        text.clear();
        if is_json() {
            line::json(&mut text, record);
        } else {
            line::text(&mut text, record);
        }
        write(text.as_bytes());
        text.shrink_to(KEPT);
        let _ = LINE.try_with(|line| line.set(text));
    }

    fn flush(&self) {}
}

/// Writes a line in one piece, so that lines of several threads do not mix, and without a lock that
/// many threads would wait for, where the system needs none. A closed stderr is no failure.
fn write(line: &[u8]) {
    let stderr = io::stderr();
    let written = if line.len() <= PIPE_PIECE {
        rustix::io::write(&stderr, line).unwrap_or_default()
    } else {
        0
    };
    if written < line.len() {
        let _ = stderr.lock().write_all(&line[written..]);
    }
}

/// The room that a record comes from; none for another crate's.
fn room(target: &str) -> Option<&str> {
    if target == "request" {
        return Some(target);
    }
    let rest = target.strip_prefix("opencode")?;
    if rest.is_empty() {
        return Some(target);
    }
    rest.strip_prefix("::").map(|path| path.split("::").next().unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_room_is_the_first_part_of_a_path() {
        assert_eq!(room("opencode::http::connection"), Some("http"));
        assert_eq!(room("opencode::id"), Some("id"));
        assert_eq!(room("opencode"), Some("opencode"));
        assert_eq!(room("request"), Some("request"));
        assert_eq!(room("opencode_like::http"), None);
        assert_eq!(room("rustls::client"), None);
    }

    #[test]
    fn every_room_that_logs_has_a_level_and_no_other() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = vec!["request".to_owned()];
        for entry in ignore::Walk::new(&source).flatten() {
            let path = entry.path();
            let is_code = path.extension().is_some_and(|kind| kind == "rs");
            let macros = ["error!(", "warn!(", "info!(", "debug!("].map(|m| format!("log::{m}"));
            if is_code && macros.iter().any(|m| std::fs::read_to_string(path).unwrap().contains(m))
            {
                let inside = path.strip_prefix(&source).unwrap().to_str().unwrap();
                let room = inside.split('/').next().unwrap().trim_end_matches(".rs");
                found.push(room.to_owned());
            }
        }
        found.sort();
        found.dedup();
        assert_eq!(found, ROOMS);
    }
}
