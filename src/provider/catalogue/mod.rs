//! Which models there are, and what is needed to ask one.
//!
//! Merges the configuration, the environment, the table of known services and the servers of this
//! machine. Reads plain data only; a server of this machine is asked when somebody wants to know.

mod entry;
mod info;
mod known;
mod listeners;
mod local;
mod resolve;

use std::borrow::Cow;

use self::entry::Entry;
use self::known::KNOWN;
use self::local::Local;
use super::endpoint::without_credentials;
use super::proxy::Proxies;
use super::roots::Roots;
use crate::config::{Config, Env};

pub use info::{ModelInfo, Price, ProviderInfo, Source};
pub use known::key_variables;
pub use resolve::Model;

/// The model that is always there.
pub const GUIDE: &str = "offline/guide";

/// The ids of the providers that need no word in the configuration.
#[must_use]
pub fn built_in() -> Vec<&'static str> {
    let local = Local::new(&Env::default());
    let local = local.places.iter().map(|place| place.id);
    KNOWN.iter().map(|known| known.id).chain(local).chain(["offline"]).collect()
}

/// All providers and models.
pub struct Catalogue {
    /// Those of the table first, then the configuration's others.
    entries: Vec<Entry>,
    local: Local,
    /// Providers that the configuration switched off.
    disabled: Vec<String>,
    /// The model that answers where nobody chose one, if the settings lead to any.
    default: Option<String>,
    silence: std::time::Duration,
    proxies: Proxies,
    roots: Roots,
}

impl Catalogue {
    /// Reads the configuration and the environment. Asks nobody.
    #[must_use]
    pub fn new(config: &Config, env: &Env) -> Self {
        let known = KNOWN.iter().map(|k| Entry::new(k.id, Some(k), config, env));
        let others = config.providers.keys().filter(|id| KNOWN.iter().all(|k| k.id != **id));
        let others = others.map(|id| Entry::new(id, None, config, env));
        let disabled = config.disabled_providers.clone();
        let on = known.chain(others).filter(|entry| !disabled.contains(&entry.id));
        let mut entries: Vec<Entry> = on.collect();
        let local = Local::new(env);
        for entry in &mut entries {
            // A local server by its usual name needs no address.
            if let Some(place) = local.places.iter().find(|place| place.id == entry.id)
                && entry.base.is_none()
            {
                entry.base = Some(place.base.clone());
            }
        }
        let default = config.model.clone().or_else(|| usable_model(&entries));
        Self {
            entries,
            local,
            disabled,
            default,
            silence: config.server.limits.provider_time,
            proxies: Proxies::new(env),
            roots: Roots::new(env),
        }
    }

    /// Every model that is known by name, those that cannot be asked included.
    #[must_use]
    pub fn models(&self) -> Vec<ModelInfo> {
        let mut infos = Vec::new();
        for entry in &self.entries {
            infos.extend(entry.model_ids().map(|id| entry.info(id)));
        }
        for (place, found) in self.detected() {
            let models = found.models.iter();
            infos.extend(models.map(|(id, context)| ModelInfo::unlisted(place.id, id, *context)));
        }
        infos.extend(self.has_guide().then(ModelInfo::guide));
        infos
    }

    /// Every provider: those that can be asked, and those of the table that wait for a key.
    #[must_use]
    pub fn providers(&self) -> Vec<ProviderInfo> {
        let mut infos: Vec<_> = self.entries.iter().map(Entry::provider_info).collect();
        infos.extend(self.detected().into_iter().map(|(place, found)| ProviderInfo {
            id: place.id.into(),
            name: place.name.into(),
            base_url: Some(without_credentials(&place.base)),
            configured: true,
            source: Source::Detected,
            models: found.models.len(),
            key_variable: None,
        }));
        infos.extend(self.has_guide().then(|| ProviderInfo {
            id: "offline".into(),
            name: "Offline guide".into(),
            base_url: None,
            configured: true,
            source: Source::Embedded,
            models: 1,
            key_variable: None,
        }));
        infos
    }

    /// The model that answers where nobody chose one.
    #[must_use]
    pub fn default_model(&self) -> Cow<'_, str> {
        let by_server = || {
            self.detected().into_iter().find_map(|(place, found)| {
                let (id, _) = found.models.first().filter(|_| found.trusted)?;
                Some(Cow::Owned(format!("{}/{id}", place.id)))
            })
        };
        let default = self.default.as_deref().map(Cow::Borrowed);
        default.or_else(by_server).unwrap_or(Cow::Borrowed(GUIDE))
    }

    fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// Whether the configuration switched a provider off.
    fn is_off(&self, id: &str) -> bool {
        self.disabled.iter().any(|off| off == id)
    }

    fn has_guide(&self) -> bool {
        !self.is_off("offline")
    }

    /// The servers of this machine that the configuration does not describe.
    fn detected(&self) -> Vec<(&local::Place, local::Found)> {
        let found = self.local.found();
        let place = |id: &str| self.local.places.iter().find(|place| place.id == id);
        let new =
            found.iter().filter(|found| self.entry(found.id).is_none() && !self.is_off(found.id));
        new.filter_map(|found| Some((place(found.id)?, found.clone()))).collect()
    }
}

/// A model that can be asked: of a known service with a key, else of a provider of the
/// configuration.
fn usable_model(entries: &[Entry]) -> Option<String> {
    let usable = || entries.iter().filter(|entry| entry.is_usable());
    let by_key = usable().find_map(|entry| {
        let known = entry.known.filter(|_| entry.key.is_some())?;
        let listed = entry.models.keys().next().filter(|_| entry.own_base);
        Some(format!("{}/{}", entry.id, listed.map_or(known.default, String::as_str)))
    });
    let by_config = || {
        usable()
            .filter(|entry| entry.source == Source::Config)
            .find_map(|entry| Some(format!("{}/{}", entry.id, entry.models.keys().next()?)))
    };
    by_key.or_else(by_config)
}

#[cfg(test)]
mod tests;
