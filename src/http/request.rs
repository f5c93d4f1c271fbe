//! A request as the service sees it, and a connection that left HTTP.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use tiny_http::Method;

use super::body::Body;
use super::budget::Budget;
use super::head::{Head, Version};
use super::input::Input;
use super::links::Link;
use crate::config::Limits;
use crate::error::Problem;

/// A request whose head is read and checked; its body is read when asked for.
pub struct Request<'a> {
    pub(super) head: &'a Head,
    pub(super) body: &'a mut Body,
    pub(super) input: &'a mut Input,
    pub(super) limits: &'a Limits,
    pub(super) bodies: &'a Budget,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// What it is counted as.
    pub(super) kind: &'a Cell<usize>,
}

impl Request<'_> {
    /// Has it counted as one of a kind, whose name [`Traffic::print`](super::Traffic::print) is
    /// told; of kind 0 without it.
    pub fn count_as(&self, kind: usize) {
        self.kind.set(kind);
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The path of the target as it came, percent-encoded, without the query; `*` with OPTIONS.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// What follows the target's first `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.head.query()
    }

    /// The value of a field that came exactly once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.values(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// The values of all fields of this name in the order they came. Bytes that are not UTF-8 are
    /// replaced.
    pub fn values<'r>(&'r self, name: &str) -> impl Iterator<Item = &'r str> {
        self.head.values(name)
    }

    /// The authority that was asked: that of an absolute-form target, else `Host`; they never
    /// differ (RFC 9112, section 3.2). `None` only in HTTP/1.0; it may be empty.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.head.host()
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The client's address; one of IPv4 is never written as IPv6.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address the connection came in on; one of IPv4 is never written as IPv6.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The media type of the body as it came, without its parameters.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        let value = self.header("content-type")?;
        Some(value.split_once(';').map_or(value, |(media, _)| media).trim_ascii())
    }

    /// Whether the body is longer than this, or does not tell how long it is.
    #[must_use]
    pub fn declares_more_than(&self, bytes: usize) -> bool {
        self.body.declared().is_none_or(|length| length > bytes as u64)
    }

    /// Reads the body, within its bounds of size and time; `100 Continue` goes out first where
    /// the client waits for it. A second call gives an empty body. After a failure the
    /// connection is closed behind the answer.
    pub fn body(&mut self) -> Result<Vec<u8>, Problem> {
        self.body.read(self.input, self.limits, self.bodies)
    }

    /// The connection, to watch for the client's departure.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.input.stream().as_fd()
    }
}

/// A connection that speaks another protocol now. It reads and writes as the socket does, after
/// what had come in already; its write time-out stays, a read time-out it has none.
pub struct Upgraded {
    link: Arc<Link>,
    read: Vec<u8>,
}

impl Upgraded {
    pub(super) fn new(link: Arc<Link>, read: Vec<u8>) -> Self {
        Self { link, read }
    }

    /// The socket itself, for time-outs, polling and shutting down. Reading from it misses what
    /// had come in already.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.link.stream
    }
}

impl Read for Upgraded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read.is_empty() {
            return self.stream().read(out);
        }
        let count = self.read.len().min(out.len());
        out[..count].copy_from_slice(&self.read[..count]);
        self.read.drain(..count);
        Ok(count)
    }
}

impl Write for Upgraded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
