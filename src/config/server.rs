//! The `server` section.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::decode::{At, Section, Wrong, quoted};
use super::error::Report;
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

const LIMITS: &[&str] = &[
    "headBytes",
    "headSeconds",
    "bodyBytes",
    "bodySeconds",
    "writeSeconds",
    "idleSeconds",
    "connections",
    "turns",
    "steps",
    "providerSeconds",
    "commandSeconds",
    "stopSeconds",
    "heartbeatSeconds",
];

/// The longest time that may be set: a year.
const LONGEST: f64 = 366.0 * 86400.0;

/// The section as it is where nobody says anything.
pub(super) fn defaults() -> Value {
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
    } = Server::default();
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
            "bodySeconds": seconds(limits.body_time),
            "writeSeconds": seconds(limits.write_time),
            "idleSeconds": seconds(limits.idle_time),
            "connections": limits.connections,
            "turns": limits.turns,
            "steps": limits.steps,
            "providerSeconds": seconds(limits.provider_time),
            "commandSeconds": seconds(limits.command_time),
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

/// A host name or address without a port; an IPv6 one may stand in brackets.
fn host(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(bare.to_ascii_lowercase());
    }
    if text == "*" {
        return Err(
            "expected one host, found \"*\"; all addresses are \"0.0.0.0\" or \"::\"".into()
        );
    }
    if text.contains("://") || text.contains(':') {
        return Err(Wrong::Because(format!(
            "expected only a host, found {}; leave out scheme and port, the port has a setting of its own",
            quoted(text)
        )));
    }
    if is_host_name(text) { Ok(text.to_ascii_lowercase()) } else { Err(Wrong::Unlike) }
}

fn is_host_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn mdns_domain(text: &str) -> Result<String, Wrong> {
    let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let labels = name.strip_suffix(".local").ok_or(Wrong::Unlike)?;
    let good = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if name.len() <= 253 && labels.split('.').all(good) { Ok(name) } else { Err(Wrong::Unlike) }
}

/// Empty, or with a slash in front and none behind.
fn base_path(text: &str) -> Result<String, Wrong> {
    let path = text.trim().trim_matches('/');
    if path.is_empty() {
        return Ok(String::new());
    }
    let good = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    if text.contains("://") || !path.split('/').all(good) {
        return Err(Wrong::Unlike);
    }
    Ok(format!("/{path}"))
}

/// An origin as browsers write it: scheme and host in small letters, the port only where it is
/// not the scheme's own, no slash at the end. None if it is not one.
#[must_use]
pub fn parse_origin(text: &str) -> Option<String> {
    origin(text).ok()
}

fn origin(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    match text {
        "*" => {
            return Err("\"*\" would let every web page run commands here; list each origin, such as \"http://localhost:5173\"".into());
        }
        "null" => {
            return Err("\"null\" is what any local file and sandboxed page sends; list the origin of your page, such as \"http://localhost:5173\"".into());
        }
        _ => {}
    }
    let (scheme, rest) = text.split_once("://").ok_or(Wrong::Unlike)?;
    let scheme = scheme.to_ascii_lowercase();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(good) {
        return Err(Wrong::Unlike);
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err(Wrong::Because(format!(
            "expected only scheme, host and port, found {}; delete what follows the host",
            quoted(text)
        )));
    }
    if authority.contains('*') {
        return Err(Wrong::Because(format!(
            "expected one origin, found {}; patterns are not supported, list each origin",
            quoted(text)
        )));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    let host = if let Some(rest) = host.strip_prefix('[') {
        let address = rest.strip_suffix(']').and_then(|inner| inner.parse().ok());
        let address: std::net::Ipv6Addr = address.ok_or(Wrong::Unlike)?;
        format!("[{address}]")
    } else if is_host_name(host) {
        host.to_ascii_lowercase()
    } else {
        return Err(Wrong::Unlike);
    };
    let port = match port {
        None => None,
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => match text.parse::<u16>() {
            Ok(0) | Err(_) => return Err(Wrong::Unlike),
            Ok(port) => Some(port),
        },
        Some(_) => return Err(Wrong::Unlike),
    };
    Ok(match (scheme.as_str(), port) {
        ("http", Some(80)) | ("https", Some(443)) | (_, None) => format!("{scheme}://{host}"),
        (_, Some(port)) => format!("{scheme}://{host}:{port}"),
    })
}

/// Whether an origin is of this machine.
pub(super) fn is_loopback(origin: &str) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    if authority.starts_with("[::1]") {
        return true;
    }
    let host = authority.split(':').next().unwrap_or("");
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_write_them() {
        for (given, expected) in [
            ("http://localhost:5173", "http://localhost:5173"),
            ("https://My-App.Example.com/", "https://my-app.example.com"),
            ("HTTP://localhost:80", "http://localhost"),
            ("https://a.b:443", "https://a.b"),
            ("https://a.b:80", "https://a.b:80"),
            ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
            ("http://[::1]", "http://[::1]"),
            ("tauri://localhost", "tauri://localhost"),
        ] {
            assert_eq!(parse_origin(given).as_deref(), Some(expected), "{given}");
        }
        for wrong in [
            "",
            "*",
            "null",
            "localhost",
            "localhost:5173",
            "http://",
            "http:///",
            "http://a/b",
            "http://a//",
            "http://a?x",
            "http://me@a",
            "http://a:0",
            "http://a:99999",
            "http://a:",
            "http://a:+1",
            "https://*.a.b",
            "1http://a",
            "http://a b",
            "http://[x]",
            "http://[::1",
        ] {
            assert_eq!(parse_origin(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn base_paths_have_one_slash_in_front() {
        for (given, expected) in
            [("", ""), ("/", ""), ("x", "/x"), ("/x/", "/x"), ("/x/y-1.z", "/x/y-1.z")]
        {
            assert_eq!(base_path(given).ok().as_deref(), Some(expected));
        }
        for wrong in ["/x//y", "/../x", "/x?y", "/x y", "http://a/x", "/%2e"] {
            assert!(base_path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_and_names() {
        for (given, expected) in
            [("0.0.0.0", "0.0.0.0"), ("[::1]", "::1"), ("::", "::"), ("Box.Local", "box.local")]
        {
            assert_eq!(host(given).ok().as_deref(), Some(expected));
        }
        for wrong in ["", " ", "*", "http://a", "a:80", "a/b", "a b"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
        assert_eq!(mdns_domain("MyProject.local.").ok().as_deref(), Some("myproject.local"));
        for wrong in ["", "x", ".local", "local", "a b.local", "a..local", "x.local.com"] {
            assert!(mdns_domain(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_key_has_a_default() {
        let defaults = defaults();
        let keys = |value: &Value| {
            value.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>())
        };
        assert_eq!(keys(&defaults), Some(KEYS.iter().map(ToString::to_string).collect()));
        let limits = defaults.get("limits").and_then(|limits| keys(limits));
        assert_eq!(limits, Some(LIMITS.iter().map(ToString::to_string).collect()));
    }

    #[test]
    fn loopback_origins() {
        for origin in
            ["http://localhost:1", "http://127.0.0.1", "http://[::1]:2", "http://a.localhost"]
        {
            assert!(is_loopback(origin), "{origin}");
        }
        for origin in ["http://localhost.evil.com", "http://127.0.0.1.evil.com", "https://a.b"] {
            assert!(!is_loopback(origin), "{origin}");
        }
    }
}
