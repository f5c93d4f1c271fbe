//! The messages as lines. What was laid out once stays until its message or the width changes, and
//! of an answer that is being written only the last block is laid out again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ratatui_core::style::{Modifier, Style};
use ratatui_core::text::{Line, Span};

use super::card::{self, Around, seconds};
use super::look::Look;
use super::markdown;
use super::status::tokens;
use super::wrap::{Break, fill, span};
use crate::message::{FinishReason, Limit, Message, Part, Role, ToolStatus};
use crate::tui::state::State;
use crate::tui::state::chat::Item;

/// Text is no wider than this, for it would be hard to read.
const WIDEST: usize = 120;

/// All messages, laid out.
#[derive(Default)]
pub(super) struct Layout {
    laid: HashMap<String, Laid>,
    width: u16,
}

/// One message, laid out.
#[derive(Default)]
pub(super) struct Laid {
    revision: u64,
    /// Asks for keys in another way now.
    takes_keys: bool,
    parts: Vec<LaidPart>,
    pub(super) lines: usize,
}

#[derive(Default)]
struct LaidPart {
    /// What it was made from.
    mark: Mark,
    lines: Vec<Line<'static>>,
    /// Of a text that grows: how many bytes and lines will not change.
    frozen: (usize, usize),
    /// What can be opened here; its first line.
    card: Option<String>,
}

/// Tells whether a part has to be laid out again.
#[derive(Default, PartialEq, Clone)]
enum Mark {
    #[default]
    None,
    /// So many bytes, and whether there will be more.
    Text(usize, bool),
    /// Anything that changes with its message.
    Revision(u64),
    /// A card that is at its end.
    Card(bool, usize),
}

impl Layout {
    /// Brings every message up to date.
    pub(super) fn update(&mut self, state: &State, now: Instant, look: Look) {
        if self.width != state.size.0 {
            self.laid.clear();
            self.width = state.size.0;
        }
        let items = &state.chat.items;
        if self.laid.len() > items.len() + 16 {
            let known: std::collections::HashSet<_> =
                items.iter().map(|item| &*item.message.id).collect();
            self.laid.retain(|id, _| known.contains(&**id));
        }
        let last = items.len().saturating_sub(1);
        for (at, item) in items.iter().enumerate() {
            let takes_keys = at == last && state.is_asked();
            let is_known = self.laid.get(&item.message.id).is_some_and(|laid| {
                (laid.revision, laid.takes_keys) == (item.revision, takes_keys)
            });
            if !is_known {
                let laid = self.laid.entry(item.message.id.clone()).or_default();
                lay(laid, item, at == last, state, now, look);
                (laid.revision, laid.takes_keys) = (item.revision, takes_keys);
            }
        }
    }

    /// The lines of a message, its first at 0.
    pub(super) fn height(&self, id: &str) -> usize {
        self.laid.get(id).map_or(0, |laid| laid.lines)
    }

    /// A line of a message.
    pub(super) fn line(&self, id: &str, mut at: usize) -> Option<(&Line<'static>, Option<&str>)> {
        for part in &self.laid.get(id)?.parts {
            match part.lines.get(at) {
                Some(line) => {
                    let card = part.card.as_deref().filter(|_| at == 0);
                    return Some((line, card));
                }
                None => at -= part.lines.len(),
            }
        }
        None
    }

    /// Where a card begins: the message, the line, and how many it has.
    pub(super) fn find(&self, card: &str) -> Option<(&str, usize, usize)> {
        self.laid.iter().find_map(|(id, laid)| {
            let mut before = 0;
            for part in &laid.parts {
                if part.card.as_deref() == Some(card) {
                    return Some((&**id, before, part.lines.len()));
                }
                before += part.lines.len();
            }
            None
        })
    }
}

/// Columns of indent and of text on a screen so wide.
pub(super) fn columns(width: u16) -> (usize, usize) {
    let indent = if width < 60 { 0 } else { 2 };
    let room = usize::from(width).saturating_sub(indent + 1);
    (indent, room.clamp(8, WIDEST))
}

fn lay(laid: &mut Laid, item: &Item, is_last: bool, state: &State, now: Instant, look: Look) {
    let mut old = std::mem::take(&mut laid.parts).into_iter();
    let mut parts = Vec::new();
    if item.message.role == Role::User {
        parts.push(user(&item.message.content, state.size.0, look));
    } else {
        for (at, part) in item.message.parts.iter().enumerate() {
            let before = old.next().unwrap_or_default();
            parts.push(lay_part(before, (at, part), item, is_last, state, now, look));
        }
        parts.push(footer(item, is_last, state, look));
    }
    laid.lines = parts.iter().map(|part| part.lines.len()).sum();
    laid.parts = parts;
}

