//! The providers that need no configuration but a key, and some of their models.
//!
//! The models' table is short on purpose: any other id of these providers is passed through
//! unchanged, and prices are not in it because they change. Figures are those of the providers'
//! own model pages, November 2026.

use crate::config::Protocol;

/// A service in the cloud.
pub(super) struct Known {
    /// Its id in `provider/model`.
    pub(super) id: &'static str,
    /// Its name for people.
    pub(super) name: &'static str,
    /// The variable that holds its key.
    pub(super) key: &'static str,
    /// The variables that hold another address, first one wins.
    pub(super) address: &'static [&'static str],
    /// Its own address, version included.
    pub(super) base: &'static str,
    /// What a bare host, as its SDK's variable has it, lacks of that address.
    pub(super) version: &'static str,
    /// The protocol it speaks.
    pub(super) protocol: Protocol,
    /// The model that answers where only the key is set.
    pub(super) default: &'static str,
    /// Some of its models.
    pub(super) models: &'static [KnownModel],
}

/// A model of such a service.
pub(super) struct KnownModel {
    /// The id people write.
    pub(super) id: &'static str,
    /// The id on the wire, where it differs.
    pub(super) wire: Option<&'static str>,
    /// Its name for people.
    pub(super) name: &'static str,
    /// Tokens it can read.
    pub(super) context: u64,
    /// Tokens it can write, where the service says so.
    pub(super) output: Option<u64>,
    /// Whether it reasons.
    pub(super) reasoning: bool,
}

const fn model(
    id: &'static str,
    name: &'static str,
    context: u64,
    output: u64,
    reasoning: bool,
) -> KnownModel {
    let output = if output == 0 { None } else { Some(output) };
    KnownModel { id, wire: None, name, context, output, reasoning }
}

const fn short(
    id: &'static str,
    wire: &'static str,
    name: &'static str,
    context: u64,
    output: u64,
) -> KnownModel {
    KnownModel { wire: Some(wire), ..model(id, name, context, output, true) }
}

