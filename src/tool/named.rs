//! Files that a configuration names, by path or by glob, to be told to a model whole.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use globset::GlobBuilder;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::file;
use super::place::Place;
use super::root::{LINKS, Root};
use super::walk::{Bounds, walk};
use crate::cancel::Cancel;

/// Files that one glob may name.
const FILES: usize = 20;
/// Of a longer file the rest is not read.
const BYTES: u64 = 1024 * 1024;

/// How far a name reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Into the project alone, links that leave it included: the project itself named the file.
    Project,
    /// Wherever the person who named it may read.
    Anywhere,
}

/// One file that was named.
#[derive(Debug, PartialEq)]
pub struct Named {
    /// Its path, from the project directory if it is inside.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// The files that a path or a glob names, from the project directory; of a glob the first ones
/// that are found until then, sorted by path, without what git ignores and without links.
///
/// # Errors
/// Why nothing was found.
pub fn named(
    project: &Path,
    name: &str,
    reach: Reach,
    cancel: &Cancel,
    until: Instant,
) -> Result<Vec<Named>, String> {
    let one = match reach {
        Reach::Project => {
            let root = Root::open(project)?;
            root.place(name).and_then(|place| read_inside(&root, &place))
        }
        Reach::Anywhere => read_anywhere(&project.join(name)),
    };
    let (directory, glob) = literal(name);
    match one {
        Ok(text) => return Ok(vec![Named { path: shown(project, &project.join(name)), text }]),
        Err(why) if glob.is_empty() => return Err(why),
        Err(_) => {}
    }
    let glob = GlobBuilder::new(glob).literal_separator(true).build();
    let glob = glob.map_err(|error| error.kind().to_string())?.compile_matcher();
    let root = Root::open(project)?;
    let inside = root
        .place(if directory.is_empty() { "." } else { directory })
        .and_then(|start| root.open_directory(&start).map(|_| start));
    let (root, start) = match (inside, reach) {
        (Ok(start), _) => (root, start),
        (Err(why), Reach::Project) => return Err(why),
        (Err(_), Reach::Anywhere) => {
            let root = Root::open(&project.join(directory))?;
            let start = root.place(".")?;
            (root, start)
        }
    };
    let mut found = Vec::new();
    let bounds = Bounds { cancel, until: Some(until) };
    walk(&root, &start, bounds, &mut |place, kind| {
        let relative = place.relative().strip_prefix(start.relative());
        let fits = kind == FileType::RegularFile && relative.is_ok_and(|path| glob.is_match(path));
        if fits && let Ok(text) = read_inside(&root, place) {
            let path = shown(project, &root.path().join(place.relative()));
            found.push(Named { path, text });
        }
        if found.len() == FILES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if found.is_empty() { Err("no file matches".to_owned()) } else { Ok(found) }
}

/// The directory before the first part with a wildcard, and the rest.
fn literal(name: &str) -> (&str, &str) {
    let Some(wild) = name.find(['*', '?', '[', '{', '\\']) else { return (name, "") };
    match name[..wild].rfind('/') {
        Some(0) => ("/", &name[1..]),
        Some(slash) => (&name[..slash], &name[slash + 1..]),
        None => ("", name),
    }
}

fn shown(project: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(project).unwrap_or(path).components().collect()
}

fn read_inside(root: &Root, place: &Place) -> Result<String, String> {
    text(file::open(root, place)?.0)
}

fn read_anywhere(path: &Path) -> Result<String, String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| error.to_string())?;
    let stat = rustix::fs::fstat(&opened).map_err(|error| error.to_string())?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err("it is no file".to_owned());
    }
    text(File::from(opened))
}

