//! What becomes of a turn's connection to its provider, with TLS and without.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::dial::{Dial, Open};
use super::endpoint::Endpoint;
use super::exchange;
use super::idle::Idle;
use super::remote::Remote;
use super::roots::Roots;
use super::testing::{answer, chunked, endpoint, head, message, read_request, text};
use super::{Chunk, Provider, Request, Stop};
use crate::cancel::Cancel;
use crate::error::Problem;
use crate::message::Role;

const HELLO: &str =
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

/// The provider's end of a connection.
trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// A provider on this machine: what it does, given what accepts its connections, and where it is.
fn provider<T: Send + 'static>(
    is_tls: bool,
    play: impl FnOnce(&dyn Fn() -> Box<dyn Wire>) -> T + Send + 'static,
) -> (Endpoint, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let file = |name| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name);
    let mut endpoint = endpoint();
    endpoint.base = format!("http://127.0.0.1:{port}/v1");
    let mut config = None;
    if is_tls {
        endpoint.base = format!("https://localhost:{port}/v1");
        let authority = file("ca.pem").to_str().unwrap().to_owned();
        endpoint.roots = Roots::new(&[("SSL_CERT_FILE", &*authority)].into_iter().collect());
        let certificate = CertificateDer::from_pem_file(file("leaf.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(file("key.pem")).unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(ring);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        config = Some(Arc::new(builder.with_single_cert(vec![certificate], key).unwrap()));
    }
    let accept = move || -> Box<dyn Wire> {
        let stream: TcpStream = listener.accept().unwrap().0;
        // What waits to be sent is lost where a connection ends with something unread.
        stream.set_nodelay(true).unwrap();
        match &config {
            None => Box::new(stream),
            Some(config) => {
                let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                Box::new(StreamOwned::new(connection, stream))
            }
        }
    };
    (endpoint, std::thread::spawn(move || play(&accept)))
}

/// Everything an answer to these words gives, its error included.
fn ask(remote: &mut Remote, words: &str) -> (Vec<Chunk>, Option<Problem>) {
    let messages = [message(Role::User, vec![text(words)])];
    let request = Request::new("", &messages, &[]);
    let mut problem = None;
    let chunks = remote.ask(&request).map_while(|chunk| chunk.map_err(|p| problem = Some(p)).ok());
    (chunks.collect(), problem)
}

#[test]
fn a_refusal_before_the_request_is_whole_is_told_in_its_words() {
    for is_tls in [false, true] {
        let (endpoint, thread) = provider(is_tls, |accept| {
            let mut wire = accept();
            assert!(wire.read(&mut [0; 1000]).unwrap() > 0);
            let words = r#"{"error":{"message":"the prompt is too long"}}"#;
            wire.write_all(answer(413, "", words).as_bytes()).unwrap();
            wire.flush().unwrap();
        });
        let mut remote = Remote::new(endpoint.into(), &Cancel::new()).unwrap();
        // More than all buffers between the two take.
        let (chunks, problem) = ask(&mut remote, &"question ".repeat(3_000_000));
        let detail = problem.unwrap().detail;
        assert!(detail.contains("413: the prompt is too long"), "TLS: {is_tls}, {detail}");
        assert_eq!(chunks, []);
        thread.join().unwrap();
    }
}

#[test]
fn a_refusal_by_a_provider_that_reads_no_further_is_told_when_patience_ends() {
    for is_tls in [false, true] {
        let (tell, told) = std::sync::mpsc::channel();
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let (endpoint, thread) = provider(is_tls, move |accept| {
            let mut wire = accept();
            wire.write_all(answer(401, "", "who are you?").as_bytes()).unwrap();
            wire.flush().unwrap();
            tell.send(()).unwrap();
            held.recv().is_err()
        });
        let (url, cancel) = (&*endpoint.base, Cancel::new());
        let (roots, tls) = (endpoint.roots.tls(), endpoint.roots.connector());
        let dial = Dial { proxy: None, roots, tls, user_agent: "" };
        let line = dial.connect(&url.parse().unwrap(), &cancel, &Open::default()).unwrap();
        // However long that took: patience is only for what follows.
        told.recv().unwrap();
        let body = vec![b' '; 27_000_000];
        let call = exchange::request(url, &[], body.len()).unwrap();
        let patience = exchange::patience(Duration::from_millis(200));
        let refusal = exchange::ask(line, call, body, patience, &Idle::default());
        let mut refusal = refusal.unwrap().unwrap();
        let mut words = String::new();
        refusal.body.read_to_string(&mut words).unwrap();
        assert_eq!((refusal.status, &*words), (401, "who are you?"), "TLS: {is_tls}");
        drop(let_go);
        assert!(thread.join().unwrap());
    }
}

/// A streamed answer on a connection that stays, without the chunk that ends it.
fn unended() -> String {
    head().replace("connection: close\r\n", "") + &chunked(HELLO) + &chunked(STOP)
}

/// One that is whole.
fn whole() -> String {
    unended() + "0\r\n\r\n"
}

/// Takes a request and answers it.
fn serve(wire: &mut dyn Wire, said: &str) {
    read_request(wire);
    wire.write_all(said.as_bytes()).unwrap();
    wire.flush().unwrap();
}

/// Asserts that a remote is answered, and that nothing went wrong on the way.
fn is_answered(remote: &mut Remote) {
    let (chunks, problem) = ask(remote, "hi");
    let expected = vec![Chunk::Text("hello".into()), Chunk::End(Stop::Finished)];
    assert_eq!((chunks, problem), (expected, None));
}

#[test]
fn a_turns_requests_go_over_one_connection() {
    for is_tls in [false, true] {
        let (endpoint, thread) = provider(is_tls, |accept| {
            let mut wire = accept();
            for _ in 0..3 {
                serve(&mut *wire, &whole());
            }
        });
        let mut remote = Remote::new(endpoint.into(), &Cancel::new()).unwrap();
        for _ in 0..3 {
            is_answered(&mut remote);
        }
        thread.join().unwrap();
    }
}

#[test]
fn an_idle_connection_that_the_provider_closed_is_made_anew() {
    for is_tls in [false, true] {
        let (endpoint, thread) = provider(is_tls, |accept| {
            for _ in 0..3 {
                serve(&mut *accept(), &whole());
            }
        });
        let mut remote = Remote::new(endpoint.into(), &Cancel::new()).unwrap();
        for _ in 0..3 {
            is_answered(&mut remote);
        }
        thread.join().unwrap();
    }
}

#[test]
fn a_request_that_meets_the_end_of_an_idle_connection_is_sent_anew() {
    for is_tls in [false, true] {
        let (endpoint, thread) = provider(is_tls, |accept| {
            let mut wire = accept();
            serve(&mut *wire, &whole());
            read_request(&mut *wire);
            drop(wire);
            serve(&mut *accept(), &whole());
        });
        let mut remote = Remote::new(endpoint.into(), &Cancel::new()).unwrap();
        is_answered(&mut remote);
        is_answered(&mut remote);
        thread.join().unwrap();
    }
}

#[test]
fn an_answer_that_began_is_not_asked_for_in_silence() {
    let (endpoint, thread) = provider(false, |accept| {
        let mut wire = accept();
        serve(&mut *wire, &whole());
        serve(&mut *wire, "HTTP/1.1 200 O");
        drop(wire);
        serve(&mut *accept(), &whole());
    });
    let mut remote = Remote::new(endpoint.into(), &Cancel::new()).unwrap();
    is_answered(&mut remote);
    let (chunks, problem) = ask(&mut remote, "hi");
    assert!(matches!(chunks[0], Chunk::Retry { attempt: 1, .. }), "{chunks:?} {problem:?}");
    thread.join().unwrap();
}

#[test]
fn a_stream_that_does_not_end_with_its_answer_holds_nothing_up() {
    for is_tls in [false, true] {
        let (mut endpoint, thread) = provider(is_tls, |accept| {
            let mut first = accept();
            serve(&mut *first, &unended());
            let mut second = accept();
            // It is left before anything else is asked.
            assert!(matches!(first.read(&mut [0]), Ok(0) | Err(_)));
            let much = format!("9c40\r\n{}\r\n0\r\n\r\n", "x".repeat(40_000));
            serve(&mut *second, &(unended() + &much));
            serve(&mut *accept(), &whole());
        });
        // Nobody waits that long.
        endpoint.silence = Duration::from_secs(100_000);
        let mut remote = Remote::new(endpoint.into(), &Cancel::new()).unwrap();
        for _ in 0..3 {
            is_answered(&mut remote);
        }
        thread.join().unwrap();
    }
}
