//! A name is claimed, defended, given up and taken back.

use super::*;

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
    let all = telling(unique(&other));
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
    let mut gone = unique(&other);
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
    let all = telling(unique(&other));
    assert_eq!(stage.hear(&all, near(5353)).conflict, Some(Conflict::Taken));
}

#[test]
fn what_comes_back_over_a_bridge_is_no_conflict() {
    let mut stage = Stage::settled("1");
    let second = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1));
    let there = records("1", second);
    let echo = telling(unique(&there));
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
fn a_goodbye_takes_everything_back() {
    let mut stage = Stage::settled("1");
    let out = stage.link.goodbye();
    let packet = read(&out[0]);
    assert!(packet.answers.iter().all(|record| record.ttl == 0));
    let mut cache = Cache::default();
    let records = records("1", HOME);
    cache.hear(&telling(all(&records)), 3);
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
    let all = telling(all(&records));
    assert!(packet::parse(&packet::bytes(&all)).is_some());
}
