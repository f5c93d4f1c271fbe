//! Model servers on this machine: who answers, with what, and whose process it is.
//!
//! Ollama, LM Studio and llama.cpp speak Chat Completions and list their models at `/v1/models`.
//! They are asked lazily, and only where something listens; the answer is kept for a moment. On a
//! shared host anybody can listen on a known port, so a server counts as this person's only when
//! the listening socket belongs to them or to root, as `/proc/net/tcp` says.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use super::listeners::Listeners;
use crate::config::Env;
use crate::provider::endpoint::is_loopback;

/// How long an answer, and that there was none, is kept.
const KEPT: Duration = Duration::from_secs(10);
/// How long it is kept that a server there is of another kind.
const KEPT_ANOTHER: Duration = Duration::from_secs(300);
/// Time to connect to a server of this machine.
const CONNECT: Duration = Duration::from_millis(300);
/// Time for its whole answer.
const WHOLE: Duration = Duration::from_millis(1500);
/// Bytes of a list of models.
const MAX_LIST: u64 = 1024 * 1024;

/// A place where a server may be.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The provider's id.
    pub(super) id: &'static str,
    /// Its name for people.
    pub(super) name: &'static str,
    /// Its address, with `/v1`.
    pub(super) base: String,
}

/// A server that answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// The provider's id.
    pub(super) id: &'static str,
    /// Id and context window of each model.
    pub(super) models: Vec<(String, Option<u64>)>,
    /// Whether it is this person's, or an address that the person named.
    pub(super) trusted: bool,
}

/// What asking a place came to.
enum Heard {
    /// A server with models.
    Models(Found),
    /// None, or one that has no models yet.
    Nothing,
    /// A server of another kind.
    Another,
}

/// What is remembered of a place.
#[derive(Clone)]
struct Seen {
    found: Option<Found>,
    until: Instant,
}

#[derive(Default)]
struct State {
    /// By place; empty before the first answer.
    seen: Vec<Seen>,
    found: Arc<Vec<Found>>,
    asking: bool,
}

#[derive(Default)]
struct Shared {
    /// Protects the last answer; not held while servers are asked.
    state: Mutex<State>,
    answered: Condvar,
}

/// Looks for servers.
pub(super) struct Local {
    pub(super) places: Arc<[Place]>,
    shared: Arc<Shared>,
}

impl Local {
    /// The usual places.
    pub(super) fn new(env: &Env) -> Self {
        let ollama = env.get("OLLAMA_HOST").map_or_else(|| ollama_address(""), ollama_address);
        let place = |id, name, base: &str| Place { id, name, base: base.to_owned() };
        Self::at(vec![
            place("ollama", "Ollama", &ollama),
            place("lmstudio", "LM Studio", "http://127.0.0.1:1234/v1"),
            place("llamacpp", "llama.cpp", "http://127.0.0.1:8080/v1"),
        ])
    }

    /// Other places.
    pub(super) fn at(places: Vec<Place>) -> Self {
        Self { places: places.into(), shared: Arc::default() }
    }

    /// The servers that answer. Only the first caller waits for them, and who comes meanwhile;
    /// later the last answer serves everybody, and an old one is renewed behind it.
    pub(super) fn found(&self) -> Arc<Vec<Found>> {
        let mut state = self.shared.lock();
        if state.seen.is_empty() && state.asking {
            let wait = self.shared.answered.wait_timeout_while(state, 2 * WHOLE, |s| s.asking);
            return Arc::clone(&wait.unwrap_or_else(PoisonError::into_inner).0.found);
        }
        let now = Instant::now();
        let is_first = state.seen.is_empty() && !self.places.is_empty();
        if state.asking || (!is_first && state.seen.iter().all(|seen| seen.until > now)) {
            return Arc::clone(&state.found);
        }
        state.asking = true;
        let (seen, old) = (state.seen.clone(), Arc::clone(&state.found));
        drop(state);
        let (places, shared) = (Arc::clone(&self.places), Arc::clone(&self.shared));
        let renew = move || shared.take(look(&places, &seen));
        if is_first {
            renew();
            return Arc::clone(&self.shared.lock().found);
        }
        // It ends by the time-outs of what it asks; nobody waits for it.
        let thread = crate::os::thread("local-models", renew);
        if let Err(error) = thread {
            log::warn!("no thread to look for local model servers: {error}");
            self.shared.lock().asking = false;
        }
        old
    }
}