/// In the order in which their keys choose the default.
pub(super) const KNOWN: [Known; 8] = [
    Known {
        id: "anthropic",
        name: "Anthropic",
        key: "ANTHROPIC_API_KEY",
        address: &["ANTHROPIC_BASE_URL"],
        base: "https://api.anthropic.com/v1",
        version: "/v1",
        protocol: Protocol::Anthropic,
        default: "claude-sonnet-5-5",
        models: &[
            model("claude-sonnet-5-5", "Claude Sonnet 5.5", 1_000_000, 128_000, true),
            model("claude-opus-5-5", "Claude Opus 5.5", 1_000_000, 128_000, true),
            model("claude-sonnet-5", "Claude Sonnet 5", 1_000_000, 128_000, true),
            model("claude-opus-4-8", "Claude Opus 4.8", 1_000_000, 128_000, true),
            model("claude-sonnet-4-6", "Claude Sonnet 4.6", 1_000_000, 64_000, true),
            short(
                "claude-opus-4-5",
                "claude-opus-4-5-20251101",
                "Claude Opus 4.5",
                200_000,
                64_000,
            ),
            short(
                "claude-haiku-4-5",
                "claude-haiku-4-5-20251001",
                "Claude Haiku 4.5",
                200_000,
                64_000,
            ),
            short(
                "claude-sonnet-4-5",
                "claude-sonnet-4-5-20250929",
                "Claude Sonnet 4.5",
                200_000,
                64_000,
            ),
            short(
                "claude-opus-4-1",
                "claude-opus-4-1-20250805",
                "Claude Opus 4.1",
                200_000,
                32_000,
            ),
            short(
                "claude-sonnet-4",
                "claude-sonnet-4-20250514",
                "Claude Sonnet 4",
                200_000,
                64_000,
            ),
            short("claude-opus-4", "claude-opus-4-20250514", "Claude Opus 4", 200_000, 32_000),
        ],
    },
    Known {
        id: "openai",
        name: "OpenAI",
        key: "OPENAI_API_KEY",
        address: &["OPENAI_BASE_URL"],
        base: "https://api.openai.com/v1",
        version: "",
        protocol: Protocol::OpenAiChat,
        default: "gpt-6-sol",
        models: &[
            model("gpt-6-sol", "GPT-6 Sol", 1_050_000, 128_000, true),
            model("gpt-6-luna", "GPT-6 Luna", 1_050_000, 128_000, true),
            model("gpt-5", "GPT-5", 400_000, 128_000, true),
            model("gpt-4.1", "GPT-4.1", 1_047_576, 32_768, false),
            model("gpt-4o", "GPT-4o", 128_000, 16_384, false),
        ],
    },
    Known {
        id: "google",
        name: "Google Gemini",
        key: "GEMINI_API_KEY",
        address: &["GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"],
        base: "https://generativelanguage.googleapis.com/v1beta/openai",
        version: "/v1beta/openai",
        protocol: Protocol::OpenAiChat,
        default: "gemini-3.8-flash",
        models: &[
            model("gemini-3.8-flash", "Gemini 3.8 Flash", 1_048_576, 65_536, true),
            model("gemini-3.5-flash-lite", "Gemini 3.5 Flash-Lite", 1_048_576, 65_536, true),
            model("gemini-2.5-pro", "Gemini 2.5 Pro", 1_048_576, 65_536, true),
            model("gemini-2.5-flash", "Gemini 2.5 Flash", 1_048_576, 65_536, true),
        ],
    },
    Known {
        id: "openrouter",
        name: "OpenRouter",
        key: "OPENROUTER_API_KEY",
        address: &["OPENROUTER_BASE_URL"],
        base: "https://openrouter.ai/api/v1",
        version: "",
        protocol: Protocol::OpenAiChat,
        default: "anthropic/claude-sonnet-5.5",
        models: &[
            model("anthropic/claude-sonnet-5.5", "Claude Sonnet 5.5", 1_000_000, 128_000, true),
            model("openai/gpt-6-luna", "GPT-6 Luna", 1_050_000, 128_000, true),
            model("deepseek/deepseek-v4-flash", "DeepSeek V4 Flash", 1_048_576, 0, true),
        ],
    },
    Known {
        id: "groq",
        name: "Groq",
        key: "GROQ_API_KEY",
        address: &["GROQ_BASE_URL"],
        base: "https://api.groq.com/openai/v1",
        version: "",
        protocol: Protocol::OpenAiChat,
        default: "openai/gpt-oss-120b",
        models: &[
            model("openai/gpt-oss-120b", "GPT-OSS 120B", 131_072, 65_536, true),
            model("openai/gpt-oss-20b", "GPT-OSS 20B", 131_072, 65_536, true),
        ],
    },
    Known {
        id: "deepseek",
        name: "DeepSeek",
        key: "DEEPSEEK_API_KEY",
        address: &["DEEPSEEK_BASE_URL"],
        base: "https://api.deepseek.com/v1",
        version: "",
        protocol: Protocol::OpenAiChat,
        default: "deepseek-flash",
        models: &[
            model("deepseek-flash", "DeepSeek Flash", 1_000_000, 384_000, true),
            model("deepseek-v4-pro", "DeepSeek V4 Pro", 1_000_000, 384_000, true),
        ],
    },
    Known {
        id: "xai",
        name: "xAI",
        key: "XAI_API_KEY",
        address: &["XAI_BASE_URL"],
        base: "https://api.x.ai/v1",
        version: "",
        protocol: Protocol::OpenAiChat,
        default: "grok-4.7",
        models: &[
            model("grok-4.7", "Grok 4.7", 500_000, 0, true),
            model("grok-4.3", "Grok 4.3", 1_000_000, 131_072, true),
        ],
    },
    Known {
        id: "mistral",
        name: "Mistral",
        key: "MISTRAL_API_KEY",
        address: &["MISTRAL_BASE_URL"],
        base: "https://api.mistral.ai/v1",
        version: "",
        protocol: Protocol::OpenAiChat,
        default: "mistral-large-latest",
        models: &[
            model("mistral-large-latest", "Mistral Large", 256_000, 0, false),
            model("codestral-latest", "Codestral", 256_000, 0, false),
        ],
    },
];

/// The variables that hold keys, for whoever must keep them from child processes.
pub fn key_variables() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.key)
}

impl Known {
    /// A model of the table.
    pub(super) fn model(&self, id: &str) -> Option<&'static KnownModel> {
        self.models.iter().find(|model| model.id == id)
    }

    /// The address that a variable of the environment gives, read as the service's SDK does.
    pub(super) fn base_of_environment(&self, value: &str) -> String {
        let value = value.trim_end_matches('/');
        // Who wrote the version although the SDK wants the bare host is understood too.
        let has = |part: &str| !part.is_empty() && value.ends_with(part);
        if has(self.version) {
            return value.to_owned();
        }
        match self.version.strip_suffix("/openai").filter(|version| has(version)) {
            Some(_) => format!("{value}/openai"),
            None => format!("{value}{}", self.version),
        }
    }

    /// The address that the configuration gives, read as the service's npm package does.
    pub(super) fn base_of_config(&self, value: &str) -> String {
        let value = value.trim_end_matches('/');
        if self.id == "google" && !value.ends_with("/openai") {
            return format!("{value}/openai");
        }
        value.to_owned()
    }
}
