//! One session's log on disk: the one that appends, the one that reads, and where it ends.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StoreError;
use super::backend::Writer;
use super::entry::{self, Entry};
use super::record::{self, HEADER, RECORD_BYTES};
use super::small::{self, found};
use crate::event::{Event, EventId};

/// Opens a log, behind its header.
pub(super) fn open(path: &Path) -> Result<BufReader<File>, StoreError> {
    let mut log = BufReader::with_capacity(64 * 1024, found(small::open(path))?);
    let mut first = Vec::new();
    Read::by_ref(&mut log).take(HEADER.len() as u64 + 8).read_until(b'\n', &mut first)?;
    record::check_header(&first)?;
    Ok(log)
}

/// Appends to a log, as the holder of its session's lease.
pub(super) struct LogWriter {
    log: File,
    /// Where the last whole record ends.
    end: u64,
    last_id: EventId,
    fence: u64,
    unfinished: bool,
    running: PathBuf,
    /// Dropped last: it is the lock.
    _lock: File,
}

impl LogWriter {
    /// Opens a log for who holds the lock of its turns, and cuts a torn record off.
    pub(super) fn open(
        path: &Path,
        running: PathBuf,
        mut lock: File,
        unfinished: bool,
    ) -> Result<Self, StoreError> {
        let mut log = found(small::open_with(OpenOptions::new().read(true).append(true), path))?;
        let mut first = Vec::new();
        Read::by_ref(&mut log).take(HEADER.len() as u64).read_to_end(&mut first)?;
        record::check_header(&first)?;
        let (end, last_id) = last_record(&mut log)?;
        if end < log.metadata()?.len() {
            log::warn!("a record was torn by a crash, and is cut off");
            log.set_len(end)?;
        }
        // Who died, or could not write, may have told events of a turn that no log knows.
        let mut left = Vec::new();
        Read::by_ref(&mut lock).take(64).read_to_end(&mut left)?;
        let left: u32 =
            std::str::from_utf8(&left).ok().and_then(|left| left.trim().parse().ok()).unwrap_or(0);
        let fence = u64::from(left).max(last_id >> 32) + 1;
        lock.set_len(0)?;
        lock.seek(SeekFrom::Start(0))?;
        lock.write_all(fence.to_string().as_bytes())?;
        Ok(Self { log, end, last_id, fence, unfinished, running, _lock: lock })
    }
}

/// Where the last whole record of a log ends, and its id.
pub(super) fn last_record(log: &mut File) -> Result<(u64, EventId), StoreError> {
    let length = log.metadata()?.len();
    let header = HEADER.len() as u64;
    // Two records: a torn one may stand behind the last whole one.
    let start = length.saturating_sub(2 * RECORD_BYTES as u64).max(header);
    let mut window = 64 * 1024;
    loop {
        let from = length.saturating_sub(window).max(start);
        log.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        Read::by_ref(log).take(length - from).read_to_end(&mut bytes)?;
        let mut end = bytes.len();
        while let Some(line_end) = bytes[..end].iter().rposition(|&byte| byte == b'\n') {
            let line_start = bytes[..line_end].iter().rposition(|&b| b == b'\n').map(|at| at + 1);
            let line_start = match line_start {
                Some(start) => start,
                None if from == header => 0,
                None => break,
            };
            if let Some((id, _)) = record::decode(&bytes[line_start..line_end]) {
                return Ok((from + line_end as u64 + 1, id));
            }
            end = line_start;
        }
        if from == start {
            if from == header {
                return Ok((header, 0));
            }
            return Err(StoreError::Damaged("the end of a log cannot be read".to_owned()));
        }
        window *= 8;
    }
}

impl Writer for LogWriter {
    fn last_id(&self) -> EventId {
        self.last_id
    }

    fn fence(&self) -> u64 {
        self.fence
    }

    fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    fn append(&mut self, events: &[Arc<Event>], sync: bool) -> Result<(), StoreError> {
        let entries = entry::entries(events.iter().map(AsRef::as_ref));
        let Some(last) = entries.last().map(Entry::last_id) else { return Ok(()) };
        let line = record::encode(&entries)?;
        let written = self
            .log
            .write_all(&line)
            .and_then(|()| if sync { self.log.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // What was written of it must not stand before the next record.
            if let Err(worse) = self.log.set_len(self.end) {
                log::error!("a log cannot be cut back after a failed write: {worse}");
            }
            return Err(error.into());
        }
        self.end += line.len() as u64;
        self.last_id = last;
        Ok(())
    }

    fn release(self: Box<Self>) {
        if let Err(error) = fs::remove_file(&self.running) {
            log::warn!("the mark of a running turn stays behind: {error}");
        }
    }
}

/// Reads a log to its end, and on when it has grown.
pub(super) struct LogReader {
    log: BufReader<File>,
    after: EventId,
    /// What has been read of a line.
    line: Vec<u8>,
    ready: std::vec::IntoIter<Event>,
    session: String,
}

impl LogReader {
    /// The events after an id, of a session's log.
    pub(super) fn new(log: BufReader<File>, session: &str, after: EventId) -> Self {
        let (line, ready) = (Vec::new(), Vec::new().into_iter());
        Self { log, after, line, ready, session: session.to_owned() }
    }
}

impl Iterator for LogReader {
    type Item = Result<Event, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.ready.next() {
                return Some(Ok(event));
            }
            match self.log.by_ref().take(RECORD_BYTES as u64).read_until(b'\n', &mut self.line) {
                Ok(0) => return None,
                Ok(_) if self.line.ends_with(b"\n") => {}
                Ok(_) if self.line.len() > RECORD_BYTES => {
                    // No record is so long; its end will not be one either.
                    self.line.clear();
                    continue;
                }
                Ok(_) => return None,
                Err(error) => return Some(Err(error.into())),
            }
            let line = std::mem::take(&mut self.line);
            let Some((last, json)) = record::decode(&line[..line.len() - 1]) else {
                log::error!("session {}: a damaged record is passed over", self.session);
                continue;
            };
            if last <= self.after {
                continue;
            }
            match serde_json::from_slice::<Vec<Entry>>(json) {
                Ok(entries) => {
                    let after = self.after;
                    let events: Vec<_> =
                        entries.into_iter().flat_map(|entry| entry.events(after)).collect();
                    self.after = last;
                    self.ready = events.into_iter();
                }
                Err(error) => {
                    log::error!("session {}: a record is not understood: {error}", self.session);
                }
            }
        }
    }
}
