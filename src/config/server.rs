//! The `server` section.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::addresses::{base_path, host, mdns_domain, origin};
use super::decode::{At, Section, Wrong};
use super::error::Report;
use super::tree::Tree;
use super::{Limits, Server};

/// Keys of the section.
pub(super) const KEYS: &[&str] = &[
    "port",
    "hostname",
    "mdns",
    "mdnsDomain",
    "cors",
    "basePath",
    "allowedHosts",
    "trustedProxies",
    "limits",
];

pub(super) const LIMITS: &[&str] = &[
    "headBytes",
    "headSeconds",
    "bodyBytes",
    "bodiesBytes",
    "bodySeconds",
    "writeSeconds",
    "idleSeconds",
    "connections",
    "turns",
    "steps",
    "providerSeconds",
    "commandSeconds",
    "permissionSeconds",
    "stopSeconds",
    "heartbeatSeconds",
];

/// Keys of the section that are read once, when a server starts.
const AT_START: &[&str] = &["port", "hostname", "mdns", "mdnsDomain", "basePath"];

/// The same of `limits`: those of connections, which come first.
const LIMITS_AT_START: &[&str] = LIMITS.split_at(8).0;

/// The longest time that may be set: a year.
const LONGEST: f64 = 366.0 * 86400.0;

/// Whether a setting counts only from a server's next start on. `path` is the keys from the
/// outermost on.
pub fn needs_restart(path: &[String]) -> bool {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    match path[..] {
        ["server", "limits", key] => LIMITS_AT_START.contains(&key),
        ["server", key] => AT_START.contains(&key),
        _ => false,
    }
}

impl Server {
    /// These settings with what can change while the server runs taken from `new`.
    #[must_use]
    pub fn reloaded(&self, new: &Self) -> Self {
        let Limits {
            turns,
            steps,
            provider_time,
            command_time,
            permission_time,
            stop_time,
            heartbeat,
            ..
        } = new.limits;
        Self {
            cors: new.cors.clone(),
            allowed_hosts: new.allowed_hosts.clone(),
            trusted_proxies: new.trusted_proxies.clone(),
            limits: Limits {
                turns,
                steps,
                provider_time,
                command_time,
                permission_time,
                stop_time,
                heartbeat,
                ..self.limits
            },
            ..self.clone()
        }
    }
}

/// The section as it is where nobody says anything.
pub(super) fn defaults() -> Value {
    shown(Server::default())
}

fn shown(server: Server) -> Value {
    let Server {
        port,
        hostname,
        mdns,
        mdns_domain,
        cors,
        base_path,
        allowed_hosts,
        trusted_proxies,
        limits,
    } = server;
    let seconds = |time: Duration| match time.subsec_nanos() {
        0 => json!(time.as_secs()),
        _ => json!(time.as_secs_f64()),
    };
    json!({
        "port": port,
        "hostname": hostname,
        "mdns": mdns,
        "mdnsDomain": mdns_domain,
        "cors": cors,
        "basePath": base_path,
        "allowedHosts": allowed_hosts,
        "trustedProxies": trusted_proxies.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
        "limits": {
            "headBytes": limits.head_bytes,
            "headSeconds": seconds(limits.head_time),
            "bodyBytes": limits.body_bytes,
            "bodiesBytes": limits.bodies_bytes,
            "bodySeconds": seconds(limits.body_time),
            "writeSeconds": seconds(limits.write_time),
            "idleSeconds": seconds(limits.idle_time),
            "connections": limits.connections,
            "turns": limits.turns,
            "steps": limits.steps,
            "providerSeconds": seconds(limits.provider_time),
            "commandSeconds": seconds(limits.command_time),
            "permissionSeconds": seconds(limits.permission_time),
            "stopSeconds": seconds(limits.stop_time),
            "heartbeatSeconds": seconds(limits.heartbeat),
        },
    })
}

