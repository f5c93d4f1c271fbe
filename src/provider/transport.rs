//! HTTP to a provider: one connection a turn, whose blocked read or write a cancel ends at once.
//!
//! Turns what can go wrong on the way into a [`Failure`]. Knows no protocol beyond HTTP; redirects
//! are not followed, so that a key never reaches a host that nobody named.

use std::io::{self, Read};
use std::time::SystemTime;

use ureq::http::{HeaderMap, Uri};
use ureq::{Proxy, ProxyProtocol, Timeout};

use super::dial::{Dial, NoThread, Open};
use super::endpoint::Endpoint;
use super::exchange::{self, Answer, Body, Unsendable};
use super::failure::{Again, Failure};
use super::idle::Idle;
use super::retry::asked_wait;
use crate::cancel::Cancel;
use crate::error::Code;
use crate::tls;

/// Bytes of an error's body that are read.
const ERROR_BODY: u64 = 64 * 1024;
/// Bytes of one read, from what has come: a token or two.
pub(crate) const BUFFER: usize = 490;
/// Who asks.
const USER_AGENT: &str = concat!("opencode/", env!("CARGO_PKG_VERSION"));

/// A connection to one provider for one turn.
pub(crate) struct Transport {
    dial: Dial,
    open: Open,
    idle: Idle,
    cancel: Cancel,
}

/// An answer whose head has come.
pub(crate) struct Reply {
    /// Its `Content-Type`, in lower case.
    pub(crate) kind: String,
    body: Box<dyn Body>,
}

impl Reply {
    /// Leaves the connection to the next request. The answer has been understood.
    pub(crate) fn finish(self) {
        self.body.finish();
    }
}

impl Transport {
    /// Prepares the connection; nothing is sent yet.
    pub(crate) fn new(endpoint: &Endpoint, cancel: &Cancel) -> Result<Self, Failure> {
        let proxy = match endpoint.proxies.pick(&endpoint.base).map(Proxy::new) {
            None => None,
            Some(Ok(proxy)) if is_served(&proxy) => Some(proxy),
            Some(_) => {
                return Err(Failure::fatal(
                    Code::ProviderUnreachable,
                    "The proxy that the environment names (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) \
                     is not a usable address: it begins with http:// or https://.",
                ));
            }
        };
        let roots = &endpoint.roots;
        let (roots, tls) = (roots.tls(), roots.connector());
        let dial = Dial { proxy, roots, tls, user_agent: USER_AGENT };
        let (open, idle) = (Open::default(), Idle::default());
        Ok(Self { dial, open, idle, cancel: cancel.clone() })
    }

    /// Ends whatever waits on the connection, and lets no other be made. For a hook.
    pub(crate) fn hang_up(&self) -> impl FnOnce() + Send + use<> {
        let open = self.open.clone();
        move || open.shut()
    }

    /// Sends a JSON body and waits for the head of the answer; any status but 2xx is a failure. The
    /// body is made again where it is sent again: kept, it would lie there for as long as a model
    /// thinks.
    pub(crate) fn post(
        &self,
        endpoint: &Endpoint,
        url: &str,
        headers: &[(&str, &str)],
        body: &dyn Fn() -> Vec<u8>,
    ) -> Result<Reply, Failure> {
        let answer = self.ask(endpoint, url, headers, body);
        let answer = answer.map_err(|error| self.failure(endpoint, error))?;
        self.reply(endpoint, answer)
    }

    fn ask(
        &self,
        endpoint: &Endpoint,
        url: &str,
        headers: &[(&str, &str)],
        body: &dyn Fn() -> Vec<u8>,
    ) -> Result<Answer, ureq::Error> {
        let patience = exchange::patience(endpoint.silence);
        let (mut call, mut bytes) = prepare(endpoint, url, headers, body)?;
        if let Some(line) = self.idle.take() {
            if let Some(answer) = exchange::ask(line, call, bytes, patience, &self.idle)? {
                return Ok(answer);
            }
            // A provider may close an idle connection while a request is on its way.
            (call, bytes) = prepare(endpoint, url, headers, body)?;
        }
        let line = self.connect(url)?;
        let answer = exchange::ask(line, call, bytes, patience, &self.idle)?;
        answer.ok_or_else(exchange::cut_off)
    }

    #[inline(never)]
    fn connect(&self, url: &str) -> Result<exchange::Line, ureq::Error> {
        let uri: Uri = url.parse().map_err(ureq::http::Error::from)?;
        self.dial.connect(&uri, &self.cancel, &self.open)
    }

