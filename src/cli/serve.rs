//! `opencode serve` and `opencode web`: binds, says so, serves until a signal.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::api::{Api, Facts, Live};
use crate::cli::exit::{Exit, Failure};
use crate::cli::flags::Typed;
use crate::cli::notify::{State, notify};
use crate::cli::reload::{self, Open, Reloads};
use crate::cli::{browser, project};
use crate::config::{self, Config, Env, Limits, ServerFlags};
use crate::discovery::{self, Announcer, LocalName, Service};
use crate::http::Server;
use crate::id;
use crate::os;
use crate::session::Sessions;
use crate::session::store::{ServerLock, StoreError};
use crate::tool;

/// Memory there must be for each connection that is taken: about twice what one takes that runs
/// a turn.
const CONNECTION_BYTES: u64 = 64 * 1024;
/// What is left after the turns have ended: answers being written.
const LAST_WRITES: Duration = Duration::from_secs(2);
/// How long a server that does not answer may hold the project yet.
const HANDOVER: Duration = Duration::from_secs(2);

/// The API alone.
pub(super) fn serve(typed: &Typed, env: &Env) -> Result<Exit, Failure> {
    start(typed, env, Page::None)
}

/// The API and the page.
pub(super) fn web(typed: &Typed, env: &Env) -> Result<Exit, Failure> {
    let opens = typed.switch("no-open")? != Some(true);
    start(typed, env, if opens { Page::Opened } else { Page::Served })
}

/// What becomes of the web page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    /// There is none.
    None,
    /// It is there.
    Served,
    /// It is there, and a browser is sent to it.
    Opened,
}

fn start(typed: &Typed, env: &Env, page: Page) -> Result<Exit, Failure> {
    let flags = flags(typed)?;
    // Even what is wrong with the configuration is told in the form that was asked for.
    crate::cli::log::start(&config::early_logs(env, &flags));
    match run(typed, env, page, flags) {
        Err(failure) if crate::cli::log::is_json() => {
            log::error!("{failure}");
            Ok(failure.exit)
        }
        ended => ended,
    }
}

fn run(typed: &Typed, env: &Env, page: Page, flags: ServerFlags) -> Result<Exit, Failure> {
    let descriptors = os::raise_descriptor_limit();
    let directory = project::directory(typed, env)?;
    let mut config = project::configure(&directory, env, flags.clone())?;
    crate::cli::log::set(&config.log);
    tool::protect_environment(&config.used_env);
    let credentials = project::credentials(env)?;
    let insecure = match typed.switch("insecure")? {
        Some(on) => on,
        None => matches!(env.get("OPENCODE_INSECURE"), Some("1" | "true")),
    };
    let folder = project::store_folder(env, &directory);
    let store = project::store(folder.as_deref(), |text| log::warn!("{text}"))?;
    let mut lock = match folder {
        Some(folder) if store.kind() == "disk" => Some(claim(&folder, &directory)?),
        _ => None,
    };
    let engine = Arc::new(project::engine(&config, env, directory.clone())?);
    let sessions = Arc::new(Sessions::new(engine, store, project::bounds(&config)));
    fit(&mut config.server.limits, descriptors);

    let server = bind(&config)?;
    let address = server.address();
    config.server.port = address.port();
    let open = Open { address: address.ip(), insecure };
    warn(&config, open, credentials.as_ref(), &directory);
    let local_name = config.server.mdns.then(|| LocalName::wanted(&config.server.mdns_domain));
    let has_password = credentials.is_some();
    let facts = Facts {
        server: config.server.clone(),
        credentials: credentials.clone(),
        cookie_key: cookie_key(lock.as_ref())?,
        page: page != Page::None,
        local_name: local_name.clone(),
        insecure,
        traffic: server.traffic(),
    };
    let api = Arc::new(Live::new(Api::new(Arc::clone(&sessions), facts)));
    let hangs_up = os::has_terminal() && !os::is_ignored(SIGHUP);
    let signals = Signals::new([SIGTERM, SIGINT, SIGCHLD, SIGHUP])
        .map_err(|error| Failure::new(Exit::Failed, format!("signals: {error}")))?;
    let url = url(&config.server.hostname, address);
    if let Some(lock) = &mut lock
        && let Err(error) = lock.announce(&url)
    {
        log::warn!("a second server will not know this one's address: {error}");
    }
    // Who connects from here on waits in the socket's queue for a moment.
    announce(&url);
    let page_url = page_url(&config, address);
    if page != Page::None && !config.server.base_path.is_empty() {
        log::info!("the page is at {page_url}");
    }
    if page == Page::Opened {
        // What it starts must not come to this process as its orphans do from the next line on.
        browser::open(&page_url, env, &config.used_env);
    }
    tool::adopt_orphans();
    tool::kill_orphans();
    let running = server
        .start(api.clone())
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot accept: {error}")))?;
    let announcer = local_name.and_then(|name| discoverable(&config, address, has_password, name));
    notify(env, State::Ready);
    let mut reloads = Reloads {
        env,
        directory,
        flags,
        config,
        credentials,
        open,
        sessions: Arc::clone(&sessions),
        api,
    };
    let mut signals = Heard { signals, hangs_up };
    os::release_code();
    if let Some(first) = signals.next_to_stop(|| reloads.reload()) {
        stop(first, signals, env, &sessions, announcer, reloads.config.server.limits.stop_time);
    }
    tool::kill_adopted();
    let left = running.stop(LAST_WRITES);
    if left > 0 {
        log::warn!("{left} connections did not end in time");
    }
    drop(lock);
    log::info!("stopped");
    Ok(Exit::Ok)
}

