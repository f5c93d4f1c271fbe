//! Where a person writes: the text, and the paths that are offered for it.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::{Position, Rect};
use ratatui_core::style::Style;
use unicode_segmentation::UnicodeSegmentation;

use super::look::Look;
use super::wrap::{cut_front, untabbed, width};
use crate::tui::state::edit::Editor;
use crate::tui::state::{Completion, State};

const PROMPT: &str = "› ";
const PLACEHOLDER: &str = "Ask, @file";

/// A text in rows, and where its cursor is.
pub(super) struct Rows {
    pub(super) rows: Vec<String>,
    pub(super) cursor: (usize, usize),
}

/// The rows of a text, broken at a width.
pub(super) fn rows(editor: &Editor, most: usize) -> Rows {
    let most = most.max(2);
    let (mut rows, mut row, mut used) = (Vec::new(), String::new(), 0);
    let mut cursor = (0, 0);
    let mut at = 0;
    for grapheme in editor.text().graphemes(true) {
        if at == editor.cursor() {
            cursor = (used, rows.len());
        }
        at += grapheme.len();
        if grapheme == "\n" {
            rows.push(std::mem::take(&mut row));
            used = 0;
            continue;
        }
        let shown = if grapheme == "\t" { "    " } else { grapheme };
        let wide = width(shown);
        if used + wide > most {
            rows.push(std::mem::take(&mut row));
            used = 0;
            if at - grapheme.len() == editor.cursor() {
                cursor = (0, rows.len());
            }
        }
        row.push_str(shown);
        used += wide;
    }
    if at == editor.cursor() {
        if used >= most {
            rows.push(std::mem::take(&mut row));
            used = 0;
        }
        cursor = (used, rows.len());
    }
    rows.push(row);
    Rows { rows, cursor }
}

/// How many rows the draft takes.
pub(super) fn height(state: &State) -> u16 {
    let room = usize::from(state.size.0).saturating_sub(width(PROMPT) + 1);
    let most = (state.size.1 / 3).clamp(1, 10);
    let needed = rows(&state.draft, room).rows.len();
    u16::try_from(needed).unwrap_or(u16::MAX).clamp(1, most)
}

/// Draws the draft; where the cursor is.
pub(super) fn draw(state: &State, look: Look, area: Rect, buffer: &mut Buffer) -> Position {
    let room = usize::from(area.width).saturating_sub(width(PROMPT) + 1);
    buffer.set_string(area.x, area.y, PROMPT, look.accent());
    let left = area.x + 2;
    if state.draft.is_empty() {
        buffer.set_stringn(left, area.y, PLACEHOLDER, room, Look::muted());
        return Position::new(left, area.y);
    }
    let Rows { rows, cursor } = rows(&state.draft, room);
    let visible = usize::from(area.height);
    let from = (cursor.1 + 1).saturating_sub(visible);
    for (at, row) in rows.iter().skip(from).take(visible).enumerate() {
        buffer.set_stringn(left, area.y + at as u16, row, room + 1, Style::new());
    }
    Position::new(left + cursor.0 as u16, area.y + (cursor.1 - from) as u16)
}

/// Draws what completes a word, above the draft.
pub(super) fn offer(completion: &Completion, look: Look, above: Rect, buffer: &mut Buffer) {
    let count = completion.paths.len().min(usize::from(above.height)) as u16;
    let top = above.bottom() - count;
    for (at, path) in completion.paths.iter().take(usize::from(count)).enumerate() {
        let y = top + at as u16;
        let is_selected = at == completion.selected;
        let style = if is_selected { Look::reversed() } else { Style::new() };
        let room = usize::from(above.width).saturating_sub(3);
        let text = cut_front(&untabbed(path), room);
        for x in above.left()..above.right() {
            buffer[(x, y)].reset();
        }
        let mark = if is_selected { "› " } else { "  " };
        buffer.set_string(above.x, y, mark, look.accent());
        buffer.set_stringn(above.x + 2, y, text, room, style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_where_the_next_character_goes() {
        let mut editor = Editor::of("ab世界\nc");
        let at = |editor: &Editor, most| rows(editor, most).cursor;
        assert_eq!(at(&editor, 10), (1, 1));
        editor.up();
        editor.end();
        assert_eq!(at(&editor, 10), (6, 0));
        assert_eq!(rows(&editor, 5).rows, ["ab世", "界", "c"]);
        editor.left();
        assert_eq!(at(&editor, 5), (0, 1));
        assert_eq!(at(&Editor::of("abcd"), 4), (0, 1));
    }
}
