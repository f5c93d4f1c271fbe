//! Hosts, names, paths and origins, in the one form that the rest of the program compares.

use super::decode::{Wrong, quoted};

/// A host name or address without a port; an IPv6 one may stand in brackets.
pub(super) fn host(text: &str) -> Result<String, Wrong> {
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

/// A name that mDNS can announce, in small letters and without a dot at the end.
pub(super) fn mdns_domain(text: &str) -> Result<String, Wrong> {
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
pub(super) fn base_path(text: &str) -> Result<String, Wrong> {
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
/// not the scheme's own, no slash at the end. Or why it is none.
pub(super) fn origin(text: &str) -> Result<String, Wrong> {
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
            assert_eq!(origin(given).ok().as_deref(), Some(expected), "{given}");
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
            assert!(origin(wrong).is_err(), "{wrong}");
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
