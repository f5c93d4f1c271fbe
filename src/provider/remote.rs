//! An answer pulled from a provider over the network.
//!
//! Puts together what the other files do apart: transport, event parser, a protocol's decoder and
//! the retry policy, as one iterator. Everything happens in the pull.

use std::collections::VecDeque;
use std::sync::Arc;

use super::anthropic::Anthropic;
use super::decode::{Decode, Fault, Ids};
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::openai::OpenAi;
use super::transport::{BUFFER, Reply, Transport};
use super::{Answer, Chunk, Provider, Request, Stop};
use crate::cancel::{Cancel, Guard};
use crate::config::Protocol;
use crate::error::{Code, Problem};
use crate::message::Part;
use crate::sse::{Event, MAX_EVENT, Parser, TooLarge};

/// What a wire protocol does for an answer.
pub(crate) trait Wire {
    /// The address to post to.
    fn url(&self, endpoint: &Endpoint) -> String;
    /// The headers of the protocol, the key's included.
    fn headers<'a>(&self, endpoint: &'a Endpoint)
    -> Vec<(&'static str, std::borrow::Cow<'a, str>)>;
    /// The body.
    fn body(&self, endpoint: &Endpoint, request: &Request<'_>) -> Vec<u8>;
    /// A decoder for one attempt.
    fn decoder(&self, ids: Ids) -> Box<dyn Decode>;
}

/// A model behind HTTP, for one turn.
pub(crate) struct Remote {
    endpoint: Arc<Endpoint>,
    wire: Box<dyn Wire + Send>,
    transport: Transport,
    cancel: Cancel,
}

impl Remote {
    /// Prepares the connection; nothing is sent before the first pull.
    pub(crate) fn new(endpoint: Arc<Endpoint>, cancel: &Cancel) -> Result<Self, Problem> {
        let transport = Transport::new(&endpoint, cancel).map_err(|failure| *failure.problem)?;
        let wire: Box<dyn Wire + Send> = match endpoint.protocol {
            Protocol::Anthropic => Box::new(Anthropic),
            Protocol::OpenAiChat => Box::new(OpenAi::new(&endpoint)),
        };
        Ok(Self { endpoint, wire, transport, cancel: cancel.clone() })
    }
}

impl Provider for Remote {
    fn ask<'a>(&'a mut self, request: &'a Request<'a>) -> Answer<'a> {
        let guard = self.cancel.on_cancel(self.transport.hang_up());
        Box::new(Pull {
            remote: self,
            request,
            state: if guard.is_ok() { State::Connect } else { State::Aborted },
            _guard: guard.ok(),
            ready: VecDeque::new(),
            retries: 0,
            told: false,
        })
    }
}

enum State {
    /// Send the request.
    Connect,
    /// Wait, then send it again.
    Wait(std::time::Duration),
    /// Read on.
    Read(Box<Reading>),
    /// An error comes after the chunks that are ready.
    Failed(Problem),
    /// The turn was stopped before it began.
    Aborted,
    /// Nothing follows the chunks that are ready.
    Over,
}

struct Reading {
    reply: Reply,
    parser: Parser,
    decoder: Box<dyn Decode>,
    buffer: Vec<u8>,
}

struct Pull<'a> {
    remote: &'a Remote,
    request: &'a Request<'a>,
    state: State,
    _guard: Option<Guard>,
    ready: VecDeque<Chunk>,
    /// Attempts that failed.
    retries: u32,
    /// A token was handed out: from now on a failure is an error.
    told: bool,
}

impl Iterator for Pull<'_> {
    type Item = Result<Chunk, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let over = matches!(self.state, State::Over) && self.ready.is_empty();
            if !over && (matches!(self.state, State::Aborted) || self.remote.cancel.is_cancelled())
            {
                self.ready.clear();
                self.state = State::Over;
                return Some(Err(*Failure::aborted().problem));
            }
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over | State::Aborted => return None,
                State::Failed(problem) => return Some(Err(problem)),
                State::Wait(time) => {
                    // A cancel is seen at the top of the loop.
                    let _ = self.remote.cancel.sleep(time);
                    self.state = State::Connect;
                }
                State::Connect => match self.connect() {
                    Ok(reading) => {
                        self.state = State::Read(Box::new(reading));
                    }
                    Err(failure) => self.fail(failure),
                },
                State::Read(mut reading) => {
                    // It may last until more comes.
                    self.ready = VecDeque::new();
                    let mut chunks = Vec::new();
                    let went = self.read(&mut reading, &mut chunks);
                    let is_empty = !self.told && !follows_a_tool(self.request) && is_empty(&chunks);
                    self.take(chunks);
                    match went {
                        Ok(()) if is_empty => {
                            self.ready.clear();
                            self.fail(Failure::empty(&self.remote.endpoint.name));
                        }
                        Ok(()) if reading.decoder.done() => reading.reply.finish(),
                        Ok(()) => self.state = State::Read(reading),
                        Err(failure) => self.fail(failure),
                    }
                }
            }
        }
    }
}

/// Whether the model has the result of a tool to answer, to which it may have nothing to add.
fn follows_a_tool(request: &Request<'_>) -> bool {
    let last = request.messages.last().and_then(|message| message.parts.last());
    matches!(last, Some(Part::Tool { .. }))
}

