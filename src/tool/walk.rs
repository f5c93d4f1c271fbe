//! Walking through the project for `glob` and `grep`: what git would ignore is left out, no link
//! is followed, and every directory is opened beneath the root, so nothing outside is ever seen.
//!
//! Ignore files are honoured whether or not the project is a git repository. When it lies inside
//! a larger one, the rules of that one hold too.

use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;
use std::vec::IntoIter;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{FileType, OFlags};

use super::file;
use super::list_dir::{Entry, LOOKED_AT, Listing, entries, one_line};
use super::place::Place;
use super::root::Root;
use crate::cancel::Cancel;

/// Ignore files, the later ones stronger.
const IGNORE_FILES: [&str; 2] = [".gitignore", ".ignore"];
/// Longer ignore files are not read.
const IGNORE_BYTES: u64 = 1024 * 1024;

/// One directory of the walk: what is left of it, whether it had more entries than are looked at,
/// and whether it brought rules.
struct Level {
    place: Place,
    entries: IntoIter<Entry>,
    is_cut: bool,
    has_rules: bool,
}

/// How far a walk goes.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    /// Ends it with an error.
    pub(super) cancel: &'a Cancel,
    /// It goes no further then.
    pub(super) until: Option<Instant>,
}

impl<'a> Bounds<'a> {
    /// As long as it takes.
    pub(super) fn of(cancel: &'a Cancel) -> Self {
        Self { cancel, until: None }
    }
}

/// What a walk passed over.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    /// The first directory that had more entries than are looked at, and how many had.
    crowded: Option<(Place, usize)>,
    /// The time was over.
    pub(super) is_late: bool,
}

impl Unseen {
    /// A line that says so, for a result that is meant to be whole.
    pub(super) fn note(&self) -> Option<String> {
        let (place, count) = self.crowded.as_ref()?;
        let name = match one_line(place.relative().as_os_str()) {
            name if name.is_empty() => ".".to_owned(),
            name => name,
        };
        let others = match count {
            1 => String::new(),
            _ => format!(" (and {} other directories)", count - 1),
        };
        Some(format!(
            "[`{name}`{others} has more than {LOOKED_AT} entries: the rest was not looked at]\n"
        ))
    }

    fn took(&mut self, level: &Level) {
        if level.is_cut {
            let (_, count) = self.crowded.get_or_insert_with(|| (level.place.clone(), 0));
            *count += 1;
        }
    }
}

/// Calls `visit` for everything at and below `start` that is no directory, sorted by path, until
/// it breaks. Directories that cannot be read are left out.
pub(super) fn walk(
    root: &Root,
    start: &Place,
    bounds: Bounds<'_>,
    visit: &mut dyn FnMut(&Place, FileType) -> ControlFlow<()>,
) -> Result<Unseen, String> {
    let mut unseen = Unseen::default();
    let opened = root.open_at(start, OFlags::PATH)?;
    let found = rustix::fs::fstat(&opened).map_err(|error| start.failed(error))?;
    let kind = FileType::from_raw_mode(found.st_mode);
    if kind != FileType::Directory {
        let _ = visit(start, kind);
        return Ok(unseen);
    }
    let mut rules = rules_above(root, start);
    let first = level(root, start.clone(), &mut rules)?;
    unseen.took(&first);
    let mut levels = vec![first];
    while let Some(level_here) = levels.last_mut() {
        if bounds.cancel.is_cancelled() {
            return Err("stopped".to_owned());
        }
        if bounds.until.is_some_and(|until| Instant::now() >= until) {
            unseen.is_late = true;
            break;
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
            if let Ok(level) = level(root, place, &mut rules) {
                unseen.took(&level);
                levels.push(level);
            }
        } else if visit(&place, entry.kind).is_break() {
            break;
        }
    }
    Ok(unseen)
}

fn level(root: &Root, place: Place, rules: &mut Vec<Gitignore>) -> Result<Level, String> {
    let Listing { entries, is_cut } = entries(root, &place)?;
    let present = |name: &str| entries.iter().any(|entry| entry.name == name);
    let texts: Vec<String> = IGNORE_FILES
        .into_iter()
        .filter(|name| present(name))
        .filter_map(|name| file::read_text(root, &place.entry(OsStr::new(name)), IGNORE_BYTES).ok())
        .collect();
    let found = compile(&root.path().join(place.relative()), &texts);
    let has_rules = found.is_some();
    rules.extend(found);
    Ok(Level { place, entries: entries.into_iter(), is_cut, has_rules })
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
        walk(&root, &root.place(start).unwrap(), Bounds::of(&Cancel::new()), &mut |place, _| {
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
        let error = walk(&root, &root.place("out").unwrap(), Bounds::of(&Cancel::new()), never)
            .unwrap_err();
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
        let ended = walk(&root, &root.place(".").unwrap(), Bounds::of(&cancel), &mut |_, _| {
            seen += 1;
            cancel.cancel();
            ControlFlow::Continue(())
        });
        assert_eq!((ended.err().as_deref(), seen), (Some("stopped"), 1));
    }

    #[test]
    fn a_walk_ends_with_its_time_where_there_is_no_file() {
        let project = Project::new();
        fs::create_dir_all(project.path().join("a/b/c")).unwrap();
        let root = Root::open(project.path()).unwrap();
        let bounds = Bounds { cancel: &Cancel::new(), until: Some(Instant::now()) };
        let never = &mut |_: &Place, _| ControlFlow::Continue(());
        let unseen = walk(&root, &root.place(".").unwrap(), bounds, never).unwrap();
        assert!(unseen.is_late && unseen.note().is_none());
    }
}
