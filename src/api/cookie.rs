//! The page's credential: a cookie that says until when it holds, signed.
//!
//! Its key is the server's own, kept beside the sessions, and goes together with user and
//! password: a cookie outlives a restart, and not a change of either. Nothing is remembered of
//! the cookies that were given.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::config::Credentials;
use crate::text::hex;

/// Seconds for which a cookie holds: 30 days.
const LIFETIME: u64 = 30 * 24 * 60 * 60;
/// The block of SHA-256; HMAC fills a shorter key up with zeros (RFC 2104).
const BLOCK: usize = 64;

/// Gives cookies, and knows its own again.
pub(super) struct Cookies {
    /// Different for each store: a browser sends a host's cookies to all of its ports.
    name: String,
    path: String,
    signer: Hmac<Sha256>,
}

/// With which requests a browser sends a cookie back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those of this site's pages.
    Own,
    /// The same, by https alone.
    OwnSecure,
    /// Those of another site's page, by https, as long as the browser shows that site.
    Partitioned,
}

impl Cookies {
    /// Cookies for who knows these credentials, for what is below this base path.
    pub(super) fn new(key: &[u8; 32], credentials: &Credentials, base_path: &str) -> Self {
        let digest = Sha256::digest([&b"the name of a cookie"[..], key].concat());
        // A user has no colon, so no other pair reads the same.
        let pair = format!("{}:{}", credentials.user, credentials.password);
        let signer = signer(&signer(key).chain_update(pair).finalize().into_bytes().into());
        Self {
            name: format!("opencode-{}", hex(&digest[..6])),
            path: format!("{base_path}/"),
            signer,
        }
    }

    /// The name they have in common.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The `Set-Cookie` value of a new cookie; `now` is in seconds since 1970.
    pub(super) fn give(&self, scope: Scope, now: u64) -> String {
        let expiry = (now + LIFETIME).to_string();
        let signature = BASE64.encode(self.sign(&expiry).finalize().into_bytes());
        self.set(&format!("{expiry}.{signature}"), LIFETIME, scope)
    }

    /// The `Set-Cookie` value that makes a browser forget it.
    pub(super) fn take_back(&self, scope: Scope) -> String {
        self.set("", 0, scope)
    }

    /// Whether one of the values of `Cookie` fields has a cookie that was given here and still
    /// holds; `now` is in seconds since 1970.
    pub(super) fn know<'v>(&self, fields: impl Iterator<Item = &'v str>, now: u64) -> bool {
        let pairs = fields.flat_map(|value| value.split(';'));
        let mut values = pairs
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == self.name)
            .map(|(_, value)| value.trim_matches('"'));
        values.any(|value| self.holds(value, now))
    }

    fn holds(&self, value: &str, now: u64) -> bool {
        let Some((expiry, signature)) = value.split_once('.') else { return false };
        let Ok(signature) = BASE64.decode(signature) else { return false };
        // Compared in constant time; what was signed here is a number.
        self.sign(expiry).verify_slice(&signature).is_ok()
            && expiry.parse::<u64>().is_ok_and(|expiry| now < expiry)
    }

    fn sign(&self, expiry: &str) -> Hmac<Sha256> {
        self.signer.clone().chain_update(expiry)
    }

    fn set(&self, value: &str, age: u64, scope: Scope) -> String {
        let (name, path) = (&self.name, &self.path);
        let scope = match scope {
            Scope::Own => "SameSite=Strict",
            Scope::OwnSecure => "SameSite=Strict; Secure",
            Scope::Partitioned => "SameSite=None; Secure; Partitioned",
        };
        format!("{name}={value}; Path={path}; Max-Age={age}; HttpOnly; {scope}")
    }
}

fn signer(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; BLOCK];
    block[..key.len()].copy_from_slice(key);
    Hmac::new(&block.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(key: u8, password: &str) -> Cookies {
        let credentials = Credentials { user: "opencode".into(), password: password.into() };
        Cookies::new(&[key; 32], &credentials, "/code")
    }

    fn sent(set: &str) -> &str {
        set.split(';').next().unwrap()
    }

    #[test]
    fn signatures_are_hmac_sha_256() {
        // RFC 4231, test case 1, its key of 20 bytes filled up with zeros.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let signature = signer(&key).chain_update("Hi There").finalize().into_bytes();
        assert_eq!(
            hex(&signature),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn a_cookie_is_known_until_it_expires_and_by_the_same_key_and_password_alone() {
        let ours = cookies(1, "s3cret");
        let set = ours.give(Scope::Own, 1000);
        let know = |cookies: &Cookies, cookie: &str, now| cookies.know([cookie].into_iter(), now);
        assert!(know(&ours, sent(&set), 1000));
        assert!(know(&ours, &format!("a=b;{}; c=d", sent(&set)), 1000 + LIFETIME - 1));
        assert!(!know(&ours, sent(&set), 1000 + LIFETIME));
        assert!(know(&cookies(1, "s3cret"), sent(&set), 1000), "after a restart");
        assert!(!know(&cookies(1, "other"), sent(&set), 1000));
        assert!(!know(&cookies(2, "s3cret"), sent(&set), 1000));
        let value = sent(&set).split_once('=').unwrap().1;
        assert!(!cookies(2, "s3cret").holds(value, 1000), "by another store's key");
    }

    #[test]
    fn what_was_changed_is_not_known() {
        let ours = cookies(1, "s3cret");
        let set = ours.give(Scope::Own, 1000);
        let value = sent(&set).split_once('=').unwrap().1;
        let (expiry, signature) = value.split_once('.').unwrap();
        assert!(ours.holds(value, 0));
        let later = format!("9{expiry}.{signature}");
        let shorter = format!("{expiry}.{}", &signature[..signature.len() - 4]);
        for wrong in [&later, &shorter, expiry, "", ".", &format!("{expiry}."), signature, "é.é"]
        {
            assert!(!ours.holds(wrong, 0), "{wrong}");
        }
    }

    #[test]
    fn its_scope_is_written_out() {
        let ours = cookies(1, "s3cret");
        let set = ours.give(Scope::Own, 0);
        assert!(
            set.ends_with("; Path=/code/; Max-Age=2592000; HttpOnly; SameSite=Strict"),
            "{set}"
        );
        assert!(ours.give(Scope::OwnSecure, 0).ends_with("; SameSite=Strict; Secure"));
        let gone = ours.take_back(Scope::Partitioned);
        assert!(
            gone.ends_with(
                "=; Path=/code/; Max-Age=0; HttpOnly; SameSite=None; Secure; Partitioned"
            ),
            "{gone}"
        );
    }
}
