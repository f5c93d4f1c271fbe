//! HTTP to a provider: one agent a turn, whose blocked read a cancel ends at once.
//!
//! Nothing ends a look-up or a connect before its own time-out, so a request is sent on a thread
//! of its own, up to the head of the answer, and a cancel leaves that behind. Turns what can go
//! wrong on the way into a [`Failure`]. Knows no protocol beyond HTTP; redirects are not followed,
//! so that a key never reaches a host that nobody named.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ureq::http::{HeaderMap, Response};
use ureq::typestate::WithBody;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, Proxy, RequestBuilder, Timeout};

use super::buffers::{self, Slim};
use super::endpoint::Endpoint;
use super::failure::{Again, Failure};
use super::retry::asked_wait;
use crate::cancel::Cancel;
use crate::error::Code;
use crate::os;

/// Bytes of an error's body that are read.
const ERROR_BODY: u64 = 64 * 1024;
/// Time to look a name up.
const RESOLVE: Duration = Duration::from_secs(5);
/// Time to connect, handshakes included.
const CONNECT: Duration = Duration::from_secs(10);
/// Stack of the thread that sends a request; only the pages that it touches count.
const STACK: usize = 1024 * 1024;
/// Bytes of one read.
pub(crate) const BUFFER: usize = 1000;

/// A connection to one provider for one turn.
pub(crate) struct Transport {
    agent: Agent,
    cancel: Cancel,
}

/// An answer whose head has come.
pub(crate) struct Reply {
    /// Its `Content-Type`, in lower case.
    pub(crate) kind: String,
    body: Box<dyn Read + Send>,
}

impl Transport {
    /// Prepares the agent; nothing is sent yet.
    pub(crate) fn new(endpoint: &Endpoint, cancel: &Cancel) -> Result<Self, Failure> {
        let proxy = match endpoint.proxies.pick(&endpoint.base).map(Proxy::new) {
            None => None,
            Some(Ok(proxy)) => Some(proxy),
            Some(Err(_)) => {
                return Err(Failure::fatal(
                    Code::ProviderUnreachable,
                    "The proxy that the environment names (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) \
                     is not a usable address.",
                ));
            }
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .tls_config(endpoint.roots.tls())
            .user_agent(concat!("opencode/", env!("CARGO_PKG_VERSION")))
            // A compressed stream would be held back until a block is full.
            .accept_encoding("identity")
            .timeout_resolve(Some(RESOLVE))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(endpoint.silence))
            .timeout_per_write(Some(endpoint.silence))
            .input_buffer_size(buffers::INPUT)
            .output_buffer_size(buffers::OUTPUT)
            .build();
        let agent = Agent::with_parts(config, Slim::default(), DefaultResolver::default());
        Ok(Self { agent, cancel: cancel.clone() })
    }

    /// The agent, to be shut down by a hook.
    pub(crate) fn agent(&self) -> Agent {
        self.agent.clone()
    }

    /// Sends a JSON body and waits for the head of the answer; any status but 2xx is a failure.
    pub(crate) fn post(
        &self,
        endpoint: &Endpoint,
        url: &str,
        headers: &[(&str, &str)],
        body: &Arc<Vec<u8>>,
    ) -> Result<Reply, Failure> {
        let mut request = self.agent.post(url).header("content-type", "application/json");
        let own = headers.iter().filter(|(name, _)| {
            !endpoint.headers.iter().any(|(theirs, _)| theirs.eq_ignore_ascii_case(name))
        });
        for (name, value) in own {
            request = request.header(*name, *value);
        }
        for (name, value) in &endpoint.headers {
            request = request.header(name.as_str(), value.reveal());
        }
        let sent = self.send(request, body)?.map_err(|error| self.failure(endpoint, error))?;
        let status = sent.status().as_u16();
        let (parts, body) = sent.into_parts();
        if (200..300).contains(&status) {
            let kind = text(&parts.headers, "content-type").unwrap_or_default();
            let kind = kind.to_ascii_lowercase();
            return Ok(Reply { kind, body: Box::new(body.into_reader()) });
        }
        let mut start = Vec::new();
        // The status is known; a body that breaks off says what it says.
        let _ = body.into_reader().take(ERROR_BODY).read_to_end(&mut start);
        if self.cancel.is_cancelled() {
            return Err(Failure::aborted());
        }
        let asked = asked_wait(|name| text(&parts.headers, name), SystemTime::now());
        let mut failure = Failure::of_status(endpoint, status, &start, asked);
        match text(&parts.headers, "x-should-retry") {
            Some("false") => failure.again = Again::Never,
            Some("true") if failure.again == Again::Never => failure.again = Again::Soon,
            _ => {}
        }
        Err(failure)
    }

    /// Sends a request on a thread of its own, which a cancel leaves behind: the agent that is shut
    /// down sends nothing more, and the thread ends with its look-up or its connect.
    fn send(
        &self,
        request: RequestBuilder<WithBody>,
        body: &Arc<Vec<u8>>,
    ) -> Result<Result<Response<Body>, ureq::Error>, Failure> {
        // Room for one message of each side, so that neither waits for the other.
        let (told, sent) = std::sync::mpsc::sync_channel(2);
        let stop = told.clone();
        let hook = self.cancel.on_cancel(move || _ = stop.try_send(None));
        let Ok(_guard) = hook else { return Err(Failure::aborted()) };
        let body = Arc::clone(body);
        let thread = std::thread::Builder::new()
            .name("provider-request".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                os::begin_stack(STACK);
                // The hook holds the channel open, so a panic has to be told too.
                let sent = catch_unwind(AssertUnwindSafe(|| request.send(&body[..])));
                let _ = told.try_send(sent.ok());
            });
        let thread = thread.map_err(|error| {
            let why = format!("No thread could be started to ask the provider: {error}.");
            Failure::passing(Code::AtCapacity, why)
        })?;
        // A model may think for long before the head of its answer comes.
        os::release_stack();
        let sent = sent.recv().ok().flatten();
        if self.cancel.is_cancelled() {
            return Err(Failure::aborted());
        }
        let sent = sent.ok_or_else(|| {
            Failure::fatal(Code::Internal, "the request failed by a bug; the log has the place")
        })?;
        // It has nothing more to do; left alone, it would keep its stack.
        let _ = thread.join();
        Ok(sent)
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
        let unreachable = |why: &str| {
            let hint =
                if super::endpoint::is_loopback(&endpoint.base) { " Is it running?" } else { "" };
            format!("{name} cannot be reached at {base}: {why}.{hint}")
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
                    let why = format!("{io} ({})", endpoint.roots.hint());
                    Failure::fatal(Code::ProviderUnreachable, unreachable(&why))
                }
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Failure::cut(name),
                _ => Failure::passing(Code::ProviderUnreachable, unreachable(&io.to_string())),
            },
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
                let why = format!("{error} ({})", endpoint.roots.hint());
                Failure::fatal(Code::ProviderUnreachable, unreachable(&why))
            }
            ureq::Error::Http(_) | ureq::Error::BadUri(_) => Failure::fatal(
                Code::ProviderNotConfigured,
                format!(
                    "{name} cannot be asked: its address ({base}), {} or a header of the \
                     configuration has a character that HTTP does not allow.",
                    endpoint.key_origin
                ),
            ),
            other => Failure::fatal(
                Code::ProviderFailed,
                endpoint.redact(&format!("{name} at {base} gave no proper answer: {other}.")),
            ),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
