//! The client's side: who is there, and where is a name.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use simple_dns::{Packet, Question, TYPE};

use super::cache::{Cache, Found, question};
use super::net::{self, Changes, Group, Interface};
use super::packet::{self, name};
use super::records::OPENCODE;
use crate::cancel::Cancel;
use crate::os::{Waker, wait_many};

/// How long a name is looked for.
const LOOK_TIME: Duration = Duration::from_secs(3);
/// How long further answers are awaited when there is one.
const SETTLE: Duration = Duration::from_millis(250);
/// The wait before the question is put again; each further one is twice as long.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a network is awaited that may be coming up: Linux says so about a second after the
/// cable is in.
const COMING: Duration = Duration::from_millis(1500);
/// What is known and told with a question, so that its packet stays below an Ethernet frame.
const KNOWN: usize = 24;
/// Questions of one packet.
const QUESTIONS: usize = 16;

/// Why nothing was found.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AskError {
    /// This machine has no network that could be asked.
    #[error("this machine is on no network that could be asked by mDNS")]
    NoNetwork,
    /// The system refuses.
    #[error("mDNS is not possible here: {0}")]
    Refused(String),
    /// Nobody answers to the name.
    #[error("nobody on the local network answers to {0}")]
    NoSuchName(String),
    /// Somebody answers to the name, and announces no server.
    #[error(
        "{0} is on the local network, and announces no opencode server: start it with --mdns, or \
         give its port, opencode://{0}:PORT"
    )]
    NoServer(String),
    /// There are several servers of that name.
    #[error("{} servers are called {name}; give one of {}", .urls.len(), .urls.join(", "))]
    Several {
        /// The name.
        name: String,
        /// How to say which one.
        urls: Vec<String>,
    },
    /// [`Cancel`] ended it.
    #[error("cancelled")]
    Cancelled,
}

/// All servers that answer within a time.
///
/// # Errors
/// There is no network, the system refuses, or it was cancelled.
pub fn discover(time: Duration, cancel: &Cancel) -> Result<Vec<Found>, AskError> {
    let ours = [question(name(OPENCODE), TYPE::PTR)];
    Ok(ask(&ours, |_| false, time, cancel)?.servers())
}

/// The server at a name, `NAME.local`.
///
/// # Errors
/// There is none, or there are several.
pub fn find_server(at: &str, cancel: &Cancel) -> Result<Found, AskError> {
    let wanted = name(at);
    let questions = [
        question(name(OPENCODE), TYPE::PTR),
        question(wanted.clone(), TYPE::A),
        question(wanted.clone(), TYPE::AAAA),
    ];
    let of_name = |cache: &Cache| {
        let servers = cache.servers().into_iter();
        servers.filter(|found| name(&found.name) == wanted).collect::<Vec<_>>()
    };
    let cache = ask(&questions, |cache| !of_name(cache).is_empty(), LOOK_TIME, cancel)?;
    let mut servers = of_name(&cache);
    servers.dedup_by_key(|found| (found.port, found.base_path.clone()));
    match servers.len() {
        1 => Ok(servers.remove(0)),
        0 if cache.addresses(&wanted, 0).is_empty() => Err(AskError::NoSuchName(at.to_owned())),
        0 => Err(AskError::NoServer(at.to_owned())),
        _ => {
            let url = |found: &Found| format!("opencode://{at}:{}", found.port);
            Err(AskError::Several { name: at.to_owned(), urls: servers.iter().map(url).collect() })
        }
    }
}

/// The addresses of a name, `NAME.local`, with a port.
///
/// # Errors
/// Nobody answers to it.
pub fn find_host(
    at: &str,
    port: u16,
    cancel: &Cancel,
) -> Result<Vec<std::net::SocketAddr>, AskError> {
    let wanted = name(at);
    let questions = [TYPE::A, TYPE::AAAA].map(|kind| question(wanted.clone(), kind));
    let is_found = |cache: &Cache| !cache.addresses(&wanted, port).is_empty();
    let addresses = ask(&questions, is_found, LOOK_TIME, cancel)?.addresses(&wanted, port);
    if addresses.is_empty() { Err(AskError::NoSuchName(at.to_owned())) } else { Ok(addresses) }
}

