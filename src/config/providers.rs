//! The `provider` section.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::decode::{At, Section, Wrong};
use super::error::Report;
use super::tree::Tree;
use super::{Cost, Model, Protocol, Provider};

/// The npm packages that stand for a protocol; users of `opencode` have them in their files.
const PACKAGES: &[(&str, Protocol)] = &[
    ("@ai-sdk/anthropic", Protocol::Anthropic),
    ("@ai-sdk/openai", Protocol::OpenAiChat),
    ("@ai-sdk/openai-compatible", Protocol::OpenAiChat),
    ("@ai-sdk/google", Protocol::OpenAiChat),
    ("@openrouter/ai-sdk-provider", Protocol::OpenAiChat),
    ("@ai-sdk/groq", Protocol::OpenAiChat),
    ("@ai-sdk/xai", Protocol::OpenAiChat),
    ("@ai-sdk/mistral", Protocol::OpenAiChat),
    ("@ai-sdk/deepseek", Protocol::OpenAiChat),
];

pub(super) const KEYS: &[&str] = &["npm", "name", "options", "models"];
const UNUSED: &[&str] = &["api", "blacklist", "env", "id", "whitelist"];
pub(super) const OPTIONS: &[&str] = &["baseURL", "apiKey", "headers"];
const OPTIONS_UNUSED: &[&str] = &[
    "chunkTimeout",
    "compatibility",
    "enterpriseUrl",
    "headerTimeout",
    "includeUsage",
    "name",
    "organization",
    "project",
    "setCacheKey",
    "timeout",
];
pub(super) const MODEL: &[&str] =
    &["id", "name", "limit", "tool_call", "reasoning", "cost", "options"];
const MODEL_UNUSED: &[&str] = &[
    "attachment",
    "experimental",
    "family",
    "headers",
    "interleaved",
    "knowledge",
    "last_updated",
    "modalities",
    "open_weights",
    "provider",
    "release_date",
    "status",
    "structured_output",
    "temperature",
    "variants",
];
pub(super) const LIMIT: &[&str] = &["context", "output"];
pub(super) const COST: &[&str] = &["input", "output", "cache_read", "cache_write"];

/// All providers of the section.
pub(super) fn decode(section: &Section<'_>, report: &mut Report) -> BTreeMap<String, Provider> {
    let mut providers = BTreeMap::new();
    for (id, at) in section.members() {
        if id.is_empty() || id.contains('/') {
            report.error_at(
                &at,
                "expected a provider's name without a slash; models are named provider/model",
            );
        } else if let Some(section) = at.section(report) {
            providers.insert(id.to_owned(), provider(&section, report));
        }
    }
    providers
}

fn provider(section: &Section<'_>, report: &mut Report) -> Provider {
    section.check_keys(KEYS, UNUSED, report);
    let mut provider = Provider::default();
    if let Some((npm, protocol)) = section.get("npm").and_then(|at| package(&at, report)) {
        provider.npm = Some(npm);
        provider.protocol = Some(protocol);
    }
    provider.name = section.get("name").and_then(|at| at.any_text(report));
    if let Some(section) = section.get("options").and_then(|at| at.section(report)) {
        options(&section, &mut provider, report);
    }
    if let Some(section) = section.get("models").and_then(|at| at.section(report)) {
        for (name, at) in section.members() {
            if let Some(section) = at.section(report) {
                provider.models.insert(name.to_owned(), model(&section, report));
            }
        }
    }
    provider
}

fn package(at: &At<'_>, report: &mut Report) -> Option<(String, Protocol)> {
    let names: Vec<&str> = PACKAGES.iter().map(|&(name, _)| name).collect();
    let expected = format!("a package whose protocol is known, one of {}", names.join(", "));
    at.text(&expected, report, |text| {
        let known = PACKAGES.iter().find(|&&(name, _)| name == text);
        known.map(|&(name, protocol)| (name.to_owned(), protocol)).ok_or(Wrong::Unlike)
    })
}

