//! Whole responses.

use std::borrow::Cow;

use serde_json::Value;

use crate::error::Problem;

/// A whole response.
#[derive(Debug, Clone)]
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Cow<'static, [u8]>,
}

impl Response {
    /// A response without fields and body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Cow::Borrowed(&[]) }
    }

    /// A response without a body, as [`Response::new`].
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self::new(status)
    }

    /// A response whose body is JSON.
    #[must_use]
    pub fn json(status: u16, value: &Value) -> Self {
        Self::new(status)
            .header("Content-Type", "application/json")
            .body(value.to_string().into_bytes())
    }

    /// A failure as `application/problem+json` (RFC 9457), with `Retry-After` where it has one.
    #[must_use]
    pub fn problem(problem: &Problem) -> Self {
        let mut response = Self::new(problem.code.status())
            .header("Content-Type", "application/problem+json")
            .body(problem.to_json().to_string().into_bytes());
        if let Some(seconds) = problem.retry_after {
            response = response.header("Retry-After", seconds.to_string());
        }
        response
    }

    /// The same response with one more field. A value with control characters or beyond ASCII
    /// is left out and logged: it would be a hole in the framing.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same response with this body; what is embedded in the program is not copied.
    #[must_use]
    pub fn body(mut self, body: impl Into<Cow<'static, [u8]>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first value of a field.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }
}
