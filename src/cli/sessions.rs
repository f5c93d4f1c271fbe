//! `opencode sessions`: what was asked before, listed, shown, deleted and exported.
//!
//! The sessions are those of this project's store, beside a running server or without one, or
//! with `--attach` a server's. Either way they are what the API gives, so that what is done with
//! them is the same.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cancel::Cancel;
use crate::cli::exit::{Exit, Failure, LISTS};
use crate::cli::flags::Typed;
use crate::cli::look::Look;
use crate::cli::output::tell;
use crate::cli::password::{self, Signalled};
use crate::cli::table::{Column, column, table, word, words};
use crate::cli::{export, print, print_json, project, show};
use crate::client::{Remote, Target};
use crate::config::{Env, ServerFlags};
use crate::id;
use crate::session::Sessions;

/// At least so much of an id is shown: the time in it.
const SHORT: usize = 10;

/// What was said in one of them.
pub(super) fn show(typed: &Typed, env: &Env) -> Result<Exit, Failure> {
    let session = one(typed, env)?;
    if typed.switch("json")? == Some(true) {
        return print_json(&session);
    }
    print(&show::session(&session, Look::of(&io::stdout(), env), id::now_ms()))
}

/// One of them as a document.
pub(super) fn export(typed: &Typed, env: &Env) -> Result<Exit, Failure> {
    let is_json = match typed.value("format") {
        None | Some("markdown") => false,
        Some("json") => true,
        Some(other) => return Err(typed.wrong("format", "markdown or json", other)),
    };
    let session = one(typed, env)?;
    if is_json { print_json(&session) } else { print(&export::markdown(&session)) }
}

/// The session that the command names.
fn one(typed: &Typed, env: &Env) -> Result<Value, Failure> {
    let [id] = typed.words.as_slice() else {
        return Err(typed.usage("name one session by its id; `opencode sessions` lists them"));
    };
    with_source(typed, env, |source| source.get(&source.resolve(id)?))
}

/// All of them.
pub(super) fn list(typed: &Typed, env: &Env) -> Result<Exit, Failure> {
    // The method by its name would be one for a single lifetime.
    #[allow(clippy::redundant_closure_for_method_calls)]
    let all = with_source(typed, env, |source| source.list())?;
    if typed.switch("json")? == Some(true) {
        return print_json(&Value::Array(all));
    }
    if all.is_empty() {
        tell("there are no sessions yet");
        return Ok(Exit::Ok);
    }
    let look = Look::of(&io::stdout(), env);
    // A person types an id again, so it is as short as it can be; a script gets it whole.
    let short = look.width.map(|_| shortest(&all));
    let now = id::now_ms();
    let shown: Vec<_> = all.into_iter().map(|session| row(session, short, now)).collect();
    print(&table(COLUMNS, &shown, |_| false, look))
}

const COLUMNS: &[Column] = &[
    column("SESSION", |item| word(&item["id"])),
    column("CHANGED", |item| word(&item["changed"])),
    column("MESSAGES", |item| word(&item["messageCount"])).or_none(),
    words("MODEL", |item| word(&item["model"])).or_none(),
    words("TITLE", |item| word(&item["title"])),
];

/// A session as its row shows it.
fn row(mut session: Value, short: Option<usize>, now: u64) -> Value {
    let changed = match session["status"].as_str() {
        Some("running") if session["waiting"] == true => "waits".to_owned(),
        Some("running") => "running".to_owned(),
        _ => show::ago(&session["updatedAt"], now),
    };
    session["changed"] = changed.into();
    if let (Some(short), Some(id)) = (short, session["id"].as_str()) {
        session["id"] = id.get(..short).unwrap_or(id).into();
    }
    session
}

/// How much of the ids tells them all apart.
fn shortest(all: &[Value]) -> usize {
    let ids: Vec<_> = all.iter().filter_map(|session| session["id"].as_str()).collect();
    let longest = ids.iter().map(|id| id.len()).max().unwrap_or(0);
    let differ = |length: usize| {
        let mut seen = HashSet::new();
        ids.iter().all(|id| seen.insert(id.get(..length).unwrap_or(id)))
    };
    (SHORT..longest).find(|length| differ(*length)).unwrap_or(longest)
}

