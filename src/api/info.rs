//! The endpoints that tell what is there: status, models, providers, agents, files.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::json;

use crate::api::{Api, Params};
use crate::error::Problem;
use crate::http::{Answer, Request, Response};
use crate::meter::{Exposition, process};

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

pub(super) fn status(
    api: &Api,
    _request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    let (sessions, active_turns) = api.sessions.counts();
    let engine = &api.setup.engine;
    let server = &api.facts.server;
    ok(&Report {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        api_version: 1,
        uptime_seconds: api.started.elapsed().as_secs(),
        directory: engine.root().to_string_lossy(),
        server: ServerReport {
            hostname: &server.hostname,
            port: server.port,
            mdns: server.mdns,
            mdns_domain: api.facts.local_name.as_ref().map_or_else(
                || Cow::Borrowed(server.mdns_domain.as_str()),
                |name| Cow::Owned(name.get()),
            ),
            cors: &server.cors,
        },
        auth: api.facts.credentials.is_some(),
        store: api.sessions.store_kind(),
        default_model: engine.default_model(None).into_owned(),
        default_agent: engine.default_agent(),
        sessions,
        active_turns,
        waiting: api.sessions.waiting(),
        connections: api.facts.traffic.get(),
    })
}

/// What `/api/status` tells. It is asked often, so it is printed without a tree in between.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    status: &'a str,
    version: &'a str,
    api_version: u32,
    uptime_seconds: u64,
    directory: Cow<'a, str>,
    server: ServerReport<'a>,
    auth: bool,
    store: &'a str,
    default_model: String,
    default_agent: &'a str,
    sessions: usize,
    active_turns: usize,
    waiting: usize,
    connections: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServerReport<'a> {
    hostname: &'a str,
    port: u16,
    mdns: bool,
    mdns_domain: Cow<'a, str>,
    cors: &'a [String],
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
