//! One session as a person reads it on a terminal.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::cli::look::Look;
use crate::cli::output::subject;
use crate::cli::table::word;
use crate::message::Limit;
use crate::text::plain;

/// Lines that are shown of a tool's result.
const RESULT_LINES: usize = 5;

/// The session and all that was said in it. Nothing in it can move a cursor.
pub(super) fn session(session: &Value, look: Look, now: u64) -> String {
    let mut text = String::new();
    let line = |value: &Value| plain(value.as_str().unwrap_or("?")).replace(['\n', '\t'], " ");
    let _ = writeln!(text, "{}", look.bold(&line(&session["title"])));
    let about = [
        line(&session["id"]),
        line(&session["agent"]),
        line(&session["model"]),
        format!("{} messages", word(&session["messageCount"])),
        match session["status"].as_str() {
            Some("running") => "a turn runs".to_owned(),
            _ => format!("changed {}", ago(&session["updatedAt"], now)),
        },
    ];
    let _ = writeln!(text, "{}", look.dim(&about.join(" · ")));
    for message in session["messages"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let who = match message["role"].as_str() {
            Some("user") => "You".to_owned(),
            _ => format!("Assistant, {}", line(&message["model"])),
        };
        let when = when(&message["createdAt"]);
        let _ = writeln!(text, "\n{} {}", look.bold(&format!("── {who}")), look.dim(&when));
        parts(&mut text, message, look);
    }
    text
}

fn parts(text: &mut String, message: &Value, look: Look) {
    for part in message["parts"].as_array().map(Vec::as_slice).unwrap_or_default() {
        match part["type"].as_str() {
            Some("text") => {
                let said = plain(part["text"].as_str().unwrap_or_default());
                let _ = writeln!(text, "{}", said.trim_matches('\n'));
            }
            Some("tool") => tool(text, part, look),
            // What it thought before is in the JSON.
            _ => {}
        }
    }
    if let Some(error) = message["error"].as_str() {
        let _ = writeln!(text, "{}", look.bold(&format!("failed: {}", plain(error))));
    } else if let Some(reason @ ("aborted" | "length")) = message["finishReason"].as_str() {
        let why = if reason == "aborted" { "stopped" } else { cut(message) };
        let _ = writeln!(text, "{}", look.dim(&format!("({why})")));
    }
}

/// What cut an answer, in words.
pub(super) fn cut(message: &Value) -> &'static str {
    Limit::words(message["limit"].as_str().map(Limit::from))
}

/// A tool: its name and what it was about, and the first lines of what came of it.
fn tool(text: &mut String, part: &Value, look: Look) {
    let name = part["tool"].as_str().unwrap_or("?");
    let about = format!("{name} {}", subject(&part["args"])).replace('\n', " ");
    let state = match part["status"].as_str() {
        Some("error") => " (failed)",
        Some("denied") => " (refused)",
        Some("running") => " (runs)",
        _ => "",
    };
    let _ = writeln!(text, "{}", look.dim(&format!("· {}{state}", plain(&about))));
    let result = plain(part["result"].as_str().unwrap_or_default()).into_owned();
    let mut lines = result.lines();
    for line in lines.by_ref().take(RESULT_LINES) {
        let _ = writeln!(text, "{}", look.dim(&format!("  │ {line}")));
    }
    let more = lines.count();
    if more > 0 {
        let _ = writeln!(text, "{}", look.dim(&format!("  │ … {more} more lines")));
    }
}

/// How long ago a time was, in a few letters; the day where that says more.
pub(super) fn ago(time: &Value, now_ms: u64) -> String {
    let Some(time) = timestamp(time) else { return "?".to_owned() };
    let now = UNIX_EPOCH + Duration::from_millis(now_ms);
    // A clock that was set back makes no time of the future.
    let seconds = now.duration_since(time).unwrap_or_default().as_secs();
    match seconds {
        0..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..604_800 => format!("{} d ago", seconds / 86_400),
        _ => humantime::format_rfc3339_seconds(time)
            .to_string()
            .get(..10)
            .unwrap_or_default()
            .to_owned(),
    }
}

/// A time to the minute, in UTC.
pub(super) fn when(time: &Value) -> String {
    let Some(time) = timestamp(time) else { return "?".to_owned() };
    let text = humantime::format_rfc3339_seconds(time).to_string();
    format!("{} {} UTC", text.get(..10).unwrap_or_default(), text.get(11..16).unwrap_or_default())
}

fn timestamp(time: &Value) -> Option<SystemTime> {
    humantime::parse_rfc3339(time.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_told_in_a_few_letters() {
        let now = 1_800_000_000_000;
        let before = |seconds: u64| json!(crate::id::rfc3339(now - seconds * 1000));
        for (seconds, told) in [
            (3, "just now"),
            (60, "1 min ago"),
            (3599, "59 min ago"),
            (7200, "2 h ago"),
            (200_000, "2 d ago"),
            (1_000_000, "2027-01-03"),
        ] {
            assert_eq!(ago(&before(seconds), now), told);
        }
        assert_eq!(ago(&json!(crate::id::rfc3339(now + 5000)), now), "just now");
        assert_eq!(when(&before(0)), "2027-01-15 08:00 UTC");
        assert_eq!((ago(&json!(null), now), when(&json!("soon"))), ("?".into(), "?".into()));
    }

    #[test]
    fn a_session_is_readable_and_harmless() {
        let told = json!({
            "id": "01m8", "title": "Fix\u{1b}[2J it", "agent": "build", "model": "offline/guide",
            "status": "idle", "updatedAt": "2027-01-15T08:00:00Z", "messageCount": 2,
            "messages": [
                { "role": "user", "createdAt": "2027-01-15T07:59:00Z",
                  "parts": [{ "type": "text", "text": "fix it" }] },
                { "role": "assistant", "model": "offline/guide", "createdAt": "2027-01-15T07:59:01Z",
                  "finishReason": "aborted", "parts": [
                    { "type": "reasoning", "text": "hm" },
                    { "type": "text", "text": "Looking.\u{9b}31m\n" },
                    { "type": "tool", "tool": "bash", "args": { "command": "ls\n-l" },
                      "status": "error", "result": "1\n2\n3\n4\n5\n6\n7" }] },
            ],
        });
        let expected = "Fix[2J it\n\
            01m8 · build · offline/guide · 2 messages · changed just now\n\n\
            ── You 2027-01-15 07:59 UTC\n\
            fix it\n\n\
            ── Assistant, offline/guide 2027-01-15 07:59 UTC\n\
            Looking.31m\n\
            · bash ls -l (failed)\n  │ 1\n  │ 2\n  │ 3\n  │ 4\n  │ 5\n  │ … 2 more lines\n\
            (stopped)\n";
        assert_eq!(session(&told, Look::plain(None), 1_800_000_000_000), expected);
    }
}
