//! Which server is meant: an address, credentials, and the authority that vouches for it.
//!
//! A `.local` name is looked up on the local network by mDNS, whichever URL it stands in, since the
//! system's own look-up often knows none of them.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::cancel::Cancel;
use crate::client::ClientError;
use crate::config::{self, Env};
use crate::discovery::{self, AskError};
use crate::percent;

/// The port of a server where nothing says another one.
const PORT: u16 = 4096;

/// A server as a person named it.
#[derive(Clone, PartialEq)]
pub struct Target {
    /// `scheme://host[:port][/base]`, without credentials and a trailing slash.
    pub base: String,
    /// User and password.
    pub credentials: Option<(String, String)>,
    /// A PEM file of a private authority.
    pub ca: Option<PathBuf>,
    /// Where it is, once it was found by mDNS; else the system looks its host up.
    pub addresses: Vec<SocketAddr>,
    /// What is to be asked by mDNS first.
    sought: Option<Sought>,
}

/// What only the local network knows.
#[derive(Clone, PartialEq)]
enum Sought {
    /// The address of a name; the system may know it, too.
    Host { name: String, port: u16, only_here: bool },
    /// The server of a name, its port included.
    Server(String),
}

impl Target {
    /// Reads a URL. Credentials come from it, or else from the environment.
    ///
    /// # Errors
    /// A URL that is none, or of a kind this program cannot follow.
    pub fn new(url: &str, env: &Env, ca: Option<&str>) -> Result<Self, ClientError> {
        let wrong = |why: &str| {
            let shown = without_credentials(url);
            let forms = "http://HOST:PORT or opencode://NAME.local";
            ClientError::Usage(format!("\"{shown}\" {why}; give {forms}"))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("is no URL"))?;
        match scheme {
            "http" | "https" | "opencode" => {}
            _ => return Err(wrong("is none of http://, https:// and opencode://")),
        }
        if rest.contains(['?', '#']) {
            return Err(wrong("has a query or a fragment"));
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user_info, host) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (Some(user_info), host),
            None => (None, authority),
        };
        if host.is_empty() || host.starts_with(':') {
            return Err(wrong("names no host"));
        }
        let uri: ureq::http::Uri =
            format!("http://{host}").parse().map_err(|_| wrong("is no URL"))?;
        let (name, given) = (uri.host().unwrap_or_default(), uri.port_u16());
        if host.contains(':') && given.is_none() && !host.ends_with(']') {
            return Err(wrong("has a port that is no number from 1 to 65535"));
        }
        let local = local_name(name);
        let is_by_name = scheme == "opencode";
        let (shown_scheme, usual) = match scheme {
            "https" => ("https", 443),
            "http" => ("http", 80),
            _ => ("http", PORT),
        };
        let port = given.unwrap_or(usual);
        let sought = local.map(|name| match given {
            None if is_by_name => Sought::Server(name),
            _ => Sought::Host { name, port, only_here: is_by_name },
        });
        // The scheme of its own has a usual port of its own.
        let host = match given {
            None if is_by_name => format!("{host}:{PORT}"),
            _ => host.to_owned(),
        };
        let base = format!("{shown_scheme}://{host}{}", path.trim_end_matches('/'));
        if base.parse::<ureq::http::Uri>().is_err() {
            return Err(wrong("is no URL"));
        }
        let credentials = match user_info {
            Some(user_info) => {
                let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
                Some((percent::decode(user), percent::decode(password)))
            }
            None => config::credentials(env)
                .map_err(|error| ClientError::Usage(error.to_string()))?
                .map(|c| (c.user, c.password)),
        };
        let ca = ca.map(PathBuf::from);
        Ok(Self { base, credentials, ca, addresses: Vec::new(), sought })
    }

    /// The server found by mDNS, where its name says that it has to be; at most some seconds pass.
    /// Done once; [`Remote::new`](crate::client::Remote::new) does it where nobody has.
    ///
    /// # Errors
    /// It is not there, or there are several.
    pub fn found(mut self, cancel: &Cancel) -> Result<Self, ClientError> {
        match self.sought.take() {
            None => {}
            Some(Sought::Host { name, port, only_here }) => {
                match discovery::find_host(&name, port, cancel) {
                    Ok(addresses) => self.addresses = addresses,
                    Err(AskError::Cancelled) => return Err(ClientError::Cancelled),
                    Err(error) if only_here => return Err(not_found(&error)),
                    // The file of hosts or a name server of this network may know it.
                    Err(error) => log::debug!("{error}"),
                }
            }
            Some(Sought::Server(name)) => {
                let server = match discovery::find_server(&name, cancel) {
                    Ok(server) => server,
                    Err(AskError::Cancelled) => return Err(ClientError::Cancelled),
                    Err(error) => return Err(not_found(&error)),
                };
                let path = self.base.splitn(4, '/').nth(3);
                let path = path.map_or(server.base_path, |path| format!("/{path}"));
                self.base = format!("http://{name}:{}{path}", server.port);
                self.addresses = server.addresses;
            }
        }
        Ok(self)
    }
}

