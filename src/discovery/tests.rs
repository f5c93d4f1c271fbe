//! A claim and a client's memory, driven packet by packet with a clock of their own.

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
        let kin = Kin {
            records: records.all.iter().map(|(_, r)| r.clone()).collect(),
            addresses: vec![HOME],
        };
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

#[test]
fn a_name_is_probed_three_times_and_then_announced_with_everything() {
    let mut stage = Stage::new("1");
    let start = stage.now;
    for probe in 0..3 {
        let out = stage.step().unwrap();
        assert_eq!(stage.now - start, Duration::from_millis(250) * probe);
        let packet = read(&out[0]);
        assert!(!packet::is_response(&packet) && !stage.link.is_claimed());
        assert!(packet.questions.iter().all(|q| q.qtype == QTYPE::ANY && !q.unicast_response));
        assert_eq!(packet.questions.len(), 3);
        assert!(packet.name_servers.iter().any(|r| r.rdata == a([10, 0, 0, 1])));
        assert!(packet.name_servers.iter().all(|r| !r.cache_flush));
    }
    for after in [750, 1750, 3750] {
        let out = stage.step().unwrap();
        assert_eq!(stage.now - start, Duration::from_millis(after));
        assert!(stage.link.is_claimed());
        let packet = read(&out[0]);
        assert!(packet::is_response(&packet) && packet.has_flags(PacketFlag::AUTHORITATIVE_ANSWER));
        assert!(packet.questions.is_empty());
        for kind in [TYPE::A, TYPE::SRV, TYPE::TXT, TYPE::PTR] {
            let all: Vec<_> =
                packet.answers.iter().filter(|r| r.rdata.type_code() == kind).collect();
            assert!(!all.is_empty() && all.iter().all(|r| r.cache_flush == (kind != TYPE::PTR)));
        }
        assert_eq!(told(&packet, TYPE::PTR).len(), 4);
    }
    assert_eq!(stage.link.due(), None);
}

#[test]
fn questions_are_not_answered_before_the_name_is_claimed() {
    let mut stage = Stage::new("1");
    stage.step();
    let heard = stage.hear(&query(&[("box.local", TYPE::A)]), near(5353));
    assert!(heard.out.is_empty());
}

#[test]
fn a_name_that_somebody_has_is_taken_and_the_next_one_is_tried() {
    let mut stage = Stage::new("1");
    stage.step();
    let other = records("2", IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5)));
    let all = telling(other.of(Kind::Unique).cloned().collect());
    assert_eq!(stage.hear(&all, near(5353)).conflict, Some(Conflict::Taken));
    let mut claim = claim("1");
    for expected in ["box-2.local", "box-3.local"] {
        claim.change();
        assert_eq!(claim.domain(), expected);
    }
    stage.link.change(Records::new(&claim, &[HOME]), stage.now);
    assert_eq!(stage.hear(&all, near(5353)).conflict, None);
    // An answer from another port is none, and one that takes back claims nothing.
    let mut stage = Stage::new("1");
    assert_eq!(stage.hear(&all, near(40000)).conflict, None);
    let mut gone: Vec<_> = other.of(Kind::Unique).cloned().collect();
    for record in &mut gone {
        record.ttl = 0;
    }
    assert_eq!(stage.hear(&telling(gone), near(5353)).conflict, None);
}

#[test]
fn two_servers_of_one_machine_cannot_both_have_a_name() {
    // The addresses are the same; the record that is each one's own is not.
    let mut stage = Stage::new("1");
    let other = records("2", HOME);
    let only_addresses = other.of(Kind::Unique).filter(|r| r.rdata.type_code() == TYPE::A);
    let addresses = telling(only_addresses.cloned().collect());
    assert_eq!(stage.hear(&addresses, near(5353)).conflict, None);
    let all = telling(other.of(Kind::Unique).cloned().collect());
    assert_eq!(stage.hear(&all, near(5353)).conflict, Some(Conflict::Taken));
}

#[test]
fn what_comes_back_over_a_bridge_is_no_conflict() {
    let mut stage = Stage::settled("1");
    let second = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1));
    let there = records("1", second);
    let echo = telling(there.of(Kind::Unique).cloned().collect());
    assert_eq!(stage.hear(&echo, near(5353)).conflict, Some(Conflict::Disputed));
    let mut stage = Stage::settled("1");
    stage.kin.addresses.push(second);
    assert_eq!(stage.hear(&echo, near(5353)).conflict, None);
    assert!(stage.link.is_claimed());
}

