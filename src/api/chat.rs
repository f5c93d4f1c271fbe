//! The two ways to ask: a whole answer, or its events as they come.
//!
//! Both follow the session and watch the client's connection meanwhile: when the client goes
//! away its turn is stopped, unless the request said `background`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::fields::Fields;
use crate::api::{Api, Params};
use crate::error::{Code, Problem};
use crate::event::Body;
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

fn read(request: &mut Request<'_>) -> Result<Asked, Problem> {
    let fields = Fields::read(request)?;
    Ok(Asked { background: fields.flag("background")?, prompt: prompt(&fields)? })
}

/// What a chat asks for, however it came.
pub(super) fn prompt(fields: &Fields) -> Result<Prompt, Problem> {
    let title = fields.string("title")?;
    let title = title.map(|title| super::sessions::checked_title(&title)).transpose()?;
    // Every permission is `allow` until permissions are configured, so both answers are one.
    fields.word("permissions", &["ask", "refuse"])?;
    Ok(Prompt {
        message: fields.required("message")?,
        session: fields.string("sessionId")?,
        title,
        agent: fields.string("agent")?,
        model: fields.string("model")?,
    })
}

pub(super) fn chat(
    api: &Api,
    request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    let Asked { prompt, background } = read(request)?;
    let mut started = api.sessions.start(prompt)?;
    let mut transcript = Transcript::default();
    let mut code = Code::Internal;
    let mut agent = String::new();
    let socket = (!background).then(|| request.socket());
    loop {
        let next = started.events.next(socket, LONG).unwrap_or(Next::Departed);
        match next {
            Next::Events(events) => {
                for event in events {
                    transcript.apply(&event.body);
                    match &event.body {
                        Body::Session { agent: answers, .. } => agent.clone_from(answers),
                        Body::Error { code: word, .. } => {
                            code = Code::parse(word).unwrap_or(Code::Internal);
                        }
                        Body::Done { .. } => {
                            return Ok(Answer::Full(whole(&started, &agent, code, transcript)));
                        }
                        _ => {}
                    }
                }
            }
            Next::Quiet => {}
            Next::Departed | Next::Closed(_) => {
                api.sessions.abort_turn(&started.session_id, &started.message_id);
                let detail = "the client went away, and its turn was stopped";
                return Err(Problem::new(Code::Aborted, detail));
            }
        }
    }
}

/// The answer to `/api/chat`: a turn that failed is a problem that keeps what was said.
fn whole(started: &Started, agent: &str, code: Code, transcript: Transcript) -> Response {
    let Some(message) = transcript.into_messages().pop() else {
        return Response::problem(&Problem::new(Code::Internal, "the turn left no message"));
    };
    if let Some(error) = message.error {
        let problem = Problem::new(code, error)
            .with("sessionId", started.session_id.as_str())
            .with("messageId", started.message_id.as_str())
            .with("content", message.content);
        return Response::problem(&problem);
    }
    let calls: Vec<Value> = calls(&message).collect();
    Response::json(
        200,
        &json!({
            "sessionId": started.session_id,
            "messageId": started.message_id,
            "content": message.content,
            "agent": agent,
            "model": message.model,
            "toolCalls": calls,
            "usage": message.usage,
            "finishReason": message.finish_reason,
        }),
    )
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
    let Asked { prompt, background } = read(request)?;
    let mut started = api.sessions.start(prompt)?;
    let sessions = Arc::clone(&api.sessions);
    let heartbeat = api.server.limits.heartbeat;
    let write = Box::new(move |stream: &mut EventStream<'_>| {
        let result = forward(&mut started, stream, heartbeat, background);
        if !matches!(result, Ok(End::Done)) && !background {
            stop(&sessions, &started);
        }
        result.map(|_| ())
    });
    Ok(Answer::Events { headers: Vec::new(), write })
}

fn stop(sessions: &Sessions, started: &Started) {
    log::info!("the client of turn {} went away; stopping it", started.message_id);
    sessions.abort_turn(&started.session_id, &started.message_id);
}

enum End {
    Done,
    Departed,
}

/// Writes the turn's events until its last, or until the client is gone.
fn forward(
    started: &mut Started,
    stream: &mut EventStream<'_>,
    heartbeat: Duration,
    background: bool,
) -> io::Result<End> {
    loop {
        match started.events.next(Some(stream.socket()), heartbeat)? {
            Next::Events(events) => {
                for event in events {
                    let data = serde_json::to_string(&event.body)?;
                    stream.event(Some(event.id), &data)?;
                    if let Body::Done { message_id, .. } = &event.body
                        && *message_id == started.message_id
                    {
                        return Ok(End::Done);
                    }
                }
            }
            Next::Quiet => stream.comment("")?,
            Next::Departed => return Ok(End::Departed),
            Next::Closed(Closed::TooSlow) => {
                let word = if background { "the turn goes on" } else { "the turn is stopped" };
                stream.comment(&format!("cut off for reading too slowly; {word}"))?;
                return Ok(End::Departed);
            }
            Next::Closed(Closed::Ended) => return Ok(End::Done),
        }
    }
}
