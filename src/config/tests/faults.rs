//! What is wrong is told with its line and with what to do.

use proptest::prelude::*;

use super::*;

/// The error of a project's `opencode.json`.
fn error(text: &str) -> String {
    Place::with(text).error()
}

#[test]
fn a_wrong_value_is_told_with_its_line() {
    for (text, expected) in [
        (
            "{\n\n \"server\": {\n  \"port\": \"abc\" } }",
            "opencode.json:4: server.port: expected a number from 0 to 65535, found \"abc\"",
        ),
        (
            "{ \"server\": { \"port\": 70000 } }",
            "opencode.json:1: server.port: expected a number from 0 to 65535, found 70000",
        ),
        (
            "{ \"server\": { \"port\": 80.5 } }",
            "opencode.json:1: server.port: expected a number from 0 to 65535, found 80.5",
        ),
        (
            "{ \"server\": {\r\n \"mdns\": \"yes\" } }",
            "opencode.json:2: server.mdns: expected true or false, found \"yes\"",
        ),
        ("{ \"server\": [] }", "opencode.json:1: server: expected an object, { … }, found a list"),
        (
            "{ \"server\": { \"hostname\": null } }",
            "opencode.json:1: server.hostname: expected a host name or address to listen on, such as \"127.0.0.1\" or \"0.0.0.0\", found null",
        ),
        (
            "{ \"server\": { \"mdnsDomain\": \"box\" } }",
            "opencode.json:1: server.mdnsDomain: expected a name that ends in .local, such as \"opencode.local\", found \"box\"",
        ),
        (
            "{ \"server\": { \"trustedProxies\": [\"10.0.0.0/8\"] } }",
            "opencode.json:1: server.trustedProxies[0]: expected an address such as \"10.0.0.2\"; ranges are not supported, found \"10.0.0.0/8\"",
        ),
        (
            "{ \"server\": { \"limits\": { \"turns\": 0 } } }",
            "opencode.json:1: server.limits.turns: expected a whole number, 1 or more, found 0",
        ),
        (
            "{ \"server\": { \"limits\": { \"idleSeconds\": -1 } } }",
            "opencode.json:1: server.limits.idleSeconds: expected a number of seconds above 0, such as 30 or 0.5, and at most a year, found -1",
        ),
        (
            "{ \"model\": \"gpt\" }",
            "opencode.json:1: model: expected provider/model, such as \"anthropic/claude-sonnet-4\", found \"gpt\"",
        ),
        (
            "{ \"permission\": { \"bash\": \"sometimes\" } }",
            "opencode.json:1: permission.bash: expected \"allow\", \"ask\" or \"deny\", or an object that gives one to each pattern, found \"sometimes\"",
        ),
        (
            "{ \"instructions\": \"a.md\" }",
            "opencode.json:1: instructions: expected a list of paths, found \"a.md\"",
        ),
        (
            "{ \"server\": {\n \"password\": \"hush\" } }",
            "opencode.json:2: server.password: is not set in a file that may be shared; delete it here and set the environment variable OPENCODE_SERVER_PASSWORD",
        ),
        (
            "{ \"provider\": { \"x\": { \"options\": { \"apiKey\": 123456 } } } }",
            "opencode.json:1: provider.x.options.apiKey: expected a text in double quotes, found a number",
        ),
        (
            "{ \"provider\": { \"x\": { \"options\": { \"baseURL\": \"llm.example.com\" } } } }",
            "opencode.json:1: provider.x.options.baseURL: expected an address that begins with http:// or https://, such as \"https://api.openai.com/v1\", found \"llm.example.com\"",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn a_tool_s_name_that_is_nobody_s_is_told() {
    let groups = "there are bash, edit_file, glob, grep, list_dir, read_file, write_file, edit, list, read, write";
    let elsewhere = "has no effect: this program has nothing of this name";
    let nobody = |rest: &str| format!("has no effect: no tool has this name; {rest}");
    let meant = |name: &str| nobody(&format!("did you mean \"{name}\"?"));
    for (key, expected) in [
        ("bsh", meant("bash")),
        ("Bash", meant("bash")),
        ("bash ", meant("bash")),
        ("bsh*", meant("bash")),
        ("Edit", meant("edit")),
        ("shell", nobody(groups)),
        ("", nobody(groups)),
        ("webfetch", elsewhere.to_owned()),
        ("web*", elsewhere.to_owned()),
        ("external_directory", elsewhere.to_owned()),
    ] {
        for value in ["\"deny\"", "{ \"x*\": \"deny\" }"] {
            let rule = format!("{{\n{key:?}: {value} }}");
            let shown = if key.is_empty() || key.contains(' ') {
                format!("{key:?}")
            } else {
                key.to_owned()
            };
            let of_all = Place::with(&format!("{{ \"permission\": {rule} }}"));
            let told = format!("permission.{shown}: {expected}");
            assert_eq!(of_all.warnings(), [format!("opencode.json:2: {told}")]);
            let text = format!("{{ \"agent\": {{ \"x\": {{ \"permission\": {rule} }} }} }}");
            let of_agent = Place::with(&text);
            assert_eq!(of_agent.warnings(), [format!("opencode.json:2: agent.x.{told}")]);
        }
    }
    let tools = |key: &str| {
        let text = format!("{{ \"agent\": {{ \"x\": {{ \"tools\": {{\n{key:?}: false }} }} }} }}");
        Place::with(&text).warnings()
    };
    for (key, expected) in [
        ("bsh", meant("bash")),
        ("Bash", meant("bash")),
        ("edit", meant("edit_file")),
        ("write", meant("write_file")),
        ("bash*", meant("bash")),
        ("webfetch", elsewhere.to_owned()),
    ] {
        assert_eq!(tools(key), [format!("opencode.json:2: agent.x.tools.{key}: {expected}")]);
    }
    for key in super::TOOLS.iter().chain(&["*"]) {
        assert!(tools(key).is_empty(), "{key}");
    }
    for key in
        super::TOOLS.iter().chain(&["*", "edit", "read", "list", "write", "b*", "?ash", "*_file"])
    {
        let text = format!("{{ \"permission\": {{ {key:?}: \"deny\" }} }}");
        assert_eq!(Place::with(&text).warnings(), [""; 0], "{key}");
    }
}

#[test]
fn an_agent_that_is_nearly_a_built_in_one_is_told() {
    let warnings = |name: &str| {
        let agent = "{ \"permission\": \"deny\" }";
        Place::with(&format!("{{ \"agent\": {{\n\"{name}\": {agent} }} }}")).warnings()
    };
    for (name, meant) in [("Build", "build"), ("bulid", "build"), ("PLAN", "plan")] {
        let told = format!(
            "opencode.json:2: agent.{name}: is an agent of its own; did you mean \"{meant}\", which is always there?"
        );
        assert_eq!(warnings(name), [told]);
    }
    for name in ["build", "plan", "builder", "planner", "docs"] {
        assert_eq!(warnings(name), [""; 0], "{name}");
    }
}

#[test]
fn all_wrong_values_are_told_at_once() {
    let place = Place::with("{ \"server\": { \"port\": -1,\n\"mdns\": 3 },\n\"model\": 4 }")
        .global("{\n\"model\": 5 }")
        .env("OPENCODE_PORT", "x");
    let lines: Vec<String> = place.error().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    for (line, place) in lines.iter().zip([
        "~/.config/opencode/opencode.json:2: model: ",
        "opencode.json:1: server.port: ",
        "opencode.json:2: server.mdns: ",
        "opencode.json:3: model: ",
        "OPENCODE_PORT: expected a number from 0 to 65535, found \"x\"",
    ]) {
        assert!(line.starts_with(place), "{line}");
    }
}

#[test]
fn a_syntax_error_is_told_in_plain_words() {
    for (text, line, words) in [
        ("{\n \"a\": 1\n \"b\": 2 }", 2, "expected a comma after this value"),
        ("{\n \"a\" 1 }", 2, "expected a colon"),
        ("{\n \"a\": }", 2, "expected a value"),
        ("{\n \"a\": 'x' }", 2, "expected double quotes"),
        ("{\n a: 1 }", 2, "expected a key in double quotes"),
        ("{\n \"a\": yes }", 2, "expected a value; a text needs double quotes"),
        ("\n{\n \"a\": 1", 2, "is never closed; expected a }"),
        ("{\n \"a\": [1,\n 2", 2, "is never closed; expected a ]"),
        ("{\n \"a\": \"x }\n", 2, "this text is never closed"),
        ("{\n /* x", 2, "the comment that begins here"),
        ("{}\n{}", 2, "expected the end of the file"),
        ("{\n\"a\": \"\\x\" }", 2, "expected a valid escape"),
        ("{\n\"a\": 0x10 }", 2, "expected a number in plain decimal digits"),
        ("[]", 1, "expected an object"),
        ("{\n\"a\": 1e999 }", 2, "this number is too large"),
    ] {
        let error = error(text);
        let (place, message) = error.split_once(": ").unwrap();
        assert_eq!(place, format!("opencode.json:{line}"), "{text}: {error}");
        assert!(message.contains(words), "{text}: {error}");
    }
}

#[test]
fn an_unknown_package_lists_the_known_ones() {
    let error = error("{ \"provider\": { \"x\": {\n\"npm\": \"@ai-sdk/amazon-bedrock\" } } }");
    assert!(error.starts_with("opencode.json:2: provider.x.npm: expected a package whose"));
    assert!(error.contains("@ai-sdk/openai-compatible") && error.ends_with("bedrock\""));
}

#[test]
fn errors_show_no_secret() {
    for options in [
        r#"{ "baseURL": "ftp://me:hush@a.b" }"#,
        r#"{ "apiKey": ["hush"] }"#,
        r#"{ "apiKey": "hush\nhush" }"#,
        r#"{ "headers": "hush" }"#,
        r#"{ "headers": { "a:": "hush" } }"#,
        r#""hush""#,
    ] {
        let error =
            error(&format!("{{ \"provider\": {{ \"x\": {{ \"options\": {options} }} }} }}"));
        assert!(error.starts_with("opencode.json:1: provider.x.options"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
}

#[test]
fn wrong_origins_say_why() {
    for (origin, words) in [
        ("*", "would let every web page run commands here; list each origin"),
        ("null", "list the origin of your page"),
        ("http://a/b", "expected only scheme, host and port, found \"http://a/b\""),
        ("https://*.a.b", "patterns are not supported"),
        ("localhost:5173", "expected an origin, scheme://host[:port]"),
    ] {
        let error = error(&format!("{{ \"server\": {{\n\"cors\": [\n\"{origin}\"] }} }}"));
        assert!(error.starts_with("opencode.json:3: server.cors[0]: "), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn unknown_keys_are_warnings() {
    let place = Place::with(
        "{ \"$schema\": \"x\",\n\"theme\": \"dark\",\n\"modle\": 1,\n\"port\": 1,\n\"server\": {\n\"hostnmae\": \"a\" },\n\"provider\": { \"x\": { \"options\": {\n\"baseUrl\": \"http://a\",\n\"timeout\": 3, \"quux\": 1 } } } }",
    );
    assert_eq!(
        place.warnings(),
        [
            "opencode.json:2: theme is not used by this program",
            "opencode.json:3: modle is not a known setting; did you mean \"model\"?",
            "opencode.json:4: port is not a known setting; put it into the section \"server\": { … }",
            "opencode.json:6: server.hostnmae is not a known setting; did you mean \"hostname\"?",
            "opencode.json:8: provider.x.options.baseUrl is not a known setting; did you mean \"baseURL\"?",
            "opencode.json:9: provider.x.options.timeout is not used by this program",
            "opencode.json:9: provider.x.options.quux is not a known setting",
        ]
    );
}

#[test]
fn a_key_written_twice_is_a_warning() {
    let place = Place::with("{ \"model\": \"a/b\",\n\"model\": \"c/d\" }");
    assert_eq!(place.config().model.as_deref(), Some("c/d"));
    assert_eq!(
        place.warnings(),
        [
            "opencode.json:2: \"model\" is written twice and only this one counts; delete that of opencode.json:1"
        ]
    );
}

#[test]
fn bad_twins_name_the_variable() {
    for (name, value, expected) in [
        ("OPENCODE_PORT", "abc", "expected a number from 0 to 65535, found \"abc\""),
        ("OPENCODE_PORT", "65536", "expected a number from 0 to 65535, found 65536"),
        ("OPENCODE_MDNS", "on", "expected true or false, found \"on\""),
        ("OPENCODE_BASE_PATH", "a b", "expected a path such as \"/opencode\", found \"a b\""),
    ] {
        let error = Place::new().env(name, value).error();
        assert_eq!(error, format!("{name}: {expected}"));
    }
}

#[test]
fn messages_hold_no_control_characters() {
    let place = Place::with("{ \"a\\u001b]0;x\\u0007\": 1 }");
    assert_eq!(place.warnings(), ["opencode.json:1: a\\u{1b}]0;x\\u{7} is not a known setting"]);
}

#[test]
fn very_deep_and_very_wide_files_are_read_or_refused() {
    assert!(error(&"[".repeat(100_000)).contains("fewer levels"));
    let wide: Vec<String> = (0..60_000).map(|number| format!("\"k{number}\": 1")).collect();
    let wide = format!("{{ {} }}", wide.join(","));
    assert_eq!(Place::with(&wide).global(&wide).warnings().len(), 51);
    let braces = format!("{{ \"model\": \"a/{}\" }}", "{env:".repeat(100_000));
    assert!(Place::with(&braces).load().is_ok());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Place::new().file("home/app/opencode.json", bytes).load();
    }

    #[test]
    fn no_text_makes_it_panic(
        text in "(\\{|\\}|\\[|\\]|:|,|\"|'|/\\*|//|\n|\r|\\\\u12|\\\\|-|1|é|\u{1F600}|true|\"server\":|\"provider\":|\"agent\":|\"x\":|\"\\{env:A\\}\"|\"\\{file:\\}\"){0,40}"
    ) {
        let _ = Place::with(&text).load();
    }
}
