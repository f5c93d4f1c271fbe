//! The `log` section: how much is logged, and in which form.

use std::fmt;

use log::LevelFilter;
use serde_json::{Value, json};

use super::decode::{Section, Wrong};
use super::env::Env;
use super::error::Report;
use super::tree::{Entry, Node, Tree};
use super::twins::ServerFlags;
use crate::text::nearest;

/// Keys of the section.
pub(super) const KEYS: &[&str] = &["level", "format"];

/// What a level can be set for alone: the rooms that log, and `request`, a line for each request.
pub const ROOMS: &[&str] = &[
    "agent",
    "api",
    "cli",
    "client",
    "discovery",
    "http",
    "id",
    "os",
    "provider",
    "request",
    "session",
    "tool",
    "web",
];

/// The `log` section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logs {
    /// How much.
    pub levels: Levels,
    /// In which form.
    pub format: Format,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// How much is logged: written `info,http=debug,request=off`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    /// Where nothing else is said.
    pub general: LevelFilter,
    /// By room, each of [`ROOMS`].
    pub rooms: [LevelFilter; ROOMS.len()],
}

impl Levels {
    /// The same level everywhere.
    #[must_use]
    pub const fn all(level: LevelFilter) -> Self {
        Self { general: level, rooms: [level; ROOMS.len()] }
    }

    /// The most that is logged anywhere.
    #[must_use]
    pub fn most(&self) -> LevelFilter {
        self.rooms.iter().copied().fold(self.general, std::cmp::Ord::max)
    }

    /// Reads `LEVEL`, and `,ROOM=LEVEL` as often as wanted, in any order.
    fn parse(text: &str) -> Result<Self, Wrong> {
        let (mut general, mut single) = (None, Vec::new());
        for part in text.split(',').map(str::trim) {
            let Some((room, level)) = part.split_once('=') else {
                if general.replace(level_of(part).ok_or(Wrong::Unlike)?).is_some() {
                    return Err("names the general level twice; name it once".into());
                }
                continue;
            };
            let room = room.trim();
            let Some(at) = ROOMS.iter().position(|known| *known == room) else {
                let near = nearest(room, ROOMS.iter().copied());
                let hint = near.map_or_else(
                    || format!("those that log are {}", ROOMS.join(", ")),
                    |near| format!("did you mean \"{near}\"?"),
                );
                return Err(Wrong::Because(format!("there is no room of this name; {hint}")));
            };
            single.push((at, level_of(level.trim()).ok_or(Wrong::Unlike)?));
        }
        let mut levels = Self::all(general.unwrap_or(LevelFilter::Info));
        for (at, level) in single {
            levels.rooms[at] = level;
        }
        Ok(levels)
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self::all(LevelFilter::Info)
    }
}

/// As it is written in a configuration.
impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(self.general))?;
        let single = ROOMS.iter().zip(&self.rooms).filter(|(_, level)| **level != self.general);
        for (room, level) in single {
            write!(f, ",{room}={}", word(*level))?;
        }
        Ok(())
    }
}

impl Format {
    /// The word for it in a configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

fn word(level: LevelFilter) -> &'static str {
    match level {
        LevelFilter::Off => "off",
        LevelFilter::Error => "error",
        LevelFilter::Warn => "warn",
        LevelFilter::Info => "info",
        LevelFilter::Debug | LevelFilter::Trace => "debug",
    }
}

/// `INFO` is understood as well as `info`.
fn level_of(text: &str) -> Option<LevelFilter> {
    let levels = [
        LevelFilter::Off,
        LevelFilter::Error,
        LevelFilter::Warn,
        LevelFilter::Info,
        LevelFilter::Debug,
    ];
    levels.into_iter().find(|level| word(*level).eq_ignore_ascii_case(text))
}

/// The form that flags and environment name, before any file is read; what is wrong with them is
/// told later.
#[must_use]
pub fn early(env: &Env, flags: &ServerFlags) -> Logs {
    let format = flags.log_format.as_deref().or_else(|| env.get("OPENCODE_LOG_FORMAT"));
    let format = if format == Some("json") { Format::Json } else { Format::Text };
    Logs { format, ..Logs::default() }
}

/// The section as it is where nobody says anything.
pub(super) fn defaults() -> Value {
    let Logs { levels, format } = Logs::default();
    json!({ "level": levels.to_string(), "format": format.as_str() })
}

/// Reads the section; keys that are absent or wrong leave `logs` as it is.
pub(super) fn decode(section: &Section<'_>, logs: &mut Logs, report: &mut Report) {
    section.check_keys(KEYS, &[], report);
    let expected = "\"error\", \"warn\", \"info\", \"debug\" or \"off\", and for single rooms as in \
        \"info,http=debug\"";
    if let Some(levels) =
        section.get("level").and_then(|at| at.text(expected, report, Levels::parse))
    {
        logs.levels = levels;
    }
    let read = |text: &str| match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err(Wrong::Unlike),
    };
    let format = section.get("format");
    if let Some(format) = format.and_then(|at| at.text("\"text\" or \"json\"", report, read)) {
        logs.format = format;
    }
}

/// Makes of `logLevel`, which users of `opencode` have in their files, the `level` of `log`.
pub(super) fn name_level(root: &mut Node, report: &mut Report) {
    let Tree::Object(entries) = &mut root.value else { return };
    let Some(place) = entries.iter().position(|entry| entry.key == "logLevel") else { return };
    let level = entries.remove(place);
    let level = Entry { key: "level".to_owned(), ..level };
    let Some(section) = entries.iter_mut().find(|entry| entry.key == "log") else {
        let node = Node { origin: level.origin.clone(), value: Tree::Object(Vec::new()) };
        let mut section = Entry { key: "log".to_owned(), origin: level.origin.clone(), node };
        section.node.value = Tree::Object(vec![level]);
        entries.push(section);
        return;
    };
    // What else it may be is told where it is read.
    let Tree::Object(members) = &mut section.node.value else { return };
    if members.iter().any(|member| member.key == "level") {
        report.warn(level.origin, "logLevel is left out, since log.level says it too");
    } else {
        members.push(level);
    }
}

/// Takes the section out of a file whose project nobody has vouched for: it could hide what the
/// log says of it.
pub(super) fn leave_out_foreign(root: &mut Node, report: &mut Report) {
    if !root.origin.is_foreign() {
        return;
    }
    let Tree::Object(entries) = &mut root.value else { return };
    if let Some(place) = entries.iter().position(|entry| entry.key == "log") {
        report.warn(
            entries.remove(place).origin,
            "log is left out: a project's file may only change the log after you run `opencode trust`",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_they_are_written() {
        for text in ["info", "off", "debug,request=off", "warn,http=debug,session=error"] {
            assert_eq!(Levels::parse(text).unwrap().to_string(), text);
        }
        let spaced = Levels::parse(" http = DEBUG , Warn").unwrap();
        assert_eq!(spaced.to_string(), "warn,http=debug");
        assert_eq!(Levels::parse("http=debug").unwrap().to_string(), "info,http=debug");
        assert_eq!(spaced.most(), LevelFilter::Debug);
        for wrong in ["", "loud", "info,", "info,debug", "htp=info", "http=loud", "http"] {
            assert!(Levels::parse(wrong).is_err(), "{wrong}");
        }
    }
}
