//! What a server has to tell on one link: its name's addresses, and its service.
//!
//! The name has a record of its own that no other server's is like, so that two servers of one
//! machine, whose addresses are the same, cannot both take it.

use std::net::IpAddr;

use simple_dns::rdata::{NSEC, PTR, RData, SRV, TXT};
use simple_dns::{CLASS, Name, QCLASS, QTYPE, Question, ResourceRecord, TYPE};
use simple_mdns::conversion_utils::ip_addr_to_resource_record;

use super::packet::{below, name};

/// The service that is this program's own.
pub(super) const OPENCODE: &str = "_opencode._tcp.local";
/// The service that other programs list.
const HTTP: &str = "_http._tcp.local";
/// What lists the kinds of services (RFC 6763, section 9).
const KINDS: &str = "_services._dns-sd._udp.local";

/// Seconds that records with a host's name hold (RFC 6762, section 10).
const HOST_TTL: u32 = 120;
/// Seconds that the others hold.
const OTHER_TTL: u32 = 4500;
/// Addresses of one link that are told, so that a packet stays below an Ethernet frame.
const ADDRESSES: usize = 16;
/// Where the record is that nobody else has.
const ID: usize = 0;
/// Bytes of a label.
const LABEL: usize = 63;

/// A name that a server claims, and what it tells of itself.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// The name as it was wanted.
    wanted: String,
    /// How often it had to be changed.
    changes: u32,
    /// Random, so that nobody else tells the same.
    id: String,
    port: u16,
    path: String,
    auth: bool,
}

impl Claim {
    pub(super) fn new(service: &super::Service, id: String) -> Self {
        Self {
            wanted: service.domain.clone(),
            changes: 0,
            id,
            port: service.port,
            path: format!("{}/", service.base_path),
            auth: service.auth,
        }
    }

    /// The name it stands at: `opencode.local`, `opencode-2.local`, …
    pub(super) fn domain(&self) -> String {
        let Some(number) = self.changes.checked_add(1).filter(|number| *number > 1) else {
            return self.wanted.clone();
        };
        let (first, rest) = self.wanted.split_once('.').unwrap_or((&self.wanted, "local"));
        let suffix = format!("-{number}");
        let kept = crate::text::boundary(first, LABEL - suffix.len());
        format!("{}{suffix}.{rest}", &first[..kept])
    }

    /// Goes on to the next name, since this one is somebody else's.
    pub(super) fn change(&mut self) {
        self.changes = self.changes.saturating_add(1);
    }

    /// What services of this server are called: the name without its `.local`.
    fn instance(&self) -> String {
        let domain = self.domain();
        let label = domain.strip_suffix(".local").unwrap_or(&domain);
        label[..crate::text::boundary(label, LABEL)].to_owned()
    }
}

/// What a record is to those who hear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody else has one of this name and type.
    Unique,
    /// Others may have the same.
    Shared,
    /// Says which types there are at a name, and so which there are not.
    Negative,
}

/// All records of one link, in a fixed order.
#[derive(Debug, Clone)]
pub(super) struct Records {
    pub(super) all: Vec<(Kind, ResourceRecord<'static>)>,
    host: Name<'static>,
    instances: [Name<'static>; 2],
}

impl Records {
    pub(super) fn new(claim: &Claim, addresses: &[IpAddr]) -> Self {
        let host = name(&claim.domain());
        let instance = claim.instance();
        let instances = [OPENCODE, HTTP].map(|service| below(&instance, service));
        let mut all = Vec::new();
        let record =
            |at: &Name<'static>, ttl, rdata| ResourceRecord::new(at.clone(), CLASS::IN, ttl, rdata);
        let mut unique = |record: ResourceRecord<'static>| {
            all.push((Kind::Unique, record.with_cache_flush(true)));
        };
        unique(record(&host, HOST_TTL, RData::TXT(text(&[("id", &claim.id)]))));
        for address in addresses.iter().take(ADDRESSES) {
            unique(ip_addr_to_resource_record(&host, *address, HOST_TTL));
        }
        let auth = if claim.auth { "true" } else { "false" };
        let about = [("path", claim.path.as_str()), ("version", VERSION), ("auth", auth)];
        for instance in &instances {
            let (port, target) = (claim.port, host.clone());
            let place = SRV { priority: 0, weight: 0, port, target };
            unique(record(instance, HOST_TTL, RData::SRV(place)));
            unique(record(instance, OTHER_TTL, RData::TXT(text(&about))));
        }
        let mut shared = |at: &str, to: Name<'static>| {
            all.push((Kind::Shared, record(&name(at), OTHER_TTL, RData::PTR(PTR(to)))));
        };
        for (service, instance) in [OPENCODE, HTTP].into_iter().zip(&instances) {
            shared(service, instance.clone());
            shared(KINDS, name(service));
        }
        for at in std::iter::once(&host).chain(&instances) {
            let mut types: Vec<TYPE> = Vec::new();
            let own =
                all.iter().filter(|(kind, record)| *kind == Kind::Unique && record.name == *at);
            for (_, record) in own {
                let kind = record.rdata.type_code();
                if !types.contains(&kind) {
                    types.push(kind);
                }
            }
            let nothing_else = RData::NSEC(NSEC::from_types(at.clone(), &types));
            let negative = record(at, HOST_TTL, nothing_else).with_cache_flush(true);
            all.push((Kind::Negative, negative));
        }
        Self { all, host, instances }
    }

