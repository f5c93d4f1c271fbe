//! Where a setting came from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whose a configuration file is, which decides what it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The person's own, in the XDG configuration directory.
    Global,
    /// The project's: whoever wrote the project wrote it.
    Project,
    /// The one that `OPENCODE_CONFIG` names.
    Named,
}

/// One configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where it lies.
    pub path: PathBuf,
    /// How messages call it.
    pub shown: String,
    /// Whose it is.
    pub scope: Scope,
    /// Whether the person has trusted it, as a project's file has to be for some things.
    pub trusted: bool,
}

impl ConfigFile {
    /// Whether it is a project's, and nobody has vouched for it.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.scope == Scope::Project && !self.trusted
    }
}

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A place in a file; lines and columns count from 1.
    File {
        /// The file.
        file: Arc<ConfigFile>,
        /// The line of the value.
        line: usize,
        /// The column of the value, in characters.
        column: usize,
    },
    /// An environment variable.
    Environment(&'static str),
    /// A flag of the command line, with its dashes.
    Flag(&'static str),
}

impl Origin {
    /// Whether the project's own file said it, and not the person.
    #[must_use]
    pub fn is_project(&self) -> bool {
        matches!(self, Self::File { file, .. } if file.scope == Scope::Project)
    }
}

impl Origin {
    /// Whether a project's file said it that the person has not trusted.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::File { file, .. } if file.is_foreign())
    }
}

/// With `#` the column stands behind the line.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, column } if f.alternate() => {
                write!(f, "{}:{line}:{column}", file.shown)
            }
            Self::File { file, line, .. } => write!(f, "{}:{line}", file.shown),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// How a person reads a path with the least effort: relative to the project, with `../` while that
/// is shortest, else from the home, else whole.
pub(super) fn shown(path: &Path, directory: &Path, home: Option<&Path>, scope: Scope) -> String {
    if let Ok(inside) = path.strip_prefix(directory) {
        return inside.display().to_string();
    }
    let from_home = home
        .filter(|home| *home != Path::new("/"))
        .and_then(|home| path.strip_prefix(home).ok())
        .map(|rest| format!("~/{}", rest.display()));
    let from_above = (scope == Scope::Project)
        .then(|| {
            directory.ancestors().enumerate().skip(1).find_map(|(up, ancestor)| {
                let rest = path.strip_prefix(ancestor).ok()?;
                Some(format!("{}{}", "../".repeat(up), rest.display()))
            })
        })
        .flatten();
    let whole = path.display().to_string();
    [from_above, from_home].into_iter().flatten().min_by_key(String::len).unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_the_short_way() {
        let shown = |path: &str, scope| {
            shown(
                Path::new(path),
                Path::new("/home/me/app/web"),
                Some(Path::new("/home/me")),
                scope,
            )
        };
        assert_eq!(shown("/home/me/app/web/opencode.json", Scope::Project), "opencode.json");
        assert_eq!(shown("/home/me/app/opencode.json", Scope::Project), "../opencode.json");
        assert_eq!(
            shown("/home/me/.config/opencode/opencode.json", Scope::Global),
            "~/.config/opencode/opencode.json"
        );
        assert_eq!(shown("/etc/opencode.json", Scope::Named), "/etc/opencode.json");
    }
}
