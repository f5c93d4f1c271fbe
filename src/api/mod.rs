//! The HTTP API: one table of routes behind one edge.
//!
//! Every request passes the edge first (host, origin, credentials, content type), then the
//! table, then a handler that asks the sessions. This room knows nothing of providers and tools.

// Handlers share one type, whether or not they can fail.
#![allow(clippy::unnecessary_wraps)]

mod auth;
mod chat;
mod cookie;
mod edge;
mod events;
mod fields;
mod forwarded;
mod info;
mod live;
mod login;
mod openapi;
mod sessions;
mod ws;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use memchr::memchr;

use crate::config::{self, Credentials};
use crate::discovery::LocalName;
use crate::error::{Code, Problem};
use crate::http::{self, Answer, Method, Request, Response, Traffic};
use crate::id;
use crate::percent;
use crate::session::{Sessions, Setup};
use crate::web;

use auth::Failures;
use edge::{Edge, Verdict};
pub use live::Live;
#[cfg(fuzzing)]
pub use ws::fuzz;

/// Answers the requests of one server, by the settings of one moment: [`Live`] has the newest.
pub struct Api {
    sessions: Arc<Sessions>,
    setup: Arc<Setup>,
    edge: Edge,
    facts: Facts,
    description: openapi::Description,
    status: info::Status,
    started: Instant,
}

/// What the API is told of the server it answers for.
#[derive(Clone)]
pub struct Facts {
    /// Its settings, the port as it is bound.
    pub server: config::Server,
    /// User and password, when one is set.
    pub credentials: Option<Credentials>,
    /// The secret that signs cookies.
    pub cookie_key: [u8; 32],
    /// Whether the web page is served too.
    pub page: bool,
    /// Whether other machines are served without a password.
    pub insecure: bool,
    /// The name it is announced by on the local network, if it is.
    pub local_name: Option<LocalName>,
    /// What comes to the server, counted.
    pub traffic: Arc<Traffic>,
}

/// Answers one endpoint. Some never fail; they share the type.
type Handler = fn(&Api, &mut Request<'_>, &Params<'_>) -> Result<Answer, Problem>;

/// One endpoint.
struct Route {
    method: Method,
    /// A segment in braces is a parameter.
    path: &'static str,
    handler: Handler,
}

/// What a path and a query say.
struct Params<'a> {
    /// The segment in braces, if the route has one.
    id: &'a str,
    query: &'a str,
}

/// All endpoints. The `OpenAPI` document is compared with it by a test.
const ROUTES: &[Route] = &[
    Route { method: Method::Get, path: "/", handler: info::root },
    Route { method: Method::Get, path: "/api/status", handler: info::status },
    Route { method: Method::Post, path: "/api/chat", handler: chat::chat },
    Route { method: Method::Post, path: "/api/chat/stream", handler: chat::stream },
    Route { method: Method::Get, path: "/api/sessions", handler: sessions::list },
    Route { method: Method::Post, path: "/api/sessions", handler: sessions::create },
    Route { method: Method::Get, path: "/api/sessions/{id}", handler: sessions::get },
    Route { method: Method::Patch, path: "/api/sessions/{id}", handler: sessions::rename },
    Route { method: Method::Delete, path: "/api/sessions/{id}", handler: sessions::delete },
    Route { method: Method::Post, path: "/api/sessions/{id}/abort", handler: sessions::abort },
    Route { method: Method::Get, path: "/api/sessions/{id}/events", handler: events::follow },
    Route { method: Method::Post, path: "/api/permissions/{id}", handler: sessions::permit },
    Route { method: Method::Get, path: "/api/models", handler: info::models },
    Route { method: Method::Get, path: "/api/providers", handler: info::providers },
    Route { method: Method::Get, path: "/api/agents", handler: info::agents },
    Route { method: Method::Get, path: "/api/files", handler: info::files },
    Route { method: Method::Get, path: "/api/openapi.json", handler: openapi::document },
    Route { method: Method::Post, path: "/api/login", handler: login::sign_in },
    Route { method: Method::Delete, path: "/api/login", handler: login::sign_out },
    Route { method: Method::Get, path: "/metrics", handler: info::metrics },
    Route { method: Method::Get, path: "/ws", handler: ws::open },
];

