//! When to ask a provider again, and how long to wait before.
//!
//! Pure arithmetic over what a provider answered; the waiting itself is done where the answer is
//! pulled. `Retry-After` is RFC 9110, section 10.2.3; `retry-after-ms` and `x-should-retry` are
//! what the `OpenAI` and Anthropic services add to it.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use super::failure::{Again, Failure};

/// How patiently a provider is asked again before its first token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// How often to ask again.
    pub(crate) retries: u32,
    /// The first wait, which doubles with every attempt.
    pub(crate) first: Duration,
    /// The longest wait of ours.
    pub(crate) longest: Duration,
    /// The longest wait that a provider may ask for; a longer one fails at once.
    pub(crate) patience: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retries: 4,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(8),
            patience: Duration::from_secs(60),
        }
    }
}

impl Policy {
    /// The wait after a failure that `retries` others came before; `random` spreads the crowd.
    ///
    /// # Errors
    /// The failure itself, when it is final.
    pub(crate) fn wait(
        &self,
        mut failure: Failure,
        retries: u32,
        random: u32,
    ) -> Result<(Duration, String), Failure> {
        let wait = match failure.again {
            Again::Never => return Err(failure),
            Again::After(time) if time > self.patience => {
                let _ = write!(
                    failure.problem.detail,
                    " It asked to wait {} s, which is longer than a turn waits ({} s).",
                    time.as_secs(),
                    self.patience.as_secs()
                );
                return Err(failure);
            }
            Again::Soon | Again::After(_) if retries >= self.retries => {
                if retries > 0 {
                    let times = retries + 1;
                    let _ = write!(failure.problem.detail, " (asked {times} times)");
                }
                return Err(failure);
            }
            Again::After(time) => time,
            Again::Soon => {
                let full = self.first.saturating_mul(1 << retries.min(16)).min(self.longest);
                // Between three quarters of it and all of it.
                full.mul_f64(0.75 + f64::from(random) / f64::from(u32::MAX) / 4.0)
            }
        };
        Ok((wait, failure.problem.detail))
    }
}

/// The wait that an answer's headers ask for. `header` gives a header's text by its name.
pub(crate) fn asked_wait<'a>(
    header: impl Fn(&str) -> Option<&'a str>,
    now: SystemTime,
) -> Option<Duration> {
    let seconds = |text: &str| {
        let value: f64 = text.trim().parse().ok()?;
        Duration::try_from_secs_f64(value).ok()
    };
    if let Some(wait) = header("retry-after-ms").and_then(seconds) {
        return Some(wait / 1000);
    }
    let text = header("retry-after")?;
    seconds(text).or_else(|| {
        let then = httpdate::parse_http_date(text.trim()).ok()?;
        Some(then.duration_since(now).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn asked(pairs: &[(&str, &'static str)], now: u64) -> Option<Duration> {
        let header = |name: &str| pairs.iter().find(|p| p.0 == name).map(|p| p.1);
        asked_wait(header, SystemTime::UNIX_EPOCH + Duration::from_secs(now))
    }

    #[test]
    fn a_wait_is_read_in_seconds_milliseconds_and_as_a_date() {
        let ms = Duration::from_millis;
        assert_eq!(asked(&[("retry-after", "7")], 0), Some(ms(7000)));
        assert_eq!(asked(&[("retry-after", "0.5")], 0), Some(ms(500)));
        assert_eq!(asked(&[("retry-after", "7"), ("retry-after-ms", "250")], 0), Some(ms(250)));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(asked(&[("retry-after", date)], 784_111_775), Some(ms(2000)));
        assert_eq!(asked(&[("retry-after", date)], 984_111_775), Some(ms(0)));
        for nonsense in ["soon", "-3", "NaN", "1e300"] {
            assert_eq!(
                asked_wait(|n| (n == "retry-after").then_some(nonsense), SystemTime::UNIX_EPOCH),
                None
            );
        }
        assert_eq!(asked(&[], 0), None);
    }

    #[test]
    fn waits_grow_to_their_bound_and_end() {
        let policy = Policy::default();
        let failure = || Failure::passing(Code::ProviderFailed, "busy");
        let wait = |n| policy.wait(failure(), n, u32::MAX).map(|(w, _)| w.as_millis());
        assert_eq!((0..4).map(|n| wait(n).unwrap()).collect::<Vec<_>>(), [500, 1000, 2000, 4000]);
        assert!(wait(4).is_err());
        let long = Policy { retries: 99, ..policy };
        assert_eq!(long.wait(failure(), 50, u32::MAX).unwrap().0, policy.longest);
        assert_eq!(long.wait(failure(), 0, 0).unwrap().0, Duration::from_millis(375));
    }

    #[test]
    fn a_wait_beyond_patience_fails_at_once_and_says_how_long() {
        let mut failure = Failure::passing(Code::ProviderRateLimited, "slow down.");
        failure.again = Again::After(Duration::from_secs(3600));
        let failed = Policy::default().wait(failure, 0, 0).unwrap_err();
        assert!(failed.problem.detail.contains("3600 s"), "{}", failed.problem.detail);
    }
}
