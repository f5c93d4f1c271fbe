//! A request as the service sees it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use tiny_http::Method;

use crate::error::Problem;

/// The version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no chunks, no `100 Continue`, closed after the answer.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// A request whose head is read and checked; its body is read when asked for.
pub struct Request<'a> {
    socket: &'a TcpStream,
    method: Method,
    peer: SocketAddr,
    id: u64,
}

impl Request<'_> {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path of the target as it came, percent-encoded, without the query; `*` with OPTIONS.
    #[must_use]
    pub fn path(&self) -> &str {
        ""
    }

    /// What follows the target's first `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        None
    }

    /// The value of a field that came exactly once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let _ = name;
        None
    }

    /// All fields in the order they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        std::iter::empty()
    }

    /// The authority that was asked: `Host`, or that of an absolute-form target. `None` only in
    /// HTTP/1.0.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        None
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::Http11
    }

    /// The client's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address the connection came in on.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.peer
    }

    /// The media type of the body, without parameters, as it came.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        None
    }

    /// Reads the body, within its bounds of size and time. A second call gives an empty one.
    pub fn body(&mut self) -> Result<Vec<u8>, Problem> {
        Ok(Vec::new())
    }

    /// The connection, to watch for the client's departure.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// A number that no other request of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// A connection that speaks another protocol now.
pub struct Upgraded {
    stream: Arc<TcpStream>,
    read: Vec<u8>,
}

impl Upgraded {
    /// The connection itself, for time-outs, polling and shutting down.
    #[must_use]
    pub fn stream(&self) -> &Arc<TcpStream> {
        &self.stream
    }
}

impl Read for Upgraded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read.is_empty() {
            return (&*self.stream).read(out);
        }
        let n = self.read.len().min(out.len());
        out[..n].copy_from_slice(&self.read[..n]);
        self.read.drain(..n);
        Ok(n)
    }
}

impl Write for Upgraded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.stream).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
