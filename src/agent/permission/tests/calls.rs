//! Calls of other tools, and how rules come together.

use super::*;

fn decide(rules: &Value, tool: &str, args: &Value) -> &'static str {
    let policy = Policy::new(rules, &Value::Null).in_project(Path::new("/home/me/app"));
    word(&policy.decide(tool, args, &[]))
}

#[test]
fn everything_is_allowed_where_nothing_is_said() {
    for tool in
        ["read_file", "write_file", "edit_file", "list_dir", "glob", "grep", "bash", "other"]
    {
        assert_eq!(decide(&Value::Null, tool, &json!({})), "allow");
        assert_eq!(decide(&json!("deny"), tool, &json!({})), "deny");
        assert_eq!(decide(&json!({ "*": "ask" }), tool, &json!({})), "ask");
        assert_eq!(decide(&json!("ask"), tool, &json!(null)), "ask");
    }
}

#[test]
fn tools_by_all_their_names() {
    let path = json!({ "path": "a" });
    for (rules, tool, expected) in [
        (json!({ "edit": "deny" }), "write_file", "deny"),
        (json!({ "edit": "deny" }), "edit_file", "deny"),
        (json!({ "edit": "deny" }), "read_file", "allow"),
        (json!({ "edit_file": "deny" }), "write_file", "allow"),
        (json!({ "list": "ask" }), "list_dir", "ask"),
        (json!({ "edit": "deny", "write_file": "allow" }), "write_file", "allow"),
        (json!({ "write_file": "allow", "edit": "deny" }), "write_file", "deny"),
        (json!({ "*": "deny", "read": "allow" }), "read_file", "allow"),
        (json!({ "read": "allow", "*": "deny" }), "read_file", "deny"),
    ] {
        assert_eq!(decide(&rules, tool, &path), expected, "{rules} {tool}");
    }
}

#[test]
fn files_by_their_path() {
    let rules = json!({ "edit": { "*": "deny", "src/*": "allow", "src/key*": "ask" } });
    for (path, expected) in [
        ("src/a.rs", "allow"),
        ("./src//a/b.rs", "allow"),
        ("/home/me/app/src/a.rs", "allow"),
        ("/home/me/other/src/a.rs", "deny"),
        ("docs/a", "deny"),
        ("src/key.pem", "ask"),
        ("src/./key.pem", "ask"),
        ("/home/me/app/src/key.pem", "ask"),
        // Up from where a link may lead: no pattern allows it.
        ("src/x/../key.pem", "ask"),
        ("src/x/../a.rs", "deny"),
        ("src/../docs/a", "deny"),
        ("", "deny"),
    ] {
        assert_eq!(decide(&rules, "write_file", &json!({ "path": path })), expected, "{path}");
    }
    let env = json!({ "read": { "*": "allow", "*.env": "deny", "*.env.example": "allow" } });
    for (path, expected) in
        [("a", "allow"), (".env", "deny"), ("x/y.env", "deny"), ("x.env.example", "allow")]
    {
        assert_eq!(decide(&env, "read_file", &json!({ "path": path })), expected, "{path}");
    }
}

#[test]
fn searches_by_their_pattern_and_restricted_by_their_path() {
    let rules = json!({ "grep": { "*": "ask", "TODO*": "allow", "secret/*": "deny" } });
    for (args, expected) in [
        (json!({ "pattern": "TODO" }), "allow"),
        (json!({ "pattern": "x" }), "ask"),
        (json!({ "pattern": "TODO", "path": "src" }), "allow"),
        (json!({ "pattern": "TODO", "path": "./secret/x" }), "deny"),
        (json!({ "pattern": "TODO", "include": "secret/*" }), "deny"),
        (json!({ "pattern": 1 }), "ask"),
    ] {
        assert_eq!(decide(&rules, "grep", &args), expected, "{args}");
    }
    let rules = json!({ "list": { "secret": "deny" }, "glob": { "*.env": "deny" } });
    assert_eq!(decide(&rules, "list_dir", &json!({ "path": "secret/" })), "deny");
    assert_eq!(decide(&rules, "list_dir", &json!({})), "allow");
    assert_eq!(decide(&rules, "glob", &json!({ "pattern": "**/*.env" })), "deny");
}

