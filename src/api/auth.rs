//! User and password, compared in constant time, and the wait after too many wrong ones. They come
//! as HTTP Basic (RFC 7617), or once at sign-in, which a cookie then stands for.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::api::cookie::Cookies;
use crate::api::forwarded::Client;
use crate::config::Credentials;
use crate::error::{Code, Problem};
use crate::http::network;

/// Wrong passwords that an address may send within [`WINDOW`].
const ATTEMPTS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond it the one that began to fail first is forgotten.
const ADDRESSES: usize = 10_000;

/// Knows the credentials, and who guessed wrong.
pub(super) struct Auth {
    user: [u8; 32],
    password: [u8; 32],
    /// What stands for them once somebody has signed in.
    pub(super) cookies: Cookies,
    pub(super) failures: Failures,
}

/// Who guessed wrong; it outlives a change of the password.
#[derive(Clone, Default)]
pub(super) struct Failures {
    /// Protects the counts of wrong passwords.
    by_client: Arc<Mutex<HashMap<Client, Failed>>>,
}

struct Failed {
    count: u32,
    since: Instant,
}

impl Auth {
    pub(super) fn new(credentials: &Credentials, cookies: Cookies, failures: Failures) -> Self {
        Self {
            user: digest(credentials.user.as_bytes()),
            password: digest(credentials.password.as_bytes()),
            cookies,
            failures,
        }
    }

    /// Checks an `Authorization` value that came from a client. Unknown ones are counted together.
    ///
    /// # Errors
    /// [`Code::Unauthorized`] where it is missing or wrong, [`Code::TooManyAttempts`] where the
    /// address has to wait; a missing one never counts as a wrong one.
    pub(super) fn check(
        &self,
        header: Option<&str>,
        client: Client,
        now: Instant,
    ) -> Result<(), Problem> {
        let Some(header) = header else {
            return Err(Problem::new(
                Code::Unauthorized,
                "this server has a password: send it by HTTP Basic, as `curl -u USER:PASSWORD` \
                 does; the user is `opencode` unless the server names another",
            ));
        };
        self.guess(client, now, || self.matches(header))
    }

    /// Checks what somebody signs in with; without a user the server's own is meant.
    ///
    /// # Errors
    /// As those of [`Auth::check`].
    pub(super) fn sign_in(
        &self,
        user: Option<&str>,
        password: &str,
        client: Client,
        now: Instant,
    ) -> Result<(), Problem> {
        let user = user.map_or(self.user, |user| digest(user.as_bytes()));
        self.guess(client, now, || self.are(user, digest(password.as_bytes())))
    }

    /// Refuses an address that has to wait.
    ///
    /// # Errors
    /// [`Code::TooManyAttempts`], with the seconds that are left.
    pub(super) fn check_wait(&self, client: Client, now: Instant) -> Result<(), Problem> {
        let Some(seconds) = self.must_wait(block_of(client), now) else { return Ok(()) };
        let detail = format!(
            "{ATTEMPTS} wrong passwords came from this address; it may try again in {seconds} s"
        );
        Err(Problem::new(Code::TooManyAttempts, detail).retry_after(seconds))
    }

    /// Lets an address try once, unless it has to wait, and counts a failure.
    fn guess(
        &self,
        client: Client,
        now: Instant,
        is_right: impl FnOnce() -> bool,
    ) -> Result<(), Problem> {
        self.check_wait(client, now)?;
        if is_right() {
            return Ok(());
        }
        self.count_failure(block_of(client), now);
        Err(Problem::new(Code::Unauthorized, "the user or the password is wrong"))
    }

    fn matches(&self, header: &str) -> bool {
        let Some((scheme, encoded)) = header.split_once(' ') else { return false };
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let Ok(decoded) = STANDARD.decode(encoded.trim()) else { return false };
        let colon = decoded.iter().position(|&byte| byte == b':');
        let (user, password) = match colon {
            Some(colon) => (&decoded[..colon], &decoded[colon + 1..]),
            None => (&decoded[..], &[][..]),
        };
        self.are(digest(user), digest(password))
    }

    fn are(&self, user: [u8; 32], password: [u8; 32]) -> bool {
        // Both are compared, whole, whatever the first one gives.
        bool::from(user.ct_eq(&self.user) & password.ct_eq(&self.password))
    }

