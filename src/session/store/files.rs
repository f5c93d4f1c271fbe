//! Sessions on disk: one folder a project, one log a session.
//!
//! ```text
//! format          the version of all this
//! server          locked by the project's server; holds its address
//! key             32 random bytes, with which the project's server signs
//! sessions/ID.log append-only, see `record`
//! sessions/ID.head, ID.title   what a list shows: a copy of what the log tells, and the name
//!                              that a person gave
//! running/ID      locked by who runs a turn, with its number; left behind by one who died in it
//! ```
//!
//! The log is the truth: a head that is gone or torn is made again from it. Locks are `flock`s,
//! which the kernel drops with their process. Names and paths never leave this file and
//! `server_lock`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::backend::{Backend, Events, Turns, Writer};
use super::backwards::{Backwards, ByTurn};
use super::log_file::{self, LogReader, LogWriter, last_record};
use super::record::HEADER;
use super::small::{self, found, replace, sync_folder};
use super::{Head, StoreError};
use crate::event::{Body, EventId};
use crate::id;

/// The version of the folder's layout.
const FORMAT: &str = "1\n";
/// Another process looks at a lock for microseconds; one that is held is held longer.
const LOCK_TRIES: u32 = 4;
const LOCK_PAUSE: Duration = Duration::from_millis(1);
/// Sessions that other processes make or delete are counted after at most this time.
const COUNT_TIME: Duration = Duration::from_millis(100);

/// The sessions of one project.
pub(super) struct Files {
    root: PathBuf,
    /// Protects the count of sessions.
    counted: Mutex<Option<Counted>>,
}

/// How many sessions there were.
#[derive(Clone, Copy)]
struct Counted {
    count: usize,
    /// When the folder was looked at last.
    looked: Instant,
    /// The time of the folder's last change, if it is old enough to be told from the next one.
    changed: Option<SystemTime>,
}

impl Files {
    /// Opens the folder, and makes it where it is not there.
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        for folder in [root.to_owned(), root.join("sessions"), root.join("running")] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let format = root.join("format");
        match small::read(&format) {
            Ok(text) if text.trim_ascii() == FORMAT.trim_ascii().as_bytes() => {}
            Ok(text) => return Err(other_format(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                replace(&format, FORMAT.as_bytes(), true)?;
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(error.into());
            }
            Err(error) => return Err(StoreError::Damaged(format!("`format`: {error}"))),
        }
        // A folder that can be read and not written is no place to keep sessions.
        rustix::fs::access(root, rustix::fs::Access::WRITE_OK).map_err(io::Error::from)?;
        Ok(Self { root: root.to_owned(), counted: Mutex::new(None) })
    }

    fn path(&self, session: &str, kind: &str) -> Result<PathBuf, StoreError> {
        // What is no id never becomes a name.
        id::time_ms(session).ok_or(StoreError::Missing)?;
        Ok(self.root.join("sessions").join(format!("{session}.{kind}")))
    }

    /// The head as the log tells it.
    fn head_of_log(&self, session: &str) -> Result<Head, StoreError> {
        let mut head = Head { always: None, ..Head::new(session.to_owned(), String::new()) };
        for event in self.events(session, 0)? {
            match event?.body {
                Body::Session { title, message_id, .. } => {
                    if head.title.is_empty() {
                        head.title = title;
                    }
                    head.message_count += 2;
                    head.updated_ms = id::time_ms(&message_id).unwrap_or(head.updated_ms);
                }
                Body::Done { usage, .. } => head.usage.add(&usage),
                _ => {}
            }
        }
        log::warn!("the head of session {session} was damaged, and is made again from its log");
        Ok(head)
    }

    fn running(&self, session: &str) -> PathBuf {
        self.root.join("running").join(session)
    }

    /// Whether somebody holds the lock of a turn.
    fn is_held(&self, session: &str) -> bool {
        small::open(&self.running(session)).is_ok_and(|file| {
            flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
        })
    }

    /// The sessions with a mark of a turn.
    fn marked(&self) -> Vec<String> {
        let Ok(folder) = fs::read_dir(self.root.join("running")) else { return Vec::new() };
        let names = folder.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| id::time_ms(name).is_some()).collect()
    }
}

