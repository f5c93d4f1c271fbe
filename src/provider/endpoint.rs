//! Where a model is asked: address, protocol, key and what differs from provider to provider.
//!
//! Plain data that the catalogue fills in and the protocols read. Keys live in [`Secret`], which
//! no `Debug` shows and no text leaves with.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::proxy::Proxies;
use super::retry::Policy;
use super::roots::Roots;
use crate::config::{Cost, Protocol};
use crate::message::Usage;

/// A text that nobody may see.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Wraps it; blanks around it, which a file brings along, are dropped.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The text, for a request's header and nothing else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// One model at one address.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// The provider's id.
    pub(crate) provider: String,
    /// The provider's name for people.
    pub(crate) name: String,
    /// `provider/model`, as the person wrote it.
    pub(crate) full_id: String,
    /// The model's id on the wire.
    pub(crate) model: String,
    /// The protocol it speaks.
    pub(crate) protocol: Protocol,
    /// The address to which the protocol's path is added, version included.
    pub(crate) base: String,
    /// The key, where there is one.
    pub(crate) key: Option<Secret>,
    /// Where the key comes from, as in "the key in `ANTHROPIC_API_KEY`".
    pub(crate) key_origin: String,
    /// Further headers of the configuration, which win over ours.
    pub(crate) headers: Vec<(String, Secret)>,
    /// Members for the body, which win over ours.
    pub(crate) options: Map<String, Value>,
    /// What the configuration says of the output's length.
    pub(crate) output_limit: Option<u64>,
    /// What is known of the output's length.
    pub(crate) output_known: Option<u64>,
    /// Prices, where the configuration gives them.
    pub(crate) cost: Option<Cost>,
    /// The longest silence.
    pub(crate) silence: Duration,
    /// When to ask again.
    pub(crate) policy: Policy,
    /// The proxies of the environment.
    pub(crate) proxies: Proxies,
    /// The authorities that vouch for it.
    pub(crate) roots: Roots,
}

impl Endpoint {
    /// The text without any of this endpoint's secrets in it.
    pub(crate) fn redact(&self, text: &str) -> String {
        let secrets = self.key.iter().chain(self.headers.iter().map(|(_, value)| value));
        let mut text = text.to_owned();
        for secret in secrets.map(Secret::reveal).filter(|s| s.len() >= 6) {
            text = text.replace(secret, "[key]");
        }
        text
    }

    /// The address without credentials that somebody wrote into it.
    pub(crate) fn shown_base(&self) -> String {
        without_credentials(&self.base)
    }

    /// Fills in the price, where the provider did not report it and the configuration knows it.
    pub(crate) fn price(&self, mut usage: Usage) -> Usage {
        if let (None, Some(cost)) = (usage.cost, self.cost) {
            #[expect(clippy::cast_precision_loss, reason = "no answer has 2^52 tokens")]
            let part = |tokens: u64, price: f64| tokens as f64 * price / 1_000_000.0;
            usage.cost = Some(
                part(usage.input_tokens, cost.input)
                    + part(usage.output_tokens, cost.output)
                    + part(usage.cache_read_tokens, cost.cache_read)
                    + part(usage.cache_write_tokens, cost.cache_write),
            );
        }
        usage
    }

    /// Whether the address belongs to this provider's own service.
    pub(crate) fn is_at(&self, host: &str) -> bool {
        host_of(&self.base) == Some(host)
    }
}

/// An address without `user:password@`.
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => url.to_owned(),
    }
}

/// The host of an address, without its port.
pub(crate) fn host_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next();
    }
    host.split(':').next()
}

/// Whether the address is on this machine.
pub(crate) fn is_loopback(url: &str) -> bool {
    host_of(url).is_some_and(|host| {
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_an_address_are_not_shown() {
        assert_eq!(without_credentials("https://me:pw@host:1/v1"), "https://host:1/v1");
        assert_eq!(without_credentials("https://host/v1/@x"), "https://host/v1/@x");
    }

    #[test]
    fn this_machine_is_known() {
        for (url, is) in [
            ("http://localhost:11434/v1", true),
            ("http://127.8.8.8/v1", true),
            ("http://[::1]:8080", true),
            ("https://127.0.0.1.evil.com/v1", false),
            ("https://localhost@evil.com/v1", false),
            ("https://api.openai.com/v1", false),
        ] {
            assert_eq!(is_loopback(url), is, "{url}");
        }
    }

    #[test]
    fn a_secret_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("sk-1")), "[secret]");
    }
}
