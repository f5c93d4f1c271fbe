//! What a body is, what is refused, and that no cut of the bytes makes a difference.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1000;

/// A body, and what lies behind its end.
type Read = Option<(Vec<u8>, Vec<u8>)>;

/// Decodes pieces one after the other.
fn decode(framing: Framing, pieces: &[&[u8]]) -> Result<Read, Problem> {
    let (mut decoder, mut body) = (Decoder::new(framing), Vec::new());
    for (n, piece) in pieces.iter().enumerate() {
        let taken = decoder.decode(piece, &mut body, LIMIT)?;
        if decoder.is_done() {
            let rest = [&piece[taken..], &pieces[n + 1..].concat()].concat();
            return Ok(Some((body, rest)));
        }
        assert_eq!(taken, piece.len());
    }
    Ok(None)
}

fn chunked(text: &str) -> Result<Read, Problem> {
    decode(Framing::Chunked, &[text.as_bytes()])
}

#[test]
fn a_length_ends_a_body() {
    let read = decode(Framing::Length(3), &[b"ab", b"cGET"]).unwrap();
    assert_eq!(read, Some((b"abc".to_vec(), b"GET".to_vec())));
    assert_eq!(decode(Framing::Length(3), &[b"ab"]).unwrap(), None);
    assert!(Decoder::new(Framing::Length(0)).is_done());
}

#[test]
fn a_last_chunk_ends_a_body() {
    let some = |body: &str, rest: &str| Some((body.as_bytes().to_vec(), rest.as_bytes().to_vec()));
    assert_eq!(chunked("3\r\nabc\r\n0\r\n\r\nGET").unwrap(), some("abc", "GET"));
    assert_eq!(
        chunked("0A;x=\"y\"\r\n0123456789\r\n00\r\nA: b\r\nC:\r\n\r\n").unwrap(),
        some("0123456789", "")
    );
    assert_eq!(chunked("3\r\nabc\r\n0\r\n").unwrap(), None);
}

#[test]
fn chunks_are_strict() {
    for text in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "0x1\r\na",
        " 1\r\na",
        "1 \r\na",
        "1\na",
        "1\r\nab",
        "1\r\na\n",
        "1\r\na\r\r",
        "1;a\nb",
        "1;a\0b\r\n",
        "0\r\n\n",
        "0\r\n A: b\r\n",
        "0\r\nA b: c\r\n",
        "0\r\nA: b\n",
        "0\r\n: b\r\n",
        "00000000000000001\r\n",
        ";\r\n",
    ] {
        assert_eq!(chunked(text).unwrap_err().code, Code::BadRequest, "{text:?}");
    }
}

#[test]
fn what_is_read_past_is_bounded() {
    let long = "x".repeat(EXTRAS + 1);
    for text in [format!("1;{long}"), format!("0\r\nA: {long}"), format!("0\r\n{long}")] {
        assert!(chunked(&text).is_err(), "{}", &text[..20]);
    }
}

#[test]
fn a_body_is_bounded_as_it_comes() {
    let code = |framing, bytes: &[u8]| decode(framing, &[bytes]).unwrap_err().code;
    assert_eq!(code(Framing::Length(u64::MAX), &[b'x'; LIMIT + 1]), Code::BodyTooLarge);
    let chunk = [b"ffffffffffffffff\r\n", &[b'x'; LIMIT + 1][..]].concat();
    assert_eq!(code(Framing::Chunked, &chunk), Code::BodyTooLarge);
    let many = "1\r\nx\r\n".repeat(LIMIT + 1);
    assert_eq!(code(Framing::Chunked, many.as_bytes()), Code::BodyTooLarge);
    assert!(chunked(&format!("{:x}\r\n{}\r\n0\r\n\r\n", LIMIT, "x".repeat(LIMIT))).is_ok());
}

proptest! {
    #[test]
    fn any_cut_of_a_body_decodes_alike(
        body in prop::collection::vec(any::<u8>(), 0..LIMIT),
        sizes in prop::collection::vec(1usize..100, 1..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut wire = Vec::new();
        let (mut rest, mut sizes) = (&body[..], sizes.into_iter().cycle());
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
            wire.extend_from_slice(format!("{:X};n\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
            rest = behind;
        }
        wire.extend_from_slice(b"0\r\nTrailer: x\r\n\r\nGET");
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len())).collect();
        cuts.extend([0, wire.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &wire[cut[0]..cut[1]]).collect();
        prop_assert_eq!(decode(Framing::Chunked, &pieces).unwrap(), Some((body, b"GET".to_vec())));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(Framing::Chunked, &[&bytes]);
    }

    #[test]
    fn broken_chunks_never_panic(text in "([0-9a-f]{1,3};?[ -~]{0,3}\r\n[ -~]{0,9}\r\n){0,4}") {
        let _ = chunked(&text);
    }
}