fn not_found(error: &AskError) -> ClientError {
    match error {
        AskError::Several { .. } => ClientError::Usage(error.to_string()),
        other => ClientError::Unreachable(other.to_string()),
    }
}

/// The name as mDNS knows it, if it is one of the local network.
fn local_name(host: &str) -> Option<String> {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_local = name.strip_suffix(".local").is_some_and(|label| !label.is_empty());
    is_local.then_some(name)
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("base", &self.base).finish_non_exhaustive()
    }
}

fn without_credentials(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}{}", &url[..scheme + 3], &url[at + 1..])
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, env: &[(&str, &str)]) -> Result<Target, ClientError> {
        Target::new(url, &env.iter().copied().collect(), None)
    }

    #[test]
    fn credentials_come_from_the_url_before_the_environment() {
        let env = [("OPENCODE_SERVER_PASSWORD", "from-env"), ("OPENCODE_SERVER_USERNAME", "me")];
        let by_url = target("http://ann:s%40fe%3A@build:4096/", &env).unwrap();
        assert_eq!(by_url.base, "http://build:4096");
        assert_eq!(by_url.credentials, Some(("ann".into(), "s@fe:".into())));
        let by_env = target("https://build/code/", &env).unwrap();
        assert_eq!(by_env.base, "https://build/code");
        assert_eq!(by_env.credentials, Some(("me".into(), "from-env".into())));
        assert_eq!(target("http://[::1]:4096", &[]).unwrap().credentials, None);
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        for url in ["localhost:4096", "ftp://u:secret@x", "http://", "http://:80", "http://a b"] {
            let error = target(url, &[]).unwrap_err().to_string();
            assert!(!error.contains("secret") && error.contains("http://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn the_scheme_of_its_own_is_plain_http_for_what_is_no_local_name() {
        for (url, base) in [
            ("opencode://build:5000", "http://build:5000"),
            ("opencode://build", "http://build:4096"),
            ("opencode://10.0.0.7/code/", "http://10.0.0.7:4096/code"),
            ("opencode://[::1]", "http://[::1]:4096"),
        ] {
            let target = target(url, &[]).unwrap();
            assert_eq!(target.base, base);
            assert!(target.sought.is_none(), "{url}");
        }
    }

    #[test]
    fn a_local_name_is_sought_on_the_local_network() {
        let host = |port, only_here| Sought::Host { name: "box.local".into(), port, only_here };
        for (url, sought) in [
            ("opencode://box.local", Sought::Server("box.local".into())),
            ("opencode://Box.local./code", Sought::Server("box.local".into())),
            ("opencode://box.local:5000", host(5000, true)),
            ("http://box.local", host(80, false)),
            ("https://me:x@box.local/code", host(443, false)),
        ] {
            assert!(target(url, &[]).unwrap().sought == Some(sought), "{url}");
        }
        for url in ["http://local", "http://.local", "http://box.localhost", "http://box.local.org"]
        {
            assert!(target(url, &[]).unwrap().sought.is_none(), "{url}");
        }
        assert!(target("opencode://box.local:99999", &[]).is_err());
    }
}
