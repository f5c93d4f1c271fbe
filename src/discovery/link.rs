//! One link's claim to a name: probed, announced, defended, given up (RFC 6762, sections 8 to 10).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use simple_dns::{CLASS, Packet, QTYPE, Question, ResourceRecord};

use super::answers::{Answers, Asker, Out};
use super::packet;
use super::records::{Kind, Records};

/// Probes before a name is claimed, and the time after each.
const PROBES: u32 = 3;
const PROBE_TIME: Duration = Duration::from_millis(250);
/// The wait of who has lost against a probe of the same instant.
const DEFEAT_TIME: Duration = Duration::from_secs(1);
/// Announcements; the first wait between two, each further one is twice as long.
const ANNOUNCEMENTS: u32 = 3;
const ANNOUNCE_TIME: Duration = Duration::from_secs(1);

/// How far a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// So many probes are sent; what comes next is due then.
    Probing(u32, Instant),
    /// So many announcements are sent; the next one is due then.
    Announcing(u32, Instant),
    Settled,
}

/// What a packet has come to.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) out: Vec<Out>,
    pub(super) conflict: Option<Conflict>,
}

/// Somebody else has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conflict {
    /// It was not ours yet.
    Taken,
    /// It was ours, and is probed again: whoever has it answers.
    Disputed,
}

/// What is this machine's own, on whatever link it is heard: a bridge may carry it from one to
/// another.
#[derive(Debug, Default)]
pub(super) struct Kin {
    pub(super) records: Vec<ResourceRecord<'static>>,
    pub(super) addresses: Vec<IpAddr>,
}

impl Kin {
    fn includes(&self, record: &ResourceRecord<'_>) -> bool {
        use simple_dns::rdata::RData;
        let address = match &record.rdata {
            RData::A(a) => Some(IpAddr::from(a.address.to_be_bytes())),
            RData::AAAA(aaaa) => Some(IpAddr::from(aaaa.address.to_be_bytes())),
            _ => None,
        };
        address.is_some_and(|address| self.addresses.contains(&address))
            || self.records.contains(record)
    }
}

/// A claim on one link.
#[derive(Debug)]
pub(super) struct Link {
    records: Records,
    stage: Stage,
    answers: Answers,
}

impl Link {
    /// A claim that is probed from an instant on.
    pub(super) fn new(records: Records, start: Instant) -> Self {
        let answers = Answers::new(&records, start);
        Self { records, stage: Stage::Probing(0, start), answers }
    }

    pub(super) fn records(&self) -> &Records {
        &self.records
    }

