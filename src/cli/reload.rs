//! SIGHUP: the configuration is read again, and what can change in a running server changes.
//!
//! All of it or nothing: what is wrong with it is told, and the server goes on as it was. Each
//! setting that differs has its line in the log. Who has begun, a turn or a request, ends with what
//! it began with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use log::Level;

use crate::api::Live;
use crate::cli::exit::Failure;
use crate::cli::notify::{State, notify};
use crate::cli::{log as stderr, project};
use crate::config::{Config, Credentials, Env, ServerFlags, Setting, needs_restart};
use crate::session::{Sessions, Setup};

/// A server that runs, and what it was told.
pub(super) struct Reloads<'a> {
    pub(super) env: &'a Env,
    pub(super) directory: PathBuf,
    pub(super) flags: ServerFlags,
    /// What holds now; where a restart is needed, what held at the start.
    pub(super) config: Config,
    pub(super) credentials: Option<Credentials>,
    /// The address it listens on, and whether it serves other machines without a password.
    pub(super) open: Open,
    pub(super) sessions: Arc<Sessions>,
    pub(super) api: Arc<Live>,
}

/// How far a server without a password is open.
#[derive(Clone, Copy)]
pub(super) struct Open {
    pub(super) address: IpAddr,
    pub(super) insecure: bool,
}

impl Reloads<'_> {
    /// Reads everything again.
    pub(super) fn reload(&mut self) {
        notify(self.env, State::Reloading);
        log::info!("SIGHUP: the configuration is read again");
        if let Err(failure) = self.take_over() {
            for line in failure.to_string().lines() {
                log::error!("{line}");
            }
            log::error!("nothing has changed: the server goes on with the configuration it has");
        }
        notify(self.env, State::Ready);
    }

    fn take_over(&mut self) -> Result<(), Failure> {
        let mut new = project::configure(&self.directory, self.env, self.flags.clone())?;
        let credentials = project::credentials(self.env)?;
        new.server = self.config.server.reloaded(&new.server);
        // Who once knew a secret's name could still know it.
        let names: BTreeSet<_> =
            new.used_env.drain(..).chain(self.config.used_env.clone()).collect();
        new.used_env = names.into_iter().collect();
        let engine = project::engine(&new, self.env, self.directory.clone())?;
        let engine = engine.in_place_of(&self.sessions.setup().engine);

        let changes = changes(&self.config, &new);
        let news = told(&new, credentials.is_some());
        let known: BTreeSet<_> =
            told(&self.config, self.credentials.is_some()).into_iter().collect();
        // From here on nothing fails.
        self.sessions.set_up(Setup { engine: Arc::new(engine), bounds: project::bounds(&new) });
        let api = self.api.newest().changed(new.server.clone(), credentials.clone());
        self.api.replace(api);

        // Said at the more talkative of the two levels.
        if new.log.levels.most() > self.config.log.levels.most() {
            stderr::set(&new.log);
        }
        for (level, text) in news.iter().filter(|told| !known.contains(*told)) {
            log::log!(*level, "{text}");
        }
        let mut count = changes.len();
        for change in changes {
            match change {
                Change::Made(text) => log::info!("{text}"),
                Change::NeedsRestart(text) => log::warn!("{text}"),
            }
        }
        count += usize::from(self.tell_of_credentials(credentials.as_ref(), new.server.mdns));
        let number = match count {
            0 => "no setting differs".to_owned(),
            1 => "1 setting differs".to_owned(),
            _ => format!("{count} settings differ"),
        };
        log::info!("reloaded: {number}; the log's level is {}", new.log.levels);
        stderr::set(&new.log);

        new.settings = running(&self.config.settings, new.settings);
        (self.config, self.credentials) = (new, credentials);
        Ok(())
    }

    /// Tells whether user or password are others.
    fn tell_of_credentials(&self, new: Option<&Credentials>, mdns: bool) -> bool {
        if self.credentials.as_ref() == new {
            return false;
        }
        match (&self.credentials, new) {
            (Some(_), Some(_)) => {
                log::info!("user or password are others: who had signed in has to do so again");
            }
            (None, _) => log::info!("a password is set: every request needs it from now on"),
            (Some(_), None) => log::warn!("no password is set any more"),
        }
        for warning in self.open.warnings(new) {
            log::warn!("{warning}");
        }
        if mdns && self.credentials.is_some() != new.is_some() {
            log::warn!("what mDNS tells of the password stays as it was until a restart");
        }
        true
    }
}

impl Open {
    /// What is to be said of a password, or of none.
    pub(super) fn warnings(self, credentials: Option<&Credentials>) -> Vec<String> {
        let Some(credentials) = credentials else {
            let text = if self.insecure {
                "NO PASSWORD IS SET and --insecure is: everybody on the network can run commands \
                 as this user"
            } else {
                "NO PASSWORD IS SET: clients on other machines get 403 until \
                 OPENCODE_SERVER_PASSWORD is set"
            };
            return if self.address.is_loopback() { Vec::new() } else { vec![text.to_owned()] };
        };
        credentials.warning().into_iter().collect()
    }
}

