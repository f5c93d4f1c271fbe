//! One connection, from its first byte to its last: read a head, have it answered, again.
//!
//! Whatever makes the place of the next request uncertain is answered and ends the connection;
//! nothing behind it is served (RFC 9112, sections 6.3, 9.3 and 9.6).

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tiny_http::Method;

use super::body::Body;
use super::events::EventStream;
use super::head::{self, Expectation, Head, Scan, Version};
use super::input::{Input, Wait};
use super::request::{Request, Upgraded};
use super::response::{End, Response};
use super::server::{Seat, canonical};
use super::{Answer, Serve, WriteEvents};
use crate::context::{self, RequestId};
use crate::error::{Code, Problem};

/// An output buffer larger than this is given back.
const KEPT: usize = 8 * 1024;

/// One connection, on its thread.
pub(super) struct Connection {
    seat: Seat,
    input: Input,
    /// Where answers are printed.
    output: Vec<u8>,
    local: SocketAddr,
    /// The client's address, for the log.
    peer: String,
}

/// What follows an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Another request.
    Request,
    /// The end: the client has sent nothing that is unread.
    Close,
    /// The end, and the client may still be sending.
    Linger,
}

/// What came of waiting for a request.
enum Arrival {
    Head(Head),
    /// The client is gone, idle for too long, or the server stops.
    Nothing,
    Refused(Problem),
}

impl Connection {
    pub(super) fn new(seat: Seat) -> Self {
        let input = Input::new(seat.link.clone());
        let local = input.stream().local_addr().map_or(seat.peer, canonical);
        let peer = format!("{}", seat.peer.ip());
        Self { seat, input, output: Vec::new(), local, peer }
    }

    /// Serves requests until the connection ends.
    pub(super) fn serve(mut self) {
        if let Err(error) = self.prepare() {
            log::debug!("a connection ended before it began: {error}");
            return;
        }
        // A connection that never asked is not worth the patience of one that did.
        let mut patience = self.seat.shared.limits.head_time;
        loop {
            let next = match self.arrival(patience) {
                Arrival::Head(head) => self.exchange(&head),
                Arrival::Nothing => return,
                Arrival::Refused(problem) => self.refuse(&problem),
            };
            match next {
                Next::Request => patience = self.seat.shared.limits.idle_time,
                Next::Close => return,
                Next::Linger => return self.input.linger(),
            }
        }
    }

