//! Which proxy the environment names for an address.
//!
//! The conventions that curl and its like share: `HTTPS_PROXY` and `HTTP_PROXY` by the address's
//! scheme, else `ALL_PROXY`, and `NO_PROXY` for exceptions. Addresses on this machine never go
//! through one.

use super::endpoint::{host_of, is_loopback};
use crate::config::Env;

/// What the environment says of proxies.
#[derive(Clone, Default)]
pub(crate) struct Proxies {
    https: Option<String>,
    http: Option<String>,
    except: Vec<String>,
}

impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A proxy's address may hold a password.
        f.write_str("Proxies")
    }
}

impl Proxies {
    /// Reads the names in both cases.
    pub(crate) fn new(env: &Env) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|n| env.get(n)).map(str::to_owned);
        let except = first(&["NO_PROXY", "no_proxy"]).unwrap_or_default();
        Self {
            https: first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            http: first(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
            except: except.split([',', ' ']).map(str::to_owned).filter(|e| !e.is_empty()).collect(),
        }
    }

    /// The proxy for an address.
    pub(crate) fn pick(&self, url: &str) -> Option<&str> {
        let host = host_of(url)?;
        if is_loopback(url) || self.except.iter().any(|e| covers(e, host)) {
            return None;
        }
        if url.starts_with("https:") { self.https.as_deref() } else { self.http.as_deref() }
    }
}

/// Whether an entry of `NO_PROXY` covers a host: `*`, the host, or a domain above it.
fn covers(entry: &str, host: &str) -> bool {
    if entry == "*" {
        return true;
    }
    let entry = entry.trim_start_matches('*').trim_start_matches('.');
    let entry = match entry.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && !name.contains(':') => name,
        _ => entry,
    };
    let (entry, host) = (entry.to_ascii_lowercase(), host.to_ascii_lowercase());
    host.strip_suffix(&entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        && !entry.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_and_the_exceptions_choose() {
        let env: Env = [
            ("HTTPS_PROXY", "http://p:1"),
            ("all_proxy", "http://all:1"),
            ("NO_PROXY", "internal.example, .corp,10.0.0.1:8080"),
        ]
        .into_iter()
        .collect();
        let proxies = Proxies::new(&env);
        for (url, proxy) in [
            ("https://api.openai.com/v1", Some("http://p:1")),
            ("http://far.example/v1", Some("http://all:1")),
            ("https://internal.example/v1", None),
            ("https://a.internal.example/v1", None),
            ("https://notinternal.example/v1", Some("http://p:1")),
            ("https://x.corp/v1", None),
            ("http://10.0.0.1/v1", None),
            ("http://127.0.0.1:11434/v1", None),
        ] {
            assert_eq!(proxies.pick(url), proxy, "{url}");
        }
        let all: Env = [("HTTPS_PROXY", "http://p:1"), ("no_proxy", "*")].into_iter().collect();
        assert_eq!(Proxies::new(&all).pick("https://x.y/"), None);
    }
}