/// What a request is counted as: health checks, files of the page, or its endpoint.
const HEALTH: usize = 1;
const PAGE: usize = 2;
const FIRST_ROUTE: usize = 3;

/// The names of what requests are counted as.
fn kinds() -> Vec<String> {
    let fixed = ["other", "GET /healthz", "page"].map(str::to_owned);
    let name = |route: &Route| format!("{} {}", route.method, route.path);
    fixed.into_iter().chain(ROUTES.iter().map(name)).collect()
}

impl Api {
    /// An API over these sessions.
    #[must_use]
    pub fn new(sessions: Arc<Sessions>, facts: Facts) -> Self {
        let edge = Edge::new(&facts, Failures::default());
        let setup = sessions.setup();
        let status = info::Status::new(&facts, &setup, sessions.store_kind());
        let description = openapi::Description::default();
        Self { sessions, setup, edge, facts, description, status, started: Instant::now() }
    }

    /// The same server by other settings. What it knows of clients it goes on knowing.
    #[must_use]
    pub fn changed(&self, server: config::Server, credentials: Option<Credentials>) -> Self {
        let facts = Facts { server, credentials, ..self.facts.clone() };
        let setup = self.sessions.setup();
        Self {
            sessions: Arc::clone(&self.sessions),
            status: info::Status::new(&facts, &setup, self.sessions.store_kind()),
            setup,
            edge: Edge::new(&facts, self.edge.failures()),
            facts,
            description: openapi::Description::default(),
            started: self.started,
        }
    }

    /// Answers by the table; `start` is where the path begins below the base path.
    fn route(&self, request: &mut Request<'_>, start: usize) -> Result<Answer, Problem> {
        let path = match request.path().get(start..) {
            None | Some("") if self.facts.page && start > 0 => {
                let base_path = &self.facts.server.base_path;
                return Ok(Answer::Full(web::to_slash(base_path, request.query())));
            }
            None | Some("") => "/",
            Some(path) => path,
        };
        if self.facts.page && !is_of_api(path) {
            request.count_as(PAGE);
            return Ok(Answer::Full(web::answer(request, path)));
        }
        let method = match request.method() {
            Method::Head => &Method::Get,
            other => other,
        };
        let mut allowed = Vec::new();
        let mut found = None;
        for (number, route) in ROUTES.iter().enumerate() {
            let Some(id) = matching(route.path, path) else { continue };
            if route.method == *method {
                request.count_as(number + FIRST_ROUTE);
                found = Some((route.handler, id.to_owned()));
                break;
            }
            allowed.push(route.method.as_str());
        }
        if let Some((handler, id)) = found {
            let query = request.query().unwrap_or_default().to_owned();
            let params = Params { id: &id, query: &query };
            params.refuse_repeated()?;
            return handler(self, request, &params);
        }
        let is_options = *method == Method::Options;
        if allowed.is_empty() {
            let detail = "there is nothing at this path; GET /api/openapi.json lists what there is";
            let base_path = self.facts.server.base_path.as_str();
            return Err(Problem::new(Code::NotFound, detail).with("basePath", base_path));
        }
        if allowed.contains(&"GET") {
            allowed.push("HEAD");
        }
        allowed.push("OPTIONS");
        let allow = allowed.join(", ");
        if is_options {
            return Ok(Answer::Full(Response::empty(204).header("Allow", allow)));
        }
        let detail = format!("this path takes {allow}");
        let response = Response::problem(&Problem::new(Code::MethodNotAllowed, detail));
        Ok(Answer::Full(response.header("Allow", allow)))
    }
}