    /// Whether the name is claimed on this link.
    pub(super) fn is_claimed(&self) -> bool {
        !matches!(self.stage, Stage::Probing(..))
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        let stage = match self.stage {
            Stage::Probing(_, due) | Stage::Announcing(_, due) => Some(due),
            Stage::Settled => None,
        };
        stage.into_iter().chain(self.answers.due()).min()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Out> {
        let mut out = self.answers.tick(&self.records, now);
        match self.stage {
            Stage::Probing(PROBES.., due) if due <= now => out.push(self.announce(0, now)),
            Stage::Probing(sent, due) if due <= now => {
                self.stage = Stage::Probing(sent + 1, now + PROBE_TIME);
                out.push(Out::to_all(&self.probe()));
            }
            Stage::Announcing(sent, due) if due <= now => out.push(self.announce(sent, now)),
            Stage::Probing(..) | Stage::Announcing(..) | Stage::Settled => {}
        }
        out
    }

    /// Takes a packet in.
    pub(super) fn hear(
        &mut self,
        packet: &Packet<'_>,
        asker: Asker,
        kin: &Kin,
        now: Instant,
        chance: impl Fn(u64) -> u64,
    ) -> Heard {
        let mut heard = Heard::default();
        if packet::is_response(packet) {
            if asker.address.port() != packet::PORT {
                return heard;
            }
            let told = packet.answers.iter().chain(&packet.additional_records);
            let mut others = told.filter(|r| self.records.is_disputed_by(r) && !kin.includes(r));
            if others.next().is_some() {
                let is_ours = self.is_claimed();
                heard.conflict = Some(if is_ours { Conflict::Disputed } else { Conflict::Taken });
                if is_ours {
                    self.stage = Stage::Probing(0, now);
                }
            }
            self.answers.heard(&self.records, packet);
        } else if self.is_claimed() {
            heard.out = self.answers.ask(&self.records, packet, asker, now, chance);
        } else if self.loses_to(packet) {
            self.stage = Stage::Probing(0, now + DEFEAT_TIME);
        }
        heard
    }

    /// Takes up other records: another name, other addresses. What was told and is no longer so is
    /// taken back, unless somebody else may have it now.
    pub(super) fn change(&mut self, records: Records, now: Instant) -> Vec<Out> {
        let is_same_name = self.records.names().eq(records.names());
        let gone: Vec<_> = self
            .records
            .of(Kind::Shared)
            .chain(self.records.of(Kind::Unique).filter(|_| is_same_name))
            .filter(|old| !records.all.iter().any(|(_, new)| new == *old))
            .cloned()
            .collect();
        let out = if self.is_claimed() { farewell(gone) } else { Vec::new() };
        self.answers = Answers::new(&records, now);
        self.records = records;
        if self.is_claimed() {
            self.stage = Stage::Announcing(0, now);
        }
        out
    }

    /// Begins to claim from the beginning.
    pub(super) fn claim_again(&mut self, start: Instant) {
        self.stage = Stage::Probing(0, start);
    }

    /// Takes back all that was told.
    pub(super) fn goodbye(&mut self) -> Vec<Out> {
        if !self.is_claimed() {
            return Vec::new();
        }
        let told = self.records.of(Kind::Unique).chain(self.records.of(Kind::Shared));
        farewell(told.cloned().collect())
    }

    fn announce(&mut self, sent: u32, now: Instant) -> Out {
        self.stage = match sent + 1 {
            ANNOUNCEMENTS.. => Stage::Settled,
            sent => Stage::Announcing(sent, now + ANNOUNCE_TIME * (1 << (sent - 1))),
        };
        self.answers.all_told(now);
        let mut packet = packet::response(0);
        let all = self.records.of(Kind::Unique).chain(self.records.of(Kind::Shared));
        packet.answers = all.cloned().collect();
        Out::to_all(&packet)
    }

    /// Asks for the names, and says what is going to be claimed of them. An answer to everybody is
    /// asked for: whoever shares the port on this machine might get one to us alone.
    fn probe(&self) -> Packet<'static> {
        let mut packet = Packet::new_query(0);
        let names = self.records.names();
        let question = |name: &simple_dns::Name<'static>| {
            Question::new(name.clone(), QTYPE::ANY, CLASS::IN.into(), false)
        };
        packet.questions = names.map(question).collect();
        let claimed = self.records.of(Kind::Unique).cloned();
        packet.name_servers = claimed.map(|record| record.with_cache_flush(false)).collect();
        packet
    }

    /// Whether a probe that came while we probe wins: its records come later in their order.
    fn loses_to(&self, packet: &Packet<'_>) -> bool {
        if packet.name_servers.contains(self.records.id()) {
            return false;
        }
        self.records.names().any(|name| {
            let ranks = |records: &mut dyn Iterator<Item = &ResourceRecord<'_>>| {
                let here = records.filter(|record| record.name == *name);
                let mut ranks: Vec<_> = here.map(packet::rank).collect();
                ranks.sort();
                ranks
            };
            let ours = ranks(&mut self.records.of(Kind::Unique).map(|record| record as &_));
            let theirs = ranks(&mut packet.name_servers.iter());
            theirs > ours
        })
    }
}

/// Says that records no longer hold.
fn farewell(mut records: Vec<ResourceRecord<'static>>) -> Vec<Out> {
    if records.is_empty() {
        return Vec::new();
    }
    for record in &mut records {
        record.ttl = 0;
    }
    let mut packet = packet::response(0);
    packet.answers = records;
    vec![Out::to_all(&packet)]
}
