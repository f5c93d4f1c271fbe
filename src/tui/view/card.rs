//! A tool call as one line, and what it did once it is opened; a tool that asks, with all that a
//! person needs to decide.

use std::time::{Duration, Instant};

use ratatui_core::style::{Modifier, Style};
use ratatui_core::text::{Line, Span};
use serde_json::Value;

use super::diff;
use super::highlight::Highlighter;
use super::look::Look;
use super::wrap::{Break, cut, cut_front, fill, span, untabbed, width};
use crate::message::{Part, ToolStatus, is_diff, why_failed};
use crate::tui::state::chat::Item;
use crate::tui::state::turn::{Question, Turn};

/// Lines that an open card shows of a result.
const RESULT_LINES: usize = 400;
/// Lines of a new file that a question shows.
const ASKED_LINES: usize = 200;

/// What a card stands in.
pub(super) struct Around<'a> {
    pub(super) item: &'a Item,
    /// The turn, where it still runs.
    pub(super) turn: Option<&'a Turn>,
    pub(super) question: Option<&'a Question>,
    /// Single keys answer the question.
    pub(super) takes_keys: bool,
    pub(super) is_open: bool,
    pub(super) now: Instant,
    pub(super) look: Look,
    pub(super) most: usize,
}

/// The lines of a tool call.
pub(super) fn tool(part: &Part, around: &Around<'_>) -> Vec<Line<'static>> {
    let Part::Tool { id, tool, args, result, status, duration_ms, .. } = part else {
        return Vec::new();
    };
    if let Some(question) = around.question {
        return asking(question, around);
    }
    let look = around.look;
    let (mark, style) = match status {
        ToolStatus::Running => ("●", look.accent()),
        ToolStatus::Completed => ("✓", look.ok()),
        ToolStatus::Error => ("✗", look.err()),
        ToolStatus::Denied => ("⊘", look.warn()),
    };
    let ran = match around.turn {
        Some(turn) if *status == ToolStatus::Running => turn.ran(id, around.now),
        _ => duration_ms.map(Duration::from_millis),
    };
    let result = result.as_deref().unwrap_or_default();
    let mut lines = vec![row(
        (mark, style),
        (tool, &subject(args)),
        (&outcome(tool, args, result, *status), ran),
        *status == ToolStatus::Denied,
        around,
    )];
    if around.is_open {
        lines.extend(opened(tool, args, result, around));
    } else if *status == ToolStatus::Running {
        let output = around.turn.and_then(|turn| turn.output.get(id));
        let last = output.and_then(|output| output.lines().rev().find(|l| !l.trim().is_empty()));
        if let Some(last) = last {
            let text = cut(&untabbed(last), around.most.saturating_sub(4));
            lines.push(Line::from(vec![span("    ", Style::new()), span(text, Look::muted())]));
        }
    }
    lines
}

/// `✓ edit  src/cache.py      +6 −3   0.1s`, cut where there is no room.
fn row(
    (mark, mark_style): (&str, Style),
    (tool, subject): (&str, &str),
    (outcome, ran): (&str, Option<Duration>),
    is_refused: bool,
    around: &Around<'_>,
) -> Line<'static> {
    let most = around.most;
    let name = short_name(tool);
    let time = ran.map(seconds).filter(|_| most >= 60).unwrap_or_default();
    let right = match (outcome.is_empty(), time.is_empty()) {
        (true, true) => String::new(),
        (false, true) => outcome.to_owned(),
        (true, false) => time,
        (false, false) => format!("{outcome}  {time:>6}"),
    };
    let gap = if most >= 60 { 2 } else { 1 };
    let name = if most >= 60 { format!("{name:<5}") } else { name.clone() };
    let used = 2 + width(&name) + gap;
    let right = cut(&right, most.saturating_sub(used + 4));
    let room = most.saturating_sub(used + width(&right) + usize::from(!right.is_empty()));
    let first = subject.lines().next().unwrap_or_default();
    let first = untabbed(first);
    let is_path = !first.contains(' ');
    let mut shown = if is_path { cut_front(&first, room) } else { cut(&first, room) };
    if subject.lines().nth(1).is_some() && width(&shown) < room {
        shown.push('…');
    }
    let blank = most.saturating_sub(used + width(&shown) + width(&right));
    let text =
        if is_refused { Style::new().add_modifier(Modifier::CROSSED_OUT) } else { Style::new() };
    Line::from(vec![
        span(format!("{mark} "), mark_style),
        span(name, Look::strong()),
        span(" ".repeat(gap), Style::new()),
        span(shown, text),
        span(" ".repeat(if most >= 60 { blank } else { blank.min(1) }), Style::new()),
        span(right, Look::muted()),
    ])
}

