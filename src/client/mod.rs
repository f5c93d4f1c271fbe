//! The HTTP client of a running server, which every command with `--attach` shares.
//!
//! It uses the public API alone: what it needs, anyone can use. Proxies from the environment
//! hold for providers, never here: a server is reached directly.

mod socket;
mod target;

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crossbeam_channel::bounded;
use serde_json::Value;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};

use crate::cancel::Cancel;
use crate::error::{Code, Problem};
use crate::event;
use crate::sse;
use crate::tls;

pub use socket::Socket;
pub use target::Target;

const CONNECT_TIME: Duration = Duration::from_secs(10);
/// For an answer that is not a stream.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// A server sends a comment every 15 s; one that is silent for this long is gone.
const SILENCE: Duration = Duration::from_secs(90);
/// Bytes of an answer that is not a stream.
const ANSWER_BYTES: u64 = 256 * 1024 * 1024;
const BUFFER: usize = 16 * 1024;

/// Why a server did not do what was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// The URL, or something it needs, is wrong.
    #[error("{0}")]
    Usage(String),
    /// No connection, or no answer.
    #[error("{0}")]
    Unreachable(String),
    /// It answered, and refused.
    #[error("{0}")]
    Refused(Problem),
    /// The connection ended within a stream.
    #[error("{0}")]
    Lost(String),
    /// [`Cancel`] ended it.
    #[error("cancelled")]
    Cancelled,
}

/// A server to ask.
#[derive(Clone)]
pub struct Remote {
    base: String,
    authorization: Option<String>,
    /// The only authorities that are trusted, where a file names some.
    authorities: Option<Vec<Certificate<'static>>>,
    /// Where it is, once it was found by mDNS.
    addresses: Vec<SocketAddr>,
    agent: Agent,
    streaming: Agent,
}

impl Remote {
    /// Prepares to ask a server; nothing is sent to it yet.
    ///
    /// # Errors
    /// A certificate file that cannot be used; a name that has to be found and is not.
    pub fn new(target: &Target) -> Result<Self, ClientError> {
        let target = target.clone().found(&Cancel::new())?;
        let authorities = target.ca.as_deref().map(authorities).transpose()?;
        let tls = match &authorities {
            None => TlsConfig::default(),
            Some(all) => TlsConfig::builder().root_certs(RootCerts::new_with_certs(all)).build(),
        };
        let agent = |answer_time| {
            let config = Agent::config_builder()
                .proxy(None)
                .http_status_as_error(false)
                .max_redirects(0)
                .timeout_connect(Some(CONNECT_TIME))
                .timeout_global(answer_time)
                .timeout_per_read(Some(SILENCE))
                .input_buffer_size(BUFFER)
                .output_buffer_size(BUFFER)
                .tls_config(tls.clone())
                .user_agent(concat!("opencode/", env!("CARGO_PKG_VERSION")))
                .build();
            let known = Known(target.addresses.clone());
            Agent::with_parts(config, DefaultConnector::default(), known)
        };
        let authorization = target.credentials.as_ref().map(|(user, password)| {
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        });
        Ok(Self {
            base: target.base.clone(),
            authorization,
            authorities,
            addresses: target.addresses.clone(),
            agent: agent(Some(ANSWER_TIME)),
            streaming: agent(None),
        })
    }

    /// The server's address, without credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Reads JSON, until the cancel.
    pub fn get(&self, path: &str, cancel: &Cancel) -> Result<Value, ClientError> {
        let (remote, url) = (self.clone(), self.at(path));
        until(cancel, move || {
            let mut request = remote.agent.get(url);
            if let Some(authorization) = &remote.authorization {
                request = request.header("Authorization", authorization);
            }
            remote.json(request.call())
        })?
    }

    /// Posts JSON and reads JSON, until the cancel.
    pub fn post(&self, path: &str, body: &Value, cancel: &Cancel) -> Result<Value, ClientError> {
        let (remote, path, body) = (self.clone(), path.to_owned(), body.to_string());
        until(cancel, move || remote.json(remote.send(&remote.agent, &path, body)))?
    }

