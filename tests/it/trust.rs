//! What a project's own file may do before and after the person has trusted it: each clause of S15,
//! and the commands `trust` and `config`.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::program::{World, await_that};
use crate::scripted::{Act, Protocol, Scripted, stream};

/// The person's own configuration.
const GLOBAL: &str = ".config/opencode/opencode.json";

fn global(world: World, config: &Value) -> World {
    world.home.write(GLOBAL, &config.to_string());
    world
}

fn trust(world: &World) {
    let run = world.run(&["trust"]);
    run.assert_status(0);
    assert!(run.stdout.contains("trusted: "), "{run:?}");
}

fn ask(world: &World, prompt: &str) -> crate::program::Ran {
    world.run(&["run", prompt])
}

/// A provider that a project leads to, at an address that is not this machine's loopback.
fn leading(provider: &Scripted, options: &Value) -> Value {
    let mut options = options.clone();
    options["baseURL"] = json!(format!("{}/v1", provider.url().replace("127.0.0.1", "0.0.0.0")));
    json!({
        "model": "mine/m",
        "provider": { "mine": {
            "npm": Protocol::OpenAi.package(), "options": options, "models": { "m": {} },
        } },
    })
}

fn answering() -> Scripted {
    let said = Protocol::OpenAi.text("Well.") + &Protocol::OpenAi.end(false);
    Scripted::play([Act::Say(stream(&said))])
}

#[test]
fn an_address_that_a_project_chose_gets_no_key_and_nothing_of_the_environment() {
    // From the person's configuration, and from the environment by the project's own file.
    for (options, persons) in [
        (json!({}), json!({ "provider": { "mine": { "options": { "apiKey": "sk-secret" } } } })),
        (json!({ "apiKey": "{env:MY_KEY}" }), json!({})),
        (json!({ "headers": { "Authorization": "Bearer {env:MY_KEY}" } }), json!({})),
    ] {
        let provider = answering();
        let world = World::new().env("MY_KEY", "sk-secret").config(&leading(&provider, &options));
        let world = global(world, &persons);
        let refused = ask(&world, "hello");
        refused.assert_status(2);
        for word in ["opencode trust", "http://0.0.0.0", "of yours"] {
            assert!(refused.stderr.contains(word), "{refused:?}");
        }
        assert!(provider.heads().is_empty(), "nothing is sent");
        let server = world.serve();
        let problem = server.post("/api/chat", &json!({ "message": "hello" }));
        assert_eq!(problem.status, 422);
        assert!(problem.json()["detail"].as_str().unwrap().contains("opencode trust"));
        let world = server.stop(rustix::process::Signal::TERM);
        trust(&world);
        let run = ask(&world, "hello");
        run.assert_status(0);
        assert_eq!(run.stdout, "Well.\n");
        let heads = provider.heads();
        assert!(
            heads.len() == 1 && heads[0].contains("authorization: bearer sk-secret"),
            "{heads:?}"
        );
    }
}

#[test]
fn what_a_project_says_of_itself_is_sent_where_it_says() {
    let provider = answering();
    let world = World::new().config(&leading(&provider, &json!({ "apiKey": "the-projects" })));
    ask(&world, "hello").assert_status(0);
    assert!(provider.heads()[0].contains("authorization: bearer the-projects"));
}

#[test]
fn a_project_announces_nothing_of_the_environment() {
    let config = json!({ "server": { "mdnsDomain": "{env:MY_KEY}.local" } });
    let world = World::new().env("MY_KEY", "sk-secret").config(&config);
    let run = world.run(&["config"]);
    run.assert_status(2);
    assert!(run.stderr.contains("opencode trust") && !run.stderr.contains("sk-secret"), "{run:?}");
    // It cannot be used as it is, and so is not trusted before the person has looked.
    trust(&world);
    world.run(&["config"]).assert_status(0);
}