/// Deletes each, and goes on where one cannot be deleted: its status is the command's.
pub(super) fn delete(typed: &Typed, env: &Env) -> Result<Exit, Failure> {
    if typed.words.is_empty() {
        return Err(typed.usage("name sessions by their ids; `opencode sessions` lists them"));
    }
    with_source(typed, env, |source| {
        // All are found before the first one is gone.
        let ids = typed.words.iter().map(|id| source.resolve(id)).collect::<Result<Vec<_>, _>>()?;
        let mut worst = Exit::Ok;
        for id in ids {
            match source.delete(&id) {
                Ok(()) => {
                    print(&format!("deleted {id}\n"))?;
                }
                // A server asks for the password once, before anything is deleted.
                Err(failure) if failure.wants_password() => return Err(failure),
                Err(failure) => {
                    tell(&format!("{id}: {failure}"));
                    worst = failure.exit;
                }
            }
        }
        Ok(worst)
    })
}

/// Where the sessions are.
enum Source<'a> {
    /// In this project's store.
    Here(&'a Sessions),
    /// At a server.
    There(&'a Remote, &'a Cancel),
}

/// Does something with the sessions that flags and environment name.
fn with_source<T>(
    typed: &Typed,
    env: &Env,
    mut act: impl FnMut(&Source<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if let Some(url) = typed.value("attach") {
        let target = Target::new(url, env, typed.value("ca"))?;
        let cancel = Cancel::new();
        return password::signed_in(target, env, Signalled::Nobody, &cancel, |remote| {
            act(&Source::There(remote, &cancel))
        });
    }
    let directory = project::directory(typed, env)?;
    let config = project::configure(&directory, env, ServerFlags::default())?;
    let store = project::store(project::store_folder(env, &directory).as_deref(), tell)?;
    let engine = Arc::new(project::engine(&config, env, directory)?);
    let sessions = Sessions::new(engine, store, project::bounds(&config));
    let result = act(&Source::Here(&sessions));
    sessions.stop(Duration::ZERO);
    result
}

impl Source<'_> {
    fn list(&self) -> Result<Vec<Value>, Failure> {
        let all = match self {
            Self::Here(sessions) => json!(sessions.list(None, usize::MAX)?),
            Self::There(remote, cancel) => remote.get("/api/sessions", cancel)?,
        };
        match all {
            Value::Array(all) => Ok(all),
            _ => Err(Failure::new(Exit::Failed, "the server's answer is no list of sessions")),
        }
    }

    fn get(&self, id: &str) -> Result<Value, Failure> {
        Ok(match self {
            Self::Here(sessions) => {
                let (session, page) = sessions.get(id)?;
                let mut whole = json!(session);
                whole["messages"] = json!(page.messages);
                whole["lastEventId"] = json!(page.last);
                whole["pendingPermissions"] = json!(sessions.pending(id));
                whole
            }
            Self::There(remote, cancel) => remote.get(&format!("/api/sessions/{id}"), cancel)?,
        })
    }

    fn delete(&self, id: &str) -> Result<(), Failure> {
        match self {
            Self::Here(sessions) => Ok(sessions.delete(id)?),
            Self::There(remote, cancel) => {
                Ok(remote.delete(&format!("/api/sessions/{id}"), cancel)?)
            }
        }
    }

    fn resolve(&self, typed: &str) -> Result<String, Failure> {
        meant(typed, || self.list().map(Value::Array))
    }
}

/// The id whose beginning a person typed; what there is, is asked for only where it is not whole.
pub(super) fn meant(
    typed: &str,
    list: impl FnOnce() -> Result<Value, Failure>,
) -> Result<String, Failure> {
    if id::time_ms(typed).is_some() {
        return Ok(typed.to_owned());
    }
    let usage = |text: String| Err(Failure::new(Exit::Usage, text));
    let all = list()?;
    let all = all.as_array().map(Vec::as_slice).unwrap_or_default();
    let ids = all.iter().filter_map(|session| session["id"].as_str());
    let mut fits = ids.filter(|id| !typed.is_empty() && id.starts_with(typed));
    match (fits.next(), fits.count()) {
        (Some(id), 0) => Ok(id.to_owned()),
        (None, _) => usage(format!("no session's id is or begins with \"{typed}\"; {LISTS}")),
        (Some(_), more) => usage(format!(
            "{} sessions' ids begin with \"{typed}\"; give more of the one that is meant",
            more + 1
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shown_as_short_as_they_can_be_told_apart() {
        let sessions = |ids: &[&str]| ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>();
        assert_eq!(shortest(&sessions(&["01m87y8z4kabcdef", "01m87y8z5kabcdef"])), 10);
        assert_eq!(shortest(&sessions(&["01m87y8z4kabcdef", "01m87y8z4kabxdef"])), 13);
        assert_eq!(shortest(&sessions(&["01m87y8z4kabcdef"])), 10);
        assert_eq!(shortest(&[]), 0);
    }
}
