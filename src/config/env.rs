//! The process environment, and the places on the disk that it tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// The process environment, read once at the start; tests make their own.
#[derive(Clone, Default)]
pub struct Env {
    texts: BTreeMap<String, String>,
    not_utf8: BTreeSet<String>,
}

impl Env {
    /// The environment of this process. A value that is not UTF-8 counts as absent, and
    /// [`Env::is_garbled`] tells of it.
    #[must_use]
    pub fn of_process() -> Self {
        let mut env = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => {
                    env.texts.insert(name, value);
                }
                Err(_) => {
                    env.not_utf8.insert(name);
                }
            }
        }
        env
    }

    /// A variable's value; an empty one counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether the variable is set to bytes that are not UTF-8.
    #[must_use]
    pub fn is_garbled(&self, name: &str) -> bool {
        self.not_utf8.contains(name)
    }

    /// A variable that holds an absolute path; the XDG specification has others ignored.
    fn absolute(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(pairs: T) -> Self {
        Self {
            texts: pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            not_utf8: BTreeSet::new(),
        }
    }
}

/// Names only: values may be passwords and keys.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.texts.keys()).finish()
    }
}

/// The folder of the program's own data: `OPENCODE_DATA_DIR`, else systemd's `$STATE_DIRECTORY`,
/// else a folder of our own under the XDG data directory. None where there is no home either.
#[must_use]
pub fn data_dir(env: &Env) -> Option<PathBuf> {
    if let Some(named) = env.get("OPENCODE_DATA_DIR") {
        return Some(PathBuf::from(named));
    }
    // systemd separates several by colons; the first is ours.
    let state = env.get("STATE_DIRECTORY").and_then(|all| all.split(':').next());
    if let Some(state) = state.filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(state));
    }
    let data = env.absolute("XDG_DATA_HOME").or_else(|| Some(home(env)?.join(".local/share")))?;
    Some(data.join("opencode-server"))
}

/// The folder of the person's own configuration files.
pub(super) fn config_dir(env: &Env) -> Option<PathBuf> {
    let config = env.absolute("XDG_CONFIG_HOME").or_else(|| Some(home(env)?.join(".config")))?;
    Some(config.join("opencode"))
}

/// The home directory: `HOME`, else what the password file has for this user.
pub(super) fn home(env: &Env) -> Option<PathBuf> {
    env.absolute("HOME").or_else(|| {
        let passwd = std::fs::read(Path::new("/etc/passwd")).ok()?;
        home_of(&String::from_utf8_lossy(&passwd), rustix::process::getuid().as_raw())
    })
}

/// The home of a user in the text of a password file.
fn home_of(passwd: &str, uid: u32) -> Option<PathBuf> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        (fields.next()?.parse::<u32>().ok()? == uid).then_some(())?;
        let home = PathBuf::from(fields.nth(2)?);
        home.is_absolute().then_some(home)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_file_tells_the_home() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n# note\n\nme:x:1000:1000:Me,,,:/home/me:/bin/sh\nno:x:7:7::\n";
        assert_eq!(home_of(passwd, 1000), Some("/home/me".into()));
        assert_eq!(home_of(passwd, 0), Some("/root".into()));
        assert_eq!(home_of(passwd, 7), None);
        assert_eq!(home_of(passwd, 12), None);
    }

    #[test]
    fn data_lives_in_a_folder_of_our_own() {
        let dir = |pairs: &[(&str, &str)]| data_dir(&pairs.iter().copied().collect());
        let all = [
            ("OPENCODE_DATA_DIR", "/d"),
            ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"),
            ("XDG_DATA_HOME", "/x"),
            ("HOME", "/h"),
        ];
        assert_eq!(dir(&all), Some("/d".into()));
        assert_eq!(dir(&all[1..]), Some("/var/lib/a".into()));
        assert_eq!(dir(&all[2..]), Some("/x/opencode-server".into()));
        assert_eq!(dir(&all[3..]), Some("/h/.local/share/opencode-server".into()));
        let relative = [("XDG_DATA_HOME", "x"), ("HOME", "/h")];
        assert_eq!(dir(&relative), Some("/h/.local/share/opencode-server".into()));
    }

    #[test]
    fn debug_shows_no_value() {
        let env: Env = [("OPENCODE_SERVER_PASSWORD", "hush")].into_iter().collect();
        assert_eq!(format!("{env:?}"), r#"{"OPENCODE_SERVER_PASSWORD"}"#);
    }
}
