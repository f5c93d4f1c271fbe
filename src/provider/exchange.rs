//! One request to a provider and its answer, on the turn's own thread.
//!
//! `ureq-proto` knows HTTP and does no I/O: what it prints and parses goes through a connection of
//! ureq's kind. ureq's own loop over both would have all its frames on the stack while a model
//! thinks, and an agent in memory for as long as a turn lasts. Here a wait stands apart from
//! whatever needs room.

use std::io::{self, Read};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use ureq::http::header::{CONNECTION, CONTENT_ENCODING};
use ureq::http::response::Parts;
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, Request, Response};
use ureq::unversioned::transport::{NextTimeout, Transport};
use ureq::{Error, Timeout};
use ureq_proto::BodyMode;
use ureq_proto::client::state::{Prepare, RecvBody, RecvResponse};
use ureq_proto::client::{Call, RecvResponseResult, SendRequestResult};

use super::idle::Idle;

/// Bytes of an answer's head.
const HEAD: usize = 64 * 1024;

/// How long what has been sent may take to come.
pub(super) const BRIEF: Duration = Duration::from_millis(50);

/// A connection.
pub(super) type Line = Box<dyn Transport>;
/// A request that is to be sent.
pub(super) type Prepared = Box<Call<Prepare>>;

/// A request whose answer is awaited.
type Asked = Box<Call<RecvResponse>>;

/// A request that cannot be sent as it is. Its headers are partly the configuration's.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsendable {
    #[error("{0}")]
    Head(ureq_proto::Error),
    #[error("another body is announced than the one that it has")]
    Body,
}

impl From<Unsendable> for Error {
    fn from(error: Unsendable) -> Self {
        Self::Other(Box::new(error))
    }
}

/// An answer whose head has come.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Box<dyn Body>,
}

/// The body of an answer.
pub(super) trait Body: Read + Send {
    /// Lets the turn's next request have the connection, though the body has not been read to its
    /// end. It is for an answer that says of itself that it is whole.
    fn finish(self: Box<Self>);
}

/// A POST without its body, with these fields.
// Nothing of it is on the stack while the answer is awaited; so too below.
#[inline(never)]
pub(super) fn request(
    url: &str,
    fields: &[(&str, &str)],
    length: usize,
) -> Result<Prepared, Error> {
    let mut call = Call::new(Request::post(url).body(())?)?;
    for (name, value) in fields {
        // A character that cannot be sent is the configuration's, and is told as such.
        let name = HeaderName::try_from(*name).map_err(http::Error::from)?;
        let value = HeaderValue::try_from(*value).map_err(http::Error::from)?;
        call.header(name, value)?;
    }
    call.header("content-length", length)?;
    Ok(Box::new(call))
}

/// Sends a request over a connection and waits for the head of its answer; `None` if the provider
/// leaves without a word. The body is gone when it is sent: a model may think for long.
pub(super) fn ask(
    mut line: Line,
    call: Prepared,
    body: Vec<u8>,
    timeout: NextTimeout,
    idle: &Idle,
) -> Result<Option<Answer>, Error> {
    let (mut call, sent) = send(&mut *line, call, &body, timeout)?;
    drop(body);
    match sent.and_then(|()| wait_for_head(&mut *line, &mut call, timeout)) {
        Ok(head) => answer(line, call, head, timeout, idle).map(Some),
        Err(error) => refusal(line, call, error),
    }
}

/// Sends the request, as far as the connection takes it.
#[inline(never)]
fn send(
    line: &mut dyn Transport,
    call: Prepared,
    body: &[u8],
    timeout: NextTimeout,
) -> Result<(Asked, Result<(), Error>), Error> {
    let mut sent = Ok(());
    let mut call = call.proceed();
    while !call.can_proceed() {
        let length = call.write(line.buffers().output()).map_err(Unsendable::Head)?;
        sent = sent.and_then(|()| line.transmit_output(length, timeout));
    }
    let Some(SendRequestResult::SendBody(mut call)) = call.proceed().map_err(Unsendable::Head)?
    else {
        return Err(Unsendable::Body.into());
    };
    call.consume_direct_write(body.len()).map_err(|_| Unsendable::Body)?;
    let mut rest = body;
    while sent.is_ok() && !rest.is_empty() {
        let room = line.buffers().output();
        let (part, after) = rest.split_at(rest.len().min(room.len()));
        room[..part.len()].copy_from_slice(part);
        sent = line.transmit_output(part.len(), timeout);
        rest = after;
    }
    let call = call.proceed().ok_or(Unsendable::Body)?;
    Ok((Box::new(call), sent))
}

fn wait_for_head(
    line: &mut dyn Transport,
    call: &mut Call<RecvResponse>,
    timeout: NextTimeout,
) -> Result<Response<()>, Error> {
    loop {
        let progress = line.maybe_await_input(timeout)?;
        if let Some(head) = head(line, call, progress)? {
            return Ok(head);
        }
    }
}

