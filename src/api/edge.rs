//! What every request passes before it is routed: address, host, origin, credentials, content
//! type, and the CORS fields of every answer. The only place where these are decided.

use std::net::IpAddr;
use std::time::Instant;

use crate::api::Facts;
use crate::api::auth::{Auth, Failures};
use crate::api::cookie::{Cookies, Scope};
use crate::api::forwarded::{self, Client};
use crate::discovery::LocalName;
use crate::error::{Code, Problem};
use crate::http::{Answer, Method, Request, Response};
use crate::id;

/// Methods that a listed origin may use.
const METHODS: &str = "GET, HEAD, POST, PATCH, DELETE, OPTIONS";
/// Fields that a listed origin may send.
const HEADERS: &str = "authorization, content-type, last-event-id";
/// Fields that a listed origin may read.
const EXPOSED: &str = "Link, Location, Retry-After, X-Request-Id";
/// Seconds for which a browser may remember a preflight.
const MAX_AGE: &str = "600";

/// The checks, made from the settings once.
pub(super) struct Edge {
    auth: Option<Auth>,
    insecure: bool,
    cors: Vec<String>,
    /// Names that are served without a password, lower case.
    hosts: Vec<String>,
    /// The name that is announced, which may turn out to be another machine's.
    local_name: Option<LocalName>,
    base_path: String,
    proxies: Vec<IpAddr>,
}

/// What the edge says.
pub(super) enum Verdict {
    /// Go on; the path below the base path starts at this byte of the target.
    Pass(usize),
    /// Answered here.
    Answered(Response),
}

impl Edge {
    /// The checks that the settings ask for; wrong passwords are counted on.
    pub(super) fn new(facts: &Facts, failures: Failures) -> Self {
        let server = &facts.server;
        let hosts: Vec<_> = server.allowed_hosts.iter().map(|h| h.to_lowercase()).collect();
        let auth = facts.credentials.as_ref().map(|credentials| {
            let cookies = Cookies::new(&facts.cookie_key, credentials, &server.base_path);
            Auth::new(credentials, cookies, failures)
        });
        Self {
            auth,
            insecure: facts.insecure,
            cors: server.cors.clone(),
            hosts,
            local_name: facts.local_name.clone(),
            base_path: server.base_path.clone(),
            proxies: server.trusted_proxies.clone(),
        }
    }

    /// Who guessed wrong so far.
    pub(super) fn failures(&self) -> Failures {
        self.auth.as_ref().map(|auth| auth.failures.clone()).unwrap_or_default()
    }

    /// Decides on a request before anything runs.
    pub(super) fn check(&self, request: &Request<'_>) -> Verdict {
        match self.decide(request) {
            Ok(verdict) => verdict,
            Err(problem) => Verdict::Answered(self.refusal(request, &problem)),
        }
    }

    /// Adds to an answer what every answer carries.
    pub(super) fn dress(&self, request: &Request<'_>, answer: Answer) -> Answer {
        match answer {
            Answer::Full(response) => Answer::Full(self.dress_response(request, response)),
            Answer::Events { mut headers, write } => {
                headers.extend(self.cors_fields(request));
                Answer::Events { headers, write }
            }
            upgrade @ Answer::Upgrade { .. } => upgrade,
        }
    }

    /// Adds to a response what every answer carries.
    pub(super) fn dress_response(&self, request: &Request<'_>, response: Response) -> Response {
        let fields = self.cors_fields(request);
        fields.into_iter().fold(response, |response, (name, value)| response.header(name, value))
    }

    fn decide(&self, request: &Request<'_>) -> Result<Verdict, Problem> {
        let path = self.below_base(request.path());
        if path == Some("/healthz") || request.path() == "/healthz" {
            request.count_as(super::HEALTH);
            return Ok(Verdict::Answered(health(request)));
        }
        self.check_address(request)?;
        self.check_host(request)?;
        let path = path.unwrap_or_default();
        if self.check_origin(request, path)? {
            return Ok(Verdict::Answered(preflight(request)));
        }
        if needs_credentials(request.method(), path)
            && let Some(auth) = &self.auth
            && !auth.cookies.know(request.values("cookie"), now())
        {
            // A cookie that is no longer good is no failure.
            let header = request.header("authorization");
            auth.check(header, self.client(request), Instant::now())?;
        }
        check_content_type(request)?;
        if path.is_empty() {
            let detail = format!("this server is at {}/", self.base_path);
            return Err(Problem::new(Code::NotFound, detail).with("basePath", &*self.base_path));
        }
        Ok(Verdict::Pass(self.base_path.len()))
    }

    /// Signs somebody in: the cookie's `Set-Cookie`. None where there is no password to know.
    ///
    /// # Errors
    /// As those of [`Auth::check`].
    pub(super) fn sign_in(
        &self,
        request: &Request<'_>,
        user: Option<&str>,
        password: &str,
    ) -> Result<Option<String>, Problem> {
        let Some(auth) = &self.auth else { return Ok(None) };
        auth.sign_in(user, password, self.client(request), Instant::now())?;
        Ok(Some(auth.cookies.give(self.scope(request), now())))
    }

