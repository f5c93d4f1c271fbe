//! Which of a project's files the person has trusted.
//!
//! A file is trusted by where it lies and by what it says that trust is about: providers and their
//! addresses, permissions, instructions, and whatever `{env:}` and `{file:}` bring in. Once that is
//! another, it is asked for again; a port, a model or a prompt may change as it likes.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::env::{Env, data_dir};
use super::files::{Places, read_bounded};
use super::origin::ConfigFile;
use super::substitute::{Placeholder, next};
use super::tree::{Node, Tree};

/// The file in the data directory.
const NAME: &str = "trusted.json";

/// One file that the person trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedFile {
    /// Where it lies, links resolved.
    pub path: PathBuf,
    /// What it said when it was trusted.
    digest: String,
    /// When that was, RFC 3339 UTC.
    #[serde(rename = "trustedAt")]
    pub trusted_at: String,
}

/// What the person's list says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is trusted as it is.
    Trusted,
    /// It was, and says something else by now.
    Changed,
    /// It is not.
    Unknown,
}

/// The files that the person trusts, as they are written down.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Trust {
    files: Vec<TrustedFile>,
}

impl Trust {
    /// Reads the list; there may be none.
    ///
    /// # Errors
    /// A list that cannot be read, or that somebody else could have written.
    pub(super) fn read(env: &Env) -> Result<Self, String> {
        let Some(path) = place(env) else { return Ok(Self::default()) };
        let wrong = |why: &str| format!("{}: {why}", path.display());
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(wrong(&error.to_string())),
        };
        let me = rustix::process::geteuid().as_raw();
        if metadata.uid() != me || metadata.mode() & 0o022 != 0 {
            return Err(wrong("others can write to this list, so nothing in it counts"));
        }
        let bytes = read_bounded(&path, false).map_err(|why| wrong(&why))?;
        serde_json::from_slice(&bytes).map_err(|error| wrong(&error.to_string()))
    }

    /// What is known of a file that says this.
    pub(super) fn verdict(&self, file: &ConfigFile, root: &Node, places: &Places) -> Verdict {
        let Ok(path) = file.path.canonicalize() else { return Verdict::Unknown };
        let Some(known) = self.files.iter().find(|known| known.path == path) else {
            return Verdict::Unknown;
        };
        if known.digest == digest(root, file, places) { Verdict::Trusted } else { Verdict::Changed }
    }

    /// Adds a file as it is now.
    pub(super) fn add(&mut self, file: &ConfigFile, root: &Node, places: &Places, now: &str) {
        let path = file.path.canonicalize().unwrap_or_else(|_| file.path.clone());
        self.files.retain(|known| known.path != path);
        let digest = digest(root, file, places);
        self.files.push(TrustedFile { path, digest, trusted_at: now.to_owned() });
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// Takes out what lies in a directory, and says what that was.
    pub(super) fn remove(&mut self, directory: &Path) -> Vec<TrustedFile> {
        let inside = |file: &TrustedFile| file.path.starts_with(directory);
        let (gone, kept) = std::mem::take(&mut self.files).into_iter().partition(inside);
        self.files = kept;
        gone
    }

    pub(super) fn into_files(self) -> Vec<TrustedFile> {
        self.files
    }

    /// Writes the list, for its owner alone, whole or not at all.
    pub(super) fn write(&self, env: &Env) -> Result<(), String> {
        let Some(path) = place(env) else {
            return Err(
                "there is no home directory to keep the list in; OPENCODE_DATA_DIR names a \
                        place for it"
                    .to_owned(),
            );
        };
        let failed = |error: io::Error| {
            format!("{}: {error}; OPENCODE_DATA_DIR names another place", path.display())
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let text = format!("{:#}\n", json!(self));
        let new = path.with_extension(format!("new-{}", std::process::id()));
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
        let written = file.and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)
        });
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written.map_err(failed)
    }
}

fn place(env: &Env) -> Option<PathBuf> {
    Some(data_dir(env)?.join(NAME))
}

/// A digest of what a file says that trust is about. Comments, and what else stands in it, do not
/// change it.
fn digest(root: &Node, file: &ConfigFile, places: &Places) -> String {
    let said = said(root, &mut Vec::new(), file, places).unwrap_or(Value::Null);
    let hash = Sha256::digest(said.to_string().as_bytes());
    hash.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The part of a tree that trust is about.
fn said<'n>(
    node: &'n Node,
    path: &mut Vec<&'n str>,
    file: &ConfigFile,
    places: &Places,
) -> Option<Value> {
    match &node.value {
        Tree::Object(entries) => {
            let mut members = serde_json::Map::new();
            for entry in entries {
                path.push(&entry.key);
                if let Some(value) = said(&entry.node, path, file, places) {
                    members.insert(entry.key.clone(), value);
                }
                path.pop();
            }
            (!members.is_empty() || is_about_trust(path)).then_some(Value::Object(members))
        }
        Tree::List(items) => {
            let items: Vec<_> =
                items.iter().filter_map(|item| said(item, path, file, places)).collect();
            (!items.is_empty() || is_about_trust(path)).then_some(Value::Array(items))
        }
        Tree::Text(text) => {
            let brought = brought(&text.value, file, places);
            if brought.is_empty() {
                return is_about_trust(path).then(|| json!(text.value));
            }
            Some(json!({ "text": text.value, "brings": brought }))
        }
        Tree::Null | Tree::Bool(_) | Tree::Number(_) => {
            is_about_trust(path).then(|| node.to_json())
        }
    }
}

/// Whether a setting is one that an untrusted file may not make, or not everywhere.
pub(super) fn is_about_trust(path: &[&str]) -> bool {
    matches!(
        path,
        ["provider" | "permission" | "instructions" | "disabled_providers" | "log", ..]
            | ["agent", _, "permission" | "tools" | "disable", ..]
    )
}

/// What a text's braces bring in: the name of a variable, and the content of a file of the project,
/// which whoever writes the project may change.
fn brought(text: &str, file: &ConfigFile, places: &Places) -> Vec<Value> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, placeholder, after)) = next(rest) {
        rest = after;
        found.push(match placeholder {
            Placeholder::Env(name) => json!(name),
            Placeholder::File(written) => {
                let path = file.path.parent().unwrap_or(Path::new("")).join(written).canonicalize();
                let inside = path.ok().filter(|path| path.starts_with(&places.root));
                let bytes = inside.and_then(|path| read_bounded(&path, false).ok());
                let digest = bytes.map(|bytes| Sha256::digest(&bytes).to_vec());
                json!({ "file": written, "content": digest })
            }
        });
    }
    found
}
