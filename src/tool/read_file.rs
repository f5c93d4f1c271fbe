//! `read_file`: the text of a file, as it is, so that a model can copy exact strings from it.
//!
//! A file is read in pieces up to what is shown; a huge one never stands in memory.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;

use rustix::io::Errno;
use serde::Deserialize;
use serde_json::Value;

use super::field::{Field, Kind};
use super::place::Place;
use super::root::Root;
use super::{Context, Effect, RESULT_BYTES, Tool, arguments, difference, file, list_dir};
use crate::cancel::Cancel;

/// What the text itself may take: the closing note must fit too.
const TEXT_BYTES: usize = RESULT_BYTES - 256;
/// The same of bytes that are no UTF-8, each of which is shown as three.
const FOREIGN_BYTES: usize = (TEXT_BYTES - FOREIGN.len()) / 3;
/// What is said before text that is not UTF-8.
const FOREIGN: &str = "[this file is not UTF-8: what cannot be read is shown as \u{fffd}, and \
    edit_file cannot change it before its encoding is]\n";
/// Files up to this size are read to their end, to say how many lines they have.
const COUNTED_BYTES: u64 = 64 * 1024 * 1024;

/// Shows a file.
pub struct ReadFile;

#[derive(Deserialize)]
struct Args {
    path: String,
    offset: Option<u64>,
    limit: Option<u64>,
}

/// The lines that were asked for, as far as they fit.
struct Window {
    text: Vec<u8>,
    /// The last line in `text`, or the one before the first when there is none.
    last: u64,
    /// Only a part of the line `last` is there.
    partial: bool,
    /// How many lines the file has, if it was read to its end.
    total: Option<u64>,
}

impl Tool for ReadFile {
    fn name(&self) -> &'static str {
        "read_file"
    }

    fn description(&self) -> &'static str {
        "Reads a text file of the project and returns it unchanged, without line numbers. Long \
         files are cut at a line; a last line in brackets then says how to go on with `offset`."
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            Field::required("path", Kind::Text, "Path of the file, relative to the project"),
            Field::optional("offset", Kind::Count, "First line to show, from 1"),
            Field::optional("limit", Kind::Count, "How many lines to show at most"),
        ]
    }

    fn effect(&self) -> Effect {
        Effect::Reads
    }

    fn run(&self, args: &Value, context: &mut Context<'_>) -> Result<String, String> {
        let args: Args = arguments(self, args)?;
        let root = Root::open(context.root)?;
        let place = root.place(&args.path)?;
        let (file, size) =
            file::open(&root, &place).map_err(|error| with_near_names(&root, &place, error))?;
        let first = args.offset.unwrap_or(1).max(1);
        let limit = args.limit.unwrap_or(u64::MAX).max(1);
        let window = read(&file, &place, size, (first, limit), context.cancel)?;
        show(window, &place, size, first)
    }
}

fn read(
    mut file: &File,
    place: &Place,
    size: u64,
    (first, limit): (u64, u64),
    cancel: &Cancel,
) -> Result<Window, String> {
    let end = first.saturating_add(limit);
    let mut window = Window { text: Vec::new(), last: first - 1, partial: false, total: None };
    let mut buffer = vec![0; 64 * 1024];
    // The line the next byte belongs to, and whether it has begun.
    let (mut line, mut begun, mut at_start) = (1, false, true);
    loop {
        if cancel.is_cancelled() {
            return Err("stopped".to_owned());
        }
        let read =
            file.read(&mut buffer).map_err(|error| format!("`{}`: {error}", place.given()))?;
        if read == 0 {
            window.total = Some(line - u64::from(!begun));
            return Ok(window);
        }
        if std::mem::take(&mut at_start) && buffer[..read].contains(&0) {
            return Err(file::binary(place, size));
        }
        for piece in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
            if (first..end).contains(&line) && !window.partial {
                let room = TEXT_BYTES - window.text.len();
                window.text.extend_from_slice(&piece[..piece.len().min(room)]);
                window.partial = piece.len() > room;
                window.last = line;
            }
            begun = !piece.ends_with(b"\n");
            line += u64::from(!begun);
        }
        if size > COUNTED_BYTES && (line >= end || window.partial) {
            return Ok(window);
        }
    }
}

