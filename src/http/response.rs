//! Whole responses, and the heads of all answers.
//!
//! Heads are printed by `tiny_http::Response::raw_print`. It is kept from its known faults here:
//! it gets no field with CR, LF or NUL, only bodies of known length, never the client's fields,
//! and what it leaves out (`Connection`, `Upgrade`) or should not say (the length of an answer
//! that has none) is mended behind it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tiny_http::{HTTPVersion, Header, StatusCode};

use super::write::write_all;
use crate::context::{self, RequestId};
use crate::error::Problem;
use crate::text::decimal;

/// Most JSON answers fit in so many bytes.
const SMALL: usize = 512;
/// A body up to this size goes out in one write with its head.
const JOINED: usize = 16 * 1024;

/// A whole response.
#[derive(Debug, Clone)]
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Cow<'static, [u8]>,
}

/// How an answer's end is told (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By `Content-Length`, where its status has a body at all.
    Length,
    /// By a last chunk.
    Chunks,
    /// By the end of the connection.
    Connection,
}

impl Response {
    /// A response without fields and body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Cow::Borrowed(&[]) }
    }

    /// A response without a body, as [`Response::new`].
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self::new(status)
    }

    /// A response whose body is JSON.
    #[must_use]
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        // Only a map whose keys are no text cannot be printed, and no answer has one.
        let mut body = Vec::with_capacity(SMALL);
        if serde_json::to_writer(&mut body, value).is_err() {
            body.clear();
        }
        Self::new(status).header("Content-Type", "application/json").body(body)
    }

    /// A failure as `application/problem+json` (RFC 9457), with `Retry-After` where it has one, and
    /// the id of the request that this thread answers.
    #[must_use]
    pub fn problem(problem: &Problem) -> Self {
        let mut object = problem.to_json();
        if let Some(request) = context::current() {
            object["requestId"] = request.as_str().into();
        }
        let response = Self::json(problem.code.status(), &object)
            .header("Content-Type", "application/problem+json");
        match problem.retry_after {
            Some(seconds) => response.header("Retry-After", seconds.to_string()),
            None => response,
        }
    }

    /// The same response with one more field; a second `Content-Type` takes the first one's
    /// place. A value with control characters or beyond ASCII would break the framing: it is
    /// left out, and logged.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same response with this body; what is embedded in the program is not copied.
    #[must_use]
    pub fn body(mut self, body: impl Into<Cow<'static, [u8]>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The last value of a field.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter().rev();
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
    }

    /// Writes it, in one write where it is small. `buffer` is scratch space. Returns the number
    /// of bytes.
    // Streams last, and what printing takes of the stack is no part of their frames; so too below.
    #[inline(never)]
    pub(super) fn write(
        &self,
        socket: &TcpStream,
        buffer: &mut Vec<u8>,
        request: &RequestId,
        head_only: bool,
        close: bool,
    ) -> io::Result<u64> {
        self.print_head(buffer, request, End::Length, close)?;
        let body: &[u8] = if head_only || !has_body(self.status) { &[] } else { &self.body };
        let joined = body.len() <= JOINED;
        if joined {
            buffer.extend_from_slice(body);
        }
        write_all(socket, buffer)?;
        if joined {
            return Ok(buffer.len() as u64);
        }
        write_all(socket, body)?;
        Ok((buffer.len() + body.len()) as u64)
    }

    /// Prints the head into the emptied buffer.
    #[inline(never)]
    pub(super) fn print_head(
        &self,
        buffer: &mut Vec<u8>,
        request: &RequestId,
        end: End,
        close: bool,
    ) -> io::Result<()> {
        buffer.clear();
        if end == End::Length {
            self.with_fields(|fields| buffer.extend_from_slice(fields))?;
        } else {
            // A stream may last, and its thread has no further answer soon.
            buffer.extend_from_slice(&self.print_fields(now())?);
        }
        for part in ["X-Request-Id: ", request.as_str(), "\r\n"] {
            buffer.extend_from_slice(part.as_bytes());
        }
        if end == End::Length && has_body(self.status) {
            buffer.extend_from_slice(b"Content-Length: ");
            let length = self.body.len() as u64;
            buffer.extend_from_slice(decimal(length, &mut [0; 20]).as_bytes());
            buffer.extend_from_slice(b"\r\n");
        }
        if end == End::Chunks {
            buffer.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        let upgrade = self.header_value("Upgrade").filter(|value| is_printable(value));
        if let Some(protocol) = upgrade {
            for part in ["Upgrade: ", protocol, "\r\n"] {
                buffer.extend_from_slice(part.as_bytes());
            }
        }
        buffer.extend_from_slice(match (close, upgrade) {
            (true, Some(_)) => b"Connection: close, upgrade\r\n\r\n",
            (true, None) => b"Connection: close\r\n\r\n",
            (false, Some(_)) => b"Connection: upgrade\r\n\r\n",
            (false, None) => b"\r\n",
        });
        Ok(())
    }

    /// The status line and all fields but those of the framing. Printing them costs a dozen
    /// allocations, so each thread keeps the last one: most answers are like the one before.
    fn with_fields(&self, use_it: impl FnOnce(&[u8])) -> io::Result<()> {
        thread_local! {
            static LAST: RefCell<Option<Printed>> = const { RefCell::new(None) };
        }
        let second = now();
        LAST.with_borrow_mut(|last| {
            let printed = match last {
                Some(printed) if printed.is_of(self, second) => printed,
                _ => last.insert(Printed::new(self, second)?),
            };
            use_it(&printed.bytes);
            Ok(())
        })
    }

    /// Prints the status line and the fields with `tiny_http`.
    fn print_fields(&self, second: u64) -> io::Result<Vec<u8>> {
        let mut printed = tiny_http::Response::new(
            StatusCode(self.status),
            Vec::new(),
            io::empty(),
            Some(0),
            None,
        );
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        let own = [header("Date", &date), header("Server", "opencode")];
        // The body's own length is the only one: a field would override it.
        let given =
            self.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Content-Length"));
        let given = given.map(|(name, value)| header(name, value));
        own.into_iter().chain(given).flatten().for_each(|header| printed.add_header(header));
        let mut bytes = Vec::new();
        printed.raw_print(&mut bytes, HTTPVersion(1, 1), &[], true, None)?;
        // The length is the last field that `raw_print` writes, and is told behind it.
        let field = b"Content-Length: ";
        let end = bytes.windows(field.len()).rposition(|part| part == field);
        bytes.truncate(end.unwrap_or(bytes.len().saturating_sub(b"\r\n".len())));
        Ok(bytes)
    }
}

