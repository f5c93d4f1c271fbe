//! `GET /api/sessions/{id}/events`: a session's events as server-sent events, from now on or from
//! behind the last one that a client has.

use std::io;
use std::time::Duration;

use crate::api::fields::FIRST_INEXACT;
use crate::api::{Api, Params};
use crate::error::{Code, Problem};
use crate::event::EventId;
use crate::http::{Answer, EventStream, Request};
use crate::session::{Closed, Follower, Next};

pub(super) fn follow(
    api: &Api,
    request: &mut Request<'_>,
    params: &Params<'_>,
) -> Result<Answer, Problem> {
    // Followed before the head of the answer goes out: whoever has the head misses nothing.
    let mut follower = api.sessions.follow(params.id, after(request, params)?)?;
    let heartbeat = api.facts.server.limits.heartbeat;
    let write =
        Box::new(move |stream: &mut EventStream<'_>| forward(&mut follower, stream, heartbeat));
    Ok(Answer::Events { headers: Vec::new(), write })
}

/// The last event that the client has. What a browser sends when it comes back goes over the
/// address, which is still that of its first visit; an empty value is none, as in the HTML
/// standard.
fn after(request: &Request<'_>, params: &Params<'_>) -> Result<Option<EventId>, Problem> {
    let fields: Vec<_> = request.values("last-event-id").collect();
    let (name, value) = match &fields[..] {
        [] => ("after", params.query("after").unwrap_or_default()),
        [one] => ("Last-Event-ID", one.trim().to_owned()),
        _ => ("Last-Event-ID", fields.join(", ")),
    };
    if value.is_empty() {
        return Ok(None);
    }
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse() {
        Ok(id) if is_number && id < FIRST_INEXACT => Ok(Some(id)),
        _ => {
            let detail = format!(
                "`{name}` must be the `id:` of an event of this session, or 0, and is \"{}\"",
                crate::text::keep_both_ends(&value, 80).escape_debug()
            );
            Err(Problem::new(Code::BadField, detail))
        }
    }
}

/// Writes events until the session is deleted, the server stops, or the client is gone.
fn forward(
    follower: &mut Follower,
    stream: &mut EventStream<'_>,
    heartbeat: Duration,
) -> io::Result<()> {
    loop {
        match follower.next(Some(stream.socket()), heartbeat)? {
            Next::Events(events) => {
                for event in events {
                    let data = serde_json::to_string(&event.body)?;
                    stream.event((event.id != 0).then_some(event.id), &data)?;
                }
            }
            Next::Quiet => stream.comment("")?,
            Next::Departed | Next::Closed(Closed::Ended) => return Ok(()),
            Next::Closed(Closed::TooSlow) => {
                return stream.comment("cut off for reading too slowly; resume with Last-Event-ID");
            }
        }
    }
}
