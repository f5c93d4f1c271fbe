//! The thread that keeps the WebSocket to the server: it connects, waits growing times where that
//! fails, notices when the server is gone, and passes on what is said in either direction.
//!
//! What an event means is not known here.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::Value;

use crate::client::{ClientError, Remote, Socket};
use crate::event::{Body, EventId};
use crate::os::Waker;
use crate::tui::clean;

/// Opening a connection takes at most about this.
const OPEN_TIME: Duration = Duration::from_secs(5);
/// A server says something at least every 15 s. After this long it is asked whether it is there.
const QUIET: Duration = Duration::from_secs(20);
/// How long it has for an answer, to that and to whatever is said.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// Waits between attempts, in milliseconds, as long as the server is gone for half a minute...
const SOON: [u64; 3] = [500, 1000, 1500];
const SOON_TIME: Duration = Duration::from_secs(30);
/// ...and after that.
const LATER: [u64; 4] = [3000, 5000, 8000, 10_000];
/// How long the server has for the last frame.
const LAST_WORD: Duration = Duration::from_millis(200);
/// Messages that wait for the thread.
const WAITING: usize = 64;

/// What happens on the connection.
#[derive(Debug)]
pub(super) enum Heard {
    /// A connection is open; nothing was said on it.
    Up,
    /// An event.
    Told(Box<Told>),
    /// There is no connection.
    Down {
        /// One sentence.
        why: String,
        /// When the next attempt comes.
        again: Instant,
        /// The server wants other credentials.
        is_refused: bool,
    },
}

/// An event with its place.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// Its session.
    pub(super) session: Option<String>,
    /// Its place in the session.
    pub(super) id: Option<EventId>,
    /// The request that it answers.
    pub(super) request: Option<u64>,
    /// What it says.
    pub(super) body: Body,
}

enum Order {
    Say(String),
    Now,
    End,
}

/// The connection, from the other side.
pub(super) struct Link {
    orders: Sender<Order>,
    waker: Arc<Waker>,
    thread: JoinHandle<()>,
    /// Closes with the thread.
    ended: Receiver<()>,
}

impl Link {
    /// Starts the thread; it tells everything to `tell`, until that refuses.
    pub(super) fn start(
        remote: Remote,
        tell: impl Fn(Heard) -> Result<(), ()> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (orders, taken) = bounded(WAITING);
        let waker = Arc::new(Waker::new()?);
        let keeper = Keeper { remote, orders: taken, waker: Arc::clone(&waker), tell };
        let (running, ended) = bounded(0);
        let keep = move || {
            let _running: Sender<()> = running;
            let _ = keeper.run();
        };
        let thread = crate::os::thread("link", keep)?;
        Ok(Self { orders, waker, thread, ended })
    }

    /// Says something; it is lost where there is no connection.
    pub(super) fn say(&self, message: &Value) {
        // A thread with this much to say is stuck, and its connection will be told lost.
        let _ = self.orders.try_send(Order::Say(message.to_string()));
        self.waker.wake();
    }

    /// Tries to connect now instead of later.
    pub(super) fn now(&self) {
        let _ = self.orders.try_send(Order::Now);
        self.waker.wake();
    }

    /// Ends the connection. An attempt under way is abandoned; it ends by its own time-out.
    pub(super) fn end(self) {
        let _ = self.orders.try_send(Order::End);
        self.waker.wake();
        if self.ended.recv_timeout(LAST_WORD).is_err_and(|error| !error.is_timeout()) {
            let _ = self.thread.join();
        }
    }
}

/// The person has left, or nobody hears any more.
struct Left;

struct Keeper<T> {
    remote: Remote,
    orders: Receiver<Order>,
    waker: Arc<Waker>,
    tell: T,
}

impl<T: Fn(Heard) -> Result<(), ()>> Keeper<T> {
    fn run(&self) -> Result<(), Left> {
        let mut gone: Option<Instant> = None;
        let mut failures = 0;
        loop {
            let why = match self.remote.socket(OPEN_TIME) {
                Ok(mut socket) => {
                    (gone, failures) = (None, 0);
                    // What was meant for the connection before is not said on this one.
                    while let Ok(order) = self.orders.try_recv() {
                        if matches!(order, Order::End) {
                            return Err(Left);
                        }
                    }
                    self.told(Heard::Up)?;
                    let why = self.talk(&mut socket)?;
                    socket.close();
                    why
                }
                Err(why) => why,
            };
            let since = *gone.get_or_insert_with(Instant::now);
            let wait = pause(failures, since.elapsed());
            failures += 1;
            let is_refused = matches!(why, ClientError::Refused(_));
            let again = Instant::now() + wait;
            self.told(Heard::Down { why: why.to_string(), again, is_refused })?;
            self.rest(again)?;
        }
    }

