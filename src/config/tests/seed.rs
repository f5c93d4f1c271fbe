//! What users have in their files works, and the layers lie in the right order.

use std::time::Duration;

use serde_json::json;

use super::*;

#[test]
fn nothing_at_all_gives_the_defaults() {
    let config = Place::new().config();
    assert_eq!(config.server, Server::default());
    assert!(config.warnings.is_empty() && config.notices().is_empty());
    assert_eq!(origin_of(&config, "server.port"), "default");
}

#[test]
fn the_documented_server_section_works() {
    let config = Place::with(
        r#"{
"server": {
"port": 4096,
"hostname": "0.0.0.0",
"mdns": true,
"mdnsDomain": "myproject.local",
"cors": ["http://localhost:5173"]
}
}"#,
    )
    .config();
    assert_eq!(config.server.hostname, "0.0.0.0");
    assert!(config.server.mdns);
    assert_eq!(config.server.mdns_domain, "myproject.local");
    assert_eq!(config.server.cors, ["http://localhost:5173"]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(
        config.notices(),
        [
            "opencode.json:4: the project sets server.hostname to \"0.0.0.0\"",
            "opencode.json:5: the project sets server.mdns to true",
            "opencode.json:6: the project sets server.mdnsDomain to \"myproject.local\"",
            "opencode.json:7: the project sets server.cors to [\"http://localhost:5173\"]",
        ]
    );
    assert!(config.foreign_origins().is_empty());
}

#[test]
fn the_documented_origins_work_and_the_foreign_one_is_told() {
    let config = Place::with(
        r#"{ "server": { "cors": ["http://localhost:5173", "https://my-app.example.com"] } }"#,
    )
    .config();
    assert_eq!(config.server.cors, ["http://localhost:5173", "https://my-app.example.com"]);
    let foreign = config.foreign_origins();
    assert_eq!(foreign.len(), 1);
    assert!(foreign[0].starts_with("opencode.json:1: pages of https://my-app.example.com may"));
}

#[test]
fn everything_that_can_be_set() {
    let config = Place::with(
        r#"{
            // A comment, and trailing commas.
            "$schema": "https://opencode.ai/config.json",
            "model": "anthropic/claude-sonnet-4",
            "default_agent": "plan",
            "agent": { "plan": {
                "description": "Thinks", "mode": "primary", "model": "a/b", "prompt": "Think.",
                "tools": { "bash": false }, "temperature": 0.5, "permission": { "edit": "deny" },
            } },
            "permission": { "bash": { "git *": "allow", "*": "ask" }, "edit": "allow" },
            "instructions": ["docs/rules.md", "docs/../a.md"],
            "disabled_providers": ["openai"],
            "server": {
                "port": 0, "basePath": "code/", "allowedHosts": ["Build.Example.com"],
                "trustedProxies": ["10.0.0.2", "::1"],
                "limits": { "headSeconds": 0.25, "bodyBytes": 1024, "steps": 7 },
            },
            "provider": { "mine": {
                "npm": "@ai-sdk/openai-compatible", "name": "Mine",
                "options": {
                    "baseURL": "https://llm.example.com/v1/", "apiKey": "k",
                    "headers": { "X-Team": "blue" },
                },
                "models": { "big/one": {
                    "id": "one", "name": "One", "limit": { "context": 128000, "output": 8000 },
                    "tool_call": true, "reasoning": false,
                    "cost": { "input": 3, "output": 15, "cache_read": 0.3 },
                    "options": { "top_k": 3 },
                } },
            } },
        }"#,
    )
    .file("home/app/docs/rules.md", "x")
    .file("home/app/a.md", "x")
    .config();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.model.as_deref(), Some("anthropic/claude-sonnet-4"));
    assert_eq!(config.default_agent.as_deref(), Some("plan"));
    let plan = &config.agents["plan"];
    assert_eq!((plan.mode.as_deref(), plan.temperature), (Some("primary"), Some(0.5)));
    assert_eq!(plan.tools.get("bash"), Some(&false));
    assert_eq!(plan.permission, json!({ "edit": "deny" }));
    assert_eq!(plan.person_permission, Value::Null);
    assert_eq!(config.permission["bash"]["*"], "ask");
    assert_eq!(config.instructions, ["docs/rules.md", "docs/../a.md"]);
    assert_eq!(config.disabled_providers, ["openai"]);
    assert_eq!((config.server.port, config.server.base_path.as_str()), (0, "/code"));
    assert_eq!(config.server.allowed_hosts, ["build.example.com"]);
    assert_eq!(config.server.trusted_proxies.len(), 2);
    let limits = &config.server.limits;
    assert_eq!((limits.head_time, limits.body_bytes), (Duration::from_millis(250), 1024));
    assert_eq!((limits.steps, limits.turns), (7, 2048));
    let mine = &config.providers["mine"];
    assert_eq!(mine.protocol, Some(Protocol::OpenAiChat));
    assert_eq!(mine.base_url.as_deref(), Some("https://llm.example.com/v1"));
    assert_eq!(mine.api_key.as_deref(), Some("k"));
    assert_eq!(mine.headers["X-Team"], "blue");
    let one = &mine.models["big/one"];
    assert_eq!((one.context_window, one.max_output_tokens), (Some(128_000), Some(8000)));
    assert_eq!((one.tool_calls, one.reasoning), (Some(true), Some(false)));
    assert_eq!(
        one.cost,
        Some(Cost { input: 3.0, output: 15.0, cache_read: 0.3, cache_write: 0.0 })
    );
    assert_eq!(one.options["top_k"], 3);
}