impl Shared {
    fn take(&self, seen: Vec<Seen>) {
        let mut state = self.lock();
        state.found = Arc::new(seen.iter().filter_map(|seen| seen.found.clone()).collect());
        state.seen = seen;
        state.asking = false;
        drop(state);
        self.answered.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the places of which too little is remembered, all at once.
fn look(places: &[Place], seen: &[Seen]) -> Vec<Seen> {
    let listeners = Listeners::now();
    let remember = |heard| {
        let (found, kept) = match heard {
            Heard::Models(found) => (Some(found), KEPT),
            Heard::Nothing => (None, KEPT),
            Heard::Another => (None, KEPT_ANOTHER),
        };
        Seen { found, until: Instant::now() + kept }
    };
    std::thread::scope(|scope| {
        let looks = places.iter().enumerate().map(|(at, place)| {
            let known = seen.get(at).filter(|seen| seen.until > Instant::now());
            match known {
                Some(seen) => Err(seen.clone()),
                None if is_silent(place, &listeners) => Err(remember(Heard::Nothing)),
                None => {
                    let thread = std::thread::Builder::new().name(format!("ask-{}", place.id));
                    let asked = thread.spawn_scoped(scope, || ask(place, &listeners));
                    asked.map_err(|_| remember(Heard::Nothing))
                }
            }
        });
        let looks: Vec<_> = looks.collect();
        let seen = looks.into_iter().map(|look| match look {
            Ok(thread) => remember(thread.join().unwrap_or(Heard::Nothing)),
            Err(seen) => seen,
        });
        seen.collect()
    })
}

/// Whether it is plain that nothing listens there; else it has to be asked.
fn is_silent(place: &Place, listeners: &Listeners) -> bool {
    let here = is_loopback(&place.base);
    port_of(&place.base).is_some_and(|port| here && listeners.are_none_at(port))
}

fn ask(place: &Place, listeners: &Listeners) -> Heard {
    let user = rustix::process::geteuid().as_raw();
    let trusted = !is_loopback(&place.base)
        || port_of(&place.base).is_some_and(|port| listeners.are_trusted_at(port, user));
    let agent: Agent = Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(WHOLE))
        .build()
        .into();
    let Ok(mut answer) = agent.get(format!("{}/models", place.base)).call() else {
        return Heard::Nothing;
    };
    // A server that still loads its model says so.
    if answer.status().is_server_error() {
        return Heard::Nothing;
    }
    let Ok(body) = answer.body_mut().with_config().limit(MAX_LIST).read_to_vec() else {
        return Heard::Another;
    };
    match serde_json::from_slice(&body).ok().as_ref().and_then(models) {
        Some(models) if models.is_empty() => Heard::Nothing,
        Some(models) => Heard::Models(Found { id: place.id, models, trusted }),
        None => Heard::Another,
    }
}

/// The models of a list in `OpenAI`'s shape, those that only embed left out.
fn models(list: &Value) -> Option<Vec<(String, Option<u64>)>> {
    let models = list["data"].as_array()?.iter().filter_map(|model| {
        let id = model["id"].as_str().filter(|id| !id.contains("embed"))?;
        let context = model["max_model_len"].as_u64().or_else(|| model["meta"]["n_ctx"].as_u64());
        Some((id.to_owned(), context))
    });
    Some(models.collect())
}

/// `OLLAMA_HOST` as Ollama reads it: host, port and scheme may each be missing.
fn ollama_address(value: &str) -> String {
    let value = value.trim().trim_end_matches('/');
    let (scheme, rest) = value.split_once("://").unwrap_or(("", value));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && !name.ends_with(':') => (name, port),
        _ => (
            host,
            match scheme {
                "http" => "80",
                "https" => "443",
                _ => "11434",
            },
        ),
    };
    // A server listens on all addresses at 0.0.0.0; a client asks this machine.
    let name = match name {
        "" | "0.0.0.0" | "[::]" | "::" => "127.0.0.1",
        other => other,
    };
    let scheme = if scheme == "https" { "https" } else { "http" };
    let version = if path.ends_with("/v1") { "" } else { "/v1" };
    format!("{scheme}://{name}:{port}{path}{version}")
}

