//! From the located tree to typed values: what each reading accepts, what it says otherwise, and
//! what it records as a setting.

use serde_json::{Number, Value};

use super::error::Report;
use super::keys;
use super::settings::{Setting, join, shown, without_password};
use super::tree::{Entry, Node, Tree};

/// Characters of a wrong value that a message repeats.
const QUOTED: usize = 60;

/// A value on its way to a type: the node, and the keys that lead to it.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub(super) node: &'a Node,
    path: Vec<String>,
    secret: bool,
}

/// Why a text is not what it should be.
#[derive(Debug)]
pub(super) enum Wrong {
    /// Not of the kind that was expected; the reader names the kind.
    Unlike,
    /// For a reason of its own.
    Because(String),
}

impl From<&str> for Wrong {
    fn from(reason: &str) -> Self {
        Self::Because(reason.to_owned())
    }
}

impl<'a> At<'a> {
    /// The whole of a tree.
    pub(super) fn root(node: &'a Node) -> Self {
        Self { node, path: Vec::new(), secret: false }
    }

    fn child(&self, key: String, node: &'a Node) -> Self {
        let mut path = self.path.clone();
        path.push(key);
        Self { node, path, secret: self.secret }
    }

    /// The same value, never to be shown.
    pub(super) fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The keys that lead here, as messages write them.
    pub(super) fn key(&self) -> String {
        join(&self.path)
    }

    /// The members, or an error.
    pub(super) fn section(self, report: &mut Report) -> Option<Section<'a>> {
        if let Tree::Object(entries) = &self.node.value {
            return Some(Section { at: self, entries });
        }
        // A text here may be a secret at the wrong level.
        self.secret().expected("an object, { … }", report);
        None
    }

    /// A text that `read` understands.
    pub(super) fn text<T>(
        &self,
        expected: &str,
        report: &mut Report,
        read: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let Tree::Text(text) = &self.node.value else {
            self.expected(expected, report);
            return None;
        };
        // An unset variable leaves the setting as if it were not there; it was warned of.
        if text.written.is_some() && text.value.is_empty() {
            return None;
        }
        match read(&text.value) {
            Ok(value) => {
                self.record(report);
                Some(value)
            }
            Err(Wrong::Unlike) => {
                self.expected(expected, report);
                None
            }
            Err(Wrong::Because(reason)) => {
                report.error_at(self, reason);
                None
            }
        }
    }

    /// Any text; an empty one counts as absent.
    pub(super) fn any_text(&self, report: &mut Report) -> Option<String> {
        self.text("a text in double quotes", report, |text| Ok(text.to_owned()))
            .filter(|text| !text.is_empty())
    }

    /// True or false.
    pub(super) fn boolean(&self, report: &mut Report) -> Option<bool> {
        let value = match &self.node.value {
            Tree::Bool(value) => Some(*value),
            Tree::Text(text) if text.written.is_some() => match text.value.trim() {
                "" => return None,
                text => boolean(text),
            },
            _ => None,
        };
        self.scalar(value, "true or false", report)
    }

    /// A number that `read` accepts.
    pub(super) fn number<T>(
        &self,
        expected: &str,
        report: &mut Report,
        read: impl FnOnce(f64) -> Option<T>,
    ) -> Option<T> {
        let number = match &self.node.value {
            Tree::Number(number) => number.as_f64(),
            Tree::Text(text) if text.written.is_some() => match text.value.trim() {
                "" => return None,
                text => text.parse::<Number>().ok().and_then(|number| number.as_f64()),
            },
            _ => None,
        };
        self.scalar(number.and_then(read), expected, report)
    }

    /// A list whose items `read` understands; those that it does not are left out.
    pub(super) fn list<T>(
        &self,
        expected: &str,
        report: &mut Report,
        mut read: impl FnMut(&At<'a>, &mut Report) -> Option<T>,
    ) -> Option<Vec<T>> {
        if !matches!(self.node.value, Tree::List(_)) {
            self.expected(expected, report);
            return None;
        }
        // The list is one setting, its items are none.
        let settings = report.settings.len();
        let mut values = Vec::new();
        for item in self.items() {
            values.extend(read(&item, report));
        }
        report.settings.truncate(settings);
        self.record(report);
        Some(values)
    }

    /// The items of a list; of anything else there are none.
    pub(super) fn items(&self) -> Vec<At<'a>> {
        let Tree::List(items) = &self.node.value else { return Vec::new() };
        let item = |(index, item)| self.child(format!("[{index}]"), item);
        items.iter().enumerate().map(item).collect()
    }

    /// Any JSON; its leaves become settings.
    pub(super) fn json(&self, report: &mut Report) -> Value {
        if let Tree::Object(entries) = &self.node.value {
            for entry in entries {
                self.child(entry.key.clone(), &entry.node).json(report);
            }
        } else {
            self.record(report);
        }
        self.node.to_json()
    }

    /// Says that something else stands here.
    pub(super) fn expected(&self, what: &str, report: &mut Report) {
        report.error_at(self, format_args!("expected {what}, found {}", self.found()));
    }

    fn scalar<T>(&self, value: Option<T>, expected: &str, report: &mut Report) -> Option<T> {
        if value.is_some() {
            self.record(report);
        } else {
            self.expected(expected, report);
        }
        value
    }

    fn record(&self, report: &mut Report) {
        report.settings.push(Setting {
            path: self.path.clone(),
            value: shown(self.node, self.path.last().map_or("", String::as_str), self.secret),
            origin: self.node.origin.clone(),
        });
    }

    /// What stands here, for a message: never a secret, never what a substitution brought.
    fn found(&self) -> String {
        match &self.node.value {
            Tree::Null => "null".to_owned(),
            Tree::List(_) => "a list".to_owned(),
            Tree::Object(_) => "an object".to_owned(),
            Tree::Bool(_) if self.secret => "true or false".to_owned(),
            Tree::Bool(value) => value.to_string(),
            Tree::Number(_) if self.secret => "a number".to_owned(),
            Tree::Number(number) => number.to_string(),
            Tree::Text(_) if self.secret => "a text".to_owned(),
            Tree::Text(text) => {
                quoted(&without_password(text.written.as_deref().unwrap_or(&text.value)))
            }
        }
    }
}

/// The members of an object on their way to types.
pub(super) struct Section<'a> {
    pub(super) at: At<'a>,
    pub(super) entries: &'a [Entry],
}

impl<'a> Section<'a> {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<At<'a>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.at.child(key.to_owned(), &entry.node))
    }

    /// All members, for objects whose keys are names.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'a str, At<'a>)> {
        let at = self.at.clone();
        self.entries
            .iter()
            .map(move |entry| (entry.key.as_str(), at.child(entry.key.clone(), &entry.node)))
    }

    /// Warns of keys other than `used`; of those in `known` it says that they do nothing here.
    pub(super) fn check_keys(&self, used: &[&str], known: &[&str], report: &mut Report) {
        keys::check(self, used, known, report);
    }
}

/// How people write yes and no in an environment variable.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// A text in quotes, cut where it gets long.
pub(super) fn quoted(text: &str) -> String {
    let mut cut: String = text.chars().take(QUOTED).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("\"{cut}\"")
}
