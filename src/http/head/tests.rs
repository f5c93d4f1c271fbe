//! What is a request, what is refused, and that no cut of the bytes makes a difference.

use proptest::prelude::*;

use super::*;

fn whole(text: &str) -> Result<Head, Problem> {
    parse_all(text.as_bytes())
}

/// Scans and parses as a connection does that gets all bytes at once.
fn parse_all(bytes: &[u8]) -> Result<Head, Problem> {
    match Scan::default().end(bytes)? {
        Some(end) => parse(&bytes[..end]),
        None => Err(bad("not whole")),
    }
}

fn code(text: &str) -> Code {
    match whole(text) {
        Ok(head) => panic!("{text:?} was taken for {head:?}"),
        Err(problem) => problem.code,
    }
}

#[test]
fn a_request_is_read() {
    let head = whole(
        "POST /api/chat?a=1?b HTTP/1.1\r\nhOST: localhost:4096\r\nContent-Length: 12\r\n\
         X-Empty:\r\nExpect: 100-Continue\r\n\r\n",
    )
    .unwrap();
    assert_eq!((head.path(), head.query()), ("/api/chat", Some("a=1?b")));
    assert_eq!(head.host(), Some("localhost:4096"));
    assert_eq!((&head.method, head.version), (&Method::Post, Version::Http11));
    assert_eq!(head.framing, Framing::Length(12));
    assert_eq!(head.expectation, Expectation::Continue);
    assert!(head.keep_alive);
    assert_eq!(head.fields().nth(2), Some(("X-Empty", "")));
}

#[test]
fn the_connection_closes_when_either_side_wants_it() {
    let keeps = |text: &str| whole(text).unwrap().keep_alive;
    assert!(!keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    assert!(!keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, Close\r\n\r\n"));
    assert!(keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n"));
}

#[test]
fn targets_have_three_forms() {
    let target = |text: &str| {
        let head = whole(text).unwrap();
        (head.path().to_owned(), head.query().map(str::to_owned), head.host().map(str::to_owned))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        target("GET http://Example.com:80/a?b HTTP/1.1\r\nHost: example.com\r\n\r\n"),
        ("/a".into(), some("b"), some("Example.com:80"))
    );
    assert_eq!(target("GET http://a?b HTTP/1.0\r\n\r\n"), ("/".into(), some("b"), some("a")));
    assert_eq!(target("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), ("*".into(), None, some("a")));
    assert_eq!(target("GET //a/b HTTP/1.1\r\nHost: \r\n\r\n"), ("//a/b".into(), None, some("")));
    for line in [
        "GET * HTTP/1.1",
        "GET a/b HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET http:///b HTTP/1.1",
        "GET http://me@a/ HTTP/1.1",
        "GET http://b/ HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "CONNECT a:443 HTTP/1.1",
    ] {
        assert_eq!(code(&format!("{line}\r\nHost: a\r\n\r\n")), Code::BadRequest, "{line}");
    }
}

#[test]
fn a_host_is_named_once_and_well() {
    for host in ["a", "a:1", "127.0.0.1:4096", "[::1]", "[::1]:4096", "a_b.local"] {
        assert_eq!(
            whole(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap().host(),
            Some(host)
        );
    }
    for fields in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: me@a\r\n",
        "Host: a:b\r\n",
        "Host: a:1:2\r\n",
        "Host: [::1\r\n",
        "Host: [a]b\r\n",
        "Host: a:123456\r\n",
    ] {
        assert_eq!(code(&format!("GET / HTTP/1.1\r\n{fields}\r\n")), Code::BadRequest, "{fields}");
    }
    assert_eq!(whole("GET / HTTP/1.0\r\n\r\n").unwrap().host(), None);
}

#[test]
fn a_body_has_one_framing() {
    let framing = |fields: &str| whole(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    assert_eq!(framing("").unwrap().framing, Framing::Length(0));
    assert_eq!(framing("Transfer-Encoding: Chunked\r\n").unwrap().framing, Framing::Chunked);
    let most = framing("Content-Length: 18446744073709551615\r\n").unwrap().framing;
    assert_eq!(most, Framing::Length(u64::MAX));
    for fields in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1 1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        assert_eq!(framing(fields).unwrap_err().code, Code::BadRequest, "{fields}");
    }
    let old = code("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(old, Code::BadRequest);
}

#[test]
fn lines_are_strict() {
    for text in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\nHost: a\r\n\r\n",
        "\x16\x03\x01",
        "\n",
    ] {
        assert_eq!(code(text), Code::BadRequest, "{text:?}");
    }
}

#[test]
fn other_versions_are_named_as_such() {
    for text in [
        "PRI * HTTP/2.0\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET / HTTP/0.9\r\n\r\n",
    ] {
        assert_eq!(code(text), Code::HttpVersion, "{text:?}");
    }
    assert_eq!(code("GET / SPDY/3\r\n\r\n"), Code::BadRequest);
}

#[test]
fn fields_are_counted() {
    let with = |count: usize| {
        let fields = "x: 1\r\n".repeat(count - 1);
        whole(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    };
    assert_eq!(with(FIELDS).unwrap().fields().count(), FIELDS);
    assert_eq!(with(FIELDS + 1).unwrap_err().code, Code::HeadTooLarge);
}

#[test]
fn only_one_expectation_is_known() {
    let expects = |text: &str| whole(text).unwrap().expectation;
    let unknown = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(expects(unknown), Expectation::Unknown);
    assert_eq!(expects("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"), Expectation::Nothing);
}

proptest! {
    #[test]
    fn any_cut_of_a_request_finds_the_same_end(cuts in prop::collection::vec(0usize..90, 0..8)) {
        let text = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-Name: value\r\n\r\nabc and more";
        let mut scan = Scan::default();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.push(text.len());
        cuts.sort_unstable();
        let end = cuts.iter().find_map(|&cut| scan.end(&text[..cut]).unwrap());
        prop_assert_eq!(end, Some(text.len() - b"abc and more".len()));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_all(&bytes);
        let _ = parse(&bytes);
    }

    #[test]
    fn broken_requests_never_panic(text in "(GET|POST|OPTIONS|x) (/|\\*|http://|é|a)[ -~]{0,9} HTTP/1.[01]\r\n((Host|Content-Length|Expect|[a-z]{0,3}):[ -~é]{0,9}\r\n){0,4}\r\n") {
        if let Ok(head) = whole(&text) {
            prop_assert!(head.path().starts_with('/') || head.path() == "*");
            prop_assert!(head.host().is_some() || head.version == Version::Http10);
            prop_assert!(head.fields().count() <= 4);
        }
    }
}
