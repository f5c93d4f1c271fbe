//! The way of packets for the fuzz targets: a claim on a link and a client's memory hear them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::answers::Asker;
use super::cache::Cache;
use super::link::{Kin, Link};
use super::packet;
use super::records::{Claim, Records};
use super::{Found, Service};

/// What packets have come to.
#[derive(Debug, Default)]
pub struct Heard {
    /// The packets that were sent.
    pub sent: Vec<Vec<u8>>,
    /// The servers that were found.
    pub found: Vec<Found>,
}

/// Lets packets come in, each from a port of its own, while a name is probed or once it is claimed.
///
/// # Panics
/// Where a packet of our own cannot be read again.
#[must_use]
pub fn heard<'b>(packets: impl Iterator<Item = (u16, &'b [u8])>, claimed: bool) -> Heard {
    let listen = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let (domain, base_path) = ("box.local".to_owned(), String::new());
    let service = Service { domain, listen, port: 4096, base_path, auth: true };
    let records = Records::new(&Claim::new(&service, "1".to_owned()), &[listen]);
    let own = records.all.iter().map(|(_, record)| record.clone()).collect();
    let kin = Kin { records: own, addresses: vec![listen] };
    let mut now = Instant::now();
    let mut link = Link::new(records, now);
    while claimed && let Some(due) = link.due() {
        now = due;
        link.tick(now);
    }
    let mut heard = Heard::default();
    let mut cache = Cache::default();
    for (port, bytes) in packets {
        let Some(packet) = packet::parse(bytes) else { continue };
        cache.hear(&packet, 3);
        let asker = Asker { address: SocketAddr::from(([10, 0, 0, 9], port)), is_near: true };
        let mut out = link.hear(&packet, asker, &kin, now, |_| 0).out;
        now += Duration::from_millis(100);
        out.extend(link.tick(now));
        heard.sent.extend(out.into_iter().map(|out| out.bytes));
    }
    assert!(heard.sent.iter().all(|bytes| packet::parse(bytes).is_some()));
    let _ = cache.missing();
    heard.found = cache.servers();
    heard
}