fn show(mut window: Window, place: &Place, size: u64, first: u64) -> Result<String, String> {
    if !file::is_text(&window.text) {
        return Err(file::binary(place, size));
    }
    let is_utf8 = match std::str::from_utf8(&window.text) {
        Ok(_) => true,
        Err(error) => window.partial && error.error_len().is_none(),
    };
    if !is_utf8 && window.text.len() > FOREIGN_BYTES {
        window.text.truncate(FOREIGN_BYTES);
        window.last = first + memchr::memchr_iter(b'\n', &window.text).count() as u64;
        window.partial = true;
    }
    if window.partial {
        // Whole lines, unless the first alone is too long.
        if let Some(end) = window.text.iter().rposition(|byte| *byte == b'\n') {
            window.text.truncate(end + 1);
            window.last -= 1;
            window.partial = false;
        }
    }
    let mut text = match String::from_utf8(window.text) {
        Ok(text) => text,
        Err(error) if is_utf8 => {
            let valid = error.utf8_error().valid_up_to();
            String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned()
        }
        Err(error) => FOREIGN.to_owned() + &String::from_utf8_lossy(error.as_bytes()),
    };
    let Window { last, partial, total, .. } = window;
    match total {
        Some(0) => return Ok("[the file is empty]".to_owned()),
        Some(total) if first > total => {
            return Err(format!("`{}` has only {total} lines", place.given()));
        }
        Some(total) if first == 1 && last == total && !partial => return Ok(text),
        _ => {}
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let of = total.map_or_else(|| format!("a file of {size} bytes"), |total| total.to_string());
    let _ = write!(text, "[lines {first}-{last} of {of}");
    if partial {
        let _ = write!(text, "; line {last} is too long and was cut");
    }
    if total.is_none_or(|total| last < total) {
        let _ = write!(text, "; go on with offset {}", last + 1);
    }
    text.push(']');
    Ok(text)
}

/// Adds the names that look like the missing one.
fn with_near_names(root: &Root, place: &Place, error: String) -> String {
    let (Some(parent), Some(name)) = (place.parent(), place.relative().file_name()) else {
        return error;
    };
    if error != place.failed(Errno::NOENT) {
        return error;
    }
    let Ok(listing) = list_dir::entries(root, &parent) else {
        return error;
    };
    let wanted = name.to_string_lossy().to_lowercase();
    let near: Vec<String> = listing
        .entries
        .iter()
        .filter_map(|entry| {
            let found = entry.name.to_string_lossy();
            let likeness = likeness(&wanted, &found.to_lowercase());
            (likeness > 0.6).then(|| (likeness, parent.entry(&entry.name).given().to_owned()))
        })
        .fold(Vec::new(), |mut best: Vec<(f32, String)>, next| {
            let at = best.iter().position(|one| one.0 < next.0).unwrap_or(best.len());
            best.insert(at, next);
            best.truncate(3);
            best
        })
        .into_iter()
        .map(|(_, name)| format!("`{name}`"))
        .collect();
    if near.is_empty() { error } else { format!("{error}; did you mean {}?", near.join(", ")) }
}

fn likeness(wanted: &str, found: &str) -> f32 {
    let stem = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    if wanted == found {
        1.0
    } else if stem(wanted) == stem(found) {
        0.9
    } else {
        difference::likeness(
            &mut wanted.split_inclusive(|_| true),
            &mut found.split_inclusive(|_| true),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::project::Project;

    #[test]
    fn a_file_comes_as_it_is() {
        let project = Project::new();
        project.write("a.txt", "\tone\r\ntwo \u{fffd}\n\nlast");
        let text = project.run(&ReadFile, json!({"path": "a.txt"}));
        assert_eq!(text.as_deref(), Ok("\tone\r\ntwo \u{fffd}\n\nlast"));
    }

    #[test]
    fn offset_and_limit_choose_lines() {
        let project = Project::new();
        project.write("a.txt", "1\n2\n3\n4\n5\n");
        let read = |args: Value| project.run(&ReadFile, args);
        let text = read(json!({"path": "a.txt", "offset": 2, "limit": 2}));
        assert_eq!(text.as_deref(), Ok("2\n3\n[lines 2-3 of 5; go on with offset 4]"));
        let text = read(json!({"path": "a.txt", "offset": 5, "limit": 9}));
        assert_eq!(text.as_deref(), Ok("5\n[lines 5-5 of 5]"));
        let text = read(json!({"path": "a.txt", "offset": 1, "limit": 5}));
        assert_eq!(text.as_deref(), Ok("1\n2\n3\n4\n5\n"));
        let error = read(json!({"path": "a.txt", "offset": 6})).unwrap_err();
        assert!(error.contains("only 5 lines"), "{error}");
    }

    #[test]
    fn a_long_file_is_read_on_where_it_was_cut() {
        let project = Project::new();
        let lines: Vec<_> = (0..20_000).map(|n| format!("line {n}\n")).collect();
        let whole = lines.concat();
        project.write("a.txt", &whole);
        let (mut offset, mut read) = (1, String::new());
        loop {
            let part = project.run(&ReadFile, json!({"path": "a.txt", "offset": offset})).unwrap();
            assert!(part.len() <= RESULT_BYTES);
            let (text, note) = part.rsplit_once('[').unwrap();
            read.push_str(text);
            match note.split_once("offset ") {
                Some((_, next)) => offset = next.trim_end_matches(']').parse().unwrap(),
                None => break,
            }
        }
        assert!(read == whole);
    }

    #[test]
    fn a_line_too_long_is_cut_between_characters() {
        let project = Project::new();
        project.write("a.txt", format!("x{}\nnext\n", "é".repeat(RESULT_BYTES)));
        let text = project.run(&ReadFile, json!({"path": "a.txt"})).unwrap();
        assert!(text.len() <= RESULT_BYTES);
        assert!(text.ends_with("; line 1 is too long and was cut; go on with offset 2]"));
    }

    #[test]
    fn what_is_no_text_is_refused_in_words() {
        let project = Project::new();
        project.write("nul", b"a\0b");
        project.write("program", [b"\xe9\x01\x02\x03".repeat(40), vec![b'x'; 2000]].concat());
        project.write("folder/x", "");
        project.write("empty", "");
        let read = |name: &str| project.run(&ReadFile, json!({"path": name}));
        assert!(read("nul").unwrap_err().contains("binary file (3 bytes)"));
        assert!(read("program").unwrap_err().contains("binary file (2160 bytes)"));
        assert!(read("folder").unwrap_err().contains("list_dir"));
        assert_eq!(read("empty").as_deref(), Ok("[the file is empty]"));
    }

    #[test]
    fn text_that_is_not_utf_8_is_shown_with_a_word_on_it() {
        let project = Project::new();
        project.write("latin", b"caf\xe9 au lait\nth\xe9\n");
        let read = |name: &str, offset: u64| {
            project.run(&ReadFile, json!({"path": name, "offset": offset})).unwrap()
        };
        assert_eq!(read("latin", 1), format!("{FOREIGN}caf\u{fffd} au lait\nth\u{fffd}\n"));
        assert_eq!(read("latin", 2), format!("{FOREIGN}th\u{fffd}\n[lines 2-2 of 2]"));
        // As much as fits, and the rest behind it.
        project.write("long", b"\xe9\xe8\xe7\n".repeat(20_000));
        let (mut offset, mut lines) = (1, 0);
        loop {
            let part = read("long", offset);
            assert!(part.len() <= RESULT_BYTES, "{}", part.len());
            lines += part.matches("\u{fffd}\u{fffd}\u{fffd}\n").count();
            match part.rsplit_once("offset ") {
                Some((_, next)) => offset = next.trim_end_matches(']').parse().unwrap(),
                None => break,
            }
        }
        assert_eq!(lines, 20_000);
        project.write("line", b"\xe9".repeat(100_000));
        let part = read("line", 1);
        assert!(part.len() <= RESULT_BYTES && part.ends_with("line 1 is too long and was cut]"));
    }

    #[test]
    fn a_fifo_and_a_socket_do_not_block() {
        let project = Project::new();
        let mode = rustix::fs::Mode::from(0o600);
        let (fifo, kind) = (project.path().join("fifo"), rustix::fs::FileType::Fifo);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
        let _socket =
            std::os::unix::net::UnixListener::bind(project.path().join("socket")).unwrap();
        for name in ["fifo", "socket"] {
            let error = project.run(&ReadFile, json!({"path": name})).unwrap_err();
            assert!(error.contains("not a regular file"), "{error}");
        }
    }

    #[test]
    fn a_missing_file_names_its_like() {
        let project = Project::new();
        project.write("src/server.rs", "");
        project.write("src/unlike.txt", "");
        let error = project.run(&ReadFile, json!({"path": "src/Server.ts"})).unwrap_err();
        assert_eq!(error, "`src/Server.ts` does not exist; did you mean `src/server.rs`?");
        let error = project.run(&ReadFile, json!({"path": "none/at/all"})).unwrap_err();
        assert_eq!(error, "`none/at/all` does not exist");
    }

    #[test]
    fn a_huge_file_is_read_only_as_far_as_it_is_shown() {
        let project = Project::new();
        project.write("huge", "first\nsecond\n");
        let file = File::options().write(true).open(project.path().join("huge")).unwrap();
        file.set_len(1 << 40).unwrap();
        let error = project.run(&ReadFile, json!({"path": "huge"})).unwrap_err();
        assert!(error.contains("(1099511627776 bytes)"), "{error}");
    }

    #[test]
    fn wrong_arguments_are_named() {
        let project = Project::new();
        let error = project.run(&ReadFile, json!({})).unwrap_err();
        assert!(error.contains("missing field `path`"), "{error}");
        let error = project.run(&ReadFile, json!({"path": "a", "offset": "two"})).unwrap_err();
        assert!(
            error.contains("field `offset`")
                && error.ends_with("must be a whole number, 1 or more"),
            "{error}"
        );
    }
}
