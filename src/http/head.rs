//! The request head: from bytes to a checked [`Head`], or the [`Problem`] that refuses it.
//!
//! Pure, so that it can be fuzzed: it knows no socket and no clock. `httparse` splits the lines;
//! what is here is stricter than it, for two readers of one request must never see two requests
//! (RFC 9112, sections 2.2, 3, 5 and 6; RFC 9110, sections 7.2 and 10.1.1).

use std::borrow::Cow;
use std::mem::MaybeUninit;

use memchr::memchr;
use tiny_http::Method;

use crate::error::{Code, Problem};

/// Header fields of one request.
const FIELDS: usize = 100;

/// The version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no chunks, no `100 Continue`, closed after the answer.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How the end of a body is known (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By its length; 0 where none is declared.
    Length(u64),
    /// By a last chunk.
    Chunked,
}

/// What a request expects before it sends its body (RFC 9110, section 10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Nothing.
    Nothing,
    /// `100 Continue`.
    Continue,
    /// Something this server does not know.
    Unknown,
}

/// A checked request head.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// All text of the head, one after the other; the spans point into it.
    text: String,
    path: Span,
    query: Option<Span>,
    host: Option<Span>,
    request_id: Field,
    fields: Vec<(Span, Span)>,
    /// The method.
    pub method: Method,
    /// The version.
    pub version: Version,
    /// How the body ends.
    pub framing: Framing,
    /// What the client waits for before it sends the body.
    pub expectation: Expectation,
    /// Whether the connection may serve another request after this one.
    pub keep_alive: bool,
}

/// A field that means something if it came once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Missing,
    Once(Span),
    Doubled,
}

/// A place in a head's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span(usize, usize);

impl Head {
    /// The path of the target.
    #[must_use]
    pub fn path(&self) -> &str {
        self.at(self.path)
    }

    /// What follows the target's first `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.map(|span| self.at(span))
    }

    /// The authority that was asked.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.map(|span| self.at(span))
    }

    /// What the client calls its request, by an `X-Request-Id` that came exactly once.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        match self.request_id {
            Field::Once(span) => Some(self.at(span)),
            Field::Missing | Field::Doubled => None,
        }
    }

    /// All fields in the order they came.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|&(name, value)| (self.at(name), self.at(value)))
    }

    /// The values of all fields of this name in the order they came.
    pub fn values<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h str> {
        // Most names differ in length already.
        let is_it = move |span: Span| {
            span.1 - span.0 == name.len() && self.at(span).eq_ignore_ascii_case(name)
        };
        self.fields.iter().filter(move |(field, _)| is_it(*field)).map(|(_, value)| self.at(*value))
    }

    fn at(&self, Span(start, end): Span) -> &str {
        &self.text[start..end]
    }
}

/// Looks for the end of a head in bytes that grow, looking at each byte once.
#[derive(Debug, Default)]
pub struct Scan {
    seen: usize,
    /// Where the line under way begins.
    line: usize,
}

impl Scan {
    /// Whether no byte was looked at yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.seen == 0
    }

    /// The length of the head, once it is whole. A line that ends in a bare LF, or bytes that
    /// cannot begin a request, are refused as soon as they are seen.
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Problem> {
        if bytes.first().is_some_and(|&byte| !is_token(byte)) {
            return Err(bad("The connection does not begin with an HTTP request."));
        }
        while let Some(offset) = memchr(b'\n', &bytes[self.seen..]) {
            let feed = self.seen + offset;
            if feed == self.line || bytes[feed - 1] != b'\r' {
                return Err(bad("A line of the request head ends without CR."));
            }
            if feed == self.line + 1 {
                return Ok(Some(feed + 1));
            }
            self.seen = feed + 1;
            self.line = self.seen;
        }
        self.seen = bytes.len();
        Ok(None)
    }
}

/// Parses a whole head, up to and with its empty line.
pub fn parse(bytes: &[u8]) -> Result<Head, Problem> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut raw = httparse::Request::new(&mut []);
    match raw.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(bad("The request head is not whole.")),
        Err(httparse::Error::Version) => return Err(wrong_version(bytes)),
        Err(httparse::Error::TooManyHeaders) => {
            let detail = format!("The request has more than {FIELDS} header fields.");
            return Err(Problem::new(Code::HeadTooLarge, detail));
        }
        Err(error) => return Err(bad(&format!("The request head is malformed: {error}."))),
    }
    let (Some(method), Some(target), Some(minor)) = (raw.method, raw.path, raw.version) else {
        return Err(bad("The request line is not whole."));
    };
    let method = method.parse().map_err(|()| bad("The method is malformed."))?;
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };

    let mut text = String::with_capacity(bytes.len());
    let mut push = |part: &str| {
        let start = text.len();
        text.push_str(part);
        Span(start, text.len())
    };
    let target = Target::split(target, &method)?;
    let (path, query) = (push(target.path), target.query.map(&mut push));
    let mut rules = Rules::default();
    let mut spans = Vec::with_capacity(raw.headers.len());
    let (mut host, mut request_id) = (None, Field::Missing);
    for field in &*raw.headers {
        let value = std::str::from_utf8(field.value)
            .map_or_else(|_| String::from_utf8_lossy(field.value), Cow::Borrowed);
        rules.see(field.name, &value)?;
        let span = (push(field.name), push(&value));
        if field.name.eq_ignore_ascii_case("host") {
            host = Some(span.1);
        } else if field.name.eq_ignore_ascii_case("x-request-id") {
            request_id = match request_id {
                Field::Missing => Field::Once(span.1),
                Field::Once(_) | Field::Doubled => Field::Doubled,
            };
        }
        spans.push(span);
    }
    let authority = target.authority.map(|authority| (authority, push(authority)));
    let mut head = Head {
        text,
        path,
        query,
        host,
        request_id,
        fields: spans,
        method,
        version,
        framing: rules.framing(version)?,
        expectation: if version == Version::Http10 { Expectation::Nothing } else { rules.expects },
        keep_alive: version == Version::Http11 && !rules.close,
    };
    match (head.host(), authority) {
        (None, None) if version == Version::Http11 => {
            return Err(bad("An HTTP/1.1 request must have a Host field."));
        }
        (Some(host), Some((authority, _))) if !same_authority(host, authority) => {
            return Err(bad("The Host field and the request target name different hosts."));
        }
        (_, Some((_, span))) => head.host = Some(span),
        (_, None) => {}
    }
    Ok(head)
}

