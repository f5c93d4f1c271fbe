//! `edit_file`: one exact replacement, or a sentence that helps to make the next try exact.

use serde::Deserialize;
use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation as _;

use super::field::{Field, Kind};
use super::root::Root;
use super::{Context, Effect, RESULT_BYTES, Tool, arguments, difference, file};
use crate::text::keep_both_ends;

/// Larger files are not edited.
pub(super) const FILE_BYTES: u64 = 8 * 1024 * 1024;
/// As many lines are compared when looking for one that was meant.
const COMPARED_LINES: usize = 20_000;
/// As many line numbers are named, and as many places counted.
const NAMED_LINES: usize = 10;
const COUNTED_PLACES: usize = 1000;

/// Replaces text in a file.
pub struct EditFile;

#[derive(Deserialize)]
struct Args {
    path: String,
    old_string: String,
    new_string: String,
    replace_all: Option<bool>,
}

impl Tool for EditFile {
    fn name(&self) -> &'static str {
        "edit_file"
    }

    fn description(&self) -> &'static str {
        "Replaces old_string by new_string in a file of the project and returns the diff. \
         old_string must be copied exactly, whitespace included, and occur once; add lines around \
         it to make it unique, or set replace_all."
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            Field::required("path", Kind::Text, "Path of the file, relative to the project"),
            Field::required("old_string", Kind::Text, "The exact text to replace"),
            Field::required("new_string", Kind::Text, "The text to put in its place"),
            Field::optional("replace_all", Kind::Flag, "Replace every occurrence"),
        ]
    }

    fn effect(&self) -> Effect {
        Effect::Writes
    }

    fn run(&self, args: &Value, context: &mut Context<'_>) -> Result<String, String> {
        let args: Args = arguments(self, args)?;
        if args.old_string.is_empty() {
            return Err("old_string is empty: give the text to replace, or use write_file to \
                        create a file"
                .to_owned());
        }
        if args.old_string == args.new_string {
            return Err("old_string and new_string are the same: nothing would change".to_owned());
        }
        let root = Root::open(context.root)?;
        let place = root.place(&args.path)?;
        let text = file::read_text(&root, &place, FILE_BYTES)?;
        let (old, new) = with_line_ends_of(&text, &args.old_string, &args.new_string);
        let lines = lines_of(&text, &old);
        match lines.len() {
            // What is near may not be shown to who may not read it.
            0 if !context.may_read => return Err(absent(&args.path)),
            0 => return Err(not_found(&args.path, &text, &args.old_string)),
            1 => {}
            _ if args.replace_all == Some(true) => {}
            _ => return Err(ambiguous(&args.path, &lines)),
        }
        let grown = (new.len() as u64).saturating_sub(old.len() as u64);
        let grown = grown.saturating_mul(text.matches(&old).count() as u64);
        if grown.saturating_add(text.len() as u64) > FILE_BYTES {
            return Err(format!("`{}` would grow beyond {FILE_BYTES} bytes", args.path));
        }
        let edited = text.replace(&old, &new);
        if edited == text {
            return Err("old_string and new_string differ only in line ends: nothing would \
                        change"
                .to_owned());
        }
        file::replace(&root, &place, edited.as_bytes())?;
        if !context.may_read {
            return Ok(format!("`{}` edited; places: {}", args.path, text.matches(&old).count()));
        }
        Ok(changed(&args.path, &text, &edited))
    }
}

/// What a changed file's result is: the diff, cut in the middle where it is long.
pub(super) fn changed(path: &str, old: &str, new: &str) -> String {
    keep_both_ends(&difference::unified(path, old, new), RESULT_BYTES)
}

/// Old and new text with the line ends that the file has, where it has only one kind.
fn with_line_ends_of(text: &str, old: &str, new: &str) -> (String, String) {
    let crlf = |part: &str| part.replace("\r\n", "\n").replace('\n', "\r\n");
    let pairs = text.matches("\r\n").count();
    let everywhere = pairs > 0 && pairs == text.matches('\n').count();
    if everywhere || (pairs > 0 && !text.contains(old)) {
        (crlf(old), crlf(new))
    } else {
        (old.to_owned(), new.to_owned())
    }
}

