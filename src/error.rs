//! Every failure that a client can see, in one table.
//!
//! A [`Problem`] becomes `application/problem+json` (RFC 9457) before a stream has begun and an
//! `error` event after that; both carry the same code. This module knows nothing of HTTP beyond
//! the status numbers.

use std::fmt;

use serde_json::{Value, json};

/// What went wrong, as the stable word that clients match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The bytes are not an HTTP request this server accepts.
    BadRequest,
    /// The body is not JSON.
    BadJson,
    /// The body is JSON, and a field of it is wrong.
    BadField,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// A browser page of an origin that is not listed asked.
    OriginRefused,
    /// The request names a host this server does not answer to.
    HostRefused,
    /// A client on another machine asked while no password is set.
    AddressRefused,
    /// No such path.
    NotFound,
    /// No session has this id.
    SessionNotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The session has a turn running.
    SessionBusy,
    /// The session has no turn running.
    NotRunning,
    /// The body is over the limit.
    BodyTooLarge,
    /// The message is over the limit.
    MessageTooLarge,
    /// The body is not `application/json`.
    NotJson,
    /// An expectation other than `100-continue`.
    ExpectationFailed,
    /// No agent has this name.
    UnknownAgent,
    /// No model has this name.
    UnknownModel,
    /// The model's provider has no key.
    ProviderNotConfigured,
    /// A path that only speaks WebSocket was asked without an upgrade.
    UpgradeRequired,
    /// Too many wrong passwords from this address.
    TooManyAttempts,
    /// The request head is over the limit.
    HeadTooLarge,
    /// A bug: the request panicked.
    Internal,
    /// What was to be kept cannot be stored: the disk is full, or refuses.
    StoreFailed,
    /// The provider asked to slow down, and went on asking.
    ProviderRateLimited,
    /// The provider refused the request or answered nonsense.
    ProviderFailed,
    /// The provider could not be reached or lost the connection.
    ProviderUnreachable,
    /// The provider was silent for too long.
    ProviderTimeout,
    /// As many connections or turns as the limits allow.
    AtCapacity,
    /// The server is stopping.
    Stopping,
    /// An HTTP version other than 1.0 and 1.1.
    HttpVersion,
    /// The turn was stopped before it ended.
    Aborted,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 33] = [
        Self::BadRequest,
        Self::BadJson,
        Self::BadField,
        Self::Unauthorized,
        Self::OriginRefused,
        Self::HostRefused,
        Self::AddressRefused,
        Self::NotFound,
        Self::SessionNotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::SessionBusy,
        Self::NotRunning,
        Self::BodyTooLarge,
        Self::MessageTooLarge,
        Self::NotJson,
        Self::ExpectationFailed,
        Self::UnknownAgent,
        Self::UnknownModel,
        Self::ProviderNotConfigured,
        Self::UpgradeRequired,
        Self::TooManyAttempts,
        Self::HeadTooLarge,
        Self::Internal,
        Self::StoreFailed,
        Self::ProviderRateLimited,
        Self::ProviderFailed,
        Self::ProviderUnreachable,
        Self::ProviderTimeout,
        Self::AtCapacity,
        Self::Stopping,
        Self::HttpVersion,
        Self::Aborted,
    ];

    /// The code on the wire, its HTTP status and its title.
    #[must_use]
    pub fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::BadRequest => ("bad-request", 400, "Bad request"),
            Self::BadJson => ("bad-json", 400, "The body is not JSON"),
            Self::BadField => ("bad-field", 400, "A field is wrong"),
            Self::Unauthorized => ("unauthorized", 401, "Not authorised"),
            Self::OriginRefused => ("origin-refused", 403, "Origin refused"),
            Self::HostRefused => ("host-refused", 403, "Host refused"),
            Self::AddressRefused => ("address-refused", 403, "Address refused"),
            Self::NotFound => ("not-found", 404, "Not found"),
            Self::SessionNotFound => ("session-not-found", 404, "Session not found"),
            Self::MethodNotAllowed => ("method-not-allowed", 405, "Method not allowed"),
            Self::RequestTimeout => ("request-timeout", 408, "The request took too long"),
            Self::SessionBusy => ("session-busy", 409, "The session has a turn running"),
            Self::NotRunning => ("not-running", 409, "No turn is running"),
            Self::BodyTooLarge => ("body-too-large", 413, "The body is too large"),
            Self::MessageTooLarge => ("message-too-large", 413, "The message is too large"),
            Self::NotJson => ("not-json", 415, "The body must be application/json"),
            Self::ExpectationFailed => ("expectation-failed", 417, "Expectation failed"),
            Self::UnknownAgent => ("unknown-agent", 422, "Unknown agent"),
            Self::UnknownModel => ("unknown-model", 422, "Unknown model"),
            Self::ProviderNotConfigured => {
                ("provider-not-configured", 422, "The provider has no key")
            }
            Self::UpgradeRequired => ("upgrade-required", 426, "Upgrade required"),
            Self::TooManyAttempts => ("too-many-attempts", 429, "Too many wrong passwords"),
            Self::HeadTooLarge => ("head-too-large", 431, "The request head is too large"),
            Self::Internal => ("internal", 500, "Internal error"),
            Self::StoreFailed => ("store-failed", 507, "Sessions cannot be stored"),
            Self::ProviderRateLimited => {
                ("provider-rate-limited", 429, "The provider asked to slow down")
            }
            Self::ProviderFailed => ("provider-failed", 502, "The provider failed"),
            Self::ProviderUnreachable => {
                ("provider-unreachable", 502, "The provider cannot be reached")
            }
            Self::ProviderTimeout => ("provider-timeout", 504, "The provider was silent too long"),
            Self::AtCapacity => ("at-capacity", 503, "At capacity"),
            Self::Stopping => ("stopping", 503, "The server is stopping"),
            Self::HttpVersion => ("http-version", 505, "HTTP version not supported"),
            Self::Aborted => ("aborted", 409, "The turn was aborted"),
        }
    }

    /// The word clients match on, the same in problem+json and in `error` events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The code that is written so.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().1
    }
}

/// One failure: what happened, and what its reader can do about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The stable word.
    pub code: Code,
    /// A sentence that says what happened and what to do.
    pub detail: String,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u64>,
    /// Further members of the JSON object.
    pub extra: Vec<(&'static str, Value)>,
}

impl Problem {
    /// A failure with its explanation.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after: None, extra: Vec::new() }
    }

    /// The same failure with one more member in its JSON.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.extra.push((key, value.into()));
        self
    }

    /// The same failure with the seconds after which to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The problem+json object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (code, status, title) = self.code.row();
        let mut object = json!({
            "type": format!("/problems/{code}"),
            "code": code,
            "title": title,
            "status": status,
            "detail": self.detail,
        });
        for (key, value) in &self.extra {
            object[key] = value.clone();
        }
        object
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}
