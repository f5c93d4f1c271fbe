//! Command lines.

use std::time::{Duration, Instant};

use super::*;

fn table(rules: &Value, rows: &[(&str, &str)]) {
    for (line, expected) in rows {
        let decision = bash(rules, line, &[]);
        assert_eq!(word(&decision), *expected, "{line}: {decision:?}");
    }
}

#[test]
fn an_allow_list() {
    table(
        &json!({ "*": "ask", "git status *": "allow", "git log *": "allow", "ls *": "allow", "echo 'a b'": "allow" }),
        &[
            ("git status", "allow"),
            ("git   status --porcelain", "allow"),
            ("git statusx", "ask"),
            ("git push", "ask"),
            ("git status && ls -l", "allow"),
            ("git status\nls", "allow"),
            ("git log | ls 2>&1 >/dev/null", "allow"),
            ("git status && rm x", "ask"),
            ("git status; rm x", "ask"),
            ("git status | sh", "ask"),
            ("git status & rm x", "ask"),
            ("git status\nrm x", "ask"),
            ("ls $(rm x)", "ask"),
            ("ls `rm x`", "ask"),
            ("ls \"$(rm x)\"", "ask"),
            ("ls <(rm x)", "ask"),
            ("ls > /etc/passwd", "ask"),
            ("LD_PRELOAD=./x.so ls", "ask"),
            ("ls ${x:=$(rm x)}", "ask"),
            ("ls ${x@P}", "ask"),
            ("ls $HOME *.rs", "allow"),
            ("(ls)", "ask"),
            ("{ ls; }", "ask"),
            ("if ls; then ls; fi", "ask"),
            ("ls() { rm x; }; ls", "ask"),
            ("ls <<E\nE", "ask"),
            ("$X", "ask"),
            ("l? x", "ask"),
            ("ls 'x", "ask"),
            ("ls \\", "ask"),
            ("'ls' x", "ask"),
            ("/tmp/ls x", "ask"),
            ("sudo ls", "ask"),
            ("echo 'a b'", "allow"),
            ("echo a b", "ask"),
            ("", "ask"),
            ("# ls", "ask"),
            ("ls # rm x", "allow"),
        ],
    );
}

#[test]
fn a_deny_list() {
    table(
        &json!({ "*": "allow", "rm *": "deny", "git push *": "ask" }),
        &[
            ("ls", "allow"),
            ("rm", "deny"),
            ("rm -rf x", "deny"),
            ("ls && rm x", "deny"),
            ("git push && rm x", "deny"),
            ("git push", "ask"),
            ("git status", "allow"),
            ("r''m -rf x", "deny"),
            ("\\rm x", "deny"),
            ("'rm' x", "deny"),
            ("r\\m x", "deny"),
            ("/bin/rm x", "deny"),
            ("../../bin/rm x", "deny"),
            ("echo $(rm -rf x)", "deny"),
            ("echo `rm x`", "deny"),
            ("echo \"a $(echo \"$(rm x)\")\"", "deny"),
            ("(rm x)", "deny"),
            ("{ rm x; }", "deny"),
            ("if true; then rm x; fi", "deny"),
            ("for f in *; do rm $f; done", "deny"),
            ("X=1 rm x", "deny"),
            (">x rm y", "deny"),
            ("f() { rm x; }; f", "deny"),
            ("bash <<E\nrm x\nE", "deny"),
            ("cat <(rm x)", "deny"),
            ("! rm x", "deny"),
            ("time rm x", "deny"),
            ("r${X}m x", "deny"),
            ("$X rm x", "deny"),
            ("sudo rm x", "deny"),
            ("sudo -u root /bin/rm x", "deny"),
            ("env A=1 rm x", "deny"),
            ("env '-Srm x'", "deny"),
            ("env --split-string='rm x'", "deny"),
            ("setarch x86_64 rm x", "deny"),
            ("choom -n 0 -- rm x", "deny"),
            ("sg root 'rm x'", "deny"),
            ("echo x | xargs rm", "deny"),
            ("find . -name x -exec rm {} +", "deny"),
            ("timeout 5 sudo rm x", "deny"),
            ("bash -c 'rm x'", "deny"),
            ("bash -c 'ls; rm x'", "deny"),
            ("sudo sh -c \"bash -c 'rm x'\"", "deny"),
            ("eval 'rm x'", "deny"),
            ("eval rm x", "deny"),
            ("trap 'rm x' EXIT", "deny"),
            ("let 'a[$(rm x)]'", "ask"),
            ("test -v 'a[$(rm x)]'", "ask"),
            ("git -C there push", "ask"),
            ("git -c a=b --no-pager push", "ask"),
            ("sudo git -C there push", "ask"),
            // What cannot be seen may be what is restricted.
            ("$X x", "ask"),
            ("git $X", "ask"),
            ("/usr/bin/git $X", "ask"),
            ("git p*", "ask"),
            ("git {push,x}", "ask"),
            ("$(echo r)m x", "ask"),
            ("$'\\x72m' x", "ask"),
            ("bash -c \"$X\"", "ask"),
            ("sudo $X x", "ask"),
            ("eval \"$X\"", "ask"),
            ("alias x=rm\nx y", "ask"),
            ("hash -p /bin/rm ls; ls x", "ask"),
            ("source ./x", "ask"),
            ("echo $(date)", "ask"),
            ("echo x > y", "ask"),
            // And what can be seen is not.
            ("ls $HOME *.rs", "allow"),
            ("git log $X", "allow"),
            ("git commit -m 'rm x'", "allow"),
            ("echo rm x", "allow"),
            ("grep 'rm' x | wc -l", "allow"),
            ("find . -name '*.rs'", "allow"),
            ("rmdir x", "allow"),
        ],
    );
}