    fn must_wait(&self, client: Client, now: Instant) -> Option<u64> {
        let failures = self.failures.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = failures.get(&client).filter(|f| f.count >= ATTEMPTS)?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(failures.since))?;
        Some(left.as_secs() + 1)
    }

    fn count_failure(&self, client: Client, now: Instant) {
        let expired = |f: &Failed| now.saturating_duration_since(f.since) > WINDOW;
        let mut failures = self.failures.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= ADDRESSES && !failures.contains_key(&client) {
            failures.retain(|_, f| !expired(f));
            let first = failures.iter().min_by_key(|(_, f)| f.since).map(|(client, _)| *client);
            if let Some(first) = first.filter(|_| failures.len() >= ADDRESSES) {
                failures.remove(&first);
            }
        }
        let entry = failures.entry(client).or_insert(Failed { count: 0, since: now });
        if expired(entry) {
            *entry = Failed { count: 0, since: now };
        }
        entry.count += 1;
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Who is counted together: what counts as one address, or this machine by whichever of its
/// loopback addresses.
fn block_of(client: Client) -> Client {
    match client {
        Client::At(ip) if ip.is_loopback() => Client::At(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Client::At(ip) => Client::At(network(ip)),
        Client::Unknown => client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Client = Client::At(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    fn auth() -> Auth {
        let credentials = Credentials { user: "opencode".into(), password: "pass:word".into() };
        let cookies = Cookies::new(&[7; 32], &credentials, "");
        Auth::new(&credentials, cookies, Failures::default())
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn only_the_right_pair_passes_and_wrong_ones_look_alike() {
        let (auth, now) = (auth(), Instant::now());
        assert_eq!(auth.check(Some(&basic("opencode:pass:word")), HERE, now), Ok(()));
        let wrong_user = auth.check(Some(&basic("root:pass:word")), HERE, now).unwrap_err();
        let wrong_password = auth.check(Some(&basic("opencode:x")), HERE, now).unwrap_err();
        assert_eq!(wrong_user, wrong_password);
        for junk in ["", "Basic", "Basic !!!", "Bearer abc", "Basic b3BlbmNvZGU="] {
            assert_eq!(auth.check(Some(junk), HERE, now).unwrap_err().code, Code::Unauthorized);
        }
    }

    #[test]
    fn an_address_waits_after_ten_wrong_ones_and_a_missing_one_never_counts() {
        let (auth, now) = (auth(), Instant::now());
        let right = basic("opencode:pass:word");
        for _ in 0..50 {
            assert_eq!(auth.check(None, HERE, now).unwrap_err().code, Code::Unauthorized);
        }
        for _ in 0..ATTEMPTS {
            let wrong = auth.check(Some(&basic("opencode:no")), HERE, now);
            assert_eq!(wrong.unwrap_err().code, Code::Unauthorized);
        }
        let waits = auth.check(Some(&right), HERE, now).unwrap_err();
        assert_eq!((waits.code, waits.retry_after), (Code::TooManyAttempts, Some(61)));
        let elsewhere = Client::At(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));
        assert_eq!(auth.check(Some(&right), elsewhere, now), Ok(()));
        let later = now + WINDOW + Duration::from_secs(1);
        assert_eq!(auth.check(Some(&right), HERE, later), Ok(()));
    }

    #[test]
    fn however_many_addresses_fail_each_one_has_its_limit() {
        let (auth, now) = (auth(), Instant::now());
        let wrong = Some(basic("opencode:no"));
        for number in 0..ADDRESSES as u32 + 500 {
            let address = Client::At(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)));
            let later = now + Duration::from_micros(u64::from(number));
            let refused = auth.check(wrong.as_deref(), address, later).unwrap_err();
            assert_eq!(refused.code, Code::Unauthorized);
        }
        let later = now + Duration::from_secs(1);
        for attempt in 0..=ATTEMPTS {
            let refused = auth.check(wrong.as_deref(), HERE, later).unwrap_err();
            let may = attempt < ATTEMPTS;
            assert_eq!(refused.code == Code::Unauthorized, may, "{attempt}: {refused:?}");
        }
        assert_eq!(auth.failures.by_client.lock().unwrap().len(), ADDRESSES);
    }

    #[test]
    fn this_machine_is_one_address() {
        let (auth, now) = (auth(), Instant::now());
        let wrong = Some(basic("opencode:no"));
        for number in 1..=ATTEMPTS {
            let address = Client::At(IpAddr::V4(Ipv4Addr::from_bits(0x7f00_0000 + number)));
            let refused = auth.check(wrong.as_deref(), address, now).unwrap_err();
            assert_eq!(refused.code, Code::Unauthorized);
        }
        let again = Client::At(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST));
        let refused = auth.check(wrong.as_deref(), again, now).unwrap_err();
        assert_eq!(refused.code, Code::TooManyAttempts);
    }
}
