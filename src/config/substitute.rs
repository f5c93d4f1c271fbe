//! `{env:NAME}` and `{file:path}` inside texts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::credentials::PASSWORD;
use super::env::Env;
use super::error::Report;
use super::files::{Places, read_bounded, utf8};
use super::keys;
use super::origin::ConfigFile;
use super::tree::{Node, Text, Tree};

/// Bytes that all `{file:}` of a configuration together may bring in.
const BUDGET: usize = 8 * 1024 * 1024;

/// Replaces what stands in braces, and remembers which variables were asked for.
pub(super) struct Substitution<'a> {
    env: &'a Env,
    places: &'a Places,
    budget: usize,
    pub(super) used_env: BTreeSet<String>,
    pub(super) project_env: BTreeSet<String>,
}

/// What stands in braces.
pub(super) enum Placeholder<'a> {
    Env(&'a str),
    File(&'a str),
}

impl<'a> Substitution<'a> {
    pub(super) fn new(env: &'a Env, places: &'a Places) -> Self {
        Self {
            env,
            places,
            budget: BUDGET,
            used_env: BTreeSet::new(),
            project_env: BTreeSet::new(),
        }
    }

    /// Substitutes in the sections that are read. In the others nothing is looked up, and the
    /// variables they name are hidden from child processes all the same.
    pub(super) fn apply(&mut self, root: &mut Node, file: &ConfigFile, report: &mut Report) {
        let Tree::Object(entries) = &mut root.value else { return };
        for entry in entries {
            if keys::TOP.contains(&entry.key.as_str()) {
                self.in_node(&mut entry.node, file, report);
            } else {
                self.names_in(&entry.node);
            }
        }
    }

    fn in_node(&mut self, node: &mut Node, file: &ConfigFile, report: &mut Report) {
        match &mut node.value {
            Tree::Text(text) => {
                if let Some(substituted) = self.in_text(&text.value, &node.origin, file, report) {
                    *text = substituted;
                }
            }
            Tree::List(items) => {
                for item in items {
                    self.in_node(item, file, report);
                }
            }
            Tree::Object(entries) => {
                for entry in entries {
                    self.in_node(&mut entry.node, file, report);
                }
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) => {}
        }
    }

    /// None where nothing stands in braces.
    fn in_text(
        &mut self,
        text: &str,
        origin: &super::origin::Origin,
        file: &ConfigFile,
        report: &mut Report,
    ) -> Option<Text> {
        let mut value = String::new();
        let mut from_env = false;
        let mut rest = text;
        while let Some((before, placeholder, after)) = next(rest) {
            value.push_str(before);
            rest = after;
            match placeholder {
                Placeholder::Env(name) => {
                    from_env = true;
                    match self.variable(name, file) {
                        Ok(found) => value.push_str(found),
                        Err(Missing::Unset) => report.warn(
                            origin,
                            format_args!(
                                "{{env:{name}}} is empty: the environment variable {name} is not set"
                            ),
                        ),
                        Err(Missing::Refused(why)) => report.error(origin, why),
                    }
                }
                Placeholder::File(path) => match self.contents(path, file) {
                    Ok(found) => value.push_str(&found),
                    Err(why) => report.error(origin, format_args!("{{file:{path}}}: {why}")),
                },
            }
        }
        if rest.len() == text.len() {
            return None;
        }
        value.push_str(rest);
        Some(Text { value, written: Some(text.to_owned()), from_env })
    }

    fn variable(&mut self, name: &str, file: &ConfigFile) -> Result<&'a str, Missing> {
        self.used_env.insert(name.to_owned());
        if file.is_foreign() {
            self.project_env.insert(name.to_owned());
        }
        if name == PASSWORD {
            return Err(Missing::Refused(format!(
                "{{env:{name}}}: the server's password is for the server alone; use another variable"
            )));
        }
        if self.env.is_garbled(name) {
            return Err(Missing::Refused(format!(
                "{{env:{name}}}: expected UTF-8 in the environment variable {name}"
            )));
        }
        let value = self.env.get(name).ok_or(Missing::Unset)?;
        // One variable may be named a thousand times.
        self.budget = self.budget.checked_sub(value.len()).ok_or_else(|| {
            Missing::Refused(format!(
                "{{env:{name}}}: all files and variables together are larger than 8 MiB; use fewer"
            ))
        })?;
        Ok(value)
    }

    fn contents(&mut self, written: &str, file: &ConfigFile) -> Result<String, String> {
        let path = self.resolve(written, file)?;
        let bytes = read_bounded(&path, false).map_err(|why| {
            let shown = path.display();
            if path.symlink_metadata().is_ok() {
                format!("{shown} {why}")
            } else {
                format!("there is no file {shown}; make it, or correct the path")
            }
        })?;
        self.budget = self
            .budget
            .checked_sub(bytes.len())
            .ok_or("all files together are larger than 8 MiB; use fewer or smaller ones")?;
        let text = utf8(bytes).map_err(|why| format!("{}: {why}", path.display()))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The path that is meant: relative to the file it stands in; that of a project nobody trusts
    /// stays in it.
    fn resolve(&self, written: &str, file: &ConfigFile) -> Result<PathBuf, String> {
        let folder = file.path.parent().unwrap_or(Path::new(""));
        if !file.is_foreign() {
            return Ok(folder.join(self.places.expand(written)));
        }
        let outside = || {
            "a project's file may only use files inside the project; put it there, move the setting to your own configuration, or run `opencode trust` if you trust the project".to_owned()
        };
        if written.starts_with('~') {
            return Err(outside());
        }
        let path = folder.join(written);
        // A missing file is told as missing only where it would be allowed.
        let Ok(real) = path.canonicalize() else {
            let leaves = Path::new(written).is_absolute()
                || Path::new(written)
                    .components()
                    .any(|part| part == std::path::Component::ParentDir);
            return if leaves { Err(outside()) } else { Ok(path) };
        };
        if real.starts_with(&self.places.root) { Ok(real) } else { Err(outside()) }
    }

    fn names_in(&mut self, node: &Node) {
        match &node.value {
            Tree::Text(text) => {
                let mut rest = text.value.as_str();
                while let Some((_, placeholder, after)) = next(rest) {
                    rest = after;
                    if let Placeholder::Env(name) = placeholder {
                        self.used_env.insert(name.to_owned());
                    }
                }
            }
            Tree::List(items) => items.iter().for_each(|item| self.names_in(item)),
            Tree::Object(entries) => entries.iter().for_each(|entry| self.names_in(&entry.node)),
            Tree::Null | Tree::Bool(_) | Tree::Number(_) => {}
        }
    }
}

/// Why a variable brings nothing in.
enum Missing {
    Unset,
    Refused(String),
}

/// The first placeholder of a text, with what stands before and after it.
pub(super) fn next(text: &str) -> Option<(&str, Placeholder<'_>, &str)> {
    let mut from = 0;
    loop {
        let start = from + text.get(from..)?.find('{')?;
        from = start + 1;
        let inner = &text[from..];
        let (make, inner): (fn(_) -> _, _) = if let Some(inner) = inner.strip_prefix("env:") {
            (Placeholder::Env, inner)
        } else if let Some(inner) = inner.strip_prefix("file:") {
            (Placeholder::File, inner)
        } else {
            continue;
        };
        // Without a closing brace there is no further placeholder either.
        let (name, after) = inner.split_once('}')?;
        let name = name.trim();
        if !name.is_empty() {
            return Some((&text[..start], make(name), after));
        }
    }
}
