//! The connection layer: from accepted bytes to a [`Request`], and from an [`Answer`] to bytes.
//!
//! One connection, one thread of a pool. Everything that comes from outside is bounded in size
//! and in time before it is kept. This room knows nothing of sessions, routes or credentials.

use std::io;

/// What the rest of the program gives for each request.
pub trait Service: Send + Sync + 'static {
    /// Answers one request. A panic in it is that request's 500.
    fn answer(&self, request: &mut Request<'_>) -> Answer;
}

/// How a request is answered.
pub enum Answer {
    /// A whole response.
    Full(Response),
    /// Server-sent events, written by the closure on this connection's thread.
    Events {
        /// Further header fields of the head.
        headers: Vec<(&'static str, String)>,
        /// Writes the events; an error means the client is gone.
        write: Box<dyn FnOnce(&mut EventStream<'_>) -> io::Result<()> + Send>,
    },
}

/// A request whose head is read and checked; its body is read when asked for.
pub struct Request<'a>(std::marker::PhantomData<&'a mut ()>);

/// A whole response.
pub struct Response;

/// Writes server-sent events, each on the wire at once.
pub struct EventStream<'a>(std::marker::PhantomData<&'a mut ()>);