/// A request target (RFC 9112, section 3.2).
struct Target<'a> {
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn split(target: &'a str, method: &Method) -> Result<Self, Problem> {
        if *method == Method::Connect {
            return Err(bad("CONNECT is not served: this server is no proxy."));
        }
        if memchr(b'#', target.as_bytes()).is_some() {
            return Err(bad("The request target has a fragment."));
        }
        if target == "*" && *method == Method::Options {
            return Ok(Self { authority: None, path: target, query: None });
        }
        let (authority, rest) = if target.starts_with('/') {
            (None, target)
        } else {
            let (scheme, rest) = target.split_once("://").unwrap_or_default();
            let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
            if !known || authority.is_empty() || !is_authority(authority) {
                return Err(bad("The request target is neither a path nor an http address."));
            }
            (Some(authority), rest)
        };
        let (path, query) = match memchr(b'?', rest.as_bytes()) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        Ok(Self { authority, path: if path.is_empty() { "/" } else { path }, query })
    }
}

/// The fields that frame a request, each checked as it is seen.
struct Rules {
    length: Option<u64>,
    chunked: bool,
    host: bool,
    close: bool,
    expects: Expectation,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            length: None,
            chunked: false,
            host: false,
            close: false,
            expects: Expectation::Nothing,
        }
    }
}

impl Rules {
    fn see(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        if name.eq_ignore_ascii_case("content-length") {
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let length = value.parse().ok().filter(|_| digits);
            if length.is_none() || self.length.is_some() {
                return Err(bad("Content-Length must be one number, once."));
            }
            self.length = length;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case("chunked") {
                return Err(bad("The only Transfer-Encoding served is chunked, once."));
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case("host") {
            if self.host || !is_authority(value) {
                return Err(bad("Host must be one host with an optional port, once."));
            }
            self.host = true;
        } else if name.eq_ignore_ascii_case("connection") {
            self.close |= value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close"));
        } else if name.eq_ignore_ascii_case("expect") {
            let known =
                value.eq_ignore_ascii_case("100-continue") && self.expects != Expectation::Unknown;
            self.expects = if known { Expectation::Continue } else { Expectation::Unknown };
        }
        Ok(())
    }

    /// The framing, where the fields agree on one (RFC 9112, section 6.1).
    fn framing(&self, version: Version) -> Result<Framing, Problem> {
        match (self.chunked, self.length) {
            (true, Some(_)) => {
                Err(bad("A request cannot have both Content-Length and Transfer-Encoding."))
            }
            (true, None) if version == Version::Http10 => {
                Err(bad("HTTP/1.0 has no Transfer-Encoding."))
            }
            (true, None) => Ok(Framing::Chunked),
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

/// Whether the text is `host [":" port]` (RFC 3986, section 3.2, without user information). Empty
/// is one: clients must send it so where the target has no authority.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            if address.is_empty()
                || !address.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b))
            {
                return false;
            }
            ("", port.strip_prefix(':').or(Some(port).filter(|port| port.is_empty())))
        }
        None => match memchr(b':', text.as_bytes()) {
            Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
            None => (text, Some("")),
        },
    };
    let name = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'$' | b'%' | b'&'..=b'.' | b';' | b'=' | b'_' | b'~')
    };
    let digits = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    host.bytes().all(name) && port.is_some_and(digits)
}

/// Whether two authorities are one, whatever their case and whether or not they name port 80.
fn same_authority(one: &str, other: &str) -> bool {
    let bare = |text: &str| text.strip_suffix(":80").map_or(text.len(), str::len);
    one[..bare(one)].eq_ignore_ascii_case(&other[..bare(other)])
}

/// A token's characters (RFC 9110, section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// 505 where the request line names another version of HTTP, 400 where it names none.
fn wrong_version(bytes: &[u8]) -> Problem {
    let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let words: Vec<_> = line.split(|&byte| byte == b' ').collect();
    if let [_, _, version] = words[..]
        && version.starts_with(b"HTTP/")
    {
        Problem::new(Code::HttpVersion, "This server speaks HTTP/1.1 and HTTP/1.0.")
    } else {
        bad("The request line names no version of HTTP.")
    }
}

fn bad(detail: &str) -> Problem {
    Problem::new(Code::BadRequest, detail)
}

#[cfg(test)]
mod tests;