fn options(section: &Section<'_>, provider: &mut Provider, report: &mut Report) {
    section.check_keys(OPTIONS, OPTIONS_UNUSED, report);
    if let Some(at) = section.get("baseURL") {
        provider.base_url = base_url(&at, report);
        provider.base_url_from_project = provider.base_url.is_some() && at.node.origin.is_foreign();
    }
    if let Some(at) = section.get("apiKey").map(At::secret) {
        provider.api_key = secret(&at, report).filter(|key| !key.is_empty());
        provider.api_key_from_project = provider.api_key.is_some() && stands_in_project(&at);
    }
    if let Some(section) = section.get("headers").and_then(|at| at.secret().section(report)) {
        let mut from_project = BTreeSet::new();
        for (name, at) in section.members() {
            if !is_header_name(name) {
                report.error_at(
                    &at,
                    "expected a header's name: letters, digits and hyphens, without a colon",
                );
            } else if let Some(value) = secret(&at, report) {
                if stands_in_project(&at) {
                    from_project.insert(name.to_owned());
                }
                provider.headers.insert(name.to_owned(), value);
            }
        }
        provider.headers_from_project = from_project;
    }
}

/// Whether the project's file holds the value itself, and did not take it from the environment.
fn stands_in_project(at: &At<'_>) -> bool {
    at.node.origin.is_foreign() && matches!(&at.node.value, Tree::Text(text) if !text.from_env)
}

fn base_url(at: &At<'_>, report: &mut Report) -> Option<String> {
    let expected =
        "an address that begins with http:// or https://, such as \"https://api.openai.com/v1\"";
    let url = at.text(expected, report, |text| {
        let text = text.trim();
        if text.is_empty() {
            return Ok(String::new());
        }
        let scheme = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        let rest = match scheme {
            scheme if scheme.starts_with("https://") => &text[8..],
            scheme if scheme.starts_with("http://") => &text[7..],
            _ => return Err(Wrong::Unlike),
        };
        if rest.is_empty() || rest.starts_with(['/', ':', '?', '#']) {
            return Err(Wrong::Unlike);
        }
        if rest.contains(['?', '#']) || rest.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err("expected an address without spaces, ? and #".into());
        }
        Ok(text.trim_end_matches('/').to_owned())
    });
    url.filter(|url| !url.is_empty())
}

/// A text that goes into a header and may not be shown.
fn secret(at: &At<'_>, report: &mut Report) -> Option<String> {
    at.text("a text in double quotes", report, |text| {
        let text = text.trim();
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err("expected a text on one line; it goes into a request's header".into());
        }
        Ok(text.to_owned())
    })
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn model(section: &Section<'_>, report: &mut Report) -> Model {
    section.check_keys(MODEL, MODEL_UNUSED, report);
    let text = |key, report: &mut Report| section.get(key).and_then(|at| at.any_text(report));
    let mut model = Model {
        id: text("id", report),
        name: text("name", report),
        tool_calls: section.get("tool_call").and_then(|at| at.boolean(report)),
        reasoning: section.get("reasoning").and_then(|at| at.boolean(report)),
        ..Model::default()
    };
    if let Some(limit) = section.get("limit").and_then(|at| at.section(report)) {
        limit.check_keys(LIMIT, &["input"], report);
        model.context_window = limit.get("context").and_then(|at| tokens(&at, report));
        model.max_output_tokens = limit.get("output").and_then(|at| tokens(&at, report));
    }
    if let Some(cost) = section.get("cost").and_then(|at| at.section(report)) {
        cost.check_keys(COST, &["context_over_200k", "tiers"], report);
        let mut price = |key| cost.get(key).and_then(|at| price(&at, report)).unwrap_or(0.0);
        model.cost = Some(Cost {
            input: price("input"),
            output: price("output"),
            cache_read: price("cache_read"),
            cache_write: price("cache_write"),
        });
    }
    if let Some(at) = section.get("options") {
        model.options = members(&at, report);
    }
    model
}

fn members(at: &At<'_>, report: &mut Report) -> Map<String, Value> {
    if at.clone().section(report).is_none() {
        return Map::new();
    }
    match at.json(report) {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn tokens(at: &At<'_>, report: &mut Report) -> Option<u64> {
    let read = |number: f64| {
        // The bound keeps the conversion exact.
        #[allow(clippy::cast_sign_loss)]
        (number.fract() == 0.0 && (1.0..=1e15).contains(&number)).then_some(number as u64)
    };
    at.number("a whole number of tokens, 1 or more", report, read)
}

fn price(at: &At<'_>, report: &mut Report) -> Option<f64> {
    let read = |number: f64| (number.is_finite() && number >= 0.0).then_some(number);
    at.number("US dollars per million tokens, 0 or more", report, read)
}
