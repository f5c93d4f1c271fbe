//! `grep`: lines by a regular expression, with ripgrep's own engine.

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;

use globset::GlobMatcher;
use grep_matcher::{LineTerminator, Matcher as _};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkFinish, SinkMatch};
use rustix::fs::FileType;
use serde::Deserialize;
use serde_json::{Value, json};

use super::glob::path_glob;
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
/// A single line that takes more memory than this ends the search of its file.
const HEAP_BYTES: usize = 16 * 1024 * 1024;
/// What a compiled expression may take.
const REGEX_BYTES: usize = 10 * 1024 * 1024;

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

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "pattern": {"type": "string", "description": "The regular expression"},
                "path": {"type": "string", "description": "Directory or file to search, relative to the project; without it, the whole project"},
                "include": {"type": "string", "description": "Only files whose path matches this glob, for example `*.rs`"},
                "ignore_case": {"type": "boolean", "description": "Take upper and lower case as the same"},
                "literal": {"type": "boolean", "description": "The pattern is plain text, not a regular expression"}
            },
            "required": ["pattern"],
            "additionalProperties": false
        })
    }

    fn effect(&self) -> Effect {
        Effect::Reads
    }

    fn run(&self, args: &Value, context: &mut Context<'_>) -> Result<String, String> {
        let args: Args = arguments(self, args)?;
        let root = Root::open(context.root)?;
        let start = root.place(args.path.as_deref().unwrap_or("."))?;
        let include = args.include.as_deref().map(path_glob).transpose()?;
        let matcher = matcher(&args)?;
        let mut searcher = SearcherBuilder::new()
            .line_terminator(LineTerminator::crlf())
            .binary_detection(BinaryDetection::quit(0))
            .heap_limit(Some(HEAP_BYTES))
            .build();
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
            let sink = Lines { found: &mut found, name: &name, matcher: &matcher, binary: false };
            match searcher.search_reader(&matcher, reader, sink) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
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

fn matcher(args: &Args) -> Result<RegexMatcher, String> {
    if args.pattern.is_empty() {
        return Err("the pattern is empty and would match every line".to_owned());
    }
    RegexMatcherBuilder::new()
        .case_insensitive(args.ignore_case == Some(true))
        .fixed_strings(args.literal == Some(true))
        // `^` and `$` are a line's, and `$` comes before a `\r` too.
        .multi_line(true)
        .crlf(true)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .build(&args.pattern)
        .map_err(|error| {
            format!(
                "the pattern cannot be used: {error}\nSet literal to search for the text as it is."
            )
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

/// Takes the matching lines of one file.
struct Lines<'a> {
    found: &'a mut Found,
    name: &'a str,
    matcher: &'a RegexMatcher,
    binary: bool,
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        let number = found.line_number().unwrap_or(0);
        let line = format!("{}:{number}: {}\n", self.name, excerpt(self.matcher, found.bytes()));
        if self.found.lines == SHOWN || self.found.text.len() + line.len() > RESULT_BYTES - 256 {
            self.found.more = true;
            return Ok(false);
        }
        self.found.text.push_str(&line);
        self.found.lines += 1;
        Ok(true)
    }

    fn binary_data(&mut self, _: &Searcher, _: u64) -> io::Result<bool> {
        self.binary = true;
        Ok(false)
    }

    fn finish(&mut self, _: &Searcher, _: &SinkFinish) -> io::Result<()> {
        if self.binary { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
    }
}

/// The line, or the part of a long one around its match.
fn excerpt(matcher: &RegexMatcher, line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() <= LINE_BYTES {
        return String::from_utf8_lossy(line).into_owned();
    }
    let at = matcher.find(line).ok().flatten().map_or(0, |found| found.start());
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
    fn a_cancelled_search_stops() {
        let project = sample();
        let cancel = Cancel::new();
        cancel.cancel();
        let args = json!({"pattern": "needle"});
        let ended = project.run_until(&Grep, &args, &cancel, &mut |_| {});
        assert_eq!(ended, Err("stopped".to_owned()));
    }
}
