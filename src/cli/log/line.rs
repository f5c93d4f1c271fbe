//! One record of the log as one line.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::{self, Write as _};

use log::kv::{self, VisitSource, VisitValue};
use log::{Level, Record};

use super::room;
use crate::context;
use crate::id::{now_ms, rfc3339};
use crate::text::{breaks_lines, decimal, escaped};

/// For people: time, level, room, message, and what it is about.
pub(super) fn text(line: &mut String, record: &Record<'_>) {
    push_time(line, now_ms());
    push(line, &[" ", level(record.level()), " ", place(record.target()), " "]);
    let start = line.len();
    // Writing to a string cannot fail, here and below.
    let _ = line.write_fmt(*record.args());
    if let Cow::Owned(message) = escaped(&line[start..]) {
        line.truncate(start);
        line.push_str(&message);
    }
    about(|name, value| push(line, &[" ", name, "=", value]));
    line.push('\n');
}

/// For programs: the same, and what the record says by name.
pub(super) fn json(line: &mut String, record: &Record<'_>) {
    line.push_str("{\"time\":\"");
    push_time(line, now_ms());
    let (level, room) = (level(record.level()), place(record.target()));
    push(line, &["\",\"level\":\"", level, "\",\"room\":\"", room, "\",\"message\":\""]);
    let _ = Quoting(line).write_fmt(*record.args());
    line.push('"');
    // It fails only where the visitor does.
    let _ = record.key_values().visit(&mut Members(line));
    about(|name, value| push(line, &[",\"", name, "\":\"", value, "\""]));
    line.push_str("}\n");
}

/// Each request has its line, and what `write!` does for one costs more than all of it.
fn push(line: &mut String, parts: &[&str]) {
    for part in parts {
        line.push_str(part);
    }
}

/// Names what the thread works on. The values are ids, of letters, digits and `-_.` alone.
fn about(mut tell: impl FnMut(&str, &str)) {
    if let Some(request) = context::current() {
        tell("requestId", request.as_str());
    }
    context::with_turn(|turn| {
        if let Some(turn) = turn {
            tell("sessionId", &turn.session_id);
            tell("messageId", &turn.message_id);
        }
    });
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// The room, or the crate that is none of ours.
fn place(target: &str) -> &str {
    room(target).unwrap_or_else(|| target.split("::").next().unwrap_or(target))
}

/// The time in RFC 3339; all but its milliseconds is printed once a second.
fn push_time(text: &mut String, ms: u64) {
    thread_local! {
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    SECOND.with_borrow_mut(|(second, printed)| {
        if *second != ms / 1000 {
            *second = ms / 1000;
            rfc3339(*second * 1000).trim_end_matches(".000Z").clone_into(printed);
        }
        // Their three digits, behind a one.
        push(text, &[printed.as_str(), ".", &decimal(1000 + ms % 1000, &mut [0; 20])[1..], "Z"]);
    });
}

/// Escapes what is written through it, as the inside of a JSON string.
struct Quoting<'a>(&'a mut String);

impl fmt::Write for Quoting<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let needs_escape = |c: char| matches!(c, '"' | '\\') || breaks_lines(c);
        let mut rest = part;
        while let Some(at) = rest.find(needs_escape) {
            let (plain, found) = rest.split_at(at);
            self.0.push_str(plain);
            let Some(c) = found.chars().next() else { break };
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                '\n' => self.0.push_str("\\n"),
                c => write!(self.0, "\\u{:04x}", c as u32)?,
            }
            rest = &found[c.len_utf8()..];
        }
        self.0.push_str(rest);
        Ok(())
    }
}

/// Writes what a record says by name as members of the object.
struct Members<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for Members<'_> {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        push(self.0, &[",\"", key.as_str(), "\":"]);
        value.visit(self)
    }
}

impl VisitValue<'_> for Members<'_> {
    fn visit_any(&mut self, value: kv::Value<'_>) -> Result<(), kv::Error> {
        self.0.push('"');
        let _ = write!(Quoting(self.0), "{value}");
        self.0.push('"');
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.0.push_str(decimal(value, &mut [0; 20]));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::context::{RequestId, Turn};

    const FORGED: &str = "GET /x\n2026-01-01T00:00:00Z info all is well\r\x1b[2J\u{9b}1m\u{2028}é";

    fn printed(print: fn(&mut String, &Record<'_>), level: Level, message: &str) -> String {
        let mut line = String::new();
        let args = format_args!("{message}");
        let pairs: &[(&str, kv::Value<'_>)] =
            &[("path", kv::Value::from("/\"\\\n")), ("status", kv::Value::from(404_u16))];
        let record = Record::builder()
            .level(level)
            .target("opencode::http::connection")
            .args(args)
            .key_values(&pairs)
            .build();
        print(&mut line, &record);
        line
    }

    #[test]
    fn a_time_has_milliseconds() {
        for ms in [1_764_000_000_000, 1_764_000_000_007, 1_764_000_001_120] {
            let mut text = String::new();
            push_time(&mut text, ms);
            assert_eq!(text, rfc3339(ms));
        }
    }

    #[test]
    fn a_record_cannot_forge_another() {
        let line = printed(text, Level::Info, FORGED);
        let expected = " info http GET /x\\n2026-01-01T00:00:00Z info all is well\\r\\x1b[2J\\u{9b}1m\\u{2028}é\n";
        assert!(line.ends_with(expected), "{line}");
    }

    #[test]
    fn as_json_it_is_one_object_on_one_line_and_nothing_is_lost() {
        let every: String = (0..=0x2100).filter_map(char::from_u32).collect();
        for message in [FORGED, "\"}\n{\"level\":\"error\"", "\\", "", &every] {
            let line = printed(json, Level::Warn, message);
            let (body, rest) = line.split_once('\n').unwrap();
            assert_eq!(rest, "");
            assert!(!body.contains(char::is_control), "{body}");
            let object: Value = serde_json::from_str(body).unwrap();
            assert_eq!(object["message"], message);
            assert_eq!((&object["level"], &object["room"]), (&"warn".into(), &"http".into()));
            assert_eq!((&object["path"], &object["status"]), (&"/\"\\\n".into(), &404.into()));
            assert_eq!(object["time"].as_str().unwrap().len(), 24);
            assert!(object.get("requestId").is_none());
        }
    }

    #[test]
    fn a_line_names_the_request_and_the_turn() {
        let turn = Turn { session_id: "s1".to_owned(), message_id: "m1".to_owned() };
        let entered = context::enter_turn(RequestId::of_client("r-1"), turn);
        let line = printed(text, Level::Error, "x");
        assert!(
            line.ends_with(" error http x requestId=r-1 sessionId=s1 messageId=m1\n"),
            "{line}"
        );
        let object: Value = serde_json::from_str(&printed(json, Level::Error, "x")).unwrap();
        let ids = ["requestId", "sessionId", "messageId"].map(|name| object[name].clone());
        assert_eq!(ids, ["r-1", "s1", "m1"]);
        drop(entered);
    }
}
