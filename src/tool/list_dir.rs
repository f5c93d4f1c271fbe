//! `list_dir`: what is in a directory, ignored files included.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, FileType};
use serde::Deserialize;
use serde_json::Value;

use super::field::{Field, Kind};
use super::place::Place;
use super::root::Root;
use super::{Context, Effect, RESULT_BYTES, Tool, arguments};

/// As many entries are shown.
const SHOWN: usize = 1000;
/// As many entries of one directory are looked at.
pub(super) const LOOKED_AT: usize = if cfg!(test) { 2_000 } else { 100_000 };

/// Lists a directory.
pub struct ListDir;

#[derive(Deserialize)]
struct Args {
    path: Option<String>,
}

/// What is in a directory.
pub(super) struct Listing {
    /// Sorted by name.
    pub(super) entries: Vec<Entry>,
    /// There are more, which nobody looked at.
    pub(super) is_cut: bool,
}

/// One entry of a directory.
pub(super) struct Entry {
    pub(super) name: OsString,
    pub(super) kind: FileType,
}

impl Tool for ListDir {
    fn name(&self) -> &'static str {
        "list_dir"
    }

    fn description(&self) -> &'static str {
        "Lists a directory of the project, sorted by name, hidden and ignored files included \
         (all but `.git`). Directories end in `/`, symbolic links show where they point."
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field::optional(
            "path",
            Kind::Text,
            "Path of the directory, relative to the project; without it, the project itself",
        )]
    }

    fn effect(&self) -> Effect {
        Effect::Reads
    }

    fn run(&self, args: &Value, context: &mut Context<'_>) -> Result<String, String> {
        let args: Args = arguments(self, args)?;
        let root = Root::open(context.root)?;
        let place = root.place(args.path.as_deref().unwrap_or("."))?;
        let directory = root.open_directory(&place)?;
        let Listing { mut entries, is_cut } = entries(&root, &place)?;
        entries.retain(|entry| entry.name != ".git");
        if entries.is_empty() {
            return Ok("[the directory is empty]".to_owned());
        }
        let mut text = String::new();
        let mut shown = 0;
        for entry in entries.iter().take(SHOWN) {
            let mut line = one_line(&entry.name);
            match entry.kind {
                FileType::Directory => line.push('/'),
                FileType::Symlink => {
                    if let Ok(link) = rustix::fs::readlinkat(&directory, &*entry.name, Vec::new()) {
                        let _ =
                            write!(line, " -> {}", one_line(OsStr::from_bytes(link.as_bytes())));
                    }
                }
                FileType::Fifo => line.push_str(" [FIFO]"),
                FileType::Socket => line.push_str(" [socket]"),
                FileType::BlockDevice | FileType::CharacterDevice => line.push_str(" [device]"),
                FileType::RegularFile | FileType::Unknown => {}
            }
            if text.len() + line.len() > RESULT_BYTES - 256 {
                break;
            }
            text.push_str(&line);
            text.push('\n');
            shown += 1;
        }
        if shown < entries.len() {
            let more = if is_cut { " or more" } else { "" };
            let left = entries.len() - shown;
            let _ = writeln!(
                text,
                "[{left}{more} further entries are not shown: use glob to narrow them]"
            );
        }
        Ok(text)
    }
}

/// The entries of a directory.
pub(super) fn entries(root: &Root, place: &Place) -> Result<Listing, String> {
    let directory = root.open_directory(place)?;
    let failed = |error| place.failed(error);
    let mut entries = Vec::new();
    let mut is_cut = false;
    for entry in Dir::read_from(&directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        if entries.len() == LOOKED_AT {
            is_cut = true;
            break;
        }
        let kind = match entry.file_type() {
            // Some file systems do not say.
            FileType::Unknown => {
                let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
                stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
            }
            kind => kind,
        };
        entries.push(Entry { name: name.to_owned(), kind });
    }
    entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(Listing { entries, is_cut })
}

/// A name on one line, whatever is in it.
pub(super) fn one_line(name: &OsStr) -> String {
    let mut line = String::new();
    for character in name.to_string_lossy().chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::project::Project;
    use std::os::unix::fs::symlink;

    #[test]
    fn everything_but_git_is_listed_in_order() {
        let project = Project::new();
        project.write(".gitignore", "ignored");
        project.write("ignored", "");
        project.write("b/inner", "");
        project.write("a.txt", "");
        project.write(".git/config", "");
        project.write("odd\nname", "");
        symlink("a.txt", project.path().join("link")).unwrap();
        let text = project.run(&ListDir, Value::Null).unwrap();
        assert_eq!(text, ".gitignore\na.txt\nb/\nignored\nlink -> a.txt\nodd\\nname\n");
        assert_eq!(project.run(&ListDir, json!({"path": "b"})).as_deref(), Ok("inner\n"));
    }

    #[test]
    fn a_crowded_directory_is_cut_and_says_so() {
        let project = Project::new();
        for n in 0..SHOWN + 5 {
            project.write(&format!("{n:05}"), "");
        }
        let text = project.run(&ListDir, json!({})).unwrap();
        assert_eq!(text.lines().count(), SHOWN + 1);
        assert!(text.contains("[5 further entries are not shown"), "{text}");
    }

    #[test]
    fn what_is_no_directory_inside_is_refused() {
        let project = Project::new();
        project.write("file", "");
        symlink("/etc", project.path().join("etc")).unwrap();
        let list = |path: &str| project.run(&ListDir, json!({"path": path})).unwrap_err();
        assert!(list("file").contains("not a directory"));
        assert!(list("none").contains("does not exist"));
        assert!(list("etc").contains("outside the project"));
        assert!(list("..").contains("outside the project"));
    }
}