impl Backend for Files {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn create(&self, head: &Head) -> Result<(), StoreError> {
        let path = self.path(&head.id, "log")?;
        if path.exists() {
            return Err(StoreError::Exists);
        }
        // The log makes the session: it comes last, and whole.
        self.set_head(head)?;
        if let Err(error) = replace(&path, HEADER.as_bytes(), true) {
            let _ = fs::remove_file(self.path(&head.id, "head")?);
            return Err(error.into());
        }
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn uncreate(&self, session: &str) -> Result<(), StoreError> {
        fs::remove_file(self.path(session, "log")?)?;
        let _ = fs::remove_file(self.path(session, "head")?);
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn head(&self, session: &str) -> Result<Head, StoreError> {
        let path = self.path(session, "head")?;
        let head = match small::read(&path) {
            Ok(json) => match serde_json::from_slice::<Head>(&json) {
                Ok(head) if head.id == session => head,
                _ => self.head_of_log(session)?,
            },
            // Whatever it is that bears its name.
            Err(_) => self.head_of_log(session)?,
        };
        let named = small::read(&self.path(session, "title")?).ok();
        Ok(head.named(named.and_then(|json| serde_json::from_slice(&json).ok())))
    }

    fn set_head(&self, head: &Head) -> Result<(), StoreError> {
        let json = serde_json::to_vec(head).map_err(|error| StoreError::damaged(&error))?;
        Ok(replace(&self.path(&head.id, "head")?, &json, false)?)
    }

    fn retitle(&self, session: &str, title: &str, now_ms: u64) -> Result<(), StoreError> {
        found(fs::metadata(self.path(session, "log")?))?;
        let json = serde_json::to_vec(&(title, now_ms)).map_err(|e| StoreError::damaged(&e))?;
        Ok(replace(&self.path(session, "title")?, &json, true)?)
    }

    fn ids(&self, before: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.root.join("sessions"))? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".log")) else {
                continue;
            };
            if id::time_ms(id).is_some() && before.is_none_or(|before| id < before) {
                ids.push(id.to_owned());
            }
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.truncate(limit);
        Ok(ids)
    }

    fn count(&self) -> usize {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(known) = *counted
            && now - known.looked < COUNT_TIME
        {
            return known.count;
        }
        let changed = fs::metadata(self.root.join("sessions")).and_then(|found| found.modified());
        // The folder's clock is coarse: one that changed just now may change again in its tick.
        let is_old = |when: &SystemTime| when.elapsed().is_ok_and(|age| age.as_secs() > 1);
        let changed = changed.ok().filter(is_old);
        let known = counted.filter(|known| changed.is_some() && known.changed == changed);
        let count = match known {
            Some(known) => known.count,
            None => self.ids(None, usize::MAX).map_or(0, |ids| ids.len()),
        };
        *counted = Some(Counted { count, looked: now, changed });
        count
    }

    fn events(&self, session: &str, after: EventId) -> Result<Events, StoreError> {
        let log = log_file::open(&self.path(session, "log")?)?;
        Ok(Box::new(LogReader::new(log, session, after)))
    }

    fn turns(&self, session: &str, before: Option<&str>) -> Result<Turns, StoreError> {
        let log = log_file::open(&self.path(session, "log")?)?.into_inner();
        Ok(Box::new(ByTurn::new(Backwards::new(log, session, before)?)))
    }

    fn lease(&self, session: &str) -> Result<Box<dyn Writer>, StoreError> {
        let path = self.path(session, "log")?;
        found(fs::metadata(&path))?;
        let running = self.running(session);
        let (lock, was_left) = lock_file(&running)?;
        // It may have been deleted between the look and the lock.
        let taken = LogWriter::open(&path, running.clone(), lock, was_left);
        if taken.is_err() && !was_left {
            let _ = fs::remove_file(running);
        }
        Ok(Box::new(taken?))
    }

    fn is_leased(&self, session: &str) -> bool {
        self.is_held(session)
    }

    fn leased(&self, known: &dyn Fn(&str) -> bool) -> Vec<String> {
        let others = self.marked().into_iter().filter(|id| !known(id));
        others.filter(|id| self.is_held(id)).collect()
    }

    fn size(&self, session: &str) -> u64 {
        let log = self.path(session, "log").ok().and_then(|path| fs::metadata(path).ok());
        log.map_or(0, |log| log.len())
    }

    fn last_id(&self, session: &str) -> EventId {
        let log = self.path(session, "log").ok().and_then(|path| small::open(&path).ok());
        log.and_then(|mut log| last_record(&mut log).ok()).map_or(0, |(_, id)| id)
    }

    fn unfinished(&self) -> Vec<String> {
        self.marked().into_iter().filter(|id| !self.is_held(id)).collect()
    }

    fn delete(&self, session: &str, writer: Box<dyn Writer>) -> Result<(), StoreError> {
        self.remove(session)?;
        writer.release();
        Ok(())
    }

    fn discard(&self, session: &str) -> Result<(), StoreError> {
        let running = self.running(session);
        let _lock = lock_file(&running)?;
        self.remove(session)?;
        fs::remove_file(running)?;
        Ok(())
    }
}

impl Files {
    /// Removes a session's files; what was deleted does not come back after a loss of power.
    fn remove(&self, session: &str) -> Result<(), StoreError> {
        // The log makes the session: without it, nobody makes the others again.
        for kind in ["log", "head", "title"] {
            match fs::remove_file(self.path(session, kind)?) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        sync_folder(&self.root.join("sessions"))?;
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

/// What a folder is that is not of this version.
fn other_format(text: &[u8]) -> StoreError {
    let text = String::from_utf8_lossy(text);
    match text.trim().parse::<u64>() {
        Ok(version) if version > 1 => StoreError::Newer(version.to_string()),
        _ => StoreError::Damaged(
            "the file `format` should say \"1\"; if nothing else was changed, write that"
                .to_owned(),
        ),
    }
}

/// Takes a turn's lock. Also tells whether the file was left behind by one who died.
fn lock_file(path: &Path) -> Result<(File, bool), StoreError> {
    for _ in 0..LOCK_TRIES {
        let was_there = path.exists();
        let file = small::open_with(OpenOptions::new().read(true).write(true).create(true), path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // Whoever held it may have removed the name that was opened here.
                let same = fs::metadata(path).is_ok_and(|now| {
                    file.metadata()
                        .is_ok_and(|ours| (ours.dev(), ours.ino()) == (now.dev(), now.ino()))
                });
                if same {
                    return Ok((file, was_there));
                }
            }
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    Err(StoreError::Busy)
}