/// Lowers what may be taken at once to what this machine has.
fn fit(limits: &mut Limits, descriptors: u64) {
    // A connection that runs a turn holds a socket, a wake-up and a provider's socket.
    let mut most = descriptors / 3;
    if let Some(memory) = os::memory() {
        most = most.min(memory / CONNECTION_BYTES);
        let bodies = usize::try_from(memory / 4).unwrap_or(usize::MAX);
        limits.bodies_bytes = limits.bodies_bytes.min(bodies);
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX).max(8);
    if most < limits.connections {
        log::info!("{most} connections at once are taken here, not {}", limits.connections);
        limits.connections = most;
    }
}

/// The flags that override the `server` section.
pub(super) fn flags(typed: &Typed) -> Result<ServerFlags, Failure> {
    Ok(ServerFlags {
        port: typed.parsed("port", "a number from 0 to 65535")?,
        hostname: typed.value("hostname").map(str::to_owned),
        mdns: typed.switch("mdns")?,
        mdns_domain: typed.value("mdns-domain").map(str::to_owned),
        cors: typed.values("cors"),
        base_path: typed.value("base-path").map(str::to_owned),
        log_level: typed.value("log-level").map(str::to_owned),
        log_format: typed.value("log-format").map(str::to_owned),
    })
}

fn bind(config: &Config) -> Result<Server, Failure> {
    let (hostname, port) = (&config.server.hostname, config.server.port);
    Server::bind(hostname, port, config.server.limits.clone()).map_err(|error| {
        let text = match error.kind() {
            std::io::ErrorKind::AddrInUse => format!(
                "port {port} on {hostname} is in use: stop the program that has it, or choose \
                 another with --port"
            ),
            std::io::ErrorKind::PermissionDenied => format!(
                "port {port} on {hostname} needs more rights: choose one above 1023 with --port"
            ),
            _ => format!("cannot listen on {hostname}, port {port}: {error}"),
        };
        Failure::new(Exit::Failed, text)
    })
}

