//! Listening, accepting and stopping.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Service;
use crate::config::Limits;

/// How many connections there are.
#[derive(Debug, Default)]
pub struct Gauge(AtomicUsize);

impl Gauge {
    /// The number of open connections.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A bound socket that nobody serves yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    connections: Arc<Gauge>,
}

impl Server {
    /// Binds an address or a name; port 0 takes a free one.
    pub fn bind(hostname: &str, port: u16, limits: Limits) -> io::Result<Self> {
        let _ = limits;
        let listener = TcpListener::bind((hostname, port))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, connections: Arc::default() })
    }

    /// The address that is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The count of open connections, readable while the server runs.
    #[must_use]
    pub fn connections(&self) -> Arc<Gauge> {
        self.connections.clone()
    }

    /// Serves until [`Running::stop`].
    pub fn start(self, service: Arc<dyn Service>) -> io::Result<Running> {
        let _ = (&self.listener, service);
        Ok(Running { address: self.address })
    }
}

/// A server that accepts connections.
pub struct Running {
    address: SocketAddr,
}

impl Running {
    /// The address that is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, closes idle connections, lets running ones end within the grace, then
    /// shuts their sockets and joins the threads. Returns how many connections did not end.
    pub fn stop(self, grace: Duration) -> usize {
        let _ = grace;
        0
    }
}
