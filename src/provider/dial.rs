//! Finding a provider and connecting to it, on a thread that a cancel leaves behind.
//!
//! Nothing ends a look-up or a connect before its own time-out. So they have a thread of their own
//! for as long as they last; a turn that is stopped no longer waits for it, and the thread ends
//! when its time is over. All that follows, the wait for an answer above all, is the turn's own
//! thread's: shutting the socket ends it.

use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::Builder;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, Either, NextTimeout, RustlsConnector,
    ShutdownHandle, Transport, time,
};
use ureq::{Agent, Error, Proxy, Timeout};

use super::buffers::{self, Buffered};
use super::socket::Socket;
use crate::cancel::Cancel;
use crate::os;

/// Time to look a name up.
const RESOLVE: Duration = Duration::from_secs(5);
/// Time to connect, handshakes included.
const CONNECT: Duration = Duration::from_secs(10);
/// Stack of the thread; only the pages that it touches count.
const STACK: usize = 1024 * 1024;

/// No thread could be started.
#[derive(Debug, thiserror::Error)]
#[error("No thread could be started to ask the provider: {0}.")]
pub(super) struct NoThread(io::Error);

/// How to connect.
#[derive(Clone)]
pub(super) struct Dial {
    pub(super) proxy: Option<Proxy>,
    pub(super) roots: TlsConfig,
    /// All turns share it, and with it what it makes of the authorities.
    pub(super) tls: Arc<RustlsConnector>,
    pub(super) user_agent: &'static str,
}

impl Dial {
    /// Connects, unless the turn is cancelled meanwhile.
    #[inline(never)]
    pub(super) fn connect(
        &self,
        uri: &Uri,
        cancel: &Cancel,
        open: &Open,
    ) -> Result<Box<dyn Transport>, Error> {
        let (dial, uri, open) = (self.clone(), uri.clone(), open.clone());
        apart("provider-call", cancel, move || dial.connect_here(&uri, &open))
    }

    fn connect_here(self, uri: &Uri, open: &Open) -> Result<Box<dyn Transport>, Error> {
        let Self { proxy, roots, tls, user_agent } = self;
        let is_straight = proxy.as_ref().is_none_or(|proxy| proxy.is_no_proxy(uri));
        let config = Agent::config_builder()
            .proxy(proxy)
            .tls_config(roots)
            .user_agent(user_agent)
            .input_buffer_size(buffers::INPUT)
            .output_buffer_size(buffers::OUTPUT)
            .build();
        let resolver = DefaultResolver::default();
        // A proxy looks the name up itself.
        let addrs = if is_straight { look_up(&resolver, uri, &config)? } else { resolver.empty() };
        let open = open.clone();
        let run_connector = Arc::new(move |details: &ConnectionDetails<'_>| connect(&tls, details));
        let details = ConnectionDetails {
            uri,
            addrs,
            config: &config,
            request_level: false,
            resolver: &resolver,
            now: time::Instant::now(),
            timeout: NextTimeout {
                after: CONNECT.into(),
                reason: Timeout::Connect,
                ..NextTimeout::default()
            },
            current_time: Arc::new(time::Instant::now),
            run_connector: run_connector.clone(),
            register_shutdown: Arc::new(move |handle| open.add(handle)),
        };
        run_connector(&details)
    }
}

/// An address is its own; a name is looked up on another thread, by which ureq bounds the time.
fn look_up(
    resolver: &DefaultResolver,
    uri: &Uri,
    config: &Config,
) -> Result<ResolvedSocketAddrs, Error> {
    let time = if uri.host().is_some_and(is_address) {
        NextTimeout::default()
    } else {
        NextTimeout { after: RESOLVE.into(), reason: Timeout::Resolve, ..Default::default() }
    };
    resolver.resolve(uri, config, time)
}

fn is_address(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(host).parse::<IpAddr>().is_ok()
}

/// Through a proxy or straight, and with TLS where the address says so.
fn connect(
    tls: &RustlsConnector,
    details: &ConnectionDetails<'_>,
) -> Result<Box<dyn Transport>, Error> {
    let beneath = match ConnectProxyConnector::default().connect(details, None::<()>)? {
        Some(Either::B(tunnel)) => tunnel,
        Some(Either::A(())) | None => Box::new(Socket::connect(details)?),
    };
    if !details.needs_tls() || beneath.is_tls() {
        return Ok(beneath);
    }
    match tls.connect(details, Some(beneath))? {
        Some(secured) => Ok(Box::new(Buffered::new(Box::new(secured)))),
        None => Err(Error::TlsRequired),
    }
}

/// Runs something on a thread of its own and waits for it until the turn is cancelled.
fn apart<T: Send + 'static>(
    name: &str,
    cancel: &Cancel,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    // Room for one message of each side, so that neither waits for the other.
    let (told, tells) = sync_channel(2);
    let stop = told.clone();
    let hook = cancel.on_cancel(move || _ = stop.try_send(None));
    let Ok(_guard) = hook else { return Err(cancelled()) };
    let thread = Builder::new().name(name.to_owned()).stack_size(STACK).spawn(move || {
        // The hook holds the channel open, so a panic has to be told too.
        let _ = told.try_send(Some(catch_unwind(AssertUnwindSafe(work))));
    });
    let thread = thread.map_err(|error| Error::Other(Box::new(NoThread(error))))?;
    os::release_stack();
    match tells.recv() {
        Ok(Some(done)) => {
            // It has nothing more to do; left alone, it would keep its stack.
            let _ = thread.join();
            done.unwrap_or_else(|panic| resume_unwind(panic))
        }
        Ok(None) | Err(_) => Err(cancelled()),
    }
}

