//! `grep`: lines by a regular expression.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;

use globset::GlobMatcher;
use rustix::fs::FileType;
use serde::Deserialize;
use serde_json::Value;

use super::field::{Field, Kind};
use super::glob::path_glob;
use super::lines::{Ended, Pattern};
use super::list_dir::one_line;
use super::root::Root;
use super::walk::{Bounds, walk};
use super::{Context, Effect, RESULT_BYTES, Tool, arguments, file};
use crate::cancel::Cancel;
use crate::text::boundary;

/// As many lines are shown.
const SHOWN: usize = 500;
/// Longer lines are cut to this many bytes around the match.
const LINE_BYTES: usize = 400;

/// Searches file contents.
pub struct Grep;

#[derive(Deserialize)]
struct Args {
    pattern: String,
    path: Option<String>,
    include: Option<String>,
    ignore_case: Option<bool>,
    literal: Option<bool>,
}

impl Tool for Grep {
    fn name(&self) -> &'static str {
        "grep"
    }

    fn description(&self) -> &'static str {
        "Searches the project's files for a regular expression (Rust syntax, one line at a time) \
         and returns `path:line: text`, sorted by path. Binary files and files that git ignores \
         are left out. Set literal to search for the text as it is."
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            Field::required("pattern", Kind::Text, "The regular expression"),
            Field::optional(
                "path",
                Kind::Text,
                "Directory or file to search, relative to the project; without it, the whole project",
            ),
            Field::optional(
                "include",
                Kind::Text,
                "Only files whose path matches this glob, for example `*.rs`",
            ),
            Field::optional("ignore_case", Kind::Flag, "Take upper and lower case as the same"),
            Field::optional(
                "literal",
                Kind::Flag,
                "The pattern is plain text, not a regular expression",
            ),
        ]
    }

    fn effect(&self) -> Effect {
        Effect::Reads
    }

    fn run(&self, args: &Value, context: &mut Context<'_>) -> Result<String, String> {
        let args: Args = arguments(self, args)?;
        let root = Root::open(context.root)?;
        let start = root.place(args.path.as_deref().unwrap_or("."))?;
        let include = args.include.as_deref().map(path_glob).transpose()?;
        let pattern = pattern(&args)?;
        let mut found = Found::default();
        let unseen = walk(&root, &start, Bounds::of(context.cancel), &mut |place, kind| {
            let relative =
                place.relative().strip_prefix(start.relative()).unwrap_or(place.relative());
            let wanted =
                |glob: &GlobMatcher| glob.is_match(relative) || relative.as_os_str().is_empty();
            if kind != FileType::RegularFile || !include.as_ref().is_none_or(wanted) {
                return ControlFlow::Continue(());
            }
            // A file that went away or cannot be read has nothing to show.
            let Ok((file, _)) = file::open(&root, place) else {
                return ControlFlow::Continue(());
            };
            let name = one_line(place.relative().as_os_str());
            let before = (found.text.len(), found.lines);
            let reader = Interruptible { file, cancel: context.cancel };
            let ended = pattern.search(reader, &mut |number, line| {
                found.take(&format!("{name}:{number}: {}\n", excerpt(&pattern, line)))
            });
            match ended {
                Ok(Ended::Well) => {}
                Ok(Ended::Binary) => {
                    found.text.truncate(before.0);
                    found.lines = before.1;
                }
                Err(_) => found.unread += 1,
            }
            if found.more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if context.cancel.is_cancelled() {
            return Err("stopped".to_owned());
        }
        let mut text = found.into_text();
        text.extend(unseen.note());
        Ok(text)
    }
}

fn pattern(args: &Args) -> Result<Pattern, String> {
    if args.pattern.is_empty() {
        return Err("the pattern is empty and would match every line".to_owned());
    }
    let is = |wish: Option<bool>| wish == Some(true);
    Pattern::new(&args.pattern, is(args.literal), is(args.ignore_case)).map_err(|error| {
        format!("the pattern cannot be used: {error}\nSet literal to search for the text as it is.")
    })
}

/// All matches so far.
#[derive(Default)]
struct Found {
    text: String,
    lines: usize,
    more: bool,
    unread: usize,
}

impl Found {
    /// Takes one more line, if there is room for it.
    fn take(&mut self, line: &str) -> ControlFlow<()> {
        if self.lines == SHOWN || self.text.len() + line.len() > RESULT_BYTES - 256 {
            self.more = true;
            return ControlFlow::Break(());
        }
        self.text.push_str(line);
        self.lines += 1;
        ControlFlow::Continue(())
    }

    fn into_text(mut self) -> String {
        if self.text.is_empty() {
            self.text.push_str("[no match; files that git ignores are not searched]\n");
        }
        if self.more {
            self.text.push_str("[there are more: narrow the pattern, the path or include]\n");
        }
        if self.unread > 0 {
            let files = format!("[{} files could not be searched to their end]\n", self.unread);
            self.text.push_str(&files);
        }
        self.text
    }
}

/// The line, or the part of a long one around its match.
fn excerpt(pattern: &Pattern, line: &[u8]) -> String {
    if line.len() <= LINE_BYTES {
        return String::from_utf8_lossy(line).into_owned();
    }
    let at = pattern.find(line).unwrap_or(0);
    let from = at.saturating_sub(LINE_BYTES / 4);
    let cut = String::from_utf8_lossy(&line[from..line.len().min(from + LINE_BYTES)]).into_owned();
    // Half characters at the cuts are not the file's fault.
    let cut = cut.trim_matches(char::REPLACEMENT_CHARACTER);
    let cut = &cut[..boundary(cut, LINE_BYTES)];
    let (before, after) = (from > 0, from + LINE_BYTES < line.len());
    format!("{}{cut}{}", if before { "…" } else { "" }, if after { "…" } else { "" })
}

/// A file whose reading ends with the turn.
struct Interruptible<'a> {
    file: File,
    cancel: &'a Cancel,
}