    fn prepare(&self) -> io::Result<()> {
        let (stream, time) = (self.input.stream(), self.seat.shared.limits.write_time);
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(time.max(Duration::from_millis(1))))?;
        let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds)?;
        Ok(())
    }

    /// Waits for the next request and reads its head. The deadline of a head is counted from the
    /// first byte that comes and never moves.
    // Streams last, and what comes before them should take no stack meanwhile: so it is here, in
    // `ask` and in `refuse`.
    #[inline(never)]
    fn arrival(&mut self, patience: Duration) -> Arrival {
        let limits = &self.seat.shared.limits;
        let (most, time) = (limits.head_bytes, limits.head_time);
        let (mut any, mut deadline) = (false, None);
        let mut scan = Scan::default();
        self.seat.link.awaits();
        loop {
            any |= !self.input.bytes().is_empty();
            if scan.is_new() {
                // Empty lines before a request are forgiven (RFC 9112, section 2.2).
                while self.input.bytes().starts_with(b"\r\n") {
                    self.input.consume(2);
                }
            }
            let bytes = self.input.bytes();
            let end = if bytes == b"\r" { Ok(None) } else { scan.end(bytes) };
            match end {
                Ok(Some(end)) if end <= most => {
                    let head = head::parse(&bytes[..end]);
                    self.input.consume(end);
                    return head.map_or_else(Arrival::Refused, Arrival::Head);
                }
                Ok(None) if bytes.len() < most => {}
                Ok(_) => {
                    let detail = format!("The request head is over {most} bytes.");
                    return Arrival::Refused(Problem::new(Code::HeadTooLarge, detail));
                }
                Err(problem) => return Arrival::Refused(problem),
            }
            let begun = !bytes.is_empty();
            // Most heads come whole, and need no clock.
            if any && deadline.is_none() {
                deadline = Some(Instant::now() + time);
            }
            let came = match deadline {
                Some(deadline) => self.input.fill(Wait::Until(deadline)),
                None => self.rest(patience),
            };
            match came {
                Ok(1..) => {}
                Err(error) if begun && error.kind() == io::ErrorKind::TimedOut => {
                    let detail = "The request's head did not arrive in time.";
                    return Arrival::Refused(Problem::new(Code::RequestTimeout, detail));
                }
                Ok(0) | Err(_) => return Arrival::Nothing,
            }
        }
    }

    /// Waits between requests, while the server may close the connection to stop.
    fn rest(&mut self, patience: Duration) -> io::Result<usize> {
        let idle = &self.seat.link.idle;
        idle.store(true, Ordering::SeqCst);
        if self.seat.shared.is_stopping() {
            return Ok(0);
        }
        self.input.narrow();
        let came = self.input.fill(Wait::For(patience));
        idle.store(false, Ordering::SeqCst);
        came
    }

    /// Answers what is no request; nothing behind it can be one.
    #[inline(never)]
    fn refuse(&mut self, problem: &Problem) -> Next {
        let id = self.seat.shared.next_request();
        let _entered = context::enter(id);
        let since = Instant::now();
        let (stream, output) = (self.input.stream(), &mut self.output);
        let written = Response::problem(problem).write(stream, output, &id, false, true);
        let bytes = written.as_ref().map_or(0, |bytes| *bytes);
        self.log("-", "-", problem.code.status(), since.elapsed(), bytes);
        self.seat.shared.traffic.answered(0, problem.code.status(), None);
        if written.is_ok() { Next::Linger } else { Next::Close }
    }

    /// Has one request answered.
    fn exchange(&mut self, head: &Head) -> Next {
        let since = Instant::now();
        let given = head.request_id().and_then(RequestId::of_client);
        let id = given.unwrap_or_else(|| self.seat.shared.next_request());
        let _entered = context::enter(id);
        let mut body = Body::new(head);
        if body.is_done() {
            self.seat.link.has_request();
        }
        let kind = Cell::new(0);
        let (answer, sound) = self.ask(head, &mut body, &kind);
        self.seat.link.has_request();
        let keep =
            sound && head.keep_alive && body.allows_another() && !self.seat.shared.is_stopping();
        let is_full = matches!(answer, Answer::Full(_));
        let (status, bytes, keep) = match answer {
            Answer::Full(response) => {
                let head_only = head.method == Method::Head;
                let stream = self.input.stream();
                let written = response.write(stream, &mut self.output, &id, head_only, !keep);
                self.output.shrink_to(KEPT);
                (response.status(), *written.as_ref().unwrap_or(&0), keep && written.is_ok())
            }
            Answer::Events { headers, write } => {
                let (bytes, whole) = self.stream(head, &id, headers, write, keep);
                (200, bytes, keep && whole)
            }
            Answer::Upgrade { response, serve } => {
                let status = response.status();
                let bytes = self.upgrade(&response, &id, serve);
                self.log(head.method.as_str(), head.path(), status, since.elapsed(), bytes);
                self.seat.shared.traffic.answered(kind.get(), status, None);
                return Next::Close;
            }
        };
        let time = since.elapsed();
        self.log(head.method.as_str(), head.path(), status, time, bytes);
        self.seat.shared.traffic.answered(kind.get(), status, is_full.then_some(time));
        if body.is_done() {
            return match (keep, sound && self.input.bytes().is_empty()) {
                (true, _) => Next::Request,
                (false, true) => Next::Close,
                (false, false) => Next::Linger,
            };
        }
        if keep && body.skip(&mut self.input) { Next::Request } else { Next::Linger }
    }

    /// Asks the service, or answers in its place what it need not see. Tells too whether the
    /// connection is sound behind the answer.
    #[inline(never)]
    fn ask(&mut self, head: &Head, body: &mut Body, kind: &Cell<usize>) -> (Answer, bool) {
        let shared = &*self.seat.shared;
        let refusal = match head.expectation {
            Expectation::Unknown => {
                let detail = "The only expectation that can be met is 100-continue.";
                Some(Problem::new(Code::ExpectationFailed, detail))
            }
            Expectation::Nothing | Expectation::Continue => body.refusal(&shared.limits),
        };
        let mut request = Request {
            head,
            body,
            input: &mut self.input,
            limits: &shared.limits,
            bodies: &shared.bodies,
            peer: self.seat.peer,
            local: self.local,
            kind,
        };
        if refusal.is_none()
            && let Ok(answer) =
                catch_unwind(AssertUnwindSafe(|| shared.service.answer(&mut request)))
        {
            return (answer, true);
        }
        let problem = refusal.unwrap_or_else(|| {
            let detail = "The request met a bug in the server; its log has the details.";
            Problem::new(Code::Internal, detail)
        });
        let refused = catch_unwind(AssertUnwindSafe(|| shared.service.refused(&request, &problem)));
        (Answer::Full(refused.unwrap_or_else(|_| Response::problem(&problem))), false)
    }

    /// Writes a stream of events. Returns its bytes, and whether it ended in good order.
    #[inline(never)]
    fn stream(
        &mut self,
        head: &Head,
        id: &RequestId,
        headers: Vec<(&'static str, String)>,
        write: WriteEvents,
        keep: bool,
    ) -> (u64, bool) {
        let chunked = head.version == Version::Http11;
        let end = if chunked { End::Chunks } else { End::Connection };
        let (size, sent) = self.begin_stream(id, headers, end, !keep);
        if !sent || head.method == Method::Head {
            return (size, sent);
        }
        self.input.release();
        let mut stream = EventStream::new(self.input.stream(), chunked);
        let open = &self.seat.shared.traffic.events;
        open.fetch_add(1, Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| write(&mut stream)));
        open.fetch_sub(1, Ordering::Relaxed);
        let (bytes, whole) = stream.finish();
        (size + bytes, whole && matches!(outcome, Ok(Ok(()))))
    }

    /// Writes the head of a stream. Returns its bytes, and whether they went out.
    #[inline(never)]
    fn begin_stream(
        &mut self,
        id: &RequestId,
        headers: Vec<(&'static str, String)>,
        end: End,
        close: bool,
    ) -> (u64, bool) {
        let response = Response::new(200)
            .header("Content-Type", "text/event-stream")
            .header("Cache-Control", "no-store")
            .header("X-Accel-Buffering", "no");
        let response = headers
            .into_iter()
            .fold(response, |response, (name, value)| response.header(name, value));
        let printed = response.print_head(&mut self.output, id, end, close);
        let sent =
            printed.and_then(|()| io::Write::write_all(&mut self.input.stream(), &self.output));
        let size = self.output.len() as u64;
        // A stream may last: it should hold nothing that it does not use.
        self.output = Vec::new();
        (size, sent.is_ok())
    }

    /// Writes the head of a change of protocol and lets the new one be spoken. Returns the bytes
    /// of the head.
    fn upgrade(&mut self, response: &Response, id: &RequestId, serve: Serve) -> u64 {
        let written = response.write(self.input.stream(), &mut self.output, id, false, false);
        self.output = Vec::new();
        let input = std::mem::replace(&mut self.input, Input::new(self.seat.link.clone()));
        if let (Ok(_), Ok(rest)) = (&written, input.into_rest()) {
            let upgraded = Upgraded::new(self.seat.link.clone(), rest);
            // A panic in it ends this connection alone, and has been printed.
            let open = &self.seat.shared.traffic.upgraded;
            open.fetch_add(1, Ordering::Relaxed);
            let _ = catch_unwind(AssertUnwindSafe(|| serve(upgraded)));
            open.fetch_sub(1, Ordering::Relaxed);
        }
        written.unwrap_or(0)
    }

    /// One line for a request, without its query and its fields.
    #[inline(never)]
    fn log(&self, method: &str, path: &str, status: u16, time: Duration, bytes: u64) {
        let method = &method[..method.len().min(32)];
        let path = shown(path);
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let peer = &*self.peer;
        // What the message says is there for programs too.
        log::info!(
            target: "request",
            method,
            path,
            status,
            ms,
            bytes,
            peer;
            "{method} {path} {status} {ms} ms {bytes} bytes {peer}"
        );
    }
}

/// As much of a path as a line of the log shows. As JSON it stands there twice, and marks may be
/// escaped: the line still is one that a pipe takes whole.
fn shown(path: &str) -> &str {
    let mut end = path.len().min(512);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    &path[..end]
}
