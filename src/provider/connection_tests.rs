//! What becomes of a turn's connection to its provider, with TLS and without.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::endpoint::Endpoint;
use super::remote::Remote;
use super::roots::Roots;
use super::testing::{answer, endpoint, message, text};
use super::{Chunk, Provider, Request};
use crate::cancel::Cancel;
use crate::error::Problem;
use crate::message::Role;

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
