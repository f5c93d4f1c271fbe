//! Why the store did not do it.

use std::io;

use crate::session::hub::FOLLOWERS;

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No session has this id.
    #[error("no session has this id")]
    Missing,
    /// The id is taken.
    #[error("the session exists already")]
    Exists,
    /// A turn runs in the session.
    #[error("a turn runs in the session")]
    Busy,
    /// Another process runs it.
    #[error("a turn runs in the session, in another process")]
    Elsewhere,
    /// As many follow the session as may.
    #[error("{FOLLOWERS} clients follow this session, which is the limit")]
    Crowded,
    /// Another server has the project; its address, once it has told that.
    #[error("a server of this project is running already{}", at(.0))]
    Served(String),
    /// Written by a later version of the program.
    #[error(
        "the sessions are of version {0}, which is newer than this program reads; use the program that wrote them"
    )]
    Newer(String),
    /// More than a record may hold, in bytes.
    #[error("an event of {0} bytes is more than can be stored")]
    TooLarge(usize),
    /// What is stored is not what was written.
    #[error("what is stored is damaged: {0}")]
    Damaged(String),
    /// The disk is full.
    #[error("the disk is full: nothing more can be stored; make room and ask again")]
    Full,
    /// The system refused.
    #[error("the sessions cannot be read or written: {0}")]
    Io(String),
}

fn at(address: &str) -> String {
    if address.is_empty() { String::new() } else { format!(" at {address}") }
}

impl StoreError {
    pub(super) fn damaged(error: &serde_json::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error.to_string()),
        }
    }
}
