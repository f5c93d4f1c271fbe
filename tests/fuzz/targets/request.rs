//! A connection's bytes as a request: head, framing, body. However they arrive, the same request
//! is read, and what follows it begins at the same byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opencode::http::body::Decoder;
use opencode::http::head::{self, Framing, Scan, Version};

const LIMIT: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let Some((&stride, bytes)) = bytes.split_first() else { return };
    let Ok(Some(end)) = Scan::default().end(bytes) else {
        // A head that is refused or not whole is so however it arrives.
        assert!(!matches!(in_pieces(bytes, stride), Ok(Some(_))));
        return;
    };
    assert_eq!(in_pieces(bytes, stride).ok(), Some(Some(end)));
    assert!(bytes[..end].ends_with(b"\r\n\r\n"));
    let Ok(head) = head::parse(&bytes[..end]) else { return };
    assert!(head.path().starts_with('/') || head.path() == "*", "{head:?}");
    assert!(head.version == Version::Http10 || head.host().is_some(), "{head:?}");
    let control = |text: &str| text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    assert!(!head.fields().any(|(name, value)| control(name) || control(value)), "{head:?}");
    let lengths = head.fields().filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let codings = head.fields().filter(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"));
    match (lengths.count(), codings.count()) {
        (0, 0) => assert_eq!(head.framing, Framing::Length(0)),
        (1, 0) => assert!(matches!(head.framing, Framing::Length(_))),
        (0, 1) => assert_eq!(head.framing, Framing::Chunked),
        both => panic!("{both:?} lengths and codings were let through: {head:?}"),
    }

    let rest = &bytes[end..];
    let whole = body(head.framing, rest, rest.len().max(1));
    let pieces = body(head.framing, rest, usize::from(stride) + 1);
    assert_eq!(whole, pieces, "a body depends on how it arrives");
});

fn in_pieces(bytes: &[u8], stride: u8) -> Result<Option<usize>, ()> {
    let mut scan = Scan::default();
    let mut have = 0;
    loop {
        have = (have + usize::from(stride) + 1).min(bytes.len());
        match scan.end(&bytes[..have]) {
            Ok(None) if have < bytes.len() => {}
            other => return other.map_err(|_| ()),
        }
    }
}

/// The body, how many bytes it took, and whether it ended; nothing where it was refused.
fn body(framing: Framing, bytes: &[u8], stride: usize) -> Option<(Vec<u8>, usize, bool)> {
    let mut decoder = Decoder::new(framing);
    let (mut body, mut taken) = (Vec::new(), 0);
    for piece in bytes.chunks(stride) {
        if decoder.is_done() {
            break;
        }
        let took = decoder.decode(piece, &mut body, LIMIT).ok()?;
        assert!(took == piece.len() || decoder.is_done());
        assert!(body.len() <= LIMIT);
        taken += took;
    }
    Some((body, taken, decoder.is_done()))
}