#[test]
fn a_tool_that_is_not_known_is_allowed_by_no_pattern() {
    let rules = json!({ "web*": { "*": "ask", "https://a/*": "allow", "https://b/*": "deny" } });
    assert_eq!(decide(&rules, "webfetch", &json!({ "url": "https://a/x" })), "ask");
    assert_eq!(decide(&rules, "webfetch", &json!({ "url": "https://b/x" })), "deny");
    let rules = json!({ "webfetch": { "https://b/*": "deny" } });
    assert_eq!(decide(&rules, "webfetch", &json!({ "url": "https://a/x" })), "ask");
    assert_eq!(decide(&rules, "other", &json!({ "url": "https://b/x" })), "allow");
}

#[test]
fn always_is_for_the_tool_or_for_the_path() {
    let policy = Policy::new(&json!({ "edit": "ask", "read": { "*.env": "ask" } }), &Value::Null);
    let write = |path: &str, grants: &[Grant]| {
        policy.decide("write_file", &json!({ "path": path }), grants)
    };
    let read =
        |path: &str, grants: &[Grant]| policy.decide("read_file", &json!({ "path": path }), grants);
    assert_eq!(always(write("a", &[])), ["*"]);
    assert_eq!(always(read("./x.env", &[])), ["x.env"]);
    // One answer for both ways of editing, as `edit` is one permission.
    assert_eq!(write("b", &[grant("edit_file", "*")]), Decision::Allow);
    assert_eq!(write("b", &[grant("write_file", "b")]), Decision::Allow);
    assert_eq!(word(&write("a", &[grant("write_file", "b")])), "ask");
    assert_eq!(word(&write("a", &[grant("read_file", "*")])), "ask");
    assert_eq!(read("x.env", &[grant("read_file", "x.env")]), Decision::Allow);
    // Not more than was asked for: a rule on some files is answered for each.
    assert_eq!(word(&read("x.env", &[grant("read_file", "*")])), "ask");
    assert_eq!(word(&read("x.env", &[grant("read_file", "*.env")])), "ask");
    let denied = Policy::new(&json!({ "edit": "deny" }), &Value::Null);
    let decision = denied.decide("edit_file", &json!({ "path": "a" }), &[grant("edit_file", "*")]);
    assert_eq!(reason(decision), "the configuration denies `edit_file`");
    assert_eq!(reason(read(".env", &[])), "the configuration asks before `read_file` for `*.env`");
}

#[test]
fn an_agent_s_rules_come_after_the_global_ones() {
    let global = json!({ "bash": { "*": "ask", "git *": "allow" }, "edit": "deny" });
    let agent = json!({ "bash": { "git push *": "deny" }, "edit": "allow" });
    let policy = Policy::new(&global, &agent);
    let bash = |line: &str| word(&policy.decide("bash", &json!({ "command": line }), &[]));
    assert_eq!(bash("git status"), "allow");
    assert_eq!(bash("git push"), "deny");
    assert_eq!(bash("ls"), "ask");
    assert_eq!(word(&policy.decide("edit_file", &json!({ "path": "a" }), &[])), "allow");
}

#[test]
fn an_untrusted_file_can_only_restrict() {
    let person = json!({ "bash": { "*": "ask", "ls *": "allow", "rm *": "deny" }, "edit": "ask" });
    let merged = json!({ "*": "allow", "bash": { "*": "allow", "ls *": "ask" }, "edit": "deny" });
    let untrusted =
        Policy::stricter_of(Policy::new(&merged, &Value::Null), Policy::new(&person, &Value::Null));
    let decide = |tool: &str, args: Value, grants: &[Grant]| untrusted.decide(tool, &args, grants);
    let bash = |line: &str, grants: &[Grant]| decide("bash", json!({ "command": line }), grants);
    assert_eq!(word(&bash("rm x", &[])), "deny");
    assert_eq!(word(&bash("make", &[])), "ask");
    assert_eq!(word(&bash("ls", &[])), "ask");
    assert_eq!(word(&decide("edit_file", json!({ "path": "a" }), &[])), "deny");
    assert_eq!(word(&decide("read_file", json!({ "path": "a" }), &[])), "allow");
    // Both ask, for one command each; the answer holds for both.
    let offered = always(bash("ls; make", &[]));
    assert_eq!(offered, ["ls *", "make"]);
    let grants: Vec<Grant> = offered.iter().map(|one| grant("bash", one)).collect();
    assert_eq!(bash("ls; make", &grants), Decision::Allow);
    // Who set nothing is not restricted by it.
    let open = Policy::stricter_of(
        Policy::new(&json!({ "edit": "ask" }), &Value::Null),
        Policy::new(&Value::Null, &Value::Null),
    );
    assert_eq!(word(&open.decide("bash", &json!({ "command": "a 'b" }), &[])), "allow");
    assert_eq!(word(&open.decide("edit_file", &json!({ "path": "a" }), &[])), "ask");
}