#[test]
fn what_restricts_nothing_needs_no_reading() {
    let unread = "for f in $(ls); do rm \"$f\" > log; done";
    for rules in [
        json!("allow"),
        json!({}),
        json!({ "*": "allow" }),
        json!({ "rm *": "deny", "*": "allow" }),
        json!({ "git *": "allow" }),
    ] {
        assert_eq!(bash(&rules, unread, &[]), Decision::Allow, "{rules}");
        assert_eq!(bash(&rules, "a 'b", &[]), Decision::Allow, "{rules}");
    }
    table(&json!("ask"), &[("ls", "ask"), (unread, "ask")]);
    table(&json!("deny"), &[("ls", "deny"), (unread, "deny"), ("", "deny")]);
    table(&json!({ "*": "deny", "ls *": "allow" }), &[("ls", "allow"), ("ls > x", "deny")]);
}

#[test]
fn the_last_rule_that_fits_wins() {
    table(
        &json!({ "git *": "deny", "git status": "allow" }),
        &[("git status", "allow"), ("git status && git push", "deny")],
    );
    table(&json!({ "rm *": "deny", "/bin/rm *": "allow" }), &[("/bin/rm x", "allow")]);
    table(&json!({ "/bin/rm *": "allow", "rm *": "deny" }), &[("/bin/rm x", "deny")]);
    table(&json!({ "/bin/rm *": "deny" }), &[("/bin/rm x", "deny"), ("/bin/* x", "ask")]);
    table(
        &json!({ "*": "ask", "rm *": "deny", "sudo *": "allow" }),
        &[("sudo ls", "allow"), ("sudo rm x", "deny")],
    );
    table(
        &json!({ "*": "allow", "curl * | *sh": "deny" }),
        &[("curl x | sh", "deny"), ("curl x", "allow")],
    );
}

#[test]
fn always_offers_no_more_than_the_same_kind_of_command() {
    for (line, expected) in [
        ("git push origin main", &["git push *"][..]),
        ("git push", &["git push *"]),
        ("npm test", &["npm test *"]),
        ("npm run build -- -w", &["npm run build *"]),
        ("npm run", &["npm run"]),
        ("cargo test x && git push", &["cargo test *", "git push *"]),
        ("git push && git push x", &["git push *"]),
        ("ls -l *.rs", &["ls *"]),
        ("rm -rf x", &["rm -rf x"]),
        ("rm *", &["rm *"]),
        ("sh x", &["sh x"]),
        ("bash -c ls", &["bash -c ls"]),
        ("sudo ls", &["sudo ls"]),
        ("env", &["env"]),
        ("xargs ls", &["xargs ls"]),
        ("python -c 'x'", &["python -c 'x'"]),
        ("node x.js", &["node x.js"]),
        ("git -C x push", &["git -C x push"]),
        ("git config alias.x '!sh'", &["git config alias.x '!sh'"]),
        ("git push --receive-pack=x y", &["git push --receive-pack=x y"]),
        ("git push --rec=x y", &["git push --rec=x y"]),
        ("git diff --output=x", &["git diff --output=x"]),
        ("git push $X", &["git push $X"]),
        ("cargo build --config x", &["cargo build --config x"]),
        ("go test -exec x", &["go test -exec x"]),
        ("make x", &["make x"]),
        ("'git' push", &["'git' push"]),
        ("./git push", &["./git push"]),
        ("ls > x", &["ls > x"]),
        ("  (ls; rm x) ", &["(ls; rm x)"]),
    ] {
        assert_eq!(always(bash(&json!("ask"), line, &[])), expected, "{line}");
    }
    // A rule on a special case is answered for itself.
    let rules = json!({ "git push *": "ask", "git push --force *": "ask", "*key*": "ask" });
    assert_eq!(always(bash(&rules, "git push a", &[])), ["git push *"]);
    assert_eq!(always(bash(&rules, "git push --force a", &[])), ["git push --force a"]);
    assert_eq!(always(bash(&rules, "cat key", &[])), ["cat key"]);
    assert!(always(bash(&json!("ask"), " ", &[])).is_empty());
}