    pub(super) fn get(&self, index: usize) -> &ResourceRecord<'static> {
        &self.all[index].1
    }

    /// The names that are to be this server's alone.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name<'static>> {
        std::iter::once(&self.host).chain(&self.instances)
    }

    /// Those of a kind.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &ResourceRecord<'static>> {
        self.all.iter().filter(move |(k, _)| *k == kind).map(|(_, record)| record)
    }

    /// The record that nobody else has.
    pub(super) fn id(&self) -> &ResourceRecord<'static> {
        self.get(ID)
    }

    /// Whether somebody who tells this claims a name of ours.
    pub(super) fn is_disputed_by(&self, record: &ResourceRecord<'_>) -> bool {
        let kind = record.rdata.type_code();
        let is_host = self.host == record.name && matches!(kind, TYPE::A | TYPE::AAAA | TYPE::TXT);
        let is_instance = matches!(kind, TYPE::SRV | TYPE::TXT)
            && self.instances.iter().any(|own| own == &record.name);
        record.class == CLASS::IN && record.ttl > 0 && (is_host || is_instance)
    }

    /// The records that answer a question. A type that a name of ours has not is answered by what
    /// it has.
    pub(super) fn answers(&self, question: &Question<'_>) -> Vec<usize> {
        if !matches!(question.qclass, QCLASS::ANY | QCLASS::CLASS(CLASS::IN)) {
            return Vec::new();
        }
        let at_name = |(index, (kind, record)): (usize, &(Kind, ResourceRecord<'_>))| {
            (record.name == question.qname).then_some((index, *kind, record.rdata.type_code()))
        };
        let here: Vec<_> = self.all.iter().enumerate().filter_map(at_name).collect();
        let wanted = |(index, kind, of): &(usize, Kind, TYPE)| {
            let fits = match question.qtype {
                QTYPE::ANY => *kind != Kind::Negative,
                QTYPE::TYPE(wanted) => *of == wanted,
                QTYPE::IXFR | QTYPE::AXFR | QTYPE::MAILB | QTYPE::MAILA => false,
            };
            fits.then_some(*index)
        };
        let found: Vec<_> = here.iter().filter_map(wanted).collect();
        if !found.is_empty() {
            return found;
        }
        let negative = here.iter().filter(|(_, kind, _)| *kind == Kind::Negative);
        negative.map(|(index, ..)| *index).collect()
    }

    /// What is told beside some records, so that nobody has to ask again.
    pub(super) fn beside(&self, told: &[usize]) -> Vec<usize> {
        let mut wanted: Vec<&Name<'_>> = Vec::new();
        for index in told {
            match &self.get(*index).rdata {
                RData::PTR(to) => wanted.extend([&to.0, &self.host]),
                RData::SRV(_) | RData::A(_) | RData::AAAA(_) => wanted.push(&self.host),
                _ => {}
            }
        }
        let fits = |(index, (kind, record)): (usize, &(Kind, ResourceRecord<'_>))| {
            let is_named = wanted.iter().any(|name| **name == record.name);
            let is_worth_it = match kind {
                Kind::Unique => index != ID,
                Kind::Shared => false,
                Kind::Negative => record.name == self.host,
            };
            (is_named && is_worth_it && !told.contains(&index)).then_some(index)
        };
        self.all.iter().enumerate().filter_map(fits).collect()
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A text record. What does not fit is left out: only a very long base path can be that.
fn text(attributes: &[(&str, &str)]) -> TXT<'static> {
    let mut txt = TXT::new();
    for (key, value) in attributes {
        let _ = txt.add_attribute(key, Some(value.as_bytes()));
    }
    txt
}