#[test]
fn a_project_reads_no_file_outside_of_itself() {
    for path in ["../outside.txt", "/etc/hostname", "~/outside.txt"] {
        let config = json!({ "agent": { "build": { "prompt": format!("{{file:{path}}}") } } });
        let run = ask(&World::new().config(&config), "hello");
        run.assert_status(2);
        for word in ["opencode.json:1", "inside the project", "opencode trust"] {
            assert!(run.stderr.contains(word), "{path}: {run:?}");
        }
    }
    let said = Protocol::OpenAi.text("Well.") + &Protocol::OpenAi.end(false);
    let provider = Scripted::play([Act::Say(stream(&said)), Act::Say(stream(&said))]);
    let world = World::new();
    world.home.write("notes.md", "The person's own notes.");
    let outside = world.home.path().join("notes.md");
    let mut config = leading(&provider, &json!({ "apiKey": "k" }));
    config["instructions"] = json!([outside]);
    let world = world.config(&config);
    let run = ask(&world, "hello");
    run.assert_status(0);
    assert!(run.stderr.contains("opencode.json:1: instructions"), "{run:?}");
    trust(&world);
    ask(&world, "hello").assert_status(0);
    let told = provider.asked().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(!told[0].contains("own notes") && told[1].contains("own notes"), "{told:?}");
}

#[test]
fn a_project_relaxes_nothing_that_the_person_set() {
    let persons = json!({ "permission": { "bash": "ask" } });
    let projects =
        json!({ "permission": "allow", "agent": { "build": { "permission": "allow" } } });
    let world = global(World::new().config(&projects), &persons);
    ask(&world, "run `touch made`").assert_status(5);
    assert!(!world.project.path().join("made").exists());
    trust(&world);
    ask(&world, "run `touch made`").assert_status(0);
    assert!(world.project.path().join("made").exists());

    // Neither a tool that was taken from an agent nor a provider that was switched off comes back.
    let persons = json!({
        "agent": { "build": { "tools": { "bash": false } } },
        "disabled_providers": ["anthropic"],
    });
    let projects = json!({
        "agent": { "build": { "tools": { "bash": true } } }, "disabled_providers": [],
    });
    let world = global(World::new().config(&projects), &persons);
    let tools = |world: &World| {
        let agents: Value = serde_json::from_str(&world.run(&["agents", "--json"]).stdout).unwrap();
        let build = agents.as_array().unwrap().iter().find(|a| a["id"] == "build").unwrap();
        build["tools"].as_array().unwrap().contains(&json!("bash"))
    };
    let anthropic = ["run", "--model", "anthropic/claude-sonnet-4", "x"];
    assert!(!tools(&world));
    assert!(world.run(&anthropic).stderr.contains("switched off"));
    trust(&world);
    assert!(tools(&world));
    assert!(world.run(&anthropic).stderr.contains("ANTHROPIC_API_KEY"));
}

#[test]
fn a_project_starts_no_process() {
    let touch = |name: &str| json!(["sh", "-c", format!("touch {name}")]);
    let config = json!({
        "mcp": { "m": { "type": "local", "command": touch("by-mcp"), "enabled": true } },
        "lsp": { "l": { "command": touch("by-lsp"), "extensions": [".txt"] } },
        "formatter": { "f": { "command": touch("by-formatter"), "extensions": [".txt"] } },
        "plugin": ["./plugin.js"],
        "experimental": { "hook": { "session_completed": [{ "command": touch("by-hook") }] } },
        "shell": "sh -c 'touch by-shell'",
    });
    let server = World::new().config(&config).file("a.txt", "old\n").serve();
    for message in ["list files", "replace \"old\" with \"new\" in a.txt"] {
        server.post("/api/chat", &json!({ "message": message }));
    }
    let log = server.log.text();
    assert!(log.contains("mcp is not used by this program"), "{log}");
    let world = server.stop(rustix::process::Signal::TERM);
    assert_eq!(world.project.read("a.txt"), "new\n", "the tools ran");
    let mut left: Vec<_> = std::fs::read_dir(world.project.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["a.txt", "opencode.json"]);
}

#[test]
fn no_file_sets_the_password_trusted_or_not() {
    let world = World::new().file("opencode.json", "{\n\"server\": { \"password\": \"x\" } }");
    for (command, place) in [("serve", "2"), ("trust", "2"), ("config", "2:25")] {
        let run = world.run(&[command]);
        run.assert_status(2);
        let told = format!("opencode.json:{place}: server.password");
        assert!(run.stderr.contains(&told), "{run:?}");
        assert!(run.stderr.contains("OPENCODE_SERVER_PASSWORD"), "{run:?}");
    }
}

