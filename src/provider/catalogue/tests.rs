//! What the catalogue makes of configurations and environments.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::local::{Local, Place};
use super::*;
use crate::config;
use crate::error::{Code, Problem};
use crate::provider::testing::{Act, answer, server};

fn catalogue(config: &Config, env: &[(&str, &str)]) -> Catalogue {
    let mut catalogue = Catalogue::new(config, &env.iter().copied().collect());
    // Nobody of this machine is asked.
    catalogue.local = Local::at(Vec::new());
    catalogue
}

fn config(id: &str, provider: config::Provider) -> Config {
    Config { providers: [(id.to_owned(), provider)].into(), ..Config::default() }
}

fn at(base: &str) -> config::Provider {
    config::Provider { base_url: Some(base.into()), ..config::Provider::default() }
}

fn failed(catalogue: &Catalogue, name: &str) -> Problem {
    catalogue.resolve(name).map(|model| model.info).unwrap_err()
}

/// The endpoint's `Debug` text, which must show no secret.
fn shown(catalogue: &Catalogue, name: &str) -> String {
    format!("{:?}", catalogue.resolve(name).unwrap())
}

#[test]
fn a_missing_key_is_named() {
    let none = catalogue(&Config::default(), &[]);
    for (name, variable) in [
        ("anthropic/claude-sonnet-4", "ANTHROPIC_API_KEY"),
        ("google/gemini-2.5-pro", "GEMINI_API_KEY"),
        ("openai/whatever-comes", "OPENAI_API_KEY"),
    ] {
        let problem = failed(&none, name);
        assert_eq!(problem.code, Code::ProviderNotConfigured);
        assert!(problem.detail.contains(variable), "{}", problem.detail);
    }
    assert_eq!(none.default_model(), GUIDE);
}

#[test]
fn a_name_that_means_nothing_gets_advice() {
    let none = catalogue(&Config::default(), &[]);
    for (name, advice) in [
        ("claude-sonnet-4", "anthropic/claude-sonnet-4"),
        ("antropic/claude-sonnet-4", "anthropic/claude-sonnet-4"),
        ("offline/other", "offline/guide"),
        ("nobody/nothing-like-it", "openrouter"),
        ("/x", "provider/model"),
        ("", "provider/model"),
    ] {
        let problem = failed(&none, name);
        assert_eq!(problem.code, Code::UnknownModel);
        assert!(problem.detail.contains(advice), "{}", problem.detail);
    }
    assert_eq!(none.resolve(GUIDE).unwrap().id(), GUIDE);
}

