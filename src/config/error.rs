//! What is wrong with a configuration: for a person to read and mend, all of it at once.

use std::fmt;

use super::decode::At;
use super::origin::Origin;
use super::settings::{Setting, plain};

/// So many are told; a file that is wrong everywhere need not fill the screen.
const MOST: usize = 50;

/// One wrong thing in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// The file and line, or the variable or flag.
    pub place: String,
    /// The same with the column, as editors jump to it.
    pub exact: String,
    /// What is wrong there, and what to do.
    pub message: String,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// The configuration cannot be used; one line for each reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The reasons, at least one.
    pub issues: Vec<Issue>,
}

impl ConfigError {
    /// A single reason.
    pub(super) fn one(place: impl Into<String>, message: impl Into<String>) -> Self {
        let place = place.into();
        Self { issues: vec![Issue { exact: place.clone(), place, message: message.into() }] }
    }

    /// The reasons, each with its column, as editors and build servers read them.
    #[must_use]
    pub fn exact(&self) -> String {
        let line = |issue: &Issue| format!("{}: {}", issue.exact, issue.message);
        self.issues.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.issues.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{issue}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// What reading found: errors, warnings and settings, gathered on the way.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) errors: Vec<Issue>,
    pub(super) warnings: Vec<String>,
    pub(super) settings: Vec<Setting>,
}

impl Report {
    /// Something that stops the start.
    pub(super) fn error(&mut self, place: impl fmt::Display, message: impl fmt::Display) {
        let exact = plain(&format_args!("{place:#}"));
        let issue = Issue { place: plain(&place), exact, message: plain(&message) };
        if self.errors.len() < MOST && !self.errors.contains(&issue) {
            self.errors.push(issue);
        }
    }

    /// Something the person should know.
    pub(super) fn warn(&mut self, place: impl fmt::Display, message: impl fmt::Display) {
        if self.warnings.len() < MOST {
            self.warnings.push(format!("{}: {}", plain(&place), plain(&message)));
        } else if self.warnings.len() == MOST {
            self.warnings.push("There are more warnings of this kind.".to_owned());
        }
    }

    /// Whether further warnings would not be kept.
    pub(super) fn is_full(&self) -> bool {
        self.warnings.len() > MOST
    }

    /// Something that stops the start, about one value. A variable and a flag are their own
    /// names; in a file the key is told too.
    pub(super) fn error_at(&mut self, at: &At<'_>, message: impl fmt::Display) {
        match &at.node.origin {
            origin @ (Origin::Environment(_) | Origin::Flag(_)) => self.error(origin, message),
            origin @ (Origin::File { .. } | Origin::Default) => {
                self.error(origin, format_args!("{}: {message}", at.key()));
            }
        }
    }

    /// Something the person should know about one value.
    pub(super) fn warn_at(&mut self, at: &At<'_>, message: impl fmt::Display) {
        self.warn(&at.node.origin, format_args!("{}: {message}", at.key()));
    }
}
