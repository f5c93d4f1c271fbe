//! Opening a browser for a person, where there is one and a display.
//!
//! It is no part of the server: it outlives it, has none of its secrets, and that it cannot be
//! opened is no failure. The address was printed.

use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::config::Env;
use crate::tool;

/// Where `BROWSER` has the address to stand.
const PLACE: &str = "%s";
/// Leaves the program behind as nobody's child, so that it neither ends with this one nor has to
/// be waited for. The first one that there is gets to open the address.
const LEAVE: &str = r#"command -v -- "$1" >/dev/null || exit 127; "$@" &"#;

/// Opens an address in a browser. `hidden` are names of the environment that no program may see
/// beside the usual ones.
pub(super) fn open(url: &str, env: &Env, hidden: &[String]) {
    if !is_watched(env) {
        return;
    }
    for words in programs(env, url) {
        match start(&words, hidden) {
            Ok(true) => return,
            Ok(false) => log::debug!("{} is not there to open a browser", words[0]),
            Err(error) => log::debug!("a browser cannot be opened: {error}"),
        }
    }
    log::info!("no browser was found; open {url} in one");
}

/// Whether a person sees this, and has a display.
fn is_watched(env: &Env) -> bool {
    let has_display = env.get("DISPLAY").is_some() || env.get("WAYLAND_DISPLAY").is_some();
    has_display && io::stdout().is_terminal() && io::stderr().is_terminal()
}

/// The commands to try: those of `BROWSER`, separated by colons, then the desktop's own.
fn programs(env: &Env, url: &str) -> Vec<Vec<String>> {
    let named = env.get("BROWSER").unwrap_or_default();
    named
        .split(':')
        .chain(["xdg-open"])
        .map(|command| {
            let mut words: Vec<_> =
                command.split_whitespace().map(|word| word.replace(PLACE, url)).collect();
            if !words.is_empty() && !command.contains(PLACE) {
                words.push(url.to_owned());
            }
            words
        })
        .filter(|words| !words.is_empty())
        .collect()
}

/// Starts a command on its own; tells whether there is such a program.
fn start(words: &[String], hidden: &[String]) -> io::Result<bool> {
    let mut leave = Command::new("/bin/sh");
    leave
        .args(["-c", LEAVE, "sh"])
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in the terminal is for the server.
        .process_group(0);
    tool::hide_secrets(&mut leave, hidden);
    Ok(leave.status()?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_persons_own_browsers_come_first() {
        let env = |browser: &str| Env::from_iter([("BROWSER", browser)]);
        let told = |browser| {
            let programs = programs(&env(browser), "http://x/");
            programs.into_iter().map(|words| words.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(told(""), ["xdg-open http://x/"]);
        assert_eq!(
            told("firefox -P me:lynx %s -x"),
            ["firefox -P me http://x/", "lynx http://x/ -x", "xdg-open http://x/"]
        );
        assert_eq!(told(" : "), ["xdg-open http://x/"]);
    }
}