#[test]
fn a_claimed_name_is_probed_again_before_it_is_given_up() {
    let mut stage = Stage::settled("1");
    let other = ResourceRecord::new(name("box.local"), CLASS::IN, 120, a([10, 0, 0, 5]));
    let claim = telling(vec![other]);
    assert_eq!(stage.hear(&claim, near(5353)).conflict, Some(Conflict::Disputed));
    let probe = stage.step().unwrap();
    assert!(!packet::is_response(&read(&probe[0])));
    assert_eq!(stage.hear(&claim, near(5353)).conflict, Some(Conflict::Taken));
}

#[test]
fn of_two_probes_at_once_the_later_in_order_wins() {
    let (mut low, mut high) = (Stage::new("1"), Stage::new("2"));
    let probes = [&mut low, &mut high].map(|stage| stage.step().unwrap().remove(0));
    let (before_low, before_high) = (low.link.due().unwrap(), high.link.due().unwrap());
    low.hear(&read(&probes[1]), near(5353));
    high.hear(&read(&probes[0]), near(5353));
    assert_eq!(low.link.due(), Some(low.now + Duration::from_secs(1)));
    assert!(low.link.due() > Some(before_low));
    assert_eq!(high.link.due(), Some(before_high));
    // One's own probe, as it comes back, is nobody else's.
    let own = high.step().unwrap().remove(0);
    let before = high.link.due();
    high.hear(&read(&own), near(5353));
    assert_eq!(high.link.due(), before);
}

#[test]
fn a_service_is_answered_with_all_that_is_needed_to_use_it() {
    let mut stage = Stage::settled("1");
    let out = stage.ask(&query(&[("_opencode._tcp.local", TYPE::PTR)]), near(5353));
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].to, None);
    let mut cache = Cache::default();
    cache.hear(&read(&out[0]), 3);
    assert!(cache.missing().is_empty());
    let servers = cache.servers();
    assert_eq!(servers.len(), 1);
    assert_eq!((servers[0].name.as_str(), servers[0].instance.as_str()), ("box.local", "box"));
    assert_eq!((servers[0].port, servers[0].auth), (4096, Some(true)));
    assert_eq!(servers[0].version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(servers[0].url(), "http://10.0.0.1:4096");
    for (at, count) in [("_http._tcp.local", 1), ("_services._dns-sd._udp.local", 2)] {
        let out = stage.ask(&query(&[(at, TYPE::PTR)]), near(5353));
        assert_eq!(told(&read(&out[0]), TYPE::PTR).len(), count, "{at}");
    }
}

#[test]
fn what_a_name_has_not_is_said_and_a_strange_name_is_left_to_others() {
    let mut stage = Stage::settled("1");
    let out = stage.ask(&query(&[("BOX.local", TYPE::AAAA)]), near(5353));
    let packet = read(&out[0]);
    let RData::NSEC(nsec) = &packet.answers[0].rdata else { panic!("{packet:?}") };
    assert!(nsec.contains(TYPE::A) && nsec.contains(TYPE::TXT) && !nsec.contains(TYPE::AAAA));
    for at in ["other.local", "x.box.local", "local", "_ssh._tcp.local"] {
        assert!(stage.ask(&query(&[(at, TYPE::A)]), near(5353)).is_empty(), "{at}");
    }
}

#[test]
fn what_was_told_within_a_second_or_is_known_is_not_told_again() {
    let mut stage = Stage::settled("1");
    let ask = query(&[("box.local", TYPE::A)]);
    assert_eq!(stage.hear(&ask, near(5353)).out.len(), 1);
    stage.now += Duration::from_millis(900);
    assert!(stage.hear(&ask, near(5353)).out.is_empty());
    stage.now += Duration::from_millis(200);
    assert_eq!(stage.hear(&ask, near(5353)).out.len(), 1);
    let mut knows = query(&[("_opencode._tcp.local", TYPE::PTR)]);
    let service = records("1", HOME);
    knows.answers = service.of(Kind::Shared).cloned().collect();
    assert!(stage.ask(&knows, near(5353)).is_empty());
    for record in &mut knows.answers {
        record.ttl /= 3;
    }
    assert_eq!(stage.ask(&knows, near(5353)).len(), 1);
}