#[test]
fn its_server_section_counts_and_is_printed() {
    let config = "{ \"server\": {\n\"basePath\": \"/code\",\n\"cors\": [\"https://x.example\"] } }";
    let server = World::new().file("opencode.json", config).serve();
    assert_eq!(server.get("/code/api/status")["status"], "ok");
    await_that("both are printed, and the origin is warned of", || {
        let log = server.log.text();
        let lines = [
            "info cli opencode.json:2: the project sets server.basePath to \"/code\"",
            "info cli opencode.json:3: the project sets server.cors to [\"https://x.example\"]",
            "warn cli opencode.json:3: pages of https://x.example may use this server",
        ];
        lines.iter().all(|line| log.contains(line))
    });
}

#[test]
fn what_trust_is_about_is_asked_for_again_when_it_changes() {
    let persons = json!({ "permission": { "bash": "ask" } });
    let write = |world: &World, config: &Value| {
        world.project.write("opencode.json", &config.to_string());
    };
    let is_trusted = |world: &World| match ask(world, "run `true`").status {
        0 => true,
        5 => false,
        other => panic!("{other}"),
    };
    let trusted = json!({
        "permission": "allow", "server": { "port": 5000 },
        "agent": { "build": { "prompt": "Be kind. {file:more.txt}" } },
    });
    let world = global(World::new().file("more.txt", "Be brief."), &persons);
    write(&world, &trusted);
    assert!(!is_trusted(&world));
    trust(&world);
    assert!(is_trusted(&world));
    // What anybody's file may say is not asked about, nor how it is written.
    let mut other = trusted.clone();
    other["server"]["port"] = json!(6000);
    other["default_agent"] = json!("build");
    write(&world, &other);
    assert!(is_trusted(&world));
    world.project.write("opencode.json", &format!("// A comment\n{trusted:#}"));
    assert!(is_trusted(&world));
    // A permission is, and so is what a file of the project brings in.
    other["permission"] = json!({ "*": "allow", "edit": "deny" });
    write(&world, &other);
    assert!(!is_trusted(&world));
    let run = ask(&world, "hello");
    assert!(run.stderr.contains("is no longer trusted, since it has changed"), "{run:?}");
    write(&world, &trusted);
    assert!(is_trusted(&world), "as it was when it was trusted");
    world.project.write("more.txt", "Be rude.");
    assert!(!is_trusted(&world));
    // Another file of the same project is another one.
    world.project.write("more.txt", "Be brief.");
    assert!(is_trusted(&world));
    std::fs::remove_file(world.project.path().join("opencode.json")).unwrap();
    world.project.write("opencode.jsonc", &trusted.to_string());
    assert!(!is_trusted(&world));
}

