//! What the API shows of models and providers.

use serde::Serialize;

use super::GUIDE;
use crate::config;

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

impl ModelInfo {
    /// The embedded model.
    pub(super) fn guide() -> Self {
        let name = "Offline guide (not a language model)".into();
        Self { id: GUIDE.into(), name, ..Self::unlisted("offline", "guide", None) }
    }

    /// A model that nothing is known of but its name, and perhaps how much it can read.
    pub(super) fn unlisted(provider: &str, model: &str, context_window: Option<u64>) -> Self {
        Self {
            id: format!("{provider}/{model}"),
            provider: provider.into(),
            name: model.into(),
            context_window,
            max_output_tokens: None,
            tool_calls: true,
            reasoning: false,
            cost: None,
            available: true,
        }
    }
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
