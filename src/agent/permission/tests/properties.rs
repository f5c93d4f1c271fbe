//! What holds for any input.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::shell;
use super::*;

/// Lines made of what matters to a shell.
fn lines() -> impl Strategy<Value = String> {
    let parts = [
        "git ",
        "ls",
        "rm ",
        "-x",
        " ",
        " ",
        "\t",
        "\n",
        ";",
        "&",
        "|",
        "(",
        ")",
        "{",
        "}",
        "<",
        ">",
        "$",
        "$(",
        "${",
        "`",
        "'",
        "\"",
        "\\",
        "#",
        "*",
        "?",
        "[",
        "=",
        "X",
        "/dev/null",
        "2>&1",
        "if ",
        "then ",
        "!",
        "~",
        "é",
        "eval ",
        "sudo ",
        "bash -c ",
        "0",
    ];
    vec(prop::sample::select(parts.to_vec()), 0..24).prop_map(|parts| parts.concat())
}

fn rules() -> impl Strategy<Value = Value> {
    let patterns = ["*", "git *", "ls", "ls *", "rm *", "*x", "?", "", "a*b*", "git -x"];
    let actions = ["allow", "ask", "deny"];
    let pair = (prop::sample::select(patterns.to_vec()), prop::sample::select(actions.to_vec()));
    vec(pair, 0..6).prop_map(|pairs| {
        let patterns = pairs.into_iter().map(|(pattern, action)| (pattern.into(), action.into()));
        Value::Object(patterns.collect())
    })
}

proptest! {
    #[test]
    fn nothing_panics(line in lines(), other in ".{0,60}", rules in rules(), tool in "[a-z_]{0,9}") {
        for line in [&line, &other] {
            bash(&rules, line, &[grant("bash", line), grant("bash", "ls *")]);
            for tool in ["read_file", "edit_file", "list_dir", "glob", "grep", &tool] {
                let policy = Policy::new(&json!({ tool: rules.clone() }), &rules);
                let args = json!({ "path": line, "pattern": line, "x": line });
                let _ = policy.decide(tool, &args, &[]);
            }
        }
    }

    #[test]
    fn what_patterns_allow_is_commands_that_each_match(line in lines()) {
        let rules = json!({ "*": "ask", "git *": "allow", "ls *": "allow" });
        if bash(&rules, &line, &[]) == Decision::Allow {
            let read = shell::read(&line);
            prop_assert_eq!(read.unread, None);
            prop_assert!(!read.commands.is_empty());
            for words in read.commands {
                prop_assert!(words[0].is_plain());
                prop_assert!(["git", "ls"].contains(&&*words[0].source), "{}", line);
            }
        }
    }

    #[test]
    fn more_rules_that_restrict_never_allow_more(line in lines(), rules in rules()) {
        let stricter = |rule: Value| {
            let more = Policy::new(&json!({ "bash": rules }), &json!({ "bash": rule }));
            more.decide("bash", &json!({ "command": line }), &[])
        };
        let before = bash(&rules, &line, &[]);
        let after = stricter(json!({ "rm *": "deny" }));
        prop_assert!(before == Decision::Allow || after != Decision::Allow, "{}", line);
        prop_assert_eq!(word(&stricter(json!("deny"))), "deny");
        prop_assert_eq!(word(&stricter(json!("ask"))), "ask");
    }

    #[test]
    fn the_offer_of_an_ask_answers_it(line in lines(), rules in rules()) {
        if let Decision::Ask { always, .. } = bash(&rules, &line, &[]) {
            let grants: Vec<Grant> = always.iter().map(|one| grant("bash", one)).collect();
            if !grants.is_empty() {
                prop_assert_eq!(bash(&rules, &line, &grants), Decision::Allow);
            }
        }
    }

    #[test]
    fn wildcards_agree_with_a_plain_definition(text in "[ab ]{0,8}", pattern in "[ab?* ]{0,6}") {
        fn plain(text: &[u8], pattern: &[u8]) -> bool {
            match (pattern, text) {
                ([], text) => text.is_empty(),
                ([b'*', rest @ ..], text) => (0..=text.len()).any(|at| plain(&text[at..], rest)),
                ([b'?', rest @ ..], [_, text @ ..]) => plain(text, rest),
                ([one, rest @ ..], [other, text @ ..]) => one == other && plain(text, rest),
                (_, []) => false,
            }
        }
        let stem = pattern.strip_suffix(" *");
        let expected = plain(text.as_bytes(), pattern.as_bytes())
            || stem.is_some_and(|stem| plain(text.as_bytes(), stem.as_bytes()));
        prop_assert_eq!(crate::text::matches(&text, &pattern), expected);
    }
}
