//! Behaviours of the whole room, each in a directory of its own and with its own environment.

mod documented;
mod faults;
mod files;
mod references;
mod seed;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A project `app` in a repository, and a home beside it; gone when dropped.
struct Place {
    root: PathBuf,
    env: Vec<(String, String)>,
    flags: ServerFlags,
    providers: &'static [&'static str],
    directory: PathBuf,
}

impl Place {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root =
            std::env::temp_dir().join(format!("opencode-config-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(root.join("home/app/.git")).unwrap();
        let root = root.canonicalize().unwrap();
        let home = root.join("home");
        Self {
            env: vec![("HOME".into(), home.display().to_string())],
            flags: ServerFlags::default(),
            providers: &[],
            directory: home.join("app"),
            root,
        }
    }

    /// A place whose project has this `opencode.json`.
    fn with(text: &str) -> Self {
        Self::new().file("home/app/opencode.json", text)
    }

    fn file(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn global(self, text: &str) -> Self {
        self.file("home/.config/opencode/opencode.json", text)
    }

    fn env(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.env.push((name.into(), value.to_string()));
        self
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn load(&self) -> Result<Config, ConfigError> {
        let env = self.env.iter().cloned().collect();
        load(&Options {
            directory: &self.directory,
            env: &env,
            flags: self.flags.clone(),
            providers: self.providers,
        })
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    fn error(&self) -> String {
        self.load().err().map(|error| error.to_string()).expect("an error")
    }

    fn warnings(&self) -> Vec<String> {
        self.config().warnings
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Where a setting came from, as people read it.
fn origin_of(config: &Config, key: &str) -> String {
    let setting = config.settings.iter().find(|setting| setting.key() == key);
    setting.map_or_else(|| "nowhere".into(), |setting| setting.origin.to_string())
}

fn link(target: &Path, at: &Path) {
    std::os::unix::fs::symlink(target, at).unwrap();
}