#[test]
fn later_layers_win() {
    let mut place = Place::new().global(
        r#"{ "server": { "port": 1, "hostname": "global", "basePath": "/g", "mdns": true } }"#,
    );
    assert_eq!(place.config().server.port, 1);
    place = place.file("home/app/opencode.json", r#"{ "server": { "port": 2 } }"#);
    assert_eq!(place.config().server.port, 2);
    place = place.file("home/app/opencode.jsonc", r#"{ "server": { "port": 3 } }"#);
    assert_eq!(place.config().server.port, 3);
    place = place.file("home/app/web/opencode.json", r#"{ "server": { "port": 4 } }"#);
    assert_eq!(place.config().server.port, 3);
    place.directory = place.path("home/app/web");
    assert_eq!(place.config().server.port, 4);
    assert_eq!(origin_of(&place.config(), "server.port"), "opencode.json:1");
    let named = place.path("named.json");
    place = place
        .file("named.json", r#"{ "server": { "port": 5 } }"#)
        .env("OPENCODE_CONFIG", named.display());
    assert_eq!(place.config().server.port, 5);
    place = place.env("OPENCODE_PORT", "6");
    assert_eq!(place.config().server.port, 6);
    assert_eq!(origin_of(&place.config(), "server.port"), "OPENCODE_PORT");
    place.flags.port = Some(7);
    let config = place.config();
    assert_eq!(config.server.port, 7);
    assert_eq!(origin_of(&config, "server.port"), "--port");
    assert_eq!((config.server.hostname.as_str(), config.server.mdns), ("global", true));
    let global = "~/.config/opencode/opencode.json:1";
    assert_eq!(origin_of(&config, "server.basePath"), global);
    assert!(config.notices().is_empty());
}

#[test]
fn objects_merge_and_everything_else_is_replaced() {
    let config = Place::with(
        r#"{
            "instructions": ["c.md"],
            "agent": { "build": { "model": "p/m" } },
            "provider": { "x": { "models": { "b": {} }, "options": { "baseURL": "http://b" } } },
            "permission": { "edit": "allow" }
        }"#,
    )
    .global(
        r#"{
            "instructions": ["a.md", "b.md"],
            "agent": { "build": { "prompt": "Build." } },
            "provider": { "x": { "models": { "a": { "options": { "o": 1 } } }, "options": { "apiKey": "k" } } },
            "permission": { "bash": "ask", "edit": "deny" }
        }"#,
    )
    .config();
    assert_eq!(config.instructions, ["c.md"]);
    assert!(config.instructions_from_project);
    assert_eq!(config.agents["build"].prompt.as_deref(), Some("Build."));
    assert_eq!(config.agents["build"].model.as_deref(), Some("p/m"));
    let provider = &config.providers["x"];
    assert_eq!(provider.models.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert!(provider.base_url_from_project && !provider.api_key_from_project);
    assert!(provider.options_from_person);
    assert_eq!(config.permission, json!({ "bash": "ask", "edit": "allow" }));
    assert_eq!(config.person_permission, json!({ "bash": "ask", "edit": "deny" }));
    assert_eq!(origin_of(&config, "permission.edit"), "opencode.json:5");
}

#[test]
fn an_agent_as_text_is_the_default_agent() {
    let place = Place::with(r#"{ "agent": { "build": { "prompt": "Build." } } }"#)
        .global(r#"{ "agent": "plan" }"#);
    let config = place.config();
    assert_eq!(config.default_agent.as_deref(), Some("plan"));
    assert!(config.agents.contains_key("build"));
}

#[test]
fn the_environment_says_each_setting() {
    let config = Place::new()
        .env("OPENCODE_HOSTNAME", "::")
        .env("OPENCODE_MDNS", "1")
        .env("OPENCODE_MDNS_DOMAIN", "box.local")
        .env("OPENCODE_CORS", "http://a:1, https://b/,")
        .env("OPENCODE_BASE_PATH", "code")
        .config();
    let server = config.server;
    assert_eq!((server.hostname.as_str(), server.mdns), ("::", true));
    assert_eq!((server.mdns_domain.as_str(), server.base_path.as_str()), ("box.local", "/code"));
    assert_eq!(server.cors, ["http://a:1", "https://b"]);
}

#[test]
fn flags_say_each_setting() {
    let mut place = Place::new().env("OPENCODE_CORS", "http://a:1");
    place.flags = ServerFlags {
        port: Some(0),
        hostname: Some("0.0.0.0".into()),
        mdns: Some(true),
        mdns_domain: Some("box.local".into()),
        cors: vec!["http://b:2".into()],
        base_path: Some("/x".into()),
        ..ServerFlags::default()
    };
    let server = place.config().server;
    assert_eq!((server.port, server.hostname.as_str(), server.mdns), (0, "0.0.0.0", true));
    assert_eq!((server.cors, server.base_path), (vec!["http://b:2".to_owned()], "/x".to_owned()));
    place.flags.cors = vec!["*".into()];
    assert!(place.error().starts_with("--cors: \"*\" would let every web page run commands"));
}

#[test]
fn what_kubernetes_sets_is_ignored() {
    let place = Place::new().env("OPENCODE_PORT", "tcp://10.0.0.1:4096");
    assert_eq!(place.config().server.port, 4096);
    assert_eq!(
        place.warnings(),
        [
            "OPENCODE_PORT: tcp://10.0.0.1:4096 is ignored: it looks like what Kubernetes sets for a service"
        ]
    );
}

#[test]
fn settings_show_no_secret() {
    let config = Place::with(
        r#"{ "provider": { "x": {
            "options": {
                "baseURL": "https://me:hush1@a.b/v1",
                "apiKey": "hush2",
                "headers": { "Authorization": "Bearer hush3", "X-Key": "{env:KEY}" }
            },
            "models": { "m": { "options": { "api_key": "hush4", "max_tokens": 9 } } }
        } } }"#,
    )
    .env("KEY", "hush5")
    .config();
    let all = format!(
        "{:?} {config:?}",
        config.settings.iter().map(ToString::to_string).collect::<Vec<_>>()
    );
    // The request body of a model is the model's; only its settings are masked.
    for secret in ["hush1", "hush2", "hush3", "hush5"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    let shown = |key: &str| {
        config.settings.iter().find(|setting| setting.key() == key).map(|s| s.value.clone())
    };
    assert_eq!(shown("provider.x.options.apiKey"), Some(json!("********")));
    assert_eq!(shown("provider.x.options.headers.X-Key"), Some(json!("{env:KEY}")));
    assert_eq!(shown("provider.x.models.m.options.api_key"), Some(json!("********")));
    assert_eq!(shown("provider.x.models.m.options.max_tokens"), Some(json!(9)));
    assert_eq!(config.used_env, ["KEY"]);
}
