//! Which request a thread answers, and which turn it works on: problems and the log name them,
//! however deep they arise.

use std::cell::{Cell, RefCell};
use std::fmt;

use crate::id::{digits, random};

/// The longest id that is taken over from a client.
const LONGEST: usize = 64;
/// Characters of a server's own part.
const OWN: usize = 8;

/// The name of one request: in its answer's `X-Request-Id`, and in a problem.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    bytes: [u8; LONGEST],
    length: u8,
}

/// Names the requests of one server: no other server's ids begin like its own.
#[derive(Debug, Clone, Copy)]
pub struct RequestIds([u8; OWN]);

impl RequestIds {
    /// One of its own.
    #[must_use]
    pub fn new() -> Self {
        let mut own = [0; OWN];
        digits(random(), &mut own);
        Self(own)
    }

    /// The id of a request, by its number.
    #[must_use]
    pub fn name(&self, number: u64) -> RequestId {
        let mut bytes = [0; LONGEST];
        bytes[..OWN].copy_from_slice(&self.0);
        bytes[OWN] = b'-';
        let length = OWN + 1 + (64 - number.leading_zeros()).div_ceil(5).max(1) as usize;
        digits(number.into(), &mut bytes[OWN + 1..length]);
        RequestId { bytes, length: length as u8 }
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestId {
    /// The id that a client gave its request: at most 64 letters, digits, `-`, `_` and `.`.
    #[must_use]
    pub fn of_client(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if text.is_empty() || text.len() > LONGEST || !text.bytes().all(is_plain) {
            return None;
        }
        let mut bytes = [0; LONGEST];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { bytes, length: text.len() as u8 })
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It is ASCII whichever way it was made.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The turn that a thread works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Its session.
    pub session_id: String,
    /// Its answer.
    pub message_id: String,
}

thread_local! {
    static NOW: Cell<Option<RequestId>> = const { Cell::new(None) };
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// Ends what a thread works on.
#[derive(Debug)]
pub struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        NOW.set(None);
        TURN.set(None);
    }
}

/// Names the request that this thread answers until the guard is dropped.
#[must_use = "it ends with the guard"]
pub fn enter(request: RequestId) -> Entered {
    NOW.set(Some(request));
    Entered(())
}

/// Names the turn that this thread works on, until what it entered before is over.
pub fn work_on(turn: Turn) {
    TURN.set(Some(turn));
}

/// The same for a thread of the turn's own, with the request that began it.
#[must_use = "it ends with the guard"]
pub fn enter_turn(request: Option<RequestId>, turn: Turn) -> Entered {
    NOW.set(request);
    work_on(turn);
    Entered(())
}

/// Looks at the turn that this thread works on.
pub fn with_turn<R>(look: impl FnOnce(Option<&Turn>) -> R) -> R {
    TURN.with_borrow(|turn| look(turn.as_ref()))
}

/// The request that this thread answers.
#[must_use]
pub fn current() -> Option<RequestId> {
    NOW.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_server_are_short_and_differ_and_a_clients_is_taken_if_it_is_plain() {
        let ids_of = RequestIds::new();
        let ids: Vec<_> = [0, 1, 31, 32, 33, 1 << 40, u64::MAX].map(|n| ids_of.name(n)).into();
        for (at, id) in ids.iter().enumerate() {
            assert!(ids[..at].iter().all(|other| other != id), "{ids:?}");
            assert_eq!(RequestId::of_client(id.as_str()), Some(*id));
        }
        assert_eq!(ids[0].as_str().len(), 10);
        assert_eq!(&ids[3].as_str()[8..], "-10");
        assert_ne!(RequestIds::new().name(0), ids[0]);
        let long = "x".repeat(65);
        for bad in ["", "a b", "a\n", "a\"b", "ä", "a,b", &long] {
            assert_eq!(RequestId::of_client(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_context_ends_with_its_guard() {
        let request = RequestId::of_client("one");
        let entered = enter(request.unwrap());
        assert_eq!(current(), request);
        let turn = Turn { session_id: "s".to_owned(), message_id: "m".to_owned() };
        work_on(turn.clone());
        assert!(with_turn(|now| now == Some(&turn)));
        drop(entered);
        assert_eq!(current(), None);
        assert!(with_turn(|now| now.is_none()));
        drop(enter_turn(request, turn));
        assert!(current().is_none() && with_turn(|now| now.is_none()));
    }
}
