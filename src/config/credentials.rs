//! The server's user and password. They are in no configuration file, so that none that is shared
//! or committed can hold them.

use std::fmt;
use std::path::Path;

use super::env::Env;
use super::error::ConfigError;
use super::files::{read_bounded, utf8};

/// The variable that holds the password.
pub(super) const PASSWORD: &str = "OPENCODE_SERVER_PASSWORD";
const PASSWORD_FILE: &str = "OPENCODE_SERVER_PASSWORD_FILE";
/// Where systemd puts credentials.
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
const USERNAME: &str = "OPENCODE_SERVER_USERNAME";
/// The name of systemd's credential: `LoadCredential=opencode-password:/path`.
const CREDENTIAL: &str = "opencode-password";
/// Passwords that stand in the documentation, which everybody has read.
const EXAMPLES: [&str; 2] = ["change-me", "my-secret-key"];

/// Who may use the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user of HTTP Basic; no colon in it.
    pub user: String,
    /// The password; never empty.
    pub password: String,
}

impl Credentials {
    /// What the person should know about them.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        EXAMPLES.contains(&self.password.as_str()).then(|| {
            format!(
                "the server's password is the one of the documentation's examples, which anybody can guess; set {PASSWORD} to one of your own"
            )
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The credentials that the environment tells: `OPENCODE_SERVER_PASSWORD`, else the file that
/// `OPENCODE_SERVER_PASSWORD_FILE` names, else systemd's credential `opencode-password`. An empty
/// password is none.
pub fn credentials(env: &Env) -> Result<Option<Credentials>, ConfigError> {
    for name in [PASSWORD, PASSWORD_FILE, USERNAME] {
        if env.is_garbled(name) {
            return Err(ConfigError::one(
                name,
                "expected UTF-8; correct this environment variable",
            ));
        }
    }
    let user = env.get(USERNAME).unwrap_or("opencode");
    if user.contains(':') || user.contains(char::is_control) {
        return Err(ConfigError::one(
            USERNAME,
            "expected a name without a colon, which HTTP Basic puts between user and password",
        ));
    }
    let password = if let Some(password) = env.get(PASSWORD) {
        password.to_owned()
    } else if let Some(path) = env.get(PASSWORD_FILE) {
        of_file(PASSWORD_FILE, Path::new(path))?
    } else {
        let path = env.get(DIRECTORY).map(|dir| Path::new(dir).join(CREDENTIAL));
        match path.filter(|path| path.symlink_metadata().is_ok()) {
            Some(path) => of_file(DIRECTORY, &path)?,
            None => return Ok(None),
        }
    };
    if password.is_empty() {
        return Ok(None);
    }
    Ok(Some(Credentials { user: user.to_owned(), password }))
}

/// What the password comes from, where there is one.
#[must_use]
pub fn password_source(env: &Env) -> &'static str {
    [PASSWORD, PASSWORD_FILE].into_iter().find(|name| env.get(name).is_some()).unwrap_or(DIRECTORY)
}

/// A password in a file, less the newline that editors and `echo` put after it.
fn of_file(variable: &str, path: &Path) -> Result<String, ConfigError> {
    let wrong = |why: String| {
        let shown = path.display();
        ConfigError::one(variable, format!("{shown}: {why}; the password is to be read from it"))
    };
    let text = read_bounded(path, true).and_then(utf8).map_err(wrong)?;
    let line = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n'));
    Ok(line.unwrap_or(&text).to_owned())
}
