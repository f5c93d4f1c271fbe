//! Packets of multicast DNS, whoever sends them, to a server that announces itself and to a client
//! that asks. What is sent in answer fits a frame, and a server that is found has a URL that is one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opencode::discovery::fuzz::heard;

const FRAME: usize = 1400;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, mut rest)) = bytes.split_first() else { return };
    let mut packets = Vec::new();
    while let [high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let port = if packets.len() % 2 == 0 { 5353 } else { 40000 };
        packets.push((port, &after[..length]));
        rest = &after[length..];
    }
    let heard = heard(packets.into_iter(), first & 1 == 0);
    // A question to somebody who knows only plain DNS is sent back with its answer.
    let longest = FRAME + bytes.len();
    assert!(heard.sent.iter().all(|packet| packet.len() <= longest));
    for server in heard.found {
        let plain = |c: char| c.is_ascii_alphanumeric() || ":/.[]-_~".contains(c);
        let url = server.url();
        assert!(url.starts_with("http://") && url.chars().all(plain), "{url}");
        assert!(server.addresses.iter().all(|address| !address.ip().is_loopback()));
    }
});
