//! Sessions in memory, for where nothing can be written: gone with the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::backend::{Backend, Events, Turns, Writer};
use super::backwards::{self, ByTurn};
use super::entry::{self, Entry};
use super::{Head, StoreError};
use crate::event::{Event, EventId};

/// Events that are copied out at a time.
const PAGE: usize = 256;

/// Sessions in memory.
#[derive(Default)]
pub(super) struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    sessions: BTreeMap<String, Record>,
}

struct Record {
    head: Head,
    /// The title somebody gave it, and when: it goes over the head's.
    named: Option<(String, u64)>,
    log: Vec<Entry>,
    leased: bool,
}

impl State {
    fn record(&mut self, session: &str) -> Result<&mut Record, StoreError> {
        self.sessions.get_mut(session).ok_or(StoreError::Missing)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Backend for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn create(&self, head: &Head) -> Result<(), StoreError> {
        let mut state = lock(&self.0);
        if state.sessions.contains_key(&head.id) {
            return Err(StoreError::Exists);
        }
        let record = Record { head: head.clone(), named: None, log: Vec::new(), leased: false };
        state.sessions.insert(head.id.clone(), record);
        Ok(())
    }

    fn uncreate(&self, session: &str) -> Result<(), StoreError> {
        lock(&self.0).sessions.remove(session).map(drop).ok_or(StoreError::Missing)
    }

    fn head(&self, session: &str) -> Result<Head, StoreError> {
        let mut state = lock(&self.0);
        let record = state.record(session)?;
        Ok(record.head.clone().named(record.named.clone()))
    }

    fn set_head(&self, head: &Head) -> Result<(), StoreError> {
        lock(&self.0).record(&head.id)?.head = head.clone();
        Ok(())
    }

    fn retitle(&self, session: &str, title: &str, now_ms: u64) -> Result<(), StoreError> {
        lock(&self.0).record(session)?.named = Some((title.to_owned(), now_ms));
        Ok(())
    }

    fn ids(&self, before: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        let state = lock(&self.0);
        let upper = before.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = state.sessions.range::<str, _>((Bound::Unbounded, upper)).rev();
        Ok(ids.take(limit).map(|(id, _)| id.clone()).collect())
    }

    fn count(&self) -> usize {
        lock(&self.0).sessions.len()
    }

    fn events(&self, session: &str, after: EventId) -> Result<Events, StoreError> {
        lock(&self.0).record(session)?;
        let reader = Reader {
            state: Arc::clone(&self.0),
            session: session.to_owned(),
            after,
            page: Vec::new().into_iter(),
        };
        Ok(Box::new(reader))
    }

    fn turns(&self, session: &str, before: Option<&str>) -> Result<Turns, StoreError> {
        let mut left = lock(&self.0).record(session)?.log.len();
        let (state, session) = (Arc::clone(&self.0), session.to_owned());
        let records = std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let entry = lock(&state).record(&session).ok()?.log.get(left)?.clone();
            Some(Ok(entry.events(0).collect()))
        });
        let before = before.map(str::to_owned);
        let is_later = move |turn: &Result<Vec<Event>, StoreError>| {
            let asked = turn.as_ref().ok().and_then(|events| backwards::asked(events));
            before.as_deref().is_some_and(|before| asked.is_some_and(|asked| asked >= before))
        };
        Ok(Box::new(ByTurn::new(records).skip_while(is_later)))
    }

    fn lease(&self, session: &str) -> Result<Box<dyn Writer>, StoreError> {
        let mut state = lock(&self.0);
        let record = state.record(session)?;
        if std::mem::replace(&mut record.leased, true) {
            return Err(StoreError::Busy);
        }
        let last_id = record.log.last().map_or(0, Entry::last_id);
        let state = Arc::clone(&self.0);
        Ok(Box::new(MemoryWriter { state, session: session.to_owned(), last_id }))
    }

    fn is_leased(&self, session: &str) -> bool {
        lock(&self.0).record(session).is_ok_and(|record| record.leased)
    }

    // No other process sees this memory, and this one knows its own.
    fn leased(&self, _known: &dyn Fn(&str) -> bool) -> Vec<String> {
        Vec::new()
    }

    fn size(&self, session: &str) -> u64 {
        self.last_id(session)
    }

    fn last_id(&self, session: &str) -> EventId {
        let mut state = lock(&self.0);
        let log = state.record(session).map(|record| record.log.last().map(Entry::last_id));
        log.ok().flatten().unwrap_or(0)
    }

    fn unfinished(&self) -> Vec<String> {
        Vec::new()
    }

    fn delete(&self, session: &str, _writer: Box<dyn Writer>) -> Result<(), StoreError> {
        let mut state = lock(&self.0);
        state.sessions.remove(session).ok_or(StoreError::Missing)?;
        Ok(())
    }

    fn discard(&self, session: &str) -> Result<(), StoreError> {
        let writer = self.lease(session)?;
        self.delete(session, writer)
    }
}

struct MemoryWriter {
    state: Arc<Mutex<State>>,
    session: String,
    last_id: EventId,
}

impl Writer for MemoryWriter {
    fn last_id(&self) -> EventId {
        self.last_id
    }

    fn fence(&self) -> u64 {
        (self.last_id >> 32) + 1
    }

    fn is_unfinished(&self) -> bool {
        false
    }

    fn append(&mut self, events: &[Arc<Event>], _sync: bool) -> Result<(), StoreError> {
        let entries = entry::entries(events.iter().map(AsRef::as_ref));
        if let Some(last) = entries.last() {
            self.last_id = last.last_id();
        }
        lock(&self.state).record(&self.session)?.log.extend(entries);
        Ok(())
    }

    fn release(self: Box<Self>) {
        if let Ok(record) = lock(&self.state).record(&self.session) {
            record.leased = false;
        }
    }
}

struct Reader {
    state: Arc<Mutex<State>>,
    session: String,
    after: EventId,
    page: std::vec::IntoIter<Event>,
}

impl Iterator for Reader {
    type Item = Result<Event, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 {
            let mut state = lock(&self.state);
            let log = &state.record(&self.session).ok()?.log;
            let from = log.partition_point(|entry| entry.last_id() <= self.after);
            let after = self.after;
            let page = log[from..].iter().take(PAGE).cloned();
            self.page = page.flat_map(|entry| entry.events(after)).collect::<Vec<_>>().into_iter();
        }
        let event = self.page.next()?;
        self.after = event.id;
        Some(Ok(event))
    }
}