/// Holds the project for this server. One that was killed may hold it for a moment yet, by a
/// command that it was just starting, and one that starts has no address: both are waited for.
fn claim(folder: &std::path::Path, directory: &std::path::Path) -> Result<ServerLock, Failure> {
    let end = Instant::now() + HANDOVER;
    let mut is_told = false;
    loop {
        let error = match ServerLock::claim(folder) {
            Ok(lock) => return Ok(lock),
            Err(error) => error,
        };
        let next = match &error {
            StoreError::Served(address) if !answers(address) && Instant::now() < end => {
                if !is_told {
                    log::info!("the project is held by a server that does not answer: waiting");
                    is_told = true;
                }
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            StoreError::Served(_) => ": use it, or stop it first",
            _ => "",
        };
        let text = format!("{error} ({}){next}", directory.display());
        return Err(Failure::new(Exit::Failed, text));
    }
}

/// Whether somebody listens at a URL.
fn answers(url: &str) -> bool {
    let place = url.trim_start_matches("http://");
    place.to_socket_addrs().is_ok_and(|mut found| {
        found.any(|at| TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok())
    })
}

/// The secret that signs cookies: kept with the sessions, or else as long as this process.
fn cookie_key(lock: Option<&ServerLock>) -> Result<[u8; 32], Failure> {
    match lock.map(ServerLock::key) {
        Some(Ok(key)) => return Ok(key),
        Some(Err(error)) => log::warn!("who signs in has to do so again after a restart: {error}"),
        None => {}
    }
    id::secret().map_err(|error| Failure::new(Exit::Failed, format!("no randomness: {error}")))
}

/// Where a browser on this machine finds the page.
fn page_url(config: &Config, address: SocketAddr) -> String {
    let host = match address.ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        _ => config.server.hostname.clone(),
    };
    format!("{}{}/", url(&host, address), config.server.base_path)
}

fn url(hostname: &str, address: SocketAddr) -> String {
    let host = match hostname.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
        _ => hostname.to_owned(),
    };
    format!("http://{host}:{}", address.port())
}

/// The line that scripts wait for. A closed standard output is no reason not to serve.
fn announce(url: &str) {
    let line = format!("opencode server listening on {url}\n");
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
}

/// Makes the server known on the local network. What fails there stops no server.
fn discoverable(
    config: &Config,
    address: SocketAddr,
    auth: bool,
    name: LocalName,
) -> Option<Announcer> {
    let server = &config.server;
    let service = Service {
        domain: server.mdns_domain.clone(),
        listen: address.ip(),
        port: address.port(),
        base_path: server.base_path.clone(),
        auth,
    };
    match discovery::announce(&service, name) {
        Ok(Some(announcer)) => return Some(announcer),
        Ok(None) => log::warn!(
            "mdns is on, and nothing is announced: the server listens on {} alone, which no other \
             machine can reach; --hostname 0.0.0.0 changes that",
            server.hostname
        ),
        Err(error) => log::warn!("the server is not announced by mDNS: {error}"),
    }
    None
}

fn warn(
    config: &Config,
    open: Open,
    credentials: Option<&config::Credentials>,
    root: &std::path::Path,
) {
    for (level, text) in reload::told(config, credentials.is_some()) {
        log::log!(level, "{text}");
    }
    for warning in open.warnings(credentials) {
        log::warn!("{warning}");
    }
    if root == std::path::Path::new("/") {
        log::warn!("the project directory is /: name one with --dir");
    }
}

/// The signals that come.
struct Heard {
    signals: Signals,
    /// The server was started from a terminal and is to end with it: not by `nohup`, and by no
    /// service manager.
    hangs_up: bool,
}

impl Heard {
    /// The next signal to stop. Until then ended orphans are reaped, and SIGHUP reloads; where it
    /// tells that the server's own terminal is gone, it stops.
    fn next_to_stop(&mut self, mut reload: impl FnMut()) -> Option<i32> {
        for signal in self.signals.forever() {
            match signal {
                SIGCHLD => tool::reap_adopted(),
                SIGHUP if !self.hangs_up || os::has_terminal() => reload(),
                _ => return Some(signal),
            }
        }
        None
    }
}

/// Returns when the turns have ended after the first signal to stop. A second one ends the program
/// at once.
fn stop(
    first: i32,
    mut signals: Heard,
    env: &Env,
    sessions: &Arc<Sessions>,
    announcer: Option<Announcer>,
    grace: Duration,
) {
    sessions.close();
    notify(env, State::Stopping);
    // Nobody new should come.
    drop(announcer);
    log::info!("signal {first}: no new turns; running ones have {} s", grace.as_secs_f32());
    let handle = signals.signals.handle();
    let stopping = Arc::clone(sessions);
    let stop = crate::os::thread("stop", move || {
        stopping.stop(grace);
        handle.close();
    });
    if stop.is_err() {
        sessions.stop(grace);
        return;
    }
    // The iterator ends when the turns have.
    if let Some(second) = signals.next_to_stop(|| ()) {
        log::warn!("signal {second} again: ending at once");
        std::process::exit(128 + second);
    }
}
