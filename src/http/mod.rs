//! The connection layer: from accepted bytes to a [`Request`], and from an [`Answer`] to bytes.
//!
//! One connection, one thread of a pool. Everything that comes from outside is bounded in size
//! and in time before it is kept. This room knows nothing of sessions, routes or credentials.
//! Reading order: [`Server`], `accept`, `pool`, `connection`, then what that calls. The parsers are
//! public for the fuzz targets alone.

mod accept;
pub mod body;
mod budget;
mod connection;
mod events;
pub mod head;
mod input;
mod links;
mod pool;
mod request;
mod response;
mod server;
mod traffic;
mod write;

use std::io;

use crate::error::Problem;

pub use events::EventStream;
pub use head::Version;
pub use links::network;
pub use request::{Request, Upgraded};
pub use response::Response;
pub use server::{Running, Server};
pub use tiny_http::Method;
pub use traffic::Traffic;

/// What the rest of the program gives for each request.
pub trait Service: Send + Sync + 'static {
    /// Answers one request. A panic in it is that request's 500.
    fn answer(&self, request: &mut Request<'_>) -> Answer;

    /// Dresses a refusal that this layer raises itself while the head is known: 413 for a
    /// declared length over the limit, 417, and the 500 of a panic. A service adds what it adds
    /// to all its answers, CORS fields for one. What is no request at all (400, 408 of a head,
    /// 431, 505) and a connection too many (503) are answered without it.
    fn refused(&self, request: &Request<'_>, problem: &Problem) -> Response {
        let _ = request;
        Response::problem(problem)
    }
}

/// How a request is answered.
pub enum Answer {
    /// A whole response.
    Full(Response),
    /// Server-sent events, written by the closure on this connection's thread.
    Events {
        /// Further fields of the head, beside the content type and what keeps caches and
        /// proxies from holding events back.
        headers: Vec<(&'static str, String)>,
        /// Writes the events; an error means the client is gone.
        write: WriteEvents,
    },
    /// A change of protocol: the response, 101, then the raw stream on this connection's thread.
    Upgrade {
        /// The 101 with its `Upgrade` field; `Connection: upgrade` is added.
        response: Response,
        /// Speaks the new protocol until the connection ends.
        serve: Serve,
    },
}

/// Writes the events of one stream.
pub type WriteEvents = Box<dyn FnOnce(&mut EventStream<'_>) -> io::Result<()> + Send>;

/// Speaks another protocol on an upgraded connection.
pub type Serve = Box<dyn FnOnce(Upgraded) + Send>;
