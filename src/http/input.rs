//! The bytes that come in on a connection: one small buffer, and a deadline for each read.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::links::Link;

/// The buffer of a connection at rest.
const SMALL: usize = 4 * 1024;
/// The buffer of one whose request is larger.
const WIDE: usize = 16 * 1024;
/// What a read may last beyond its deadline. Setting the socket's time-out costs a system call,
/// so it is set again only when it is wrong by more than this.
const SLACK: Duration = Duration::from_millis(50);

/// How long a read may wait.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wait {
    /// This long.
    For(Duration),
    /// Until then, whatever came before: a total, which a trickle of bytes does not extend.
    Until(Instant),
}

/// A connection's incoming bytes.
pub(super) struct Input {
    link: Arc<Link>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The socket's read time-out; zero before it is set.
    timeout: Duration,
}

impl Input {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link, buffer: Vec::new(), start: 0, end: 0, timeout: Duration::ZERO }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.link.stream
    }

    /// The connection's place.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// What has come and is not consumed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Gives the buffer back, as far as it is not in use.
    pub(super) fn release(&mut self) {
        if self.start == self.end {
            self.buffer = Vec::new();
        }
    }

    /// Gives back a buffer that a large request left.
    pub(super) fn narrow(&mut self) {
        if self.buffer.len() > SMALL {
            self.release();
        }
    }

    /// Makes room for reads of many bytes.
    pub(super) fn widen(&mut self) {
        if self.buffer.len() < WIDE {
            self.buffer.resize(WIDE, 0);
        }
    }

    /// Waits for bytes and adds them; 0 at the end of the connection, `TimedOut` when none came.
    /// The caller bounds what it lets gather.
    pub(super) fn fill(&mut self, wait: Wait) -> io::Result<usize> {
        if self.end == self.buffer.len() {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                self.buffer.resize((self.buffer.len() * 2).max(SMALL), 0);
            }
        }
        loop {
            self.set_timeout(wait)?;
            match (&self.link.stream).read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn set_timeout(&mut self, wait: Wait) -> io::Result<()> {
        let left = match wait {
            Wait::For(time) if time == self.timeout => return Ok(()),
            Wait::For(time) => time.max(Duration::from_millis(1)),
            Wait::Until(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                if (left..=left + SLACK).contains(&self.timeout) {
                    return Ok(());
                }
                left
            }
        };
        self.link.stream.set_read_timeout(Some(left))?;
        self.timeout = left;
        Ok(())
    }

    /// Says that no more will be written, then reads past what still comes, within bounds, so
    /// that closing the socket does not take the last answer away from the client (RFC 9112,
    /// section 9.6).
    pub(super) fn linger(&mut self) {
        const BYTES: usize = 32 * 1024 * 1024;
        let deadline = Instant::now() + Duration::from_secs(1);
        if self.link.stream.shutdown(std::net::Shutdown::Write).is_err() {
            return;
        }
        let mut past = 0;
        self.consume(self.end);
        self.widen();
        while past < BYTES
            && let Ok(count @ 1..) = self.fill(Wait::Until(deadline))
        {
            past += count;
            self.consume(count);
        }
    }

    /// The end of this layer's reading: what has come already, for another protocol to begin
    /// with. The read time-out is gone.
    pub(super) fn into_rest(mut self) -> io::Result<Vec<u8>> {
        self.link.stream.set_read_timeout(None)?;
        self.buffer.truncate(self.end);
        self.buffer.drain(..self.start);
        Ok(self.buffer)
    }
}
