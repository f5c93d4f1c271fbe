//! A unified diff with both line numbers, a sign, and the text as it is indented.

use ratatui_core::style::Style;
use ratatui_core::text::Line;

use super::highlight::Highlighter;
use super::look::{Depth, Look};
use super::wrap::{Break, fill, span, untabbed, width};

/// What a line of a diff is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Same,
    Added,
    Removed,
    /// Something about the diff.
    Note,
}

/// How many lines were added and removed.
pub(crate) fn counts(diff: &str) -> (usize, usize) {
    parse(diff).fold((0, 0), |(added, removed), (kind, ..)| match kind {
        Kind::Added => (added + 1, removed),
        Kind::Removed => (added, removed + 1),
        Kind::Same | Kind::Note => (added, removed),
    })
}

/// The lines of the diff of a file, at most so wide.
pub(crate) fn lines(diff: &str, path: &str, most: usize, look: Look) -> Vec<Line<'static>> {
    let rows: Vec<_> = parse(diff).collect();
    let largest = rows.iter().filter_map(|(_, old, new, _)| *old.max(new)).max().unwrap_or(0);
    // On a narrow screen one column holds the number that counts.
    let is_narrow = most < 50;
    let digits = largest.to_string().len();
    let mut before = Highlighter::of_path(path, look);
    let mut after = Highlighter::of_path(path, look);
    let mut lines = Vec::new();
    for (kind, old, new, text) in rows {
        let number = |number: Option<usize>| {
            number.map_or_else(|| " ".repeat(digits), |number| format!("{number:>digits$}"))
        };
        let numbers = match (is_narrow, kind) {
            (true, Kind::Removed) => number(old),
            (true, _) => number(new),
            (false, _) => format!("{} {}", number(old), number(new)),
        };
        let text = untabbed(text);
        let (sign, gutter, pieces) = match kind {
            Kind::Note => {
                lines.extend(fill(&[span(text, Look::muted())], most, &[], &[], Break::Words));
                continue;
            }
            Kind::Same => {
                before.line(&text);
                (' ', Look::muted(), after.line(&text))
            }
            Kind::Added | Kind::Removed => {
                let is_added = kind == Kind::Added;
                let (gutter, plain) = look.changed(is_added);
                let highlighter = if is_added { &mut after } else { &mut before };
                let mut pieces = highlighter.line(&text);
                for piece in &mut pieces {
                    // On a tint only its own text colour is sure to be read.
                    piece.style = plain;
                }
                if pieces.is_empty() {
                    pieces.push(span("", plain));
                }
                (if is_added { '+' } else { '-' }, gutter, pieces)
            }
        };
        let first = [span(format!("{numbers} {sign} "), gutter)];
        let rest = [span(" ".repeat(width(&first[0].content)), gutter)];
        let tint = if matches!(look.depth, Depth::True | Depth::Indexed) {
            pieces.first().map(|piece| Style { fg: None, ..piece.style })
        } else {
            None
        };
        for mut line in fill(&pieces, most, &first, &rest, Break::Anywhere) {
            if let Some(tint) = tint.filter(|tint| tint.bg.is_some()) {
                let blank = most.saturating_sub(line.width());
                line.spans.push(span(" ".repeat(blank), tint));
            }
            lines.push(line);
        }
    }
    lines
}

type Row<'a> = (Kind, Option<usize>, Option<usize>, &'a str);

/// The rows of a diff. Where lines were left out, the numbers are not known until the next hunk.
fn parse(diff: &str) -> impl Iterator<Item = Row<'_>> {
    let mut numbers: Option<(usize, usize)> = None;
    let mut is_first = true;
    diff.lines().filter_map(move |line| {
        if let Some(hunk) = line.strip_prefix("@@ -") {
            numbers = starts(hunk);
            let was_first = std::mem::replace(&mut is_first, false);
            return (!was_first).then_some((Kind::Note, None, None, "⋮"));
        }
        if is_first && (line.starts_with("--- ") || line.starts_with("+++ ")) {
            return None;
        }
        if line.starts_with("[… ") || line.starts_with('\\') {
            if line.starts_with('[') {
                numbers = None;
            }
            return Some((Kind::Note, None, None, line));
        }
        let mut count = |old: usize, new: usize| {
            let at = numbers;
            numbers = numbers.map(|(was_old, was_new)| (was_old + old, was_new + new));
            at
        };
        let text = line.get(1..).unwrap_or_default();
        Some(match line.chars().next() {
            Some('+') => (Kind::Added, None, count(0, 1).map(|at| at.1), text),
            Some('-') => (Kind::Removed, count(1, 0).map(|at| at.0), None, text),
            Some(' ') | None => {
                let at = count(1, 1);
                (Kind::Same, at.map(|at| at.0), at.map(|at| at.1), text)
            }
            Some(_) => (Kind::Note, None, None, line),
        })
    })
}

/// The first line numbers in `12,3 +14,5 @@`.
fn starts(hunk: &str) -> Option<(usize, usize)> {
    let (old, rest) = hunk.split_once(" +")?;
    let number = |text: &str| text.split([',', ' ']).next()?.parse().ok();
    Some((number(old)?, number(rest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "--- a/x.py\n+++ b/x.py\n@@ -9,4 +9,4 @@\n def get(self):\n-\tone\n+\ttwo\n+\tthree\n--- dash\n@@ -40,2 +41,1 @@\n x\n-y\n\\ No newline at end of file\n";

    fn shown(most: usize, depth: Depth) -> String {
        let look = Look { depth, is_light: false };
        let lines = lines(DIFF, "x.py", most, look);
        super::super::wrap::text_of(&lines)
    }

    #[test]
    fn both_numbers_a_sign_and_the_true_indent() {
        let wide = " 9  9   def get(self):\n10    -     one\n   10 +     two\n   11 +     three\n\
                    11    - -- dash\n⋮\n40 41   x\n41    - y\n\\ No newline at end of file\n";
        assert_eq!(shown(60, Depth::None), wide);
        assert_eq!(shown(60, Depth::True), wide);
        assert!(shown(30, Depth::Named).starts_with(" 9   def get(self):\n10 -     one\n"));
        assert_eq!(counts(DIFF), (2, 3));
    }

    #[test]
    fn a_cut_diff_does_not_lie_about_its_numbers() {
        let cut = "@@ -1,9 +1,9 @@\n a\n\n[… 500 bytes left out …]\n+b\n@@ -90 +91 @@\n-c\n";
        let look = Look { depth: Depth::None, is_light: false };
        let lines = lines(cut, "x", 60, look);
        let shown: Vec<_> =
            lines.iter().map(|line| line.to_string().trim_end().to_owned()).collect();
        assert_eq!(shown[3..], ["      + b", "⋮", "90    - c"]);
    }
}
