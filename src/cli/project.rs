//! From a directory to what runs in it: configuration, models, agents, sessions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::agent::Engine;
use crate::cli::exit::{Exit, Failure};
use crate::cli::flags::Typed;
use crate::config::{self, Config, Env, ServerFlags};
use crate::provider::Catalogue;
use crate::session::Sessions;

/// The project directory that flags and environment name, absolute, symlinks resolved.
pub(super) fn directory(typed: &Typed, env: &Env) -> Result<PathBuf, Failure> {
    let named = typed.value("dir").or_else(|| env.get("OPENCODE_DIR"));
    let path = Path::new(named.unwrap_or("."));
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
    let options = config::Options { directory, env, flags };
    config::load(&options).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

/// What runs in a project.
pub(super) fn sessions(
    config: &Config,
    env: &Env,
    directory: PathBuf,
) -> Result<Arc<Sessions>, Failure> {
    let engine = Engine::new(config, Catalogue::new(config, env), directory)?;
    Ok(Arc::new(Sessions::new(Arc::new(engine), config.server.limits.turns)))
}
