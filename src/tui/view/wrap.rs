//! Text into lines of a width, measured as the terminal does.

use ratatui_core::style::Style;
use ratatui_core::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// A reader's character of more bytes than this is no longer one.
const GRAPHEME_BYTES: usize = 64;
const TAB: usize = 4;

/// Columns of a text.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// A piece of text in a style.
pub(crate) fn span(text: impl Into<String>, style: Style) -> Span<'static> {
    Span::styled(text.into(), style)
}

/// The text, cut so that it fits; a cut is marked.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let wide = width(grapheme);
        if used + wide + 1 > most {
            break;
        }
        kept.push_str(grapheme);
        used += wide;
    }
    if most > 0 {
        kept.push('…');
    }
    kept
}

/// The end of a text, cut so that it fits; a cut is marked.
pub(crate) fn cut_front(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut start = text.len();
    let mut used = 1;
    for (at, grapheme) in text.grapheme_indices(true).rev() {
        used += width(grapheme);
        if used > most {
            break;
        }
        start = at;
    }
    if most == 0 { String::new() } else { format!("…{}", &text[start..]) }
}

/// A line with its tabs as blanks, up to columns that are multiples of four.
pub(crate) fn untabbed(text: &str) -> String {
    if !text.contains('\t') {
        return text.to_owned();
    }
    let mut line = String::with_capacity(text.len() + 16);
    let mut column = 0;
    for grapheme in text.graphemes(true) {
        if grapheme == "\t" {
            let blanks = TAB - column % TAB;
            line.extend(std::iter::repeat_n(' ', blanks));
            column += blanks;
        } else {
            line.push_str(grapheme);
            column += width(grapheme);
        }
    }
    line
}

/// Where lines may be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    /// Between words.
    Words,
    /// Anywhere: code.
    Anywhere,
}

/// Fills lines with pieces; the first line begins with one indent, the others with another.
pub(crate) fn fill(
    pieces: &[Span<'static>],
    most: usize,
    first: &[Span<'static>],
    rest: &[Span<'static>],
    at: Break,
) -> Vec<Line<'static>> {
    let mut filler = Filler {
        most: most.max(1),
        rest,
        line: first.to_vec(),
        used: first.iter().map(|span| width(&span.content)).sum(),
        is_begun: false,
        lines: Vec::new(),
        blanks: Vec::new(),
        word: Vec::new(),
        word_width: 0,
    };
    for piece in pieces {
        for grapheme in piece.content.graphemes(true) {
            filler.take(grapheme, piece.style, at);
        }
    }
    filler.place_word();
    filler.end_line();
    filler.lines
}

struct Filler<'a> {
    most: usize,
    rest: &'a [Span<'static>],
    line: Vec<Span<'static>>,
    used: usize,
    /// The line has more than its indent.
    is_begun: bool,
    lines: Vec<Line<'static>>,
    /// Blanks before the word.
    blanks: Vec<(String, Style)>,
    word: Vec<(String, Style)>,
    word_width: usize,
}

impl Filler<'_> {
    fn take(&mut self, grapheme: &str, style: Style, at: Break) {
        if grapheme == "\n" || grapheme == "\r\n" {
            self.place_word();
            self.end_line();
            return;
        }
        if grapheme.len() > GRAPHEME_BYTES {
            let short: String = grapheme.chars().take(4).collect();
            return self.take(&short, style, at);
        }
        let wide = width(grapheme);
        if grapheme == " " && at == Break::Words {
            self.place_word();
            self.blanks.push((grapheme.to_owned(), style));
            return;
        }
        // Wide characters are words of their own; code is broken anywhere.
        let is_alone = wide > 1 || at == Break::Anywhere;
        if is_alone {
            self.place_word();
        }
        self.word.push((grapheme.to_owned(), style));
        self.word_width += wide;
        if is_alone {
            self.place_word();
        }
    }

    fn place_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        let blanks = std::mem::take(&mut self.blanks);
        let wide = std::mem::take(&mut self.word_width);
        if self.is_begun && self.used + blanks.len() + wide > self.most {
            self.end_line();
        } else {
            for (blank, style) in blanks {
                if self.used < self.most {
                    self.put(&blank, style, 1);
                }
            }
        }
        for (grapheme, style) in word {
            let wide = width(&grapheme);
            if self.is_begun && self.used + wide > self.most {
                self.end_line();
            }
            self.put(&grapheme, style, wide);
        }
    }

    fn put(&mut self, text: &str, style: Style, wide: usize) {
        match self.line.last_mut() {
            Some(last) if self.is_begun && last.style == style => {
                last.content.to_mut().push_str(text);
            }
            _ => self.line.push(span(text, style)),
        }
        self.used += wide;
        self.is_begun = true;
    }

    fn end_line(&mut self) {
        self.blanks.clear();
        let line = std::mem::replace(&mut self.line, self.rest.to_vec());
        self.lines.push(Line::from(line));
        self.used = self.rest.iter().map(|span| width(&span.content)).sum();
        self.is_begun = false;
    }
}

/// Lines as text, for tests.
#[cfg(test)]
pub(crate) fn text_of(lines: &[Line<'_>]) -> String {
    let rows: Vec<_> = lines.iter().map(|line| line.to_string().trim_end().to_owned()).collect();
    rows.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, most: usize, at: Break) -> Vec<String> {
        let indent = [span("  ", Style::new())];
        let filled = fill(&[span(text, Style::new())], most, &[], &indent, at);
        filled.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_stay_whole_where_they_fit() {
        assert_eq!(lines("one two three", 9, Break::Words), ["one two", "  three"]);
        assert_eq!(lines("abcdefghij", 4, Break::Words), ["abcd", "  ef", "  gh", "  ij"]);
        assert_eq!(lines("a  b", 80, Break::Words), ["a  b"]);
        assert_eq!(lines("a\n\nb", 80, Break::Words), ["a", "  ", "  b"]);
        assert_eq!(lines("\n    x", 4, Break::Words), ["", "    ", "  x"]);
        assert_eq!(lines("    x = 1", 6, Break::Anywhere), ["    x ", "  = 1"]);
    }

    #[test]
    fn wide_and_combining_characters_are_measured() {
        assert_eq!(lines("世界世界", 5, Break::Words), ["世界", "  世", "  界"]);
        assert_eq!(lines("e\u{301}e\u{301}e\u{301}", 3, Break::Words).len(), 1);
        assert_eq!(cut("世界世界", 5), "世界…");
        assert_eq!(cut_front("src/long/name.rs", 8), "…name.rs");
        assert_eq!(untabbed("a\tb\t世\tc"), "a   b   世  c");
        let zalgo = format!("a{}", "\u{301}".repeat(1000));
        assert!(lines(&zalgo, 10, Break::Words)[0].len() < 20);
    }

    #[test]
    fn no_line_is_wider_than_it_may_be() {
        use proptest::prelude::*;
        proptest!(|(text in "[a-z世é \n]{0,80}", most in 4_usize..30)| {
            for at in [Break::Words, Break::Anywhere] {
                for line in lines(&text, most, at) {
                    prop_assert!(width(&line) <= most, "{line:?}");
                }
            }
        });
    }
}
