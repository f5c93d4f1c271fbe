//! What comes to a server and how it is answered, counted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::meter::{Counter, Exposition, Histogram};

/// Kinds of requests that are told apart; 0 is what the service gave none.
const KINDS: usize = 32;
/// The statuses that are told apart, the usual ones first; whatever else there may be comes last.
const STATUSES: [u16; 30] = [
    200, 201, 202, 204, 304, 404, 401, 400, 101, 303, 308, 403, 405, 408, 409, 413, 415, 417, 422,
    426, 429, 431, 499, 500, 501, 502, 503, 504, 505, 507,
];

/// The counts of one server.
#[derive(Debug)]
pub struct Traffic {
    open: AtomicUsize,
    /// Connections for which there was no room.
    pub(super) turned_away: Counter,
    /// Streams of events that are being written.
    pub(super) events: AtomicUsize,
    /// Connections that speak another protocol.
    pub(super) upgraded: AtomicUsize,
    /// Answers by kind and status.
    answers: [[Counter; STATUSES.len() + 1]; KINDS],
    times: [Histogram; KINDS],
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            open: AtomicUsize::new(0),
            turned_away: Counter::new(),
            events: AtomicUsize::new(0),
            upgraded: AtomicUsize::new(0),
            answers: [const { [const { Counter::new() }; STATUSES.len() + 1] }; KINDS],
            times: [const { Histogram::new() }; KINDS],
        }
    }
}

impl Traffic {
    /// The number of open connections.
    #[must_use]
    pub fn get(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, count: usize) {
        self.open.store(count, Ordering::Relaxed);
    }

    /// Counts an answer; one that streams, or changes the protocol, has no time to tell.
    pub(super) fn answered(&self, kind: usize, status: u16, time: Option<Duration>) {
        let kind = if kind < KINDS { kind } else { 0 };
        let place = STATUSES.iter().position(|known| *known == status);
        self.answers[kind][place.unwrap_or(STATUSES.len())].add(1);
        if let Some(time) = time {
            self.times[kind].see(time);
        }
    }

    /// Prints all of it; `kinds` names the kinds of the service.
    pub fn print(&self, page: &mut Exposition, kinds: &[String]) {
        page.single("opencode_connections", "gauge", "Open connections.", self.get() as u64);
        let help = "Connections that were answered 503, for as many were open as may.";
        page.single("opencode_connections_refused_total", "counter", help, self.turned_away.get());
        page.family("opencode_streams", "gauge", "Streams that are open, by kind.");
        for (kind, count) in [("events", &self.events), ("websocket", &self.upgraded)] {
            let count = count.load(Ordering::Relaxed) as u64;
            page.value("opencode_streams", &[("kind", kind)], count);
        }
        let name = "opencode_http_requests_total";
        page.family(name, "counter", "Requests, by endpoint and the status of their answer.");
        let named = || kinds.iter().map(String::as_str).chain(std::iter::repeat("other"));
        for (route, counters) in named().zip(&self.answers) {
            for (place, counter) in counters.iter().enumerate().filter(|(_, c)| c.get() > 0) {
                let status = STATUSES.get(place).map_or("other".to_owned(), u16::to_string);
                page.value(name, &[("route", route), ("status", &status)], counter.get());
            }
        }
        let help = "Time from a request's head to the end of its answer, streams left out.";
        page.family("opencode_http_request_seconds", "histogram", help);
        for (route, times) in named().zip(&self.times).filter(|(_, times)| times.is_used()) {
            page.histogram("opencode_http_request_seconds", &[("route", route)], times);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn every_status_of_a_problem_is_told_apart() {
        for code in Code::ALL {
            assert!(STATUSES.contains(&code.status()), "{code:?}");
        }
        let traffic = Traffic::default();
        traffic.answered(1, 200, Some(Duration::from_millis(3)));
        traffic.answered(KINDS, 299, None);
        let mut page = Exposition::default();
        traffic.print(&mut page, &["other".to_owned(), "GET /x".to_owned()]);
        let text = page.into_text();
        for line in [
            "opencode_http_requests_total{route=\"GET /x\",status=\"200\"} 1\n",
            "opencode_http_requests_total{route=\"other\",status=\"other\"} 1\n",
            "opencode_http_request_seconds_count{route=\"GET /x\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("_count{route=\"other\"}"), "{text}");
    }
}
