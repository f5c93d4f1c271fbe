//! The client's end of `/ws`, over plain TCP or TLS.
//!
//! After the handshake nothing here blocks: whoever has a [`Socket`] waits for it and for a wake-up
//! of its own in one `poll`. Proxies from the environment hold for providers, never here.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeError;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket};
use ureq::http::Uri;
use ureq::tls::Certificate;

use crate::client::ClientError;
use crate::error::{Code, Problem};
use crate::os::{self, Waker};
use crate::tls;

/// Longest message of a server: its largest event is a tool's arguments or a message, each byte of
/// which may be spelled in six.
const MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// An open WebSocket.
pub struct Socket {
    web: WebSocket<Wire>,
    /// Something that was said is not written yet.
    is_full: bool,
}

impl Socket {
    /// Connects and shakes hands, within about `time`.
    pub(super) fn open(
        base: &str,
        known: &[SocketAddr],
        authorization: Option<&str>,
        authorities: Option<&[Certificate<'static>]>,
        time: Duration,
    ) -> Result<Self, ClientError> {
        let end = Instant::now() + time;
        let failed = |why: &str| ClientError::Unreachable(format!("cannot reach {base}: {why}"));
        let uri: Uri = base.parse().map_err(|_| failed("that is no URL"))?;
        let host = uri.host().unwrap_or_default().to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tcp = connect(&host, port, known, end).map_err(|error| failed(&plainly(&error)))?;
        let limited = |tcp: &TcpStream| {
            tcp.set_read_timeout(Some(time))?;
            tcp.set_write_timeout(Some(time))?;
            tcp.set_nodelay(true)
        };
        limited(&tcp).map_err(|error| failed(&error.to_string()))?;
        let wire = if is_tls {
            let connection = secure(&host, authorities).map_err(|why| failed(&why))?;
            Wire::Tls(Box::new(StreamOwned::new(connection, tcp)))
        } else {
            Wire::Plain(tcp)
        };
        let address = base.replacen("http", "ws", 1) + "/ws";
        let mut request = address.into_client_request().map_err(|e| failed(&e.to_string()))?;
        if let Some(authorization) = authorization {
            let value = HeaderValue::from_str(authorization);
            let value = value.map_err(|_| failed("the password cannot stand in a header"))?;
            request.headers_mut().insert("Authorization", value);
        }
        let config = WebSocketConfig::default()
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let shaken = tungstenite::client::client_with_config(request, wire, Some(config));
        let (web, _) = shaken.map_err(|error| match error {
            HandshakeError::Failure(Error::Http(answer)) if answer.status() == 401 => {
                let detail = format!("{base} wants a user and password, or other ones");
                ClientError::Refused(Problem::new(Code::Unauthorized, detail))
            }
            HandshakeError::Failure(Error::Http(answer)) => {
                failed(&format!("/ws answered {}", answer.status()))
            }
            HandshakeError::Failure(Error::Io(error)) => failed(&plainly(&error)),
            HandshakeError::Failure(error) => failed(&error.to_string()),
            HandshakeError::Interrupted(_) => failed("no answer in time"),
        })?;
        let socket = web.get_ref().tcp();
        socket.set_nonblocking(true).map_err(|error| failed(&error.to_string()))?;
        Ok(Self { web, is_full: false })
    }

    /// Says something; what does not fit into the connection yet follows with [`Socket::hear`].
    ///
    /// # Errors
    /// The connection is lost.
    pub fn say(&mut self, text: String) -> Result<(), ClientError> {
        let said = self.web.send(Message::text(text));
        self.written(said)
    }

    /// The next message, if one is here. `None` until [`Socket::wait`] says that there may be more.
    ///
    /// # Errors
    /// The connection is lost, or the server closed it and says why.
    pub fn hear(&mut self) -> Result<Option<String>, ClientError> {
        if self.is_full {
            let flushed = self.web.flush();
            self.written(flushed)?;
        }
        loop {
            match self.web.read() {
                Ok(Message::Text(text)) => return Ok(Some(text.as_str().to_owned())),
                Ok(Message::Close(frame)) => {
                    let why = frame.map(|frame| frame.reason.as_str().to_owned());
                    let why = why.filter(|why| !why.is_empty());
                    let why = why.unwrap_or_else(|| "the server closed the connection".to_owned());
                    return Err(ClientError::Lost(why));
                }
                // Pings are answered by the protocol.
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(None);
                }
                Err(error) => return Err(lost(&error)),
            }
        }
    }

    /// Waits until there may be something to hear, or the waker is woken; at most for `time`.
    ///
    /// # Errors
    /// The system refuses to wait.
    pub fn wait(&self, waker: &Waker, time: Duration) -> io::Result<()> {
        let socket = self.web.get_ref().tcp().as_fd();
        os::wait_ready(waker, socket, (true, self.is_full), time).map(|_| ())
    }

    /// Takes leave, without waiting for the server's word.
    pub fn close(&mut self) {
        // The connection ends either way.
        let _ = self.web.close(None);
        let _ = self.web.flush();
    }

    fn written(&mut self, result: Result<(), Error>) -> Result<(), ClientError> {
        self.is_full = match result {
            Ok(()) => false,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) => return Err(lost(&error)),
        };
        Ok(())
    }
}

fn lost(error: &Error) -> ClientError {
    ClientError::Lost(format!("the connection to the server was lost: {error}"))
}

/// Tries each address of the host, as it is known or as the system finds it, until one answers.
fn connect(host: &str, port: u16, known: &[SocketAddr], end: Instant) -> io::Result<TcpStream> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name is not known");
    let addresses = match known {
        [] => (bare, port).to_socket_addrs()?.collect(),
        known => known.to_vec(),
    };
    for address in addresses {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn plainly(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => tls::mistake(error).map_or_else(|| error.to_string(), str::to_owned),
    }
}

/// A TLS session with a host that the usual authorities, or the named ones alone, vouch for.
fn secure(
    host: &str,
    authorities: Option<&[Certificate<'static>]>,
) -> Result<ClientConnection, String> {
    let mut roots = RootCertStore::empty();
    match authorities {
        None => {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Some(named) => {
            let named = named.iter().map(|one| CertificateDer::from(one.der().to_vec()));
            roots.add_parsable_certificates(named);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())?;
    ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())
}

/// What the frames go over.
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref(),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(buffer),
            Self::Tls(tls) => tls.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
