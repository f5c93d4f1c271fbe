//! Whether a program printed what a document shows. `…` in the document stands for whatever is
//! different each time.
//!
//! A line `…` stands for any lines; in a line it stands for any text. JSON is compared by what it
//! means, so a document may break it into lines: `…` is any value there, in a string any text,
//! and at the end of an object or an array whatever else is in it. Nothing else may be missing.

use std::collections::VecDeque;

use serde_json::Value;

/// What any text, value or rest is shown as.
const ANY: &str = "…";

/// Compares; the error says where they part.
pub(crate) fn compare(shown: &str, printed: &str) -> Result<(), String> {
    let (shown, printed) = (lines(shown), lines(printed));
    // Where JSON is shown, it is the rest.
    let json = shown.iter().position(|line| is_json(line));
    let printed_json = json.and_then(|_| printed.iter().position(|line| is_json(line)));
    let (shown, shown_json) = shown.split_at(json.unwrap_or(shown.len()));
    let (printed, printed_json) = printed.split_at(printed_json.unwrap_or(printed.len()));
    if !lines_fit(shown, printed) {
        return Err(format!("these are other lines than\n{}", shown.join("\n")));
    }
    if shown_json.is_empty() {
        return Ok(());
    }
    json_fits(&shown_json.join("\n"), &printed_json.join("\n"))
}

fn lines(text: &str) -> Vec<&str> {
    text.trim_end().lines().map(str::trim_end).collect()
}

fn is_json(line: &str) -> bool {
    line.starts_with('{') || line.starts_with('[')
}

fn lines_fit(shown: &[&str], printed: &[&str]) -> bool {
    match shown {
        [] => printed.is_empty(),
        [first, rest @ ..] if *first == ANY => {
            (0..=printed.len()).any(|skipped| lines_fit(rest, &printed[skipped..]))
        }
        [first, rest @ ..] => printed
            .split_first()
            .is_some_and(|(line, printed)| line_fits(first, line) && lines_fit(rest, printed)),
    }
}

fn line_fits(shown: &str, printed: &str) -> bool {
    let data = "data: {";
    if shown.starts_with(data) && printed.starts_with(data) {
        let start = data.len() - 1;
        return json_fits(&shown[start..], &printed[start..]).is_ok();
    }
    text_fits(shown, printed)
}

/// Whether a text is another one in which `…` is any text.
fn text_fits(shown: &str, printed: &str) -> bool {
    let mut pieces: VecDeque<_> = shown.split(ANY).collect();
    let first = pieces.pop_front().unwrap_or_default();
    let Some(last) = pieces.pop_back() else { return shown == printed };
    let Some(rest) = printed.strip_prefix(first) else { return false };
    let Some(mut rest) = rest.strip_suffix(last) else { return false };
    pieces.into_iter().all(|piece| {
        let found = rest.split_once(piece);
        rest = found.map_or("", |(_, after)| after);
        found.is_some()
    })
}

fn json_fits(shown: &str, printed: &str) -> Result<(), String> {
    let wanted: Value = serde_json::from_str(&with_strings(shown))
        .map_err(|error| format!("the document shows no JSON: {error}: {shown}"))?;
    let value: Value = serde_json::from_str(printed)
        .map_err(|error| format!("what was printed is no JSON: {error}: {printed}"))?;
    value_fits("", &wanted, &value)
}

/// The same JSON with each `…` outside of strings as a string, or as a member of that name.
fn with_strings(json: &str) -> String {
    let mut out = String::new();
    let (mut open, mut last, mut is_string, mut is_escaped) = (Vec::new(), ' ', false, false);
    for c in json.chars() {
        match c {
            _ if is_string => {
                is_string = c != '"' || is_escaped;
                is_escaped = c == '\\' && !is_escaped;
            }
            '"' => is_string = true,
            '{' | '[' => open.push(c),
            '}' | ']' => drop(open.pop()),
            '…' => {
                let is_member = open.last() == Some(&'{') && last != ':';
                out.push_str(if is_member { "\"…\":\"…\"" } else { "\"…\"" });
                last = c;
                continue;
            }
            _ => {}
        }
        out.push(c);
        if !c.is_whitespace() {
            last = c;
        }
    }
    out
}

