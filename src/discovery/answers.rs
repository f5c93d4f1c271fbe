//! Which questions are answered, when, and to whom (RFC 6762, sections 6 and 7).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use simple_dns::{Packet, PacketFlag};

use super::packet::{self, PORT};
use super::records::{Kind, Records};

/// Answers to the group that wait at once.
const WAITING: usize = 64;
/// The shortest time between two tellings of a record to the group.
const REST: Duration = Duration::from_secs(1);
/// The same where a claim has to be defended.
const DEFENCE_REST: Duration = Duration::from_millis(250);
/// Questions of a packet that are answered; a person's program asks a few.
const QUESTIONS: usize = 32;
/// Answers to single askers within a second: more are dropped, so that nobody is flooded from here.
const SINGLE: u32 = 40;
/// Seconds that an asker who knows only plain DNS may keep an answer.
const LEGACY_TTL: u32 = 10;

/// A packet to send.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Out {
    pub(super) bytes: Vec<u8>,
    /// Somebody alone, or everybody on the link.
    pub(super) to: Option<SocketAddr>,
}

impl Out {
    /// To everybody on the link.
    pub(super) fn to_all(packet: &Packet<'_>) -> Self {
        Self { bytes: packet::bytes(packet), to: None }
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) address: SocketAddr,
    /// Whether the address is one of this link, so that it may be answered alone.
    pub(super) is_near: bool,
}

/// What is to be answered on one link.
#[derive(Debug)]
pub(super) struct Answers {
    waiting: Vec<Waiting>,
    /// When each record was last told to the group.
    told: Vec<Option<Instant>>,
    /// Answers to single askers since an instant.
    single: (Instant, u32),
}

#[derive(Debug)]
struct Waiting {
    due: Instant,
    which: Vec<usize>,
    from: SocketAddr,
    rest: Duration,
}

impl Answers {
    pub(super) fn new(records: &Records, now: Instant) -> Self {
        Self { waiting: Vec::new(), told: vec![None; records.all.len()], single: (now, 0) }
    }

    /// When the next answer is to be sent.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.due).min()
    }

    /// Notes that everything was told.
    pub(super) fn all_told(&mut self, now: Instant) {
        self.told.fill(Some(now));
        self.waiting.clear();
    }

    /// Takes a query in. What is to be answered at once is in the result, the rest waits.
    pub(super) fn ask(
        &mut self,
        records: &Records,
        packet: &Packet<'_>,
        asker: Asker,
        now: Instant,
        chance: impl Fn(u64) -> u64,
    ) -> Vec<Out> {
        let is_legacy = asker.address.port() != PORT;
        let is_known = |index: usize| {
            let record = records.get(index);
            packet.answers.iter().any(|known| known == record && known.ttl >= record.ttl / 2)
        };
        if packet.questions.is_empty() {
            // More of what somebody knows whose question did not fit with it.
            for waiting in self.waiting.iter_mut().filter(|w| w.from == asker.address) {
                waiting.which.retain(|index| !is_known(*index));
            }
            return Vec::new();
        }
        if packet.questions.len() > QUESTIONS {
            return Vec::new();
        }
        let is_probe = !packet.name_servers.is_empty();
        let (mut to_all, mut to_one) = (Vec::new(), Vec::new());
        for question in &packet.questions {
            for index in records.answers(question).into_iter().filter(|index| !is_known(*index)) {
                // Who shares the port with others may not hear an answer alone, so it is the second
                // choice.
                let alone = question.unicast_response
                    && asker.is_near
                    && !is_probe
                    && self.told_within(index, REST, now);
                let list = if is_legacy || alone { &mut to_one } else { &mut to_all };
                if !list.contains(&index) {
                    list.push(index);
                }
            }
        }
        if !to_all.is_empty() && self.waiting.len() < WAITING {
            let is_shared = to_all.iter().any(|index| records.all[*index].0 == Kind::Shared);
            let wait = if packet.has_flags(PacketFlag::TRUNCATION) {
                400 + chance(100)
            } else if is_shared {
                20 + chance(100)
            } else {
                0
            };
            self.waiting.push(Waiting {
                due: now + Duration::from_millis(wait),
                which: to_all,
                from: asker.address,
                rest: if is_probe { DEFENCE_REST } else { REST },
            });
        }
        let mut out = self.tick(records, now);
        if !to_one.is_empty() && asker.is_near && self.may_tell_one(now) {
            let answer =
                if is_legacy { legacy(records, &to_one, packet) } else { answer(records, &to_one) };
            out.push(Out { bytes: packet::bytes(&answer), to: Some(asker.address) });
        }
        out
    }

    /// Takes an answer of somebody else in: what the link has heard need not be told again.
    pub(super) fn heard(&mut self, records: &Records, packet: &Packet<'_>) {
        let is_told = |index: &usize| {
            let record = records.get(*index);
            packet.answers.iter().any(|told| told == record && told.ttl >= record.ttl)
        };
        for waiting in &mut self.waiting {
            waiting.which.retain(|index| !is_told(index));
        }
    }

    /// What is due, as one packet.
    pub(super) fn tick(&mut self, records: &Records, now: Instant) -> Vec<Out> {
        let mut which = Vec::new();
        let mut later = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.due > now {
                later.push(waiting);
                continue;
            }
            for index in waiting.which {
                if !which.contains(&index) && !self.told_within(index, waiting.rest, now) {
                    which.push(index);
                }
            }
        }
        self.waiting = later;
        if which.is_empty() {
            return Vec::new();
        }
        for index in &which {
            self.told[*index] = Some(now);
        }
        vec![Out::to_all(&answer(records, &which))]
    }

    fn told_within(&self, index: usize, time: Duration, now: Instant) -> bool {
        self.told[index].is_some_and(|told| now.saturating_duration_since(told) < time)
    }

    fn may_tell_one(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.single.0) >= Duration::from_secs(1) {
            self.single = (now, 0);
        }
        self.single.1 += 1;
        self.single.1 <= SINGLE
    }
}

fn answer(records: &Records, which: &[usize]) -> Packet<'static> {
    let mut packet = packet::response(0);
    packet.answers = which.iter().map(|index| records.get(*index).clone()).collect();
    let beside = records.beside(which).into_iter();
    packet.additional_records = beside.map(|index| records.get(index).clone()).collect();
    packet
}

/// An answer to somebody who asked from another port, and so knows only plain DNS.
fn legacy<'a>(records: &Records, which: &[usize], query: &Packet<'a>) -> Packet<'a> {
    let mut packet = answer(records, which);
    packet.set_id(query.id());
    for record in packet.answers.iter_mut().chain(&mut packet.additional_records) {
        record.ttl = record.ttl.min(LEGACY_TTL);
        record.cache_flush = false;
    }
    packet.questions.clone_from(&query.questions);
    packet
}
