//! One WebSocket on its thread: read what came, tell what happened, keep it alive, close it well.
//!
//! Nothing here waits but one `poll`. Little is done between two looks at the socket, so a busy
//! session keeps neither the client's words nor the other sessions waiting.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::talk::{Round, Talk};
use super::wire::Wire;
use crate::http::Upgraded;
use crate::os::{self, Waker};
use crate::session::{Follower, Next};

/// Messages of the client that are answered before anything else is looked at.
const MESSAGES: usize = 16;
/// Bytes that are told before the socket is looked at.
const ROUND_BYTES: usize = 64 * 1024;
/// A client that leaves more than this unread is not heard until it has read.
const UNREAD: usize = 64 * 1024;
/// How long a peer that broke the protocol, or ended it, has to take the last frame.
const LINGER: Duration = Duration::from_secs(1);
/// How long one that reads too slowly has to take a close frame.
const LAST_CHANCE: Duration = Duration::from_secs(2);
/// Said with 1013.
const TOO_SLOW: &str = "you read too slowly; connect again and subscribe with `after` to go on";

/// Bounds of one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Of one message or frame of the client.
    pub(super) message_bytes: usize,
    /// Time between two pings.
    pub(super) heartbeat: Duration,
    /// How long the peer may leave what it was sent unread, or a ping unanswered.
    pub(super) write_time: Duration,
}

/// How the protocol is spoken: little is buffered, and messages are bounded.
pub(super) fn protocol(message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes))
}

/// One connection.
pub(super) struct Socket {
    web: WebSocket<Wire>,
    talk: Talk,
    limits: Limits,
    waker: Arc<Waker>,
    /// Closes when the server stops.
    end: Follower,
    is_stopping: bool,
    /// Nothing is left to tell until the waker is woken.
    is_quiet: bool,
    next_ping: Instant,
    /// A close frame is sent; the peer's is awaited until then.
    closing: Option<Instant>,
}

/// How it ended.
enum End {
    /// With a close frame: the peer should get it.
    Closed,
    /// Without: the peer is gone.
    Gone(&'static str),
}

impl Socket {
    pub(super) fn new(
        upgraded: Upgraded,
        limits: Limits,
        talk: Talk,
        end: Follower,
        waker: Arc<Waker>,
    ) -> io::Result<Self> {
        let config = protocol(limits.message_bytes);
        let wire = Wire::new(upgraded)?;
        // The kernel ends a connection that stands still, too, without a word: here it comes last.
        let time = limits.write_time * 2 + LAST_CHANCE;
        let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(wire.socket(), milliseconds)?;
        Ok(Self {
            web: WebSocket::from_raw_socket(wire, Role::Server, Some(config)),
            talk,
            limits,
            waker,
            end,
            is_stopping: false,
            is_quiet: false,
            next_ping: Instant::now() + limits.heartbeat,
            closing: None,
        })
    }

    /// Speaks until the connection ends. Turns that were asked for here go on.
    pub(super) fn serve(mut self) {
        let end = loop {
            if let Err(end) = self.step() {
                break end;
            }
        };
        match end {
            End::Closed => self.web.get_mut().linger(&self.waker, LINGER),
            End::Gone(why) => {
                log::debug!("a WebSocket ended: {why}");
                let _ = self.web.get_ref().socket().shutdown(Shutdown::Both);
            }
        }
    }

    fn step(&mut self) -> Result<(), End> {
        let has_more = self.read()?;
        // Answers to a client that keeps talking are no reason to hold back what happens.
        self.web.get_mut().send().map_err(gone)?;
        self.tell();
        self.keep_alive()?;
        // Pongs that are due; the wire takes everything.
        let _ = self.web.flush();
        self.web.get_mut().send().map_err(gone)?;
        self.wait(has_more)
    }

    /// Hears what came, a few messages at most. Tells whether there may be more.
    fn read(&mut self) -> Result<bool, End> {
        for _ in 0..MESSAGES {
            if self.web.get_ref().pending() > UNREAD {
                break;
            }
            match self.web.read() {
                Ok(message) => self.hear(&message),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(false);
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(Error::Io(error)) => return Err(gone(error)),
                Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                    return Err(End::Gone("the client went away"));
                }
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Err(End::Closed),
                Err(error) => {
                    let code = match &error {
                        Error::Capacity(_) => CloseCode::Size,
                        Error::Utf8(_) => CloseCode::Invalid,
                        _ => CloseCode::Protocol,
                    };
                    let reason = match code {
                        CloseCode::Size => {
                            format!("a message has at most {} bytes", self.limits.message_bytes)
                        }
                        CloseCode::Invalid => "a text is not UTF-8".to_owned(),
                        _ => "that frame breaks the WebSocket protocol".to_owned(),
                    };
                    log::debug!("a WebSocket's client broke the rules: {error}");
                    self.close(code, &reason, LINGER);
                    return Err(End::Closed);
                }
            }
        }
        Ok(true)
    }

