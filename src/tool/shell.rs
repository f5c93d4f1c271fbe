//! The shell a command runs in, and what it may know of the server's environment.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::os;

/// A shell that runs one command line in a directory, without input and without secrets.
pub(super) fn shell(line: &str, directory: &Path, hidden: &[String]) -> Command {
    let bash = Path::new("/bin/bash");
    let mut command = Command::new(if bash.exists() { bash } else { Path::new("/bin/sh") });
    command.arg("-c").arg(line).current_dir(directory).stdin(Stdio::null());
    hide_secrets(&mut command, hidden);
    // Nothing may wait for a key or a password that nobody can type.
    command
        .env("PWD", directory)
        .env("PAGER", "cat")
        .env("GIT_PAGER", "cat")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("TERM", "dumb")
        .env("NO_COLOR", "1");
    command
}

/// Takes out of a command's environment what no child process may see, and the names in `hidden`.
pub fn hide_secrets(command: &mut Command, hidden: &[String]) {
    for (name, _) in std::env::vars_os() {
        if is_secret(&name.to_string_lossy(), hidden) {
            command.env_remove(name);
        }
    }
}

/// Hides from child processes what they could read of this one's environment in `/proc`. To be
/// called before there are any.
pub fn protect_environment(hidden: &[String]) {
    os::protect_environment(|name| is_secret(name, hidden));
}

/// Whether a child process must not see a name of the environment.
fn is_secret(name: &str, hidden: &[String]) -> bool {
    const ENDS: [&str; 3] = ["_API_KEY", "_AUTH_TOKEN", "_API_TOKEN"];
    // What a service manager hands to the server alone.
    const NAMES: [&str; 4] = ["CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"];
    let upper = name.to_ascii_uppercase();
    upper.starts_with("OPENCODE_")
        || ENDS.iter().any(|end| upper.ends_with(end))
        || NAMES.contains(&&*upper)
        || hidden.iter().any(|one| one == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        let hidden = ["MY_SECRET".to_owned()];
        for name in [
            "OPENCODE_SERVER_PASSWORD",
            "ANTHROPIC_API_KEY",
            "OPENAI_API_KEY",
            "GEMINI_API_KEY",
            "GOOGLE_API_KEY",
            "OPENROUTER_API_KEY",
            "GROQ_API_KEY",
            "DEEPSEEK_API_KEY",
            "XAI_API_KEY",
            "MISTRAL_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "MY_SECRET",
            "CREDENTIALS_DIRECTORY",
        ] {
            assert!(is_secret(name, &hidden), "{name}");
        }
        for name in ["PATH", "HOME", "LANG", "GH_TOKEN", "API_KEYBOARD"] {
            assert!(!is_secret(name, &hidden), "{name}");
        }
    }

    #[test]
    fn hidden_names_are_removed_from_what_the_server_has() {
        // Names that every test run has stand for secrets that would have to be set first.
        let command = shell("true", Path::new("/"), &["PATH".to_owned()]);
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).collect();
        assert!(removed.iter().any(|(name, _)| *name == "PATH"), "{removed:?}");
    }
}
