//! Everything that can be set: files, environment and flags, merged into one [`Config`].
//!
//! The only module that reads the environment. The rest of the program reads plain data.

mod addresses;
mod agents;
mod credentials;
mod decode;
mod env;
mod error;
mod files;
mod keys;
mod layers;
mod logs;
mod origin;
mod permission;
mod providers;
mod references;
mod server;
mod settings;
mod substitute;
mod syntax;
mod tools;
mod tree;
mod trust;
mod twins;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};

pub use credentials::{Credentials, credentials, password_source};
pub use env::{Env, data_dir};
pub use error::{ConfigError, Issue};
pub use layers::{Options, check, distrust, load, trust, trusted};
pub use logs::{Format, Levels, Logs, ROOMS, early as early_logs};
pub use origin::{ConfigFile, Origin, Scope};
pub use server::needs_restart;
pub use settings::{MASK, Setting};
pub use tools::TOOLS;
pub use trust::TrustedFile;
pub use twins::{ServerFlags, TWINS, Twin};

/// All settings, checked.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The `server` section.
    pub server: Server,
    /// The `log` section.
    pub log: Logs,
    /// `provider/model` that answers where nothing else says.
    pub model: Option<String>,
    /// The agent that answers where nothing else says.
    pub default_agent: Option<String>,
    /// Agents defined or changed by the configuration.
    pub agents: BTreeMap<String, Agent>,
    /// Providers defined or changed by the configuration.
    pub providers: BTreeMap<String, Provider>,
    /// Providers that are not to be used, whatever keys there are.
    pub disabled_providers: Vec<String>,
    /// The `permission` section as it stands, its shape checked; null where there is none.
    pub permission: Value,
    /// The same without what project files say: what the person set.
    pub person_permission: Value,
    /// Paths or globs of further instruction files, relative to the project.
    pub instructions: Vec<String>,
    /// Whether a project file named the `instructions`.
    pub instructions_from_project: bool,
    /// Names of environment variables that `{env:}` used; no child process may see them.
    pub used_env: Vec<String>,
    /// Those of them that a project file asked for.
    pub project_env: BTreeSet<String>,
    /// What the person should know, each a sentence with file and line.
    pub warnings: Vec<String>,
    /// Every setting with where it came from, secrets masked, in a fixed order.
    pub settings: Vec<Setting>,
}

/// The `server` section.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// TCP port; 0 takes a free one.
    pub port: u16,
    /// Interface to bind.
    pub hostname: String,
    /// Whether to announce the server by mDNS.
    pub mdns: bool,
    /// The name it is announced under.
    pub mdns_domain: String,
    /// Origins whose pages may use the API, `scheme://host[:port]`, without a trailing slash.
    pub cors: Vec<String>,
    /// Path prefix that a proxy leaves in place: empty, or `/prefix` without a trailing slash.
    pub base_path: String,
    /// Further host names that are served without a password.
    pub allowed_hosts: Vec<String>,
    /// Addresses of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<std::net::IpAddr>,
    /// Bounds and deadlines.
    pub limits: Limits,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            port: 4096,
            hostname: "127.0.0.1".into(),
            mdns: false,
            mdns_domain: "opencode.local".into(),
            cors: Vec::new(),
            base_path: String::new(),
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// Bounds and deadlines of the server, `server.limits` in the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Bytes of a request head (`headBytes`).
    pub head_bytes: usize,
    /// Whole time for a request head to arrive (`headSeconds`).
    pub head_time: Duration,
    /// Bytes of a request body (`bodyBytes`).
    pub body_bytes: usize,
    /// Bytes that all request bodies take together while they are read (`bodiesBytes`).
    pub bodies_bytes: usize,
    /// Whole time for a request body to arrive (`bodySeconds`).
    pub body_time: Duration,
    /// Time a write may stand still (`writeSeconds`).
    pub write_time: Duration,
    /// Time a kept-alive connection may wait for its next request (`idleSeconds`).
    pub idle_time: Duration,
    /// Connections at once (`connections`).
    pub connections: usize,
    /// Turns at once (`turns`).
    pub turns: usize,
    /// Answers of a model in one turn (`steps`).
    pub steps: u32,
    /// Silence of a provider before a turn fails (`providerSeconds`).
    pub provider_time: Duration,
    /// Time a `bash` command may take where the model names none (`commandSeconds`).
    pub command_time: Duration,
    /// Time a tool waits for a person's answer (`permissionSeconds`).
    pub permission_time: Duration,
    /// Grace for running turns when the server stops (`stopSeconds`).
    pub stop_time: Duration,
    /// Time between the comment lines that keep a stream alive (`heartbeatSeconds`).
    pub heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            head_time: Duration::from_secs(10),
            body_bytes: 8 * 1024 * 1024,
            bodies_bytes: 64 * 1024 * 1024,
            body_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(60),
            connections: 4096,
            turns: 2048,
            steps: 100,
            provider_time: Duration::from_secs(180),
            command_time: Duration::from_secs(120),
            permission_time: Duration::from_secs(600),
            stop_time: Duration::from_secs(5),
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// An agent as the configuration defines or changes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Agent {
    /// What it is for.
    pub description: Option<String>,
    /// `provider/model` it prefers.
    pub model: Option<String>,
    /// Instructions instead of the built-in ones.
    pub prompt: Option<String>,
    /// Tools switched on or off by name.
    pub tools: BTreeMap<String, bool>,
    /// Removes a built-in agent.
    pub disable: bool,
    /// `primary`, `subagent` or `all`.
    pub mode: Option<String>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Its own permissions over the general ones, their shape checked; null where there are none.
    pub permission: Value,
    /// The same without what project files say: what the person set.
    pub person_permission: Value,
}

