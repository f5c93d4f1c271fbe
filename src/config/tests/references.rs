//! Names lead somewhere, or it is told where they stand.

use super::*;

/// A project's file, where two providers are built in.
fn with(text: &str) -> Place {
    let mut place = Place::with(text);
    place.providers = &["known", "local"];
    place
}

#[test]
fn a_default_agent_that_nobody_is_stops_the_start() {
    let wrong = "default_agent: expected an agent, one of build, plan, found \"zzz\"";
    for text in ["{\n\"agent\": \"zzz\" }", "{\n\"default_agent\": \"zzz\" }"] {
        assert_eq!(with(text).error(), format!("opencode.json:2: {wrong}"));
    }
    let off = r#"{ "default_agent": "r", "agent": { "r": { "disable": true }, "s": {} } }"#;
    let wrong =
        "opencode.json:1: default_agent: expected an agent, one of build, plan, s, found \"r\"";
    assert_eq!(with(off).error(), wrong);
    for right in [
        r#"{ "agent": "plan" }"#,
        r#"{ "default_agent": "build", "agent": { "build": { "disable": true } } }"#,
        r#"{ "default_agent": "r", "agent": { "r": { "mode": "all" } } }"#,
        r#"{ "default_agent": "{env:NOBODY_SET_IT}" }"#,
    ] {
        with(right).config();
    }
}

#[test]
fn a_model_of_no_provider_stops_the_start() {
    let wrong = |key: &str| {
        format!(
            "opencode.json:2: {key}: expected a model of a provider that is built in or configured, one of known, local, mine, found \"nobody/x\""
        )
    };
    let mine = r#""provider": { "mine": {} }"#;
    let text = format!("{{ {mine},\n\"model\": \"nobody/x\" }}");
    assert_eq!(with(&text).error(), wrong("model"));
    let agent = format!("{{ {mine}, \"agent\": {{ \"r\": {{\n\"model\": \"nobody/x\" }} }} }}");
    assert_eq!(with(&agent).error(), wrong("agent.r.model"));
    for right in ["known/any/thing", "local/x", "mine/x"] {
        let text = format!(
            r#"{{ {mine}, "model": "{right}", "agent": {{ "r": {{ "model": "{right}" }},
            "off": {{ "disable": true, "model": "nobody/x" }} }} }}"#
        );
        with(&text).config();
    }
}

#[test]
fn a_provider_of_nobody_that_is_switched_off_is_told() {
    let list = "[\"known\",\n\"knwon\",\n\"mine\", \"other\"]";
    let text = format!("{{ \"provider\": {{ \"mine\": {{}} }}, \"disabled_providers\": {list} }}");
    let told = |line, item, rest: &str| {
        format!(
            "opencode.json:{line}: disabled_providers[{item}]: has no effect: no provider has this id{rest}"
        )
    };
    let expected = [told(2, 1, "; did you mean \"known\"?"), told(3, 3, "")];
    assert_eq!(with(&text).warnings(), expected);
}

#[test]
fn what_a_name_leads_to_may_stand_in_another_file() {
    let names = r#"{ "model": "mine/x", "default_agent": "r" }"#;
    let has = r#"{ "provider": { "mine": {} }, "agent": { "r": {} } }"#;
    for (project, global) in [(names, has), (has, names)] {
        with(project).global(global).config();
    }
    // One that another file takes back does not count.
    with(r#"{ "model": "known/x" }"#).global(r#"{ "model": "nobody/x" }"#).config();
    // Nobody knows what stands in a file that cannot be read.
    let broken = with(names).global("{ \"provider\": ").error();
    assert_eq!(broken.lines().count(), 1, "{broken}");
}

#[test]
fn they_are_told_with_everything_else_that_is_wrong() {
    let error = with("{ \"agent\": \"zzz\",\n\"model\": \"nobody/x\",\n\"server\": 5 }").error();
    let lines: Vec<_> = error.lines().filter_map(|line| line.split_once(": e")).collect();
    let places: Vec<_> = lines.iter().map(|(place, _)| *place).collect();
    let expected =
        ["opencode.json:3: server", "opencode.json:1: default_agent", "opencode.json:2: model"];
    assert_eq!(places, expected, "{error}");
}

#[test]
fn a_file_alone_is_warned_of() {
    let place = Place::new().file("home/app/x.json", r#"{ "agent": "zzz", "model": "nobody/x" }"#);
    let warnings = check(&place.path("home/app/x.json"), &Env::default(), &["known"]).unwrap();
    let told = |what: &str| warnings.iter().filter(|line| line.contains(what)).count();
    assert_eq!((told("found \"zzz\", unless"), told("found \"nobody/x\", unless")), (1, 1));
}

#[test]
fn instructions_that_are_not_there_are_warned_of() {
    let list = "[\"here.md\",\n\"nosuch.md\",\n\"none/*.md\", \"x{a,b}\", \"\"] }";
    let place = with(&format!("{{ \"instructions\": {list}")).file("home/app/here.md", "x");
    let wrong = "there is no such file, and the model is told without it";
    assert_eq!(place.warnings(), [format!("opencode.json:2: instructions[1]: {wrong}")]);
    let absent = Place::new()
        .global("{ \"instructions\": [\"~/here.md\", \"~/nosuch.md\", \"/nosuch/x\"] }")
        .file("home/here.md", "x");
    let file = "~/.config/opencode/opencode.json:1: instructions";
    assert_eq!(absent.warnings(), [1, 2].map(|item| format!("{file}[{item}]: {wrong}")));
}