impl http::Service for Api {
    fn answer(&self, request: &mut Request<'_>) -> Answer {
        let answer = match self.edge.check(request) {
            Verdict::Pass(start) => self
                .route(request, start)
                .unwrap_or_else(|problem| Answer::Full(self.edge.refusal(request, &problem))),
            Verdict::Answered(response) => Answer::Full(response),
        };
        self.edge.dress(request, answer)
    }

    fn refused(&self, request: &Request<'_>, problem: &Problem) -> Response {
        self.edge.dress_response(request, Response::problem(problem))
    }
}

/// Whether programs ask for this path. All else is the page's, where there is one.
fn is_of_api(path: &str) -> bool {
    matches!(path, "/api" | "/ws" | "/metrics") || path.starts_with("/api/")
}

/// The parameter of a path that matches a pattern; empty for a pattern without one.
fn matching<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let Some(brace) = memchr(b'{', pattern.as_bytes()) else {
        return (pattern == path).then_some("");
    };
    let after = pattern[brace..].strip_prefix("{id}")?;
    let found = path.strip_prefix(&pattern[..brace])?.strip_suffix(after)?;
    memchr(b'/', found.as_bytes()).is_none().then_some(found)
}

impl Params<'_> {
    /// A parameter of the query, percent-decoded.
    fn query(&self, name: &str) -> Option<String> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| percent::decode(&value.replace('+', " ")))
        })
    }

    /// Of two that differ nobody could say which one was meant.
    fn refuse_repeated(&self) -> Result<(), Problem> {
        let mut names = HashSet::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            if !names.insert(name) {
                let name = percent::decode(name);
                let detail = format!("`{name}` stands more than once in the query: give it once");
                return Err(Problem::new(Code::BadField, detail));
            }
        }
        Ok(())
    }

    /// The id that a page ends before.
    fn before(&self) -> Result<Option<String>, Problem> {
        let Some(id) = self.query("before").filter(|id| !id.is_empty()) else { return Ok(None) };
        if id::time_ms(&id).is_none() {
            let detail = format!("`before` must be an id that a page told, and is \"{id}\"");
            return Err(Problem::new(Code::BadField, detail));
        }
        Ok(Some(id))
    }

    /// A count in the query.
    fn count(&self, name: &str) -> Result<Option<usize>, Problem> {
        let Some(text) = self.query(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        match text.parse() {
            Ok(count) if count > 0 => Ok(Some(count)),
            _ => {
                let detail = format!("`{name}` must be a number from 1, and is \"{text}\"");
                Err(Problem::new(Code::BadField, detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_matches_whole_segments() {
        assert_eq!(matching("/api/sessions/{id}", "/api/sessions/x"), Some("x"));
        assert_eq!(matching("/api/sessions/{id}/abort", "/api/sessions/x/abort"), Some("x"));
        assert_eq!(matching("/api/sessions/{id}", "/api/sessions/"), Some(""));
        assert_eq!(matching("/api/sessions/{id}/abort", "/api/sessions/abort"), None);
        assert_eq!(matching("/api/sessions/{id}", "/api/sessions/x/y"), None);
        assert_eq!(matching("/api/status", "/api/status"), Some(""));
        for path in ["/api/status/", "/api", "/api/statusx", "//api/status", "/api/sessions/x/y"] {
            assert_eq!(matching("/api/status", path), None, "{path}");
        }
    }

    #[test]
    fn a_query_is_decoded() {
        let params = Params { id: "", query: "query=src%2Fa+b&limit=5&bad=%zz" };
        assert_eq!(params.query("query").as_deref(), Some("src/a b"));
        assert_eq!(params.count("limit"), Ok(Some(5)));
        assert_eq!(params.query("bad").as_deref(), Some("%zz"));
        assert!(params.count("bad").is_err());
    }
}
