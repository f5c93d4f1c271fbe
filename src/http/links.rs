//! The open connections of one server: how many there are, whose, and which one makes room when
//! there is none left.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Traffic;

/// The open connections, within their bounds.
pub(super) struct Links {
    /// Protects what is open.
    open: Mutex<Open>,
    /// The last of them is gone.
    emptied: Condvar,
    /// The same count, for who only wants to know.
    traffic: Arc<Traffic>,
    /// Connections at once.
    most: usize,
    /// Connections at once from one address.
    most_of_one: usize,
    /// From here the times of waiting are counted.
    began: Instant,
}

#[derive(Default)]
struct Open {
    links: HashMap<u64, Arc<Link>>,
    /// How many each address has.
    of_one: HashMap<IpAddr, usize>,
    /// Room had to be made, and that was logged.
    was_full: bool,
}

/// The socket of one connection.
pub(super) struct Link {
    pub(super) stream: TcpStream,
    /// No request is under way, so stopping may shut the socket.
    pub(super) idle: AtomicBool,
    /// Milliseconds since `began` at which it began to wait for a whole request, and one; 0 while
    /// it has one.
    waiting: AtomicU64,
    began: Instant,
    whose: IpAddr,
}

impl Link {
    /// A request is awaited from now on, if it is not already.
    pub(super) fn awaits(&self) {
        let now = self.began.elapsed().as_millis() as u64 + 1;
        let _ = self.waiting.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// All of a request has come: nobody takes its connection away any more.
    pub(super) fn has_request(&self) {
        self.waiting.store(0, Ordering::Relaxed);
    }
}

impl Links {
    pub(super) fn new(most: usize, traffic: Arc<Traffic>) -> Self {
        Self {
            open: Mutex::default(),
            emptied: Condvar::new(),
            traffic,
            most,
            most_of_one: most.div_ceil(2),
            began: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection, or its socket back. Where there is none, or its address has half
    /// of them all, the connection that has waited longest for a whole request loses its own.
    pub(super) fn add(
        &self,
        id: u64,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Result<Arc<Link>, TcpStream> {
        let whose = network(peer.ip());
        let mut open = self.lock();
        let of_one = open.of_one.get(&whose).copied().unwrap_or(0);
        let is_full = open.links.len() >= self.most;
        if is_full && !std::mem::replace(&mut open.was_full, true) {
            log::warn!(
                "{} connections are open, as many as this server takes: those that wait longest \
                 without a request make room (server.limits.connections)",
                self.most
            );
        }
        if of_one >= self.most_of_one || is_full {
            let among = (of_one >= self.most_of_one).then_some(whose);
            let Some(longest) = open.longest_waiting(among) else { return Err(stream) };
            if let Some(link) = open.remove(longest) {
                let _ = link.stream.shutdown(Shutdown::Both);
            }
        } else if open.links.len() < self.most / 2 {
            open.was_full = false;
        }
        let link = Arc::new(Link {
            stream,
            idle: AtomicBool::new(true),
            waiting: AtomicU64::new(0),
            began: self.began,
            whose,
        });
        link.awaits();
        open.links.insert(id, link.clone());
        *open.of_one.entry(whose).or_default() += 1;
        self.traffic.set(open.links.len());
        Ok(link)
    }

    /// Gives a place back.
    pub(super) fn remove(&self, id: u64) {
        let mut open = self.lock();
        open.remove(id);
        self.traffic.set(open.links.len());
        if open.links.is_empty() {
            self.emptied.notify_all();
        }
    }

    /// Shuts the sockets of those connections, which ends whatever waits on them.
    pub(super) fn shut(&self, which: impl Fn(&Link) -> bool) {
        for link in self.lock().links.values().filter(|link| which(link)) {
            let _ = link.stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits until no connection is left, and tells how many are when the time is over.
    pub(super) fn wait_for_end(&self, time: Duration) -> usize {
        let open = self.lock();
        let waited = self.emptied.wait_timeout_while(open, time, |open| !open.links.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.links.len()
    }
}

impl Open {
    /// The connection that has waited longest for a whole request, of all or of one address.
    fn longest_waiting(&self, among: Option<IpAddr>) -> Option<u64> {
        let links = self.links.iter().filter(|(_, link)| among.is_none_or(|one| one == link.whose));
        let waiting = links.filter_map(|(id, link)| match link.waiting.load(Ordering::Relaxed) {
            0 => None,
            since => Some((since, *id)),
        });
        waiting.min().map(|(_, id)| id)
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Link>> {
        let link = self.links.remove(&id)?;
        if let Some(count) = self.of_one.get_mut(&link.whose) {
            *count -= 1;
            if *count == 0 {
                self.of_one.remove(&link.whose);
            }
        }
        Some(link)
    }
}

/// What counts as one address: of IPv6 the /64 network, in which one subscriber may take any.
#[must_use]
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)))
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_ipv6_and_a_machine_of_ipv4() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:10.0.0.7"), "10.0.0.7");
        assert_eq!(network("::1"), "::1");
    }
}
