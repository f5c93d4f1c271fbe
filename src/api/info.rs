//! The endpoints that tell what is there: status, models, providers, agents, files.

use serde::Serialize;
use serde_json::json;

use crate::api::{Api, Facts, Params};
use crate::discovery::LocalName;
use crate::error::Problem;
use crate::http::{Answer, Request, Response};
use crate::meter::{Exposition, process};
use crate::session::Setup;
use crate::text::decimal;

/// Paths that one answer of `/api/files` holds where the client names no limit, and at most.
const FILES: (usize, usize) = (20, 200);

fn ok(value: &impl Serialize) -> Result<Answer, Problem> {
    Ok(Answer::Full(Response::json(200, value)))
}

pub(super) fn root(
    api: &Api,
    _request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    let base = &api.facts.server.base_path;
    let mut about = json!({
        "name": "opencode",
        "api": format!("{base}/api/status"),
        "openapi": format!("{base}/api/openapi.json"),
        "health": format!("{base}/healthz"),
    });
    // Strangers need not know it where there are any.
    if api.facts.credentials.is_none() {
        about["version"] = env!("CARGO_PKG_VERSION").into();
    }
    ok(&about)
}

/// How `/api/status` begins, up to its first number.
const BEGIN: &str = concat!(
    "{\"status\":\"ok\",\"version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\",\"apiVersion\":1,\"uptimeSeconds\":"
);

/// What it tells that never changes. It is asked often, so this is printed once.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    directory: &'a str,
    server: ServerReport<'a>,
    auth: bool,
    store: &'a str,
    default_agent: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServerReport<'a> {
    hostname: &'a str,
    port: u16,
    mdns: bool,
    mdns_domain: &'a str,
    cors: &'a [String],
}

/// The members of the report as they are printed, and the name among them: another machine may turn
/// out to have that.
pub(super) struct Status {
    name: String,
    members: String,
}

impl Status {
    pub(super) fn new(facts: &Facts, setup: &Setup, store: &str) -> Self {
        let server = &facts.server;
        let own = facts.local_name.as_ref().map(LocalName::get);
        let name = own.unwrap_or_else(|| server.mdns_domain.clone());
        let printed = serde_json::to_string(&Report {
            directory: &setup.engine.root().to_string_lossy(),
            server: ServerReport {
                hostname: &server.hostname,
                port: server.port,
                mdns: server.mdns,
                mdns_domain: &name,
                cors: &server.cors,
            },
            auth: facts.credentials.is_some(),
            store,
            default_agent: setup.engine.default_agent(),
        });
        let printed = printed.unwrap_or_default();
        let members = printed.strip_prefix('{').and_then(|members| members.strip_suffix('}'));
        Self { name, members: members.unwrap_or_default().to_owned() }
    }
}

pub(super) fn status(
    api: &Api,
    _request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    let mut body = Vec::with_capacity(512);
    let mut put = |part: &str, value: &str| {
        body.extend_from_slice(part.as_bytes());
        body.extend_from_slice(value.as_bytes());
    };
    put(BEGIN, decimal(api.started.elapsed().as_secs(), &mut [0; 20]));
    if api.facts.local_name.as_ref().is_some_and(|own| own.get() != api.status.name) {
        put(",", &Status::new(&api.facts, &api.setup, api.sessions.store_kind()).members);
    } else {
        put(",", &api.status.members);
    }
    let (sessions, active_turns) = api.sessions.counts();
    for (name, count) in [
        (",\"sessions\":", sessions),
        (",\"activeTurns\":", active_turns),
        (",\"waiting\":", api.sessions.waiting()),
        (",\"connections\":", api.facts.traffic.get()),
    ] {
        put(name, decimal(count as u64, &mut [0; 20]));
    }
    body.extend_from_slice(b",\"defaultModel\":");
    // A text can always be printed.
    let _ = serde_json::to_writer(&mut body, &*api.setup.engine.default_model(None));
    body.push(b'}');
    Ok(Answer::Full(Response::new(200).header("Content-Type", "application/json").body(body)))
}

pub(super) fn models(
    api: &Api,
    _request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    ok(&api.setup.engine.catalogue().models())
}

pub(super) fn providers(
    api: &Api,
    _request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    ok(&api.setup.engine.catalogue().providers())
}

pub(super) fn agents(
    api: &Api,
    _request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    ok(&api.setup.engine.agents())
}

pub(super) fn files(
    api: &Api,
    _request: &mut Request<'_>,
    params: &Params<'_>,
) -> Result<Answer, Problem> {
    let query = params.query("query").unwrap_or_default();
    let limit = params.count("limit")?.unwrap_or(FILES.0).min(FILES.1);
    ok(&api.setup.engine.files(&query, limit)?)
}

pub(super) fn metrics(
    api: &Api,
    _request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    let mut page = Exposition::default();
    page.family("opencode_build_info", "gauge", "The version that runs.");
    page.value("opencode_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let uptime = api.started.elapsed().as_secs();
    page.single("opencode_uptime_seconds", "gauge", "Seconds since the start.", uptime);
    process::print(&mut page);
    api.facts.traffic.print(&mut page, &super::kinds());
    api.sessions.print(&mut page);
    let response = Response::new(200).header("Content-Type", Exposition::MEDIA);
    Ok(Answer::Full(response.body(page.into_text().into_bytes())))
}
