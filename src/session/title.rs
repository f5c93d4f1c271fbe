//! Titles of sessions, made from what was asked; no model is bothered for them.

/// A title is at most this long, in characters.
pub const TITLE_CHARS: usize = 60;

/// A title from a message: its first line, cut at a word.
pub(super) fn of(message: &str) -> String {
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    if line.chars().count() <= TITLE_CHARS {
        return line;
    }
    let cut: String = line.chars().take(TITLE_CHARS).collect();
    let at_word = line[cut.len()..].starts_with(char::is_whitespace);
    match cut.rfind(char::is_whitespace) {
        Some(space) if !at_word && space > 0 => cut[..space].trim_end().to_owned(),
        _ => cut.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_first_line_cut_at_a_word() {
        assert_eq!(of("\n  Fix it\nplease"), "Fix it");
        let long = "Explain in detail how the borrow checker works when a closure captures";
        assert_eq!(of(long), "Explain in detail how the borrow checker works when a");
        assert_eq!(of(&"x".repeat(80)), "x".repeat(60));
        assert_eq!(of(&format!("{} b", "a".repeat(60))), "a".repeat(60));
    }
}
