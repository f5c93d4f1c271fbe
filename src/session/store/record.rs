//! The framing of a log: one record a line, each with a checksum and the id of its last event.
//!
//! `opencode-log 1` is the first line. A record is
//! `CRC-32 of the rest, 8 hex digits` SP `id` SP `JSON` LF; JSON has no line feed of its own. What
//! was torn by a crash has no line feed or a wrong checksum.

use super::StoreError;
use super::entry::Entry;
use crate::event::EventId;

/// The first line of a log of this version.
pub(super) const HEADER: &str = "opencode-log 1\n";
/// A record is at most this long, in bytes. A message of 512 KiB can be six times as long in JSON.
pub(super) const RECORD_BYTES: usize = 4 * 1024 * 1024;

/// A record as a line.
pub(super) fn encode(entries: &[Entry]) -> Result<Vec<u8>, StoreError> {
    let last = entries.last().map_or(0, Entry::last_id);
    let json = serde_json::to_string(entries).map_err(|error| StoreError::damaged(&error))?;
    let rest = format!("{last} {json}");
    let line = format!("{:08x} {rest}\n", crc32fast::hash(rest.as_bytes())).into_bytes();
    if line.len() > RECORD_BYTES {
        return Err(StoreError::TooLarge(line.len()));
    }
    Ok(line)
}

/// What a line holds, without its line feed: the id of its last event, and its JSON. `None` for
/// one that is torn or damaged.
pub(super) fn decode(line: &[u8]) -> Option<(EventId, &[u8])> {
    let (sum, rest) = line.split_at_checked(8)?;
    let rest = rest.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    if crc32fast::hash(rest) != sum {
        return None;
    }
    let space = rest.iter().position(|&byte| byte == b' ')?;
    let id = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
    Some((id, &rest[space + 1..]))
}

/// Whether a log's first line is of a version this program reads.
pub(super) fn check_header(line: &[u8]) -> Result<(), StoreError> {
    if line == HEADER.as_bytes() {
        return Ok(());
    }
    match line.strip_prefix(b"opencode-log ") {
        Some(version) => Err(StoreError::Newer(String::from_utf8_lossy(version).trim().to_owned())),
        None => Err(StoreError::Damaged("a log does not begin as one".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Body, Event};

    fn some_entries(text: &str) -> Vec<Entry> {
        let body = Body::Text { content: text.to_owned() };
        let event = Event { id: 7, keep: body.keep(), body };
        super::super::entry::entries([&event].into_iter())
    }

    #[test]
    fn a_newer_version_is_refused_in_words() {
        assert_eq!(check_header(b"opencode-log 1\n"), Ok(()));
        let error = check_header(b"opencode-log 2\n").unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
        assert!(check_header(b"hello\n").is_err());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_what_is_torn_is_not(text: String, cut in 0usize..200) {
            let line = encode(&some_entries(&text)).unwrap();
            let (id, json) = decode(&line[..line.len() - 1]).unwrap();
            prop_assert_eq!(id, 7);
            prop_assert_eq!(serde_json::from_slice::<Vec<Entry>>(json).unwrap(), some_entries(&text));
            let cut = cut.min(line.len() - 2);
            prop_assert_eq!(decode(&line[..cut]), None);
        }

        #[test]
        fn random_bytes_are_no_record(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&bytes), None);
        }
    }
}
