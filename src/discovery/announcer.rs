//! The thread that keeps a server known on every link, until it stops.
//!
//! Whatever fails here is logged once and tried again; the server never stops for it.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::answers::{Asker, Out};
use super::link::{Conflict, Kin, Link};
use super::net::{self, Changes, Family, Group, Interface};
use super::packet;
use super::records::{Claim, Records};
use super::{LocalName, Service};
use crate::id;
use crate::os::{Waker, wait_many};

/// How often the addresses are read where nothing says when they change.
const REREAD: Duration = Duration::from_secs(5);
/// The same where the kernel says so, in case it did not.
const SLOW_REREAD: Duration = Duration::from_secs(60);
/// The longest wait before the first probe, so that machines that start together do not ask as one.
const FIRST_WAIT_MS: u64 = 250;
/// After so many names that were taken, each further one is tried after a rest.
const HASTY_CHANGES: u32 = 15;
const CHANGE_REST: Duration = Duration::from_secs(5);
/// Packets of one link that are read before the others have their turn.
const IN_A_ROW: usize = 64;

/// Announces a server until this is dropped or told to stop.
#[derive(Debug)]
pub struct Announcer {
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Announcer {
    /// Says goodbye, so that nobody keeps what is no longer there.
    fn drop(&mut self) {
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Begins to announce a server, on a thread of its own; `name` tells from then on which name it
/// has. `None` for one that listens on loopback alone: nobody else could reach it.
///
/// # Errors
/// The system has no thread or no descriptor left.
pub fn announce(service: &Service, name: LocalName) -> io::Result<Option<Announcer>> {
    if service.listen.to_canonical().is_loopback() {
        return Ok(None);
    }
    let waker = Arc::new(Waker::new()?);
    let mut crier = Crier::new(service, name, waker.clone());
    let work = move || {
        if catch_unwind(AssertUnwindSafe(|| crier.run())).is_err() {
            log::error!("mDNS ended by a fault of this program; the server goes on");
        }
    };
    let thread = crate::os::thread("mdns", work)?;
    Ok(Some(Announcer { waker, thread: Some(thread) }))
}

/// One socket and what is claimed over it.
struct Station {
    interface: Interface,
    family: Family,
    group: Group,
    link: Link,
    /// The addresses that are told.
    told: Vec<IpAddr>,
}

struct Crier {
    claim: Claim,
    listen: IpAddr,
    name: LocalName,
    waker: Arc<Waker>,
    stations: Vec<Station>,
    kin: Kin,
    /// Names that were taken since the last one that was free.
    taken: u32,
    /// What was complained of, so that it is said once.
    said: HashSet<String>,
}

impl Crier {
    fn new(service: &Service, name: LocalName, waker: Arc<Waker>) -> Self {
        Self {
            claim: Claim::new(service, format!("{:032x}", id::random())),
            listen: service.listen.to_canonical(),
            name,
            waker,
            stations: Vec::new(),
            kin: Kin::default(),
            taken: 0,
            said: HashSet::new(),
        }
    }

    fn run(&mut self) {
        let changes = Changes::watch();
        if let Err(error) = &changes {
            log::debug!("mDNS: changes of the network are looked for instead: {error}");
        }
        let changes = changes.ok();
        let pause = if changes.is_some() { SLOW_REREAD } else { REREAD };
        let mut reread = Instant::now();
        loop {
            let now = Instant::now();
            if now >= reread {
                self.look_at_interfaces(now);
                reread = now + pause;
                if self.stations.is_empty() {
                    self.say("there is no network to announce this server on yet");
                }
            }
            for station in &mut self.stations {
                let out = station.link.tick(now);
                send(station, &out);
            }
            self.note_claim();
            let due = self.stations.iter().filter_map(|station| station.link.due()).min();
            let due = due.map_or(reread, |due| due.min(reread));
            let sources = self.stations.iter().map(|station| station.group.as_fd());
            let fds: Vec<_> = sources.chain(changes.iter().map(AsFd::as_fd)).collect();
            // Rounded up, or the last millisecond would be spent awake.
            let time = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            let ready = match wait_many(&self.waker, &fds, time) {
                Ok(Some(ready)) => ready,
                Ok(None) => break,
                Err(error) => {
                    log::error!("mDNS ended: {error}; the server goes on");
                    return;
                }
            };
            if let (Some(changes), Some(true)) = (&changes, ready.get(self.stations.len())) {
                changes.clear();
                reread = Instant::now();
            }
            for (at, _) in ready.iter().enumerate().filter(|(_, ready)| **ready) {
                self.receive(at);
            }
        }
        for station in &mut self.stations {
            let out = station.link.goodbye();
            send(station, &out);
        }
    }

    /// Lets links go that are no longer there, begins on new ones, tells addresses that changed.
    fn look_at_interfaces(&mut self, now: Instant) {
        let interfaces = match net::interfaces() {
            Ok(interfaces) => interfaces,
            Err(error) => {
                self.say(&format!("mDNS cannot read the addresses of this machine: {error}"));
                return;
            }
        };
        let addresses = interfaces.iter().flat_map(|one| &one.addresses);
        self.kin.addresses = addresses.map(|(address, _)| *address).collect();
        let listen = self.listen;
        let wanted = |interface: &Interface| {
            let told = told(listen, interface);
            let families = interface.families().filter(move |family| match listen {
                IpAddr::V6(Ipv6Addr::UNSPECIFIED) => true,
                listen => *family == Family::of(listen),
            });
            let families: Vec<_> = families.filter(|_| !told.is_empty()).collect();
            (families, told)
        };
        self.stations.retain(|station| {
            let still = interfaces.iter().find(|one| one.index == station.interface.index);
            still.is_some_and(|one| wanted(one).0.contains(&station.family))
        });
        for interface in interfaces {
            let (families, told) = wanted(&interface);
            for family in families {
                let is_it = |station: &&mut Station| {
                    station.interface.index == interface.index && station.family == family
                };
                if let Some(station) = self.stations.iter_mut().find(is_it) {
                    if station.told != told {
                        let records = Records::new(&self.claim, &told);
                        let out = station.link.change(records, now);
                        send(station, &out);
                        station.told.clone_from(&told);
                    }
                    station.interface = interface.clone();
                } else {
                    self.begin(&interface, family, &told, now);
                }
            }
        }
        self.know_kin();
    }

    fn begin(&mut self, interface: &Interface, family: Family, told: &[IpAddr], now: Instant) {
        let group = match Group::join(interface.index, family) {
            Ok(group) => group,
            Err(error) => {
                let name = &interface.name;
                return self.say(&format!("mDNS is not possible on {name}: {error}"));
            }
        };
        let records = Records::new(&self.claim, told);
        let link = Link::new(records, now + Duration::from_millis(chance(FIRST_WAIT_MS)));
        let told = told.to_vec();
        self.stations.push(Station { interface: interface.clone(), family, group, link, told });
    }

    fn know_kin(&mut self) {
        let all = self.stations.iter().flat_map(|station| &station.link.records().all);
        self.kin.records = all.map(|(_, record)| record.clone()).collect();
    }

    fn receive(&mut self, at: usize) {
        let mut buffer = [0; packet::LARGEST + 1];
        for _ in 0..IN_A_ROW {
            // What tells of changes is waited for behind the stations, and is none.
            let Some(station) = self.stations.get_mut(at) else { return };
            let (count, from) = match station.group.receive(&mut buffer) {
                Ok(Some(received)) => received,
                Ok(None) => return,
                Err(error) => {
                    log::debug!("mDNS on {}: {error}", station.interface.name);
                    return;
                }
            };
            let Some(packet) = packet::parse(&buffer[..count]) else { continue };
            let asker = Asker { address: from, is_near: station.interface.is_near(from.ip()) };
            let heard = station.link.hear(&packet, asker, &self.kin, Instant::now(), chance);
            send(station, &heard.out);
            match heard.conflict {
                None => {}
                Some(Conflict::Disputed) => {
                    log::debug!("{} is claimed by {}", self.claim.domain(), from.ip());
                }
                Some(Conflict::Taken) => return self.take_another_name(from.ip()),
            }
        }
    }

    /// Somebody else has the name: the next one is tried on all links.
    fn take_another_name(&mut self, other: IpAddr) {
        let old = self.claim.domain();
        self.claim.change();
        let new = self.claim.domain();
        self.taken = self.taken.saturating_add(1);
        let rest = if self.taken > HASTY_CHANGES { CHANGE_REST } else { Duration::ZERO };
        match self.taken {
            ..HASTY_CHANGES => {
                log::warn!("{old} is taken on this network, by {other}: trying {new}");
            }
            HASTY_CHANGES => {
                log::warn!("{new} and all names before it are taken: trying on, slowly");
            }
            _ => log::debug!("{old} is taken, by {other}"),
        }
        self.name.set(&new, false);
        let now = Instant::now();
        for station in &mut self.stations {
            let out = station.link.change(Records::new(&self.claim, &station.told), now);
            send(station, &out);
            station.link.claim_again(now + rest + Duration::from_millis(chance(FIRST_WAIT_MS)));
        }
        self.know_kin();
    }

    /// Says so when the name is this server's on every link.
    fn note_claim(&mut self) {
        let domain = self.claim.domain();
        let is_claimed = self.stations.iter().all(|station| station.link.is_claimed());
        if self.stations.is_empty() || !is_claimed || self.name.is(&domain) {
            return;
        }
        self.taken = 0;
        self.name.set(&domain, true);
        log::info!("announced on the local network as {domain}");
    }

    fn say(&mut self, text: &str) {
        if self.said.insert(text.to_owned()) {
            log::warn!("{text}");
        }
    }
}

/// The addresses of an interface that a server listens on.
pub(super) fn told(listen: IpAddr, interface: &Interface) -> Vec<IpAddr> {
    let all = interface.addresses.iter().map(|(address, _)| *address);
    let mut told: Vec<_> = all
        .filter(|address| match listen {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => true,
            IpAddr::V4(any) if any.is_unspecified() => address.is_ipv4(),
            one => *address == one,
        })
        .collect();
    // One that holds on its link alone is of use where there is no better one.
    let is_poor =
        |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if told.iter().any(|address| address.is_ipv6() && !is_poor(address)) {
        told.retain(|address| !is_poor(address));
    }
    told.sort();
    told
}

/// Sends; a link that is down for a moment hears the next announcement, or is let go.
fn send(station: &Station, out: &[Out]) {
    for one in out {
        if let Err(error) = station.group.send(&one.bytes, one.to) {
            log::debug!("mDNS on {}: {error}", station.interface.name);
        }
    }
}

/// A random number below a bound.
fn chance(below: u64) -> u64 {
    (id::random() % u128::from(below.max(1))) as u64
}
