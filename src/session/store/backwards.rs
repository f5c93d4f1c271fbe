//! Reading a session from its end: the newest turns cost the same however many lie before them.
//!
//! A log is read in blocks from the back, a record at a time by the framing of `record`; events
//! are put together into turns, each from its `session` event on. A record that is torn or damaged
//! is passed over, as when a log is read forward.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use super::StoreError;
use super::entry::Entry;
use super::record::{self, HEADER, RECORD_BYTES};
use crate::event::{Body, Event};

/// Bytes that are read at a time at least.
const BLOCK: u64 = 64 * 1024;

/// Turns from records that come newest first, each record with its events in order.
pub(super) struct ByTurn<R> {
    records: R,
    /// What a record held before the turn that began in it.
    rest: Option<Vec<Event>>,
}

impl<R> ByTurn<R> {
    pub(super) fn new(records: R) -> Self {
        Self { records, rest: None }
    }
}

impl<R: Iterator<Item = Result<Vec<Event>, StoreError>>> Iterator for ByTurn<R> {
    type Item = Result<Vec<Event>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut parts = Vec::new();
        loop {
            let next = self.rest.take().map(Ok).or_else(|| self.records.next());
            let mut record = match next {
                Some(Ok(record)) => record,
                Some(Err(error)) => return Some(Err(error)),
                None if parts.is_empty() => return None,
                None => break,
            };
            match record.iter().rposition(begins_turn) {
                Some(at) => {
                    parts.push(record.split_off(at));
                    self.rest = (!record.is_empty()).then_some(record);
                    break;
                }
                None => parts.push(record),
            }
        }
        Some(Ok(parts.into_iter().rev().flatten().collect()))
    }
}

fn begins_turn(event: &Event) -> bool {
    matches!(event.body, Body::Session { .. })
}

/// The id of the message that begins a turn among these events.
pub(super) fn asked(events: &[Event]) -> Option<&str> {
    events.iter().find_map(|event| match &event.body {
        Body::Session { user_message_id, .. } => Some(user_message_id.as_str()),
        _ => None,
    })
}

/// The records of a log, the newest first.
pub(super) struct Backwards {
    log: File,
    session: String,
    /// Where in the log `bytes` begins.
    from: u64,
    /// Whole lines that are not handed out, and what has been read of the line before them.
    bytes: Vec<u8>,
    /// Within a line that is longer than any record.
    overlong: bool,
}

impl Backwards {
    /// Reads the records of the turns whose message is older than the one with an id, or all.
    pub(super) fn new(
        mut log: File,
        session: &str,
        before: Option<&str>,
    ) -> Result<Self, StoreError> {
        let length = log.metadata()?.len();
        let from = match before {
            Some(before) => end_before(&mut log, before, length)?,
            None => length,
        };
        let session = session.to_owned();
        let mut records = Self { log, session, from, bytes: Vec::new(), overlong: false };
        // What stands behind the last line feed is torn, or being written; mostly it is nothing.
        records.next_line()?;
        Ok(records)
    }

    /// The line before the place, without its line feed; `None` at the start of the log.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let header = HEADER.len() as u64;
        let mut searched = 0;
        loop {
            let unsearched = self.bytes.len() - searched;
            if let Some(at) = self.bytes[..unsearched].iter().rposition(|&byte| byte == b'\n') {
                let line = self.bytes.split_off(at + 1);
                self.bytes.truncate(at);
                return Ok(Some(if std::mem::take(&mut self.overlong) {
                    Vec::new()
                } else {
                    line
                }));
            }
            if self.from <= header {
                let line = std::mem::take(&mut self.bytes);
                return Ok((!line.is_empty()).then_some(line));
            }
            if self.bytes.len() > RECORD_BYTES {
                self.overlong = true;
                self.bytes.clear();
            }
            searched = self.bytes.len();
            // Twice as much each time, so that a long record is not copied often.
            let length = BLOCK.max(searched as u64).min(self.from - header);
            self.from -= length;
            self.log.seek(SeekFrom::Start(self.from))?;
            let mut bytes = Vec::with_capacity(length as usize + searched);
            // A record that could not be written may be cut off meanwhile.
            self.log.by_ref().take(length).read_to_end(&mut bytes)?;
            bytes.append(&mut self.bytes);
            self.bytes = bytes;
        }
    }
}

