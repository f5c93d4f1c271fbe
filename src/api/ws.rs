//! `GET /ws`: the events of many sessions, and what clients say, over one WebSocket (RFC 6455).
//!
//! This file has the handshake; `socket` keeps the connection, `talk` is what is said on it, and
//! `wire` holds the bytes between protocol and socket. A connection needs no thread but its own:
//! it polls its socket and one wake-up that all its subscriptions share. There are no extensions
//! and no subprotocol.
//!
//! The edge has checked host, origin and credentials before this is reached.

#[cfg(fuzzing)]
pub mod fuzz;
mod socket;
mod talk;
mod wire;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tungstenite::handshake::derive_accept_key;

use crate::api::{Api, Params};
use crate::error::{Code, Problem};
use crate::http::{Answer, Method, Request, Response, Version};
use crate::os::Waker;
use crate::session::MESSAGE_BYTES;

use socket::{Limits, Socket};
use talk::Talk;

/// A client's message is at most this long: room for the longest text of a user with every byte
/// written as `\u00xx`, and for what stands beside it.
const CLIENT_BYTES: usize = 6 * MESSAGE_BYTES + 64 * 1024;

pub(super) fn open(
    api: &Api,
    request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    if let Err(detail) = check_upgrade(request) {
        let response = Response::problem(&Problem::new(Code::UpgradeRequired, detail));
        let response = response.header("Upgrade", "websocket");
        return Ok(Answer::Full(response.header("Sec-WebSocket-Version", "13")));
    }
    let accept = derive_accept_key(key(request)?.as_bytes());
    // What follows the head would be taken for frames.
    if !request.body()?.is_empty() {
        return Err(Problem::new(Code::BadRequest, "a request to upgrade has no body"));
    }
    let waker = Waker::new().map_err(|error| {
        let detail = format!("no descriptor is left for another WebSocket: {error}");
        Problem::new(Code::AtCapacity, detail).retry_after(1)
    })?;
    let waker = Arc::new(waker);
    let talk = Talk::new(Arc::clone(&api.sessions), Arc::clone(&waker));
    let end = api.sessions.follow_end(Arc::clone(&waker));
    let limits = &api.facts.server.limits;
    let limits = Limits {
        message_bytes: CLIENT_BYTES.min(limits.body_bytes),
        heartbeat: limits.heartbeat,
        write_time: limits.write_time,
    };
    let serve = Box::new(move |upgraded| match Socket::new(upgraded, limits, talk, end, waker) {
        Ok(socket) => socket.serve(),
        Err(error) => log::warn!("a WebSocket ended before it began: {error}"),
    });
    let response =
        Response::new(101).header("Upgrade", "websocket").header("Sec-WebSocket-Accept", accept);
    Ok(Answer::Upgrade { response, serve })
}

/// Whether this asks for a WebSocket of the version that is spoken here.
fn check_upgrade(request: &Request<'_>) -> Result<(), &'static str> {
    let asks = *request.method() == Method::Get
        && request.version() == Version::Http11
        && lists(request, "connection", "upgrade")
        && lists(request, "upgrade", "websocket");
    if !asks {
        return Err("this path speaks WebSocket: connect to it with a WebSocket client");
    }
    if request.header("sec-websocket-version") != Some("13") {
        return Err("version 13 of the WebSocket protocol is spoken here");
    }
    Ok(())
}

/// The client's key: 16 bytes in base64.
fn key<'r>(request: &'r Request<'_>) -> Result<&'r str, Problem> {
    let key = request.header("sec-websocket-key").map(str::trim).unwrap_or_default();
    match STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == 16 => Ok(key),
        _ => {
            let detail = "`Sec-WebSocket-Key` must be 16 bytes in base64, once";
            Err(Problem::new(Code::BadRequest, detail))
        }
    }
}

/// Whether a word is among those of a list field.
fn lists(request: &Request<'_>, name: &str, word: &str) -> bool {
    let mut words = request.values(name).flat_map(|value| value.split(','));
    words.any(|found| found.trim().eq_ignore_ascii_case(word))
}