fn value_fits(place: &str, wanted: &Value, value: &Value) -> Result<(), String> {
    match (wanted, value) {
        (Value::String(text), _) if text == ANY => Ok(()),
        (Value::String(text), Value::String(printed)) if text_fits(text, printed) => Ok(()),
        (Value::Object(wanted), Value::Object(members)) => {
            for (name, wanted) in wanted.iter().filter(|(name, _)| *name != ANY) {
                let value = members.get(name).ok_or(format!("{place}.{name} was not printed"))?;
                value_fits(&format!("{place}.{name}"), wanted, value)?;
            }
            let unknown = members.keys().find(|name| !wanted.contains_key(*name));
            match unknown.filter(|_| !wanted.contains_key(ANY)) {
                Some(name) => Err(format!("{place}.{name} is not shown")),
                None => Ok(()),
            }
        }
        (Value::Array(wanted), Value::Array(items)) => {
            let has_more = wanted.last().is_some_and(|item| item == ANY);
            let shown = if has_more { &wanted[..wanted.len() - 1] } else { &wanted[..] };
            if items.len() < shown.len() || (items.len() > shown.len() && !has_more) {
                return Err(format!("{place}: {} items, not {}", items.len(), shown.len()));
            }
            let mut pairs = shown.iter().zip(items).enumerate();
            pairs.try_for_each(|(at, (w, v))| value_fits(&format!("{place}[{at}]"), w, v))
        }
        _ if wanted == value => Ok(()),
        _ => Err(format!("{place}: shown {wanted}, printed {value}")),
    }
}

#[test]
fn what_is_shown_is_what_was_printed_but_for_the_marks() {
    for (shown, printed) in [
        ("ok", "ok\n"),
        (
            "HTTP/1.1 201 Created\n…\nLocation: /a/…\n…\n\n{\"a\": 1}",
            "HTTP/1.1 201 Created\r\nX: y\r\nLocation: /a/b\r\n\r\n{\"a\":1}",
        ),
        (
            "{\"a\": …, \"b\": [1, …],\n  \"c\": \"x…\", …}",
            "{\"b\":[1,2],\"c\":\"xyz\",\"a\":{},\"d\":1}",
        ),
        ("[…]", "[]"),
        ("{…}", "{\"a\":1}"),
        ("id: …\ndata: {\"a\": \"…\", …}\n…\nend", "id: 1\ndata: {\"a\":\"b\",\"c\":1}\nend"),
        ("{\"a\": \"\\\"…\"}", "{\"a\":\"\\\"b\"}"),
        ("a…b…c", "a1b2b3c"),
        ("", ""),
    ] {
        assert_eq!(compare(shown, printed), Ok(()), "{shown}");
    }
}

#[test]
fn what_differs_is_told() {
    for (shown, printed) in [
        ("ok", "okay"),
        ("ok", "ok\nmore"),
        ("ok", ""),
        ("", "curl: (7)"),
        ("…\nend", "a\nb"),
        ("a…b…c", "a1c"),
        ("{\"a\": 1}", "{\"a\":1,\"b\":2}"),
        ("{\"a\": 1, …}", "{\"b\":2}"),
        ("{\"a\": [1]}", "{\"a\":[1,2]}"),
        ("{\"a\": [1, 2, …]}", "{\"a\":[1]}"),
        ("{\"a\": \"x…\"}", "{\"a\":\"yx\"}"),
        ("{\"a\": \"1\"}", "{\"a\":1}"),
        ("{\"a\": 1}", "a\n{\"a\":1}"),
        ("data: {\"a\":1}", "data: {\"a\":2}"),
        ("{\"a\": 1}", "none"),
    ] {
        assert!(compare(shown, printed).is_err(), "{shown} is not {printed}");
    }
}