/// A provider as the configuration defines or changes it.
#[derive(Clone, Default, PartialEq)]
pub struct Provider {
    /// The npm package whose options and addresses these are.
    pub npm: Option<String>,
    /// The protocol, told by `npm`.
    pub protocol: Option<Protocol>,
    /// A name for people.
    pub name: Option<String>,
    /// `options.baseURL`, without a trailing slash, as that npm package reads it.
    pub base_url: Option<String>,
    /// `options.apiKey`.
    pub api_key: Option<String>,
    /// `options.headers`, sent with every request.
    pub headers: BTreeMap<String, String>,
    /// Models by the name they are asked for.
    pub models: BTreeMap<String, Model>,
    /// Whether a project file chose `base_url`; until the project is trusted, such a provider
    /// gets nothing that is the person's.
    pub base_url_from_project: bool,
    /// Whether `api_key` stands in a project file as it is, without `{env:}`.
    pub api_key_from_project: bool,
    /// The headers that stand in a project file as they are, without `{env:}`.
    pub headers_from_project: BTreeSet<String>,
    /// Whether the person's own files give options of its models.
    pub options_from_person: bool,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("npm", &self.npm)
            .field("name", &self.name)
            .field("base_url", &self.base_url.as_deref().map(settings::without_password))
            .field("api_key", &self.api_key.as_ref().map(|_| settings::MASK))
            .field("headers", &self.headers.keys())
            .field("models", &self.models)
            .finish_non_exhaustive()
    }
}

/// A wire protocol of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Anthropic Messages (`@ai-sdk/anthropic`).
    Anthropic,
    /// OpenAI Chat Completions (`@ai-sdk/openai`, `@ai-sdk/openai-compatible`; Gemini's
    /// compatible endpoint for `@ai-sdk/google`, until its own protocol is here).
    OpenAiChat,
}

/// A model as the configuration describes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model {
    /// The id the provider knows it by, where it differs (`id`).
    pub id: Option<String>,
    /// A name for people.
    pub name: Option<String>,
    /// Tokens it can read (`limit.context`).
    pub context_window: Option<u64>,
    /// Tokens it can write (`limit.output`).
    pub max_output_tokens: Option<u64>,
    /// Whether it can call tools (`tool_call`).
    pub tool_calls: Option<bool>,
    /// Whether it reasons (`reasoning`).
    pub reasoning: Option<bool>,
    /// US dollars per million tokens.
    pub cost: Option<Cost>,
    /// Members added to every request's body (`options`).
    pub options: Map<String, Value>,
}

/// Prices in US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Tokens read.
    pub input: f64,
    /// Tokens written.
    pub output: f64,
    /// Tokens read from the cache.
    pub cache_read: f64,
    /// Tokens written to the cache.
    pub cache_write: f64,
}
