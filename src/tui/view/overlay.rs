//! Lists, the keys, and small questions, over the transcript: the whole screen where it is small.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::{Position, Rect};
use ratatui_core::style::{Modifier, Style};

use super::composer;
use super::look::Look;
use super::wrap::{Break, cut, cut_front, fill, span, width};
use crate::tui::state::State;
use crate::tui::state::picker::{KEYS, Overlay, Picker, Row};

/// Draws it; where the cursor is, if it has one.
pub(super) fn draw(
    overlay: &Overlay,
    state: &State,
    look: Look,
    whole: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    match overlay {
        Overlay::Pick(picker) => Some(pick(picker, state, look, whole, buffer)),
        Overlay::Keys { from } => {
            keys(*from, whole, buffer);
            None
        }
        Overlay::Rename { title, .. } => {
            let area = frame("Rename", "Enter keeps  Esc leaves it", 1, whole, buffer);
            let room = usize::from(area.width).saturating_sub(1);
            let rows = composer::rows(title, room);
            let (column, row) = rows.cursor;
            let text = rows.rows.get(row).map(String::as_str).unwrap_or_default();
            buffer.set_stringn(area.x, area.y, text, room, Style::new());
            Some(Position::new(area.x + column as u16, area.y))
        }
        Overlay::Delete { title, .. } => {
            let area = frame("Delete", "y deletes  n keeps", 2, whole, buffer);
            let room = usize::from(area.width);
            buffer.set_stringn(area.x, area.y, cut(title, room), room, Look::strong());
            let text = "and all its messages, for good?";
            buffer.set_stringn(area.x, area.y + 1, text, room, Style::new());
            None
        }
    }
}

/// A titled box, cleared; the whole screen where that is small. Its inside.
fn frame(title: &str, hint: &str, rows: u16, whole: Rect, buffer: &mut Buffer) -> Rect {
    let is_small = whole.width < 60 || whole.height < 18;
    let area = if is_small {
        whole
    } else {
        let width = (whole.width - 8).min(84);
        let height = rows.saturating_add(2).min(whole.height - 2);
        Rect::new(
            whole.x + (whole.width - width) / 2,
            whole.y + (whole.height - height) / 3,
            width,
            height,
        )
    };
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            buffer[(x, y)].reset();
        }
    }
    if is_small {
        buffer.set_stringn(area.x + 1, area.y, title, usize::from(area.width) - 1, Look::strong());
        let bottom = area.bottom() - 1;
        let hint = cut(hint, usize::from(area.width) - 1);
        buffer.set_string(area.x + 1, bottom, hint, Look::muted());
        return Rect::new(
            area.x + 1,
            area.y + 1,
            area.width.saturating_sub(2),
            area.height.saturating_sub(2),
        );
    }
    let line = "─".repeat(usize::from(area.width - 2));
    let (left, right) = (area.left(), area.right() - 1);
    let (top, bottom) = (area.top(), area.bottom() - 1);
    buffer.set_string(left, top, format!("┌{line}┐"), Look::muted());
    buffer.set_string(left, bottom, format!("└{line}┘"), Look::muted());
    for y in top + 1..bottom {
        buffer.set_string(left, y, "│", Look::muted());
        buffer.set_string(right, y, "│", Look::muted());
    }
    buffer.set_string(left + 2, top, format!(" {title} "), Look::strong());
    let room = usize::from(area.width).saturating_sub(6);
    buffer.set_string(left + 2, bottom, format!(" {} ", cut(hint, room)), Look::muted());
    Rect::new(area.x + 2, area.y + 1, area.width - 4, area.height - 2)
}

fn pick(picker: &Picker, state: &State, look: Look, whole: Rect, buffer: &mut Buffer) -> Position {
    let rows = state.rows(picker);
    let wanted = u16::try_from(rows.len()).unwrap_or(u16::MAX).clamp(3, 30);
    let selected = picker.selected.min(rows.len().saturating_sub(1));
    // What a narrow row has no room for.
    let hint = match rows.get(selected) {
        Some(row) if !row.is_usable => &row.detail,
        _ => picker.hint(),
    };
    let area = frame(picker.title(), hint, wanted.saturating_add(1), whole, buffer);
    let room = usize::from(area.width);
    buffer.set_string(area.x, area.y, "› ", look.accent());
    let typed = cut_front(picker.filter.text(), room.saturating_sub(3));
    let before = &picker.filter.text()[..picker.filter.cursor()];
    let column = width(&cut_front(before, room.saturating_sub(3)));
    if typed.is_empty() {
        buffer.set_stringn(area.x + 2, area.y, "type to search", room - 2, Look::muted());
    } else {
        buffer.set_stringn(area.x + 2, area.y, typed, room - 2, Style::new());
    }
    let visible = usize::from(area.height.saturating_sub(1));
    if rows.is_empty() {
        let text = if state.is_awaited(picker.kind) { "…" } else { "nothing matches" };
        buffer.set_stringn(area.x + 2, area.y + 1, text, room - 2, Look::muted());
    }
    let from = selected.saturating_sub(visible.saturating_sub(1));
    for (at, row) in rows.iter().enumerate().skip(from).take(visible) {
        let y = area.y + 1 + (at - from) as u16;
        draw_row(row, at == selected, look, Rect::new(area.x, y, area.width, 1), buffer);
    }
    Position::new(area.x + 2 + column as u16, area.y)
}

fn draw_row(row: &Row, is_selected: bool, look: Look, area: Rect, buffer: &mut Buffer) {
    let room = usize::from(area.width).saturating_sub(2);
    // The label comes first, as long as it leaves some room.
    let least = width(&row.detail).min(room / 3);
    let label = cut(&row.label, room.saturating_sub(least + 2));
    let detail = cut(&row.detail, room.saturating_sub(width(&label) + 2));
    let style = if row.is_usable { Style::new() } else { Look::muted() };
    let mark = match row.mark {
        "?" => look.warn(),
        _ => look.accent(),
    };
    buffer.set_string(area.x, area.y, row.mark, mark);
    buffer.set_string(area.x + 2, area.y, label, style);
    let x = area.right().saturating_sub(width(&detail) as u16);
    // What is to be done about it is not muted.
    let style = if row.is_usable { Look::muted() } else { look.warn() };
    buffer.set_string(x, area.y, detail, style);
    if is_selected {
        for x in area.left()..area.right() {
            let cell = &mut buffer[(x, area.y)];
            cell.modifier.remove(Modifier::DIM);
            cell.modifier.insert(Modifier::REVERSED);
        }
    }
}

fn keys(from: usize, whole: Rect, buffer: &mut Buffer) {
    let hint = "Up, Down  any other key closes";
    let area = frame("Keys", hint, KEYS.len() as u16 + 3, whole, buffer);
    let room = usize::from(area.width);
    let widest = KEYS.iter().map(|(key, _)| width(key)).max().unwrap_or(0) + 2;
    let mut lines = Vec::new();
    for (key, what) in KEYS {
        let blank = if room < 60 { 2 } else { widest - width(key) };
        let first = [span(key, Look::strong()), span(" ".repeat(blank), Style::new())];
        let hang = if room < 60 { 4 } else { widest };
        let rest = [span(" ".repeat(hang), Style::new())];
        lines.extend(fill(&[span(what, Style::new())], room, &first, &rest, Break::Words));
    }
    let visible = usize::from(area.height);
    let from = from.min(lines.len().saturating_sub(visible));
    for (line, y) in lines.iter().skip(from).zip(area.top()..area.bottom()) {
        buffer.set_line(area.x, y, line, area.width);
    }
}
