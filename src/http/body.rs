//! The request body: a decoder of its framing, and reading it within its bounds.
//!
//! [`Decoder`] is pure, so that it can be fuzzed; `Body` feeds it from a connection.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::budget::Budget;
use super::head::{Expectation, Framing, Head, is_token};
use super::input::{Input, Wait};
use crate::config::Limits;
use crate::error::{Code, Problem};

/// Bytes of chunk extensions and trailers in one body. Both are read past: nothing uses them.
const EXTRAS: usize = 16 * 1024;
/// Room that is made for a body before it comes.
const EARLY: usize = 16 * 1024;
/// Seconds after which a client should try again that found too many bodies under way.
const RETRY: u64 = 1;
/// Bytes of a body nobody asked for that are read past, so that the connection can go on.
const UNREAD: usize = 64 * 1024;
/// The time that may take.
const UNREAD_TIME: Duration = Duration::from_millis(500);

/// Takes a body out of its framing (RFC 9112, sections 6 and 7.1).
#[derive(Debug)]
pub struct Decoder {
    state: State,
    extras: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Length(u64),
    Size { value: u64, digits: u8 },
    Extension { value: u64 },
    SizeFeed { value: u64 },
    Data(u64),
    DataReturn,
    DataFeed,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerFeed,
    LastFeed,
    Done,
}

