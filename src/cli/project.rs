//! From a directory to what runs in it: configuration, models, agents, sessions.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

use crate::agent::Engine;
use crate::cli::exit::{Exit, Failure};
use crate::cli::flags::Typed;
use crate::config::{self, Config, Credentials, Env, ServerFlags};
use crate::provider::{self, Catalogue};
use crate::session::Bounds;
use crate::session::store::{Store, StoreError};
use crate::text::hex;

/// The project directory that flags and environment name, absolute, symlinks resolved.
pub(super) fn directory(typed: &Typed, env: &Env) -> Result<PathBuf, Failure> {
    let named = typed.value("dir").or_else(|| env.get("OPENCODE_DIR"));
    at(Path::new(named.unwrap_or(".")))
}

/// A project directory, absolute, symlinks resolved.
pub(super) fn at(path: &Path) -> Result<PathBuf, Failure> {
    let found = path.canonicalize().and_then(|path| {
        if path.is_dir() { Ok(path) } else { Err(std::io::ErrorKind::NotADirectory.into()) }
    });
    found.map_err(|error| {
        let text =
            format!("the project directory {}: {error}; name one with --dir", path.display());
        Failure::new(Exit::Usage, text)
    })
}

/// The settings of a project.
pub(super) fn configure(
    directory: &Path,
    env: &Env,
    flags: ServerFlags,
) -> Result<Config, Failure> {
    let options = config::Options { directory, env, flags, providers: &provider::built_in() };
    config::load(&options).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

/// The server's user and password, where there are any.
pub(super) fn credentials(env: &Env) -> Result<Option<Credentials>, Failure> {
    config::credentials(env).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

/// The agents and models of a project.
pub(super) fn engine(config: &Config, env: &Env, directory: PathBuf) -> Result<Engine, Failure> {
    Ok(Engine::new(config, Catalogue::new(config, env), directory)?)
}

/// What turns may take.
pub(super) fn bounds(config: &Config) -> Bounds {
    let limits = &config.server.limits;
    Bounds { turns: limits.turns, permission_time: limits.permission_time }
}

/// Where the sessions of a project are kept: one folder a project, named after it.
pub(super) fn store_folder(env: &Env, directory: &Path) -> Option<PathBuf> {
    let name = directory.file_name().map(|name| name.to_string_lossy().into_owned());
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.unwrap_or_default().chars().take(64).map(plain).collect();
    let digest = Sha256::digest(directory.as_os_str().as_encoded_bytes());
    let digest = hex(&digest[..8]);
    Some(config::data_dir(env)?.join("projects").join(format!("{name}-{digest}")))
}

/// The store of a project; in memory, after a warning, where nothing can be written.
///
/// # Errors
/// One that a later version of the program wrote, or that is damaged.
pub(super) fn store(folder: Option<&Path>, warn: impl FnOnce(&str)) -> Result<Store, Failure> {
    let why = match folder.map(Store::in_folder) {
        Some(Ok(store)) => return Ok(store),
        Some(Err(error @ (StoreError::Newer(_) | StoreError::Damaged(_)))) => {
            return Err(Failure::new(Exit::Failed, error.to_string()));
        }
        Some(Err(error)) => error.to_string(),
        None => "there is no home directory".to_owned(),
    };
    warn(&format!(
        "sessions are kept in memory, and are gone with this process ({why}); OPENCODE_DATA_DIR \
         names a place for them"
    ));
    Ok(Store::in_memory())
}