/// What a provider says that refuses a request before it has all of it, and leaves. Where it says
/// nothing, `error` is all that is known.
#[inline(never)]
fn refusal(mut line: Line, mut call: Asked, error: Error) -> Result<Option<Answer>, Error> {
    match wait_for_head(&mut *line, &mut call, at_once()) {
        Ok(head) if !head.status().is_success() => {
            answer(line, call, head, at_once(), &Idle::default()).map(Some)
        }
        Err(_) if line.buffers().input().is_empty() && is_departure(&error) => Ok(None),
        Ok(_) | Err(_) => Err(error),
    }
}

/// The head, if all of it has come.
#[inline(never)]
fn head(
    line: &mut dyn Transport,
    call: &mut Call<RecvResponse>,
    progress: bool,
) -> Result<Option<Response<()>>, Error> {
    let input = line.buffers().input();
    let length = input.len();
    let (used, head) = call.try_response(input, false)?;
    line.buffers().input_consume(used);
    let size = if head.is_some() { used } else { length };
    match head {
        _ if size > HEAD => Err(Error::LargeResponseHeader(size, HEAD)),
        None if !progress => Err(cut_off()),
        head => Ok(head),
    }
}

#[inline(never)]
fn answer(
    line: Line,
    call: Asked,
    head: Response<()>,
    timeout: NextTimeout,
    idle: &Idle,
) -> Result<Answer, Error> {
    let (parts, ()) = head.into_parts();
    let body: Box<dyn Body> = match call.proceed() {
        Some(RecvResponseResult::RecvBody(call)) => {
            let call = Box::new(call);
            let idle = (!is_last(&parts, &call)).then(|| idle.clone());
            let body = Incoming { under_way: Some((line, call)), timeout, idle };
            let coding = parts.headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
            // It was not asked for.
            if coding.is_some_and(|coding| coding.eq_ignore_ascii_case("gzip")) {
                Box::new(MultiGzDecoder::new(body))
            } else {
                Box::new(body)
            }
        }
        Some(RecvResponseResult::Redirect(_)) => Box::new(io::empty()),
        Some(RecvResponseResult::Cleanup(call)) => {
            if !call.must_close_connection() {
                idle.put(line, None);
            }
            Box::new(io::empty())
        }
        None => return Err(cut_off()),
    };
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}

/// The body of an answer, as it comes.
struct Incoming {
    /// `None` once it has ended.
    under_way: Option<(Line, Box<Call<RecvBody>>)>,
    timeout: NextTimeout,
    /// Where the connection goes, if another request can follow.
    idle: Option<Idle>,
}

impl Incoming {
    fn pull(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        loop {
            let Some((line, call)) = &mut self.under_way else { return Ok(0) };
            let ends_with_connection = matches!(call.body_mode(), BodyMode::CloseDelimited);
            if !ends_with_connection && call.can_proceed() {
                self.end();
                return Ok(0);
            }
            if line.buffers().can_use_input() {
                let (used, given) = call.read(line.buffers().input(), out)?;
                line.buffers().input_consume(used);
                if given > 0 {
                    return Ok(given);
                }
                if used > 0 {
                    continue;
                }
            }
            let more = match line.await_input(self.timeout) {
                Err(error) if is_departure(&error) => false,
                other => other?,
            };
            if more {
                let (used, given) = call.read(line.buffers().input(), out)?;
                line.buffers().input_consume(used);
                if given > 0 {
                    return Ok(given);
                }
                continue;
            }
            // Some end with the connection and without the last line of their last chunk.
            let is_whole = ends_with_connection || call.is_ended_chunked();
            self.under_way = None;
            return if is_whole { Ok(0) } else { Err(cut_off()) };
        }
    }

    #[inline(never)]
    fn end(&mut self) {
        if let Some(((line, call), idle)) = self.under_way.take().zip(self.idle.as_ref()) {
            idle.put(line, Some(call));
        }
    }
}

impl Read for Incoming {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.pull(out).map_err(Error::into_io)
    }
}

impl Body for Incoming {
    fn finish(mut self: Box<Self>) {
        self.end();
    }
}

impl Body for MultiGzDecoder<Incoming> {
    fn finish(self: Box<Self>) {
        self.into_inner().end();
    }
}

impl Body for io::Empty {
    fn finish(self: Box<Self>) {}
}

/// Whether a connection ends with an answer.
fn is_last(head: &Parts, call: &Call<RecvBody>) -> bool {
    let closes = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
    matches!(call.body_mode(), BodyMode::CloseDelimited)
        || head.headers.get_all(CONNECTION).iter().any(closes)
}

fn is_departure(error: &Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let Error::Io(error) = error else { return false };
    matches!(error.kind(), UnexpectedEof | ConnectionAborted | ConnectionReset | BrokenPipe)
}

/// What a connection fails with that ends too early.
pub(super) fn cut_off() -> Error {
    io::Error::from(io::ErrorKind::UnexpectedEof).into()
}

/// For a connection that failed: what has come is read, and nothing more is written.
fn at_once() -> NextTimeout {
    let (each, never) = (Some(BRIEF.into()), Some(Duration::ZERO.into()));
    NextTimeout { per_read: each, per_write: never, ..Default::default() }
}

/// No bound but that of each read and write.
pub(super) fn patience(silence: Duration) -> NextTimeout {
    let each = Some(silence.into());
    NextTimeout { per_read: each, per_write: each, reason: Timeout::Global, ..Default::default() }
}
