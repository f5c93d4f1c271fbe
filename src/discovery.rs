//! Servers on the local network, by multicast DNS (RFC 6762) and its service discovery (RFC 6763).
//!
//! Both ways: a server announces itself until it stops, and a client asks who is there. Reading
//! order: `packet`, `records` (what a server has to tell), `link` and `answers` (when it tells
//! it), `announcer` (the thread that does), `cache` and `ask` (the client's side), `net` under all
//! of them. What decides knows no socket and no clock: packets and the time come in, packets go
//! out. `docs/decisions/0002` says what of simple-mdns is used here, and why not more.

mod announcer;
mod answers;
mod ask;
mod cache;
#[cfg(fuzzing)]
pub mod fuzz;
mod link;
mod net;
mod packet;
mod records;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

pub use announcer::{Announcer, announce};
pub use ask::{AskError, discover, find_host, find_server};
pub use cache::Found;

/// What is announced.
#[derive(Debug, Clone)]
pub struct Service {
    /// The name that is wanted, `NAME.local`.
    pub domain: String,
    /// The address that the server listens on; an unspecified one stands for all of a family.
    pub listen: std::net::IpAddr,
    /// Its port.
    pub port: u16,
    /// The path its API is below: empty, or `/prefix`.
    pub base_path: String,
    /// Whether it wants a password.
    pub auth: bool,
}

/// The name of a server on the local network, and whether it is the server's already. Clones share
/// it.
#[derive(Debug, Clone)]
pub struct LocalName(Arc<Mutex<(String, bool)>>);

impl LocalName {
    /// A name that is not claimed yet.
    #[must_use]
    pub fn wanted(name: &str) -> Self {
        Self(Arc::new(Mutex::new((name.to_owned(), false))))
    }

    /// The name as it is, or is going to be.
    #[must_use]
    pub fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Whether this is the name, and is claimed.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        let own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        own.1 && own.0.eq_ignore_ascii_case(name)
    }

    fn set(&self, name: &str, claimed: bool) {
        let mut own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *own = (name.to_owned(), claimed);
    }
}
