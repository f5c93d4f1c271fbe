//! Text from models, tools and files made safe for a terminal.

use std::borrow::Cow;

/// Takes out control characters (ESC, CSI, OSC and all others but tab and line feed), and those
/// that reorder text: what comes from outside must not move a person's cursor.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(is_harmful) {
        Cow::Owned(text.replace(is_harmful, ""))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn nothing_that_moves_a_cursor_is_left() {
        assert_eq!(plain("a\x1b[2Jb\u{9b}1mc\x07\r\nd\te\u{202e}f"), "a[2Jb1mc\nd\tef");
        assert_eq!(plain("Grüße, 世界"), "Grüße, 世界");
    }
}
