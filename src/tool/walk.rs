//! Walking through the project for `glob` and `grep`: what git would ignore is left out, no link
//! is followed, and every directory is opened beneath the root, so nothing outside is ever seen.
//!
//! Ignore files are honoured whether or not the project is a git repository. When it lies inside
//! a larger one, the rules of that one hold too.

use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::vec::IntoIter;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{FileType, OFlags};

use super::file;
use super::list_dir::{Entry, entries};
use super::place::Place;
use super::root::Root;
use crate::cancel::Cancel;

/// Ignore files, the later ones stronger.
const IGNORE_FILES: [&str; 2] = [".gitignore", ".ignore"];
/// Longer ignore files are not read.
const IGNORE_BYTES: u64 = 1024 * 1024;

/// One directory of the walk: what is left of it, and whether it brought rules.
struct Level {
    place: Place,
    entries: IntoIter<Entry>,
    has_rules: bool,
}

/// Calls `visit` for everything at and below `start` that is no directory, sorted by path, until
/// it breaks. Directories that cannot be read are left out.
pub(super) fn walk(
    root: &Root,
    start: &Place,
    cancel: &Cancel,
    visit: &mut dyn FnMut(&Place, FileType) -> ControlFlow<()>,
) -> Result<(), String> {
    let opened = root.open_at(start, OFlags::PATH)?;
    let found = rustix::fs::fstat(&opened).map_err(|error| start.failed(error))?;
    let kind = FileType::from_raw_mode(found.st_mode);
    if kind != FileType::Directory {
        let _ = visit(start, kind);
        return Ok(());
    }
    let mut rules = rules_above(root, start);
    let mut levels = vec![level(root, start.clone(), &mut rules)?];
    while let Some(level_here) = levels.last_mut() {
        if cancel.is_cancelled() {
            return Err("stopped".to_owned());
        }
        let Some(entry) = level_here.entries.next() else {
            if level_here.has_rules {
                rules.pop();
            }
            levels.pop();
            continue;
        };
        let place = level_here.place.entry(&entry.name);
        let is_directory = entry.kind == FileType::Directory;
        let path = root.path().join(place.relative());
        if entry.name == ".git" || ignored(&rules, &path, is_directory) {
            continue;
        }
        if is_directory {
            levels.extend(level(root, place, &mut rules));
        } else if visit(&place, entry.kind).is_break() {
            break;
        }
    }
    Ok(())
}

fn level(root: &Root, place: Place, rules: &mut Vec<Gitignore>) -> Result<Level, String> {
    let entries = entries(root, &place)?;
    let present = |name: &str| entries.iter().any(|entry| entry.name == name);
    let texts: Vec<String> = IGNORE_FILES
        .into_iter()
        .filter(|name| present(name))
        .filter_map(|name| file::read_text(root, &place.entry(OsStr::new(name)), IGNORE_BYTES).ok())
        .collect();
    let found = compile(&root.path().join(place.relative()), &texts);
    let has_rules = found.is_some();
    rules.extend(found);
    Ok(Level { place, entries: entries.into_iter(), has_rules })
}

/// The innermost rule that says anything about the path decides.
fn ignored(rules: &[Gitignore], path: &Path, is_directory: bool) -> bool {
    let decision = rules.iter().rev().map(|one| one.matched(path, is_directory));
    decision
        .into_iter()
        .find(|one| !one.is_none())
        .is_some_and(|one| matches!(one, Match::Ignore(_)))
}

/// The rules of the repository the project lies in, and of the directories above `start`.
fn rules_above(root: &Root, start: &Place) -> Vec<Gitignore> {
    let mut rules = Vec::new();
    let repository = root.path().ancestors().find(|path| path.join(".git").exists());
    if let Some(repository) = repository {
        let exclude = read_outside(&repository.join(".git/info/exclude"));
        rules.extend(compile(repository, &exclude.into_iter().collect::<Vec<_>>()));
        let mut above: Vec<_> = root.path().ancestors().skip(1).collect();
        above.retain(|path| path.starts_with(repository));
        for path in above.into_iter().rev() {
            let texts: Vec<_> =
                IGNORE_FILES.iter().filter_map(|name| read_outside(&path.join(name))).collect();
            rules.extend(compile(path, &texts));
        }
    }
    let mut above: Vec<_> = std::iter::successors(start.parent(), Place::parent).collect();
    above.reverse();
    for place in above {
        let _ = level(root, place, &mut rules);
    }
    rules
}