/// Reads the section into `server`; keys that are absent or wrong leave it as it is.
pub(super) fn decode(section: &Section<'_>, server: &mut Server, report: &mut Report) {
    // The password gets an error of its own instead of a warning.
    let mut used = KEYS.to_vec();
    used.extend(["password", "username"]);
    section.check_keys(&used, &[], report);
    for (key, variable) in
        [("password", "OPENCODE_SERVER_PASSWORD"), ("username", "OPENCODE_SERVER_USERNAME")]
    {
        if let Some(at) = section.get(key) {
            report.error_at(
                &at,
                format_args!(
                    "is not set in a file that may be shared; delete it here and set the environment variable {variable}"
                ),
            );
        }
    }
    let text = |key, expected, read: fn(&str) -> Result<String, Wrong>, report: &mut Report| {
        section.get(key).and_then(|at| at.text(expected, report, read))
    };
    if let Some(port) = section.get("port").and_then(|at| port(&at, report)) {
        server.port = port;
    }
    let expected = "a host name or address to listen on, such as \"127.0.0.1\" or \"0.0.0.0\"";
    if let Some(name) = text("hostname", expected, host, report) {
        server.hostname = name;
    }
    if let Some(on) = section.get("mdns").and_then(|at| at.boolean(report)) {
        server.mdns = on;
    }
    let expected = "a name that ends in .local, such as \"opencode.local\"";
    if let Some(name) = text("mdnsDomain", expected, mdns_domain, report) {
        server.mdns_domain = name;
    }
    if let Some(at) = section.get("mdnsDomain")
        && at.node.origin.is_foreign()
        && matches!(&at.node.value, Tree::Text(text) if text.from_env)
    {
        report.error_at(
            &at,
            "a project's file may not announce what {env:} takes from your environment; write the name out, or run `opencode trust` if you trust the project",
        );
    }
    let expected = "a path such as \"/opencode\"";
    if let Some(path) = text("basePath", expected, base_path, report) {
        server.base_path = path;
    }
    if let Some(at) = section.get("cors") {
        let expected = "an origin, scheme://host[:port], such as \"http://localhost:5173\"";
        let item = |item: &At<'_>, report: &mut Report| item.text(expected, report, origin);
        let list = "a list of origins, such as [\"http://localhost:5173\"]";
        replace(&mut server.cors, at.list(list, report, item));
    }
    if let Some(at) = section.get("allowedHosts") {
        let expected = "a host name without scheme, port and path, such as \"build.example.com\"";
        let item = |item: &At<'_>, report: &mut Report| item.text(expected, report, host);
        replace(&mut server.allowed_hosts, at.list("a list of host names", report, item));
    }
    if let Some(at) = section.get("trustedProxies") {
        let expected = "an address such as \"10.0.0.2\"; ranges are not supported";
        let item = |item: &At<'_>, report: &mut Report| {
            item.text(expected, report, |text| text.trim().parse().map_err(|_| Wrong::Unlike))
        };
        replace(&mut server.trusted_proxies, at.list("a list of addresses", report, item));
    }
    if let Some(section) = section.get("limits").and_then(|at| at.section(report)) {
        limits(&section, &mut server.limits, report);
    }
}

/// Takes over a list, each item once.
fn replace<T: PartialEq>(old: &mut Vec<T>, new: Option<Vec<T>>) {
    let Some(new) = new else { return };
    old.clear();
    for item in new {
        if !old.contains(&item) {
            old.push(item);
        }
    }
}

fn port(at: &At<'_>, report: &mut Report) -> Option<u16> {
    at.number("a number from 0 to 65535", report, |number| {
        // Whole and in range, so nothing is lost.
        #[allow(clippy::cast_sign_loss)]
        (number.fract() == 0.0 && (0.0..=65535.0).contains(&number)).then_some(number as u16)
    })
}