/// A tool that asks: the whole of what it would do, why, and the keys.
fn asking(question: &Question, around: &Around<'_>) -> Vec<Line<'static>> {
    let (look, most) = (around.look, around.most);
    let asked = &question.asked;
    let first = [
        span("? ", look.warn().add_modifier(Modifier::BOLD)),
        span(short_name(&asked.tool), Look::strong()),
        span(" asks you", look.warn()),
    ];
    let mut lines = vec![Line::from(first.to_vec())];
    let indent = [span("  ", Style::new())];
    lines.extend(wanted(&asked.args, around));
    if !asked.reason.is_empty() {
        lines.extend(fill(
            &[span(asked.reason.clone(), Look::muted())],
            most,
            &indent,
            &indent,
            Break::Words,
        ));
    }
    let covers = asked.always.join(", ");
    let keys: Vec<Span<'static>> = if question.is_answered {
        vec![span("answered…", Look::muted())]
    } else if around.takes_keys {
        let key = |key: &'static str| span(key, look.warn().add_modifier(Modifier::BOLD));
        let mut keys = vec![key("y"), span(" once   ", Style::new())];
        if !covers.is_empty() {
            keys.push(key("a"));
            keys.push(span(format!(" always: {covers}   "), Style::new()));
        }
        keys.extend([key("n"), span(" refuse", Style::new())]);
        keys
    } else {
        vec![span("Tab, then y once, a always, n refuse", look.warn())]
    };
    lines.extend(fill(&keys, most, &indent, &indent, Break::Words));
    lines
}

/// What a tool would do, whole.
fn wanted(args: &Value, around: &Around<'_>) -> Vec<Line<'static>> {
    let (look, most) = (around.look, around.most);
    let indent = [span("  ", Style::new())];
    let text = |name: &str| args[name].as_str();
    let changed = |text: &str, is_added: bool| -> Vec<Line<'static>> {
        let (gutter, plain) = look.changed(is_added);
        let sign = [span(if is_added { "  + " } else { "  - " }, gutter)];
        let rest = [span("    ", gutter)];
        let all = text.lines().count();
        let mut lines: Vec<_> = text
            .lines()
            .take(ASKED_LINES)
            .flat_map(|line| {
                fill(&[span(untabbed(line), plain)], most, &sign, &rest, Break::Anywhere)
            })
            .collect();
        lines.extend(more(all, ASKED_LINES));
        lines
    };
    match (text("command"), text("path"), text("old_string"), text("content")) {
        (Some(command), ..) => command
            .lines()
            .flat_map(|line| {
                let mut shell = Highlighter::new("sh", look);
                let pieces = shell.line(&untabbed(line));
                fill(&pieces, most, &indent, &[span("    ", Style::new())], Break::Anywhere)
            })
            .collect(),
        (None, Some(path), Some(old), _) => {
            let path = span(path.to_owned(), Look::strong());
            let mut lines = fill(&[path], most, &indent, &indent, Break::Anywhere);
            lines.extend(changed(old, false));
            lines.extend(changed(text("new_string").unwrap_or_default(), true));
            lines
        }
        (None, Some(path), None, Some(content)) => {
            let path = span(path.to_owned(), Look::strong());
            let mut lines = fill(&[path], most, &indent, &indent, Break::Anywhere);
            lines.extend(changed(content, true));
            lines
        }
        _ => {
            let text = match args.as_object() {
                Some(fields) => fields
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", word(value)))
                    .collect::<Vec<_>>()
                    .join("\n"),
                None => args.to_string(),
            };
            let of = |line: &str| {
                fill(&[span(untabbed(line), Style::new())], most, &indent, &indent, Break::Anywhere)
            };
            text.lines().flat_map(of).collect()
        }
    }
}

