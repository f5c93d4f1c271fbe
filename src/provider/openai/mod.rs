//! Chat Completions, as `OpenAI` defines it and many others speak it.
//!
//! <https://platform.openai.com/docs/api-reference/chat> and `…/chat-streaming`. Where another
//! service differs, [`Quirks`] says so: one table, and no look at names anywhere else.

mod calls;
mod decode;
mod request;

use std::borrow::Cow;

use super::Request;
use super::decode::{Decode, Ids};
use super::endpoint::{Endpoint, Secret};
use super::remote::Wire;

pub(crate) use decode::Decoder;

/// Where a service differs from what most do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a table of independent peculiarities")]
pub(crate) struct Quirks {
    /// The name of the bound on the output's length.
    pub(crate) output_key: &'static str,
    /// Usage must be asked for; Mistral sends it unasked and refuses the question.
    pub(crate) asks_usage: bool,
    /// `OpenRouter` reports the price when asked.
    pub(crate) asks_price: bool,
    /// Call ids must have nine letters and digits, and no user follows a tool (Mistral).
    pub(crate) is_mistral: bool,
    /// `reasoning_content` goes back with the calls it led to (`DeepSeek`).
    pub(crate) returns_reasoning: bool,
    /// `reasoning_details` go back as they came (`OpenRouter`).
    pub(crate) returns_details: bool,
    /// A call must carry the signature it came with (Gemini 3).
    pub(crate) signs_calls: bool,
    /// The model takes tools here only when it is told not to reason (`OpenAI` from GPT-5.4 on).
    pub(crate) tools_without_reasoning: bool,
}

impl Quirks {
    /// What is known of the service behind an endpoint.
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        let is = |id: &str, host: &str| endpoint.provider == id || endpoint.is_at(host);
        let openai = is("openai", "api.openai.com");
        let openrouter = is("openrouter", "openrouter.ai");
        let mistral = is("mistral", "api.mistral.ai");
        let google = is("google", "generativelanguage.googleapis.com");
        let only_unreasoned = ["gpt-5.4", "gpt-5.5", "gpt-5.6", "gpt-6"];
        Self {
            output_key: if openai { "max_completion_tokens" } else { "max_tokens" },
            asks_usage: !mistral,
            asks_price: openrouter,
            is_mistral: mistral,
            returns_reasoning: is("deepseek", "api.deepseek.com"),
            returns_details: openrouter,
            signs_calls: google,
            tools_without_reasoning: openai
                && only_unreasoned.iter().any(|start| endpoint.model.starts_with(start)),
        }
    }
}

/// The protocol, as one service speaks it.
pub(crate) struct OpenAi {
    quirks: Quirks,
}

impl OpenAi {
    /// For the service behind an endpoint.
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        Self { quirks: Quirks::of(endpoint) }
    }
}

impl Wire for OpenAi {
    fn url(&self, endpoint: &Endpoint) -> String {
        format!("{}/chat/completions", endpoint.base)
    }

    fn headers<'a>(&self, endpoint: &'a Endpoint) -> Vec<(&'static str, Cow<'a, str>)> {
        let key = endpoint.key.as_ref().map(Secret::reveal);
        key.map(|key| ("authorization", Cow::Owned(format!("Bearer {key}")))).into_iter().collect()
    }

    fn body(&self, endpoint: &Endpoint, request: &Request<'_>) -> Vec<u8> {
        request::body(endpoint, self.quirks, request).to_string().into_bytes()
    }

    fn decoder(&self, ids: Ids) -> Box<dyn Decode> {
        Box::new(Decoder::new(ids, self.quirks.returns_details))
    }
}