/// The line numbers of the places where `old` stands, those that overlap included.
fn lines_of(text: &str, old: &str) -> Vec<usize> {
    let step = old.chars().next().map_or(1, char::len_utf8);
    let (mut lines, mut from, mut counted, mut line) = (Vec::new(), 0, 0, 1);
    while let Some(at) = text[from..].find(old).map(|at| from + at) {
        if lines.len() == COUNTED_PLACES {
            break;
        }
        line += text[counted..at].matches('\n').count();
        counted = at;
        lines.push(line);
        from = at + step;
    }
    lines
}

fn ambiguous(path: &str, lines: &[usize]) -> String {
    let count = lines.len();
    let least = if count == COUNTED_PLACES { "at least " } else { "" };
    let mut named: Vec<_> = lines.iter().take(NAMED_LINES).map(ToString::to_string).collect();
    if count > NAMED_LINES {
        named.push("…".to_owned());
    }
    format!(
        "old_string occurs {least}{count} times in `{path}` (lines {}): add lines around it to make it \
         unique, or set replace_all",
        named.join(", ")
    )
}

fn absent(path: &str) -> String {
    format!("old_string does not occur in `{path}`")
}

fn not_found(path: &str, text: &str, old: &str) -> String {
    let error = absent(path);
    let Some(wanted) = old.lines().map(str::trim).find(|line| !line.is_empty()) else {
        return format!("{error}: it is only whitespace; add a line around it");
    };
    let lines = || text.lines().take(COMPARED_LINES).enumerate();
    let shown = |line: &str| keep_both_ends(line, 300);
    if let Some((at, line)) = lines().find(|(_, line)| line.trim() == wanted) {
        let whole = if old.trim().contains('\n') { "its first line is at" } else { "it is at" };
        return format!(
            "{error} exactly: {whole} line {} with other whitespace, or what follows differs. The \
             line there is:\n{}",
            at + 1,
            shown(line)
        );
    }
    let near = lines()
        .filter(|(_, line)| (wanted.len() / 2..=wanted.len() * 2).contains(&line.trim().len()))
        .filter(|(_, line)| line.len() < 1000)
        .map(|(at, line)| (at, line, likeness(wanted, line.trim())))
        .max_by(|one, other| one.2.total_cmp(&other.2))
        .filter(|(_, _, likeness)| *likeness > 0.5);
    match near {
        Some((at, line, _)) => {
            format!("{error}. The nearest line is {}:\n{}", at + 1, shown(line))
        }
        None => format!("{error}, nor anything like it: read the file again"),
    }
}

