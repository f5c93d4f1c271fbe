//! What requests to providers come to, counted where answers are pulled.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::Code;
use crate::meter::{Exposition, Histogram};

/// The counts of all requests to providers.
#[derive(Debug, Default)]
pub struct Meter {
    times: Histogram,
    /// Protects the counts of failed attempts, by provider and kind.
    failures: Mutex<BTreeMap<(String, &'static str), u64>>,
}

impl Meter {
    /// Counts a request that has ended, in whatever way.
    pub fn ended(&self, time: Duration) {
        self.times.see(time);
    }

    /// Counts an attempt that failed; what was stopped here is no failure of a provider.
    pub fn failed(&self, provider: &str, code: Code) {
        let Some(kind) = code.as_str().strip_prefix("provider-") else { return };
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry((provider.to_owned(), kind)).or_default() += 1;
    }

    /// Prints all of it.
    pub fn print(&self, page: &mut Exposition) {
        let help =
            "Time of a whole request to a provider, from asking to its end, retries included.";
        page.times("opencode_provider_request_seconds", help, &self.times);
        let name = "opencode_provider_errors_total";
        page.family(name, "counter", "Attempts that failed, by provider and kind.");
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for ((provider, kind), count) in failures.iter() {
            page.value(name, &[("provider", provider), ("kind", kind)], *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart_by_provider_and_kind() {
        let meter = Meter::default();
        for code in [Code::ProviderRateLimited, Code::ProviderTimeout, Code::ProviderRateLimited] {
            meter.failed("mine", code);
        }
        meter.failed("mine", Code::Aborted);
        meter.failed("mine", Code::StoreFailed);
        let mut page = Exposition::default();
        meter.print(&mut page);
        let text = page.into_text();
        assert!(text.contains("{provider=\"mine\",kind=\"rate-limited\"} 2\n"), "{text}");
        assert!(text.contains("{provider=\"mine\",kind=\"timeout\"} 1\n"), "{text}");
        assert_eq!(text.matches("errors_total{").count(), 2, "{text}");
    }
}