    /// Refuses to look at what an address sends that has guessed wrong too often.
    ///
    /// # Errors
    /// As those of [`Auth::check_wait`].
    pub(super) fn check_wait(&self, request: &Request<'_>) -> Result<(), Problem> {
        let wait =
            self.auth.as_ref().map(|auth| auth.check_wait(self.client(request), Instant::now()));
        wait.unwrap_or(Ok(()))
    }

    /// The name of the cookie that stands for the password. None where there is no password.
    pub(super) fn cookie_name(&self) -> Option<&str> {
        self.auth.as_ref().map(|auth| auth.cookies.name())
    }

    /// Signs out: the `Set-Cookie` that ends the cookie.
    pub(super) fn sign_out(&self, request: &Request<'_>) -> Option<String> {
        let auth = self.auth.as_ref()?;
        Some(auth.cookies.take_back(self.scope(request)))
    }

    /// With which requests the browser is to send a cookie that it gets by this one. Only a
    /// listed origin of another site has come so far, and a cookie of its own is all it can use.
    fn scope(&self, request: &Request<'_>) -> Scope {
        let told = request.values("x-forwarded-proto");
        let is_https = forwarded::is_https(request.peer().ip(), &self.proxies, told);
        let own = if is_https { Scope::OwnSecure } else { Scope::Own };
        let Some(origin) = request.header("origin") else { return own };
        let Some(("https", authority)) = origin.split_once("://") else { return own };
        let host = request.host().map(host_name);
        // A site is a scheme and a name, whatever the port. Where a proxy ends TLS unnamed, only
        // the origin tells of https.
        let is_own = is_same_origin(origin, request.host())
            || (is_https && host == Some(host_name(authority)));
        if is_own { own } else { Scope::Partitioned }
    }

    /// The path without the base path; `None` for one that is not below it.
    fn below_base<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.base_path.as_str())?;
        match rest {
            "" => Some("/"),
            _ if rest.starts_with('/') => Some(rest),
            _ => None,
        }
    }

    /// Without a password only this machine is served, unless `--insecure` says otherwise.
    fn check_address(&self, request: &Request<'_>) -> Result<(), Problem> {
        let is_here = match self.client(request) {
            Client::At(ip) => ip.is_loopback() || ip == request.local().ip().to_canonical(),
            Client::Unknown => false,
        };
        if self.auth.is_some() || self.insecure || is_here {
            return Ok(());
        }
        Err(Problem::new(
            Code::AddressRefused,
            "no password is set, so only this machine is served: set OPENCODE_SERVER_PASSWORD \
             for the server, or start it with --insecure",
        ))
    }

    /// Without a password a page on a rebound name must not get through; with one it has no
    /// credentials.
    fn check_host(&self, request: &Request<'_>) -> Result<(), Problem> {
        let Some(host) = request.host() else { return Ok(()) };
        if self.auth.is_some() {
            return Ok(());
        }
        let name = bare_name(host);
        let is_known = if let Ok(address) = name.parse::<IpAddr>() {
            address.is_loopback() || address == request.local().ip().to_canonical()
        } else {
            let name = name.to_lowercase();
            name == "localhost"
                || self.hosts.contains(&name)
                || self.local_name.as_ref().is_some_and(|local| local.is(&name))
        };
        if is_known {
            return Ok(());
        }
        let detail = format!(
            "this server does not answer to \"{name}\": use localhost, set a password, or add \
             the name to server.allowedHosts"
        );
        Err(Problem::new(Code::HostRefused, detail))
    }

    /// Whether the request is a preflight of a listed origin; an origin that may not ask is
    /// refused.
    fn check_origin(&self, request: &Request<'_>, path: &str) -> Result<bool, Problem> {
        let origins: Vec<_> = request.values("origin").collect();
        let [origin] = origins[..] else {
            return if origins.is_empty() { Ok(false) } else { Err(origin_refused("doubled")) };
        };
        let is_listed = self.is_listed(origin);
        let is_preflight = *request.method() == Method::Options
            && request.header("access-control-request-method").is_some();
        let only_reads = matches!(request.method(), Method::Get | Method::Head) && path != "/ws";
        if only_reads || is_listed || is_same_origin(origin, request.host()) {
            return Ok(is_preflight && is_listed);
        }
        Err(origin_refused(origin))
    }

    fn is_listed(&self, origin: &str) -> bool {
        self.cors.iter().any(|listed| listed == origin)
    }

    fn cors_fields(&self, request: &Request<'_>) -> Vec<(&'static str, String)> {
        if self.cors.is_empty() {
            return Vec::new();
        }
        let mut added = vec![("Vary", "Origin".to_owned())];
        if let Some(origin) = request.header("origin").filter(|origin| self.is_listed(origin)) {
            added.push(("Access-Control-Allow-Origin", origin.to_owned()));
            added.push(("Access-Control-Allow-Credentials", "true".to_owned()));
            added.push(("Access-Control-Expose-Headers", EXPOSED.to_owned()));
        }
        added
    }

    /// A failure as a response; one for want of credentials says of which kind.
    pub(super) fn refusal(&self, request: &Request<'_>, problem: &Problem) -> Response {
        let response = Response::problem(problem);
        if problem.code != Code::Unauthorized {
            return response;
        }
        // The page and a browser's WebSocket must not raise the browser's own password box.
        let is_ws = self.below_base(request.path()) == Some("/ws");
        let asks_itself = request.header("x-opencode-page") == Some("1")
            || (is_ws && request.values("origin").next().is_some());
        let challenge = if asks_itself {
            "Opencode realm=\"opencode\""
        } else {
            "Basic realm=\"opencode\", charset=\"UTF-8\""
        };
        response.header("WWW-Authenticate", challenge)
    }

    /// Who asks; a named proxy's word for it counts, nobody else's.
    fn client(&self, request: &Request<'_>) -> Client {
        let told = request.values("x-forwarded-for");
        forwarded::client(request.peer().ip(), &self.proxies, told)
    }
}

