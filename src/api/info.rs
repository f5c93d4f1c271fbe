//! The endpoints that tell what is there: status, models, providers, agents, files.

use serde_json::json;

use crate::api::{Api, Params};
use crate::error::Problem;
use crate::http::{Answer, Request, Response};

/// Paths that one answer of `/api/files` holds where the client names no limit, and at most.
const FILES: (usize, usize) = (20, 200);

fn ok(value: &serde_json::Value) -> Result<Answer, Problem> {
    Ok(Answer::Full(Response::json(200, value)))
}

pub(super) fn root(
    api: &Api,
    _request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    let base = &api.server.base_path;
    ok(&json!({
        "name": "opencode",
        "version": env!("CARGO_PKG_VERSION"),
        "api": format!("{base}/api/status"),
        "openapi": format!("{base}/api/openapi.json"),
        "health": format!("{base}/healthz"),
    }))
}

pub(super) fn status(
    api: &Api,
    _request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    let (sessions, active) = api.sessions.counts();
    let engine = api.sessions.engine();
    let server = &api.server;
    ok(&json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "apiVersion": 1,
        "uptimeSeconds": api.started.elapsed().as_secs(),
        "directory": engine.root().to_string_lossy(),
        "server": {
            "hostname": server.hostname,
            "port": server.port,
            "mdns": server.mdns,
            "mdnsDomain": server.mdns_domain,
            "cors": server.cors,
        },
        "auth": api.has_password,
        "store": api.sessions.store_kind(),
        "defaultModel": engine.default_model(None),
        "defaultAgent": engine.default_agent(),
        "sessions": sessions,
        "activeTurns": active,
        "waiting": 0,
        "connections": api.connections.get(),
    }))
}

pub(super) fn models(
    api: &Api,
    _request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    ok(&json!(api.sessions.engine().catalogue().models()))
}

pub(super) fn providers(
    api: &Api,
    _request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    ok(&json!(api.sessions.engine().catalogue().providers()))
}

pub(super) fn agents(
    api: &Api,
    _request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    ok(&json!(api.sessions.engine().agents()))
}

pub(super) fn files(
    api: &Api,
    _request: &mut Request<'_>,
    params: &Params<'_>,
) -> Result<Answer, Problem> {
    let query = params.query("query").unwrap_or_default();
    let limit = params.count("limit")?.unwrap_or(FILES.0).min(FILES.1);
    ok(&json!(api.sessions.engine().files(&query, limit)?))
}