    #[inline(never)]
    fn reply(&self, endpoint: &Endpoint, answer: Answer) -> Result<Reply, Failure> {
        let Answer { status, headers, body } = answer;
        if (200..300).contains(&status) {
            let kind = text(&headers, "content-type").unwrap_or_default();
            return Ok(Reply { kind: kind.to_ascii_lowercase(), body });
        }
        let mut start = Vec::new();
        // The status is known; a body that breaks off says what it says.
        let _ = body.take(ERROR_BODY).read_to_end(&mut start);
        if self.cancel.is_cancelled() {
            return Err(Failure::aborted());
        }
        let asked = asked_wait(|name| text(&headers, name), SystemTime::now());
        let mut failure = Failure::of_status(endpoint, status, &start, asked);
        match text(&headers, "x-should-retry") {
            Some("false") => failure.again = Again::Never,
            Some("true") if failure.again == Again::Never => failure.again = Again::Soon,
            _ => {}
        }
        Err(failure)
    }

    /// Reads what has come of the body; 0 is its end.
    pub(crate) fn read(
        &self,
        endpoint: &Endpoint,
        reply: &mut Reply,
        buffer: &mut [u8],
    ) -> Result<usize, Failure> {
        let read = loop {
            match reply.body.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        // An interrupted read may look like an ordinary end.
        if self.cancel.is_cancelled() {
            return Err(Failure::aborted());
        }
        read.map_err(|error| self.failure(endpoint, ureq::Error::from(error)))
    }

    fn failure(&self, endpoint: &Endpoint, error: ureq::Error) -> Failure {
        if self.cancel.is_cancelled() {
            return Failure::aborted();
        }
        let (name, base) = (&endpoint.name, endpoint.shown_base());
        let refused = |why: &str| format!("{name} cannot be reached at {base}: {why}");
        // Where a connection was not even begun; whoever answers runs.
        let unreachable = |why: &str| {
            let is_here = super::endpoint::is_loopback(&endpoint.base);
            refused(why) + if is_here { ". Is it running?" } else { "." }
        };
        match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => Failure::passing(
                Code::ProviderUnreachable,
                unreachable("no connection within 10 s"),
            ),
            ureq::Error::Timeout(_) => Failure::fatal(
                Code::ProviderTimeout,
                format!("{name} was silent for {} s.", endpoint.silence.as_secs_f64()),
            ),
            ureq::Error::HostNotFound => {
                Failure::passing(Code::ProviderUnreachable, unreachable("no such host"))
            }
            ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
                Failure::passing(Code::ProviderUnreachable, unreachable(&error.to_string()))
            }
            ureq::Error::Io(io) => match io.kind() {
                // What rustls says of a certificate comes this way.
                io::ErrorKind::InvalidData => {
                    let why = match tls::mistake(&io) {
                        Some(why) => why.to_owned(),
                        None => format!("{io} ({}).", endpoint.roots.hint()),
                    };
                    Failure::fatal(Code::ProviderUnreachable, refused(&why))
                }
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Failure::cut(name),
                _ => Failure::passing(Code::ProviderUnreachable, unreachable(&io.to_string())),
            },
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
                let why = format!("{error} ({}).", endpoint.roots.hint());
                Failure::fatal(Code::ProviderUnreachable, refused(&why))
            }
            ureq::Error::Http(_) | ureq::Error::BadUri(_) => Failure::fatal(
                Code::ProviderNotConfigured,
                format!(
                    "{name} cannot be asked: its address ({base}), {} or a header of the \
                     configuration has a character that HTTP does not allow.",
                    endpoint.key_origin
                ),
            ),
            ureq::Error::Other(other) if other.is::<Unsendable>() => Failure::fatal(
                Code::ProviderNotConfigured,
                format!(
                    "{name} cannot be asked: a header of the configuration does not go with the \
                     request ({other})."
                ),
            ),
            ureq::Error::Other(other) if other.is::<NoThread>() => {
                Failure::passing(Code::AtCapacity, other.to_string())
            }
            other => Failure::fatal(
                Code::ProviderFailed,
                endpoint.redact(&format!("{name} at {base} gave no proper answer: {other}.")),
            ),
        }
    }
}

/// The request, and its body.
#[inline(never)]
fn prepare(
    endpoint: &Endpoint,
    url: &str,
    headers: &[(&str, &str)],
    body: &dyn Fn() -> Vec<u8>,
) -> Result<(exchange::Prepared, Vec<u8>), ureq::Error> {
    let mut fields = vec![
        ("content-type", "application/json"),
        ("user-agent", USER_AGENT),
        ("accept", "*/*"),
        // A compressed stream would be held back until a block is full.
        ("accept-encoding", "identity"),
    ];
    fields.extend_from_slice(headers);
    // The configuration's win.
    let theirs = endpoint.headers.iter().map(|(name, value)| (name.as_str(), value.reveal()));
    fields.retain(|(name, _)| theirs.clone().all(|(other, _)| !other.eq_ignore_ascii_case(name)));
    fields.extend(theirs);
    let body = body();
    Ok((exchange::request(url, &fields, body.len())?, body))
}

/// Whether a proxy is of a kind that can be gone through.
fn is_served(proxy: &Proxy) -> bool {
    matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
