//! What is shown, drawn: the transcript, what lies over it, the draft and the status row.
//!
//! From state to cells, and nothing else: no terminal, no clock. It remembers how messages were
//! laid out and which part of them is in sight.

mod card;
mod composer;
mod diff;
mod highlight;
pub(super) mod look;
mod markdown;
mod overlay;
mod status;
mod table;
mod transcript;
mod wrap;

use std::time::Instant;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::{Position, Rect};
use ratatui_core::style::{Modifier, Style};
use ratatui_core::text::Line;

pub(super) use card::{outcome, subject};

use super::state::chat::{Older, Sync};
use super::state::{Scroll, State, Wire};
use look::Look;
use transcript::Layout;
use wrap::{Break, cut, fill, span, width};

/// Which line of the transcript is the first in sight.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The last one is in sight.
    End,
    /// A line of a message.
    At(String, usize),
}

/// What was drawn before, as far as it matters for what is drawn next.
pub(crate) struct View {
    look: Look,
    layout: Layout,
    place: Place,
    /// Rows of the transcript.
    rows: usize,
    /// Lines that were there when the end was left.
    seen: usize,
    wants_older: bool,
}

impl View {
    pub(crate) fn new(look: Look) -> Self {
        let (layout, place) = (Layout::default(), Place::End);
        Self { look, layout, place, rows: 0, seen: 0, wants_older: false }
    }

    /// Whether what comes is followed.
    pub(crate) fn follows(&self) -> bool {
        self.place == Place::End
    }

    /// Whether the first message that is here was in sight.
    pub(crate) fn wants_older(&self) -> bool {
        self.wants_older
    }

    /// Draws everything; where the cursor is.
    pub(crate) fn draw(
        &mut self,
        state: &State,
        now: Instant,
        area: Rect,
        buffer: &mut Buffer,
    ) -> Option<Position> {
        if area.width < 8 || area.height < 3 {
            return None;
        }
        let look = self.look;
        let bottom = area.bottom() - 1;
        let composer = composer::height(state).min(area.height - 2);
        let notice = u16::from(state.notice.is_some());
        let writing = Rect::new(area.x, bottom - composer, area.width, composer);
        let above = Rect::new(area.x, area.y, area.width, writing.y - area.y);
        let shown = Rect { height: above.height.saturating_sub(notice), ..above };
        self.transcript(state, now, shown, buffer);
        if let Some(notice) = &state.notice
            && shown.height < above.height
        {
            let (mark, style) =
                if notice.is_error { ("✗", look.err()) } else { ("·", look.warn()) };
            let room = usize::from(area.width).saturating_sub(1);
            let text = cut(&format!("{mark} {}", notice.text.replace('\n', " ")), room);
            buffer.set_string(area.x, shown.bottom(), text, style);
        }
        let mut cursor = Some(composer::draw(state, look, writing, buffer));
        if let Some(completion) = &state.completion {
            composer::offer(completion, look, above, buffer);
        }
        let (line, stands_out) = status::row(state, now, look);
        buffer.set_line(area.x, bottom, &line, area.width);
        if stands_out {
            for x in area.left()..area.right() {
                let cell = &mut buffer[(x, bottom)];
                cell.modifier.remove(Modifier::DIM);
                cell.modifier.insert(Modifier::REVERSED);
            }
        }
        if let Some(overlay) = &state.overlay {
            let whole = Rect { height: area.height - 1, ..area };
            let whole = if area.height < 18 || area.width < 60 { area } else { whole };
            cursor = overlay::draw(overlay, state, look, whole, buffer);
        }
        cursor
    }

    /// Moves what is in sight.
    pub(crate) fn scroll(&mut self, scroll: Scroll, state: &State, now: Instant) {
        self.layout.update(state, now, self.look);
        let tail = transcript::tail(state, now, self.look).len();
        let top = self.top(state, tail);
        let page = i64::try_from(self.rows.max(2) - 1).unwrap_or(1);
        let step = match scroll {
            Scroll::End => {
                self.place = Place::End;
                return;
            }
            Scroll::Top => -i64::try_from(top).unwrap_or(i64::MAX),
            Scroll::Pages(pages) => i64::from(pages) * page,
            Scroll::Lines(lines) => i64::from(lines),
        };
        let top = top.saturating_add_signed(isize::try_from(step).unwrap_or(isize::MAX));
        self.go(top, state, tail);
    }

    /// Brings the selected card in sight.
    pub(crate) fn reveal(&mut self, state: &State, now: Instant) {
        self.layout.update(state, now, self.look);
        let Some(card) = &state.card else { return };
        let Some((id, line, lines)) = self.layout.find(card) else { return };
        let before = state.chat.items.iter().take_while(|item| item.message.id != id);
        let before: usize = before.map(|item| self.layout.height(&item.message.id)).sum();
        let at = before + line;
        let tail = transcript::tail(state, now, self.look).len();
        let top = self.top(state, tail);
        let fits = lines.min(self.rows.max(1));
        if at < top {
            self.go(at, state, tail);
        } else if at + fits > top + self.rows {
            self.go(at + fits - self.rows, state, tail);
        }
    }

