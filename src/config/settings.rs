//! Settings as people see them: each with its origin, and nothing secret in it.

use std::fmt;

use serde_json::{Value, json};

use super::origin::Origin;
use super::tree::{Node, Text, Tree};
use super::{Config, addresses, server};

/// What stands in the place of a secret.
pub const MASK: &str = "********";

/// One setting and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The keys that lead to it.
    pub path: Vec<String>,
    /// Its value; secrets are masked, and `{env:NAME}` and `{file:path}` stand as written.
    pub value: Value,
    /// Who said it.
    pub origin: Origin,
}

impl Setting {
    /// The keys in one text, `server.port`; a key with a dot in it is quoted.
    #[must_use]
    pub fn key(&self) -> String {
        join(&self.path)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", plain(&self.key()), plain(&self.value), plain(&self.origin))
    }
}

impl Config {
    /// What the project's own files changed about the server, one line each: whoever starts a
    /// server in somebody else's project should see it.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let defaults = json!({ "server": server::defaults() });
        let changed = self.settings.iter().filter(|setting| {
            let default = setting.path.iter().try_fold(&defaults, |value, key| value.get(key));
            setting.origin.is_project()
                && setting.path.first().is_some_and(|key| key == "server")
                && default != Some(&setting.value)
        });
        changed
            .map(|setting| {
                format!(
                    "{}: the project sets {} to {}",
                    plain(&setting.origin),
                    plain(&setting.key()),
                    plain(&setting.value)
                )
            })
            .collect()
    }

    /// Origins of other machines that a project's file lets in, each as a warning for a server
    /// without a password: pages from there can run commands here.
    #[must_use]
    pub fn foreign_origins(&self) -> Vec<String> {
        let lists = self.settings.iter().filter(|setting| {
            setting.origin.is_project() && setting.path.iter().eq(["server", "cors"])
        });
        lists
            .flat_map(|setting| {
                let foreign = self.server.cors.iter().filter(|origin| !addresses::is_loopback(origin));
                foreign.map(|origin| {
                    format!(
                        "{}: pages of {} may use this server, and there is no password; set OPENCODE_SERVER_PASSWORD, or take the origin out of server.cors",
                        plain(&setting.origin),
                        plain(origin)
                    )
                })
            })
            .collect()
    }
}

/// A value to be shown: secrets masked by where they are and by what their keys are called.
pub(super) fn shown(node: &Node, key: &str, secret: bool) -> Value {
    let secret = secret || is_secret_name(key);
    match &node.value {
        Tree::Text(text) => Value::String(shown_text(text, secret)),
        Tree::List(items) => items.iter().map(|item| shown(item, key, secret)).collect(),
        Tree::Object(entries) => {
            let member = |entry: &super::tree::Entry| {
                (entry.key.clone(), shown(&entry.node, &entry.key, secret))
            };
            Value::Object(entries.iter().map(member).collect())
        }
        Tree::Number(_) if secret => Value::String(MASK.to_owned()),
        Tree::Number(_) | Tree::Null | Tree::Bool(_) => node.to_json(),
    }
}

fn shown_text(text: &Text, secret: bool) -> String {
    match &text.written {
        // The name of a variable or a file is no secret, what stands beside it may be.
        Some(written) if !secret || is_placeholder(written) => without_password(written),
        None if !secret => without_password(&text.value),
        Some(_) | None => MASK.to_owned(),
    }
}

/// Whether a text is one `{env:NAME}` or `{file:path}` and nothing else.
fn is_placeholder(text: &str) -> bool {
    let inner = text.strip_prefix("{env:").or_else(|| text.strip_prefix("{file:"));
    inner.and_then(|rest| rest.strip_suffix('}')).is_some_and(|name| !name.contains(['{', '}']))
}

/// Whether a key of this name usually holds a secret.
fn is_secret_name(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // `max_tokens` is a number that people want to see.
    let token = key.ends_with("token");
    token
        || ["apikey", "api_key", "api-key", "secret", "password", "authorization", "cookie"]
            .iter()
            .any(|word| key.contains(word))
}

/// An address without the user and password that may stand in it.
pub(super) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{MASK}{}", &rest[at..]),
        None => text.to_owned(),
    }
}

/// Keys joined by dots; one that has a dot in it is quoted, an index stands in its brackets.
pub(super) fn join(path: &[String]) -> String {
    let mut joined = String::new();
    for key in path {
        let index = key.starts_with('[') && key.ends_with(']');
        if !joined.is_empty() && !index {
            joined.push('.');
        }
        if key.is_empty() || (key.contains(['.', ' ']) && !index) {
            joined.extend(["\"", key, "\""]);
        } else {
            joined.push_str(key);
        }
    }
    joined
}

/// Text that a terminal shows as it is: control characters of a hostile file are spelled out.
pub(super) fn plain(text: &impl fmt::Display) -> String {
    let mut plain = String::new();
    for char in text.to_string().chars() {
        if char.is_control() {
            plain.extend(char.escape_default());
        } else {
            plain.push(char);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_password() {
        assert_eq!(without_password("https://me:hush@a.b/v1"), "https://********@a.b/v1");
        assert_eq!(without_password("https://a.b/@v1"), "https://a.b/@v1");
        assert_eq!(without_password("me@a.b"), "me@a.b");
    }

    #[test]
    fn keys_with_dots_are_quoted() {
        let path = ["provider", "x", "models", "gpt-4.1", "[2]"].map(str::to_owned);
        assert_eq!(join(&path), "provider.x.models.\"gpt-4.1\"[2]");
    }

    #[test]
    fn control_characters_are_spelled_out() {
        assert_eq!(plain(&"a\u{1b}]0;x\u{7}\u{9b}b"), "a\\u{1b}]0;x\\u{7}\\u{9b}b");
    }
}
