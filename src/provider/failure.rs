//! What went wrong with a provider, in its own words and without its key.
//!
//! A [`Failure`] is a [`Problem`] for the client and a word on whether asking again makes sense.
//! The one place that reads error bodies: those of Anthropic, `OpenAI`, Gemini, Mistral, Ollama
//! and `OpenRouter`, and HTML of whatever stands between.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::endpoint::Endpoint;
use crate::error::{Code, Problem};

/// Characters of a provider's text that is not JSON.
const RAW_WORDS: usize = 300;
/// Characters of a provider's message.
const WORDS: usize = 1000;

/// Whether asking again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// The same request would fail again.
    Never,
    /// It may have been bad luck.
    Soon,
    /// The provider named the time.
    After(Duration),
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// What the client is told.
    pub(crate) problem: Box<Problem>,
    /// Whether to try again.
    pub(crate) again: Again,
}

impl Failure {
    /// A failure that is final.
    pub(crate) fn fatal(code: Code, detail: impl Into<String>) -> Self {
        Self { problem: Box::new(Problem::new(code, detail)), again: Again::Never }
    }

    /// A failure that may have been bad luck.
    pub(crate) fn passing(code: Code, detail: impl Into<String>) -> Self {
        Self { problem: Box::new(Problem::new(code, detail)), again: Again::Soon }
    }

    /// The turn was stopped.
    pub(crate) fn aborted() -> Self {
        Self::fatal(Code::Aborted, "The turn was stopped.")
    }

    /// The stream ended without the protocol's own end.
    pub(crate) fn cut(name: &str) -> Self {
        Self::passing(
            Code::ProviderUnreachable,
            format!("the provider cut the stream: {name}'s answer ended before it was complete"),
        )
    }

    /// An answer in which there is nothing.
    pub(crate) fn empty(name: &str) -> Self {
        let why = format!("{name} answered nothing: no text, no call and no reasoning.");
        Self::passing(Code::ProviderFailed, why)
    }

    /// An event that cannot be read.
    pub(crate) fn garbled(name: &str, data: &str) -> Self {
        let start = clip(&one_line(data), 100);
        Self::passing(
            Code::ProviderFailed,
            format!("{name} sent something in its stream that is not JSON: {start}"),
        )
    }

    /// An answer with an error's status.
    pub(crate) fn of_status(
        endpoint: &Endpoint,
        status: u16,
        body: &[u8],
        asked: Option<Duration>,
    ) -> Self {
        let words = words(body);
        let mut detail = if words.is_empty() {
            format!("{} answered {status}.", endpoint.name)
        } else {
            format!("{} answered {status}: {}", endpoint.name, sentence(&words))
        };
        match status {
            300..=399 => detail += " Redirects are not followed: correct the base URL.",
            401 | 403 => {
                let _ = write!(detail, " Check {}.", endpoint.key_origin);
            }
            404 => {
                let _ = write!(
                    detail,
                    " Check the model's name ({}) and the base URL ({}).",
                    endpoint.model,
                    endpoint.shown_base()
                );
            }
            _ => {}
        }
        Self::of_kind(endpoint, status, &detail, asked).unless_spent(body)
    }

    /// An error reported inside a stream, `status` being what it would have been without one.
    pub(crate) fn in_stream(endpoint: &Endpoint, status: u16, error: &Value) -> Self {
        let words = message_of(error).unwrap_or_else(|| clip(&error.to_string(), RAW_WORDS));
        let mut detail =
            format!("{}: {}", endpoint.name, sentence(&clip(&one_line(&words), WORDS)));
        if matches!(status, 401 | 403) {
            let _ = write!(detail, " Check {}.", endpoint.key_origin);
        }
        Self::of_kind(endpoint, status, &detail, None)
    }

