//! Names in the configuration that lead nowhere are told where they stand: by the check, by a start
//! and by a reload.

use serde_json::json;

use crate::program::{World, await_that};

#[test]
fn a_name_of_nobody_stops_every_start() {
    for (text, told) in [
        ("{\n\"agent\": \"zzz\" }", "default_agent: expected an agent, one of build, plan, found"),
        ("{\n\"model\": \"nobody/x\" }", "model: expected a model of a provider that is built in"),
        (
            "{ \"agent\": { \"r\": {\n\"model\": \"nobody/x\" } } }",
            "agent.r.model: expected a model of a provider that is built in or configured, one of anthropic, ",
        ),
    ] {
        let world = World::new().file("opencode.json", text);
        for args in
            [&["config", "--check"][..], &["config"], &["run", "hi"], &["serve", "--port", "0"]]
        {
            let run = world.run(args);
            run.assert_status(2);
            assert!(run.stdout.is_empty(), "{run:?}");
            let line = run.stderr.lines().find(|line| line.contains(told));
            assert!(line.is_some_and(|line| line.contains("opencode.json:2:")), "{run:?}");
        }
        // The file alone may be right beside another one.
        let alone = world.run(&["config", "--check", "opencode.json"]);
        alone.assert_status(0);
        assert!(alone.stderr.contains(told), "{alone:?}");
    }
}

#[test]
fn providers_that_need_no_configuration_are_known() {
    for model in ["anthropic/any", "openrouter/a/b", "ollama/x", "lmstudio/x", "offline/guide"] {
        let world = World::new().config(&json!({ "model": model }));
        world.run(&["config", "--check"]).assert_status(0);
    }
}

#[test]
fn who_looks_for_a_model_is_shown_the_models() {
    let world = World::new().config(&json!({ "model": "nobody/x" }));
    for list in ["models", "providers", "agents"] {
        world.run(&[list]).assert_status(0);
    }
}

#[test]
fn a_tool_and_a_file_of_nobody_are_told_and_stop_nothing() {
    let text = "{ \"permission\": {\n\"bsh\": \"deny\" },\n\"instructions\": [\"nosuch.md\"] }";
    let world = World::new().file("opencode.json", text);
    let tells = |stderr: &str| {
        stderr.contains("opencode.json:2: permission.bsh: has no effect: no tool has this name; did you mean \"bash\"?")
            && stderr.contains("opencode.json:3: instructions[0]: there is no such file")
    };
    let args =
        [&["config", "--check"][..], &["config", "--check", "opencode.json"], &["run", "hi"]];
    for args in args {
        let run = world.run(args);
        run.assert_status(0);
        assert!(tells(&run.stderr), "{run:?}");
    }
    let server = world.serve();
    await_that("the server tells", || tells(&server.log.text()));
}