/// Reads an ignore file of the repository around the project.
fn read_outside(path: &Path) -> Option<String> {
    let regular = fs::metadata(path).is_ok_and(|one| one.is_file() && one.len() <= IGNORE_BYTES);
    if regular { fs::read_to_string(path).ok() } else { None }
}

fn compile(directory: &Path, texts: &[String]) -> Option<Gitignore> {
    let mut builder = GitignoreBuilder::new(directory);
    for line in texts.iter().flat_map(|text| text.lines()) {
        // A line git cannot read either is no rule.
        let _ = builder.add_line(None, line);
    }
    builder.build().ok().filter(|rules| !rules.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::project::Project;
    use std::os::unix::fs::symlink;

    fn found(path: &Path, start: &str) -> Vec<String> {
        let root = Root::open(path).unwrap();
        let mut found = Vec::new();
        walk(&root, &root.place(start).unwrap(), &Cancel::new(), &mut |place, _| {
            found.push(place.given().to_owned());
            ControlFlow::Continue(())
        })
        .unwrap();
        found
    }

    #[test]
    fn ignore_files_hold_without_a_repository() {
        let project = Project::new();
        project.write(".gitignore", "/target\n*.log\n!keep.log\n");
        project.write("target/out", "");
        project.write("sub/.gitignore", "local\n!b.log\n");
        project.write("sub/local", "");
        project.write("sub/target/x", "");
        project.write("sub/a.log", "");
        project.write("sub/b.log", "");
        project.write("keep.log", "");
        project.write("local", "");
        project.write(".hidden/x", "");
        project.write(".git/config", "");
        let all = [
            ".gitignore",
            ".hidden/x",
            "keep.log",
            "local",
            "sub/.gitignore",
            "sub/b.log",
            "sub/target/x",
        ];
        assert_eq!(found(project.path(), "."), all);
        assert_eq!(found(project.path(), "sub"), &all[4..], "the rules above hold below");
        assert_eq!(found(project.path(), "target"), ["target/out"], "unless it was asked for");
        assert_eq!(found(project.path(), "sub/a.log"), ["sub/a.log"]);
    }

    #[test]
    fn the_repository_around_the_project_has_its_say() {
        let project = Project::new();
        project.write(".git/info/exclude", "excluded\n");
        project.write(".gitignore", "/packages/one/build\n");
        project.write("packages/.gitignore", "*.tmp\n");
        for name in ["build/x", "a.tmp", "excluded", "src"] {
            project.write(&format!("packages/one/{name}"), "");
        }
        assert_eq!(found(&project.path().join("packages/one"), "."), ["src"]);
    }

    #[test]
    fn links_are_seen_and_never_followed() {
        let project = Project::new();
        let other = Project::new();
        other.write("secret", "");
        project.write("inside/x", "");
        symlink(other.path(), project.path().join("out")).unwrap();
        symlink("..", project.path().join("inside/loop")).unwrap();
        assert_eq!(found(project.path(), "."), ["inside/loop", "inside/x", "out"]);
        let root = Root::open(project.path()).unwrap();
        let never = &mut |_: &Place, _| ControlFlow::Continue(());
        let error = walk(&root, &root.place("out").unwrap(), &Cancel::new(), never).unwrap_err();
        assert!(error.contains("outside the project"), "{error}");
    }

    #[test]
    fn a_cancelled_walk_stops() {
        let project = Project::new();
        project.write("a", "");
        project.write("b", "");
        let root = Root::open(project.path()).unwrap();
        let cancel = Cancel::new();
        let mut seen = 0;
        let ended = walk(&root, &root.place(".").unwrap(), &cancel, &mut |_, _| {
            seen += 1;
            cancel.cancel();
            ControlFlow::Continue(())
        });
        assert_eq!((ended, seen), (Err("stopped".to_owned()), 1));
    }
}
