//! Who asks gets what is needed, once, and not more than that.

use super::*;

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
