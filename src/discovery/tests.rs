//! A claim and a client's memory, driven packet by packet with a clock of their own.

mod answering;
mod claiming;
mod packets;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use simple_dns::rdata::{A, RData, SRV, TXT};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, ResourceRecord, TYPE};

use super::answers::{Asker, Out};
use super::cache::{Cache, question};
use super::link::{Conflict, Heard, Kin, Link};
use super::packet::{self, name};
use super::records::{Claim, Kind, Records};
use super::*;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn service() -> Service {
    Service {
        domain: "box.local".into(),
        listen: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        port: 4096,
        base_path: String::new(),
        auth: true,
    }
}

fn claim(id: &str) -> Claim {
    Claim::new(&service(), id.into())
}

fn records(id: &str, address: IpAddr) -> Records {
    Records::new(&claim(id), &[address])
}

fn all(records: &Records) -> Vec<ResourceRecord<'static>> {
    records.all.iter().map(|(_, record)| record.clone()).collect()
}

/// Those that nobody else may have.
fn unique(records: &Records) -> Vec<ResourceRecord<'static>> {
    records.of(Kind::Unique).cloned().collect()
}

fn near(port: u16) -> Asker {
    Asker { address: SocketAddr::from(([10, 0, 0, 9], port)), is_near: true }
}

/// A link and its time.
struct Stage {
    link: Link,
    kin: Kin,
    now: Instant,
}

impl Stage {
    /// A claim that nobody has heard of yet.
    fn new(id: &str) -> Self {
        let now = Instant::now();
        let records = records(id, HOME);
        let kin = Kin { records: all(&records), addresses: vec![HOME] };
        Self { link: Link::new(records, now), kin, now }
    }

    /// One whose name is claimed, announced and no longer fresh.
    fn settled(id: &str) -> Self {
        let mut stage = Self::new(id);
        while stage.step().is_some() {}
        stage.now += Duration::from_secs(10);
        stage
    }

    /// Goes on to what is due next.
    fn step(&mut self) -> Option<Vec<Out>> {
        self.now = self.link.due()?;
        Some(self.link.tick(self.now))
    }

    fn hear(&mut self, packet: &Packet<'_>, from: Asker) -> Heard {
        let bytes = packet::bytes(packet);
        let packet = packet::parse(&bytes).unwrap();
        self.link.hear(&packet, from, &self.kin, self.now, |_| 0)
    }

    /// The answer to a question, at once or when it is due.
    fn ask(&mut self, query: &Packet<'_>, from: Asker) -> Vec<Out> {
        let heard = self.hear(query, from);
        assert_eq!(heard.conflict, None);
        let mut out = heard.out;
        self.now += Duration::from_millis(600);
        out.extend(self.link.tick(self.now));
        out
    }
}

fn query(names: &[(&str, TYPE)]) -> Packet<'static> {
    let mut packet = Packet::new_query(7);
    packet.questions = names.iter().map(|(at, kind)| question(name(at), *kind)).collect();
    packet
}

fn telling(records: Vec<ResourceRecord<'static>>) -> Packet<'static> {
    let mut packet = packet::response(0);
    packet.answers = records;
    packet
}

fn read(out: &Out) -> Packet<'_> {
    packet::parse(&out.bytes).unwrap()
}

fn told<'p>(packet: &'p Packet<'_>, kind: TYPE) -> Vec<&'p RData<'p>> {
    let all = packet.answers.iter().map(|record| &record.rdata);
    all.filter(|rdata| rdata.type_code() == kind).collect()
}

fn a(address: [u8; 4]) -> RData<'static> {
    RData::A(A { address: u32::from_be_bytes(address) })
}