fn limits(section: &Section<'_>, limits: &mut Limits, report: &mut Report) {
    section.check_keys(LIMITS, &[], report);
    for (key, count) in [
        ("headBytes", &mut limits.head_bytes),
        ("bodyBytes", &mut limits.body_bytes),
        ("bodiesBytes", &mut limits.bodies_bytes),
        ("connections", &mut limits.connections),
        ("turns", &mut limits.turns),
    ] {
        if let Some(number) = section.get(key).and_then(|at| self::count(&at, report)) {
            *count = usize::try_from(number).unwrap_or(usize::MAX);
        }
    }
    if let Some(steps) = section.get("steps").and_then(|at| count(&at, report)) {
        limits.steps = steps;
    }
    for (key, time) in [
        ("headSeconds", &mut limits.head_time),
        ("bodySeconds", &mut limits.body_time),
        ("writeSeconds", &mut limits.write_time),
        ("idleSeconds", &mut limits.idle_time),
        ("providerSeconds", &mut limits.provider_time),
        ("commandSeconds", &mut limits.command_time),
        ("permissionSeconds", &mut limits.permission_time),
        ("stopSeconds", &mut limits.stop_time),
        ("heartbeatSeconds", &mut limits.heartbeat),
    ] {
        if let Some(seconds) = section.get(key).and_then(|at| seconds(&at, report)) {
            *time = seconds;
        }
    }
}

fn count(at: &At<'_>, report: &mut Report) -> Option<u32> {
    let most = f64::from(u32::MAX);
    at.number("a whole number, 1 or more", report, |number| {
        // Whole and in range, so nothing is lost.
        #[allow(clippy::cast_sign_loss)]
        (number.fract() == 0.0 && (1.0..=most).contains(&number)).then_some(number as u32)
    })
}

fn seconds(at: &At<'_>, report: &mut Report) -> Option<Duration> {
    at.number(
        "a number of seconds above 0, such as 30 or 0.5, and at most a year",
        report,
        |number| {
            let time =
                (number <= LONGEST).then(|| Duration::try_from_secs_f64(number).ok()).flatten()?;
            (!time.is_zero()).then_some(time)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_default() {
        let defaults = defaults();
        let keys = |value: &Value| {
            value.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>())
        };
        assert_eq!(keys(&defaults), Some(KEYS.iter().map(ToString::to_string).collect()));
        let limits = defaults.get("limits").and_then(keys);
        assert_eq!(limits, Some(LIMITS.iter().map(ToString::to_string).collect()));
    }

    #[test]
    fn what_a_reload_takes_over_is_what_needs_no_restart() {
        let time = Duration::from_millis(77_500);
        let new = Server {
            port: 1,
            hostname: "0.0.0.0".to_owned(),
            mdns: true,
            mdns_domain: "x.local".to_owned(),
            cors: vec!["http://a".to_owned()],
            base_path: "/x".to_owned(),
            allowed_hosts: vec!["a".to_owned()],
            trusted_proxies: vec![IpAddr::from([10, 0, 0, 2])],
            limits: Limits {
                head_bytes: 7,
                head_time: time,
                body_bytes: 7,
                bodies_bytes: 7,
                body_time: time,
                write_time: time,
                idle_time: time,
                connections: 7,
                turns: 7,
                steps: 7,
                provider_time: time,
                command_time: time,
                permission_time: time,
                stop_time: time,
                heartbeat: time,
            },
        };
        let (before, wanted) = (defaults(), shown(new.clone()));
        let after = shown(Server::default().reloaded(&new));
        let path = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        let check = |at: &[&str], section: &str| {
            let of = |value: &Value| value.pointer(section).cloned();
            assert_ne!(of(&before), of(&wanted), "{at:?} does not differ");
            let expected = if needs_restart(&path(at)) { &before } else { &wanted };
            assert_eq!(of(&after), of(expected), "{at:?}");
        };
        for key in KEYS.iter().filter(|&&key| key != "limits") {
            check(&["server", key], &format!("/{key}"));
        }
        for key in LIMITS {
            check(&["server", "limits", key], &format!("/limits/{key}"));
        }
        assert!(!needs_restart(&path(&["model"])));
    }
}