/// Asks on every link until the time is over, or a little longer than until enough is known.
fn ask(
    questions: &[Question<'static>],
    is_enough: impl Fn(&Cache) -> bool,
    time: Duration,
    cancel: &Cancel,
) -> Result<Cache, AskError> {
    let refused = |error: std::io::Error| AskError::Refused(error.to_string());
    let waker = Arc::new(Waker::new().map_err(refused)?);
    let hook = waker.clone();
    let _guard = cancel.on_cancel(move || hook.wake()).map_err(|_| AskError::Cancelled)?;
    let links = links_soon(&waker, time.min(COMING))?;
    let mut cache = Cache::default();
    let (mut end, mut settling) = (Instant::now() + time, false);
    let (mut again, mut wait) = (Instant::now(), AGAIN);
    let mut asked: Vec<Question<'static>> = Vec::new();
    loop {
        let now = Instant::now();
        if now >= end {
            return Ok(cache);
        }
        if now >= again {
            asked.clear();
            put(&links, questions, &cache);
            again = now + wait;
            wait *= 2;
        }
        let open = cache.missing().into_iter().filter(|q| !asked.iter().any(|a| same(a, q)));
        let open: Vec<_> = open.take(QUESTIONS).collect();
        if !open.is_empty() {
            put(&links, &open, &Cache::default());
            asked.extend(open);
        }
        let fds: Vec<_> = links.iter().map(|(_, group)| group.as_fd()).collect();
        let pause = end.min(again).saturating_duration_since(now) + Duration::from_millis(1);
        let Some(ready) = wait_many(&waker, &fds, pause).map_err(refused)? else {
            return Err(AskError::Cancelled);
        };
        for ((interface, group), _) in links.iter().zip(ready).filter(|(_, ready)| *ready) {
            receive(interface, group, &mut cache);
        }
        if !settling && is_enough(&cache) {
            (settling, end) = (true, end.min(Instant::now() + SETTLE));
        }
    }
}

fn same(a: &Question<'_>, b: &Question<'_>) -> bool {
    a.qname == b.qname && a.qtype == b.qtype
}

/// What [`links`] gives, within a time in which a network may come up.
fn links_soon(waker: &Waker, time: Duration) -> Result<Vec<(Interface, Group)>, AskError> {
    let end = Instant::now() + time;
    let changes = Changes::watch();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match (links(), &changes) {
            (Err(AskError::NoNetwork), Ok(changes)) if !left.is_zero() => {
                match wait_many(waker, &[changes.as_fd()], left) {
                    Ok(None) => return Err(AskError::Cancelled),
                    Ok(Some(_)) => changes.clear(),
                    Err(error) => return Err(AskError::Refused(error.to_string())),
                }
            }
            (links, _) => return links,
        }
    }
}

/// Everything that can be asked: from the group's port, where everybody hears the answer, and from
/// a port of our own, where we alone do. The first may be taken by somebody who does not share it,
/// or be answered late, since nobody tells everybody twice in a second; the second may be shut by a
/// firewall.
fn links() -> Result<Vec<(Interface, Group)>, AskError> {
    let interfaces = net::interfaces().map_err(|error| AskError::Refused(error.to_string()))?;
    if interfaces.is_empty() {
        return Err(AskError::NoNetwork);
    }
    let (mut links, mut refused) = (Vec::new(), None);
    for interface in interfaces {
        for family in interface.families() {
            for open in [Group::join, Group::alone] {
                match open(interface.index, family) {
                    Ok(group) => links.push((interface.clone(), group)),
                    Err(error) => refused = Some(AskError::Refused(error.to_string())),
                }
            }
        }
    }
    match refused {
        Some(refused) if links.is_empty() => Err(refused),
        _ => Ok(links),
    }
}

/// Puts questions on every link, with what is known of their answers.
fn put(links: &[(Interface, Group)], questions: &[Question<'static>], known: &Cache) {
    let mut packet = Packet::new_query(0);
    packet.questions = questions.to_vec();
    packet.answers = known.known_services(KNOWN);
    let bytes = packet::bytes(&packet);
    for (interface, group) in links {
        if let Err(error) = group.send(&bytes, None) {
            log::debug!("mDNS on {}: {error}", interface.name);
        }
    }
}

fn receive(interface: &Interface, group: &Group, cache: &mut Cache) {
    let mut buffer = [0; packet::LARGEST + 1];
    // A bound, so that a flood cannot keep the end from being seen.
    for _ in 0..64 {
        let Ok(Some((count, from))) = group.receive(&mut buffer) else { return };
        // An answer comes from the group's port, and from this link.
        let is_near = group.hears_all() || interface.is_near(from.ip());
        if from.port() != packet::PORT || !is_near {
            continue;
        }
        if let Some(packet) = packet::parse(&buffer[..count])
            && packet::is_response(&packet)
        {
            cache.hear(&packet, interface.index);
        }
    }
}
