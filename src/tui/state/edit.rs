//! A text that is being written, its cursor, and the texts written before.

use unicode_segmentation::UnicodeSegmentation;

/// Longest text: what a server takes as a message.
const BYTES: usize = 512 * 1024;
/// Earlier texts that are kept.
pub(crate) const HISTORY: usize = 500;

/// A text and its cursor. The cursor is a byte between two characters as a reader sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Editor {
    text: String,
    cursor: usize,
    /// What was cut last.
    cut: String,
}

impl Editor {
    pub(crate) fn of(text: &str) -> Self {
        Self { text: text.to_owned(), cursor: text.len(), cut: String::new() }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn cursor(&self) -> usize {
        self.cursor
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn set(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.cursor = self.text.len();
    }

    pub(crate) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Writes at the cursor. `false` where it would become too long.
    pub(crate) fn insert(&mut self, text: &str) -> bool {
        if self.text.len() + text.len() > BYTES {
            return false;
        }
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
        true
    }

    /// Puts a text in the place of what stands between `from` and the cursor.
    pub(crate) fn replace_back_to(&mut self, from: usize, text: &str) {
        self.text.replace_range(from..self.cursor, text);
        self.cursor = from + text.len();
    }

    pub(crate) fn backspace(&mut self) {
        let from = self.before(self.cursor);
        self.remove(from, self.cursor);
    }

    pub(crate) fn delete(&mut self) {
        let to = self.after(self.cursor);
        self.remove(self.cursor, to);
    }

    pub(crate) fn left(&mut self) {
        self.cursor = self.before(self.cursor);
    }

    pub(crate) fn right(&mut self) {
        self.cursor = self.after(self.cursor);
    }

    pub(crate) fn word_left(&mut self) {
        self.cursor = self.word_before();
    }

    pub(crate) fn word_right(&mut self) {
        self.cursor = self.word_after();
    }

    pub(crate) fn home(&mut self) {
        self.cursor = self.line_start(self.cursor);
    }

    pub(crate) fn end(&mut self) {
        self.cursor = self.line_end(self.cursor);
    }

    pub(crate) fn cut_word_left(&mut self) {
        let from = self.word_before();
        self.cut_between(from, self.cursor);
    }

    pub(crate) fn cut_word_right(&mut self) {
        let to = self.word_after();
        self.cut_between(self.cursor, to);
    }

    pub(crate) fn cut_to_start(&mut self) {
        let from = self.line_start(self.cursor);
        let from = if from == self.cursor { self.before(from) } else { from };
        self.cut_between(from, self.cursor);
    }

    pub(crate) fn cut_to_end(&mut self) {
        let to = self.line_end(self.cursor);
        let to = if to == self.cursor { self.after(to) } else { to };
        self.cut_between(self.cursor, to);
    }

    /// Writes again what was cut last.
    pub(crate) fn put_back(&mut self) {
        let cut = self.cut.clone();
        self.insert(&cut);
    }

    /// One line up; `false` on the first.
    pub(crate) fn up(&mut self) -> bool {
        let start = self.line_start(self.cursor);
        if start == 0 {
            return false;
        }
        let column = self.text[start..self.cursor].graphemes(true).count();
        self.cursor = self.at_column(self.line_start(start - 1), column);
        true
    }

    /// One line down; `false` on the last.
    pub(crate) fn down(&mut self) -> bool {
        let (start, end) = (self.line_start(self.cursor), self.line_end(self.cursor));
        if end == self.text.len() {
            return false;
        }
        let column = self.text[start..self.cursor].graphemes(true).count();
        self.cursor = self.at_column(end + 1, column);
        true
    }

    /// The word that ends at the cursor and begins with `@`: where it begins, and the rest of it. A
    /// name with a space in it stands in quotes, which are open until it is whole.
    pub(crate) fn mention(&self) -> Option<(usize, &str)> {
        let before = &self.text[..self.cursor];
        if let Some((start, rest)) = before.rfind("@\"").map(|at| (at, &before[at + 2..]))
            && (start == 0 || before[..start].ends_with(char::is_whitespace))
            && !rest.contains(['"', '\n'])
        {
            return Some((start, rest));
        }
        let start = before
            .rfind(char::is_whitespace)
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        before[start..].strip_prefix('@').map(|rest| (start, rest))
    }

    fn at_column(&self, start: usize, column: usize) -> usize {
        let line = &self.text[start..self.line_end(start)];
        start + line.graphemes(true).take(column).map(str::len).sum::<usize>()
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
    }

    fn cut_between(&mut self, from: usize, to: usize) {
        self.text[from..to].clone_into(&mut self.cut);
        self.remove(from, to);
    }

    fn before(&self, at: usize) -> usize {
        self.text[..at].grapheme_indices(true).next_back().map_or(0, |(start, _)| start)
    }

    fn after(&self, at: usize) -> usize {
        at + self.text[at..].graphemes(true).next().map_or(0, str::len)
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |found| found + 1)
    }

    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |found| at + found)
    }

    fn word_before(&self) -> usize {
        let before = self.text[..self.cursor].trim_end_matches(|c: char| !c.is_alphanumeric());
        let word = before.trim_end_matches(char::is_alphanumeric);
        if before.is_empty() { 0 } else { word.len() }
    }

    fn word_after(&self) -> usize {
        let rest = &self.text[self.cursor..];
        let word = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        let behind = word.trim_start_matches(char::is_alphanumeric);
        self.text.len() - behind.len()
    }
}