    fn told(&self, heard: Heard) -> Result<(), Left> {
        (self.tell)(heard).map_err(|()| Left)
    }

    /// Waits, until it is time or a person is impatient.
    fn rest(&self, until: Instant) -> Result<(), Left> {
        loop {
            match self.orders.recv_deadline(until) {
                Ok(Order::Now) => return Ok(()),
                Ok(Order::Say(_)) => {}
                Err(error) if error.is_timeout() => return Ok(()),
                Ok(Order::End) | Err(_) => return Err(Left),
            }
        }
    }

    /// Passes everything on, until the connection ends.
    fn talk(&self, socket: &mut Socket) -> Result<ClientError, Left> {
        let mut heard = Instant::now();
        // By when something must be heard.
        let mut due: Option<Instant> = None;
        loop {
            loop {
                match socket.hear() {
                    Ok(None) => break,
                    Ok(Some(text)) => {
                        heard = Instant::now();
                        due = None;
                        if let Some(told) = read(&text) {
                            self.told(Heard::Told(Box::new(told)))?;
                        }
                    }
                    Err(error) => return Ok(error),
                }
                if !self.orders.is_empty() {
                    break;
                }
            }
            while let Ok(order) = self.orders.try_recv() {
                let said = match order {
                    Order::Say(text) => {
                        due.get_or_insert_with(|| Instant::now() + ANSWER_TIME);
                        socket.say(text).and_then(|()| socket.say(ping()))
                    }
                    Order::Now => Ok(()),
                    Order::End => {
                        socket.close();
                        return Err(Left);
                    }
                };
                if let Err(error) = said {
                    return Ok(error);
                }
            }
            let now = Instant::now();
            if due.is_none() && heard + QUIET <= now {
                due = Some(now + ANSWER_TIME);
                if let Err(error) = socket.say(ping()) {
                    return Ok(error);
                }
            }
            if due.is_some_and(|due| due <= now) {
                return Ok(ClientError::Lost("the server does not answer".to_owned()));
            }
            let next = due.unwrap_or(heard + QUIET);
            let time = next.saturating_duration_since(now);
            if let Err(error) = socket.wait(&self.waker, time) {
                return Ok(ClientError::Lost(error.to_string()));
            }
        }
    }
}

fn ping() -> String {
    r#"{"type":"ping"}"#.to_owned()
}

/// How long to wait after so many failures, the server being gone for so long.
fn pause(failures: usize, gone: Duration) -> Duration {
    let waits = if gone < SOON_TIME { &SOON[..] } else { &LATER[..] };
    let at = if gone < SOON_TIME { failures } else { failures.saturating_sub(20) / 3 };
    Duration::from_millis(waits[at.min(waits.len() - 1)])
}

/// An event in a message; none where it is a `pong`, or of a later version.
fn read(text: &str) -> Option<Told> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    clean::clean(&mut value);
    let session = value["sessionId"].as_str().map(str::to_owned);
    let (id, request) = (value["eventId"].as_u64(), value["requestId"].as_u64());
    let body = serde_json::from_value(value).ok()?;
    Some(Told { session, id, request, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_short_for_half_a_minute() {
        let at = |failures, seconds| pause(failures, Duration::from_secs(seconds)).as_millis();
        assert_eq!([at(0, 0), at(1, 1), at(2, 2), at(20, 29)], [500, 1000, 1500, 1500]);
        assert!(at(21, 31) >= 3000 && at(500, 3600) == 10_000);
    }

    #[test]
    fn an_event_is_read_with_its_place() {
        let told = read(r#"{"type":"text","content":"a\u001b[1mb","sessionId":"s","eventId":7}"#);
        let told = told.unwrap();
        assert_eq!((told.session.as_deref(), told.id), (Some("s"), Some(7)));
        assert_eq!(told.body, Body::Text { content: "ab".into() });
        assert!(read(r#"{"type":"pong"}"#).is_none());
    }
}
