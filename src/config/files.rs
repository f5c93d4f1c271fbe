//! Which files are read, and their text.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::env::{Env, config_dir, home};
use super::error::Report;
use super::origin::{ConfigFile, Scope, shown};

/// The largest configuration file, and the largest file that `{file:}` brings in.
pub(super) const LARGEST: u64 = 1024 * 1024;

/// In one directory the second is laid over the first.
const NAMES: [&str; 2] = ["opencode.json", "opencode.jsonc"];

/// The places that files are looked for in.
pub(super) struct Places {
    /// The project directory, links resolved.
    pub(super) directory: PathBuf,
    /// The repository's root, or the project directory where there is no repository: what the
    /// project's files may read lies in it.
    pub(super) root: PathBuf,
    /// The person's home.
    pub(super) home: Option<PathBuf>,
}

impl Places {
    /// Finds them for a project directory.
    pub(super) fn of(directory: &Path, env: &Env) -> Self {
        let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        let is_root = |path: &&Path| path.join(".git").symlink_metadata().is_ok();
        let root = directory.ancestors().find(is_root).unwrap_or(&directory).to_owned();
        Self { directory, root, home: home(env) }
    }

    /// All configuration files and their texts, the ones that yield first.
    pub(super) fn read(&self, env: &Env, report: &mut Report) -> Vec<(Arc<ConfigFile>, String)> {
        let mut found = Vec::new();
        if let Some(dir) = config_dir(env) {
            found.extend(NAMES.map(|name| (dir.join(name), Scope::Global)));
        }
        let inside: Vec<&Path> =
            self.directory.ancestors().take_while(|path| path.starts_with(&self.root)).collect();
        for dir in inside.into_iter().rev() {
            found.extend(NAMES.map(|name| (dir.join(name), Scope::Project)));
        }
        let named = env.get("OPENCODE_CONFIG").map(|path| self.expand(path));
        found.extend(named.map(|path| (path, Scope::Named)));

        // A file that is reached twice is the person's own, who named it or has it at home.
        let canonical = |path: &Path| path.canonicalize().ok();
        let own: Vec<(PathBuf, Scope)> = found
            .iter()
            .filter(|(_, scope)| *scope != Scope::Project)
            .filter_map(|(path, scope)| Some((canonical(path)?, *scope)))
            .collect();
        found.retain(|(path, scope)| match scope {
            Scope::Named => true,
            Scope::Global => {
                canonical(path).is_none_or(|real| !own.contains(&(real, Scope::Named)))
            }
            Scope::Project => {
                canonical(path).is_none_or(|real| own.iter().all(|(other, _)| *other != real))
            }
        });
        found.into_iter().filter_map(|(path, scope)| self.text(path, scope, report)).collect()
    }

    /// A path of the person's own: `~/` is the home.
    pub(super) fn expand(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(path),
        }
    }

    fn text(
        &self,
        path: PathBuf,
        scope: Scope,
        report: &mut Report,
    ) -> Option<(Arc<ConfigFile>, String)> {
        let shown = shown(&path, &self.directory, self.home.as_deref(), scope);
        match self.read_one(&path, scope) {
            Ok(Some(text)) => {
                Some((Arc::new(ConfigFile { path, shown, scope, trusted: false }), text))
            }
            Ok(None) => None,
            Err(Refusal::Ignored(why)) => {
                report.warn(shown, why);
                None
            }
            Err(Refusal::Wrong(why)) => {
                report.error(shown, why);
                None
            }
        }
    }

    fn read_one(&self, path: &Path, scope: Scope) -> Result<Option<String>, Refusal> {
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(error) if scope == Scope::Named => {
                return Err(Refusal::Wrong(format!(
                    "OPENCODE_CONFIG names this file, which cannot be read: {error}; correct the path or unset the variable"
                )));
            }
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => {
                return Err(Refusal::Ignored(format!(
                    "cannot be looked for and is left out: {error}"
                )));
            }
        }
        if scope == Scope::Project {
            self.refuse_foreign(path)?;
        }
        let bytes = read_bounded(path, scope == Scope::Named)
            .map_err(|why| Refusal::Wrong(format!("{why}; correct this, or move the file away")))?;
        utf8(bytes).map(Some).map_err(Refusal::Wrong)
    }

    /// A project's file must lie in the project, and one in a directory above must be of somebody
    /// who could change this project anyway: a stranger's `/tmp/opencode.json` is not ours.
    fn refuse_foreign(&self, path: &Path) -> Result<(), Refusal> {
        let real = path.canonicalize().map_err(|error| {
            Refusal::Wrong(format!("this link leads nowhere: {error}; mend or remove it"))
        })?;
        if !real.starts_with(&self.root) {
            return Err(Refusal::Wrong(
                "this link leads out of the project; put a copy in its place, or name the file by OPENCODE_CONFIG".to_owned(),
            ));
        }
        let owner = |path: &Path| path.metadata().map(|metadata| metadata.uid()).ok();
        let above = path.parent() != Some(&self.directory);
        let theirs = owner(path).unwrap_or(0);
        let me = rustix::process::geteuid().as_raw();
        if above && theirs != 0 && theirs != me && owner(&self.directory) != Some(theirs) {
            return Err(Refusal::Ignored(
                "belongs to another user and is left out; name it by OPENCODE_CONFIG to use it"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

/// Why a file that is there is not used.
enum Refusal {
    /// It does not matter enough to stop.
    Ignored(String),
    /// The person must mend it.
    Wrong(String),
}

/// The bytes of a file of a bounded size. A pipe or device is read only for somebody who named
/// it, since it may never end or never begin.
pub(super) fn read_bounded(path: &Path, special: bool) -> Result<Vec<u8>, String> {
    let file = open(path, special).map_err(|error| format!("cannot be read: {error}"))?;
    let metadata: Metadata = file.metadata().map_err(|error| format!("cannot be read: {error}"))?;
    if metadata.is_dir() {
        return Err("expected a file, found a directory".to_owned());
    }
    if !metadata.is_file() && !special {
        return Err("expected a file, found a pipe or device".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err("expected at most 1 MiB, and the file is larger".to_owned());
    }
    Ok(bytes)
}

/// Without `special` the opening never waits for the other end of a pipe.
fn open(path: &Path, special: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    if !special {
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options.open(path)
}

/// The text of a file, without the mark that some editors put in front.
pub(super) fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("expected UTF-8, and the file is UTF-16; save it again as UTF-8".to_owned());
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..valid].split(|&byte| byte == b'\n').count();
            Err(format!("expected UTF-8, and line {line} is not; save the file again as UTF-8"))
        }
    }
}

/// Whether nothing is there: a missing folder, or a file where a folder should be.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
