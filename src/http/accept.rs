//! The accept loop: connections come in, each gets its thread, and nothing ends the loop but
//! [`Running::stop`](super::Running::stop).

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::connection::Connection;
use super::pool::Pool;
use super::response::Response;
use super::server::{Seat, Shared};
use crate::context;
use crate::error::{Code, Problem};
use crate::os::Waker;

/// How long the loop rests when a connection cannot be accepted. Those that wait stay in the
/// kernel's queue, and are served when descriptors are there again.
const REST: Duration = Duration::from_millis(20);
/// Refused connections that are held open for a moment, so that their client hears why.
const FAREWELLS: usize = 32;
/// That moment.
const FAREWELL: Duration = Duration::from_secs(1);
/// Seconds after which a refused client should try again.
const RETRY: u64 = 1;

/// The thread that accepts.
pub(super) struct Acceptor {
    listener: TcpListener,
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    pool: Pool,
    refused: VecDeque<(Instant, TcpStream)>,
    accepted: u64,
    /// The last accept failed, and that was logged.
    failing: bool,
}

impl Acceptor {
    pub(super) fn new(
        listener: TcpListener,
        shared: Arc<Shared>,
        waker: Arc<Waker>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let pool = Pool::new(shared.limits.connections, waker.clone());
        let refused = VecDeque::new();
        Ok(Self { listener, shared, waker, pool, refused, accepted: 0, failing: false })
    }

    /// Accepts until the server stops, and gives the threads back.
    pub(super) fn run(mut self) -> Pool {
        while !self.shared.is_stopping() {
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    (self.accepted, self.failing) = (self.accepted + 1, false);
                    match Seat::take(&self.shared, stream, peer, self.accepted) {
                        Ok(seat) => self.seat(seat),
                        Err(stream) => self.refuse(stream),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(true),
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        log::warn!("connections cannot be accepted at the moment: {error}");
                    }
                    self.wait(false);
                }
            }
        }
        self.pool
    }

    fn seat(&mut self, seat: Seat) {
        let link = seat.link.clone();
        if self.pool.hand_over(Box::new(move || Connection::new(seat).serve())).is_err() {
            log::warn!("a connection is refused: no thread can be started for it");
            // Its seat is given back, so this is the last holder of the socket.
            if let Some(link) = Arc::into_inner(link) {
                self.refuse(link.stream);
            }
        }
    }

    /// Answers 503 without waiting for anything: what was sent so far is read, the answer fits
    /// any socket's buffer, and the socket is closed later.
    fn refuse(&mut self, mut stream: TcpStream) {
        self.shared.traffic.turned_away.add(1);
        let detail = "As many connections are open as this server takes. Try again shortly.";
        let problem = Problem::new(Code::AtCapacity, detail).retry_after(RETRY);
        let _ = stream.set_nonblocking(true);
        let _ = stream.read(&mut [0; 4096]);
        let id = self.shared.next_request();
        let _entered = context::enter(id);
        let response = Response::problem(&problem);
        let _ = response.write(&stream, &mut Vec::new(), &id, false, true);
        let _ = stream.shutdown(Shutdown::Write);
        if self.refused.len() == FAREWELLS
            && let Some((_, oldest)) = self.refused.pop_front()
        {
            part(oldest);
        }
        self.refused.push_back((Instant::now() + FAREWELL, stream));
    }

    /// Waits for the next connection, or only rests; either way the server's stop and a thread
    /// that ends wake it.
    fn wait(&mut self, listen: bool) {
        let now = Instant::now();
        while self.refused.front().is_some_and(|(due, _)| *due <= now)
            && let Some((_, stream)) = self.refused.pop_front()
        {
            part(stream);
        }
        let due = self.refused.front().map(|(due, _)| due.saturating_duration_since(now));
        let time = if listen { due } else { Some(REST) };
        let timeout = time.and_then(|time| Timespec::try_from(time).ok());
        let mut fds =
            [PollFd::new(&*self.waker, PollFlags::IN), PollFd::new(&self.listener, PollFlags::IN)];
        let watched = if listen { &mut fds[..] } else { &mut fds[..1] };
        // It only fails for a moment (EINTR, ENOMEM), and then the loop looks again.
        let _ = rustix::event::poll(watched, timeout.as_ref());
        if !fds[0].revents().is_empty() {
            self.waker.clear();
            self.pool.join_left();
        }
    }
}

/// Closes a refused connection. Bytes left unread would make that a reset, which can take the
/// answer away from a client that has not read it yet.
fn part(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
}
