//! Which server is meant: an address, credentials, and the authority that vouches for it.

use std::path::PathBuf;

use crate::client::ClientError;
use crate::config::{self, Env};
use crate::percent;

/// A server as a person named it.
#[derive(Clone, PartialEq)]
pub struct Target {
    /// `scheme://host[:port][/base]`, without credentials and a trailing slash.
    pub base: String,
    /// User and password.
    pub credentials: Option<(String, String)>,
    /// A PEM file of a private authority.
    pub ca: Option<PathBuf>,
}

impl Target {
    /// Reads a URL. Credentials come from it, or else from the environment.
    ///
    /// # Errors
    /// A URL that is none, or of a kind this program cannot follow.
    pub fn new(url: &str, env: &Env, ca: Option<&str>) -> Result<Self, ClientError> {
        let wrong = |why: &str| {
            let shown = without_credentials(url);
            ClientError::Usage(format!("\"{shown}\" {why}; give http://HOST:PORT"))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("is no URL"))?;
        match scheme {
            "http" | "https" => {}
            "opencode" => return Err(wrong("needs mDNS, which this version does not have yet")),
            _ => return Err(wrong("is neither http:// nor https://")),
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
        let base = format!("{scheme}://{host}{}", path.trim_end_matches('/'));
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
        Ok(Self { base, credentials, ca: ca.map(PathBuf::from) })
    }
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
}
