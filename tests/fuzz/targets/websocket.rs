//! A WebSocket client's bytes: frames, and the messages in them. Every message is answered by at
//! most one event, which is JSON, and nothing but a broken frame ends the connection.
#![no_main]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use opencode::agent::Engine;
use opencode::api::fuzz;
use opencode::config::{Config, Env};
use opencode::provider::Catalogue;
use opencode::session::store::Store;
use opencode::session::{Bounds, Sessions};

/// Some sessions, in which no turn begins: what chance writes must not become a command.
fn sessions() -> &'static Arc<Sessions> {
    static SESSIONS: OnceLock<Arc<Sessions>> = OnceLock::new();
    SESSIONS.get_or_init(|| {
        let config = Config::default();
        let catalogue = Catalogue::new(&config, &Env::default());
        let engine = Engine::new(&config, catalogue, std::env::temp_dir()).unwrap();
        let bounds = Bounds { turns: 1, permission_time: Duration::from_secs(1) };
        let sessions = Sessions::new(Arc::new(engine), Store::in_memory(), bounds);
        for name in ["one", "two"] {
            sessions.create(Some(name.to_owned()), None, None).unwrap();
        }
        sessions.close();
        Arc::new(sessions)
    })
}

fuzz_target!(|bytes: &[u8]| {
    let sessions = sessions();
    match bytes.split_first() {
        Some((b'f', frames)) => fuzz::frames(sessions, frames),
        // `$1` and `$2` stand for the sessions there are, whose names chance would never find.
        Some((_, lines)) => {
            let mut lines = String::from_utf8_lossy(lines).into_owned();
            for (place, session) in ["$1", "$2"].iter().zip(sessions.list(None, 2).unwrap()) {
                lines = lines.replace(place, &session.id);
            }
            fuzz::messages(sessions, lines.as_bytes().split(|&byte| byte == b'\n'));
        }
        None => {}
    }
});