fn lay_part(
    mut before: LaidPart,
    (at, part): (usize, &Part),
    item: &Item,
    is_last: bool,
    state: &State,
    now: Instant,
    look: Look,
) -> LaidPart {
    let (indent, most) = columns(state.size.0);
    let card = item.card(at, part);
    let is_open = card.as_ref().is_some_and(|card| state.is_open(card, part));
    let turn = state.chat.turn.as_ref().filter(|_| is_last);
    match part {
        Part::Text { text } => {
            let grows = turn.is_some() && at + 1 == item.message.parts.len();
            let mark = Mark::Text(text.len(), grows);
            if before.mark != mark {
                let shown = if grows { without_half_line(text) } else { text };
                text_lines(&mut before, shown, at > 0, (indent, most), look);
                before.mark = mark;
            }
            before
        }
        Part::Reasoning { text, .. } => {
            let mark = Mark::Card(is_open, text.len());
            if before.mark != mark || before.card != card {
                let is_thinking = turn.is_some() && at + 1 == item.message.parts.len();
                let lines = reasoning(text, is_open, is_thinking, most);
                before = LaidPart { mark, lines: indented(lines, indent), frozen: (0, 0), card };
            }
            before
        }
        Part::Tool { id, status, result, .. } => {
            let questions = &state.chat.questions;
            let question = questions.iter().find(|q| q.asked.call_id == *id).filter(|_| is_last);
            let mark = if *status == ToolStatus::Running {
                Mark::Revision(item.revision)
            } else {
                Mark::Card(is_open, result.as_ref().map_or(0, String::len))
            };
            if before.mark != mark || before.card != card || *status == ToolStatus::Running {
                let around = Around {
                    item,
                    turn,
                    question,
                    takes_keys: state.is_asked(),
                    is_open,
                    now,
                    look,
                    most,
                };
                let lines = indented(card::tool(part, &around), indent);
                before = LaidPart { mark, lines, frozen: (0, 0), card };
            }
            before
        }
    }
}

/// Lays out a text that may have grown.
fn text_lines(
    part: &mut LaidPart,
    text: &str,
    gap: bool,
    (indent, most): (usize, usize),
    look: Look,
) {
    let (mut bytes, mut kept) = part.frozen;
    // What does not change any more stays, if this is the same text.
    if !matches!(part.mark, Mark::Text(..)) || !text.is_char_boundary(bytes) {
        (bytes, kept) = (0, 0);
    }
    part.lines.truncate(kept);
    let trimmed = text[bytes..].trim_end();
    let rendered = markdown::render(trimmed, most, look, kept > 0 || (gap && !trimmed.is_empty()));
    let (last, before) = rendered.last;
    part.lines.extend(indented(rendered.lines, indent));
    part.frozen = (bytes + last, kept + before);
    part.card = None;
}

/// A text that is being written, without a last line that may yet mean something else: the start of
/// a table's row, or of a line below a heading.
fn without_half_line(text: &str) -> &str {
    let start = text.rfind('\n').map_or(0, |at| at + 1);
    let last = &text[start..];
    let is_row = last.starts_with('|');
    let is_rule = !last.is_empty() && last.chars().all(|c| matches!(c, '-' | '=' | ' '));
    if is_row || is_rule { &text[..start] } else { text }
}

fn indented(lines: Vec<Line<'static>>, indent: usize) -> Vec<Line<'static>> {
    if indent == 0 {
        return lines;
    }
    let start = || span(" ".repeat(indent), Style::new());
    let with = |line: Line<'static>| {
        Line::from(std::iter::once(start()).chain(line.spans).collect::<Vec<_>>())
    };
    lines.into_iter().map(with).collect()
}

/// What a person said, behind a bar, with a blank line before it.
fn user(text: &str, width: u16, look: Look) -> LaidPart {
    let mut lines = vec![Line::default()];
    lines.extend(said(text, width, look));
    LaidPart { mark: Mark::Text(text.len(), false), lines, ..LaidPart::default() }
}

pub(super) fn said(text: &str, width: u16, look: Look) -> Vec<Line<'static>> {
    let bar = [span("▌ ", look.accent())];
    let most = usize::from(width).saturating_sub(1).min(WIDEST + 2);
    let bold = Look::strong();
    let text = super::wrap::untabbed(text.trim_end());
    fill(&[span(text, bold)], most, &bar, &bar, Break::Words)
}

fn reasoning(text: &str, is_open: bool, is_thinking: bool, most: usize) -> Vec<Line<'static>> {
    let text = text.trim();
    if text.is_empty() {
        return Vec::new();
    }
    let style = Look::muted().add_modifier(Modifier::ITALIC);
    let words = text.split_whitespace().count();
    let title = if is_thinking { "thinking" } else { "thought" };
    let mut lines = vec![Line::from(vec![
        span("· ", Look::muted()),
        span(format!("{title}  {words} words"), Look::muted()),
    ])];
    if is_open {
        let indent = [span("    ", Style::new())];
        lines.extend(fill(&[span(text.to_owned(), style)], most, &indent, &indent, Break::Words));
    } else if is_thinking && let Some(last) = text.lines().last() {
        let last = super::wrap::cut_front(last, most.saturating_sub(4));
        lines.push(Line::from(vec![span("    ", Style::new()), span(last, style)]));
    }
    lines
}