fn needs_credentials(method: &Method, path: &str) -> bool {
    // Who signs in or out has none, or none that is good any more.
    if path == "/api/login" && matches!(method, Method::Post | Method::Delete) {
        return false;
    }
    path == "/ws" || path == "/metrics" || path == "/api" || path.starts_with("/api/")
}

/// A body is taken only as JSON, so that a plain form post of another page does nothing.
fn check_content_type(request: &Request<'_>) -> Result<(), Problem> {
    let has_body = request.header("transfer-encoding").is_some()
        || request.header("content-length").is_some_and(|length| length.trim() != "0");
    let is_json =
        request.content_type().is_some_and(|t| t.eq_ignore_ascii_case("application/json"));
    if !has_body || is_json {
        return Ok(());
    }
    let detail = "send the body as JSON with `Content-Type: application/json`";
    Err(Problem::new(Code::NotJson, detail))
}

/// Seconds since 1970.
fn now() -> u64 {
    id::now_ms() / 1000
}

fn origin_refused(origin: &str) -> Problem {
    let detail = format!(
        "pages of the origin \"{origin}\" may not use this server: add it to server.cors in \
         opencode.json, or start with --cors"
    );
    Problem::new(Code::OriginRefused, detail)
}

/// Whether an origin is this server by the name it was asked by. The scheme is not compared: a
/// proxy may end TLS before it.
fn is_same_origin(origin: &str, host: Option<&str>) -> bool {
    let (Some((scheme, authority)), Some(host)) = (origin.split_once("://"), host) else {
        return false;
    };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let plain = |text: &str| {
        let text = text.to_lowercase();
        text.strip_suffix(default_port).map_or(text.clone(), str::to_owned)
    };
    plain(authority) == plain(host)
}

/// The name in an authority, lower case.
fn host_name(authority: &str) -> String {
    bare_name(authority).to_lowercase()
}

/// The name in an authority as it stands there, without port, brackets and a root dot.
fn bare_name(authority: &str) -> &str {
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let colon = memchr::memrchr(b':', authority.as_bytes()).unwrap_or(authority.len());
    bracketed.map_or(&authority[..colon], |(address, _)| address).trim_end_matches('.')
}

fn health(request: &Request<'_>) -> Response {
    if matches!(request.method(), Method::Get | Method::Head) {
        Response::new(200).header("Content-Type", "text/plain").body(&b"ok\n"[..])
    } else {
        let detail = "this path takes GET and HEAD";
        Response::problem(&Problem::new(Code::MethodNotAllowed, detail))
            .header("Allow", "GET, HEAD")
    }
}

/// Answers a preflight; nothing else happens. The origin's fields are added with all others'.
fn preflight(request: &Request<'_>) -> Response {
    let response = Response::empty(204)
        .header("Access-Control-Allow-Methods", METHODS)
        .header("Access-Control-Allow-Headers", HEADERS)
        .header("Access-Control-Max-Age", MAX_AGE);
    if request.header("access-control-request-private-network") == Some("true") {
        return response.header("Access-Control-Allow-Private-Network", "true");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_origin_is_the_whole_authority() {
        let same = |origin, host| is_same_origin(origin, Some(host));
        assert!(same("http://localhost:4096", "localhost:4096"));
        assert!(same("https://Build.example", "build.example"));
        assert!(same("http://build.example", "build.example:80"));
        assert!(!same("http://localhost:4096.evil.com", "localhost:4096"));
        assert!(!same("http://localhost:3000", "localhost:4096"));
        assert!(!same("null", "null"));
        assert!(!same("file://localhost", "localhost"));
        assert!(!is_same_origin("http://localhost", None));
    }

    #[test]
    fn a_host_is_named_without_its_port() {
        assert_eq!(host_name("LOCALHOST:4096"), "localhost");
        assert_eq!(host_name("[::1]:4096"), "::1");
        assert_eq!(host_name("build.local."), "build.local");
        assert_eq!(host_name("127.0.0.1"), "127.0.0.1");
    }
}