/// What is to be said of a configuration, whenever it is read.
pub(super) fn told(config: &Config, has_password: bool) -> Vec<(Level, String)> {
    let warning = |text| (Level::Warn, text);
    let mut told: Vec<_> = config.warnings.iter().cloned().map(warning).collect();
    told.extend(config.notices().into_iter().map(|text| (Level::Info, text)));
    if !has_password {
        told.extend(config.foreign_origins().into_iter().map(warning));
    }
    told
}

/// The settings that hold: those of the start where a restart is needed.
fn running(old: &[Setting], mut new: Vec<Setting>) -> Vec<Setting> {
    new.retain(|setting| !needs_restart(&setting.path));
    new.extend(old.iter().filter(|setting| needs_restart(&setting.path)).cloned());
    new
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Made(String),
    NeedsRestart(String),
}

/// What differs, a sentence each.
fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let by_key = |config: &Config| -> BTreeMap<String, Setting> {
        config.settings.iter().map(|setting| (setting.key(), setting.clone())).collect()
    };
    let (before, after) = (by_key(old), by_key(new));
    let mut changes = Vec::new();
    let mut told = BTreeSet::new();
    for (key, setting) in &after {
        let was = before.get(key);
        if was.is_some_and(|was| was.value == setting.value) {
            continue;
        }
        told.extend(setting.path.iter().take(2).next_back().cloned());
        let was = was.map_or_else(|| "not set".to_owned(), |was| was.value.to_string());
        changes.push(if needs_restart(&setting.path) {
            Change::NeedsRestart(format!("{setting} needs a restart; until then it is {was}"))
        } else {
            Change::Made(format!("{setting}, was {was}"))
        });
    }
    // What needs a restart has a default, and is never gone.
    for (key, was) in &before {
        if !after.contains_key(key) {
            told.extend(was.path.iter().take(2).next_back().cloned());
            changes.push(Change::Made(format!("{key} is not set any more, was {}", was.value)));
        }
    }
    // Secrets are not shown, and what {file:} brings in is none of the file's own words.
    let mut unseen = |section: &str, name: &String, differs: bool| {
        if differs && !told.contains(name) {
            let text = format!("{section}.{name} has another secret, or another text of a file");
            changes.push(Change::Made(text));
        }
    };
    for (name, provider) in &new.providers {
        unseen("provider", name, old.providers.get(name).is_some_and(|was| was != provider));
    }
    for (name, agent) in &new.agents {
        unseen("agent", name, old.agents.get(name).is_some_and(|was| was != agent));
    }
    changes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{self, Origin};

    fn of(settings: &[(&[&str], serde_json::Value)]) -> Config {
        let setting = |(path, value): &(&[&str], serde_json::Value)| Setting {
            path: path.iter().map(ToString::to_string).collect(),
            value: value.clone(),
            origin: Origin::Environment("X"),
        };
        Config { settings: settings.iter().map(setting).collect(), ..Config::default() }
    }

    #[test]
    fn each_difference_is_told_and_nothing_else() {
        let old = of(&[
            (&["server", "port"], json!(1)),
            (&["server", "cors"], json!([])),
            (&["model"], json!("a/b")),
            (&["agent", "x", "mode"], json!("all")),
        ]);
        let new = of(&[
            (&["server", "port"], json!(2)),
            (&["server", "cors"], json!(["http://a"])),
            (&["server", "limits", "connections"], json!(5)),
            (&["agent", "x", "mode"], json!("all")),
        ]);
        assert_eq!(
            changes(&old, &new),
            [
                Change::Made("server.cors = [\"http://a\"] (X), was []".to_owned()),
                Change::NeedsRestart(
                    "server.limits.connections = 5 (X) needs a restart; until then it is not set"
                        .to_owned()
                ),
                Change::NeedsRestart(
                    "server.port = 2 (X) needs a restart; until then it is 1".to_owned()
                ),
                Change::Made("model is not set any more, was \"a/b\"".to_owned()),
            ]
        );
        // What waits for a restart is told each time, the rest once.
        let now = Config { settings: running(&old.settings, new.settings.clone()), ..of(&[]) };
        assert!(changes(&now, &new).iter().all(|c| matches!(c, Change::NeedsRestart(_))));
    }

    #[test]
    fn another_secret_is_told_without_a_word_of_it() {
        let with = |key: &str| {
            let provider = config::Provider { api_key: Some(key.to_owned()), ..Default::default() };
            Config { providers: [("mine".to_owned(), provider)].into(), ..of(&[]) }
        };
        let told = changes(&with("sk-1"), &with("sk-2"));
        assert!(matches!(&told[..], [Change::Made(text)] if text.starts_with("provider.mine has")));
        assert!(!format!("{told:?}").contains("sk-"));
        assert_eq!(changes(&with("sk-1"), &with("sk-1")), []);
    }
}
