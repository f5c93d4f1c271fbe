//! `opencode run`: one prompt, its answer on standard output, then exit.
//!
//! With `--attach` the events come from a server, else from a session in this process; what is
//! done with them is the same.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cancel::Cancel;
use crate::cli::exit::{Exit, Failure};
use crate::cli::flags::Typed;
use crate::cli::output::{Format, Printer, tell, tell_last};
use crate::cli::password::{self, Signalled};
use crate::cli::stop::Stop;
use crate::cli::{input, project, sessions};
use crate::client::{ClientError, Remote, Target};
use crate::config::{Env, ServerFlags};
use crate::event::Body;
use crate::os;
use crate::session::{Next, Prompt, Sessions};
use crate::tool;

/// How long a server may take to hear that an interrupted turn is to stop.
const ABORT_TIME: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(3600);

pub(super) fn run(typed: &Typed, env: &Env) -> Result<Exit, Failure> {
    crate::cli::log::start(&crate::cli::log::only_errors());
    let format = match typed.value("format") {
        None | Some("text") => Format::Text,
        Some("json") => Format::Json,
        Some(other) => return Err(typed.wrong("format", "text or json", other)),
    };
    let timeout = match typed.parsed::<f64>("timeout", "a number of seconds")? {
        Some(seconds) => match Duration::try_from_secs_f64(seconds) {
            Ok(time) if !time.is_zero() => Some(time),
            _ => return Err(typed.wrong("timeout", "more than 0", &seconds.to_string())),
        },
        None => None,
    };
    let ask = Ask {
        session: typed.value("session").map(str::to_owned),
        newest: typed.switch("continue")? == Some(true),
        agent: typed.value("agent").map(str::to_owned),
        model: typed.value("model").map(str::to_owned),
        title: typed.value("title").map(str::to_owned),
    };
    if ask.session.is_some() && ask.newest {
        return Err(Failure::usage("run", "--session and --continue exclude each other"));
    }
    let files: Vec<_> = typed.values("file").into_iter().map(PathBuf::from).collect();

    let stop = Stop::default();
    watch(&stop, timeout)?;
    let message = match input::message(&typed.words, &files, &stop.cancel) {
        Ok(message) => message,
        Err(input::Error::Cancelled) => return Ok(stop.reason().unwrap_or(Exit::Interrupted)),
        Err(input::Error::Failed(failure)) => return Err(failure),
    };
    let mut printer = Printer::new(format, &stop)
        .map_err(|error| Failure::new(Exit::Failed, format!("standard output: {error}")))?;
    let result = match typed.value("attach") {
        Some(url) => {
            let target = Target::new(url, env, typed.value("ca"))?;
            password::signed_in(target, env, Signalled::Command, &stop.cancel, |remote| {
                attached(remote, &ask, &message, &stop, &mut printer)
            })
        }
        None => in_process(typed, env, ask, message, &stop, &mut printer),
    };
    let stopped_in_turn = stop.reason();
    printer.finish();
    let exit = match (stopped_in_turn, result) {
        // Whatever the run failed with, it was ended.
        (Some(exit), _) => exit,
        (None, Ok(())) => printer.exit(),
        (None, Err(failure)) => return Err(failure),
    };
    // The reader may have left when all was said, or taken too long for the rest.
    let exit = stop.reason().filter(|reason| *reason != Exit::Ok).unwrap_or(exit);
    if exit == Exit::TimedOut {
        tell_last("the time was over, and the turn was stopped");
    }
    Ok(exit)
}

/// What to ask, beside the message.
struct Ask {
    session: Option<String>,
    newest: bool,
    agent: Option<String>,
    model: Option<String>,
    title: Option<String>,
}

/// Starts what ends the run early: signals, and the time-out.
fn watch(stop: &Stop, timeout: Option<Duration>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, format!("signals: {error}"));
    // What the caller ignores stays ignored.
    let heard = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !os::is_ignored(*signal));
    let mut signals = Signals::new(heard).map_err(failed)?;
    let on_signal = stop.clone();
    let watch_signals = move || {
        let mut is_second = false;
        for signal in signals.forever() {
            let exit = match signal {
                SIGINT => Exit::Interrupted,
                SIGHUP => Exit::HungUp,
                _ => Exit::Terminated,
            };
            if std::mem::replace(&mut is_second, true) {
                std::process::exit(exit as i32);
            }
            on_signal.request(exit);
        }
    };
    os::thread("signals", watch_signals).map_err(failed)?;
    if let Some(time) = timeout {
        let on_time = stop.clone();
        let wait = move || {
            if on_time.cancel.sleep(time).is_ok() {
                on_time.request(Exit::TimedOut);
            }
        };
        os::thread("timeout", wait).map_err(failed)?;
    }
    Ok(())
}