#[test]
fn the_environment_gives_keys_and_addresses() {
    let env = [
        ("ANTHROPIC_API_KEY", "sk-secret-one"),
        ("ANTHROPIC_BASE_URL", "http://127.0.0.1:4010/"),
        ("OPENAI_API_KEY", "sk-secret-two"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:4010/v1"),
        ("GEMINI_API_KEY", "sk-secret-three"),
        ("GEMINI_BASE_URL", "http://127.0.0.1:4010"),
    ];
    let found = catalogue(&Config::default(), &env);
    for (name, base, wire) in [
        ("anthropic/claude-sonnet-4", "http://127.0.0.1:4010/v1", "claude-sonnet-4-20250514"),
        ("anthropic/claude-x-9", "http://127.0.0.1:4010/v1", "claude-x-9"),
        ("openai/gpt-6-luna", "http://127.0.0.1:4010/v1", "gpt-6-luna"),
        ("google/gemini-x", "http://127.0.0.1:4010/v1beta/openai", "gemini-x"),
    ] {
        let shown = shown(&found, name);
        assert!(shown.contains(&format!("base: \"{base}\"")), "{shown}");
        assert!(shown.contains(&format!("model: \"{wire}\"")), "{shown}");
        assert!(!shown.contains("sk-secret"), "{shown}");
    }
    assert!(found.default_model().starts_with("anthropic/"));
    assert!(catalogue(&Config::default(), &env[4..]).default_model().starts_with("google/"));
    let chosen = Config { model: Some("x/y".into()), ..Config::default() };
    assert_eq!(catalogue(&chosen, &env).default_model(), "x/y");
}

#[test]
fn the_configuration_wins_over_the_environment() {
    let mut provider = at("https://gateway.example/v1");
    provider.api_key = Some("sk-own".into());
    let found = catalogue(
        &config("anthropic", provider),
        &[("ANTHROPIC_API_KEY", "sk-env"), ("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")],
    );
    let entry = found.entry("anthropic").unwrap();
    assert_eq!(entry.key.as_ref().unwrap().reveal(), "sk-own");
    assert_eq!(entry.base.as_deref(), Some("https://gateway.example/v1"));
    let google = catalogue(&config("google", at("https://g.example/v1beta")), &[]);
    let base = google.entry("google").unwrap().base.clone();
    assert_eq!(base.as_deref(), Some("https://g.example/v1beta/openai"));
}

#[test]
fn a_provider_of_ones_own_needs_no_key_and_lists_its_models() {
    let mut provider = at("http://10.0.0.1:9/v1");
    let cost = config::Cost { input: 1.0, output: 2.0, cache_read: 0.5, cache_write: 0.25 };
    let model = config::Model {
        id: Some("wire-id".into()),
        context_window: Some(9),
        cost: Some(cost),
        ..config::Model::default()
    };
    provider.models = BTreeMap::from([("one".to_owned(), model)]);
    let found = catalogue(&config("mine", provider), &[]);
    assert!(shown(&found, "mine/one").contains("model: \"wire-id\""));
    assert_eq!(found.default_model(), "mine/one");
    let problem = failed(&found, "mine/two");
    assert_eq!(problem.code, Code::UnknownModel);
    assert!(problem.detail.contains("`mine/one`"));
    let listed = found.models().into_iter().find(|m| m.provider == "mine").unwrap();
    assert_eq!(
        serde_json::to_value(listed).unwrap(),
        json!({
            "id": "mine/one", "provider": "mine", "name": "one", "contextWindow": 9,
            "maxOutputTokens": null, "toolCalls": true, "reasoning": false,
            "cost": {"input": 1.0, "output": 2.0, "cacheRead": 0.5, "cacheWrite": 0.25},
            "available": true,
        })
    );
    let nowhere = catalogue(&config("mine", config::Provider::default()), &[]);
    assert_eq!(failed(&nowhere, "mine/x").code, Code::ProviderNotConfigured);
}

#[test]
fn an_address_that_a_project_chose_gets_nothing_of_the_persons() {
    let none: [(&str, &str); 0] = [];
    let key = [("ANTHROPIC_API_KEY", "sk-env")];
    let foreign =
        || config::Provider { base_url_from_project: true, ..at("https://evil.example/v1") };
    let refused = |config: &Config, env: &[(&str, &str)], id: &str, what: &str| {
        let found = catalogue(config, env);
        let entry = found.entry(id).unwrap();
        assert!(entry.key.is_none() && entry.headers.is_empty(), "{what}");
        assert!(!entry.is_usable() && found.default_model() == GUIDE, "{what}");
        let problem = failed(&found, &format!("{id}/x"));
        assert_eq!(problem.code, Code::ProviderNotConfigured);
        for word in [what, "global configuration", "https://evil.example/v1"] {
            assert!(problem.detail.contains(word), "{}", problem.detail);
        }
    };
    refused(&config("anthropic", foreign()), &key, "anthropic", "ANTHROPIC_API_KEY");
    refused(&config("anthropic", foreign()), &none, "anthropic", "ANTHROPIC_API_KEY");

    let global = config::Provider { api_key: Some("sk-global".into()), ..foreign() };
    refused(&config("mine", global.clone()), &none, "mine", "apiKey");
    let header = ("X-Token".to_owned(), "sk-header".to_owned());
    let global_header = config::Provider { headers: [header.clone()].into(), ..foreign() };
    refused(&config("mine", global_header.clone()), &none, "mine", "X-Token");
    let options = config::Provider { options_from_person: true, ..foreign() };
    refused(&config("mine", options), &none, "mine", "options");
    let with_env = Config {
        project_env: ["SECRET".to_owned()].into(),
        ..config("mine", config::Provider { api_key_from_project: true, ..global.clone() })
    };
    refused(&with_env, &none, "mine", "SECRET");

    let literal = config::Provider { api_key_from_project: true, ..global };
    let found = catalogue(&config("anthropic", literal), &key);
    assert_eq!(found.entry("anthropic").unwrap().key.as_ref().unwrap().reveal(), "sk-global");
    assert!(found.resolve("anthropic/x").is_ok());
    let own = ["X-Token".to_owned()].into();
    let literal = config::Provider { headers_from_project: own, ..global_header };
    let found = catalogue(&config("mine", literal), &none);
    assert_eq!(found.entry("mine").unwrap().headers[0].1.reveal(), "sk-header");
    assert!(catalogue(&config("mine", foreign()), &key).resolve("mine/x").is_ok());

    let here = config::Provider { base_url: Some("http://127.0.0.1:9/v1".into()), ..foreign() };
    assert!(catalogue(&config("anthropic", here), &key).resolve("anthropic/x").is_ok());
}

#[test]
fn a_provider_that_is_switched_off_is_not_there() {
    let list = json!({"data": [{"id": "qwen3"}]}).to_string();
    let (base, thread) = server(vec![Act::Send(answer(200, "", &list))]);
    let off = ["anthropic", "ollama", "offline"].map(str::to_owned).to_vec();
    let config = Config { disabled_providers: off, ..Config::default() };
    let env = [("ANTHROPIC_API_KEY", "sk-one"), ("OPENAI_API_KEY", "sk-two")];
    let mut found = catalogue(&config, &env);
    found.local = Local::at(vec![Place { id: "ollama", name: "Ollama", base }]);
    for name in ["anthropic/claude-sonnet-4", "ollama/qwen3", GUIDE] {
        let problem = failed(&found, name);
        assert_eq!(problem.code.status(), 422);
        assert!(problem.detail.contains("`disabled_providers`"), "{}", problem.detail);
        let provider = name.split('/').next().unwrap();
        assert!(found.models().iter().all(|model| model.provider != provider));
        assert!(found.providers().iter().all(|info| info.id != provider));
    }
    assert!(found.default_model().starts_with("openai/"));
    thread.join().unwrap();
}

#[test]
fn lists_show_everything_and_no_key() {
    let mut provider = at("https://me:pw@gateway.example/v1");
    provider.headers = [("X-Token".to_owned(), "sk-header".to_owned())].into();
    let found = catalogue(&config("mine", provider), &[("OPENAI_API_KEY", "sk-env")]);
    let providers = serde_json::to_value(found.providers()).unwrap();
    let models = serde_json::to_value(found.models()).unwrap();
    for text in [providers.to_string(), models.to_string()] {
        assert!(!text.contains("sk-") && !text.contains("pw@"), "{text}");
    }
    let one = |list: &Value, id: &str| {
        list.as_array().unwrap().iter().find(|item| item["id"] == id).cloned().unwrap()
    };
    let openai = one(&providers, "openai");
    assert_eq!((&openai["configured"], &openai["source"]), (&json!(true), &json!("environment")));
    assert_eq!(openai["baseUrl"], "https://api.openai.com/v1");
    let anthropic = one(&providers, "anthropic");
    assert_eq!(anthropic["configured"], false);
    assert_eq!(anthropic["keyVariable"], "ANTHROPIC_API_KEY");
    assert_eq!(one(&providers, "mine")["source"], "config");
    assert_eq!(one(&providers, "offline")["source"], "embedded");
    assert_eq!(one(&models, "anthropic/claude-sonnet-4")["available"], false);
    assert_eq!(one(&models, "openai/gpt-6-sol")["available"], true);
    assert_eq!(one(&models, GUIDE)["available"], true);
    let all = providers.as_array().unwrap();
    assert_eq!(
        all.iter().map(|p| p["models"].as_u64().unwrap()).sum::<u64>() as usize,
        found.models().len()
    );
}

#[test]
fn a_server_of_this_machine_is_found_and_chosen() {
    let list = json!({"data": [{"id": "qwen3"}]}).to_string();
    let (base, thread) = server(vec![Act::Send(answer(200, "", &list))]);
    let mut found = catalogue(&Config::default(), &[]);
    found.local = Local::at(vec![Place { id: "ollama", name: "Ollama", base: base.clone() }]);
    assert_eq!(found.default_model(), "ollama/qwen3");
    assert!(found.models().iter().any(|model| model.id == "ollama/qwen3"));
    let detected = found.providers().into_iter().find(|p| p.id == "ollama").unwrap();
    assert_eq!((detected.source, detected.base_url), (Source::Detected, Some(base)));
    assert_eq!(found.resolve("ollama/other").unwrap().id(), "ollama/other");
    thread.join().unwrap();
}

#[test]
fn every_default_is_in_the_table() {
    for known in &KNOWN {
        assert!(known.model(known.default).is_some(), "{}", known.id);
    }
    assert_eq!(key_variables().count(), 8);
}