impl Decoder {
    /// A decoder at the first byte of a body.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { value: 0, digits: 0 },
        };
        Self { state, extras: 0 }
    }

    /// Whether the body has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The bytes that are still to come, where that is declared.
    #[must_use]
    pub fn declared(&self) -> Option<u64> {
        match self.state {
            State::Length(length) => Some(length),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Decodes from the front of `input` and tells how many bytes it took: all of them, unless
    /// the body ended. `body` may not grow beyond `limit`.
    pub fn decode(
        &mut self,
        input: &[u8],
        body: &mut Vec<u8>,
        limit: usize,
    ) -> Result<usize, Problem> {
        let mut at = 0;
        while at < input.len() {
            if let State::Length(left) | State::Data(left) = self.state {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - at);
                if here > limit - body.len().min(limit) {
                    return Err(too_large(limit));
                }
                body.extend_from_slice(&input[at..at + here]);
                at += here;
                let left = left - here as u64;
                self.state = match self.state {
                    State::Length(_) if left == 0 => State::Done,
                    State::Length(_) => State::Length(left),
                    _ if left == 0 => State::DataReturn,
                    _ => State::Data(left),
                };
            } else if self.state == State::Done {
                break;
            } else {
                self.state = self.step(input[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// One byte of chunked framing.
    fn step(&mut self, byte: u8) -> Result<State, Problem> {
        let text = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        Ok(match (self.state, byte) {
            (State::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                if digits == 16 {
                    return Err(bad("A chunk's size is too long."));
                }
                State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { value, digits: 1.. } | State::Extension { value }, b'\r') => {
                State::SizeFeed { value }
            }
            (State::Size { value, digits: 1.. }, b';') => self.extra(State::Extension { value })?,
            (State::Extension { value }, _) if text => self.extra(State::Extension { value })?,
            (State::SizeFeed { value: 0 } | State::TrailerFeed, b'\n') => State::TrailerStart,
            (State::SizeFeed { value }, b'\n') => State::Data(value),
            (State::DataReturn, b'\r') => State::DataFeed,
            (State::DataFeed, b'\n') => State::Size { value: 0, digits: 0 },
            (State::TrailerStart, b'\r') => State::LastFeed,
            (State::TrailerStart | State::TrailerName, _) if is_token(byte) => {
                self.extra(State::TrailerName)?
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerFeed,
            (State::TrailerValue, _) if text => self.extra(State::TrailerValue)?,
            (State::LastFeed, b'\n') => State::Done,
            _ => return Err(bad("The chunked body is malformed.")),
        })
    }

    /// Counts a byte that is read past.
    fn extra(&mut self, next: State) -> Result<State, Problem> {
        self.extras += 1;
        if self.extras > EXTRAS {
            return Err(bad("The chunk extensions and trailers are too long."));
        }
        Ok(next)
    }
}

/// The body of the request under way.
pub(super) struct Body {
    decoder: Decoder,
    /// The client waits for `100 Continue`.
    awaited: bool,
    /// What follows on the connection cannot be told from the body any more.
    broken: bool,
}

impl Body {
    pub(super) fn new(head: &Head) -> Self {
        Self {
            decoder: Decoder::new(head.framing),
            awaited: head.expectation == Expectation::Continue,
            broken: false,
        }
    }

    /// The bytes that are still to come, where that is declared.
    pub(super) fn declared(&self) -> Option<u64> {
        self.decoder.declared()
    }

    /// 413 where the declared length is over the limit already.
    pub(super) fn refusal(&self, limits: &Limits) -> Option<Problem> {
        let over = self.decoder.declared().is_some_and(|length| length > limits.body_bytes as u64);
        over.then(|| too_large(limits.body_bytes))
    }

    /// Reads all of it.
    pub(super) fn read(
        &mut self,
        input: &mut Input,
        limits: &Limits,
        bodies: &Budget,
    ) -> Result<Vec<u8>, Problem> {
        if self.broken {
            return Err(bad("The body could not be read."));
        }
        let result = match self.refusal(limits) {
            Some(problem) => Err(problem),
            None => self.read_within(input, limits, bodies),
        };
        input.link().has_request();
        self.broken = result.is_err();
        result
    }

    fn read_within(
        &mut self,
        input: &mut Input,
        limits: &Limits,
        bodies: &Budget,
    ) -> Result<Vec<u8>, Problem> {
        let declared = self.decoder.declared().unwrap_or(0);
        let mut body = Vec::with_capacity((declared as usize).min(EARLY));
        let mut share = bodies.share();
        let mut deadline = None;
        loop {
            let taken = self.decoder.decode(input.bytes(), &mut body, limits.body_bytes)?;
            input.consume(taken);
            if !share.grow_to(body.capacity()) {
                let detail = "As many large requests are being read as this server takes. Try \
                              again shortly.";
                return Err(Problem::new(Code::AtCapacity, detail).retry_after(RETRY));
            }
            if self.decoder.is_done() {
                return Ok(body);
            }
            if std::mem::take(&mut self.awaited) && body.is_empty() {
                let sent = (&mut input.stream()).write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
                sent.map_err(|_| bad("The client is gone."))?;
            }
            input.widen();
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + limits.body_time);
            match input.fill(Wait::Until(deadline)) {
                Ok(0) => return Err(bad("The connection ended before the body did.")),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    let detail = "The request's body did not arrive in time.";
                    return Err(Problem::new(Code::RequestTimeout, detail));
                }
                Err(_) => return Err(bad("The connection broke before the body ended.")),
            }
        }
    }

    /// Whether the connection can go on after this request, as far as can be told before the
    /// rest of the body is read past.
    pub(super) fn allows_another(&self) -> bool {
        let small = self.decoder.declared().is_none_or(|length| length <= UNREAD as u64);
        self.decoder.is_done() || !self.broken && !self.awaited && small
    }

    /// Whether all of it was read.
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// Reads past what nobody asked for, and tells whether its end was reached.
    pub(super) fn skip(&mut self, input: &mut Input) -> bool {
        let deadline = Instant::now() + UNREAD_TIME;
        let mut past = Vec::new();
        while self.allows_another() {
            let Ok(taken) = self.decoder.decode(input.bytes(), &mut past, UNREAD) else {
                return false;
            };
            input.consume(taken);
            if self.decoder.is_done() {
                return true;
            }
            if !matches!(input.fill(Wait::Until(deadline)), Ok(1..)) {
                return false;
            }
        }
        false
    }
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("The request's body is larger than the {limit} bytes this server takes.");
    Problem::new(Code::BodyTooLarge, detail)
}

fn bad(detail: &str) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

#[cfg(test)]
mod tests;
