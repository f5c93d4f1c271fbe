//! The bytes between the WebSocket protocol and a socket that never blocks.
//!
//! The protocol writes whole frames and always succeeds; the socket takes them when it can. Who
//! owns this sees how much waits, since when, and when the peer last showed that it is there.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::http::Upgraded;
use crate::os::{self, Waker};

/// An output buffer larger than this is given back when it is empty.
const KEPT: usize = 16 * 1024;

/// A socket and what waits to be sent on it.
pub(super) struct Wire {
    upgraded: Upgraded,
    output: Vec<u8>,
    /// The part of `output` that the socket has taken.
    sent: usize,
    /// Where the frames in `output` end.
    ends: VecDeque<usize>,
    stuck: Option<Instant>,
    heard: Instant,
}

impl Wire {
    pub(super) fn new(upgraded: Upgraded) -> io::Result<Self> {
        upgraded.stream().set_nonblocking(true)?;
        Ok(Self {
            upgraded,
            output: Vec::new(),
            sent: 0,
            ends: VecDeque::new(),
            stuck: None,
            heard: Instant::now(),
        })
    }

    pub(super) fn socket(&self) -> &TcpStream {
        self.upgraded.stream()
    }

    /// Bytes that wait to be sent.
    pub(super) fn pending(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Since when something waits without a break.
    pub(super) fn stuck_since(&self) -> Option<Instant> {
        self.stuck
    }

    /// When the peer last sent something, or took what it had kept waiting.
    pub(super) fn heard(&self) -> Instant {
        self.heard
    }

    /// Sends as much as the socket takes now.
    pub(super) fn send(&mut self) -> io::Result<()> {
        while self.pending() > 0 {
            match self.upgraded.write(&self.output[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.sent += count;
                    if self.stuck.is_some() {
                        self.heard = Instant::now();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stuck.get_or_insert_with(Instant::now);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.stuck = None;
        self.sent = 0;
        self.ends.clear();
        self.output.clear();
        self.output.shrink_to(KEPT);
        Ok(())
    }

    /// Drops the frames of which nothing is sent yet, so that a close frame can come next.
    pub(super) fn forget_unbegun(&mut self) {
        let sent = self.sent;
        let whole = self.ends.iter().copied().find(|end| *end >= sent);
        self.output.truncate(if sent == 0 { 0 } else { whole.unwrap_or(sent) });
        self.ends.retain(|end| *end <= self.output.len());
        self.stuck = None;
    }

    /// Sends what waits, says that nothing more will come, and reads past what still does: so
    /// closing the socket does not take the last frame away from the peer.
    pub(super) fn linger(&mut self, waker: &Waker, time: Duration) {
        const BYTES: usize = 32 * 1024 * 1024;
        let deadline = Instant::now() + time;
        let mut past = vec![0; KEPT];
        let (mut shut, mut count) = (false, 0);
        while self.send().is_ok() && count < BYTES {
            if self.pending() == 0 && !shut {
                shut = true;
                if self.socket().shutdown(Shutdown::Write).is_err() {
                    return;
                }
            }
            match self.upgraded.read(&mut past) {
                Ok(0) => return,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let (socket, write) = (self.socket().as_fd(), self.pending() > 0);
                    if left.is_zero() || os::wait_ready(waker, socket, (true, write), left).is_err()
                    {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.upgraded.read(out)?;
        if count > 0 {
            self.heard = Instant::now();
        }
        Ok(count)
    }
}

impl Write for Wire {
    /// Takes whole frames, and always all of them.
    fn write(&mut self, frames: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(frames);
        self.ends.push_back(self.output.len());
        Ok(frames.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
