//! How command lines are read, case by case.

use super::*;

/// The commands with their words in their bare form, or why the line is unread.
fn told(line: &str) -> Result<Vec<String>, &'static str> {
    let line = read(line);
    match line.unread {
        Some(why) => Err(why),
        None => Ok(bare(&line)),
    }
}

fn bare(line: &Line) -> Vec<String> {
    let text = |words: &Vec<Word>| {
        words.iter().map(|word| word.bare.as_str()).collect::<Vec<_>>().join("|")
    };
    line.commands.iter().map(text).collect()
}

#[test]
fn plain_lines_come_apart() {
    for (line, expected) in [
        ("ls", &["ls"][..]),
        ("  ls\t-l  ", &["ls|-l"]),
        ("a;b", &["a", "b"]),
        ("a ; b ;", &["a", "b"]),
        ("a&&b||c", &["a", "b", "c"]),
        ("a|b|&c", &["a", "b", "c"]),
        ("a & b &", &["a", "b"]),
        ("a\n\n b\n", &["a", "b"]),
        ("a &&\n\n b", &["a", "b"]),
        ("a |\nb", &["a", "b"]),
        ("a # b; c\nd", &["a", "d"]),
        ("a#b", &["a#b"]),
        ("# only a comment", &[]),
        ("", &[]),
        ("git commit -m 'a; b'", &["git|commit|-m|a; b"]),
        ("git commit -m \"a && $b\"", &["git|commit|-m|a && "]),
        ("echo \"it's \\\"so\\\" \\$5 \\x\"", &["echo|it's \"so\" $5 \\x"]),
        ("r''m -rf x", &["rm|-rf|x"]),
        ("r\"\"m x", &["rm|x"]),
        ("\\rm x", &["rm|x"]),
        ("a\\ b c", &["a b|c"]),
        ("a \\\n b", &["a|b"]),
        ("a\\\nb", &["ab"]),
        ("a &\\\n& b |\\\n| c", &["a", "b", "c"]),
        ("a # b\\\nc", &["a", "c"]),
        ("a 2>\\\n&1", &["a"]),
        ("a $\\\nX", &["a|"]),
        ("a '' b", &["a||b"]),
        ("echo $HOME ${X}y $1 $? $$ $@", &["echo||y||||"]),
        ("echo a$ $.", &["echo|a$|$."]),
        ("ls *.rs a? [b] {c,d}", &["ls|*.rs|a?|[b]|{c,d}"]),
        ("find . -exec x {} +", &["find|.|-exec|x|{}|+"]),
        ("a 2>&1", &["a"]),
        ("a 2>&1 | b >/dev/null 2> /dev/null", &["a", "b"]),
        ("a &>/dev/null && b </dev/null", &["a", "b"]),
        ("a 2>&-", &["a"]),
        (">/dev/null a b", &["a|b"]),
        ("a 2 b", &["a|2|b"]),
        ("echo X=1 if then", &["echo|X=1|if|then"]),
        ("'if' a", &["if|a"]),
        ("~/x a", &["~/x|a"]),
    ] {
        assert_eq!(told(line), Ok(expected.iter().map(ToString::to_string).collect()), "{line}");
    }
}

#[test]
fn what_is_not_plain_is_unread_and_still_looked_at() {
    for (line, expected) in [
        ("X=1 a b", &["a|b"][..]),
        ("X+=1", &[]),
        ("X[0]=1 a", &["a"]),
        ("a > f", &["a"]),
        ("a >f b", &["a|b"]),
        ("a >>f", &["a"]),
        ("a 2>f", &["a"]),
        ("a >& f", &["a"]),
        ("a &> f", &["a"]),
        ("a < f", &["a"]),
        ("a >| f", &["a"]),
        ("a > $F", &["a"]),
        ("a > '/dev/nul'l", &["a"]),
        ("a >", &["a"]),
        ("a > > b", &["a"]),
        ("(a; b) c", &["a", "b", "c"]),
        ("a $(b c) d", &["b|c", "a||d"]),
        ("a \"x$(b)y\" d", &["b", "a|xy|d"]),
        ("a `b c` d", &["b|c", "a||d"]),
        ("a $\\\n(b c) d", &["b|c", "a||d"]),
        ("a <\\\n(b)", &["b", "a|"]),
        ("a \"$\\\n(b)\"", &["b", "a|"]),
        ("a \"`b`\"", &["b", "a|"]),
        ("a <(b) >(c)", &["b", "c", "a||"]),
        ("$(b)", &["b", ""]),
        ("$X a", &["|a"]),
        ("r${X}m a", &["rm|a"]),
        ("l* a", &["l*|a"]),
        ("{a,b} c", &["{a,b}|c"]),
        ("if a; then b; elif c; then d; else e; fi", &["a", "b", "c", "d", "e"]),
        ("for x in 1 2; do a $x; done", &["x|in|1|2", "a|"]),
        ("while ! a; do b; done", &["a", "b"]),
        ("case $x in p) a;; q) b;; esac", &["|in|p", "a", "q", "b"]),
        ("f() { a; }; f", &["f", "a", "f"]),
        ("{ a; b; }", &["a", "b"]),
        ("time -p a", &["a"]),
        ("[[ a ]] && b", &["a|]]", "b"]),
        ("((a)) && b", &["a", "b"]),
        ("a <<E\nb\nE", &["a", "b", "E"]),
        ("a <<< b", &["a"]),
        ("$'r\\x6d' a", &["r\\x6d|a"]),
        ("a $\"b\"", &["a|b"]),
        ("a ${x:-$(b)}", &["b", "a|:-}"]),
        ("a ${!x}", &["a|!x}"]),
        ("a $[1]", &["a|[1]"]),
        ("a $((1))", &["1", "a|"]),
        ("a 'b", &["a|b"]),
        ("a \"b", &["a|b"]),
        ("a \"$(b", &["b", "a|"]),
        ("a (b", &["a", "b"]),
        ("a ) b", &["a", "b"]),
        ("a `b", &["b", "a|"]),
        ("a \\", &["a"]),
        ("a &&", &["a"]),
        ("&& a", &["a"]),
        ("a ; ; b", &["a", "b"]),
        ("a ;; b", &["a", "b"]),
        ("a |", &["a"]),
        ("a | && b", &["a", "b"]),
        ("'' a", &["|a"]),
    ] {
        let line_read = read(line);
        assert!(line_read.unread.is_some(), "{line}");
        assert_eq!(bare(&line_read), expected, "{line}");
    }
}

#[test]
fn hostile_lines_cost_what_they_are_long() {
    let long = 100_000;
    for unit in ["(", "$(", "\"$(", "`", "${", "{ ", "<(", "<", ">", "'\"", "\\", "if ", "a=b "] {
        read(&unit.repeat(long));
    }
    assert!(read(&format!("{}{}", "(".repeat(long), ")".repeat(long))).unread.is_some());
    assert_eq!(read(&"a $(b) `c` \"$(d)\" (e);".repeat(5000)).commands.len(), 25_000);
    assert_eq!(read(&"a;".repeat(long)).commands.len(), long);
    assert_eq!(read(&"a ".repeat(long)).commands[0].len(), long);
    assert!(read(&format!("a {}", "'b'\\c\"d\"".repeat(long))).unread.is_none());
}
