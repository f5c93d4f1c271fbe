//! What differs between two texts, by lines for people and as a number for guesses.

use std::fmt::Write as _;
use std::ops::Range;

use imara_diff::{Algorithm, Diff, Hunk, InternedInput, Token};

/// As many unchanged lines are shown around what changed.
const CONTEXT: u32 = 3;

/// The unified diff of a file's texts, which is empty where nothing differs. It takes about as
/// long as the texts are: what is too unlike is not searched for the least diff.
pub(super) fn unified(path: &str, old: &str, new: &str) -> String {
    let input = InternedInput::new(old, new);
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let hunks: Vec<Hunk> = diff.hunks().collect();
    let mut text = String::new();
    for near in hunks.chunk_by(|one, next| next.before.start - one.before.end <= 2 * CONTEXT) {
        if text.is_empty() {
            text = format!("--- a/{path}\n+++ b/{path}\n");
        }
        print(&mut text, near, &input);
    }
    text
}

/// Prints changes that lie near each other under one header, as `diff -u` does.
fn print(text: &mut String, near: &[Hunk], input: &InternedInput<&str>) {
    let (Some(first), Some(last)) = (near.first(), near.last()) else { return };
    let before = first.before.start.min(CONTEXT);
    let after = (input.before.len() as u32 - last.before.end).min(CONTEXT);
    let old = first.before.start - before..last.before.end + after;
    let new = first.after.start - before..last.after.end + after;
    let _ = writeln!(text, "@@ -{} +{} @@", named(&old), named(&new));
    let mut lines = |mark: char, tokens: &[Token], range: Range<u32>| {
        for token in &tokens[range.start as usize..range.end as usize] {
            let line = input.interner[*token];
            let end = if line.ends_with('\n') { "" } else { "\n\\ No newline at end of file\n" };
            let _ = write!(text, "{mark}{line}{end}");
        }
    };
    let mut at = old.start;
    for hunk in near {
        lines(' ', &input.before, at..hunk.before.start);
        lines('-', &input.before, hunk.before.clone());
        lines('+', &input.after, hunk.after.clone());
        at = hunk.before.end;
    }
    lines(' ', &input.before, at..old.end);
}

/// A range of lines in a header: an empty one goes by the line before it, and a single line has no
/// length.
fn named(lines: &Range<u32>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => (lines.start + 1).to_string(),
        length => format!("{},{length}", lines.start + 1),
    }
}

/// How much of both is the same, from 0 to 1.
pub(super) fn likeness<'a>(
    one: &mut dyn Iterator<Item = &'a str>,
    other: &mut dyn Iterator<Item = &'a str>,
) -> f32 {
    let mut input = InternedInput::default();
    input.update_before(one);
    input.update_after(other);
    let all = input.before.len() + input.after.len();
    let diff = Diff::compute(Algorithm::Myers, &input);
    let differs = diff.count_removals() + diff.count_additions();
    // A few tokens, which a float can count.
    #[allow(clippy::cast_precision_loss)]
    if all == 0 { 1.0 } else { 1.0 - differs as f32 / all as f32 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_diff_is_that_of_diff_u() {
        assert_eq!(unified("a", "same\n", "same\n"), "");
        assert_eq!(unified("a", "", "one\n"), "--- a/a\n+++ b/a\n@@ -0,0 +1 @@\n+one\n");
        assert_eq!(
            unified("a", "one\ntwo", "one\n2\n"),
            "--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n one\n-two\n\\ No newline at end of file\n+2\n"
        );
        let old = (1..=20).map(|line| line.to_string()).collect::<Vec<_>>().join("\n") + "\n";
        let new = old.replace("\n5\n", "\nfive\n").replace("\n18\n", "\n");
        assert_eq!(
            unified("b/c", &old, &new),
            "--- a/b/c\n+++ b/b/c\n\
             @@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n\
             @@ -15,6 +15,5 @@\n 15\n 16\n 17\n-18\n 19\n 20\n"
        );
    }

    /// The text that a diff makes of the old one.
    fn applied(old: &str, diff: &str) -> String {
        let (mut rest, mut new) = (old.split_inclusive('\n'), String::new());
        let mut at = 0;
        for line in diff.split_inclusive('\n').skip(2) {
            if let Some(header) = line.strip_prefix("@@ -") {
                let (range, _) = header.split_once(' ').unwrap();
                let (start, length) = range.split_once(',').unwrap_or((range, "1"));
                let before = start.parse::<usize>().unwrap() - usize::from(length != "0");
                new.extend(rest.by_ref().take(before - at));
                at = before;
            } else if line.starts_with('\\') {
                assert_eq!(new.pop(), Some('\n'));
            } else {
                if !line.starts_with('+') {
                    assert_eq!(rest.next().unwrap().trim_end(), line[1..].trim_end());
                    at += 1;
                }
                if !line.starts_with('-') {
                    new.push_str(&line[1..]);
                }
            }
        }
        new.extend(rest);
        new
    }

    proptest! {
        #[test]
        fn a_diff_leads_from_one_text_to_the_other(old in "([abc]{0,1}\n){0,40}", new in "([abc]{0,1}\n){0,40}") {
            prop_assert_eq!(applied(&old, &unified("a", &old, &new)), new);
        }
    }

    #[test]
    fn likeness_is_the_part_that_is_the_same() {
        let of = |one: &str, other: &str| {
            likeness(&mut one.split_inclusive(|_| true), &mut other.split_inclusive(|_| true))
        };
        assert!((of("ab", "ab") - 1.0).abs() < f32::EPSILON);
        assert!((of("", "") - 1.0).abs() < f32::EPSILON);
        assert!(of("ab", "xy").abs() < f32::EPSILON);
        assert!((of("abé", "aé") - 0.8).abs() < 0.001);
    }
}