    fn hear(&mut self, message: &Message) {
        if self.closing.is_some() {
            return;
        }
        let reply = match message {
            Message::Text(text) => self.talk.hear(text.as_bytes()),
            Message::Binary(_) => Some(Talk::refuse_binary()),
            // The protocol answers these itself.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return,
        };
        // It may have subscribed to something.
        self.is_quiet = false;
        if let Some(reply) = reply {
            say(&mut self.web, reply);
        }
    }

    /// Tells what happened, once the client has taken what it was told before.
    fn tell(&mut self) {
        if self.is_quiet || self.closing.is_some() || self.web.get_ref().pending() > 0 {
            return;
        }
        // Looked at before the rest: what was told before the end is then among the rest.
        if !self.is_stopping {
            self.is_stopping = matches!(self.end.poll(), Ok(Some(Next::Closed(_))));
        }
        let web = &mut self.web;
        match self.talk.round(ROUND_BYTES, &mut |text| say(web, text)) {
            Round::More => {}
            Round::Rest if self.is_stopping => {
                self.close(CloseCode::Away, "the server is stopping", self.limits.write_time);
            }
            Round::Rest => self.is_quiet = true,
            Round::TooSlow => self.close(CloseCode::Again, TOO_SLOW, self.limits.write_time),
        }
    }

    /// Sends a ping when one is due, and ends what has lasted too long.
    fn keep_alive(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let wire = self.web.get_ref();
        if let Some(deadline) = self.closing {
            return if now < deadline {
                Ok(())
            } else {
                Err(End::Gone("the client did not close"))
            };
        }
        if wire.stuck_since().is_some_and(|since| now >= since + self.limits.write_time) {
            self.web.get_mut().forget_unbegun();
            self.close(CloseCode::Again, TOO_SLOW, LAST_CHANCE);
            return Ok(());
        }
        if now >= wire.heard() + self.silence() {
            return Err(End::Gone("the client answers no ping"));
        }
        if now >= self.next_ping {
            self.next_ping = now + self.limits.heartbeat;
            // One who has yet to read will be looked at for that.
            if wire.pending() == 0 && self.web.can_write() {
                let _ = self.web.write(Message::Ping(tungstenite::Bytes::new()));
            }
        }
        Ok(())
    }

    /// How long the peer may be silent: one ping goes out in that time, and can be answered.
    fn silence(&self) -> Duration {
        self.limits.heartbeat + self.limits.write_time
    }

    /// Sends a close frame and gives the peer time to answer it.
    fn close(&mut self, code: CloseCode, reason: &str, time: Duration) {
        let _ = self.web.close(Some(CloseFrame { code, reason: reason.into() }));
        self.closing = Some(Instant::now() + time);
    }

    fn wait(&mut self, has_more: bool) -> Result<(), End> {
        let wire = self.web.get_ref();
        let pending = wire.pending();
        let may_read = pending <= UNREAD;
        let may_tell = pending == 0 && self.closing.is_none() && !self.is_quiet;
        let time = if may_tell || (may_read && has_more) {
            Duration::ZERO
        } else {
            let next = self.closing.unwrap_or_else(|| {
                let silent = wire.heard() + self.silence();
                let stuck = wire.stuck_since().map(|since| since + self.limits.write_time);
                self.next_ping.min(silent).min(stuck.unwrap_or(silent))
            });
            next.saturating_duration_since(Instant::now())
        };
        let socket = wire.socket().as_fd();
        if os::wait_ready(&self.waker, socket, (may_read, pending > 0), time).map_err(gone)? {
            self.is_quiet = false;
        }
        Ok(())
    }
}

/// Hands a text to the wire, which takes everything; behind a close frame nothing is said.
fn say(web: &mut WebSocket<Wire>, text: String) {
    if web.can_write() {
        let _ = web.write(Message::text(text));
    }
}

// It stands in `map_err`, which gives the error away.
#[allow(clippy::needless_pass_by_value)]
fn gone(error: io::Error) -> End {
    log::debug!("a WebSocket's connection failed: {error}");
    End::Gone("the connection failed")
}
