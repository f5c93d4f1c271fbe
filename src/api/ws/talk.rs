//! What is said on one WebSocket: a client's messages and their answers, and the events of the
//! sessions it subscribed to, in turns so that none of them starves.
//!
//! Knows sessions and JSON; sockets and frames are not known here.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::api::chat;
use crate::api::fields::Fields;
use crate::error::{Code, Problem};
use crate::event::{Body, Event, EventId};
use crate::os::Waker;
use crate::session::{ALL_SESSIONS, Closed, Follower, Next, Sessions, Started};

/// Sessions that one socket may follow at once.
const SUBSCRIPTIONS: usize = 64;
/// Turns asked for by a name of the client's that have not told their end.
const ASKED: usize = 256;
/// Events of one session before another one's turn.
const BURST: usize = 16;
/// What a client may say.
const KINDS: [&str; 6] = ["chat", "abort", "permission", "subscribe", "unsubscribe", "ping"];

/// One client's conversation.
pub(super) struct Talk {
    sessions: Arc<Sessions>,
    /// Woken when any subscription has something.
    waker: Arc<Waker>,
    subscriptions: Vec<Subscription>,
    /// Whose turn it is first in the next round.
    first: usize,
    /// The turns this client asked for by a name of its own.
    asked: Vec<Asked>,
    /// Sessions whose deletion was told by their own subscription.
    deleted: VecDeque<String>,
}

struct Subscription {
    follower: Follower,
    /// Taken from the follower and not told yet.
    ready: VecDeque<Arc<Event>>,
    has_ended: bool,
}

/// A turn that this client asked for.
struct Asked {
    session_id: String,
    message_id: String,
    request_id: Value,
    /// The high bits of its events' ids, once its first event was seen.
    turn: Option<EventId>,
}

/// What came of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// There is more to tell.
    More,
    /// Everything is told.
    Rest,
    /// The client did not keep up with a session.
    TooSlow,
}

/// An event as it stands on the wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    #[serde(flatten)]
    body: &'a Body,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a Value>,
}

impl Talk {
    pub(super) fn new(sessions: Arc<Sessions>, waker: Arc<Waker>) -> Self {
        Self {
            sessions,
            waker,
            subscriptions: Vec::new(),
            first: 0,
            asked: Vec::new(),
            deleted: VecDeque::new(),
        }
    }

    /// Does what a message asks for. A refusal is one `error` event; most else is answered by the
    /// events that follow.
    pub(super) fn hear(&mut self, message: &[u8]) -> Option<String> {
        let parsed = Fields::parse(message, "the message");
        let labelled = parsed.and_then(|fields| Ok((fields.label("requestId")?, fields)));
        let (request, done) = match labelled {
            Ok((request, fields)) => {
                let done = self.act(&fields, request.as_ref());
                (request, done)
            }
            Err(problem) => (None, Err(problem)),
        };
        done.unwrap_or_else(|problem| Some(refusal(&problem, None, request.as_ref())))
    }

    /// The answer to a message that is not text; the socket stays open, as after any bad message.
    pub(super) fn refuse_binary() -> String {
        let detail = "a message is JSON in a text frame, and this one is binary";
        refusal(&Problem::new(Code::BadJson, detail), None, None)
    }