impl Read for Interruptible<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("stopped"));
        }
        self.file.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::project::Project;

    fn sample() -> Project {
        let project = Project::new();
        project.write(".gitignore", "ignored\n");
        project.write("ignored", "needle\n");
        project.write("a.rs", "first\nNeedle and needle\r\n");
        project.write("b/c.txt", "a needle\nfn(x)\n");
        project.write("bin", b"needle\n\0needle\n");
        project.write(".git/x", "needle");
        std::os::unix::fs::symlink("a.rs", project.path().join("z")).unwrap();
        project
    }

    #[test]
    fn lines_come_with_path_and_number() {
        let project = sample();
        let grep = |args: Value| project.run(&Grep, args);
        let both = "a.rs:2: Needle and needle\nb/c.txt:1: a needle\n";
        assert_eq!(grep(json!({"pattern": "needle$"})).as_deref(), Ok(both));
        assert_eq!(grep(json!({"pattern": "^Need"})).as_deref(), Ok("a.rs:2: Needle and needle\n"));
        let args = json!({"pattern": "^NEEDLE", "ignore_case": true});
        assert_eq!(grep(args).as_deref(), Ok("a.rs:2: Needle and needle\n"));
        let args = json!({"pattern": "needle", "include": "*.txt"});
        assert_eq!(grep(args).as_deref(), Ok("b/c.txt:1: a needle\n"));
        let args = json!({"pattern": "needle", "path": "b"});
        assert_eq!(grep(args).as_deref(), Ok("b/c.txt:1: a needle\n"));
        let args = json!({"pattern": "needle", "path": "ignored"});
        assert_eq!(grep(args).as_deref(), Ok("ignored:1: needle\n"));
        let args = json!({"pattern": "fn(x)", "literal": true});
        assert_eq!(grep(args).as_deref(), Ok("b/c.txt:2: fn(x)\n"));
        assert!(grep(json!({"pattern": "nowhere"})).unwrap().contains("no match"));
    }

    #[test]
    fn a_bad_expression_is_explained() {
        let project = sample();
        let error = project.run(&Grep, json!({"pattern": "fn("})).unwrap_err();
        assert!(error.contains("unclosed group"), "{error}");
        let huge = json!({"pattern": "(\\w{500}){500}"});
        assert!(project.run(&Grep, huge).unwrap_err().contains("size limit"));
        let error = project.run(&Grep, json!({"pattern": "x", "path": "/etc"})).unwrap_err();
        assert!(error.contains("outside the project"), "{error}");
    }

    #[test]
    fn a_long_line_shows_what_is_around_its_match() {
        let project = Project::new();
        let (before, after) = ("é".repeat(3000), "ü".repeat(3000));
        project.write("min.js", format!("{before}needle{after}"));
        let text = project.run(&Grep, json!({"pattern": "needle"})).unwrap();
        assert!(text.len() < LINE_BYTES + 40, "{}", text.len());
        assert!(text.starts_with("min.js:1: …é") && text.ends_with("ü…\n"), "{text}");
        assert!(text.contains("éneedleü") && !text.contains(char::REPLACEMENT_CHARACTER));
    }

    #[test]
    fn many_matches_are_cut_and_say_so() {
        let project = Project::new();
        project.write("a", "x\n".repeat(SHOWN + 1));
        let text = project.run(&Grep, json!({"pattern": "x"})).unwrap();
        assert_eq!(text.lines().count(), SHOWN + 1);
        assert!(text.ends_with("[there are more: narrow the pattern, the path or include]\n"));
    }

    #[test]
    fn text_of_windows_is_text() {
        let project = Project::new();
        let utf16 = |text: &str, turn: fn(u16) -> [u8; 2]| {
            format!("\u{feff}{text}").encode_utf16().flat_map(turn).collect::<Vec<u8>>()
        };
        project.write("big", utf16("first\r\nä needle 😀\r\n", u16::to_be_bytes));
        project.write("little", utf16("ä needle 😀", u16::to_le_bytes));
        project.write("marked", "\u{feff}needle\r\n");
        project.write("nul", utf16("needle\0", u16::to_le_bytes));
        let text = project.run(&Grep, json!({"pattern": "^(ä )?needle"}));
        let all = "big:2: ä needle 😀\nlittle:1: ä needle 😀\nmarked:1: needle\n";
        assert_eq!(text.as_deref(), Ok(all));
    }

    #[test]
    fn a_line_that_is_too_long_is_said() {
        let project = Project::new();
        project.write("long", "needle\n".to_owned() + &"x".repeat(17 * 1024 * 1024));
        let text = project.run(&Grep, json!({"pattern": "needle"})).unwrap();
        assert_eq!(text, "long:1: needle\n[1 files could not be searched to their end]\n");
    }

    #[test]
    fn a_cancelled_search_stops() {
        let project = sample();
        let cancel = Cancel::new();
        cancel.cancel();
        let args = json!({"pattern": "needle"});
        let ended = project.run_until(&Grep, &args, &cancel, &mut |_| {});
        assert_eq!(ended, Err("stopped".to_owned()));
    }
}
