//! What is asked of the server by HTTP, on a thread that does one thing after the other.

use std::thread::JoinHandle;
use std::time::SystemTime;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cancel::Cancel;
use crate::client::{ClientError, Remote};
use crate::error::Code;
use crate::event::EventId;
use crate::message::{Message, Usage};
use crate::tui::clean;

/// Messages of a page.
pub(super) const PAGE: usize = 50;
/// Sessions that are listed.
const SESSIONS: usize = 200;
/// Paths that complete a word.
const FILES: usize = 8;
/// Questions that wait for the thread.
const WAITING: usize = 32;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Query {
    /// The newest messages of a session.
    Open { session: String },
    /// The messages before one.
    Older { session: String, before: String },
    /// The newest sessions.
    Sessions,
    /// Models, and what their providers want.
    Models,
    /// Agents.
    Agents,
    /// Paths that match.
    Files { query: String },
    /// Another title.
    Rename { session: String, title: String },
    /// Away with a session.
    Delete { session: String },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Answer {
    Opened(Box<Opened>),
    Older {
        session: String,
        messages: Vec<Message>,
        has_more: bool,
    },
    Sessions(Vec<Session>),
    Models(Vec<Model>),
    Agents(Vec<Agent>),
    Files {
        query: String,
        paths: Vec<String>,
    },
    Renamed(Session),
    Deleted(String),
    /// It failed: one sentence.
    Failed {
        query: Query,
        why: String,
        is_missing: bool,
    },
}

/// A session in a list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) updated_at: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) message_count: u64,
    /// How long ago that was, in a word.
    #[serde(skip)]
    pub(crate) age: String,
    /// A tool of it asks.
    #[serde(default)]
    pub(crate) waiting: bool,
}

/// A model in a list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) context_window: Option<u64>,
    pub(crate) available: bool,
    /// The variable that its provider's key belongs in.
    #[serde(skip)]
    pub(crate) wants: Option<String>,
}

/// An agent in a list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Agent {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) description: String,
}

/// A tool that asks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pending {
    pub(crate) id: String,
    pub(crate) call_id: String,
    pub(crate) tool: String,
    pub(crate) args: Value,
    pub(crate) reason: String,
    pub(crate) always: Vec<String>,
}

/// A session as it is opened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Opened {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) agent: String,
    pub(crate) model: String,
    pub(crate) is_running: bool,
    pub(crate) usage: Usage,
    pub(crate) messages: Vec<Message>,
    pub(crate) has_older: bool,
    pub(crate) pending: Vec<Pending>,
    /// The newest event that the messages tell of.
    pub(crate) last: EventId,
}

/// The thread.
pub(super) struct Api {
    queries: Sender<Query>,
    cancel: Cancel,
    thread: JoinHandle<()>,
}

impl Api {
    /// Starts it; it tells what came of each query to `tell`, until that refuses.
    pub(super) fn start(
        remote: Remote,
        tell: impl Fn(Answer) -> Result<(), ()> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queries, taken) = bounded::<Query>(WAITING);
        let cancel = Cancel::new();
        let until = cancel.clone();
        let work = move || answer_all(&taken, &remote, &until, &tell);
        let thread = crate::os::thread("api", work)?;
        Ok(Self { queries, cancel, thread })
    }

    /// Asks. What does not fit because the server takes long is dropped.
    pub(super) fn ask(&self, query: Query) {
        let _ = self.queries.try_send(query);
    }

    /// Ends it, with what it is doing.
    pub(super) fn end(self) {
        self.cancel.cancel();
        drop(self.queries);
        let _ = self.thread.join();
    }
}

