//! A client of `/ws`: by tungstenite where it behaves, by hand where it does not.

use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};
use tungstenite::handshake::client::generate_key;
use tungstenite::{Error, Message, WebSocket};

use crate::program::Serving;
use crate::wire::{Client, PATIENCE, Reply};

/// One WebSocket.
pub(crate) struct Ws(pub(crate) WebSocket<TcpStream>);

/// What ended one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A close frame.
    Closed(u16, String),
    /// Without one.
    Dropped,
}

impl Ws {
    pub(crate) fn open(server: &Serving) -> Self {
        let stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://{}/ws", server.address);
        Self(tungstenite::client(url, stream).unwrap().0)
    }

    pub(crate) fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    /// The next event, or how it ended.
    pub(crate) fn next(&mut self) -> Result<Value, Ended> {
        let end = Instant::now() + PATIENCE;
        loop {
            // Pings come whatever else does.
            assert!(Instant::now() < end, "nothing but pings came");
            match self.0.read() {
                Ok(Message::Text(text)) => return Ok(serde_json::from_str(&text).unwrap()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(frame)) => {
                    let frame = frame.expect("a close frame has a code");
                    return Err(Ended::Closed(frame.code.into(), frame.reason.to_string()));
                }
                Ok(other) => panic!("{other:?}"),
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nothing came")
                }
                Err(_) => return Err(Ended::Dropped),
            }
        }
    }

    #[track_caller]
    pub(crate) fn hear(&mut self) -> Value {
        self.next().unwrap()
    }

    /// All events up to the first that fits, that one included.
    #[track_caller]
    pub(crate) fn hear_until(&mut self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            events.push(self.hear());
            if fits(&events[events.len() - 1]) {
                return events;
            }
        }
    }

    /// All events up to a turn's last.
    #[track_caller]
    pub(crate) fn hear_turn(&mut self) -> Vec<Value> {
        self.hear_until(|event| event["type"] == "done")
    }

    /// Everything said so far has been heard by the server, and is answered: what came meanwhile.
    #[track_caller]
    pub(crate) fn sync(&mut self) -> Vec<Value> {
        self.say(&json!({ "type": "ping" }));
        let mut events = self.hear_until(|event| event["type"] == "pong");
        events.pop();
        events
    }

    /// How it ends, and what comes before that.
    pub(crate) fn rest(&mut self) -> (Vec<Value>, Ended) {
        let mut events = Vec::new();
        loop {
            match self.next() {
                Ok(event) => events.push(event),
                Err(ended) => return (events, ended),
            }
        }
    }
}

/// The ids of events that have one.
pub(crate) fn ids(events: &[Value]) -> Vec<u64> {
    events.iter().filter_map(|event| event["eventId"].as_u64()).collect()
}

/// Ids that go on one by one.
#[track_caller]
pub(crate) fn assert_dense(ids: &[u64]) {
    assert!(ids.windows(2).all(|two| two[1] == two[0] + 1), "{ids:?}");
}

/// The fields of a handshake.
pub(crate) fn handshake<'a>(key: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("Upgrade", "websocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", key),
    ];
    fields.extend(more);
    fields
}

/// A handshake with further fields, and the head of its answer.
pub(crate) fn knock(server: &Serving, more: &[(&str, &str)]) -> (Client, Reply) {
    let key = generate_key();
    let mut client = Client::connect(server.address);
    client.send(server.request("GET", "/ws", &handshake(&key, more), None));
    let head = client.head();
    (client, head)
}

/// One that sends bytes of its own.
pub(crate) fn raw(server: &Serving) -> Client {
    let (client, head) = knock(server, &[]);
    assert_eq!(head.status, 101, "{head:?}");
    client
}

/// A frame with its first byte and a payload, masked as a client's must be.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = head_of_frame(first, payload.len());
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The first bytes of a masked frame that says it has so many, without the mask.
pub(crate) fn head_of_frame(first: u8, length: usize) -> Vec<u8> {
    match length {
        0..126 => vec![first, 0x80 | length as u8],
        126..0x1_0000 => {
            let mut head = vec![first, 0xfe];
            head.extend((length as u16).to_be_bytes());
            head
        }
        _ => {
            let mut head = vec![first, 0xff];
            head.extend((length as u64).to_be_bytes());
            head
        }
    }
}

/// The code of the close frame that ends what comes.
#[track_caller]
pub(crate) fn close_code(client: &mut Client) -> u16 {
    let rest = client.rest();
    let [0x88, length, high, low, ..] = rest[..] else { panic!("no close frame: {rest:?}") };
    assert_eq!(rest.len(), 2 + usize::from(length), "nothing behind the close frame: {rest:?}");
    u16::from_be_bytes([high, low])
}
