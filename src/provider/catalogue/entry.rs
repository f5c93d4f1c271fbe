//! One provider, as the configuration, the environment and the table of known services describe it
//! together, and what it may have of the person's where a project chose its address.

use std::collections::BTreeMap;

use super::info::{ModelInfo, Price, ProviderInfo, Source};
use super::known::{KNOWN, Known};
use crate::config::{self, Config, Env, Protocol};
use crate::provider::endpoint::{Secret, is_loopback, without_credentials};

/// A provider as everything together describes it.
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) protocol: Protocol,
    pub(super) base: Option<String>,
    pub(super) key: Option<Secret>,
    /// As in "Check the key in `ANTHROPIC_API_KEY`."
    pub(super) key_origin: String,
    pub(super) headers: Vec<(String, Secret)>,
    pub(super) models: BTreeMap<String, config::Model>,
    pub(super) known: Option<&'static Known>,
    pub(super) source: Source,
    /// The configuration gives the address.
    pub(super) own_base: bool,
    /// What this provider would get and may not have, for its address is the project's choice.
    pub(super) withheld: Option<String>,
}

impl Entry {
    pub(super) fn new(id: &str, known: Option<&'static Known>, config: &Config, env: &Env) -> Self {
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
    pub(super) fn is_usable(&self) -> bool {
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
    pub(super) fn is_closed(&self) -> bool {
        !self.models.is_empty() && (self.known.is_none() || self.own_base)
    }

    pub(super) fn model_ids(&self) -> impl Iterator<Item = &str> {
        let known = self.known.filter(|_| !self.is_closed()).map_or(&[][..], |known| known.models);
        let more = known.iter().map(|model| model.id).filter(|id| !self.models.contains_key(*id));
        self.models.keys().map(String::as_str).chain(more)
    }

    pub(super) fn info(&self, id: &str) -> ModelInfo {
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

    pub(super) fn provider_info(&self) -> ProviderInfo {
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
