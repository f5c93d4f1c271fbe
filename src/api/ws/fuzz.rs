//! The way of a WebSocket client's bytes for the fuzz targets: frames and messages, without a
//! socket.

use std::io::{self, Read, Write};
use std::sync::Arc;

use tungstenite::protocol::Role;
use tungstenite::{Error, Message, WebSocket};

use super::socket;
use super::talk::{Round, Talk};
use crate::os::Waker;
use crate::session::Sessions;

/// Bytes of one message; enough for what chance finds.
const MESSAGE_BYTES: usize = 4096;

/// A client that sends these bytes and reads nothing.
struct Bytes<'a>(&'a [u8]);

impl Read for Bytes<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 if !into.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads frames and does what their messages ask for.
///
/// # Panics
/// Where a message is answered by what is no event.
pub fn frames(sessions: &Arc<Sessions>, bytes: &[u8]) {
    let Some(mut talk) = talk(sessions) else { return };
    let config = Some(socket::protocol(MESSAGE_BYTES));
    let mut web = WebSocket::from_raw_socket(Bytes(bytes), Role::Server, config);
    loop {
        match web.read() {
            Ok(Message::Text(text)) => hear(&mut talk, text.as_bytes()),
            Ok(Message::Binary(bytes)) => assert!(bytes.len() <= MESSAGE_BYTES),
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => return,
        }
    }
}

/// Does what these messages ask for, one after the other.
///
/// # Panics
/// Where a message is answered by what is no event.
pub fn messages<'a>(sessions: &Arc<Sessions>, messages: impl Iterator<Item = &'a [u8]>) {
    let Some(mut talk) = talk(sessions) else { return };
    for message in messages {
        hear(&mut talk, message);
    }
}

fn talk(sessions: &Arc<Sessions>) -> Option<Talk> {
    Some(Talk::new(Arc::clone(sessions), Arc::new(Waker::new().ok()?)))
}

fn hear(talk: &mut Talk, message: &[u8]) {
    let is_event = |text: &str| {
        let value: Result<serde_json::Value, _> = serde_json::from_str(text);
        value.is_ok_and(|value| value["type"].is_string())
    };
    if let Some(reply) = talk.hear(message) {
        assert!(is_event(&reply), "{reply}");
    }
    let mut rounds = 0;
    while talk.round(1024, &mut |told| assert!(is_event(&told), "{told}")) == Round::More {
        rounds += 1;
        assert!(rounds < 1000, "it has no end");
    }
}
