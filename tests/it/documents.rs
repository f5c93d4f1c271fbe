//! The documents are true where a program can tell: their links, the names they list, their
//! configurations. (`documented_examples` runs their examples, `house` knows the tests they name.)

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::markdown::{Document, root};
use crate::program::World;

/// A path without `..`.
fn resolved(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

#[test]
fn every_link_leads_somewhere() {
    let (mut count, mut broken) = (0, Vec::new());
    for document in Document::all() {
        for link in document.links().iter().filter(|link| !link.contains("://")) {
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = document.path.parent().unwrap_or(Path::new(""));
            let path = match path {
                "" => document.path.clone(),
                path => resolved(&folder.join(path)),
            };
            let has_anchor = || Document::read(&path).anchors().iter().any(|there| there == anchor);
            if !root().join(&path).exists() || (!anchor.is_empty() && !has_anchor()) {
                broken.push(format!("{}: {link}", document.path.display()));
            }
        }
    }
    assert!(count > 30, "{count} links are too few to be all");
    assert_eq!(broken, Vec::<String>::new());
}

fn openapi() -> Value {
    serde_json::from_str(&Document::read("src/api/openapi.json").text).unwrap()
}

#[test]
fn the_page_of_the_api_names_every_operation_event_code_and_member() {
    let (page, openapi) = (Document::read("docs/api.md").text, openapi());
    let mut missing = Vec::new();
    let mut expect = |word: String| {
        if !page.contains(&format!("`{word}`")) {
            missing.push(word);
        }
    };
    for (path, operations) in openapi["paths"].as_object().unwrap() {
        let methods = operations.as_object().unwrap().keys().filter(|key| *key != "parameters");
        methods.for_each(|method| {
            expect(format!("{} {}", method.to_uppercase(), path.replace("{id}", ":id")));
        });
    }
    let schemas = &openapi["components"]["schemas"];
    let events = schemas["Event"]["discriminator"]["mapping"].as_object().unwrap();
    for event in events.keys() {
        expect(event.clone());
    }
    for code in schemas["Problem"]["properties"]["code"]["enum"].as_array().unwrap() {
        expect(code.as_str().unwrap().to_owned());
    }
    for member in schemas["ChatRequest"]["properties"].as_object().unwrap().keys() {
        expect(member.clone());
    }
    assert_eq!(missing, Vec::<String>::new());
    for (event, schema) in events {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{event}` |"))).unwrap();
        let name = schema.as_str().unwrap().rsplit('/').next().unwrap();
        let members = schemas[name]["properties"].as_object().unwrap();
        let shown: BTreeSet<_> =
            row.split('|').nth(2).unwrap().split('`').skip(1).step_by(2).collect();
        let there: BTreeSet<_> =
            members.keys().map(String::as_str).filter(|m| *m != "type").collect();
        assert_eq!(shown, there, "{event}");
    }
}

#[test]
fn the_readme_lists_every_path() {
    let readme = Document::read("README.md").text;
    let named: Vec<_> = readme.split('`').skip(1).step_by(2).collect();
    for path in openapi()["paths"].as_object().unwrap().keys() {
        let path = path.replace("{id}", ":id");
        let is_named =
            |word: &&str| word.split(' ').next_back().unwrap().split('?').next() == Some(&path);
        assert!(named.iter().any(is_named), "{path}");
    }
}

#[test]
fn every_variable_of_the_program_is_documented() {
    let page = Document::read("docs/configuration.md").text;
    // What marks the program's own children, and where tests find recordings.
    let own = ["OPENCODE_CHILD", "OPENCODE_RECORDINGS"];
    let mut count = 0;
    for entry in ignore::Walk::new(root().join("src")).flatten() {
        let is_code = entry.path().extension().is_some_and(|kind| kind == "rs");
        let text = if is_code { std::fs::read_to_string(entry.path()).unwrap() } else { continue };
        for word in text.split('"').filter(|word| word.starts_with("OPENCODE_")) {
            let is_name = word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            if is_name && !word.ends_with('_') && !own.contains(&word) {
                count += 1;
                assert!(
                    page.contains(&format!("`{word}`")),
                    "{word} of {}",
                    entry.path().display()
                );
            }
        }
    }
    assert!(count > 10);
}

#[test]
fn every_key_of_a_provider_is_documented() {
    let page = Document::read("docs/configuration.md").text;
    let ran = World::new().run(&["providers", "--json"]);
    let providers: Value = serde_json::from_str(&ran.stdout).unwrap();
    let variables = providers.as_array().unwrap().iter().filter_map(|p| p["keyVariable"].as_str());
    let missing: Vec<_> = variables.filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn every_configuration_shown_is_right() {
    let mut count = 0;
    for document in Document::all() {
        for block in document.blocks().iter().filter(|block| block.language.starts_with("json")) {
            let is_part = block.text.starts_with('"');
            let text = if is_part { format!("{{{}}}", block.text) } else { block.text.clone() };
            let world = World::new().env("MY_KEY", "sk-test").file("shown.jsonc", &text);
            let ran = world.run(&["config", "--check", "shown.jsonc"]);
            assert_eq!(ran.status, 0, "{}:{}: {ran:?}", document.path.display(), block.line);
            assert!(
                !ran.stderr.contains("not a known"),
                "{}:{}",
                document.path.display(),
                block.line
            );
            count += 1;
        }
    }
    assert!(count >= 5, "{count}");
}
