//! `opencode discover`: the servers that mDNS shows on this network.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cancel::Cancel;
use crate::cli::exit::{Exit, Failure};
use crate::cli::flags::Typed;
use crate::cli::look::Look;
use crate::cli::table::{Column, column, table, word};
use crate::cli::{print, print_json};
use crate::config::Env;
use crate::discovery::{self, AskError, Found};
use crate::text;

/// How long answers are awaited where nobody says: the question is put twice in it.
const USUAL_TIME: f64 = 2.0;
/// The longest time that may be asked for.
const LONGEST: f64 = 3600.0;

const SERVERS: &[Column] = &[
    column("NAME", |item| word(&item["name"])),
    column("URL", |item| word(&item["url"])),
    column("VERSION", |item| word(&item["version"])),
    column("PASSWORD", |item| match item["auth"].as_bool() {
        Some(true) => "wanted".to_owned(),
        Some(false) => "none".to_owned(),
        None => "?".to_owned(),
    }),
];

pub(super) fn discover(typed: &Typed, env: &Env) -> Result<Exit, Failure> {
    let expected = "a number of seconds, more than 0 and at most 3600";
    let seconds = typed.parsed::<f64>("timeout", expected)?.unwrap_or(USUAL_TIME);
    if !(seconds > 0.0 && seconds <= LONGEST) {
        return Err(typed.wrong("timeout", expected, &seconds.to_string()));
    }
    let is_json = typed.switch("json")? == Some(true);
    let found = discovery::discover(Duration::from_secs_f64(seconds), &Cancel::new());
    let found = found.map_err(|error: AskError| {
        Failure::new(Exit::Unreachable, format!("{error}; give the address of a server instead"))
    })?;
    let servers: Vec<Value> = found.iter().map(shown).collect();
    if is_json {
        print_json(&Value::from(servers.clone()))?;
    } else if !servers.is_empty() {
        return print(&table(SERVERS, &servers, |_| false, Look::of(&io::stdout(), env)));
    }
    if servers.is_empty() {
        let text = format!(
            "no server answered within {seconds} s: it has to be started with --mdns and a \
             --hostname that this network reaches"
        );
        return Err(Failure::new(Exit::Unreachable, text));
    }
    Ok(Exit::Ok)
}

/// A server as it is listed. What came from the network is spelled out, so that it can neither
/// begin a line nor move a cursor.
fn shown(server: &Found) -> Value {
    let plain = |text: &str| text::escaped(text).into_owned();
    json!({
        "name": plain(&server.name),
        "instance": plain(&server.instance),
        "url": server.url(),
        "addresses": server.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "version": server.version.as_deref().map(plain),
        "auth": server.auth,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_announces_cannot_move_a_cursor() {
        let server = Found {
            instance: "a\x1b[2J\nb".into(),
            name: "box.local".into(),
            port: 4096,
            base_path: "/code".into(),
            version: Some("1\u{9b}31m".into()),
            auth: None,
            addresses: vec!["10.0.0.7:4096".parse().unwrap(), "[fe80::1%2]:4096".parse().unwrap()],
        };
        let item = shown(&server);
        assert_eq!(item["url"], "http://10.0.0.7:4096/code");
        let table = table(SERVERS, std::slice::from_ref(&item), |_| false, Look::plain(None));
        assert_eq!(
            table,
            "NAME       URL                        VERSION     PASSWORD\n\
             box.local  http://10.0.0.7:4096/code  1\\u{9b}31m  ?\n"
        );
        assert_eq!(item["instance"], "a\\x1b[2J\\nb");
    }
}
