//! What strangers send: nothing of it does harm, and no client is led astray by it.

use super::*;

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
    let good = packet::bytes(&telling(all(&records("1", HOME))));
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
