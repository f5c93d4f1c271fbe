//! Listening and stopping, and what the connections of one server share.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::Service;
use super::accept::Acceptor;
use super::pool::Pool;
use crate::config::Limits;
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
    connections: Arc<Gauge>,
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
        Ok(Self { listener, address, limits, connections: Arc::default() })
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
        let shared = Arc::new(Shared {
            service,
            limits: self.limits,
            connections: self.connections,
            stopping: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            links: Mutex::default(),
            emptied: Condvar::new(),
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
        self.shared.shut(|link| link.idle.load(Ordering::SeqCst));
        if self.shared.wait_for_end(grace) > 0 {
            self.shared.shut(|_| true);
        }
        let left = self.shared.wait_for_end(LAST_MOMENT);
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

/// What the connections of one server share.
pub(super) struct Shared {
    pub(super) service: Arc<dyn Service>,
    pub(super) limits: Limits,
    pub(super) connections: Arc<Gauge>,
    stopping: AtomicBool,
    requests: AtomicU64,
    /// The open connections, so that stopping can shut them.
    links: Mutex<HashMap<u64, Arc<Link>>>,
    /// The last of them is gone.
    emptied: Condvar,
}

impl Shared {
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// A number no other request has.
    pub(super) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    fn links(&self) -> MutexGuard<'_, HashMap<u64, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shuts the sockets of those connections, which ends whatever waits on them.
    fn shut(&self, which: impl Fn(&Link) -> bool) {
        for link in self.links().values().filter(|link| which(link)) {
            let _ = link.stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Waits until no connection is left, and tells how many are when the time is over.
    fn wait_for_end(&self, time: Duration) -> usize {
        let links = self.links();
        let waited = self.emptied.wait_timeout_while(links, time, |links| !links.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.len()
    }
}

/// The socket of one connection.
pub(super) struct Link {
    pub(super) stream: TcpStream,
    /// No request is under way, so stopping may shut the socket.
    pub(super) idle: AtomicBool,
}

/// A connection's place among those allowed at once, given back on drop.
pub(super) struct Seat {
    pub(super) shared: Arc<Shared>,
    pub(super) link: Arc<Link>,
    pub(super) peer: SocketAddr,
    id: u64,
}

impl Seat {
    /// Takes a place, or gives the socket back when there is none. Only the accept thread calls
    /// this, so nobody can take the place between the look and the step.
    pub(super) fn take(
        shared: &Arc<Shared>,
        stream: TcpStream,
        peer: SocketAddr,
        id: u64,
    ) -> Result<Self, TcpStream> {
        if shared.connections.get() >= shared.limits.connections {
            return Err(stream);
        }
        shared.connections.0.fetch_add(1, Ordering::Relaxed);
        let link = Arc::new(Link { stream, idle: AtomicBool::new(true) });
        shared.links().insert(id, link.clone());
        Ok(Self { shared: shared.clone(), link, peer: canonical(peer), id })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut links = self.shared.links();
        links.remove(&self.id);
        self.shared.connections.0.fetch_sub(1, Ordering::Relaxed);
        if links.is_empty() {
            self.shared.emptied.notify_all();
        }
    }
}

/// The address with IPv4 written as such: a socket for both writes it as IPv6.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        IpAddr::V6(_) => address,
    }
}
