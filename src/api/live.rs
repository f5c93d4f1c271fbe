//! The newest [`Api`]: replaced as a whole while requests are answered, each by the one that it
//! found.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::api::Api;
use crate::error::Problem;
use crate::http::{Answer, Request, Response, Service};

/// No two that were ever the newest have the same number, of whichever server.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The one that this thread asked last, by its number: connections that answer all the time
    /// share nothing but the look whether it is still the newest.
    static LAST: Cell<Option<(u64, Arc<Api>)>> = const { Cell::new(None) };
}

/// Whoever answers now.
pub struct Live {
    newest: AtomicU64,
    /// Protects the newest one, and that the number is its own.
    api: Mutex<Arc<Api>>,
}

impl Live {
    /// Answers by this one.
    #[must_use]
    pub fn new(api: Api) -> Self {
        Self { newest: AtomicU64::new(next()), api: Mutex::new(Arc::new(api)) }
    }

    /// The newest one.
    #[must_use]
    pub fn newest(&self) -> Arc<Api> {
        Arc::clone(&self.api.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers the requests that come from now on by another one.
    pub fn replace(&self, api: Api) {
        let mut newest = self.api.lock().unwrap_or_else(PoisonError::into_inner);
        *newest = Arc::new(api);
        self.newest.store(next(), Ordering::Release);
    }

    fn ask<R>(&self, ask: impl FnOnce(&Api) -> R) -> R {
        let last = LAST.take();
        let newest = self.newest.load(Ordering::Acquire);
        let (number, api) = last.filter(|(number, _)| *number == newest).unwrap_or_else(|| {
            let api = self.api.lock().unwrap_or_else(PoisonError::into_inner);
            (self.newest.load(Ordering::Acquire), Arc::clone(&api))
        });
        let answer = ask(&api);
        LAST.set(Some((number, api)));
        answer
    }
}

fn next() -> u64 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

impl Service for Live {
    fn answer(&self, request: &mut Request<'_>) -> Answer {
        self.ask(|api| api.answer(request))
    }

    fn refused(&self, request: &Request<'_>, problem: &Problem) -> Response {
        self.ask(|api| api.refused(request, problem))
    }
}