#[test]
fn a_probe_for_a_name_of_ours_is_answered_at_once_and_to_everybody() {
    let mut stage = Stage::settled("1");
    let mut other = Stage::new("2");
    let sent = other.step().unwrap();
    let mut probe = read(&sent[0]);
    for question in &mut probe.questions {
        question.unicast_response = true;
    }
    let heard = stage.hear(&probe, near(5353));
    assert_eq!(heard.out.len(), 1);
    assert_eq!(heard.out[0].to, None);
    let answer = read(&heard.out[0]);
    assert_eq!(other.hear(&answer, near(5353)).conflict, Some(Conflict::Taken));
}

#[test]
fn who_wants_it_alone_gets_it_alone_where_everybody_has_just_heard_it() {
    let mut stage = Stage::settled("1");
    let mut ask = query(&[("box.local", TYPE::A)]);
    ask.questions[0].unicast_response = true;
    let to = |stage: &mut Stage, from| {
        let out = stage.hear(&ask, from).out;
        out.iter().map(|out| out.to).collect::<Vec<_>>()
    };
    assert_eq!(to(&mut stage, near(5353)), [None]);
    assert_eq!(to(&mut stage, near(5353)), [Some(near(5353).address)]);
    let far = Asker { address: SocketAddr::from(([8, 8, 8, 8], 5353)), is_near: false };
    assert_eq!(to(&mut stage, far), [], "nothing leaves the link");
}

#[test]
fn who_knows_only_plain_dns_is_answered_as_it_expects() {
    let mut stage = Stage::settled("1");
    let out = stage.hear(&query(&[("box.local", TYPE::A)]), near(40000)).out;
    assert_eq!(out[0].to, Some(near(40000).address));
    let packet = read(&out[0]);
    assert_eq!((packet.id(), packet.questions.len()), (7, 1));
    assert!(packet.answers.iter().all(|r| r.ttl <= 10 && !r.cache_flush));
    assert_eq!(packet.answers[0].rdata, a([10, 0, 0, 1]));
    let far = Asker { address: SocketAddr::from(([8, 8, 8, 8], 40000)), is_near: false };
    assert!(stage.hear(&query(&[("box.local", TYPE::A)]), far).out.is_empty());
    let mut answered = 0;
    for _ in 0..1000 {
        answered += stage.hear(&query(&[("box.local", TYPE::A)]), near(40000)).out.len();
    }
    assert!(answered < 50, "{answered}");
}

#[test]
fn what_does_not_fit_into_the_question_comes_later_and_is_not_told() {
    let mut stage = Stage::settled("1");
    let mut ask = query(&[("_opencode._tcp.local", TYPE::PTR)]);
    ask.set_flags(PacketFlag::TRUNCATION);
    assert!(stage.hear(&ask, near(5353)).out.is_empty());
    let mut more = Packet::new_query(0);
    more.answers = records("1", HOME).of(Kind::Shared).cloned().collect();
    stage.hear(&more, near(5353));
    assert_eq!(stage.step(), Some(Vec::new()));
}

#[test]
fn a_goodbye_takes_everything_back() {
    let mut stage = Stage::settled("1");
    let out = stage.link.goodbye();
    let packet = read(&out[0]);
    assert!(packet.answers.iter().all(|record| record.ttl == 0));
    let mut cache = Cache::default();
    let records = records("1", HOME);
    cache.hear(&telling(records.all.iter().map(|(_, r)| r.clone()).collect()), 3);
    assert_eq!(cache.servers().len(), 1);
    cache.hear(&packet, 3);
    assert_eq!(cache.servers(), []);
    assert!(Stage::new("1").link.goodbye().is_empty(), "what was never told is not taken back");
}

#[test]
fn other_addresses_are_announced_and_the_old_ones_taken_back() {
    let mut stage = Stage::settled("1");
    let moved = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
    let out = stage.link.change(records("1", moved), stage.now);
    let packet = read(&out[0]);
    assert_eq!(packet.answers.len(), 1);
    assert_eq!((&packet.answers[0].rdata, packet.answers[0].ttl), (&a([10, 0, 0, 1]), 0));
    let out = stage.step().unwrap();
    assert_eq!(told(&read(&out[0]), TYPE::A), [&a([10, 0, 0, 2])]);
}

#[test]
fn a_name_that_is_given_up_takes_no_address_of_its_new_owner_with_it() {
    let mut stage = Stage::settled("1");
    let mut claim = claim("1");
    claim.change();
    let out = stage.link.change(Records::new(&claim, &[HOME]), stage.now);
    let packet = read(&out[0]);
    assert!(packet.answers.iter().all(|r| r.rdata.type_code() == TYPE::PTR && r.ttl == 0));
}

