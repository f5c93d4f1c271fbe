//! The answers of `/api/status` and `/healthz`, with the same fields of the head and the same
//! lines of log, from axum: what a request costs there, for `scripts/bench`.
//!
//! Nothing stands between router and handler, which is the cheapest way that axum has; the line of
//! log is one write to standard error, as the product's.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, SERVER};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

/// What every request sees.
struct Shared {
    started: Instant,
    directory: String,
    port: u16,
    requests: AtomicU64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    status: &'a str,
    version: &'a str,
    api_version: u32,
    uptime_seconds: u64,
    directory: &'a str,
    server: ServerReport<'a>,
    auth: bool,
    store: &'a str,
    default_model: &'a str,
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
    mdns_domain: &'a str,
    cors: &'a [String],
}

type Peer = ConnectInfo<SocketAddr>;
type Answer = Result<Response, StatusCode>;

async fn status(State(shared): State<Arc<Shared>>, ConnectInfo(peer): Peer) -> Answer {
    let began = Instant::now();
    let report = Report {
        status: "ok",
        version: "0.1.0",
        api_version: 1,
        uptime_seconds: shared.started.elapsed().as_secs(),
        directory: &shared.directory,
        server: ServerReport {
            hostname: "127.0.0.1",
            port: shared.port,
            mdns: false,
            mdns_domain: "opencode.local",
            cors: &[],
        },
        auth: false,
        store: "disk",
        default_model: "mock/mock",
        default_agent: "build",
        sessions: 0,
        active_turns: 0,
        waiting: 0,
        connections: 1,
    };
    let body = serde_json::to_vec(&report).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    answer(&shared, began, peer, "/api/status", "application/json", body)
}

async fn healthz(State(shared): State<Arc<Shared>>, ConnectInfo(peer): Peer) -> Answer {
    answer(&shared, Instant::now(), peer, "/healthz", "text/plain", b"ok\n".to_vec())
}

/// Dresses an answer and logs it. The date and the length are hyper's.
fn answer(
    shared: &Shared,
    began: Instant,
    peer: SocketAddr,
    path: &str,
    media: &'static str,
    body: Vec<u8>,
) -> Answer {
    let number = shared.requests.fetch_add(1, Ordering::Relaxed);
    let id = format!("axum0000-{number}");
    log(path, began, body.len(), peer, &id);
    let id = HeaderValue::try_from(id).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let head = [
        (SERVER, HeaderValue::from_static("opencode")),
        (CONTENT_TYPE, HeaderValue::from_static(media)),
        (HeaderName::from_static("x-request-id"), id),
    ];
    Ok((head, body).into_response())
}

fn log(path: &str, began: Instant, bytes: usize, peer: SocketAddr, id: &str) {
    thread_local! {
        static LINE: RefCell<String> = const { RefCell::new(String::new()) };
    }
    LINE.with_borrow_mut(|line| {
        line.clear();
        push_time(line);
        let (took, address) = (began.elapsed().as_millis(), peer.ip());
        let _ = write!(line, " info request GET {path} 200 {took} ms {bytes} bytes {address}");
        let _ = writeln!(line, " requestId={id}");
        let _ = io::stderr().write_all(line.as_bytes());
    });
}

/// The time in RFC 3339; all but its milliseconds is printed once a second.
fn push_time(line: &mut String) {
    thread_local! {
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, printed)| {
        if *second != now.as_secs() {
            *second = now.as_secs();
            let whole = UNIX_EPOCH + Duration::from_secs(*second);
            *printed = humantime::format_rfc3339_seconds(whole).to_string();
            printed.pop();
        }
        let _ = write!(line, "{printed}.{:03}Z", now.subsec_millis());
    });
}

/// `status-server serve --port PORT`, the words of the other programs.
fn main() -> io::Result<()> {
    let port = std::env::args().nth(3).and_then(|word| word.parse().ok()).unwrap_or(4330);
    let directory = std::env::current_dir()?.to_string_lossy().into_owned();
    let requests = AtomicU64::new(0);
    let shared = Arc::new(Shared { started: Instant::now(), directory, port, requests });
    let routes = Router::new()
        .route("/api/status", get(status))
        .route("/healthz", get(healthz))
        .with_state(shared);
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        use axum::serve::ListenerExt;
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let listener = listener.tap_io(|connection| {
            let _ = connection.set_nodelay(true);
        });
        axum::serve(listener, service).await
    })
}