/// What an open card shows below its row.
fn opened(tool: &str, args: &Value, result: &str, around: &Around<'_>) -> Vec<Line<'static>> {
    let (look, most) = (around.look, around.most);
    let room = most.saturating_sub(4);
    let indent = |lines: Vec<Line<'static>>| -> Vec<Line<'static>> {
        lines
            .into_iter()
            .map(|line| {
                let start = span("    ", Style::new());
                Line::from(std::iter::once(start).chain(line.spans).collect::<Vec<_>>())
            })
            .collect()
    };
    let path = args["path"].as_str().unwrap_or_default();
    if is_diff(tool, result) {
        return indent(diff::lines(result, path, room, look));
    }
    let mut lines = Vec::new();
    // What the row has no room for.
    if let Some(command) = args["command"].as_str() {
        for line in command.lines() {
            let mut shell = Highlighter::new("sh", look);
            let start = [span("$ ", Look::muted())];
            let rest = [span("  ", Style::new())];
            lines.extend(fill(&shell.line(&untabbed(line)), room, &start, &rest, Break::Anywhere));
        }
    }
    let output = around.turn.and_then(|turn| match &around.item.message.parts.last() {
        Some(Part::Tool { id, status: ToolStatus::Running, .. }) => turn.output.get(id),
        _ => None,
    });
    let text = match (tool, output) {
        ("write_file", _) if result.starts_with('`') => {
            args["content"].as_str().unwrap_or_default()
        }
        (_, Some(output)) => output,
        _ => result,
    };
    let mut highlighter = match tool {
        "read_file" | "write_file" => Highlighter::of_path(path, look),
        _ => Highlighter::new("", look),
    };
    let all = text.lines().count();
    for line in text.lines().take(RESULT_LINES) {
        let mut pieces = highlighter.line(&untabbed(line));
        if pieces.is_empty() {
            pieces.push(span("", Style::new()));
        }
        lines.extend(fill(&pieces, room, &[], &[], Break::Anywhere));
    }
    lines.extend(more(all, RESULT_LINES));
    if text.is_empty() && lines.is_empty() {
        lines.push(Line::from(span("nothing", Look::muted())));
    }
    indent(lines)
}

fn more(all: usize, shown: usize) -> Option<Line<'static>> {
    let left = all.checked_sub(shown).filter(|left| *left > 0)?;
    Some(Line::from(span(format!("… {left} more lines"), Look::muted())))
}

/// What a tool is called here.
pub(super) fn short_name(tool: &str) -> String {
    let short = tool.strip_suffix("_file").or_else(|| tool.strip_suffix("_dir"));
    short.unwrap_or(tool).to_owned()
}

/// What a tool is about, in a few words.
pub(crate) fn subject(args: &Value) -> String {
    let named = ["command", "pattern", "path"].iter().find_map(|name| args[name].as_str());
    let text = named.map_or_else(|| args.to_string(), str::to_owned);
    match (args["pattern"].as_str(), args["path"].as_str()) {
        (Some(_), Some(path)) => format!("{text} in {path}"),
        _ => text,
    }
}

/// What came of it, in a few words.
pub(crate) fn outcome(tool: &str, args: &Value, result: &str, status: ToolStatus) -> String {
    let first = result.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let lines = |text: &str, one: &str, many: &str| match text.lines().count() {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    match (status, tool) {
        (ToolStatus::Running, _) => String::new(),
        (ToolStatus::Denied, _) => "refused".to_owned(),
        (ToolStatus::Error, _) => why_failed(tool, result).to_owned(),
        (ToolStatus::Completed, _) if is_diff(tool, result) => {
            let (added, removed) = diff::counts(result);
            format!("+{added} −{removed}")
        }
        (ToolStatus::Completed, "write_file") => {
            let how = match first.rsplit_once("` ") {
                Some((_, how)) if how.starts_with("created:") => "new, ",
                Some((_, how)) if how.starts_with("unchanged:") => "unchanged, ",
                _ => "",
            };
            let lines = lines(args["content"].as_str().unwrap_or_default(), "line", "lines");
            how.to_owned() + &lines
        }
        (ToolStatus::Completed, "list_dir" | "glob") => lines(result, "entry", "entries"),
        (ToolStatus::Completed, _) => lines(result, "line", "lines"),
    }
}

/// A time as people say it.
pub(crate) fn seconds(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    match time.as_secs() {
        0..=9 => format!("{}.{}s", tenths / 10, tenths % 10),
        10..=59 => format!("{}s", time.as_secs()),
        60..=3599 => format!("{}m {:02}s", time.as_secs() / 60, time.as_secs() % 60),
        _ => format!("{}h {:02}m", time.as_secs() / 3600, time.as_secs() / 60 % 60),
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