impl Iterator for Backwards {
    type Item = Result<Vec<Event>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_line() {
                Ok(Some(line)) => {
                    if let Some(events) = events(&line, &self.session) {
                        return Some(Ok(events));
                    }
                }
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// What a line holds; nothing, and a word in the log, where it is damaged.
fn events(line: &[u8], session: &str) -> Option<Vec<Event>> {
    let Some((_, json)) = record::decode(line) else {
        log::error!("session {session}: a damaged record is passed over");
        return None;
    };
    match serde_json::from_slice::<Vec<Entry>>(json) {
        Ok(entries) => Some(entries.into_iter().flat_map(|entry| entry.events(0)).collect()),
        Err(error) => {
            log::error!("session {session}: a record is not understood: {error}");
            None
        }
    }
}

/// Where the first turn begins whose message is not older than an id; the length where none is.
/// Messages follow each other by their ids, so this looks in the middle, and again.
fn end_before(log: &mut File, id: &str, length: u64) -> Result<u64, StoreError> {
    let (mut low, mut high, mut end) = (HEADER.len() as u64, length, length);
    while low < high {
        let middle = if high - low <= BLOCK { low } else { low + (high - low) / 2 };
        match first_turn(log, middle, low, high)? {
            Some((_, after, asked)) if asked.as_str() < id => low = after,
            Some((start, ..)) => (high, end) = (middle, start),
            None => high = middle,
        }
    }
    Ok(end)
}

/// The first turn that begins in a part of the log: where, where its first record ends, and the id
/// of its message. The part begins within a line, unless it begins at `line`.
fn first_turn(
    log: &mut File,
    from: u64,
    line: u64,
    to: u64,
) -> Result<Option<(u64, u64, String)>, StoreError> {
    let mut start = if from == line { from } else { from - 1 };
    log.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::with_capacity(BLOCK as usize, log).take(to - start);
    let mut bytes = Vec::new();
    if from != line {
        start += reader.read_until(b'\n', &mut bytes)? as u64;
    }
    while start < to {
        bytes.clear();
        let length = reader.read_until(b'\n', &mut bytes)?;
        if length == 0 {
            break;
        }
        let after = start + length as u64;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let entries = record::decode(line)
            .and_then(|(_, json)| serde_json::from_slice::<Vec<Entry>>(json).ok());
        let events: Vec<_> =
            entries.into_iter().flatten().flat_map(|entry| entry.events(0)).collect();
        if let Some(asked) = asked(&events) {
            return Ok(Some((start, after, asked.to_owned())));
        }
        start = after;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::event::Keep;

    fn record(id: u64, body: Body) -> Vec<u8> {
        let event = Event { id, keep: Keep::Durable, body };
        record::encode(&super::super::entry::entries([&event].into_iter())).unwrap()
    }

    fn text(id: u64) -> Vec<u8> {
        record(id, Body::Text { content: id.to_string() })
    }

    fn read(parts: &[&[u8]]) -> Vec<u64> {
        let path = std::env::temp_dir().join(format!("opencode-log-{:032x}", crate::id::random()));
        let mut file = File::create_new(&path).unwrap();
        file.write_all(HEADER.as_bytes()).unwrap();
        file.write_all(&parts.concat()).unwrap();
        let log = File::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        let records = Backwards::new(log, "s", None).unwrap();
        records.flat_map(Result::unwrap).map(|event| event.id).collect()
    }

    #[test]
    fn what_is_torn_or_damaged_is_passed_over() {
        let (one, two, three) = (text(1), text(2), text(3));
        assert_eq!(read(&[&one, &two, &three]), [3, 2, 1]);
        for cut in 0..three.len() {
            assert_eq!(read(&[&one, &two, &three[..cut]]), [2, 1], "{cut}");
        }
        for at in 0..two.len() - 1 {
            let mut bad = two.clone();
            bad[at] ^= 1;
            // A line feed may come of it, which makes two damaged records of one.
            assert_eq!(read(&[&one, &bad, &three]), [3, 1], "{at}");
        }
        assert_eq!(read(&[&one, b"\n\n", &three]), [3, 1]);
        assert_eq!(read(&[]), [0_u64; 0]);
        assert_eq!(read(&[b"torn"]), [0_u64; 0]);
    }

    #[test]
    fn a_line_without_end_is_no_record_and_not_kept() {
        let endless = vec![b'x'; 3 * RECORD_BYTES];
        assert_eq!(read(&[&text(1), &endless, b"\n", &text(2)]), [2, 1]);
        assert_eq!(read(&[&text(1), &endless]), [1]);
    }
}