    /// Changes something by JSON and reads JSON, until the cancel.
    pub fn patch(&self, path: &str, body: &Value, cancel: &Cancel) -> Result<Value, ClientError> {
        let (remote, url, body) = (self.clone(), self.at(path), body.to_string());
        until(cancel, move || {
            let mut request = remote.agent.patch(url).content_type("application/json");
            if let Some(authorization) = &remote.authorization {
                request = request.header("Authorization", authorization);
            }
            remote.json(request.send(body))
        })?
    }

    /// Deletes something, until the cancel.
    pub fn delete(&self, path: &str, cancel: &Cancel) -> Result<(), ClientError> {
        let (remote, url) = (self.clone(), self.at(path));
        until(cancel, move || {
            let mut request = remote.agent.delete(url);
            if let Some(authorization) = &remote.authorization {
                request = request.header("Authorization", authorization);
            }
            remote.accepted(request.call()).map(|_| ())
        })?
    }

    /// Opens a WebSocket; this blocks for at most about `time`, and can be ended by nobody.
    pub fn socket(&self, time: Duration) -> Result<Socket, ClientError> {
        let authorities = self.authorities.as_deref();
        let authorization = self.authorization.as_deref();
        Socket::open(&self.base, &self.addresses, authorization, authorities, time)
    }

    /// Posts JSON and follows the events of the answer until the cancel or the end.
    pub fn stream(&self, path: &str, body: &Value, cancel: &Cancel) -> Result<Events, ClientError> {
        let agent = self.streaming.clone();
        let guard = cancel.on_cancel(move || agent.shutdown());
        let guard = guard.map_err(|_| ClientError::Cancelled)?;
        let (remote, path, body) = (self.clone(), path.to_owned(), body.to_string());
        let send = move || remote.accepted(remote.send(&remote.streaming, &path, body));
        let response = until(cancel, send)?;
        if cancel.is_cancelled() {
            return Err(ClientError::Cancelled);
        }
        Ok(Events {
            body: Box::new(response?.into_body().into_reader()),
            parser: sse::Parser::default(),
            ready: Vec::new().into_iter(),
            cancel: cancel.clone(),
            _guard: guard,
        })
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn send(
        &self,
        agent: &Agent,
        path: &str,
        body: String,
    ) -> Result<ureq::http::Response<Body>, ureq::Error> {
        let mut request = agent.post(self.at(path)).content_type("application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        request.send(body)
    }

    fn json(
        &self,
        sent: Result<ureq::http::Response<Body>, ureq::Error>,
    ) -> Result<Value, ClientError> {
        let mut response = self.accepted(sent)?;
        let reader = response.body_mut().with_config().limit(ANSWER_BYTES).reader();
        serde_json::from_reader(reader)
            .map_err(|error| ClientError::Lost(format!("{}: {error}", self.base)))
    }

    /// The response, if it is a success.
    fn accepted(
        &self,
        sent: Result<ureq::http::Response<Body>, ureq::Error>,
    ) -> Result<ureq::http::Response<Body>, ClientError> {
        let mut response = sent.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|v| v.to_str().ok()?.parse().ok());
        let text = response.body_mut().with_config().limit(64 * 1024).read_to_string();
        let told: Value = serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
        let code = told["code"].as_str().and_then(Code::parse);
        if let Some(its_path) = told["basePath"].as_str()
            && let Some(text) = self.elsewhere(its_path)
        {
            return Err(ClientError::Unreachable(text));
        }
        let Some(code) = code.filter(|code| code.status() == status) else {
            let text = format!(
                "{} answered {status}, and not as an opencode server does: is the address right?",
                self.base
            );
            return Err(ClientError::Unreachable(text));
        };
        let detail = told["detail"].as_str().unwrap_or(code.row().2);
        let mut problem = Problem::new(code, detail);
        problem.retry_after = retry_after;
        Err(ClientError::Refused(problem))
    }

    /// What to say where the server is at another path of this address.
    fn elsewhere(&self, its_path: &str) -> Option<String> {
        let uri: Uri = self.base.parse().ok()?;
        let path = uri.path().trim_end_matches('/');
        let origin = self.base.strip_suffix(path)?;
        (path != its_path).then(|| {
            format!("an opencode server is at {origin}{its_path}, and not at {}", self.base)
        })
    }

    fn unreachable(&self, error: &ureq::Error) -> ClientError {
        let why = match error {
            ureq::Error::Io(error) => match (error.kind(), tls::mistake(error)) {
                (std::io::ErrorKind::ConnectionRefused, _) => {
                    "nothing listens there; is the server running?".to_owned()
                }
                (_, Some(why)) => why.to_owned(),
                _ => error.to_string(),
            },
            ureq::Error::HostNotFound => "the name is not known".to_owned(),
            ureq::Error::Timeout(_) => "no answer in time".to_owned(),
            other => other.to_string(),
        };
        ClientError::Unreachable(format!("cannot reach {}: {why}", self.base))
    }
}

/// Where a host is, if that is known; else the system looks it up.
#[derive(Debug)]
struct Known(Vec<SocketAddr>);

impl Resolver for Known {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        if self.0.is_empty() {
            return DefaultResolver::default().resolve(uri, config, timeout);
        }
        let mut addresses = self.empty();
        for address in self.0.iter().take(16) {
            addresses.push(*address);
        }
        Ok(addresses)
    }
}