fn text(file: File) -> Result<String, String> {
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The path within the project that links lead to from a given one, where it is another. What is
/// missing counts as the directory that it becomes when a file is made there.
///
/// # Errors
/// Why that cannot be told.
pub fn led_to(root: &Path, given: &str) -> Result<Option<String>, String> {
    let parts = |path: &Path| -> Vec<PathBuf> {
        path.components().rev().map(|part| part.as_os_str().into()).collect()
    };
    // A path that is none is refused by the tool.
    let Ok(place) = Place::new(given, root) else { return Ok(None) };
    let (mut path, mut todo, mut links) = (root.to_owned(), parts(place.relative()), 0);
    while let Some(part) = todo.pop() {
        if part == Path::new("..") {
            path.pop();
            continue;
        }
        path.push(part);
        match rustix::fs::readlink(&path, Vec::new()) {
            Ok(_) if links == LINKS => return Err(place.failed(Errno::LOOP)),
            Ok(link) => {
                links += 1;
                path.pop();
                todo.append(&mut parts(Path::new(OsStr::from_bytes(link.as_bytes()))));
            }
            Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {}
            Err(error) => return Err(place.failed(error)),
        }
    }
    let Ok(inside) = path.strip_prefix(root) else { return Ok(None) };
    let inside = inside.to_string_lossy();
    Ok((inside != given).then(|| inside.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::project::Project;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    fn find(project: &Project, name: &str, reach: Reach) -> Result<Vec<String>, String> {
        let far = Instant::now() + Duration::from_secs(60);
        let found = named(project.path(), name, reach, &Cancel::new(), far)?;
        Ok(found.into_iter().map(|one| one.path.display().to_string()).collect())
    }

    fn sample() -> Project {
        let project = Project::new();
        project.write(".gitignore", "secret\n");
        for name in ["rules.md", "docs/b.md", "docs/a.md", "docs/deep/c.md", "docs/secret/d.md"] {
            project.write(name, name);
        }
        project
    }

    #[test]
    fn a_glob_names_files_in_order_and_no_link() {
        let (project, other) = (sample(), sample());
        symlink(other.path().join("rules.md"), project.path().join("docs/link.md")).unwrap();
        for reach in [Reach::Project, Reach::Anywhere] {
            let find = |name| find(&project, name, reach).unwrap();
            assert_eq!(find("rules.md"), ["rules.md"]);
            assert_eq!(find("*.md"), ["rules.md"]);
            assert_eq!(find("docs/*.md"), ["docs/a.md", "docs/b.md"]);
            assert_eq!(find("docs/**/*.md"), ["docs/a.md", "docs/b.md", "docs/deep/c.md"]);
        }
        for n in 0..2 * FILES {
            project.write(&format!("many/{:02}.md", 2 * FILES - n), "");
        }
        let many = find(&project, "many/*", Reach::Project).unwrap();
        assert_eq!((many.len(), many[0].as_str()), (FILES, "many/01.md"));
    }

    #[test]
    fn a_project_names_nothing_outside_and_a_person_anything() {
        let (project, other) = (sample(), sample());
        symlink(other.path().join("rules.md"), project.path().join("link.md")).unwrap();
        let absolute = other.path().join("rules.md").display().to_string();
        let glob = other.path().join("docs/*.md").display().to_string();
        let up = format!(
            "../{}",
            other.path().join("x").parent().unwrap().file_name().unwrap().display()
        );
        for (name, count) in
            [("link.md", 1), (&absolute, 1), (&glob, 2), (&format!("{up}/d*/a.md"), 1)]
        {
            assert!(find(&project, name, Reach::Project).is_err(), "{name}");
            assert_eq!(find(&project, name, Reach::Anywhere).unwrap().len(), count, "{name}");
        }
        assert_eq!(find(&project, &absolute, Reach::Anywhere).unwrap(), [absolute.as_str()]);
    }

    #[test]
    fn a_path_is_followed_to_what_it_becomes() {
        let project = sample();
        for (to, name) in [
            ("docs", "d"),
            ("d/deep", "e"),
            ("d/new.md", "made"),
            ("round", "round"),
            ("/etc", "out"),
            ("..", "docs/up"),
        ] {
            symlink(to, project.path().join(name)).unwrap();
        }
        let led_to = |given: &str| led_to(project.path(), given);
        let whole = project.path().display();
        for (given, expected) in [
            ("docs/a.md", None),
            ("docs/new/a", None),
            ("rules.md/a", None),
            ("d/a.md", Some("docs/a.md")),
            ("d/new/newer/a", Some("docs/new/newer/a")),
            ("new/../d/newer/a", Some("docs/newer/a")),
            ("e/../new/a", Some("docs/new/a")),
            ("d/up/d/new/a", Some("docs/new/a")),
            ("made", Some("docs/new.md")),
            ("./docs//a.md", Some("docs/a.md")),
            (&format!("{whole}/d/new/a"), Some("docs/new/a")),
            ("out/new", None),
            ("../x", None),
            ("", None),
        ] {
            assert_eq!(led_to(given), Ok(expected.map(str::to_owned)), "{given}");
        }
        assert!(led_to("round/new").unwrap_err().contains("symbolic link"));
    }

    #[test]
    fn what_blocks_or_takes_too_long_is_left_out() {
        let project = sample();
        let fifo = project.path().join("fifo.md");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        for reach in [Reach::Project, Reach::Anywhere] {
            assert!(find(&project, "fifo.md", reach).is_err());
            assert_eq!(find(&project, "*.md", reach).unwrap(), ["rules.md"]);
        }
        let over = named(project.path(), "**/*.md", Reach::Project, &Cancel::new(), Instant::now());
        assert!(over.is_err());
        let cancel = Cancel::new();
        cancel.cancel();
        let far = Instant::now() + Duration::from_secs(60);
        let stopped = named(project.path(), "**/*.md", Reach::Project, &cancel, far);
        assert_eq!(stopped, Err("stopped".to_owned()));
    }
}