#[test]
fn what_is_trusted_is_listed_and_taken_back() {
    let persons = json!({ "permission": { "bash": "ask" } });
    let world = global(World::new().config(&json!({ "permission": "allow" })), &persons);
    assert_eq!(world.run(&["trust", "--list"]).stdout, "no project is trusted\n");
    let run = world.run(&["trust", world.project.path().to_str().unwrap()]);
    run.assert_status(0);
    assert!(run.stdout.contains("  permission = \"allow\" (opencode.json:1)"), "{run:?}");
    let file = world.project.path().join("opencode.json");
    let listed: Value =
        serde_json::from_str(&world.run(&["trust", "--list", "--json"]).stdout).unwrap();
    assert_eq!(listed[0]["path"], file.to_str().unwrap());
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert!(world.run(&["trust", "--list"]).stdout.contains(file.to_str().unwrap()));
    let list = world.home.path().join(".local/share/opencode-server/trusted.json");
    assert_eq!(list.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    // A list that others could have written counts for nothing.
    std::fs::set_permissions(&list, PermissionsExt::from_mode(0o666)).unwrap();
    let run = ask(&world, "run `true`");
    run.assert_status(5);
    assert!(run.stderr.contains("others can write to this list"), "{run:?}");
    std::fs::set_permissions(&list, PermissionsExt::from_mode(0o600)).unwrap();
    ask(&world, "run `true`").assert_status(0);

    world.run(&["trust", "--remove"]).assert_status(0);
    ask(&world, "run `true`").assert_status(5);
    let run = world.run(&["trust", "--remove"]);
    run.assert_status(2);
    assert!(run.stderr.contains("nothing in"), "{run:?}");
    let empty = World::new().run(&["trust"]);
    empty.assert_status(0);
    assert!(empty.stdout.contains("nothing to trust"), "{empty:?}");
    for args in [&["trust", "/nowhere"][..], &["trust", "a", "b"], &["trust", "--list", "--remove"]]
    {
        world.run(args).assert_status(2);
    }
}

#[test]
fn config_shows_each_setting_with_where_it_came_from_and_no_secret() {
    let projects = "{\n\"server\": { \"port\": 5000 },\n\"provider\": { \"mine\": { \"options\": {\n\
                    \"apiKey\": \"sk-secret\", \"headers\": { \"X\": \"{env:MY_KEY}\" } } } } }";
    let world = World::new()
        .file("opencode.json", projects)
        .env("MY_KEY", "sk-other")
        .env("OPENCODE_MDNS_DOMAIN", "mine.local")
        .env("OPENCODE_SERVER_PASSWORD", "hunter2");
    let world = global(world, &json!({ "model": "mine/m" }));
    let args = ["config", "--base-path", "/code"];
    let table = world.run(&args);
    table.assert_status(0);
    let json = world.run(&[&args[..], &["--json"]].concat());
    for shown in [&table, &json] {
        for secret in ["sk-secret", "sk-other", "hunter2"] {
            assert!(!shown.stdout.contains(secret) && !shown.stderr.contains(secret), "{shown:?}");
        }
    }
    let line = |key: &str| {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        table.stdout.lines().map(words).find(|words| words[0] == key).unwrap()[1..].to_vec()
    };
    assert_eq!(line("server.port"), ["5000", "opencode.json:2"]);
    assert_eq!(line("server.mdnsDomain"), ["\"mine.local\"", "OPENCODE_MDNS_DOMAIN"]);
    assert_eq!(line("server.basePath"), ["\"/code\"", "--base-path"]);
    assert_eq!(line("server.hostname"), ["\"127.0.0.1\"", "default"]);
    assert_eq!(line("model"), ["\"mine/m\"", "~/.config/opencode/opencode.json:1"]);
    assert_eq!(line("provider.mine.options.apiKey"), ["\"********\"", "opencode.json:4"]);
    assert_eq!(line("password"), ["\"********\"", "OPENCODE_SERVER_PASSWORD"]);
    let all: Vec<Value> = serde_json::from_str(&json.stdout).unwrap();
    let port = all.iter().find(|item| item["key"] == "server.port").unwrap();
    assert_eq!(port["value"], 5000);
    assert_eq!((&port["from"]["line"], &port["from"]["trusted"]), (&json!(2), &json!(false)));
}

#[test]
fn config_checks_the_files_and_says_what_was_expected_where() {
    let wrong = "{\n\"server\": {\n\"port\": \"many\", \"cors\": [\"*\"] },\n\"modle\": \"a/b\" }";
    let world = World::new().file("opencode.json", wrong);
    for args in [&["config", "--check"][..], &["config", "--check", "opencode.json"]] {
        let run = world.run(args);
        run.assert_status(2);
        assert!(run.stdout.is_empty());
        for word in [
            "opencode.json:3:9: server.port: expected a number from 0 to 65535",
            "opencode.json:3:26: server.cors[0]: \"*\" would",
        ] {
            assert!(run.stderr.contains(word), "{run:?}");
        }
    }
    world.project.write("opencode.json", "{\n\n\"modle\": \"a/b\" }");
    for args in [&["config", "--check"][..], &["config", "--check", "opencode.json"]] {
        let run = world.run(args);
        run.assert_status(0);
        assert!(run.stdout.contains("is right"), "{run:?}");
        assert!(run.stderr.contains("opencode.json:3: modle"), "{run:?}");
    }
    for (text, word) in [("{", "opencode.json:1"), ("{ \"model\": }", "opencode.json:1")] {
        world.project.write("opencode.json", text);
        let run = world.run(&["config", "--check", "opencode.json"]);
        run.assert_status(2);
        assert!(run.stderr.contains(word), "{run:?}");
    }
    let run = world.run(&["config", "--check", "nowhere.json"]);
    run.assert_status(2);
    assert!(run.stderr.contains("nowhere.json: cannot be read"), "{run:?}");
    world.run(&["config", "opencode.json"]).assert_status(2);
}