impl Pull<'_> {
    // What runs seldom stands apart, so that a wait for the next token holds none of its stack.
    #[inline(never)]
    fn connect(&self) -> Result<Reading, Failure> {
        let Remote { endpoint, wire, transport, .. } = self.remote;
        let headers = wire.headers(endpoint);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        let body = || wire.body(endpoint, self.request);
        let reply = transport.post(endpoint, &wire.url(endpoint), &headers, &body)?;
        if reply.kind.starts_with("text/html") {
            return Err(Failure::fatal(
                Code::ProviderFailed,
                format!(
                    "{} answered with a web page where a stream was expected: check the base URL ({}).",
                    endpoint.name,
                    endpoint.shown_base()
                ),
            ));
        }
        let seed = getrandom::u64().unwrap_or(u64::from(self.retries));
        let decoder = wire.decoder(Ids::new(self.request.messages, seed));
        Ok(Reading { reply, parser: Parser::default(), decoder, buffer: vec![0; BUFFER] })
    }

    /// One read, decoded.
    #[inline(never)]
    fn read(&self, reading: &mut Reading, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Remote { endpoint, transport, .. } = self.remote;
        let Reading { reply, parser, decoder, buffer } = reading;
        if reply.kind.starts_with("application/json") {
            return self.read_whole(reading, out);
        }
        let mut events = Vec::new();
        let read = transport.read(endpoint, reply, buffer);
        let fed = match &read {
            Ok(0) | Err(_) => {
                parser.finish(&mut events);
                // What the cut left of an event is no event.
                events.retain(is_whole);
                Ok(())
            }
            Ok(length) => parser.feed(&buffer[..*length], &mut events),
        };
        for event in &events {
            if !decoder.done() {
                decoder.event(event, out).map_err(|fault| self.fault(fault))?;
            }
        }
        fed.map_err(|TooLarge| self.too_large())?;
        if matches!(read, Ok(1..)) || decoder.done() {
            return Ok(());
        }
        let aborted = matches!(&read, Err(failure) if failure.problem.code == Code::Aborted);
        if !aborted {
            decoder.end(out).map_err(|fault| self.fault(fault))?;
        }
        match read {
            _ if decoder.done() => Ok(()),
            Err(failure) => Err(failure),
            Ok(_) => Err(Failure::cut(&endpoint.name)),
        }
    }

    /// A server that does not stream answers with one JSON object, or with an error in one.
    fn read_whole(&self, reading: &mut Reading, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let Remote { endpoint, transport, .. } = self.remote;
        let mut body = Vec::new();
        loop {
            match transport.read(endpoint, &mut reading.reply, &mut reading.buffer)? {
                0 => break,
                length => body.extend_from_slice(&reading.buffer[..length]),
            }
            if body.len() > MAX_EVENT {
                return Err(self.too_large());
            }
        }
        let data = String::from_utf8_lossy(&body).into_owned();
        let event = Event { name: String::new(), data };
        reading.decoder.event(&event, out).map_err(|fault| self.fault(fault))?;
        reading.decoder.end(out).map_err(|fault| self.fault(fault))?;
        if reading.decoder.done() { Ok(()) } else { Err(Failure::cut(&endpoint.name)) }
    }

    #[inline(never)]
    fn take(&mut self, chunks: Vec<Chunk>) {
        for chunk in chunks {
            let chunk = match chunk {
                Chunk::Usage(usage) => Chunk::Usage(self.remote.endpoint.price(usage)),
                other => other,
            };
            self.told |= is_told(&chunk);
            self.ready.push_back(chunk);
        }
    }

    #[inline(never)]
    fn fail(&mut self, failure: Failure) {
        if self.told {
            self.state = State::Failed(*failure.problem);
            return;
        }
        let random = getrandom::u32().unwrap_or(u32::MAX);
        let code = failure.problem.code;
        match self.remote.endpoint.policy.wait(failure, self.retries, random) {
            Err(failure) => self.state = State::Failed(*failure.problem),
            Ok((time, reason)) => {
                self.retries += 1;
                let wait_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                self.ready.push_back(Chunk::Retry { attempt: self.retries, wait_ms, reason, code });
                self.state = State::Wait(time);
            }
        }
    }

    fn fault(&self, fault: Fault) -> Failure {
        let endpoint = &self.remote.endpoint;
        match fault {
            Fault::Garbled(data) => Failure::garbled(&endpoint.name, &endpoint.redact(&data)),
            Fault::Reported { status, error } => Failure::in_stream(endpoint, status, &error),
            Fault::Withheld(why) => Failure::fatal(
                Code::ProviderFailed,
                format!("{} does not let the model answer this ({why}).", endpoint.name),
            ),
            Fault::TooManyCalls => Failure::fatal(
                Code::ProviderFailed,
                format!("{} made more tool calls than one answer may have.", endpoint.name),
            ),
        }
    }

    fn too_large(&self) -> Failure {
        let name = &self.remote.endpoint.name;
        Failure::fatal(Code::ProviderFailed, format!("{name} sent an event larger than 4 MiB."))
    }
}

/// Whether an answer ends here that has nothing in it, and not because its length was used up.
fn is_empty(chunks: &[Chunk]) -> bool {
    let ends = |chunk: &Chunk| matches!(chunk, Chunk::End(Stop::Finished | Stop::Calls));
    chunks.iter().any(ends) && !chunks.iter().any(is_told)
}

/// Whether a chunk is part of what the model said.
fn is_told(chunk: &Chunk) -> bool {
    match chunk {
        Chunk::Text(_) | Chunk::Reasoning(_) | Chunk::ReasoningEnd(_) | Chunk::Call(_) => true,
        Chunk::Usage(_) | Chunk::Retry { .. } | Chunk::End(_) => false,
    }
}

fn is_whole(event: &Event) -> bool {
    event.data.trim() == "[DONE]"
        || serde_json::from_str::<serde::de::IgnoredAny>(&event.data).is_ok()
}
