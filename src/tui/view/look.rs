//! Colours: the terminal's own background and its 16 named colours first, more where the terminal
//! says it has them, none where nobody wants them.

use ratatui_core::style::{Color, Modifier, Style};

/// How many colours there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Bold, dim and reversed alone.
    None,
    /// The named ones.
    Named,
    /// 256.
    Indexed,
    /// All.
    True,
}

/// How things look here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) depth: Depth,
    /// The background is light, as far as the terminal says.
    pub(crate) is_light: bool,
}

/// What a piece of code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Plain,
    Keyword,
    Text,
    Number,
    Name,
    Comment,
}

impl Look {
    /// Reads `NO_COLOR`, `COLORTERM`, `TERM` and `COLORFGBG`, as `get` has them.
    pub(crate) fn of(get: impl Fn(&str) -> Option<String>) -> Self {
        let is_set = |name: &str| get(name).is_some_and(|value| !value.is_empty());
        let word = |name: &str| get(name).unwrap_or_default();
        let depth = if is_set("NO_COLOR") {
            Depth::None
        } else if matches!(&*word("COLORTERM"), "truecolor" | "24bit") {
            Depth::True
        } else if word("TERM").contains("256color") {
            Depth::Indexed
        } else {
            Depth::Named
        };
        let colors = word("COLORFGBG");
        let background = colors.rsplit(';').next().and_then(|last| last.parse::<u8>().ok());
        Self { depth, is_light: matches!(background, Some(7 | 15)) }
    }

    fn color(self, color: Color) -> Style {
        if self.depth == Depth::None { Style::new() } else { Style::new().fg(color) }
    }

    pub(crate) fn accent(self) -> Style {
        self.color(Color::Cyan)
    }

    pub(crate) fn ok(self) -> Style {
        self.color(Color::Green)
    }

    pub(crate) fn warn(self) -> Style {
        self.color(Color::Yellow)
    }

    pub(crate) fn err(self) -> Style {
        self.color(Color::Red)
    }

    /// For words that matter less.
    pub(crate) fn muted() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(crate) fn strong() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(crate) fn reversed() -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(crate) fn code(self) -> Style {
        self.color(Color::Cyan)
    }

    pub(crate) fn token(self, token: Token) -> Style {
        match token {
            Token::Plain => Style::new(),
            Token::Keyword if self.depth == Depth::None => Self::strong(),
            Token::Keyword => self.color(Color::Magenta),
            Token::Text => self.color(Color::Green),
            Token::Number => self.color(Color::Yellow),
            Token::Name => self.color(Color::Blue),
            Token::Comment => Self::muted(),
        }
    }

    /// The sign and numbers of an added (or removed) line, and its text.
    pub(crate) fn changed(self, is_added: bool) -> (Style, Style) {
        match (self.depth, is_added) {
            (Depth::None, true) => (Self::strong(), Self::strong()),
            (Depth::None, false) => (Style::new(), Style::new()),
            (Depth::Named, true) => (self.ok(), self.ok()),
            (Depth::Named, false) => (self.err(), self.err()),
            (Depth::Indexed, _) => {
                let background = Color::Indexed(if is_added { 22 } else { 52 });
                let both = Style::new().bg(background).fg(Color::Indexed(255));
                (both, both)
            }
            (Depth::True, _) => {
                let (text, back) = match (self.is_light, is_added) {
                    (false, true) => (Color::Rgb(0xe7, 0xe9, 0xe5), Color::Rgb(0x15, 0x30, 0x1f)),
                    (false, false) => (Color::Rgb(0xe7, 0xe9, 0xe5), Color::Rgb(0x3b, 0x1d, 0x1b)),
                    (true, true) => (Color::Rgb(0x1a, 0x1b, 0x19), Color::Rgb(0xe3, 0xf4, 0xe8)),
                    (true, false) => (Color::Rgb(0x1a, 0x1b, 0x19), Color::Rgb(0xfc, 0xe8, 0xe6)),
                };
                (Style::new().fg(text).bg(back), Style::new().fg(text).bg(back))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides() {
        let look = |pairs: &[(&str, &str)]| {
            Look::of(|name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned())
            })
        };
        assert_eq!(look(&[("TERM", "xterm")]).depth, Depth::Named);
        assert_eq!(look(&[("TERM", "screen-256color"), ("NO_COLOR", "")]).depth, Depth::Indexed);
        assert_eq!(look(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]).depth, Depth::None);
        assert_eq!(look(&[("COLORTERM", "24bit")]).depth, Depth::True);
        assert!(look(&[("COLORFGBG", "0;15")]).is_light && !look(&[]).is_light);
        assert_eq!(look(&[("NO_COLOR", "1")]).ok(), Style::new());
    }
}