fn likeness(one: &str, other: &str) -> f32 {
    difference::likeness(&mut one.split_word_bounds(), &mut other.split_word_bounds())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::project::Project;

    fn edit(project: &Project, old: &str, new: &str) -> Result<String, String> {
        let args = json!({"path": "a.txt", "old_string": old, "new_string": new});
        project.run(&EditFile, args)
    }

    #[test]
    fn one_place_is_replaced_and_the_diff_shown() {
        let project = Project::new();
        project.write("a.txt", "one\ntwo\nthree\n");
        let diff = edit(&project, "two", "2").unwrap();
        assert_eq!(diff, "--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n");
        assert_eq!(project.read("a.txt"), "one\n2\nthree\n");
    }

    #[test]
    fn several_places_are_refused_unless_all_are_meant() {
        let project = Project::new();
        project.write("a.txt", "x\ny\nx\naaa\n");
        let error = edit(&project, "x", "z").unwrap_err();
        assert!(error.contains("2 times") && error.contains("lines 1, 3"), "{error}");
        assert!(edit(&project, "aa", "b").unwrap_err().contains("2 times"));
        let all =
            json!({"path": "a.txt", "old_string": "x", "new_string": "z", "replace_all": true});
        project.run(&EditFile, all).unwrap();
        assert_eq!(project.read("a.txt"), "z\ny\nz\naaa\n");
    }

    #[test]
    fn no_place_gives_a_hint() {
        let project = Project::new();
        let text = "fn main() {\n\tlet answer = 42;\n}\n";
        project.write("a.txt", text);
        let error = edit(&project, "    let answer = 42;", "x").unwrap_err();
        assert!(error.contains("line 2 with other whitespace"), "{error}");
        assert!(error.ends_with("\n\tlet answer = 42;"), "{error}");
        let error = edit(&project, "let answer = 43;", "x").unwrap_err();
        assert!(error.contains("nearest line is 2"), "{error}");
        assert!(edit(&project, "quite another thing", "x").unwrap_err().contains("read the file"));
        assert_eq!(project.read("a.txt"), text);
    }

    #[test]
    fn who_may_not_read_a_file_is_shown_none_of_it() {
        let project = Project::new();
        project.write("a.txt", "the key\nis\nsecret = 1\n");
        let edit = |old: &str| {
            let args = json!({"path": "a.txt", "old_string": old, "new_string": "was"});
            project.run_unread(&EditFile, &args)
        };
        assert_eq!(edit("is\n").as_deref(), Ok("`a.txt` edited; places: 1"));
        assert_eq!(project.read("a.txt"), "the key\nwassecret = 1\n");
        for miss in ["secret = 2", " the key", "nothing like it"] {
            assert_eq!(edit(miss).unwrap_err(), "old_string does not occur in `a.txt`");
        }
    }

    #[test]
    fn a_file_does_not_grow_without_bound() {
        let project = Project::new();
        project.write("a.txt", "a".repeat(100_000));
        let new = "b".repeat(1000);
        let all =
            json!({"path": "a.txt", "old_string": "a", "new_string": new, "replace_all": true});
        assert!(project.run(&EditFile, all).unwrap_err().contains("would grow beyond"));
        assert!(edit(&project, "a", "b").unwrap_err().contains("at least 1000 times"));
    }

    #[test]
    fn empty_and_identical_strings_are_refused() {
        let project = Project::new();
        project.write("a.txt", "one");
        assert!(edit(&project, "", "x").unwrap_err().contains("empty"));
        assert!(edit(&project, "one", "one").unwrap_err().contains("same"));
    }

    #[test]
    fn a_file_keeps_its_line_ends() {
        let project = Project::new();
        project.write("a.txt", "one\r\ntwo\r\nthree\r\n");
        edit(&project, "one\ntwo", "1\n1.5\n2").unwrap();
        assert_eq!(project.read("a.txt"), "1\r\n1.5\r\n2\r\nthree\r\n");
        edit(&project, "three", "3\n4").unwrap();
        assert_eq!(project.read("a.txt"), "1\r\n1.5\r\n2\r\n3\r\n4\r\n");
        project.write("a.txt", "mixed\r\nends\nhere\n");
        edit(&project, "mixed\nends", "m").unwrap();
        assert_eq!(project.read("a.txt"), "m\nhere\n");
    }

    #[test]
    fn only_text_files_inside_the_project_are_edited() {
        let project = Project::new();
        project.write("a.txt", b"one\0two");
        assert!(edit(&project, "one", "1").unwrap_err().contains("binary"));
        project.write("a.txt", b"one caf\xe9");
        assert!(edit(&project, "one", "1").unwrap_err().contains("not UTF-8: convert it first"));
        let args = json!({"path": "../x", "old_string": "a", "new_string": "b"});
        assert!(project.run(&EditFile, args).unwrap_err().contains("outside the project"));
        let args = json!({"path": "none", "old_string": "a", "new_string": "b"});
        assert!(project.run(&EditFile, args).unwrap_err().contains("does not exist"));
    }
}