    fn total(&self, state: &State, tail: usize) -> usize {
        let items = state.chat.items.iter();
        items.map(|item| self.layout.height(&item.message.id)).sum::<usize>() + tail
    }

    /// The first line in sight, counted from the first that is here.
    fn top(&self, state: &State, tail: usize) -> usize {
        let end = self.total(state, tail).saturating_sub(self.rows);
        let Place::At(id, line) = &self.place else { return end };
        let mut before = 0;
        for item in &state.chat.items {
            let height = self.layout.height(&item.message.id);
            if item.message.id == *id {
                return (before + (*line).min(height.saturating_sub(1))).min(end);
            }
            before += height;
        }
        end
    }

    /// Puts a line first, and holds it there; the end is followed.
    fn go(&mut self, top: usize, state: &State, tail: usize) {
        let total = self.total(state, tail);
        if top + self.rows >= total {
            self.place = Place::End;
            return;
        }
        if self.place == Place::End {
            self.seen = total;
        }
        let mut before = 0;
        for item in &state.chat.items {
            let height = self.layout.height(&item.message.id);
            if top < before + height {
                self.place = Place::At(item.message.id.clone(), top - before);
                return;
            }
            before += height;
        }
        self.place = Place::End;
    }

    fn transcript(&mut self, state: &State, now: Instant, area: Rect, buffer: &mut Buffer) {
        self.layout.update(state, now, self.look);
        self.rows = usize::from(area.height);
        let tail = transcript::tail(state, now, self.look);
        if state.chat.items.is_empty() && tail.is_empty() {
            self.place = Place::End;
            self.wants_older = false;
            return empty(state, self.look, area, buffer);
        }
        let total = self.total(state, tail.len());
        let top = self.top(state, tail.len());
        if top + self.rows >= total {
            self.place = Place::End;
        }
        self.wants_older = top < self.rows && state.chat.older == Older::Some;
        let mut y = area.y;
        let mut skipped = 0;
        for item in &state.chat.items {
            let id = &item.message.id;
            let height = self.layout.height(id);
            for at in top.saturating_sub(skipped).min(height)..height {
                if y >= area.bottom() {
                    break;
                }
                if let Some((line, card)) = self.layout.line(id, at) {
                    buffer.set_line(area.x, y, line, area.width);
                    if card.is_some() && card == state.card.as_deref() {
                        select(Rect::new(area.x, y, area.width, 1), buffer);
                    }
                }
                y += 1;
            }
            skipped += height;
        }
        for line in tail.iter().skip(top.saturating_sub(skipped)) {
            if y >= area.bottom() {
                break;
            }
            buffer.set_line(area.x, y, line, area.width);
            y += 1;
        }
        if self.follows() {
            self.seen = total;
        } else {
            self.below(total, area, buffer);
        }
    }

    /// Says that there is more, and how much of it is new.
    fn below(&self, total: usize, area: Rect, buffer: &mut Buffer) {
        let new = total.saturating_sub(self.seen);
        let text =
            if new > 0 { format!(" ↓ {new} new lines, End ") } else { " ↓ End ".to_owned() };
        let wide = width(&text) as u16;
        if area.height > 0 && wide < area.width {
            let x = area.right() - wide - 1;
            buffer.set_string(x, area.bottom() - 1, text, Look::reversed());
        }
    }
}

fn select(area: Rect, buffer: &mut Buffer) {
    for x in area.left()..area.right() {
        let cell = &mut buffer[(x, area.y)];
        cell.modifier.remove(Modifier::DIM);
        cell.modifier.insert(Modifier::REVERSED);
    }
}

/// What a session shows that has no messages.
fn empty(state: &State, look: Look, area: Rect, buffer: &mut Buffer) {
    let most = usize::from(area.width).saturating_sub(4);
    let mut lines = vec![Line::default()];
    let mut say = |text: &str, style: Style| {
        lines.extend(fill(&[span(text, style)], most, &[], &[], Break::Words));
    };
    if state.chat.sync == Sync::Fetching || state.wire == Wire::Opening {
        say("loading…", Look::muted());
    } else {
        say(&state.server.directory, Look::strong());
        let with = format!("{} answers, as {}", state.model(), state.agent());
        say(&with, Style::new());
        let model = state.models.iter().find(|model| model.id == state.model());
        if let Some(variable) = model.and_then(|model| model.wants.as_ref()) {
            say(&format!("no key: set {variable}"), look.warn());
        } else if state.model() == "offline/guide" {
            say("No model is set up: F3 shows what each one wants.", look.warn());
        }
        say("", Style::new());
        say("Try:", Look::muted());
        for prompt in ["list the files", "search for TODO", "run `git status`"] {
            say(&format!("  {prompt}"), Style::new());
        }
    }
    for (line, y) in lines.iter().zip(area.top()..area.bottom()) {
        buffer.set_line(area.x + 2, y, line, area.width.saturating_sub(3));
    }
}

#[cfg(test)]
mod tests;