#[test]
fn a_grant_answers_an_ask_and_nothing_else() {
    let rules = json!({ "*": "ask", "rm *": "deny", "git push --force *": "ask" });
    let granted: Vec<Grant> =
        ["git push *", "make x", "ls *", "mv *", "rm x", "(make; ls)", "git push $X"]
            .iter()
            .map(|pattern| grant("bash", pattern))
            .collect();
    for (line, expected) in [
        ("git push", "allow"),
        ("git push origin", "allow"),
        ("git push origin && ls -l", "allow"),
        ("git push --receive-pack=x y", "ask"),
        ("git push --force", "ask"),
        ("git push origin $X", "ask"),
        ("git push $X", "allow"),
        ("git push origin && make", "ask"),
        ("git push > x", "ask"),
        ("git push $(ls)", "ask"),
        ("git pushx", "ask"),
        ("/tmp/git push", "ask"),
        ("make x", "allow"),
        ("make   x && ls", "allow"),
        ("make x y", "ask"),
        // A star that a command has is a star.
        ("mv *", "allow"),
        ("mv a b", "ask"),
        ("(make; ls)", "allow"),
        ("(make;ls)", "ask"),
        ("rm x", "deny"),
        ("ls && rm x", "deny"),
    ] {
        let decision = bash(&rules, line, &granted);
        assert_eq!(word(&decision), expected, "{line}: {decision:?}");
    }
    let other = [grant("read_file", "*"), grant("bash", "*"), grant("bash", "git *")];
    assert_eq!(word(&bash(&rules, "git push", &other)), "ask");
}

#[test]
fn what_was_offered_answers_the_same_call() {
    let rules = json!({ "*": "ask", "git push --force *": "ask", "wc*x": "ask" });
    for line in [
        "git push",
        "git push --force",
        "ls; rm x",
        "echo $(x)",
        "a 'b",
        "wc x",
        "sudo rm x",
        "X=1 a",
        "git $X",
    ] {
        let offered = always(bash(&rules, line, &[]));
        let grants: Vec<Grant> = offered.iter().map(|pattern| grant("bash", pattern)).collect();
        assert_eq!(bash(&rules, line, &grants), Decision::Allow, "{line}");
    }
}

#[test]
fn reasons_name_the_rule() {
    let rules = json!({ "git push *": "ask", "rm *": "deny" });
    let why = |line: &str| reason(bash(&rules, line, &[]));
    assert_eq!(why("git push x"), "the configuration asks before `git push *`");
    assert_eq!(why("ls; rm x"), "the configuration denies `rm *`");
    assert_eq!(
        why("echo $(date)"),
        "the configuration denies `rm *`, which this may be: it substitutes a command"
    );
    assert_eq!(
        why("git $X"),
        "the configuration asks before `git push *`, which this may be: not all of it can be seen"
    );
    assert_eq!(reason(bash(&json!("ask"), "ls", &[])), "the configuration asks before `bash`");
}

#[test]
fn hostile_lines_are_decided_in_no_time() {
    let rules = json!({ "*": "allow", "rm *": "deny", "*a*b*c": "deny", "sudo ? * x": "ask" });
    let long = 20_000;
    for line in [
        "sudo ".repeat(long),
        format!("git {}", "-a ".repeat(long)),
        "eval ' ".repeat(long),
        "bash -c \"".repeat(long),
        "bash -c '(' ; ".repeat(long),
        "(".repeat(long * 5),
        "a;".repeat(long),
        "$(".repeat(long),
        format!("rm {}", "x".repeat(long * 5)),
        format!("sudo {}", "a".repeat(long * 5)),
    ] {
        let start = Instant::now();
        let decision = bash(&rules, &line, &[]);
        // One program with a name of that length is nothing hard.
        let expected = if line.starts_with("sudo a") {
            "allow"
        } else if line.starts_with("rm") {
            "deny"
        } else {
            "ask"
        };
        assert_eq!(word(&decision), expected, "{}", &line[..20]);
        assert!(start.elapsed() < Duration::from_secs(2), "{}", &line[..20]);
    }
}
