//! One line of the `permission` section, and the wildcards it is written with.

use serde_json::Value;

use crate::text::matches;

/// What a rule says of the calls it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    Ask,
    Deny,
}

/// A tool, a pattern of what it is called with, and what then holds.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// The tool as the configuration names it; wildcards count, as `OpenCode` has it.
    tool: String,
    /// `None` for a rule on the tool as a whole.
    pattern: Option<String>,
    pub(super) action: Action,
}

impl Rule {
    /// The rules of a `permission` value, in the order they stand in. The last that fits wins.
    pub(super) fn read(permission: &Value) -> Vec<Self> {
        let Value::Object(tools) = permission else {
            return Action::read(permission)
                .map(|action| Self { tool: "*".to_owned(), pattern: None, action })
                .into_iter()
                .collect();
        };
        let mut rules = Vec::new();
        for (tool, value) in tools {
            let mut add = |pattern: Option<&String>, value: &Value| {
                if let Some(action) = Action::read(value) {
                    // `"*"` says the same as no pattern at all.
                    let pattern = pattern.filter(|text| !text.chars().all(|c| c == '*')).cloned();
                    rules.push(Self { tool: tool.clone(), pattern, action });
                }
            };
            match value {
                Value::Object(patterns) => {
                    patterns.iter().for_each(|(pattern, value)| add(Some(pattern), value));
                }
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_) => add(None, value),
            }
        }
        rules
    }

    /// Whether it is a rule for this tool, by any of its names.
    pub(super) fn covers(&self, tool: &str) -> bool {
        names(tool).iter().any(|name| matches(name, &self.tool))
    }

    /// Whether it holds for whatever its tool is called with.
    pub(super) fn is_whole(&self) -> bool {
        self.pattern.is_none()
    }

    /// Whether it holds for a text.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| matches(text, pattern))
    }

    /// Its pattern, empty for a rule on the whole tool.
    pub(super) fn pattern(&self) -> &str {
        self.pattern.as_deref().unwrap_or_default()
    }

    /// Whether it is no more special than all commands that begin like this.
    pub(super) fn is_general(&self, stem: &str) -> bool {
        let pattern = self.pattern().trim_end_matches('*').trim_end();
        self.is_whole()
            || !pattern.is_empty() && !pattern.contains(['*', '?']) && stem.starts_with(pattern)
    }

    /// What every text that it matches begins with.
    pub(super) fn head(&self) -> &str {
        let pattern = self.pattern();
        let end = pattern.find(['*', '?']).unwrap_or(pattern.len());
        // `git push *` matches `git push` as well.
        let end = if pattern.ends_with(" *") { end.min(pattern.len() - 2) } else { end };
        &pattern[..end]
    }

    /// Its name for people.
    pub(super) fn label(&self, tool: &str) -> String {
        match &self.pattern {
            Some(pattern) if group(tool) == "bash" => format!("`{pattern}`"),
            Some(pattern) => format!("`{tool}` for `{pattern}`"),
            None => format!("`{tool}`"),
        }
    }
}

impl Action {
    /// `None` where nothing is said. The shape has been checked when the files were read; a word
    /// that slipped through must not relax anything.
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::String(word) if word == "allow" => Some(Self::Allow),
            Value::String(word) if word == "deny" => Some(Self::Deny),
            Value::String(_)
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => Some(Self::Ask),
        }
    }
}

/// `OpenCode`'s permission for one of our tools: what an `always` answer holds for.
pub(super) fn group(tool: &str) -> &str {
    match tool {
        "write_file" | "edit_file" => "edit",
        "read_file" => "read",
        "list_dir" => "list",
        other => other,
    }
}

/// Every name that the configuration may know a tool by.
fn names(tool: &str) -> [&str; 3] {
    let tools = if tool == "write_file" { "write" } else { tool };
    [tool, tools, group(tool)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_has_several_names() {
        let rule = |tool: &str| Rule::read(&serde_json::json!({ tool: "ask" })).remove(0);
        for (key, tool, expected) in [
            ("edit", "edit_file", true),
            ("edit", "write_file", true),
            ("write", "write_file", true),
            ("write", "edit_file", false),
            ("edit_file", "write_file", false),
            ("read", "read_file", true),
            ("list", "list_dir", true),
            ("list_dir", "list_dir", true),
            ("bash", "bash", true),
            ("*", "anything", true),
            ("web*", "webfetch", true),
            ("read", "bash", false),
        ] {
            assert_eq!(rule(key).covers(tool), expected, "{key} {tool}");
        }
    }

    #[test]
    fn a_word_that_slipped_through_relaxes_nothing() {
        assert_eq!(Rule::read(&serde_json::json!("alow"))[0].action, Action::Ask);
        assert_eq!(Rule::read(&serde_json::json!({ "bash": true }))[0].action, Action::Ask);
        assert!(Rule::read(&Value::Null).is_empty());
        assert!(Rule::read(&serde_json::json!({ "bash": null })).is_empty());
    }
}
