//! What a thread works on: the request, session and turn that its lines of the log belong to.
//!
//! A connection's thread names the request it answers, a turn's thread takes over what the one
//! that asked for it had. So a line says whose it is, however deep it is written.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// The longest id that is taken over from a client.
const LONGEST: usize = 64;
/// Crockford's base 32 in lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of a server's own part.
const OWN: usize = 8;

/// The name of one request: in its answer's `X-Request-Id`, in a problem, in the log.
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
        let random = crate::id::random();
        Self(std::array::from_fn(|place| ALPHABET[(random >> (5 * place)) as usize & 31]))
    }

    /// The id of a request, by its number.
    #[must_use]
    pub fn name(&self, number: u64) -> RequestId {
        let mut bytes = [0; LONGEST];
        bytes[..OWN].copy_from_slice(&self.0);
        bytes[OWN] = b'-';
        let digits = (64 - number.leading_zeros()).div_ceil(5).max(1) as usize;
        for (place, byte) in bytes[OWN + 1..][..digits].iter_mut().rev().enumerate() {
            *byte = ALPHABET[(number >> (5 * place)) as usize & 31];
        }
        RequestId { bytes, length: (OWN + 1 + digits) as u8 }
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

/// A turn and its session.
#[derive(Debug)]
pub struct Turn {
    /// The session's id.
    pub session: String,
    /// The id of the answer.
    pub message: String,
}

/// What a thread works on; all may be absent.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The request that is answered, or that started the turn.
    pub request: Option<RequestId>,
    /// The turn that runs, or that the request started.
    pub turn: Option<Arc<Turn>>,
}

thread_local! {
    static NOW: RefCell<Context> =
        const { RefCell::new(Context { request: None, turn: None }) };
}

/// Ends what a thread works on.
#[derive(Debug)]
pub struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        set(Context::default());
    }
}

/// Names what this thread works on until the guard is dropped.
#[must_use = "it ends with the guard"]
pub fn enter(context: Context) -> Entered {
    set(context);
    Entered(())
}

/// Names the turn that this thread's request has started.
pub fn begin_turn(turn: Arc<Turn>) {
    let _ = NOW.try_with(|now| {
        if let Ok(mut now) = now.try_borrow_mut() {
            now.turn = Some(turn);
        }
    });
}

/// What this thread works on.
#[must_use]
pub fn current() -> Context {
    // A thread that ends has nothing any more.
    let now = NOW.try_with(|now| now.try_borrow().map(|now| now.clone()).unwrap_or_default());
    now.unwrap_or_default()
}

fn set(context: Context) {
    let _ = NOW.try_with(|now| now.try_borrow_mut().map(|mut now| *now = context));
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
        let entered = enter(Context { request, turn: None });
        let turn = Turn { session: "s".to_owned(), message: "m".to_owned() };
        begin_turn(Arc::new(turn));
        assert_eq!((current().request, current().turn.is_some()), (request, true));
        drop(entered);
        assert!(current().request.is_none() && current().turn.is_none());
    }
}
