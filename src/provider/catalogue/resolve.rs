//! From a name to a model that can be asked, or to what the person has to do first.

use std::sync::Arc;

use serde_json::Map;

use super::entry::Entry;
use super::{Catalogue, GUIDE, ModelInfo};
use crate::cancel::Cancel;
use crate::config;
use crate::error::{Code, Problem};
use crate::provider::Provider;
use crate::provider::endpoint::{Endpoint, without_credentials};
use crate::provider::offline::Guide;
use crate::provider::remote::Remote;
use crate::provider::retry::Policy;
use crate::text::distance;

/// A model that can be asked.
#[derive(Debug, Clone)]
pub struct Model {
    /// What there is to know of it.
    pub info: ModelInfo,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Guide,
    Remote(Arc<Endpoint>),
}

impl Model {
    /// `provider/model`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.info.id
    }

    /// A connection for one turn, which the turn's cancel ends.
    // What it takes of the stack is free again while the answer is awaited.
    #[inline(never)]
    pub fn connect(&self, cancel: &Cancel) -> Result<Box<dyn Provider>, Problem> {
        Ok(match &self.kind {
            Kind::Guide => Box::new(Guide::new(cancel)),
            Kind::Remote(endpoint) => Box::new(Remote::new(Arc::clone(endpoint), cancel)?),
        })
    }
}

impl Catalogue {
    /// Finds the model that a name means.
    ///
    /// # Errors
    /// [`Code::UnknownModel`] for a name that means none, [`Code::ProviderNotConfigured`] where
    /// its provider lacks a key or an address. Both say what to do.
    pub fn resolve(&self, name: &str) -> Result<Model, Problem> {
        let name = name.trim();
        let Some((provider, model)) =
            name.split_once('/').filter(|(p, m)| !p.is_empty() && !m.is_empty())
        else {
            return Err(self.unknown(
                name,
                &format!("`{name}` is not a model's full name, which is `provider/model`."),
            ));
        };
        if self.is_off(provider) {
            let why = format!(
                "The provider `{provider}` is switched off: take it out of `disabled_providers` \
                 in the configuration, or choose another model."
            );
            return Err(Problem::new(Code::UnknownModel, why));
        }
        if name == GUIDE {
            return Ok(Model { info: ModelInfo::guide(), kind: Kind::Guide });
        }
        if provider == "offline" {
            let why = format!("There is no model `{name}`. The embedded one is `{GUIDE}`.");
            return Err(Problem::new(Code::UnknownModel, why));
        }
        if let Some(entry) = self.entry(provider) {
            return self.of_entry(entry, name, model);
        }
        if let Some(place) = self.local.places.iter().find(|place| place.id == provider) {
            let endpoint = Endpoint {
                name: place.name.into(),
                base: place.base.clone(),
                ..self.endpoint(provider, name, model)
            };
            let found = self.local.found();
            let found = found.iter().filter(|found| found.id == provider);
            let context =
                found.flat_map(|found| &found.models).find(|(id, _)| id == model).and_then(|m| m.1);
            let info = ModelInfo::unlisted(provider, model, context);
            return Ok(Model { info, kind: Kind::Remote(Arc::new(endpoint)) });
        }
        Err(self.unknown(name, &format!("There is no provider `{provider}`.")))
    }

    fn of_entry(&self, entry: &Entry, name: &str, model: &str) -> Result<Model, Problem> {
        let given = entry.models.get(model);
        if given.is_none() && entry.is_closed() {
            let listed: Vec<_> =
                entry.models.keys().map(|m| format!("`{}/{m}`", entry.id)).collect();
            return Err(Problem::new(
                Code::UnknownModel,
                format!("The configuration lists no model `{name}`. It has {}.", listed.join(", ")),
            ));
        }
        let id = &entry.id;
        let Some(base) = entry.base.clone() else {
            return Err(Problem::new(
                Code::ProviderNotConfigured,
                format!(
                    "The provider `{id}` has no address: set `provider.{id}.options.baseURL` in \
                     the configuration."
                ),
            ));
        };
        if let Some(what) = &entry.withheld {
            return Err(Problem::new(
                Code::ProviderNotConfigured,
                format!(
                    "This project's own file sends `{id}` to {}, and an address that a project \
                     chose gets nothing of yours: not {what}. If you trust the project, run \
                     `opencode trust` in it and start again; else move the provider to your \
                     global configuration.",
                    without_credentials(&base)
                ),
            ));
        }
        if !entry.is_usable() {
            let variable = entry.known.map_or("", |known| known.key);
            return Err(Problem::new(
                Code::ProviderNotConfigured,
                format!(
                    "{} has no key: set {variable} in the environment, or \
                     `provider.{id}.options.apiKey` in the configuration.",
                    entry.name
                ),
            )
            .with("variable", variable));
        }
        let known = entry.known.and_then(|known| known.model(model));
        let wire = given.and_then(|given| given.id.clone());
        let wire = wire.or_else(|| known.and_then(|known| known.wire).map(str::to_owned));
        let endpoint = Endpoint {
            name: entry.name.clone(),
            model: wire.unwrap_or_else(|| model.to_owned()),
            protocol: entry.protocol,
            base,
            key: entry.key.clone(),
            key_origin: entry.key_origin.clone(),
            headers: entry.headers.clone(),
            options: given.map(|given| given.options.clone()).unwrap_or_default(),
            output_limit: given.and_then(|given| given.max_output_tokens),
            output_known: known.and_then(|known| known.output),
            cost: given.and_then(|given| given.cost),
            ..self.endpoint(id, name, model)
        };
        Ok(Model { info: entry.info(model), kind: Kind::Remote(Arc::new(endpoint)) })
    }

    /// An endpoint with nothing special about it.
    fn endpoint(&self, provider: &str, full_id: &str, model: &str) -> Endpoint {
        Endpoint {
            provider: provider.to_owned(),
            name: provider.to_owned(),
            full_id: full_id.to_owned(),
            model: model.to_owned(),
            protocol: config::Protocol::OpenAiChat,
            base: String::new(),
            key: None,
            key_origin: format!("`provider.{provider}.options.apiKey` in the configuration"),
            headers: Vec::new(),
            options: Map::new(),
            output_limit: None,
            output_known: None,
            cost: None,
            silence: self.silence,
            policy: Policy::default(),
            proxies: self.proxies.clone(),
            roots: self.roots.clone(),
        }
    }

    /// Says that there is no such model, and which are like it.
    fn unknown(&self, name: &str, why: &str) -> Problem {
        let wanted = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        let mut near: Vec<(usize, String)> = Vec::new();
        for entry in &self.entries {
            for id in entry.model_ids() {
                let full = format!("{}/{id}", entry.id);
                let last = id.rsplit('/').next().unwrap_or(id).to_ascii_lowercase();
                let by_name = distance(&wanted, &last);
                let whole = distance(&name.to_ascii_lowercase(), &full.to_ascii_lowercase());
                near.push((by_name.min(whole), full));
            }
        }
        near.sort();
        let near = near.iter().take_while(|(far, _)| *far <= 3).take(3);
        let near: Vec<_> = near.map(|(_, id)| format!("`{id}`")).collect();
        let advice = if near.is_empty() {
            let ids: Vec<_> = self.entries.iter().map(|entry| entry.id.as_str()).collect();
            format!(
                "`opencode models` lists the models; the providers are {}, and offline.",
                ids.join(", ")
            )
        } else {
            format!("Did you mean {}?", near.join(" or "))
        };
        Problem::new(Code::UnknownModel, format!("{why} {advice}"))
    }
}
