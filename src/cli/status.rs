//! `opencode status`: one line and an exit status, for health checks.

use crate::cancel::Cancel;
use crate::cli::exit::{Exit, Failure};
use crate::cli::flags::Typed;
use crate::cli::password::{self, Signalled};
use crate::cli::{print, print_json, project};
use crate::client::Target;
use crate::config::{Env, ServerFlags};
use crate::text;

pub(super) fn status(typed: &Typed, env: &Env) -> Result<Exit, Failure> {
    let url = match typed.value("attach") {
        Some(url) => url.to_owned(),
        None => usual_address(typed, env)?,
    };
    let target = Target::new(&url, env, typed.value("ca"))?;
    let cancel = Cancel::new();
    let (base, status) = password::signed_in(target, env, Signalled::Nobody, &cancel, |remote| {
        Ok((remote.url().to_owned(), remote.get("/api/status", &cancel)?))
    })?;
    if typed.switch("json")? == Some(true) {
        return print_json(&status);
    }
    let word = |name: &str| status[name].as_str().unwrap_or("?").to_owned();
    let line = format!(
        "{}: {}, version {}, {} sessions, {} turns running, model {}\n",
        base,
        word("status"),
        word("version"),
        status["sessions"],
        status["activeTurns"],
        word("defaultModel"),
    );
    print(&text::plain(&line))
}

/// The address that `serve` would take here.
fn usual_address(typed: &Typed, env: &Env) -> Result<String, Failure> {
    let directory = project::directory(typed, env)?;
    let server = project::configure(&directory, env, ServerFlags::default())?.server;
    let host = match server.hostname.as_str() {
        "0.0.0.0" | "localhost" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    Ok(format!("http://{host}:{}{}", server.port, server.base_path))
}
