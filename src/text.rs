//! What is done to a text on its way to somebody: cutting, fencing, making it harmless, and
//! finding the word that was meant.

use std::borrow::Cow;
use std::fmt::Write;

/// Cuts a text in the middle so that it has at most `limit` bytes, and says there how many were
/// left out. Characters stay whole.
#[must_use]
pub fn keep_both_ends(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let room = limit.saturating_sub(left_out(text.len()).len());
    let head = boundary(text, room / 2);
    let mut tail = text.len() - (room - room / 2);
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    let note = left_out(tail - head);
    if note.len() > limit {
        return text[..boundary(text, limit)].to_owned();
    }
    format!("{}{note}{}", &text[..head], &text[tail..])
}

/// The last place at or before `at` that is not inside a character.
#[must_use]
pub fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The line that stands for what was cut out.
#[must_use]
pub fn left_out(bytes: usize) -> String {
    format!("\n[… {bytes} bytes left out …]\n")
}

/// A number in decimal digits, which are put into `room`: where `write!` would cost more than what
/// it writes.
#[must_use]
pub fn decimal(mut number: u64, room: &mut [u8; 20]) -> &str {
    let mut at = room.len();
    loop {
        at -= 1;
        room[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    std::str::from_utf8(&room[at..]).unwrap_or_default()
}

/// Bytes in hexadecimal digits, lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A Markdown fence that nothing in the text closes.
#[must_use]
pub fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    "`".repeat(longest.max(2) + 1)
}

/// Takes out control characters (ESC, CSI, OSC and all others but tab and line feed), and those
/// that reorder text: what comes from outside must not move a person's cursor.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| (c.is_control() && c != '\n' && c != '\t') || reorders(c);
    if text.contains(is_harmful) {
        Cow::Owned(text.replace(is_harmful, ""))
    } else {
        Cow::Borrowed(text)
    }
}

/// JSON text in which those characters that [`plain`] takes out stand as `\u009b`: the same JSON,
/// and nothing in it moves a cursor.
#[must_use]
pub fn plain_json(json: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| (c.is_control() && c != '\n') || reorders(c);
    if !json.contains(is_harmful) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        // All of them are within the first plane.
        if is_harmful(c) { _ = write!(text, "\\u{:04x}", c as u32) } else { text.push(c) }
    }
    Cow::Owned(text)
}

/// Spells every control character out (`\n`, `\x1b`), and those that break or reorder a line: a
/// record of a log stays one line, and says what it was given.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    // Nearly all are, and every request has some in its line.
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain || !text.contains(breaks_lines) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => line.extend(c.escape_default()),
            c if c.is_ascii_control() => _ = write!(line, "\\x{:02x}", c as u32),
            c if breaks_lines(c) => line.extend(c.escape_unicode()),
            c => line.push(c),
        }
    }
    Cow::Owned(line)
}

/// Whether a character ends a line, moves a cursor or reorders what stands beside it. All of them
/// are within the first plane.
#[must_use]
pub fn breaks_lines(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || reorders(c)
}

fn reorders(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a text is of the form of a pattern of `permission`: `*` is any run of characters, `?`
/// one, and ` *` at the end may be nothing too, so that `ls *` is for `ls` as well.
#[must_use]
pub fn matches(text: &str, pattern: &str) -> bool {
    pattern.strip_suffix(" *").is_some_and(|stem| fits(text, stem)) || fits(text, pattern)
}

/// Without recursion, in the worst case in time of text by pattern: a star that was passed is
/// only given one more character, never the ones before it.
fn fits(text: &str, pattern: &str) -> bool {
    let (mut text, mut pattern) = (text.chars(), pattern.chars());
    let mut star = None;
    loop {
        let (before, wanted) = (text.clone(), pattern.next());
        match (wanted, text.next()) {
            (Some('*'), _) => {
                text = before;
                star = Some((text.clone(), pattern.clone()));
            }
            (None, None) => return true,
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            (Some(_) | None, _) => {
                let Some((from, after)) = &mut star else { return false };
                if from.next().is_none() {
                    return false;
                }
                (text, pattern) = (from.clone(), after.clone());
            }
        }
    }
}

/// The known word that was probably meant.
#[must_use]
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if typed.len() > LONGEST {
        return None;
    }
    let folded = fold(typed);
    let allowed = match folded.chars().count() {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    };
    known
        .into_iter()
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        .filter(|&(far, _)| far <= allowed)
        .min_by_key(|&(far, _)| far)
        .map(|(_, candidate)| candidate)
}

