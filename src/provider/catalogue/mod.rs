//! Which models there are, and what is needed to ask one.
//!
//! Merges the configuration, the environment, the table of known services and the servers of this
//! machine. Reads plain data only; a server of this machine is asked when somebody wants to know.

mod known;
mod listeners;
mod local;
mod resolve;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use self::known::{KNOWN, Known};
use self::local::Local;
use super::endpoint::{Secret, is_loopback, without_credentials};
use super::proxy::Proxies;
use super::retry::Policy;
use super::roots::Roots;
use crate::config::{self, Config, Env, Protocol};

pub use known::key_variables;
pub use resolve::Model;

/// The model that is always there.
pub const GUIDE: &str = "offline/guide";

/// What `GET /api/models` shows of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// `provider/model`.
    pub id: String,
    /// The provider's id.
    pub provider: String,
    /// A name for people.
    pub name: String,
    /// Tokens it can read, where that is known.
    pub context_window: Option<u64>,
    /// Tokens it can write, where that is known.
    pub max_output_tokens: Option<u64>,
    /// Whether it can call tools.
    pub tool_calls: bool,
    /// Whether it reasons.
    pub reasoning: bool,
    /// Prices, where the configuration gives them.
    pub cost: Option<Price>,
    /// Whether it can be asked: its provider has a key, or needs none.
    pub available: bool,
}

/// US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// Tokens read.
    pub input: f64,
    /// Tokens written.
    pub output: f64,
    /// Tokens read from the cache.
    pub cache_read: f64,
    /// Tokens written to the cache.
    pub cache_write: f64,
}

impl From<config::Cost> for Price {
    fn from(cost: config::Cost) -> Self {
        let config::Cost { input, output, cache_read, cache_write } = cost;
        Self { input, output, cache_read, cache_write }
    }
}

/// Where a provider is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The configuration.
    Config,
    /// The environment, or the table of those that it can switch on.
    Environment,
    /// A server of this machine that answers.
    Detected,
    /// Part of this program.
    Embedded,
}

/// What `GET /api/providers` shows of a provider. Never a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderInfo {
    /// Its id in `provider/model`.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// Where it is asked.
    pub base_url: Option<String>,
    /// Whether it can be asked.
    pub configured: bool,
    /// Where it is known from.
    pub source: Source,
    /// How many models are listed.
    pub models: usize,
    /// The variable that holds its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_variable: Option<&'static str>,
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
    policy: Policy,
    proxies: Proxies,
    roots: Roots,
}

