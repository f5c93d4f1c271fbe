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
}

/// One server setting by its three names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Twin {
    /// The key in the `server` section.
    pub key: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// The flag.
    pub flag: &'static str,
}

/// All settings that have a flag and a variable.
pub const TWINS: &[Twin] = &[
    Twin { key: "port", variable: "OPENCODE_PORT", flag: "--port" },
    Twin { key: "hostname", variable: "OPENCODE_HOSTNAME", flag: "--hostname" },
    Twin { key: "mdns", variable: "OPENCODE_MDNS", flag: "--mdns" },
    Twin { key: "mdnsDomain", variable: "OPENCODE_MDNS_DOMAIN", flag: "--mdns-domain" },
    Twin { key: "cors", variable: "OPENCODE_CORS", flag: "--cors" },
    Twin { key: "basePath", variable: "OPENCODE_BASE_PATH", flag: "--base-path" },
];

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
        given.push((twin.key, Origin::Environment(name), typed(twin.key, text)));
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
            _ => flags.base_path.as_deref().map(Value::from),
        };
        let origin = Origin::Flag(twin.flag);
        Some((twin.key, origin.clone(), Node::from_json(&value?, &origin).value))
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

fn tree(given: Vec<(&'static str, Origin, Tree)>, origin: Origin) -> Node {
    let mut root = Node::empty(origin.clone());
    if given.is_empty() {
        return root;
    }
    let entries = given.into_iter().map(|(key, origin, value)| Entry {
        key: key.to_owned(),
        origin: origin.clone(),
        node: Node { origin, value },
    });
    let server = Node { origin: origin.clone(), value: Tree::Object(entries.collect()) };
    root.value = Tree::Object(vec![Entry { key: "server".to_owned(), origin, node: server }]);
    root
}
