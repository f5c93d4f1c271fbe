//! What a server tells, made harmless before anything else sees it.
//!
//! Every string in every answer and event passes here, so that no model, tool, title or file name
//! can move a person's cursor, whatever shows it later. Escape sequences go as a whole; in what a
//! tool would be run with, control characters are made visible instead, for a person decides on it.

use serde_json::Value;

use crate::text;

/// A sequence that does not end within this many bytes is none.
const SEQUENCE_BYTES: usize = 4096;

/// Cleans every string of a value; the values of `args` keep what they hide, made visible.
pub(super) fn clean(value: &mut Value) {
    walk(value, false);
}

fn walk(value: &mut Value, is_args: bool) {
    match value {
        Value::String(string) => {
            let cleaned = if is_args { visible(string) } else { stripped(string) };
            if let Some(cleaned) = cleaned {
                *string = cleaned;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, is_args)),
        Value::Object(fields) => {
            if fields.keys().any(|name| !is_plain(name)) {
                let old = std::mem::take(fields);
                fields.extend(
                    old.into_iter().map(|(name, value)| (stripped(&name).unwrap_or(name), value)),
                );
            }
            for (name, field) in fields.iter_mut() {
                walk(field, is_args || name == "args");
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_plain(text: &str) -> bool {
    !text.contains(is_harmful)
}

/// Characters that move a cursor, or that reorder or hide text.
fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The text without escape sequences and what else is harmful; `None` where it is as it should be.
fn stripped(text: &str) -> Option<String> {
    if is_plain(text) {
        return None;
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_harmful) {
        kept.push_str(&rest[..at]);
        let found = &rest[at..];
        let first = found.chars().next().map_or(1, char::len_utf8);
        if found.starts_with('\r') && !found.starts_with("\r\n") && found.len() > 1 {
            // A progress bar that draws over itself: each state on a line of its own.
            kept.push('\n');
        }
        rest = &found[sequence(found).unwrap_or(first)..];
    }
    kept.push_str(rest);
    Some(kept)
}

/// The length of the escape sequence at the start, if one is there (ECMA-48, 5.4 and 8.3).
fn sequence(text: &str) -> Option<usize> {
    let window = &text[..text::boundary(text, SEQUENCE_BYTES)];
    let (kind, body) = match window.chars().next()? {
        '\x1b' => (window[1..].chars().next()?, 2),
        // The same in one character.
        c @ '\u{80}'..='\u{9f}' => (char::from_u32(c as u32 - 0x40)?, 2),
        _ => return None,
    };
    let after = window.get(body..)?;
    match kind {
        '[' => {
            let end = after.find(|c| !matches!(c, '\x20'..='\x3f'))?;
            let last = after[end..].chars().next()?;
            // A broken one ends before the first character that cannot stand in it.
            Some(body + end + usize::from(matches!(last, '\x40'..='\x7e')))
        }
        ']' | 'P' | 'X' | '^' | '_' => {
            let end = after.find(['\x07', '\x1b', '\u{9c}'])?;
            let closing = &after[end..];
            let length = if closing.starts_with("\x1b\\") || closing.starts_with('\u{9c}') {
                2
            } else {
                usize::from(closing.starts_with('\x07'))
            };
            Some(body + end + length)
        }
        ' '..='/' => {
            let end = after.find(|c| !matches!(c, ' '..='/'))?;
            Some(body + end + after[end..].chars().next().map_or(0, |c| usize::from(c.is_ascii())))
        }
        '0'..='~' if window.starts_with('\x1b') => Some(2),
        _ => None,
    }
}

/// The text with each harmful character as a sign for it; `None` where there is none.
fn visible(text: &str) -> Option<String> {
    if is_plain(text) {
        return None;
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\0'..='\x1f' if is_harmful(c) => {
                shown.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'));
            }
            '\x7f' => shown.push('\u{2421}'),
            c if is_harmful(c) => shown.extend(
                ['<'].into_iter().chain(format!("U+{:04X}", c as u32).chars().chain(['>'])),
            ),
            c => shown.push(c),
        }
    }
    Some(shown)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_sequence_survives_and_nothing_else_is_lost() {
        for (told, kept) in [
            ("a\x1b[31mred\x1b[0m b", "ared b"),
            ("\x1b]0;title\x07x\x1b]8;;http://y\x1b\\z", "xz"),
            ("\u{9b}2Jx\u{9d}0;t\u{9c}y", "xy"),
            ("\x1bPq#0\x1b\\ok\x1b(B.", "ok."),
            ("a\x1b", "a"),
            ("\x1b[12", "[12"),
            ("50%\r100%\r\n", "50%\n100%\n"),
            ("x\u{202e}y\u{2066}z\u{7f}\u{0}\u{8}", "xyz"),
            ("Grüße\t世界\n", "Grüße\t世界\n"),
        ] {
            let mut value = json!({ "result": told });
            clean(&mut value);
            assert_eq!(value["result"], kept, "{told:?}");
        }
    }

    #[test]
    fn what_is_asked_about_hides_nothing() {
        let mut value = json!({ "args": { "command": "ls\x1b[2K\r\u{202e}", "a\x1bb": 1 } });
        clean(&mut value);
        assert_eq!(value["args"]["command"], "ls\u{241b}[2K\u{240d}<U+202E>");
        assert_eq!(value["args"]["a"], 1);
    }

    #[test]
    fn any_text_becomes_plain() {
        use proptest::prelude::*;
        proptest!(|(text in "(\\PC|[\\x00-\\x1f\\x7f-\\u{9f}]|\\x1b\\[|\\x1b\\]|[;m0-9]){0,40}")| {
            let cleaned = stripped(&text).unwrap_or_else(|| text.clone());
            prop_assert!(is_plain(&cleaned));
            prop_assert!(is_plain(&visible(&text).unwrap_or(text)));
        });
    }
}
