//! Server-sent events on the wire: one event, one chunk, one write.
//!
//! The format is that of the HTML standard, section 9.2; the chunks are RFC 9112, section 7.1.

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::write::write_all;

/// Room for a chunk's size line, which is known when the event is.
const SIZE_LINE: usize = 18;
/// Room for what else stands beside an event of one line.
const BESIDE: usize = 64;

/// Writes server-sent events, each on the wire at once.
pub struct EventStream<'a> {
    socket: &'a TcpStream,
    /// HTTP/1.0 has no chunks.
    chunked: bool,
    written: u64,
    broken: bool,
}

impl<'a> EventStream<'a> {
    pub(super) fn new(socket: &'a TcpStream, chunked: bool) -> Self {
        Self { socket, chunked, written: 0, broken: false }
    }

    /// Writes one event, with the id that a client sends back to resume. It fails at once when
    /// the client is gone.
    pub fn event(&mut self, id: Option<u64>, data: &str) -> io::Result<()> {
        let mut buffer = begun(data.len());
        if let Some(id) = id {
            writeln!(buffer, "id: {id}")?;
        }
        add_lines(&mut buffer, b"data: ", data);
        self.send(buffer)
    }

    /// Writes a comment, which clients ignore; it keeps the stream alive.
    pub fn comment(&mut self, text: &str) -> io::Result<()> {
        let mut buffer = begun(text.len());
        add_lines(&mut buffer, b": ", text);
        self.send(buffer)
    }

    /// The connection, to watch for the client's departure.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Ends the event and writes it.
    fn send(&mut self, mut buffer: Vec<u8>) -> io::Result<()> {
        buffer.push(b'\n');
        let mut start = SIZE_LINE;
        if self.chunked {
            let size = format!("{:x}\r\n", buffer.len() - SIZE_LINE);
            start -= size.len();
            buffer[start..SIZE_LINE].copy_from_slice(size.as_bytes());
            buffer.extend_from_slice(b"\r\n");
        }
        self.write(&buffer[start..])
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.broken || has_departed(self.socket) {
            self.broken = true;
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone"));
        }
        let result = write_all(self.socket, bytes);
        match result {
            Ok(()) => self.written += bytes.len() as u64,
            Err(_) => self.broken = true,
        }
        result
    }

    /// Ends the stream with its last chunk. Returns the bytes written, and whether another
    /// request can follow.
    pub(super) fn finish(mut self) -> (u64, bool) {
        let ended = self.chunked && !self.broken && self.write(b"0\r\n\r\n").is_ok();
        (self.written, ended)
    }
}

/// A buffer that begins with room for the size line. It is made for each event: a stream waits
/// between them, and should hold nothing meanwhile.
fn begun(length: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(length + BESIDE);
    buffer.resize(SIZE_LINE, b' ');
    buffer
}

fn add_lines(buffer: &mut Vec<u8>, name: &[u8], text: &str) {
    for line in text.split(['\n', '\r']) {
        buffer.extend_from_slice(name);
        buffer.extend_from_slice(line.as_bytes());
        buffer.push(b'\n');
    }
}

/// Whether the peer has gone or will send no more, which for a stream is the same.
fn has_departed(socket: &TcpStream) -> bool {
    let mut watched = [PollFd::new(socket, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(rustix::event::poll(&mut watched, Some(&now)), Ok(0) | Err(_))
}
