//! What was heard while asking, and what it comes to.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, Question, ResourceRecord, TYPE};

use super::packet::name;
use super::records::OPENCODE;

/// Records that are kept. Those of a thousand servers fit.
const RECORDS: usize = 8192;
/// Bytes of a version or a service's name that are kept.
const TEXT: usize = 64;

/// A server that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What its service is called, as it was told.
    pub instance: String,
    /// The name of its machine, `NAME.local`.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// The path its API is below: empty, or `/prefix`.
    pub base_path: String,
    /// Its version, if it told one.
    pub version: Option<String>,
    /// Whether it wants a password, if it told that.
    pub auth: Option<bool>,
    /// Where it can be reached, the best first.
    pub addresses: Vec<SocketAddr>,
}

impl Found {
    /// The address to use it by.
    #[must_use]
    pub fn url(&self) -> String {
        let host = self.addresses.first().map_or_else(
            || format!("{}:{}", self.name, self.port),
            |address| match address {
                // Without the zone, which no URL of a browser may have.
                SocketAddr::V6(v6) => format!("[{}]:{}", v6.ip(), v6.port()),
                SocketAddr::V4(v4) => v4.to_string(),
            },
        );
        format!("http://{host}{}", self.base_path)
    }
}

/// Records that came in answer to a question.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// Each with the index of the interface that it came in by.
    records: Vec<(ResourceRecord<'static>, u32)>,
}

impl Cache {
    /// Keeps what a packet tells, and drops what it takes back.
    pub(super) fn hear(&mut self, packet: &Packet<'_>, interface: u32) {
        for record in packet.answers.iter().chain(&packet.additional_records) {
            let is_of_use = matches!(
                record.rdata,
                RData::PTR(_) | RData::SRV(_) | RData::TXT(_) | RData::A(_) | RData::AAAA(_)
            );
            if !is_of_use || record.class != CLASS::IN {
                continue;
            }
            let place = self.records.iter().position(|(r, i)| r == record && *i == interface);
            match (record.ttl, place) {
                (0, Some(place)) => _ = self.records.swap_remove(place),
                (1.., None) if self.records.len() < RECORDS => {
                    self.records.push((record.clone().into_owned(), interface));
                }
                _ => {}
            }
        }
    }