/// A provider as everything together describes it.
struct Entry {
    id: String,
    name: String,
    protocol: Protocol,
    base: Option<String>,
    key: Option<Secret>,
    /// As in "Check the key in `ANTHROPIC_API_KEY`."
    key_origin: String,
    headers: Vec<(String, Secret)>,
    models: BTreeMap<String, config::Model>,
    known: Option<&'static Known>,
    source: Source,
    /// The configuration gives the address.
    own_base: bool,
    /// What this provider would get and may not have, for its address is the project's choice.
    withheld: Option<String>,
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
            policy: Policy::default(),
            proxies: Proxies::new(env),
            roots: Roots::new(env),
        }
    }

    /// The same catalogue with another patience.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Every model that is known by name, those that cannot be asked included.
    #[must_use]
    pub fn models(&self) -> Vec<ModelInfo> {
        let mut infos = Vec::new();
        for entry in &self.entries {
            infos.extend(entry.model_ids().map(|id| entry.info(id)));
        }
        for (place, found) in self.detected() {
            infos.extend(found.models.iter().map(|(id, context)| ModelInfo {
                id: format!("{}/{id}", place.id),
                provider: place.id.into(),
                name: id.clone(),
                context_window: *context,
                max_output_tokens: None,
                tool_calls: true,
                reasoning: false,
                cost: None,
                available: true,
            }));
        }
        infos.extend(self.has_guide().then(guide));
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

    fn has_guide(&self) -> bool {
        self.disabled.iter().all(|id| id != "offline")
    }

    /// The servers of this machine that the configuration does not describe.
    fn detected(&self) -> Vec<(&local::Place, local::Found)> {
        let found = self.local.found();
        let place = |id: &str| self.local.places.iter().find(|place| place.id == id);
        let new = found.iter().filter(|found| {
            self.entry(found.id).is_none() && self.disabled.iter().all(|id| *id != found.id)
        });
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

/// The embedded model.
fn guide() -> ModelInfo {
    ModelInfo {
        id: GUIDE.into(),
        provider: "offline".into(),
        name: "Offline guide (not a language model)".into(),
        context_window: None,
        max_output_tokens: None,
        tool_calls: true,
        reasoning: false,
        cost: None,
        available: true,
    }
}

impl Entry {
    fn new(id: &str, known: Option<&'static Known>, config: &Config, env: &Env) -> Self {
        let given = config.providers.get(id);
        let protocol = given.and_then(|given| given.protocol);
        let protocol = protocol.or(known.map(|k| k.protocol)).unwrap_or(Protocol::OpenAiChat);
        let own_base = given.and_then(|given| given.base_url.as_deref());
        // Google's package and Anthropic's have addresses of their own when none is given.
        let base = match (own_base, known) {
            (Some(base), Some(known)) => Some(known.base_of_config(base)),
            (Some(base), None) if base.ends_with("/v1beta") => Some(format!("{base}/openai")),
            (Some(base), None) => Some(base.trim_end_matches('/').to_owned()),
            (None, Some(known)) => {
                let set = known.address.iter().find_map(|name| env.get(name));
                Some(
                    set.map_or_else(|| known.base.to_owned(), |set| known.base_of_environment(set)),
                )
            }
            (None, None) if protocol == Protocol::Anthropic => Some(KNOWN[0].base.to_owned()),
            (None, None) => None,
        };
        let filled = |key: &&str| !key.trim().is_empty();
        let own_key = given.and_then(|given| given.api_key.as_deref()).filter(filled);
        let env_key = known.and_then(|known| env.get(known.key)).filter(filled);
        let foreign = given.filter(|given| {
            given.base_url_from_project && own_base.is_some_and(|base| !is_loopback(base))
        });
        let withheld = foreign.and_then(|given| withheld(id, given, known, env_key, config));
        let key = own_key.or(env_key.filter(|_| foreign.is_none()));
        let key = key.filter(|_| withheld.is_none()).map(Secret::new);
        let key_origin = match (own_key, known) {
            (None, Some(known)) => format!("the key in {}", known.key),
            _ => format!("`provider.{id}.options.apiKey` in the configuration"),
        };
        let headers = given.filter(|_| withheld.is_none());
        let headers = headers.into_iter().flat_map(|given| &given.headers);
        Self {
            id: id.to_owned(),
            name: given
                .and_then(|given| given.name.clone())
                .unwrap_or_else(|| known.map_or(id, |known| known.name).to_owned()),
            protocol,
            base,
            key,
            key_origin,
            headers: headers.map(|(name, value)| (name.clone(), Secret::new(value))).collect(),
            models: given.map(|given| given.models.clone()).unwrap_or_default(),
            known,
            source: if given.is_some() { Source::Config } else { Source::Environment },
            own_base: own_base.is_some(),
            withheld,
        }
    }

    /// Whether it can be asked: it has an address, and a key where it needs one.
    fn is_usable(&self) -> bool {
        self.base.is_some() && self.withheld.is_none() && (self.key.is_some() || !self.needs_key())
    }

    /// A known service wants a key, unless the configuration leads elsewhere: to this machine, or
    /// with credentials among its headers.
    fn needs_key(&self) -> bool {
        let here = self.own_base && self.base.as_deref().is_some_and(is_loopback);
        let credentials = ["authorization", "x-api-key"];
        let sent = |name: &str| credentials.iter().any(|c| name.eq_ignore_ascii_case(c));
        self.known.is_some() && !here && !self.headers.iter().any(|(name, _)| sent(name))
    }

    /// Whether only the models that the configuration lists are there.
    fn is_closed(&self) -> bool {
        !self.models.is_empty() && (self.known.is_none() || self.own_base)
    }

    fn model_ids(&self) -> impl Iterator<Item = &str> {
        let known = self.known.filter(|_| !self.is_closed()).map_or(&[][..], |known| known.models);
        let more = known.iter().map(|model| model.id).filter(|id| !self.models.contains_key(*id));
        self.models.keys().map(String::as_str).chain(more)
    }

    fn info(&self, id: &str) -> ModelInfo {
        let given = self.models.get(id);
        let known = self.known.and_then(|known| known.model(id));
        ModelInfo {
            id: format!("{}/{id}", self.id),
            provider: self.id.clone(),
            name: given
                .and_then(|given| given.name.clone())
                .unwrap_or_else(|| known.map_or(id, |known| known.name).to_owned()),
            context_window: given.and_then(|g| g.context_window).or(known.map(|k| k.context)),
            max_output_tokens: given
                .and_then(|g| g.max_output_tokens)
                .or(known.and_then(|k| k.output)),
            tool_calls: given.and_then(|given| given.tool_calls).unwrap_or(true),
            reasoning: given
                .and_then(|given| given.reasoning)
                .unwrap_or(known.is_some_and(|known| known.reasoning)),
            cost: given.and_then(|given| given.cost).map(Price::from),
            available: self.is_usable(),
        }
    }

    fn provider_info(&self) -> ProviderInfo {
        ProviderInfo {
            id: self.id.clone(),
            name: self.name.clone(),
            base_url: self.base.as_deref().map(without_credentials),
            configured: self.is_usable(),
            source: self.source,
            models: self.model_ids().count(),
            key_variable: self.known.map(|known| known.key),
        }
    }
}

/// What an address that a project chose would get of the person's: nothing may go there but what
/// stands in the project's own file as it is.
fn withheld(
    id: &str,
    given: &config::Provider,
    known: Option<&Known>,
    env_key: Option<&str>,
    config: &Config,
) -> Option<String> {
    if !config.project_env.is_empty() {
        // Wherever the file has them: a prompt goes to the address as well as a key.
        let names: Vec<_> = config.project_env.iter().map(String::as_str).collect();
        return Some(format!("what {{env:}} takes from the environment ({})", names.join(", ")));
    }
    if given.api_key.is_some() && !given.api_key_from_project {
        return Some(format!("`provider.{id}.options.apiKey` of your own configuration"));
    }
    if let Some(name) = given.headers.keys().find(|n| !given.headers_from_project.contains(*n)) {
        return Some(format!("the header {name} of your own configuration"));
    }
    if given.options_from_person {
        return Some("the options of its models in your own configuration".to_owned());
    }
    let name = known?.key;
    let lacks_one = given.api_key.is_none() && given.headers.is_empty();
    (lacks_one || (given.api_key.is_none() && env_key.is_some()))
        .then(|| format!("the key in {name}"))
}

#[cfg(test)]
mod tests;