#[test]
fn a_long_name_leaves_room_for_its_number() {
    let mut claim = Claim::new(
        &Service { domain: format!("{}.local", "a".repeat(63)), ..service() },
        "1".into(),
    );
    claim.change();
    let domain = claim.domain();
    assert_eq!(domain, format!("{}-2.local", "a".repeat(61)));
    let deep = Service { domain: format!("{}.local", ["b"; 90].join(".")), ..service() };
    let records = Records::new(&Claim::new(&deep, "1".into()), &[HOME]);
    let all = telling(records.all.iter().map(|(_, record)| record.clone()).collect());
    assert!(packet::parse(&packet::bytes(&all)).is_some());
}

#[test]
fn a_client_does_not_follow_where_no_server_can_be() {
    let told = |target: &str, address: [u8; 4], path: &'static str| {
        let (service, instance) =
            ("_opencode._tcp.local", packet::below("x", "_opencode._tcp.local"));
        let place = SRV { priority: 0, weight: 0, port: 80, target: name(target) };
        let mut txt = TXT::new();
        txt.add_attribute("path", Some(path.as_bytes())).unwrap();
        let record =
            |at: simple_dns::Name<'static>, rdata| ResourceRecord::new(at, CLASS::IN, 9, rdata);
        let mut cache = Cache::default();
        cache.hear(
            &telling(vec![
                record(name(service), RData::PTR(simple_dns::rdata::PTR(instance.clone()))),
                record(instance.clone(), RData::SRV(place)),
                record(instance, RData::TXT(txt)),
                record(name(target), a(address)),
            ]),
            3,
        );
        cache.servers()
    };
    assert_eq!(told("box.local", [10, 0, 0, 7], "/code/")[0].url(), "http://10.0.0.7:80/code");
    assert_eq!(told("box.local", [10, 0, 0, 7], "@evil/?x")[0].base_path, "");
    for address in [[127, 0, 0, 1], [0, 0, 0, 0], [224, 0, 0, 1], [255; 4]] {
        assert_eq!(told("box.local", address, "/"), [], "{address:?}");
    }
    assert_eq!(told("bo x.local", [10, 0, 0, 7], "/"), []);
}

#[test]
fn a_header_that_promises_more_than_its_packet_holds_is_refused_before_room_is_made() {
    let mut bytes = packet::bytes(&query(&[("box.local", TYPE::A)]));
    bytes[4..12].copy_from_slice(&[0xff; 8]);
    assert!(packet::parse(&bytes).is_none());
    assert!(packet::parse(&[0; 9001]).is_none());
    assert!(packet::parse(&[0; 12]).is_some());
    let mut update = packet::bytes(&query(&[("box.local", TYPE::A)]));
    update[2] |= 5 << 3;
    assert!(packet::parse(&update).is_none());
}

/// A good packet with some of its bytes changed, and pure noise.
fn spoiled() -> impl Strategy<Value = Vec<u8>> {
    let good = packet::bytes(&telling(
        records("1", HOME).all.iter().map(|(_, record)| record.clone()).collect(),
    ));
    let probe =
        packet::bytes(&query(&[("box.local", TYPE::A), ("_opencode._tcp.local", TYPE::PTR)]));
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    let changed =
        (prop_oneof![Just(good), Just(probe)], changes).prop_map(|(mut bytes, changes)| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        });
    prop_oneof![changed, prop::collection::vec(any::<u8>(), 0..600)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_packet_does_any_harm(packets in prop::collection::vec((spoiled(), any::<u16>()), 1..6)) {
        let mut stages = [Stage::new("1"), Stage::settled("1")];
        let mut cache = Cache::default();
        for (bytes, port) in packets {
            let Some(packet) = packet::parse(&bytes) else { continue };
            cache.hear(&packet, 3);
            for stage in &mut stages {
                let heard = stage.link.hear(&packet, near(port), &stage.kin, stage.now, |_| 0);
                let mut out = heard.out;
                out.extend(stage.step().unwrap_or_default());
                for one in out {
                    prop_assert!(one.bytes.len() < 1400);
                    prop_assert!(packet::parse(&one.bytes).is_some());
                }
            }
        }
        for server in cache.servers() {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || ":/.[]-_~".contains(c);
            prop_assert!(server.url().chars().all(is_plain));
        }
        cache.missing();
    }
}
