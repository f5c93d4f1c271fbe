//! Counters and histograms that many threads count in, and their page in the text format of
//! Prometheus (exposition format 0.0.4).

pub mod process;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One at nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// What it has come to.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The upper bounds of a histogram's buckets, in milliseconds; one without a bound comes last.
const BOUNDS: [u64; 12] = [1, 2, 5, 10, 25, 100, 250, 1000, 2500, 10_000, 60_000, 600_000];

/// How long things took.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BOUNDS.len() + 1],
    microseconds: Counter,
}

impl Histogram {
    /// One that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { buckets: [const { Counter::new() }; BOUNDS.len() + 1], microseconds: Counter::new() }
    }

    /// Whether it has seen anything.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.buckets.iter().any(|bucket| bucket.get() > 0)
    }

    /// Counts one.
    pub fn see(&self, time: Duration) {
        let at = BOUNDS.iter().position(|&bound| time <= Duration::from_millis(bound));
        self.buckets[at.unwrap_or(BOUNDS.len())].add(1);
        self.microseconds.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }
}

/// The page under way.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// The media type of a page.
    pub const MEDIA: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// Begins a family of values, which `value` and `times` go on with. `kind` is `counter`,
    /// `gauge` or `histogram`.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail, here and below.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One value, with labels or none.
    pub fn value(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.sample(name, labels, value);
    }

    /// One value that is no whole number.
    pub fn number(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.sample(name, labels, value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        self.labels(labels);
        let _ = writeln!(self.0, " {value}");
    }

    /// A family of one value.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }

    /// A family of one histogram, in seconds.
    pub fn times(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        self.histogram(name, &[], histogram);
    }

    /// One histogram of a family, in seconds.
    pub fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut count = 0;
        let bounds = BOUNDS.iter().map(|&ms| seconds(ms)).chain(["+Inf".to_owned()]);
        for (bound, bucket) in bounds.zip(&histogram.buckets) {
            count += bucket.get();
            let labels = [labels, &[("le", &bound)]].concat();
            self.value(&format!("{name}_bucket"), &labels, count);
        }
        let sum = Duration::from_micros(histogram.microseconds.get());
        self.number(&format!("{name}_sum"), labels, sum.as_secs_f64());
        self.value(&format!("{name}_count"), labels, count);
    }

    fn labels(&mut self, labels: &[(&str, &str)]) {
        let mut before = '{';
        for (name, value) in labels {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{before}{name}=\"{value}\"");
            before = ',';
        }
        if before == ',' {
            self.0.push('}');
        }
    }

    /// The whole page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

fn seconds(ms: u64) -> String {
    Duration::from_millis(ms).as_secs_f64().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_the_format_says() {
        let times = Histogram::default();
        for ms in [1, 3, 3, 700_000] {
            times.see(Duration::from_millis(ms));
        }
        let mut page = Exposition::default();
        page.family("runs_total", "counter", "Runs.");
        page.value("runs_total", &[("tool", "a\"b\\c\n"), ("outcome", "ok")], 7);
        page.times("run_seconds", "Their time.", &times);
        let text = page.into_text();
        assert!(text.starts_with(
            "# HELP runs_total Runs.\n# TYPE runs_total counter\n\
             runs_total{tool=\"a\\\"b\\\\c\\n\",outcome=\"ok\"} 7\n# HELP run_seconds Their time.\n"
        ));
        for line in [
            "run_seconds_bucket{le=\"0.001\"} 1",
            "run_seconds_bucket{le=\"0.005\"} 3",
            "run_seconds_bucket{le=\"600\"} 3",
            "run_seconds_bucket{le=\"+Inf\"} 4",
            "run_seconds_sum 700.007",
            "run_seconds_count 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