/// The fields of an answer as they were printed.
struct Printed {
    status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    second: u64,
    bytes: Vec<u8>,
}

impl Printed {
    fn new(response: &Response, second: u64) -> io::Result<Self> {
        let bytes = response.print_fields(second)?;
        Ok(Self { status: response.status, headers: response.headers.clone(), second, bytes })
    }

    fn is_of(&self, response: &Response, second: u64) -> bool {
        self.second == second && self.status == response.status && self.headers == response.headers
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Whether answers with this status have a body and a length (RFC 9110, sections 8.6 and 15).
fn has_body(status: u16) -> bool {
    !matches!(status, 100..=199 | 204 | 304)
}

/// A field for `tiny_http`, which would let CR and LF through.
fn header(name: &str, value: &str) -> Option<Header> {
    let header = is_printable(value).then(|| Header::from_bytes(name, value).ok()).flatten();
    if header.is_none() {
        log::error!("the field {name} of an answer is left out: its value cannot stand in a head");
    }
    header
}

fn is_printable(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::RequestIds;

    fn head(response: &Response, end: End, close: bool) -> String {
        let mut buffer = Vec::new();
        response.print_head(&mut buffer, &RequestIds::new().name(0), end, close).unwrap();
        let text = String::from_utf8(buffer).unwrap();
        assert!(text.ends_with("\r\n\r\n") && text.matches("\r\n\r\n").count() == 1, "{text}");
        assert!(text.contains("\r\nDate: "), "{text}");
        text
    }

    #[test]
    fn values_that_would_break_the_framing_are_left_out() {
        for value in ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b", "ä"] {
            let text = head(&Response::new(200).header("X-Name", value), End::Length, false);
            assert!(!text.contains("X-Name") && !text.contains("Set-Cookie"), "{text}");
            let text = head(&Response::new(426).header("Upgrade", value), End::Length, false);
            assert!(!text.contains("Upgrade: ") && !text.contains("Set-Cookie"), "{text}");
        }
    }

    #[test]
    fn a_length_is_told_where_there_is_one() {
        let response = |status| Response::new(status).body(&b"four"[..]);
        assert!(
            head(&response(200), End::Length, true)
                .contains("Content-Length: 4\r\nConnection: close")
        );
        for status in [101, 204, 304] {
            assert!(!head(&response(status), End::Length, false).contains("Content-Length"));
        }
        let chunks = head(&Response::new(200), End::Chunks, false);
        assert!(
            chunks.contains("Transfer-Encoding: chunked") && !chunks.contains("Content-Length")
        );
        let rest = head(&Response::new(200), End::Connection, true);
        assert!(!rest.contains("Transfer-Encoding") && !rest.contains("Content-Length"));
    }

    #[test]
    fn no_field_overrides_the_framing() {
        let response = Response::new(200)
            .header("content-length", "9")
            .header("Transfer-Encoding", "chunked")
            .header("Connection", "keep-alive");
        let text = head(&response, End::Length, true);
        assert!(text.ends_with("Content-Length: 0\r\nConnection: close\r\n\r\n"), "{text}");
        assert!(!text.contains("chunked") && !text.contains("keep-alive"), "{text}");
    }

    #[test]
    fn a_large_body_keeps_its_length() {
        let text = head(&Response::new(200).body(vec![b'x'; 100_000]), End::Length, false);
        assert!(text.contains("Content-Length: 100000") && !text.contains("chunked"), "{text}");
    }

    #[test]
    fn an_upgrade_is_named_in_connection() {
        let upgrade = Response::new(101).header("Upgrade", "websocket");
        let text = head(&upgrade, End::Length, false);
        assert!(text.contains("Upgrade: websocket\r\nConnection: upgrade\r\n"), "{text}");
    }
}
