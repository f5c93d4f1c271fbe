//! Listening and stopping, and what the connections of one server share.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::Service;
use super::accept::Acceptor;
use super::budget::Budget;
use super::links::{Link, Links};
use super::pool::Pool;
use super::traffic::Traffic;
use crate::config::Limits;
use crate::context::{RequestId, RequestIds};
use crate::os::Waker;

/// Connections that may wait to be accepted. The kernel bounds it further (`somaxconn`).
const BACKLOG: i32 = 4096;
/// How long connections may take to notice that their sockets were shut.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// A bound socket that nobody serves yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    traffic: Arc<Traffic>,
}

impl Server {
    /// Binds an address or a name; port 0 takes a free one. Of a name's addresses the first that
    /// can be bound is taken, IPv4 before IPv6.
    pub fn bind(hostname: &str, port: u16, limits: Limits) -> io::Result<Self> {
        let bare = hostname.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let mut addresses: Vec<_> = (bare.unwrap_or(hostname), port).to_socket_addrs()?.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        // The standard library sets SO_REUSEADDR, so a restart finds its port free.
        let listener = TcpListener::bind(&*addresses)?;
        rustix::net::listen(&listener, BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, limits, traffic: Arc::default() })
    }

    /// The address that is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What comes, readable while the server runs.
    #[must_use]
    pub fn traffic(&self) -> Arc<Traffic> {
        self.traffic.clone()
    }

    /// Serves until [`Running::stop`].
    pub fn start(self, service: Arc<dyn Service>) -> io::Result<Running> {
        let shared = Arc::new(Shared {
            service,
            links: Links::new(self.limits.connections, self.traffic.clone()),
            traffic: self.traffic,
            // A vector that grows takes up to twice what is in it.
            bodies: Budget::new(self.limits.bodies_bytes.max(2 * self.limits.body_bytes)),
            limits: self.limits,
            stopping: AtomicBool::new(false),
            ids: RequestIds::new(),
            requests: AtomicU64::new(0),
        });
        let waker = Arc::new(Waker::new()?);
        let acceptor = Acceptor::new(self.listener, shared.clone(), waker.clone())?;
        let accept = Builder::new().name("accept".into()).spawn(|| acceptor.run())?;
        Ok(Running { address: self.address, shared, waker, accept: Some(accept) })
    }
}

/// A server that accepts connections. Dropping it stops it without grace.
pub struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    /// Gives the threads of the connections back when it ends.
    accept: Option<JoinHandle<Pool>>,
}

impl Running {
    /// The address that is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, closes idle connections, lets running ones end within the grace, then
    /// shuts their sockets and joins the threads. Returns how many connections did not end even
    /// then, because the service did not return; their threads are left behind.
    #[must_use]
    pub fn stop(mut self, grace: Duration) -> usize {
        self.end(grace)
    }

    fn end(&mut self, grace: Duration) -> usize {
        let Some(accept) = self.accept.take() else { return 0 };
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.waker.wake();
        let pool = accept.join();
        self.shared.links.shut(|link| link.idle.load(Ordering::SeqCst));
        if self.shared.links.wait_for_end(grace) > 0 {
            self.shared.links.shut(|_| true);
        }
        let left = self.shared.links.wait_for_end(LAST_MOMENT);
        if let Ok(pool) = pool {
            pool.end(left == 0);
        }
        left
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// What the connections of one server share.
pub(super) struct Shared {
    pub(super) service: Arc<dyn Service>,
    pub(super) limits: Limits,
    pub(super) links: Links,
    pub(super) traffic: Arc<Traffic>,
    /// What all bodies that are being read may take.
    pub(super) bodies: Budget,
    stopping: AtomicBool,
    ids: RequestIds,
    requests: AtomicU64,
}

impl Shared {
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// An id that no other request has.
    pub(super) fn next_request(&self) -> RequestId {
        self.ids.name(self.requests.fetch_add(1, Ordering::Relaxed))
    }
}

/// A connection's place among those allowed at once, given back on drop.
pub(super) struct Seat {
    pub(super) shared: Arc<Shared>,
    pub(super) link: Arc<Link>,
    pub(super) peer: SocketAddr,
    id: u64,
}

impl Seat {
    /// Takes a place, or gives the socket back when there is none.
    pub(super) fn take(
        shared: &Arc<Shared>,
        stream: TcpStream,
        peer: SocketAddr,
        id: u64,
    ) -> Result<Self, TcpStream> {
        let peer = canonical(peer);
        let link = shared.links.add(id, stream, peer)?;
        Ok(Self { shared: shared.clone(), link, peer, id })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.links.remove(self.id);
    }
}

/// The address with IPv4 written as such: a socket for both writes it as IPv6.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        IpAddr::V6(_) => address,
    }
}