/// Makes a request on a thread of its own, and waits for what it comes to until the cancel.
///
/// A look-up and a connect cannot be ended from outside. They are abandoned: the thread is joined
/// by nobody and ends by its own time-outs, its result unheard.
fn until<T: Send + 'static>(
    cancel: &Cancel,
    request: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ClientError> {
    // Room for the result and for the cancel's word, so that neither ever waits.
    let (tell, hear) = bounded(2);
    let stop = tell.clone();
    let guard = cancel.on_cancel(move || _ = stop.try_send(None));
    let _guard = guard.map_err(|_| ClientError::Cancelled)?;
    crate::os::thread("request", move || _ = tell.try_send(Some(request())))
        .map_err(|error| ClientError::Unreachable(format!("cannot start a thread: {error}")))?;
    match hear.recv() {
        Ok(Some(result)) => Ok(result),
        Ok(None) => Err(ClientError::Cancelled),
        Err(_) => Err(ClientError::Unreachable("the request ended in a panic".to_owned())),
    }
}

/// The events of one answer.
pub struct Events {
    body: Box<dyn Read + Send>,
    parser: sse::Parser,
    ready: std::vec::IntoIter<sse::Event>,
    cancel: Cancel,
    _guard: crate::cancel::Guard,
}

impl Iterator for Events {
    type Item = Result<event::Body, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            for event in self.ready.by_ref() {
                // An event of a later version is not ours to understand.
                if let Ok(body) = serde_json::from_str(&event.data) {
                    return Some(Ok(body));
                }
            }
            let mut buffer = [0; BUFFER];
            let read = self.body.read(&mut buffer);
            if self.cancel.is_cancelled() {
                return Some(Err(ClientError::Cancelled));
            }
            let mut events = Vec::new();
            match read {
                Ok(0) => return None,
                Ok(n) => {
                    if let Err(error) = self.parser.feed(&buffer[..n], &mut events) {
                        return Some(Err(ClientError::Lost(error.to_string())));
                    }
                }
                Err(error) => {
                    let text = format!("the connection to the server was lost: {error}");
                    return Some(Err(ClientError::Lost(text)));
                }
            }
            self.ready = events.into_iter();
        }
    }
}

/// The authorities in a file that a person named.
fn authorities(path: &std::path::Path) -> Result<Vec<Certificate<'static>>, ClientError> {
    tls::certificates(path)
        .map_err(|why| ClientError::Usage(format!("--ca {}: {why}", path.display())))
}