    fn of_kind(endpoint: &Endpoint, status: u16, detail: &str, asked: Option<Duration>) -> Self {
        let code = match status {
            429 => Code::ProviderRateLimited,
            408 | 504 => Code::ProviderTimeout,
            _ => Code::ProviderFailed,
        };
        let again = match (status, asked) {
            (408 | 409 | 429 | 500..=599, Some(time)) => Again::After(time),
            (408 | 409 | 429 | 500..=599, None) => Again::Soon,
            _ => Again::Never,
        };
        let mut problem = Problem::new(code, endpoint.redact(detail));
        if let Some(time) = asked {
            problem = problem.retry_after(time.as_secs().max(1));
        }
        Self { problem: Box::new(problem), again }
    }

    /// A 429 for want of money does not pass by waiting.
    fn unless_spent(mut self, body: &[u8]) -> Self {
        if self.problem.code == Code::ProviderRateLimited
            && String::from_utf8_lossy(body).contains("insufficient_quota")
        {
            self.again = Again::Never;
        }
        self
    }
}

/// What an error body says, on one line and bounded.
pub(crate) fn words(body: &[u8]) -> String {
    let json = serde_json::from_slice::<Value>(body).ok();
    if let Some(message) = json.as_ref().and_then(message_of) {
        return clip(&one_line(&message), WORDS);
    }
    let text = String::from_utf8_lossy(body);
    let text = if text.trim_start().starts_with('<') { without_tags(&text) } else { text.into() };
    clip(&one_line(&text), RAW_WORDS)
}

/// Finds the message in the shapes that providers give errors.
pub(crate) fn message_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|t| !t.trim().is_empty()),
        Value::Array(items) => items.iter().find_map(message_of),
        Value::Object(map) => {
            let text = ["error", "message", "detail", "msg", "errors"]
                .iter()
                .find_map(|key| map.get(*key).and_then(message_of))?;
            // OpenRouter says "Provider returned error" and what that one said beside it.
            let raw = value.pointer("/metadata/raw").and_then(Value::as_str);
            match raw.map(|raw| words(raw.as_bytes())).filter(|raw| !raw.is_empty()) {
                Some(raw) => Some(format!("{text}: {raw}")),
                None => Some(text),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// The title of a page, or its text.
fn without_tags(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    if let Some((start, end)) = lower.find("<title>").zip(lower.find("</title>"))
        && start + 7 < end
    {
        return html[start + 7..end].to_owned();
    }
    let mut inside = false;
    html.chars()
        .filter(|&c| {
            match c {
                '<' => inside = true,
                '>' => {
                    inside = false;
                    return false;
                }
                _ => {}
            }
            !inside
        })
        .collect()
}

/// One line, without control characters.
pub(crate) fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most so many characters.
pub(crate) fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn sentence(text: &str) -> String {
    let ended = text.ends_with(['.', '!', '?', '…']);
    if ended { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_found_in_every_shape() {
        for (body, said) in [
            (r#"{"type":"error","error":{"type":"invalid","message":"max_tokens"}}"#, "max_tokens"),
            (r#"{"error":{"message":"bad key","code":"x"}}"#, "bad key"),
            (
                r#"[{"error":{"code":400,"message":"API key not valid","status":"X"}}]"#,
                "API key not valid",
            ),
            (r#"{"error":"model 'x' not found"}"#, "model 'x' not found"),
            (r#"{"object":"error","message":"Unauthorized"}"#, "Unauthorized"),
            (r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#, "field required"),
            (
                r#"{"error":{"message":"Provider returned error","metadata":{"raw":"{\"message\":\"id too long\"}"}}}"#,
                "Provider returned error: id too long",
            ),
            ("<html><head><title>502 Bad\nGateway</title></head><body>…</body>", "502 Bad Gateway"),
            ("<p>no <b>title</b></p>", "no title"),
            ("plain\u{1b}[31m words\n", "plain [31m words"),
            ("{\"odd\":1}", "{\"odd\":1}"),
            ("", ""),
        ] {
            assert_eq!(words(body.as_bytes()), said, "{body}");
        }
        assert_eq!(words("x".repeat(100_000).as_bytes()).chars().count(), RAW_WORDS + 1);
    }
}
