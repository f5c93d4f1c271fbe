//! The settings that the environment and the command line can give, and both as trees.

use serde_json::{Number, Value, json};

use super::decode::boolean;
use super::env::Env;
use super::error::Report;
use super::origin::Origin;
use super::tree::{Entry, Node, Text, Tree};

/// What `opencode serve` and `opencode web` were told on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerFlags {
    /// `--port`
    pub port: Option<u16>,
    /// `--hostname`
    pub hostname: Option<String>,
    /// `--mdns`
    pub mdns: Option<bool>,
    /// `--mdns-domain`
    pub mdns_domain: Option<String>,
    /// `--cors`, each time it was given; none leaves the configuration's.
    pub cors: Vec<String>,
    /// `--base-path`
    pub base_path: Option<String>,
    /// `--log-level`
    pub log_level: Option<String>,
    /// `--log-format`
    pub log_format: Option<String>,
}

/// One setting by its three names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Twin {
    /// The section.
    pub section: &'static str,
    /// The key in it.
    pub key: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// The flag.
    pub flag: &'static str,
}

/// All settings that have a flag and a variable.
pub const TWINS: &[Twin] = &[
    twin("server", "port", "OPENCODE_PORT", "--port"),
    twin("server", "hostname", "OPENCODE_HOSTNAME", "--hostname"),
    twin("server", "mdns", "OPENCODE_MDNS", "--mdns"),
    twin("server", "mdnsDomain", "OPENCODE_MDNS_DOMAIN", "--mdns-domain"),
    twin("server", "cors", "OPENCODE_CORS", "--cors"),
    twin("server", "basePath", "OPENCODE_BASE_PATH", "--base-path"),
    twin("log", "level", "OPENCODE_LOG_LEVEL", "--log-level"),
    twin("log", "format", "OPENCODE_LOG_FORMAT", "--log-format"),
];

const fn twin(
    section: &'static str,
    key: &'static str,
    variable: &'static str,
    flag: &'static str,
) -> Twin {
    Twin { section, key, variable, flag }
}

/// What the environment says, as a tree of its own.
pub(super) fn of_environment(env: &Env, report: &mut Report) -> Node {
    let mut given = Vec::new();
    for twin in TWINS {
        let name = twin.variable;
        if env.is_garbled(name) {
            report.error(name, "expected UTF-8; correct or unset this environment variable");
            continue;
        }
        let Some(text) = env.get(name) else { continue };
        // Kubernetes sets such variables for a service that is called `opencode`.
        if text.starts_with("tcp://") || text.starts_with("udp://") {
            report.warn(
                name,
                format_args!("{text} is ignored: it looks like what Kubernetes sets for a service"),
            );
            continue;
        }
        given.push((twin, Origin::Environment(name), typed(twin.key, text)));
    }
    tree(given, Origin::Environment("environment"))
}

/// What the command line says, as a tree of its own.
pub(super) fn of_flags(flags: &ServerFlags) -> Node {
    let cors = (!flags.cors.is_empty()).then(|| json!(flags.cors));
    let given = TWINS.iter().filter_map(|twin| {
        let value = match twin.key {
            "port" => flags.port.map(Value::from),
            "hostname" => flags.hostname.as_deref().map(Value::from),
            "mdns" => flags.mdns.map(Value::from),
            "mdnsDomain" => flags.mdns_domain.as_deref().map(Value::from),
            "cors" => cors.clone(),
            "basePath" => flags.base_path.as_deref().map(Value::from),
            "level" => flags.log_level.as_deref().map(Value::from),
            _ => flags.log_format.as_deref().map(Value::from),
        };
        let origin = Origin::Flag(twin.flag);
        Some((twin, origin.clone(), Node::from_json(&value?, &origin).value))
    });
    tree(given.collect(), Origin::Flag("flags"))
}

/// A variable's text as the type its key has; one that cannot be stays a text, and the reader of
/// the key says what it expected.
fn typed(key: &str, text: &str) -> Tree {
    let text = text.trim();
    let plain = || Tree::Text(Text::plain(text));
    match key {
        "port" => text.parse::<Number>().map_or_else(|_| plain(), Tree::Number),
        "mdns" => boolean(text).map_or_else(plain, Tree::Bool),
        "cors" => {
            let origin = Origin::Environment("OPENCODE_CORS");
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let node = |item| Node { origin: origin.clone(), value: Tree::Text(Text::plain(item)) };
            Tree::List(items.map(node).collect())
        }
        _ => plain(),
    }
}

fn tree(given: Vec<(&Twin, Origin, Tree)>, origin: Origin) -> Node {
    let mut sections: Vec<Entry> = Vec::new();
    for (twin, own, value) in given {
        let entry = Entry {
            key: twin.key.to_owned(),
            origin: own.clone(),
            node: Node { origin: own, value },
        };
        let section = sections.iter_mut().find(|section| section.key == twin.section);
        if let Some(Tree::Object(entries)) = section.map(|section| &mut section.node.value) {
            entries.push(entry);
        } else {
            let node = Node { origin: origin.clone(), value: Tree::Object(vec![entry]) };
            let key = twin.section.to_owned();
            sections.push(Entry { key, origin: origin.clone(), node });
        }
    }
    Node { origin, value: Tree::Object(sections) }
}