fn port_of(base: &str) -> Option<u16> {
    let rest = base.split_once("://")?.1;
    rest.split('/').next()?.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::testing::{Act, BlackHole, answer, server};
    use serde_json::json;

    #[test]
    fn ollamas_address_is_read_as_ollama_reads_it() {
        for (value, base) in [
            ("", "http://127.0.0.1:11434/v1"),
            ("0.0.0.0", "http://127.0.0.1:11434/v1"),
            (":1234", "http://127.0.0.1:1234/v1"),
            ("box", "http://box:11434/v1"),
            ("box:5", "http://box:5/v1"),
            ("http://box", "http://box:80/v1"),
            ("https://box/sub/", "https://box:443/sub/v1"),
            ("http://[::1]:9", "http://[::1]:9/v1"),
            ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"),
        ] {
            assert_eq!(ollama_address(value), base, "{value}");
        }
    }

    #[test]
    fn a_server_is_asked_once_and_its_socket_looked_up() {
        let list = json!({"data": [
            {"id": "nomic-embed-text"}, {"id": "qwen3", "max_model_len": 9}, {"id": "b"}
        ]});
        let (base, thread) = server(vec![Act::Send(answer(200, "", &list.to_string()))]);
        let local = Local::at(vec![Place { id: "ollama", name: "Ollama", base }]);
        let first = local.found();
        thread.join().unwrap();
        assert_eq!(first[0].models, [("qwen3".to_owned(), Some(9)), ("b".to_owned(), None)]);
        assert!(first[0].trusted);
        // The server is gone; the answer is kept.
        assert_eq!(local.found(), first);
    }

    impl Local {
        /// Lets a while pass.
        fn age(&self, time: Duration) {
            for seen in &mut self.shared.lock().seen {
                seen.until = seen.until.checked_sub(time).unwrap();
            }
        }

        fn wait_while_asking(&self) {
            let (state, answered) = (self.shared.lock(), &self.shared.answered);
            drop(answered.wait_while(state, |state| state.asking).unwrap());
        }
    }

    #[test]
    fn a_place_where_nothing_listens_is_not_asked() {
        let hole = BlackHole::new();
        let at = |port: u16| {
            let base = format!("http://127.0.0.1:{port}/v1");
            Place { id: "ollama", name: "Ollama", base }
        };
        let now = Listeners::now();
        assert!(!is_silent(&at(hole.address.port()), &now));
        assert!(is_silent(&at(1), &now));
        assert!(
            !is_silent(&at(1), &Listeners::untold()),
            "where nothing is told it has to be asked"
        );
        let far = Place { base: "http://10.9.8.7:1/v1".into(), ..at(1) };
        assert!(!is_silent(&far, &now));
    }

    #[test]
    fn an_old_answer_serves_while_a_new_one_is_fetched() {
        let list = json!({"data": [{"id": "qwen3"}]}).to_string();
        let newer = json!({"data": [{"id": "qwen4"}]}).to_string();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let (go, gate) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            for list in [list, newer] {
                let (mut stream, _) = listener.accept().unwrap();
                gate.recv().unwrap();
                let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
                let answer = answer(200, "", &list);
                std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
            }
        });
        let local = Local::at(vec![Place { id: "ollama", name: "Ollama", base }]);
        go.send(()).unwrap();
        let first = local.found();
        local.age(KEPT);
        // The server is silent until it is let go on.
        assert_eq!(local.found(), first);
        assert_eq!(local.found(), first);
        go.send(()).unwrap();
        local.wait_while_asking();
        assert_eq!(local.found()[0].models[0].0, "qwen4");
        thread.join().unwrap();
    }

    #[test]
    fn a_server_of_another_kind_is_left_alone_for_minutes() {
        let (base, thread) = server(vec![Act::Send(answer(404, "", "<html>"))]);
        let local = Local::at(vec![Place { id: "llamacpp", name: "llama.cpp", base }]);
        assert!(local.found().is_empty());
        thread.join().unwrap();
        local.age(10 * KEPT);
        assert!(local.found().is_empty() && !local.shared.lock().asking);
    }

    #[test]
    fn what_is_no_list_of_models_is_no_server() {
        for body in ["<html>", "{}", "{\"data\":[]}"] {
            let (base, thread) = server(vec![Act::Send(answer(200, "", body))]);
            let local = Local::at(vec![Place { id: "ollama", name: "Ollama", base }]);
            assert!(local.found().is_empty(), "{body}");
            thread.join().unwrap();
        }
    }
}
