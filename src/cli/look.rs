//! How an output looks: as wide as its terminal, in colour where that is wanted, or plain.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::config::Env;

/// What an output can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Columns of its terminal; none where it is none.
    pub(super) width: Option<usize>,
    color: bool,
}

impl Look {
    /// The look of this output. Colour is for a terminal that has it, and for who wants it
    /// (<https://no-color.org>).
    pub(super) fn of(output: &(impl IsTerminal + AsFd), env: &Env) -> Self {
        if !output.is_terminal() {
            return Self { width: None, color: false };
        }
        let size = rustix::termios::tcgetwinsize(output).ok();
        let width = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        let color = env.get("NO_COLOR").is_none() && env.get("TERM").is_some_and(|t| t != "dumb");
        Self { width: width.or(Some(80)), color }
    }

    /// A look without any of it.
    #[cfg(test)]
    pub(super) fn plain(width: Option<usize>) -> Self {
        Self { width, color: false }
    }

    /// Text that stands out.
    pub(super) fn bold<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.styled("1", text)
    }

    /// Text that stands back.
    pub(super) fn dim<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.styled("2", text)
    }

    fn styled<'t>(&self, style: &str, text: &'t str) -> Cow<'t, str> {
        if self.color && !text.is_empty() {
            Cow::Owned(format!("\x1b[{style}m{text}\x1b[0m"))
        } else {
            Cow::Borrowed(text)
        }
    }
}

/// Columns that a text takes on a terminal.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// A text cut to so many columns, with an ellipsis in place of what is cut off.
pub(super) fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut kept = 0;
    let mut left = columns.saturating_sub(1);
    for (at, c) in text.char_indices() {
        let wide = c.width().unwrap_or(0);
        if wide > left {
            break;
        }
        left -= wide;
        kept = at + c.len_utf8();
    }
    let end = if columns > 0 { "…" } else { "" };
    Cow::Owned(format!("{}{end}", text[..kept].trim_end()))
}

/// Text in lines of at most so many columns, broken between words; a longer word stands alone.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            if !line.is_empty() && width(&line) + 1 + width(word) > columns {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_by_the_columns_it_takes() {
        assert_eq!(fit("short", 5), "short");
        assert_eq!(fit("a longer one", 9), "a longer…");
        assert_eq!(fit("two words", 5), "two…", "no blank before the ellipsis");
        assert_eq!(fit("世界地図", 6), "世界…", "each takes two");
        assert_eq!(
            fit("e\u{301}e\u{301}e\u{301}", 2),
            "e\u{301}…",
            "what takes none stays with its letter"
        );
        assert_eq!((fit("ab", 1), fit("ab", 0)), ("…".into(), "".into()));
        for columns in 0..12 {
            assert!(width(&fit("日本 and 🎉 more", columns)) <= columns, "{columns}");
        }
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three\nfour", 8), ["one two", "three", "four"]);
        assert_eq!(wrapped("a verylongword b", 4), ["a", "verylongword", "b"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