/// What stands below an answer: why it failed, what it took.
fn footer(item: &Item, is_last: bool, state: &State, look: Look) -> LaidPart {
    let (indent, most) = columns(state.size.0);
    let message = &item.message;
    let mut lines = Vec::new();
    let hang = [span("  ", Style::new())];
    if let Some(lost) = &item.lost {
        let pieces = [span(format!("○ {lost}"), look.warn())];
        lines.extend(fill(&pieces, most, &[], &hang, Break::Words));
    }
    if let Some(error) = &message.error {
        let pieces = [span("✗ ", look.err()), span(error.clone(), look.err())];
        lines.extend(fill(&pieces, most, &[], &hang, Break::Words));
    }
    match message.finish_reason {
        Some(FinishReason::Aborted) => lines.push(Line::from(span("⊘ stopped", look.warn()))),
        Some(FinishReason::Length) => {
            let pieces = [span(format!("⊘ {}", Limit::words(message.limit)), look.warn())];
            lines.extend(fill(&pieces, most, &[], &hang, Break::Words));
        }
        _ => {}
    }
    let is_running = is_last && state.chat.turn.is_some();
    if message.finish_reason.is_some() && !is_running {
        let spent = spent(message);
        if !spent.is_empty() {
            let pieces = [span(spent, Look::muted())];
            lines.extend(fill(&pieces, most, &[], &[], Break::Words));
        }
    }
    let mark = Mark::Revision(item.revision);
    LaidPart { mark, lines: indented(lines, indent), frozen: (0, 0), card: None }
}

/// `4.1s (waited 2m for you) · 2.6k in 182 out · $0.03`
fn spent(message: &Message) -> String {
    let mut fields = Vec::new();
    if let Some(time) = message.time {
        let waited = Duration::from_millis(time.waited_ms);
        let mut text = seconds(Duration::from_millis(time.duration_ms));
        if waited >= Duration::from_secs(1) {
            text = format!("{text} (waited {} for you)", seconds(waited));
        }
        fields.push(text);
    }
    if let Some(usage) = &message.usage {
        let read = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
        if read + usage.output_tokens > 0 {
            fields.push(format!("{} in {} out", tokens(read), tokens(usage.output_tokens)));
        }
        if let Some(cost) = usage.cost {
            fields.push(format!("${cost:.2}"));
        }
    }
    fields.join(" · ")
}

/// What stands behind the last message: what is on its way, and what goes on.
pub(super) fn tail(state: &State, now: Instant, look: Look) -> Vec<Line<'static>> {
    let (indent, most) = columns(state.size.0);
    let mut lines = Vec::new();
    if let Some(sending) = &state.chat.sending {
        lines.push(Line::default());
        lines.extend(said(&sending.text, state.size.0, look));
        lines.extend(indented(vec![Line::from(span("sending…", Look::muted()))], indent));
    }
    if let Some(turn) = &state.chat.turn {
        let (took, _) = turn.took(now);
        let seconds = took.as_secs();
        let mut pieces: Vec<Span<'static>> = Vec::new();
        let is_up = state.wire == crate::tui::state::Wire::Up;
        if !is_up {
            // What the turn does is not known; the status row says so.
        } else if turn.is_stopping {
            pieces.extend([span("● ", look.warn()), span("stopping…", look.warn())]);
        } else if let Some((reason, until)) = &turn.retry {
            let left = until.saturating_duration_since(now).as_secs() + 1;
            let text = format!("the provider asked to wait · {left} s · {reason}");
            pieces.extend([span("● ", look.warn()), span(text, Style::new())]);
        } else if !turn.is_waiting() {
            let word = doing(state);
            pieces.push(span("● ", look.accent()));
            pieces.push(span(format!("{word} · {seconds} s · Esc stops"), Look::muted()));
        }
        if !pieces.is_empty() {
            let filled = fill(&pieces, most, &[], &[], Break::Words);
            lines.extend(indented(filled.into_iter().take(3).collect(), indent));
        }
    }
    lines
}

/// What the turn does now, in a word.
fn doing(state: &State) -> String {
    let last = state.chat.items.last().and_then(|item| item.message.parts.last());
    match last {
        Some(Part::Tool { tool, status: ToolStatus::Running, .. }) => card::short_name(tool),
        Some(Part::Text { .. }) => "writing".to_owned(),
        _ => "thinking".to_owned(),
    }
}