    /// What was heard of a name and a type.
    fn of<'c>(&'c self, at: &'c Name<'c>, kind: TYPE) -> impl Iterator<Item = &'c RData<'static>> {
        let all = self.records.iter().map(|(record, _)| record);
        let here = all.filter(move |r| r.rdata.type_code() == kind && r.name == *at);
        here.map(|record| &record.rdata)
    }

    /// The services that were heard of.
    fn instances(&self) -> Vec<Name<'static>> {
        let mut found: Vec<Name<'static>> = Vec::new();
        let service = name(OPENCODE);
        for rdata in self.of(&service, TYPE::PTR) {
            if let RData::PTR(to) = rdata
                && to.0.is_subdomain_of(&service)
                && !found.contains(&to.0)
            {
                found.push(to.0.clone());
            }
        }
        found
    }

    /// What is already known of the services, so that nobody tells it again.
    pub(super) fn known_services(&self, most: usize) -> Vec<ResourceRecord<'static>> {
        let is_one = |record: &&ResourceRecord<'static>| matches!(record.rdata, RData::PTR(_));
        self.records.iter().map(|(r, _)| r).filter(is_one).take(most).cloned().collect()
    }

    /// The questions that are still open about the services that were heard of.
    pub(super) fn missing(&self) -> Vec<Question<'static>> {
        let mut open = Vec::new();
        for instance in self.instances() {
            for kind in [TYPE::SRV, TYPE::TXT] {
                if self.of(&instance, kind).next().is_none() {
                    open.push(question(instance.clone(), kind));
                }
            }
            for rdata in self.of(&instance, TYPE::SRV) {
                if let RData::SRV(srv) = rdata
                    && self.addresses(&srv.target, srv.port).is_empty()
                {
                    open.push(question(srv.target.clone(), TYPE::A));
                    open.push(question(srv.target.clone(), TYPE::AAAA));
                }
            }
        }
        open
    }

    /// The servers that can be reached, in the order of their names.
    pub(super) fn servers(&self) -> Vec<Found> {
        let mut found: Vec<Found> =
            self.instances().iter().filter_map(|instance| self.server(instance)).collect();
        found.sort_by(|a, b| (&a.name, a.port, &a.instance).cmp(&(&b.name, b.port, &b.instance)));
        found
    }

    fn server(&self, instance: &Name<'static>) -> Option<Found> {
        let srv = self.of(instance, TYPE::SRV).find_map(|rdata| match rdata {
            RData::SRV(srv) if srv.port > 0 => Some(srv),
            _ => None,
        })?;
        let addresses = self.addresses(&srv.target, srv.port);
        if addresses.is_empty() {
            return None;
        }
        let mut found = Found {
            instance: short(instance.get_labels().first()?.as_ref()),
            name: host_name(&srv.target)?,
            port: srv.port,
            base_path: String::new(),
            version: None,
            auth: None,
            addresses,
        };
        for rdata in self.of(instance, TYPE::TXT) {
            let RData::TXT(txt) = rdata else { continue };
            for (key, value) in txt.iter_raw() {
                let value = value.unwrap_or_default();
                match key.to_ascii_lowercase().as_slice() {
                    b"path" => found.base_path = base_path(value),
                    b"version" => found.version = Some(short(value)),
                    b"auth" => found.auth = is_yes(value),
                    _ => {}
                }
            }
        }
        Some(found)
    }

    /// The addresses of a name, those that work everywhere first.
    pub(super) fn addresses(&self, at: &Name<'_>, port: u16) -> Vec<SocketAddr> {
        let mut found = BTreeSet::new();
        for (record, interface) in &self.records {
            if record.name != *at {
                continue;
            }
            let (rank, address) = match &record.rdata {
                RData::A(a) => (0, SocketAddr::from((Ipv4Addr::from(a.address), port))),
                RData::AAAA(aaaa) => {
                    let ip = Ipv6Addr::from(aaaa.address);
                    // One that holds on its link alone is nothing without the link.
                    let zone = if ip.is_unicast_link_local() { *interface } else { 0 };
                    let rank = if zone == 0 { 1 } else { 2 };
                    (rank, SocketAddrV6::new(ip, port, 0, zone).into())
                }
                _ => continue,
            };
            if is_somebody(address.ip()) {
                found.insert((rank, address));
            }
        }
        found.into_iter().map(|(_, address)| address).collect()
    }
}

/// A question to everybody.
pub(super) fn question(name: Name<'static>, kind: TYPE) -> Question<'static> {
    Question::new(name, kind.into(), CLASS::IN.into(), false)
}

/// Whether an address can be that of another machine. Nobody on the network may send a client to
/// what listens on its own loopback.
fn is_somebody(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_all = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_all)
}

/// A name that may stand in a URL.
fn host_name(name: &Name<'_>) -> Option<String> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let is_plain = name.as_bytes().all(|label| label.iter().all(plain));
    is_plain.then(|| name.to_string().to_ascii_lowercase())
}

/// The path in a service's text, without the slash at its end; what cannot stand in a URL is none.
fn base_path(value: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(byte);
    match std::str::from_utf8(value) {
        Ok(path) if path.starts_with('/') && value.iter().all(plain) => {
            path.trim_end_matches('/').to_owned()
        }
        _ => String::new(),
    }
}

fn is_yes(value: &[u8]) -> Option<bool> {
    match value.to_ascii_lowercase().as_slice() {
        b"true" | b"1" | b"yes" => Some(true),
        b"false" | b"0" | b"no" => Some(false),
        _ => None,
    }
}

fn short(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text[..crate::text::boundary(&text, TEXT)].to_owned()
}