/// Whoever sees it looks at the cancel first.
fn cancelled() -> Error {
    io::Error::from(io::ErrorKind::Interrupted).into()
}

/// The connections that a cancel shuts.
#[derive(Clone, Default)]
pub(super) struct Open(Arc<Mutex<Handles>>);

#[derive(Default)]
struct Handles {
    handles: Vec<Weak<dyn ShutdownHandle>>,
    is_over: bool,
}

impl Open {
    /// A connection that has just been made; refused once all are shut.
    fn add(&self, handle: Weak<dyn ShutdownHandle>) -> Result<(), Error> {
        let mut open = lock(&self.0);
        if open.is_over {
            return Err(cancelled());
        }
        open.handles.retain(|handle| handle.strong_count() > 0);
        open.handles.push(handle);
        Ok(())
    }

    /// Shuts all, those too that are only about to be made: what waits on one ends at once.
    pub(super) fn shut(&self) {
        let mut open = lock(&self.0);
        open.is_over = true;
        for handle in std::mem::take(&mut open.handles).iter().filter_map(Weak::upgrade) {
            handle.shutdown();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_no_look_up_and_a_name_does() {
        for address in ["127.0.0.1", "[::1]"] {
            assert!(is_address(address), "{address}");
        }
        for name in ["localhost", "api.openai.com", "127.0.0.1.example", "[::1"] {
            assert!(!is_address(name), "{name}");
        }
    }

    #[test]
    fn what_fails_apart_fails_here() {
        let panics = || -> Result<(), Error> { panic!("on purpose") };
        let run = || apart("test", &Cancel::new(), panics);
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        let nobody = || -> Result<(), Error> { Err(Error::HostNotFound) };
        assert!(matches!(apart("test", &Cancel::new(), nobody), Err(Error::HostNotFound)));
    }

    #[test]
    fn nobody_waits_beyond_a_cancel() {
        let cancel = Cancel::new();
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let its = cancel.clone();
        let work = move || {
            its.cancel();
            Ok(held.recv().is_ok())
        };
        let told = apart("test", &cancel, work);
        assert!(matches!(told, Err(Error::Io(_))), "{told:?}");
        drop(let_go);
    }

    #[test]
    fn what_is_made_after_the_end_is_refused() {
        let open = Open::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = || std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (early, late) = (Arc::new(socket()), Arc::new(socket()));
        let handle = Arc::downgrade(&early);
        open.add(handle).unwrap();
        open.shut();
        let mut ended = listener.accept().unwrap().0;
        assert_eq!(io::Read::read(&mut ended, &mut [0]).unwrap(), 0);
        let handle = Arc::downgrade(&late);
        assert!(open.add(handle).is_err());
    }
}