/// Of longer words only the beginning is compared.
const LONGEST: usize = 64;

/// Letters and digits only: `base_url`, `baseUrl` and `baseURL` are the same mistake.
fn fold(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Edits between two short words: a letter more, less, another one, or two that changed places.
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    let letters = |word: &str| word.chars().take(LONGEST).collect::<Vec<_>>();
    let (a, b) = (letters(a), letters(b));
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            let mut best =
                (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + changed);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_kept_and_the_gap_is_counted() {
        assert_eq!(keep_both_ends("short", 5), "short");
        let text = format!("begin{}end", "é".repeat(1000));
        for limit in 0..200 {
            let cut = keep_both_ends(&text, limit);
            assert!(cut.len() <= limit, "{limit}: {}", cut.len());
        }
        let cut = keep_both_ends(&text, 101);
        assert!(cut.starts_with("begin") && cut.ends_with("end"));
        let (head, rest) = cut.split_once("\n[… ").unwrap();
        let (count, tail) = rest.split_once(" bytes left out …]\n").unwrap();
        assert_eq!(head.len() + tail.len() + count.parse::<usize>().unwrap(), text.len());
    }

    #[test]
    fn a_number_is_printed_as_it_is_by_format() {
        for number in [0, 7, 10, 99, 100, 65_536, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string());
        }
    }

    #[test]
    fn a_fence_is_longer_than_any_in_the_text() {
        assert_eq!(fence("plain"), "```");
        assert_eq!(fence("x\n```\ny"), "````");
    }

    #[test]
    fn nothing_that_moves_a_cursor_is_left() {
        assert_eq!(plain("a\x1b[2Jb\u{9b}1mc\x07\r\nd\te\u{202e}f"), "a[2Jb1mc\nd\tef");
        assert_eq!(plain("Grüße, 世界"), "Grüße, 世界");
    }

    #[test]
    fn json_stays_the_same_and_moves_no_cursor() {
        let told = serde_json::json!({ "a": "x\u{1b}[2J\u{9b}1m\u{202e}\u{7f}\n", "b": "é" });
        let text = format!("{told:#}");
        let shown = plain_json(&text);
        assert!(shown.contains("\\u009b") && shown.contains('é'), "{shown}");
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), told);
    }

    #[test]
    fn wildcards_are_opencode_s() {
        for (text, pattern, expected) in [
            ("git status", "git status *", true),
            ("git status --porcelain", "git status *", true),
            ("git statusx", "git status *", false),
            ("git", "git *", true),
            ("gitk", "git *", false),
            ("git status", "git status", true),
            ("git status -s", "git status", false),
            ("", "*", true),
            ("", "", true),
            ("", " *", true),
            ("a", "", false),
            ("a/b/c.env", "*.env", true),
            ("é", "?", true),
            ("€b", "*??b", false),
            ("a€b", "*??b", true),
            ("abcab", "*ab", true),
            ("line\nline", "line*line", true),
            ("a.c", "a?c", true),
            ("[a]", "[a]", true),
            ("a", "[a]", false),
            ("aXbXc", "a*b*c", true),
            ("aXbX", "a*b*c", false),
        ] {
            assert_eq!(matches(text, pattern), expected, "{text:?} {pattern:?}");
        }
    }

    #[test]
    fn the_word_that_was_meant() {
        let known = ["port", "hostname", "mdns", "mdnsDomain", "baseURL", "cors"];
        for (typed, meant) in [
            ("prot", Some("port")),
            ("hostnmae", Some("hostname")),
            ("mdns_domain", Some("mdnsDomain")),
            ("baseUrl", Some("baseURL")),
            ("hosts", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
