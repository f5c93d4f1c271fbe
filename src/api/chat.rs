//! The two ways to ask: a whole answer, or its events as they come.
//!
//! Both follow the session and watch the client's connection meanwhile: when the client goes
//! away its turn is stopped, unless the request said `background`.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::fields::Fields;
use crate::api::{Api, Params};
use crate::context;
use crate::error::{Code, Problem};
use crate::event::{Body, Event};
use crate::http::{Answer, EventStream, Request, Response};
use crate::message::{Message, Part};
use crate::session::{Closed, Next, Prompt, Sessions, Started};
use crate::transcript::Transcript;

/// How long to wait before looking again where nothing else bounds a wait.
const LONG: Duration = Duration::from_secs(3600);

struct Asked {
    prompt: Prompt,
    background: bool,
}

fn read(request: &mut Request<'_>, asks: bool) -> Result<Asked, Problem> {
    let fields = Fields::read(request)?;
    Ok(Asked { background: fields.flag("background")?, prompt: prompt(&fields, asks)? })
}

/// What a chat asks for, however it came; `asks` says whether somebody can answer where it does
/// not say so itself.
pub(super) fn prompt(fields: &Fields, asks: bool) -> Result<Prompt, Problem> {
    let title = fields.string("title")?;
    let title = title.map(|title| super::sessions::checked_title(&title)).transpose()?;
    let permissions = fields.word("permissions", &["ask", "refuse"])?;
    Ok(Prompt {
        message: fields.required("message")?,
        session: fields.string("sessionId")?,
        title,
        agent: fields.string("agent")?,
        model: fields.string("model")?,
        can_ask: permissions.map_or(asks, |word| word == "ask"),
    })
}

/// A turn and its client: when the one who asked goes away, in whatever way, the turn is stopped,
/// unless it runs in the background. Stopping one that has ended does nothing.
struct Attended {
    sessions: Arc<Sessions>,
    started: Started,
    background: bool,
}

impl Attended {
    fn start(api: &Api, request: &mut Request<'_>, asks: bool) -> Result<Self, Problem> {
        let Asked { prompt, background } = read(request, asks)?;
        let started = api.sessions.start(prompt)?;
        context::work_on(context::Turn {
            session_id: started.session_id.clone(),
            message_id: started.message_id.clone(),
        });
        Ok(Self { sessions: Arc::clone(&api.sessions), started, background })
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        if !self.background {
            self.sessions.abort_turn(&self.started.message_id);
        }
    }
}

pub(super) fn chat(
    api: &Api,
    request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    let mut attended = Attended::start(api, request, false)?;
    let socket = Some(request.socket());
    let started = &mut attended.started;
    let mut transcript = Transcript::default();
    let mut failed = (Code::Internal, None);
    let mut agent = String::new();
    loop {
        let events = match started.events.next(socket, LONG).unwrap_or(Next::Departed) {
            Next::Events(events) => events,
            Next::Quiet => continue,
            Next::Departed | Next::Closed(_) => {
                let goes_on = if attended.background { "goes on" } else { "was stopped" };
                let detail = format!("the client went away, and its turn {goes_on}");
                return Err(Problem::new(Code::Aborted, detail));
            }
        };
        for event in events {
            transcript.apply(&event.body);
            match &event.body {
                Body::Session { agent: answers, .. } => agent.clone_from(answers),
                Body::Error { code, retry_after, .. } => {
                    failed = (Code::parse(code).unwrap_or(Code::Internal), *retry_after);
                }
                Body::Done { message_id, .. } if *message_id == started.message_id => {
                    return Ok(Answer::Full(whole(started, &agent, failed, transcript)));
                }
                _ => {}
            }
        }
    }
}

/// The answer to `/api/chat`: a turn that failed is a problem that keeps what was said.
fn whole(
    started: &Started,
    agent: &str,
    (code, retry_after): (Code, Option<u64>),
    transcript: Transcript,
) -> Response {
    let message = transcript.into_answer();
    if let Some(error) = message.error {
        let mut problem = Problem::new(code, error)
            .with("sessionId", started.session_id.as_str())
            .with("messageId", started.message_id.as_str())
            .with("content", message.content);
        problem.retry_after = retry_after;
        return Response::problem(&problem);
    }
    let calls: Vec<Value> = calls(&message).collect();
    let mut reply = json!({
        "sessionId": started.session_id,
        "messageId": started.message_id,
        "content": message.content,
        "agent": agent,
        "model": message.model,
        "toolCalls": calls,
        "usage": message.usage,
        "finishReason": message.finish_reason,
    });
    if let Some(limit) = message.limit {
        reply["limit"] = json!(limit);
    }
    Response::json(200, &reply)
}

fn calls(message: &Message) -> impl Iterator<Item = Value> {
    message.parts.iter().filter_map(|part| match part {
        Part::Tool { id, tool, args, result, is_error, .. } => Some(json!({
            "id": id, "tool": tool, "args": args, "result": result, "isError": is_error,
        })),
        Part::Text { .. } | Part::Reasoning { .. } => None,
    })
}

pub(super) fn stream(
    api: &Api,
    request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    let mut attended = Attended::start(api, request, true)?;
    let heartbeat = api.facts.server.limits.heartbeat;
    let write = Box::new(move |stream: &mut EventStream<'_>| {
        let background = attended.background;
        forward(&mut attended.started, stream, heartbeat, background)
    });
    Ok(Answer::Events { headers: Vec::new(), write })
}

/// Writes the turn's events until its last, or until the client is gone.
fn forward(
    started: &mut Started,
    stream: &mut EventStream<'_>,
    heartbeat: Duration,
    background: bool,
) -> io::Result<()> {
    loop {
        match started.events.next(Some(stream.socket()), heartbeat)? {
            Next::Events(events) => {
                if tell(events, stream, &started.message_id)? {
                    return Ok(());
                }
            }
            Next::Quiet => stream.comment("")?,
            Next::Departed => {
                log::info!("the client of turn {} went away", started.message_id);
                return Ok(());
            }
            Next::Closed(Closed::TooSlow) => {
                let word = if background { "the turn goes on" } else { "the turn is stopped" };
                return stream.comment(&format!("cut off for reading too slowly; {word}"));
            }
            Next::Closed(Closed::Ended) => return Ok(()),
        }
    }
}

/// Writes events, and tells whether the answer's last is among them.
// A stream waits most of its time, and printing should take no stack meanwhile.
#[inline(never)]
fn tell(
    events: VecDeque<Arc<Event>>,
    stream: &mut EventStream<'_>,
    message: &str,
) -> io::Result<bool> {
    for event in events {
        let data = serde_json::to_string(&event.body)?;
        stream.event(Some(event.id), &data)?;
        if let Body::Done { message_id, .. } = &event.body
            && message_id == message
        {
            return Ok(true);
        }
    }
    Ok(false)
}
