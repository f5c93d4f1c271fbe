//! The terminal UI of `opencode attach`: three parts, and what feeds them.
//!
//! `state` folds what the server tells and what a person types into what is shown; `view` draws
//! that; `run` is the loop between them, the terminal and the threads `link` (WebSocket), `api`
//! (HTTP), `keyboard` and `signals`. All of it uses the public protocol alone. A terminal that
//! cannot place a cursor gets `plain`, a conversation line by line.

mod api;
mod clean;
mod keys;
mod link;
mod plain;
mod prompts;
mod run;
mod state;
mod terminal;
mod view;

use std::io;
use std::path::PathBuf;

use serde_json::Value;

use crate::cancel::Cancel;
use crate::client::{ClientError, Remote};
use state::{Chat, Server, State};
use view::View;
use view::look::Look;

pub use run::Ended;

/// What to begin with.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// This session.
    pub session: Option<String>,
    /// The session that changed last.
    pub newest: bool,
    /// The agent of the next message.
    pub agent: Option<String>,
    /// The model of the next message.
    pub model: Option<String>,
}

/// A server that was asked whether it can give what is wished for.
pub struct Prepared {
    server: Server,
    chat: Chat,
    wish: Wish,
}

/// Asks the server what is needed before the terminal is taken.
///
/// # Errors
/// It cannot be reached, is no opencode server, refuses, or does not have what is wished for.
pub fn prepare(remote: &Remote, wish: &Wish, cancel: &Cancel) -> Result<Prepared, ClientError> {
    let no_server = || {
        let text = format!("{} answers, and is no opencode server", remote.url());
        ClientError::Unreachable(format!("{text}: is the address right?"))
    };
    let get = |path: &str| {
        let mut value = remote.get(path, cancel)?;
        clean::clean(&mut value);
        Ok(value)
    };
    let status = match get("/api/status") {
        Err(ClientError::Lost(_)) => return Err(no_server()),
        status => status?,
    };
    if status["apiVersion"] != 1 {
        return Err(match &status["apiVersion"] {
            Value::Number(version) => ClientError::Unreachable(format!(
                "{} speaks version {version} of the API, and this program version 1",
                remote.url()
            )),
            _ => no_server(),
        });
    }
    let word = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    let name = remote.url().split_once("://").map_or(remote.url(), |(_, rest)| rest);
    let server = Server {
        name: name.to_owned(),
        directory: word("directory"),
        model: word("defaultModel"),
        agent: word("defaultAgent"),
    };
    for (kind, wanted) in [("agent", &wish.agent), ("model", &wish.model)] {
        let Some(wanted) = wanted else { continue };
        let all = get(&format!("/api/{kind}s"))?;
        let all = all.as_array().map(Vec::as_slice).unwrap_or_default();
        if !all.iter().any(|one| one["id"] == **wanted) {
            let text = format!("no {kind} is called {wanted}; see `opencode {kind}s --attach URL`");
            return Err(ClientError::Usage(text));
        }
    }
    let session = match &wish.session {
        None if wish.newest => Some(newest(&get("/api/sessions")?)?),
        session => session.clone(),
    };
    let chat = match session {
        Some(session) => {
            // The whole of it is asked for again once the screen is there.
            let value = get(&format!("/api/sessions/{session}?limit=1"))?;
            Chat::fetching(&session, value["title"].as_str().unwrap_or_default())
        }
        None => Chat::new(),
    };
    Ok(Prepared { server, chat, wish: wish.clone() })
}

/// Runs on this terminal until the person leaves, or something else ends it. The terminal is then
/// as it was. Prompts are kept in the file `kept`; `get` reads the environment.
///
/// # Errors
/// The terminal cannot be used.
pub fn run(
    remote: &Remote,
    prepared: Prepared,
    kept: Option<PathBuf>,
    get: impl Fn(&str) -> Option<String>,
) -> io::Result<Ended> {
    let Prepared { server, chat, wish } = prepared;
    if matches!(get("TERM").as_deref(), None | Some("dumb" | "")) {
        return plain::run(remote, &server, chat.id, &wish);
    }
    let mut state = State::new(server, chat, (80, 24));
    (state.agent, state.model) = (wish.agent, wish.model);
    for prompt in kept.as_deref().map(prompts::read).unwrap_or_default() {
        state.history.add(&prompt);
    }
    run::run(remote, state, View::new(Look::of(get)), kept)
}

/// The session that changed last.
fn newest(sessions: &Value) -> Result<String, ClientError> {
    let all = sessions.as_array().map(Vec::as_slice).unwrap_or_default();
    let time = |session: &&Value| {
        session["updatedAt"].as_str().and_then(|text| humantime::parse_rfc3339(text).ok())
    };
    let newest = all.iter().max_by_key(time).and_then(|session| session["id"].as_str());
    newest.map(str::to_owned).ok_or_else(|| {
        ClientError::Usage("there is no session to continue; leave --continue out".to_owned())
    })
}
