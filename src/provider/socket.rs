//! A connection without TLS, or what TLS lies on: a socket that is waited for before there is a
//! buffer to read into.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, NextTimeout, ShutdownHandle, Transport,
};
use ureq::{Error, Timeout};

use super::buffers::Held;
use crate::os::Waits;

/// The least time that an address gets, however many there are.
const BRIEF: Duration = Duration::from_millis(10);

/// A connected socket.
#[derive(Debug)]
pub(super) struct Socket {
    /// The agent has a weak one, to shut it down.
    stream: Arc<TcpStream>,
    buffers: Held,
    waits: Waits,
    /// The socket's write time-out; setting it costs a system call.
    patience: Option<Duration>,
}

impl Socket {
    /// Connects to the first address that answers. One that is silent takes half of the time that
    /// is left, unless it is the last.
    pub(super) fn connect(details: &ConnectionDetails<'_>) -> Result<Self, Error> {
        let (begun, whole) = (Instant::now(), details.timeout.not_zero().map(|time| *time));
        let mut failure = Error::HostNotFound;
        for (number, address) in details.addrs.iter().enumerate() {
            let left = whole.map(|whole| whole.saturating_sub(begun.elapsed()));
            let is_last = number + 1 == details.addrs.len();
            let share = left.map(|left| if is_last { left } else { left / 2 }.max(BRIEF));
            match connect(address, share) {
                Ok(stream) => return Self::new(stream, details),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn new(stream: TcpStream, details: &ConnectionDetails<'_>) -> Result<Self, Error> {
        stream.set_nodelay(true)?;
        let stream = Arc::new(stream);
        let handle = Arc::downgrade(&stream);
        let handle: Weak<dyn ShutdownHandle> = handle;
        (details.register_shutdown)(handle)?;
        let (buffers, waits) = (Held::default(), Waits::default());
        Ok(Self { stream, buffers, waits, patience: None })
    }
}

fn connect(address: &SocketAddr, time: Option<Duration>) -> Result<TcpStream, Error> {
    let connected = match time {
        Some(time) => TcpStream::connect_timeout(address, time),
        None => TcpStream::connect(address),
    };
    connected.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::Timeout(Timeout::Connect),
        _ => error.into(),
    })
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if timeout.per_write.is_some_and(|time| time.is_zero()) {
            // TLS, which has something to send, reads on all the same.
            return Err(io::Error::from(io::ErrorKind::WouldBlock).into());
        }
        let timeout = timeout.for_write();
        in_time(&timeout)?;
        let patience = timeout.not_zero().map(|time| *time);
        if self.patience != patience {
            self.stream.set_write_timeout(patience)?;
            self.patience = patience;
        }
        (&*self.stream).write_all(self.buffers.written(amount)).map_err(|error| {
            match error.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                    Error::Timeout(timeout.reason)
                }
                _ => error.into(),
            }
        })
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        in_time(&timeout)?;
        let time = timeout.not_zero().map(|time| *time);
        if !self.buffers.rest() {
            return Ok(false);
        }
        let (stream, buffers, waits) = (&*self.stream, &mut self.buffers, &mut self.waits);
        let begun = Instant::now();
        loop {
            let left = time.map(|time| time.saturating_sub(begun.elapsed()));
            if !waits.wait(|| readable(stream, left))? {
                return Err(Error::Timeout(timeout.reason));
            }
            match buffers.fill(|room| Ok(recv(stream, room, RecvFlags::DONTWAIT)?.0)) {
                // Waited for in vain: what had come was damaged on its way.
                Err(Errno::AGAIN | Errno::INTR) => {}
                came => return came.map(|count| count > 0).map_err(|e| io::Error::from(e).into()),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        // Whatever came unasked is no beginning of an answer.
        let looked = recv(&*self.stream, &mut [0; 1], RecvFlags::DONTWAIT | RecvFlags::PEEK);
        matches!(looked, Err(Errno::AGAIN))
    }
}

/// Refuses what begins after its time: `not_zero` would give it a second more.
fn in_time(timeout: &NextTimeout) -> Result<(), Error> {
    let is_over = !timeout.after.is_not_happening() && timeout.after.is_zero();
    if is_over { Err(Error::Timeout(timeout.reason)) } else { Ok(()) }
}

/// Waits until a read will not block, at most for `time`; `false` once that is over.
fn readable(stream: &TcpStream, time: Option<Duration>) -> io::Result<bool> {
    let time = time.and_then(|time| Timespec::try_from(time).ok());
    let mut watched = [PollFd::new(stream, PollFlags::IN)];
    match rustix::event::poll(&mut watched, time.as_ref()) {
        // As if something had come: the look finds nothing, and the rest of the time is waited.
        Err(Errno::INTR) => Ok(true),
        ready => Ok(ready? > 0),
    }
}