fn answer_all(
    queries: &Receiver<Query>,
    remote: &Remote,
    cancel: &Cancel,
    tell: &dyn Fn(Answer) -> Result<(), ()>,
) {
    while let Ok(query) = queries.recv() {
        // Who types asks more often than a far server answers: the newest word counts.
        if matches!(query, Query::Files { .. }) && !queries.is_empty() {
            continue;
        }
        let answer = answer(&query, remote, cancel).unwrap_or_else(|error| {
            let is_missing =
                matches!(&error, ClientError::Refused(p) if p.code == Code::SessionNotFound);
            Answer::Failed { query, why: error.to_string(), is_missing }
        });
        if cancel.is_cancelled() || tell(answer).is_err() {
            return;
        }
    }
}

fn answer(query: &Query, remote: &Remote, cancel: &Cancel) -> Result<Answer, ClientError> {
    let get = |path: &str| {
        let mut value = remote.get(path, cancel)?;
        clean::clean(&mut value);
        Ok(value)
    };
    Ok(match query {
        Query::Open { session } => {
            let value = get(&format!("/api/sessions/{session}?limit={PAGE}"))?;
            Answer::Opened(Box::new(opened(value)?))
        }
        Query::Older { session, before } => {
            let path = format!("/api/sessions/{session}?limit={PAGE}&before={before}");
            let messages: Vec<Message> = read(get(&path)?["messages"].take())?;
            let has_more = messages.len() == PAGE;
            Answer::Older { session: session.clone(), messages, has_more }
        }
        Query::Sessions => {
            let mut sessions: Vec<Session> =
                read(get(&format!("/api/sessions?limit={SESSIONS}"))?)?;
            let now = SystemTime::now();
            for session in &mut sessions {
                let then = humantime::parse_rfc3339(&session.updated_at).unwrap_or(now);
                // A clock that was set back makes no time of the future.
                session.age = age(now.duration_since(then).unwrap_or_default().as_secs());
            }
            Answer::Sessions(sessions)
        }
        Query::Models => {
            let mut models: Vec<Model> = read(get("/api/models")?)?;
            let providers = get("/api/providers")?;
            for model in models.iter_mut().filter(|model| !model.available) {
                let provider = model.id.split('/').next().unwrap_or_default();
                let all = providers.as_array().map(Vec::as_slice).unwrap_or_default();
                let known = all.iter().find(|one| one["id"] == provider);
                let variable = known.and_then(|one| one["keyVariable"].as_str());
                model.wants = variable.map(str::to_owned);
            }
            Answer::Models(models)
        }
        Query::Agents => Answer::Agents(read(get("/api/agents")?)?),
        Query::Files { query } => {
            let encoded: String = query.bytes().map(encoded).collect();
            let paths = read(get(&format!("/api/files?limit={FILES}&query={encoded}"))?)?;
            Answer::Files { query: query.clone(), paths }
        }
        Query::Rename { session, title } => {
            let path = format!("/api/sessions/{session}");
            let mut value = remote.patch(&path, &json!({ "title": title }), cancel)?;
            clean::clean(&mut value);
            Answer::Renamed(read(value)?)
        }
        Query::Delete { session } => {
            remote.delete(&format!("/api/sessions/{session}"), cancel)?;
            Answer::Deleted(session.clone())
        }
    })
}

/// So many seconds, in a word.
fn age(seconds: u64) -> String {
    match seconds {
        ..60 => "now".to_owned(),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A byte as it stands in a query.
fn encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// A session's JSON, made harmless already.
pub(super) fn opened(mut value: Value) -> Result<Opened, ClientError> {
    let word = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let messages: Vec<Message> = read(value["messages"].take())?;
    let count = value["messageCount"].as_u64().unwrap_or_default();
    Ok(Opened {
        id: word(&value, "id"),
        title: word(&value, "title"),
        agent: word(&value, "agent"),
        model: word(&value, "model"),
        is_running: value["status"] == "running",
        usage: read(value["usage"].take())?,
        has_older: messages.len() == PAGE && count > PAGE as u64,
        messages,
        pending: read(value["pendingPermissions"].take())?,
        last: value["lastEventId"].as_u64().unwrap_or_default(),
    })
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ClientError> {
    serde_json::from_value(value)
        .map_err(|error| ClientError::Lost(format!("the server answered oddly: {error}")))
}