    fn act(&mut self, fields: &Fields, request: Option<&Value>) -> Result<Option<String>, Problem> {
        fields.required("type")?;
        match fields.word("type", &KINDS)?.as_deref() {
            Some("chat") => self.chat(fields, request)?,
            Some("abort") => self.sessions.abort(&fields.required("sessionId")?)?,
            Some("permission") => {
                let id = fields.required("id")?;
                fields.required("reply")?;
                let reply = fields.word("reply", &["once", "always", "reject"])?;
                self.sessions.reply_permission(&id, &reply.unwrap_or_default())?;
            }
            Some("subscribe") => self.subscribe(fields)?,
            Some("unsubscribe") => {
                let session = fields.required("sessionId")?;
                self.subscriptions.retain(|one| one.follower.session() != session);
            }
            _ => return Ok(Some(r#"{"type":"pong"}"#.to_owned())),
        }
        Ok(None)
    }

    fn chat(&mut self, fields: &Fields, request: Option<&Value>) -> Result<(), Problem> {
        if request.is_some() && self.asked.len() >= ASKED {
            let detail = format!(
                "{ASKED} turns of this socket have not told their `done` yet: read its events \
                 first, or leave `requestId` out"
            );
            return Err(Problem::new(Code::AtCapacity, detail));
        }
        let prompt = chat::prompt(fields, true)?;
        let known = prompt.session.as_ref().is_some_and(|id| self.place_of(id).is_some());
        if !known {
            self.check_room()?;
        }
        let Started { session_id, message_id, events } =
            self.sessions.start_with(prompt, Arc::clone(&self.waker))?;
        if let Some(request) = request {
            let (session_id, request_id) = (session_id.clone(), request.clone());
            self.asked.push(Asked { session_id, message_id, request_id, turn: None });
        }
        // Two followers of one session would tell everything twice.
        if !known {
            self.subscriptions.push(Subscription::new(events));
        }
        Ok(())
    }

    /// Follows a session from now on, or from behind an event; the latter of a session that is
    /// followed already begins again there.
    fn subscribe(&mut self, fields: &Fields) -> Result<(), Problem> {
        let session = fields.required("sessionId")?;
        let after = fields.event_id("after")?;
        let known = self.place_of(&session);
        let is_all = session == ALL_SESSIONS;
        if known.is_some() && (after.is_none() || is_all) {
            return Ok(());
        }
        if known.is_none() {
            self.check_room()?;
        }
        let waker = Arc::clone(&self.waker);
        let follower = if is_all {
            self.sessions.follow_all(waker)
        } else {
            self.sessions.follow_with(&session, after, waker)?
        };
        match known {
            Some(at) => self.subscriptions[at] = Subscription::new(follower),
            None => self.subscriptions.push(Subscription::new(follower)),
        }
        Ok(())
    }

    fn place_of(&self, session: &str) -> Option<usize> {
        self.subscriptions.iter().position(|one| one.follower.session() == session)
    }

    fn check_room(&self) -> Result<(), Problem> {
        if self.subscriptions.len() < SUBSCRIPTIONS {
            return Ok(());
        }
        let detail = format!(
            "one socket follows at most {SUBSCRIPTIONS} sessions: unsubscribe from one, or open \
             another socket"
        );
        Err(Problem::new(Code::AtCapacity, detail))
    }

    /// Tells what happened in the sessions, a burst of each, until about `most` bytes are told.
    pub(super) fn round(&mut self, most: usize, say: &mut dyn FnMut(String)) -> Round {
        let count = self.subscriptions.len();
        let first = self.first;
        self.first = if count == 0 { 0 } else { (first + 1) % count };
        let mut round = Round::Rest;
        let mut told = 0;
        for at in (0..count).map(|offset| (first + offset) % count) {
            if told >= most {
                round = Round::More;
                break;
            }
            let mut tell = |text: String| {
                told += text.len();
                say(text);
            };
            match self.burst(at, most, &mut tell) {
                Round::Rest => {}
                Round::More => round = Round::More,
                Round::TooSlow => return Round::TooSlow,
            }
        }
        self.subscriptions.retain(|one| !one.has_ended);
        round
    }

    fn burst(&mut self, at: usize, most: usize, say: &mut dyn FnMut(String)) -> Round {
        let mut told = 0;
        for _ in 0..BURST {
            if told >= most {
                break;
            }
            let one = &mut self.subscriptions[at];
            let Some(event) = one.ready.pop_front() else {
                match one.follower.poll() {
                    Ok(Some(Next::Events(events))) => one.ready = events,
                    Ok(Some(Next::Closed(Closed::TooSlow))) => return Round::TooSlow,
                    Ok(Some(Next::Closed(Closed::Ended))) => {
                        one.has_ended = true;
                        return Round::Rest;
                    }
                    Ok(_) => return Round::Rest,
                    Err(error) => {
                        one.has_ended = true;
                        let problem = Problem::new(Code::StoreFailed, error.to_string());
                        say(refusal(&problem, Some(one.follower.session()), None));
                        return Round::Rest;
                    }
                }
                continue;
            };
            let session = one.follower.session().to_owned();
            if let Some(text) = self.told(&session, &event) {
                told += text.len();
                say(text);
            }
        }
        Round::More
    }

    /// An event of a subscription as JSON; nothing where another subscription tells it.
    fn told(&mut self, session: &str, event: &Event) -> Option<String> {
        let mut session_id = Some(session);
        match &event.body {
            Body::Session { .. } => session_id = None,
            Body::SessionChanged { session_id: changed, .. } => {
                session_id = None;
                if session == ALL_SESSIONS && self.place_of(changed).is_some() {
                    return None;
                }
            }
            Body::SessionDeleted { session_id: gone } => {
                session_id = None;
                if session == ALL_SESSIONS {
                    let told = self.deleted.iter().position(|deleted| deleted == gone);
                    if told.and_then(|at| self.deleted.remove(at)).is_some()
                        || self.place_of(gone).is_some()
                    {
                        return None;
                    }
                } else if self.place_of(ALL_SESSIONS).is_some() {
                    self.deleted.truncate(SUBSCRIPTIONS - 1);
                    self.deleted.push_front(gone.clone());
                }
            }
            _ => {}
        }
        let request = self.request_of(session, event);
        let event_id = (event.id != 0).then_some(event.id);
        let told = Told { body: &event.body, session_id, event_id, request_id: request.as_ref() };
        json(&told)
    }

    /// This client's name for the turn of an event, if it asked for that turn.
    fn request_of(&mut self, session: &str, event: &Event) -> Option<Value> {
        let turn = event.id >> 32;
        let at = self.asked.iter_mut().position(|asked| {
            if asked.session_id != session {
                return false;
            }
            match &event.body {
                Body::Session { message_id, .. } if *message_id == asked.message_id => {
                    asked.turn = Some(turn);
                    true
                }
                Body::Done { message_id, .. } => *message_id == asked.message_id,
                _ => asked.turn == Some(turn),
            }
        })?;
        Some(match event.body {
            Body::Done { .. } => self.asked.remove(at).request_id,
            _ => self.asked[at].request_id.clone(),
        })
    }
}

impl Subscription {
    fn new(follower: Follower) -> Self {
        Self { follower, ready: VecDeque::new(), has_ended: false }
    }
}

/// A problem as an `error` event that belongs to no turn.
fn refusal(problem: &Problem, session_id: Option<&str>, request_id: Option<&Value>) -> String {
    let code = problem.code.as_str().to_owned();
    let body =
        Body::Error { code, message: problem.detail.clone(), retry_after: problem.retry_after };
    json(&Told { body: &body, session_id, event_id: None, request_id }).unwrap_or_default()
}

fn json(told: &Told<'_>) -> Option<String> {
    let json = serde_json::to_string(told);
    json.inspect_err(|error| log::error!("an event is no JSON: {error}")).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_its_body_with_its_place() {
        let body = Body::Text { content: "hi".into() };
        let request = json!(7);
        let told = Told {
            body: &body,
            session_id: Some("s"),
            event_id: Some(1 << 32 | 2),
            request_id: Some(&request),
        };
        let wanted =
            r#"{"type":"text","content":"hi","sessionId":"s","eventId":4294967298,"requestId":7}"#;
        assert_eq!(json(&told).as_deref(), Some(wanted));
        let gap =
            Told { body: &Body::Gap, session_id: Some("s"), event_id: None, request_id: None };
        assert_eq!(json(&gap).as_deref(), Some(r#"{"type":"gap","sessionId":"s"}"#));
    }
}
