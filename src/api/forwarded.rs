//! Who asks: the peer of the connection, or whom a named proxy speaks for.
//!
//! Each proxy adds its own client to the right of `X-Forwarded-For`, so the field is read from the
//! right, and only as far as the proxies are trusted; what stands further left anybody may have
//! written.

use std::net::{IpAddr, SocketAddr};

/// The client of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// At this address.
    At(IpAddr),
    /// Somewhere: a trusted proxy named it in a way that is no address of a machine. It is never
    /// this machine.
    Unknown,
}

/// The client behind `peer`, by the values of every `X-Forwarded-For` field in their order.
pub(super) fn client<'a>(
    peer: IpAddr,
    proxies: &[IpAddr],
    fields: impl Iterator<Item = &'a str>,
) -> Client {
    let mut client = peer.to_canonical();
    let hops: Vec<_> = fields.flat_map(|value| value.split(',')).collect();
    for hop in hops.into_iter().rev() {
        if !proxies.contains(&client) {
            break;
        }
        let Some(address) = address(hop.trim()) else { return Client::Unknown };
        // Another machine's loopback is that machine.
        if address.is_loopback() && !client.is_loopback() {
            return Client::Unknown;
        }
        client = address;
    }
    Client::At(client)
}

/// Whether a named proxy says that the client came by https; `fields` are the values of every
/// `X-Forwarded-Proto`. The client's own word may stand first, and then misleads it alone.
pub(super) fn is_https<'a>(
    peer: IpAddr,
    proxies: &[IpAddr],
    fields: impl Iterator<Item = &'a str>,
) -> bool {
    let mut schemes = fields.flat_map(|value| value.split(','));
    proxies.contains(&peer.to_canonical())
        && schemes.next().is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}

/// An address, with or without a port.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse::<IpAddr>();
    let address = address.or_else(|_| hop.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client_of(peer: &str, fields: &[&str]) -> Client {
        let proxies = [ip("127.0.0.1"), ip("10.0.0.9"), ip("10.0.0.8")];
        client(ip(peer), &proxies, fields.iter().copied())
    }

    #[test]
    fn a_proxy_speaks_for_its_own_client_alone() {
        for (fields, expected) in [
            (&["127.0.0.2, x, 8.8.8.8"][..], "8.8.8.8"),
            (&["127.0.0.1", "8.8.8.8"], "8.8.8.8"),
            (&["127.0.0.1, 8.8.8.8, 10.0.0.9", "10.0.0.8"], "8.8.8.8"),
            (&["8.8.8.8:443"], "8.8.8.8"),
            (&["[2001:db8::1]:443"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["::ffff:8.8.8.8"], "8.8.8.8"),
            (&["10.0.0.8, 10.0.0.9"], "10.0.0.8"),
            (&[], "127.0.0.1"),
        ] {
            assert_eq!(client_of("127.0.0.1", fields), Client::At(ip(expected)), "{fields:?}");
        }
        assert_eq!(client_of("192.0.2.1", &["127.0.0.1"]), Client::At(ip("192.0.2.1")));
    }

    #[test]
    fn what_is_no_address_is_never_this_machine() {
        for fields in [&["127.0.0.1, x"][..], &["127.0.0.1", ""], &["127.0.0.1,"], &["unknown"]] {
            assert_eq!(client_of("127.0.0.1", fields), Client::Unknown, "{fields:?}");
        }
        assert_eq!(client_of("10.0.0.9", &["127.0.0.1"]), Client::Unknown, "the proxy's loopback");
    }

    #[test]
    fn a_named_proxy_alone_tells_of_https() {
        let told = |peer: &str, fields: &[&str]| {
            is_https(ip(peer), &[ip("127.0.0.1")], fields.iter().copied())
        };
        assert!(told("127.0.0.1", &["https"]) && told("127.0.0.1", &["HTTPS, http"]));
        assert!(told("::ffff:127.0.0.1", &["https", "http"]));
        assert!(!told("127.0.0.1", &["http, https"]) && !told("127.0.0.1", &[]));
        assert!(!told("192.0.2.1", &["https"]));
    }
}