fn attached(
    remote: &Remote,
    ask: &Ask,
    message: &str,
    stop: &Stop,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let session = match &ask.session {
        _ if ask.newest => Some(newest(remote, &stop.cancel)?),
        Some(typed) => {
            Some(sessions::meant(typed, || Ok(remote.get("/api/sessions", &stop.cancel)?))?)
        }
        None => None,
    };
    let body = json!({
        "message": message,
        "sessionId": session,
        "agent": ask.agent,
        "model": ask.model,
        "title": ask.title,
        "permissions": "refuse",
    });
    let mut running = None;
    for event in remote.stream("/api/chat/stream", &body, &stop.cancel)? {
        match event {
            Ok(body) => {
                if let Body::Session { session_id, .. } = &body {
                    running = Some(session_id.clone());
                }
                printer.event(&body);
                if printer.is_done() {
                    return Ok(());
                }
            }
            Err(ClientError::Cancelled) => {
                if let Some(session) = running {
                    abort(remote, &session);
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::new(Exit::Failed, "the connection ended before the answer was whole"))
}

/// The session that changed last.
fn newest(remote: &Remote, cancel: &Cancel) -> Result<String, Failure> {
    let sessions = remote.get("/api/sessions", cancel)?;
    let all = sessions.as_array().map(Vec::as_slice).unwrap_or_default();
    // RFC 3339 in UTC sorts as text as long as the number of digits is the same; this one ends
    // in up to three of them, so the parsed time is compared.
    let time = |session: &Value| {
        session["updatedAt"].as_str().and_then(|text| humantime::parse_rfc3339(text).ok())
    };
    let newest = all.iter().max_by_key(|session| time(session));
    newest
        .and_then(|session| session["id"].as_str())
        .map(str::to_owned)
        .ok_or_else(none_to_continue)
}

/// The session of this project that changed last.
fn newest_here(sessions: &Sessions) -> Result<String, Failure> {
    let all = sessions.list(None, usize::MAX)?;
    let time = |text: &str| humantime::parse_rfc3339(text).ok();
    let newest = all.into_iter().max_by_key(|session| time(&session.updated_at));
    newest.map(|session| session.id).ok_or_else(none_to_continue)
}

fn none_to_continue() -> Failure {
    Failure::new(Exit::Usage, "there is no session to continue; leave --continue out")
}

/// Tells the server to stop the turn. It notices the closed connection as well, so a failure
/// here is none.
fn abort(remote: &Remote, session: &str) {
    let path = format!("/api/sessions/{session}/abort");
    let over = Cancel::new();
    let late = over.clone();
    std::thread::scope(|scope| {
        let (heard, wait) = crossbeam_channel::bounded::<()>(0);
        scope.spawn(move || {
            if wait.recv_timeout(ABORT_TIME).is_err_and(|error| error.is_timeout()) {
                late.cancel();
            }
        });
        if let Err(error) = remote.post(&path, &json!({}), &over) {
            log::debug!("abort at {}: {error}", remote.url());
        }
        drop(heard);
    });
}

fn in_process(
    typed: &Typed,
    env: &Env,
    ask: Ask,
    message: String,
    stop: &Stop,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let directory = project::directory(typed, env)?;
    let config = project::configure(&directory, env, ServerFlags::default())?;
    tool::protect_environment(&config.used_env);
    for warning in &config.warnings {
        tell(warning);
    }
    let store = project::store(project::store_folder(env, &directory).as_deref(), tell)?;
    let bounds = project::bounds(&config);
    let engine = Arc::new(project::engine(&config, env, directory)?);
    let sessions = Arc::new(Sessions::new(engine, store, bounds));
    let session = match ask.session {
        _ if ask.newest => Some(newest_here(&sessions)?),
        Some(typed) => {
            Some(sessions::meant(&typed, || Ok(json!(sessions.list(None, usize::MAX)?)))?)
        }
        None => None,
    };
    let prompt = Prompt {
        message,
        session,
        title: ask.title,
        agent: ask.agent,
        model: ask.model,
        can_ask: false,
    };
    let result = follow(&sessions, prompt, stop, printer);
    sessions.stop(Duration::ZERO);
    result
}

fn follow(
    sessions: &Arc<Sessions>,
    prompt: Prompt,
    stop: &Stop,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let mut started = sessions.start(prompt)?;
    let aborting = Arc::clone(sessions);
    let message = started.message_id.clone();
    let hook = stop.cancel.on_cancel(move || aborting.abort_turn(&message));
    let Ok(_guard) = hook else { return Ok(()) };
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, error.to_string());
    loop {
        match started.events.next(None, LONG).map_err(failed)? {
            Next::Events(events) => {
                for event in events {
                    printer.event(&event.body);
                }
                if printer.is_done() {
                    return Ok(());
                }
            }
            Next::Quiet | Next::Departed => {}
            Next::Closed(_) => {
                return Err(Failure::new(Exit::Failed, "the turn ended without its last word"));
            }
        }
    }
}
