//! What a place to keep sessions has to offer. There are two: files, and memory for where
//! nothing can be written. Ids, telling and following are the [`super::Store`]'s.

use std::sync::Arc;

use super::{Head, StoreError};
use crate::event::{Event, EventId};

/// Events read one after the other, from storage as far as it goes; asked again after its end it
/// tells what has been added meanwhile.
pub(super) type Events = Box<dyn Iterator<Item = Result<Event, StoreError>> + Send>;

/// Whole turns, the newest first, each with its stored events in order.
pub(super) type Turns = Box<dyn Iterator<Item = Result<Vec<Event>, StoreError>> + Send>;

/// A place to keep sessions.
pub(super) trait Backend: Send + Sync {
    /// `disk` or `memory`.
    fn name(&self) -> &'static str;
    /// Keeps a new session.
    fn create(&self, head: &Head) -> Result<(), StoreError>;
    /// Takes back one that has no events and no lease; its id is free again.
    fn uncreate(&self, session: &str) -> Result<(), StoreError>;
    /// A session's head.
    fn head(&self, session: &str) -> Result<Head, StoreError>;
    /// Replaces the head; only the holder of the lease does.
    fn set_head(&self, head: &Head) -> Result<(), StoreError>;
    /// Names a session, whoever holds its lease.
    fn retitle(&self, session: &str, title: &str, now_ms: u64) -> Result<(), StoreError>;
    /// Ids before another one, the newest first.
    fn ids(&self, before: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError>;
    /// How many sessions there are.
    fn count(&self) -> usize;
    /// The stored events after an id.
    fn events(&self, session: &str, after: EventId) -> Result<Events, StoreError>;
    /// The turns whose message is older than the one with this id, or all, the newest first. What
    /// is not asked for is not read: the last ones cost the same in a session of any length.
    fn turns(&self, session: &str, before: Option<&str>) -> Result<Turns, StoreError>;
    /// Takes the right to append, in this process or any other.
    fn lease(&self, session: &str) -> Result<Box<dyn Writer>, StoreError>;
    /// Whether a turn runs in a session, by whatever process.
    fn is_leased(&self, session: &str) -> bool;
    /// Sessions in which a turn runs, by whatever process, those left out that are known to.
    fn leased(&self, known: &dyn Fn(&str) -> bool) -> Vec<String>;
    /// A number that changes when events are appended, cheap to ask for.
    fn size(&self, session: &str) -> u64;
    /// The id of the last stored event, 0 where there is none.
    fn last_id(&self, session: &str) -> EventId;
    /// Sessions whose turn never ended and whose holder is gone.
    fn unfinished(&self) -> Vec<String>;
    /// Forgets a session for good; its id stays taken.
    fn delete(&self, session: &str, writer: Box<dyn Writer>) -> Result<(), StoreError>;
    /// The same for one that can no longer be read, and so not be leased.
    fn discard(&self, session: &str) -> Result<(), StoreError>;
}

/// The right to append to one session's log.
pub(super) trait Writer: Send {
    /// The id of the last stored event, 0 where there is none.
    fn last_id(&self) -> EventId;
    /// The number of this turn: higher than that of every event ever told of the session, though
    /// it was never stored.
    fn fence(&self) -> u64;
    /// Whether the turn before never ended.
    fn is_unfinished(&self) -> bool;
    /// Appends all events or none; on stable storage before it returns, if `sync`.
    fn append(&mut self, events: &[Arc<Event>], sync: bool) -> Result<(), StoreError>;
    /// Gives the right back.
    fn release(self: Box<Self>);
}
