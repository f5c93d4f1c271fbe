//! The last row: how the connection stands, and what answers. Fields go as a whole where there is
//! no room; it never wraps.

use std::time::Instant;

use ratatui_core::style::Style;
use ratatui_core::text::{Line, Span};

use super::look::Look;
use super::wrap::{cut, span, width};
use crate::message::{Message, Part};
use crate::tui::state::{State, Wire};

/// Titles are cut to this, and to more on a wide screen.
const TITLE: (usize, usize) = (24, 60);

/// The row, and whether it stands out.
pub(super) fn row(state: &State, now: Instant, look: Look) -> (Line<'static>, bool) {
    let most = usize::from(state.size.0).saturating_sub(1);
    let (mark, style, words) = connection(state, now, look);
    let is_gone = matches!(state.wire, Wire::Gone { .. });
    let mut used = 1 + width(mark) + if words.is_empty() { 0 } else { 1 + width(&words) };
    // In the order of what goes last.
    let mut fields = Fields::default();
    let mut take = |field: &mut Option<String>, text: String| {
        if !text.is_empty() && used + 2 + width(&text) <= most {
            used += 2 + width(&text);
            *field = Some(text);
        }
    };
    take(&mut fields.model, short_model(state.model(), most));
    take(&mut fields.tokens, spent(state, most));
    take(&mut fields.cost, state.chat.usage.cost.map(|c| format!("${c:.2}")).unwrap_or_default());
    if !is_gone {
        let asking = match state.asking_elsewhere() {
            0 => String::new(),
            1 => "? F2: one asks".to_owned(),
            count => format!("? F2: {count} ask"),
        };
        take(&mut fields.asking, asking);
        take(&mut fields.agent, state.agent().to_owned());
        take(&mut fields.title, cut(&state.chat.title, if most < 140 { TITLE.0 } else { TITLE.1 }));
        take(&mut fields.server, state.server.name.clone());
        for hints in ["F1 keys  Ctrl+P all", "F1 keys"] {
            if fields.hints.is_none() {
                take(&mut fields.hints, hints.to_owned());
            }
        }
    }
    let mut spans = vec![span(format!(" {mark}"), style)];
    if !words.is_empty() {
        spans.push(span(format!(" {words}"), style));
    }
    let strong = look.warn();
    for (field, style) in [
        (fields.server, Style::new()),
        (fields.title, Style::new()),
        (fields.agent, Style::new()),
        (fields.model, Look::strong()),
        (fields.tokens, Style::new()),
        (fields.cost, Style::new()),
        (fields.asking, strong),
    ] {
        if let Some(text) = field {
            // Right behind the mark where it says nothing.
            let gap = if spans.len() == 1 { " " } else { "  " };
            spans.push(span(format!("{gap}{text}"), style));
        }
    }
    if let Some(hints) = fields.hints {
        let so_far: usize = spans.iter().map(|piece: &Span<'_>| width(&piece.content)).sum();
        let blank = (most + 1).saturating_sub(so_far + width(&hints) + 1);
        spans.push(span(" ".repeat(blank), Style::new()));
        spans.push(span(hints, Look::muted()));
    }
    (Line::from(spans), is_gone)
}

#[derive(Default)]
struct Fields {
    server: Option<String>,
    title: Option<String>,
    agent: Option<String>,
    model: Option<String>,
    tokens: Option<String>,
    cost: Option<String>,
    asking: Option<String>,
    hints: Option<String>,
}

fn connection(state: &State, now: Instant, look: Look) -> (&'static str, Style, String) {
    match &state.wire {
        Wire::Opening => ("○", look.warn(), "connecting…".to_owned()),
        Wire::Gone { again, is_refused, .. } => {
            let left = again.saturating_duration_since(now);
            let seconds = left.as_millis().div_ceil(1000);
            let is_narrow = state.size.0 < 60;
            let what = if *is_refused { "Password refused" } else { "Server gone" };
            let text = match (left.is_zero(), is_narrow) {
                (true, _) => format!("{what}; trying…"),
                (false, false) => format!("{what}; trying again in {seconds} s, Enter: now"),
                (false, true) => format!("{what}, {seconds} s, ⏎ now"),
            };
            ("○", Style::new(), text)
        }
        Wire::Up => match (&state.back, &state.chat.turn) {
            (Some(back), _) => {
                let text = match back.words {
                    0 => "Back".to_owned(),
                    words => format!("Back: {words} words caught up"),
                };
                ("●", look.ok(), text)
            }
            (None, Some(turn)) if turn.is_waiting() => ("?", look.warn(), "asks you".to_owned()),
            (None, Some(turn)) => {
                let (took, _) = turn.took(now);
                ("●", look.accent(), format!("{} s", took.as_secs()))
            }
            (None, None) => ("●", look.ok(), String::new()),
        },
    }
}

/// The model without its provider where there is little room.
fn short_model(model: &str, most: usize) -> String {
    if most >= 60 {
        return cut(model, most / 3);
    }
    cut(model, most / 2)
}

/// Tokens of the session, and about how much of what the model can read is full.
fn spent(state: &State, most: usize) -> String {
    let usage = &state.chat.usage;
    let all = usage.input_tokens
        + usage.cache_read_tokens
        + usage.cache_write_tokens
        + usage.output_tokens;
    if all == 0 {
        return String::new();
    }
    let percent = state.context().filter(|size| *size > 0).and_then(|size| {
        let full = state.chat.items.iter().rev().find_map(|item| full(&item.message))?;
        Some(format!("{}%", (full * 100).div_ceil(size)))
    });
    match percent {
        Some(percent) if most < 60 => percent,
        Some(percent) => format!("{} {percent}", tokens(all)),
        None => tokens(all),
    }
}

/// About how many tokens the next answer will read: the turn's, shared among its steps, for each
/// one read nearly all of what was said before.
fn full(message: &Message) -> Option<u64> {
    let usage = message.usage.as_ref()?;
    let read = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
    let steps = message.parts.iter().filter_map(|part| match part {
        Part::Tool { step, .. } => Some(u64::from(*step) + 2),
        Part::Text { .. } | Part::Reasoning { .. } => None,
    });
    let steps = steps.max().unwrap_or(1);
    (read > 0).then(|| read / steps + usage.output_tokens / steps)
}

/// A number of tokens in a few characters.
pub(crate) fn tokens(count: u64) -> String {
    match count {
        0..=999 => count.to_string(),
        1000..=99_999 => format!("{}.{}k", count / 1000, count % 1000 / 100),
        100_000..=999_999 => format!("{}k", count / 1000),
        _ => format!("{}.{}M", count / 1_000_000, count % 1_000_000 / 100_000),
    }
}
