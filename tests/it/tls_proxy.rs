//! A proxy that ends TLS, as one stands before a server, with a certificate of a test's authority.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A file of the test's authority: `ca.pem`, `leaf.pem` for `localhost`, `key.pem`.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

/// The authority's certificate.
pub(crate) fn authority() -> String {
    file("ca.pem").to_str().unwrap().to_owned()
}

/// Starts a proxy to a server; its address for a client. It ends with the test's process.
pub(crate) fn start(server: SocketAddr) -> String {
    let certificate = CertificateDer::from_pem_file(file("leaf.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                // A client that does not trust it leaves.
                let _ = pump(StreamOwned::new(connection, client), server);
            });
        }
    });
    format!("https://localhost:{port}")
}

/// Carries bytes both ways until either side ends.
fn pump(
    mut client: StreamOwned<ServerConnection, TcpStream>,
    server: SocketAddr,
) -> std::io::Result<()> {
    // The handshake, still blocking.
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock)?;
    }
    let mut server = TcpStream::connect(server)?;
    client.sock.set_nonblocking(true)?;
    server.set_nonblocking(true)?;
    loop {
        let moved = copy(&mut client, &mut server)? + copy(&mut server, &mut client)?;
        if moved == 0 {
            let mut both =
                [PollFd::new(&client.sock, PollFlags::IN), PollFd::new(&server, PollFlags::IN)];
            poll(&mut both, None)?;
        }
    }
}

/// Copies what is there.
fn copy(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<usize> {
    let mut buffer = [0; 16 * 1024];
    match from.read(&mut buffer) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(count) => {
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                match to.write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                    Err(error) => return Err(error),
                }
            }
            to.flush().or_else(|error| match error.kind() {
                ErrorKind::WouldBlock => Ok(()),
                _ => Err(error),
            })?;
            Ok(count)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error),
    }
}
