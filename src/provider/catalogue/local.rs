//! Model servers on this machine: who answers, with what, and whose process it is.
//!
//! Ollama, LM Studio and llama.cpp speak Chat Completions and list their models at `/v1/models`.
//! They are asked lazily and the answer is kept for a moment. On a shared host anybody can listen
//! on a known port, so a server counts as this person's only when the listening socket belongs to
//! them or to root, as `/proc/net/tcp` says.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use crate::config::Env;
use crate::provider::endpoint::is_loopback;

/// How long an answer, and that there was none, is kept.
const KEPT: Duration = Duration::from_secs(10);
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

type Kept = Option<(Instant, Arc<Vec<Found>>)>;

/// Looks for servers.
pub(super) struct Local {
    pub(super) places: Vec<Place>,
    /// Protects the last answer; not held while servers are asked.
    kept: Mutex<Kept>,
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
        Self { places, kept: Mutex::new(None) }
    }

    /// The servers that answer.
    pub(super) fn found(&self) -> Arc<Vec<Found>> {
        if let Some((when, found)) = &mut *self.lock() {
            if when.elapsed() < KEPT {
                return Arc::clone(found);
            }
            // This caller asks again; meanwhile the old answer serves all others, however long a
            // server takes.
            *when = Instant::now();
        }
        let found: Arc<Vec<Found>> = Arc::new(self.places.iter().filter_map(ask).collect());
        *self.lock() = Some((Instant::now(), Arc::clone(&found)));
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask(place: &Place) -> Option<Found> {
    // Looked up first: what is asked after that may close its socket.
    let trusted = !is_loopback(&place.base)
        || port_of(&place.base)
            .is_some_and(|port| is_ours(port, rustix::process::geteuid().as_raw()));
    let agent: Agent = Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(WHOLE))
        .build()
        .into();
    let mut answer = agent.get(format!("{}/models", place.base)).call().ok()?;
    let body = answer.body_mut().with_config().limit(MAX_LIST).read_to_vec().ok()?;
    let models = models(&serde_json::from_slice(&body).ok()?)?;
    Some(Found { id: place.id, models, trusted })
}

/// The models of a list in `OpenAI`'s shape, those that only embed left out.
fn models(list: &Value) -> Option<Vec<(String, Option<u64>)>> {
    let models = list["data"].as_array()?.iter().filter_map(|model| {
        let id = model["id"].as_str().filter(|id| !id.contains("embed"))?;
        let context = model["max_model_len"].as_u64().or_else(|| model["meta"]["n_ctx"].as_u64());
        Some((id.to_owned(), context))
    });
    Some(models.collect()).filter(|models: &Vec<_>| !models.is_empty())
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

fn is_ours(port: u16, uid: u32) -> bool {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let mut owners = tables.iter().flatten().flat_map(|table| owners(table, port)).peekable();
    owners.peek().is_some() && owners.all(|owner| owner == uid || owner == 0)
}

/// The owners of the sockets that listen on a port, from a table as proc(5) describes it.
fn owners(table: &str, port: u16) -> Vec<u32> {
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
        // 0A is the state LISTEN.
        (local == port && *fields.get(3)? == "0A").then_some(())?;
        fields.get(7)?.parse().ok()
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::testing::{Act, answer, server};
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
    fn the_owner_of_a_listening_socket_is_found() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n\
             0: 0100007F:2B67 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1\n\
             1: 0100007F:2B67 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1001        0 2\n\
             2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3\n";
        assert_eq!(owners(table, 0x2B67), [1000]);
        assert_eq!(owners(table, 80), [0]);
        assert!(owners(table, 81).is_empty());
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