/// The texts that were sent, the newest last.
#[derive(Debug, Default)]
pub(crate) struct History {
    texts: Vec<String>,
    /// Which one is shown, and the draft that was there before.
    shown: Option<(usize, String)>,
}

impl History {
    /// Adds a text; one that was there before moves to the end.
    pub(crate) fn add(&mut self, text: &str) {
        self.shown = None;
        self.texts.retain(|known| known != text);
        self.texts.push(text.to_owned());
        if self.texts.len() > HISTORY {
            self.texts.remove(0);
        }
    }

    /// The newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().rev().map(String::as_str)
    }

    /// Shows the text before the one that is shown.
    pub(crate) fn back(&mut self, editor: &mut Editor) {
        let at = match &self.shown {
            Some((at, _)) => at.checked_sub(1),
            None => self.texts.len().checked_sub(1),
        };
        let Some(at) = at else { return };
        let draft = match self.shown.take() {
            Some((_, draft)) => draft,
            None => editor.text().to_owned(),
        };
        editor.set(&self.texts[at]);
        self.shown = Some((at, draft));
    }

    /// Shows the text after the one that is shown, or the draft.
    pub(crate) fn forth(&mut self, editor: &mut Editor) {
        let Some((at, draft)) = self.shown.take() else { return };
        if let Some(next) = self.texts.get(at + 1) {
            editor.set(next);
            self.shown = Some((at + 1, draft));
        } else {
            editor.set(&draft);
        }
    }

    /// The shown text was changed and is a draft now.
    pub(crate) fn settle(&mut self) {
        self.shown = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_lines() {
        let mut editor = Editor::of("one two-three\nvier 世界");
        editor.word_left();
        assert_eq!(&editor.text()[editor.cursor()..], "世界");
        assert!(editor.up());
        assert_eq!(&editor.text()[editor.cursor()..], "wo-three\nvier 世界");
        editor.word_right();
        editor.cut_word_left();
        assert_eq!(editor.text(), "one -three\nvier 世界");
        editor.put_back();
        editor.home();
        editor.cut_word_right();
        assert_eq!(editor.text(), " two-three\nvier 世界");
        editor.end();
        editor.cut_to_start();
        assert_eq!(editor.text(), "\nvier 世界");
        assert!(editor.down() && !editor.down());
        editor.end();
        editor.backspace();
        assert_eq!(editor.text(), "\nvier 世");
    }

    #[test]
    fn a_reader_s_character_is_one_step() {
        let mut editor = Editor::of("e\u{301}👨‍👩‍👧");
        editor.left();
        assert_eq!(editor.cursor(), "e\u{301}".len());
        editor.backspace();
        assert_eq!(editor.text(), "👨‍👩‍👧");
        editor.delete();
        assert!(editor.is_empty());
        editor.left();
        editor.delete();
        editor.cut_to_start();
    }

    #[test]
    fn history_gives_the_draft_back() {
        let mut history = History::default();
        for text in ["one", "two", "one"] {
            history.add(text);
        }
        let mut editor = Editor::of("draft");
        history.back(&mut editor);
        assert_eq!(editor.text(), "one");
        history.back(&mut editor);
        history.back(&mut editor);
        assert_eq!(editor.text(), "two");
        history.forth(&mut editor);
        history.forth(&mut editor);
        assert_eq!(editor.text(), "draft");
    }

    #[test]
    fn a_file_is_mentioned_at_the_cursor() {
        assert_eq!(Editor::of("look at @src/ma").mention(), Some((8, "src/ma")));
        assert_eq!(Editor::of("me@here").mention(), None);
        assert_eq!(Editor::of("@").mention(), Some((0, "")));
        assert_eq!(Editor::of("@a b").mention(), None);
        assert_eq!(Editor::of("see @\"a b").mention(), Some((4, "a b")));
        assert_eq!(Editor::of("@\"a b\"").mention(), None);
        assert_eq!(Editor::of("@\"a b\" @c").mention(), Some((7, "c")));
        assert_eq!(Editor::of("@\"a\nb").mention(), None);
        assert_eq!(Editor::of("me@\"a b").mention(), None);
    }
}
