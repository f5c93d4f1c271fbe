//! The project directory as an open descriptor that no file tool gets out of.
//!
//! A path is never checked first and used later: the kernel resolves it beneath the descriptor
//! while it opens it (`openat2` with `RESOLVE_BENEATH`), so `..`, links that leave and links
//! swapped in at the last moment all fail in the same step. Where the kernel has no `openat2`, the
//! same walk is done here, one component at a time. What is written, is written by name into an
//! opened directory. This module knows paths and descriptors, not what is in the files.

mod repository;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result as IoResult};

use super::place::Place;

/// As many links one path may go through, as in the kernel.
pub const LINKS: usize = 40;

/// The opened project directory.
pub struct Root {
    directory: OwnedFd,
    path: PathBuf,
}

/// Where a file is to be written: an open directory and a name in it that is no link.
#[derive(Debug)]
pub struct Target {
    /// The directory, inside the project.
    pub directory: OwnedFd,
    /// The name in it.
    pub name: OsString,
}

impl Root {
    /// Opens the project directory.
    pub fn open(path: &Path) -> Result<Self, String> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(directory) => Ok(Self { directory, path: path.to_owned() }),
            Err(error) => Err(format!("the project directory cannot be opened: {error}")),
        }
    }

    /// The project directory's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a path as a model writes it: relative to the project, or absolute and inside it.
    pub fn place(&self, given: &str) -> Result<Place, String> {
        Place::new(given, &self.path)
    }

    /// Opens what is at a place, beneath the project.
    pub fn open_at(&self, place: &Place, flags: OFlags) -> Result<OwnedFd, String> {
        self.open_beneath(place.relative(), flags).map_err(|error| place.failed(error))
    }

    /// Opens a directory to be listed.
    pub fn open_directory(&self, place: &Place) -> Result<OwnedFd, String> {
        let directory = self.open_at(place, OFlags::RDONLY | OFlags::DIRECTORY)?;
        refuse_kernel_files(&directory, place)?;
        Ok(directory)
    }

    /// Finds where a file is to be written, through links that stay inside the project and out of
    /// what belongs to version control; makes the missing directories on the way if `create` says
    /// so.
    pub fn target(&self, place: &Place, create: bool) -> Result<Target, String> {
        let mut relative = place.relative().to_owned();
        for _ in 0..LINKS {
            let (Some(name), Some(parent)) = (relative.file_name(), relative.parent()) else {
                return Err(place.failed(Errno::ISDIR));
            };
            if repository::is_named(&relative) {
                return Err(place.repository());
            }
            let directory = self.directory(parent, create).map_err(|error| {
                place.failed(if error == Errno::ISDIR { Errno::NOTDIR } else { error })
            })?;
            let Some(directory) = directory else { return Err(place.repository()) };
            match rustix::fs::readlinkat(&directory, name, Vec::new()) {
                Ok(link) if link.as_bytes().starts_with(b"/") => {
                    return Err(place.failed(Errno::XDEV));
                }
                Ok(link) => relative = parent.join(OsStr::from_bytes(link.as_bytes())),
                Err(Errno::INVAL | Errno::NOENT) => {
                    return Ok(Target { directory, name: name.to_owned() });
                }
                Err(error) => return Err(place.failed(error)),
            }
        }
        Err(place.failed(Errno::LOOP))
    }

    /// Opens a directory beneath the project, making it and its parents first if need be; `None`
    /// if it belongs to version control. Only what is open can be asked for that: a directory that
    /// is made lets a path go elsewhere than it went before.
    fn directory(&self, relative: &Path, create: bool) -> IoResult<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let allowed = |found: OwnedFd| Ok((!self.is_in_repository(&found)?).then_some(found));
        match self.open_beneath(relative, flags) {
            Err(Errno::NOENT) if create => {}
            other => return allowed(other?),
        }
        let mut done = PathBuf::new();
        let mut directory = self.open_beneath(&done, flags)?;
        for part in relative.components() {
            done.push(part);
            directory = match self.open_beneath(&done, flags) {
                Err(Errno::NOENT) => {
                    if self.is_in_repository(&directory)? {
                        return Ok(None);
                    }
                    match rustix::fs::mkdirat(&directory, part.as_os_str(), Mode::from(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => self.open_beneath(&done, flags)?,
                        Err(error) => return Err(error),
                    }
                }
                other => other?,
            };
        }
        allowed(directory)
    }

    fn open_beneath(&self, relative: &Path, flags: OFlags) -> IoResult<OwnedFd> {
        let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        let flags = flags | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        // A directory renamed while a `..` is resolved gives EAGAIN: a race that was seen.
        for _ in 0..LINKS {
            match rustix::fs::openat2(&self.directory, relative, flags, Mode::empty(), beneath) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                // Old kernels do not know the call, old sandboxes forbid what they do not know.
                Err(Errno::NOSYS | Errno::PERM) => return self.open_by_steps(relative, flags),
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// What `openat2` does beneath a directory, with system calls every kernel has. No component
    /// is ever followed by the kernel: links are read and walked here, and `..` goes back to the
    /// descriptor it was entered from.
    fn open_by_steps(&self, relative: &Path, flags: OFlags) -> IoResult<OwnedFd> {
        let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parts = |path: &Path| -> Vec<OsString> {
            path.components().map(|part| part.as_os_str().to_owned()).collect()
        };
        let mut todo = VecDeque::from(parts(relative));
        let mut entered: Vec<OwnedFd> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            match name.as_bytes() {
                b"." => continue,
                b".." if entered.pop().is_some() => continue,
                b".." => return Err(Errno::XDEV),
                _ => {}
            }
            let here = entered.last().unwrap_or(&self.directory);
            let found = rustix::fs::openat(here, &name, look, Mode::empty())?;
            match FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > LINKS {
                        return Err(Errno::LOOP);
                    }
                    let link = rustix::fs::readlinkat(&found, "", Vec::new())?;
                    let link = PathBuf::from(OsString::from_vec(link.into_bytes()));
                    if link.is_absolute() {
                        return Err(Errno::XDEV);
                    }
                    for part in parts(&link).into_iter().rev() {
                        todo.push_front(part);
                    }
                }
                FileType::Directory => entered.push(found),
                _ if todo.is_empty() => {
                    // A link swapped in since then is refused, not followed.
                    return rustix::fs::openat(
                        here,
                        &name,
                        flags | OFlags::NOFOLLOW,
                        Mode::empty(),
                    );
                }
                _ => return Err(Errno::NOTDIR),
            }
        }
        let here = entered.last().unwrap_or(&self.directory);
        rustix::fs::openat(here, ".", flags, Mode::empty())
    }
}

/// Refuses the kernel's own files: with a project of `/`, this process's environment would be one.
pub fn refuse_kernel_files(opened: impl AsFd, place: &Place) -> Result<(), String> {
    match rustix::fs::fstatfs(opened) {
        Ok(system) if system.f_type == rustix::fs::PROC_SUPER_MAGIC => Err(format!(
            "`{}` belongs to the kernel's process table, not to a project",
            place.given()
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::project::Project;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    /// Reads a file both ways, which must agree; gives its text or the error.
    fn read(project: &Project, given: &str) -> Result<String, String> {
        let root = Root::open(project.path())?;
        let place = root.place(given)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let text = |opened: IoResult<OwnedFd>| {
            let mut text = String::new();
            let mut file = std::fs::File::from(opened.map_err(|error| place.failed(error))?);
            file.read_to_string(&mut text).map_err(|error| error.to_string())?;
            Ok(text)
        };
        let kernel = text(root.open_beneath(place.relative(), flags));
        let steps = text(root.open_by_steps(place.relative(), flags));
        assert_eq!(kernel, steps, "openat2 and the walk by steps differ on {given}");
        kernel
    }

    #[test]
    fn paths_inside_open_however_they_are_written() {
        let project = Project::new();
        project.write("a/b/c.txt", "here");
        symlink("b/c.txt", project.path().join("a/link")).unwrap();
        symlink("a", project.path().join("folder")).unwrap();
        symlink("../a/b", project.path().join("a/round")).unwrap();
        let absolute = format!("{}/a/b/c.txt", project.path().display());
        for given in [
            "a/b/c.txt",
            "./a//b/./c.txt",
            "a/b/../b/c.txt",
            "a/link",
            "folder/b/c.txt",
            "folder/round/c.txt",
            &absolute,
        ] {
            assert_eq!(read(&project, given).as_deref(), Ok("here"), "{given}");
        }
    }

    #[test]
    fn nothing_outside_can_be_reached() {
        let project = Project::new();
        let other = Project::new();
        other.write("secret", "key");
        let secret = other.path().join("secret");
        project.write("sub/file", "x");
        symlink(&secret, project.path().join("absolute-link")).unwrap();
        symlink(other.path(), project.path().join("folder-link")).unwrap();
        symlink("../..", project.path().join("sub/up")).unwrap();
        symlink(other.path().join("nothing"), project.path().join("dangling")).unwrap();
        let name = other.path().file_name().unwrap().to_str().unwrap();
        for given in [
            "..",
            "../",
            &format!("../{name}/secret"),
            &format!("sub/../../{name}/secret"),
            secret.to_str().unwrap(),
            &format!("{}/../{name}/secret", project.path().display()),
            &format!("{}-sibling/x", project.path().display()),
            "absolute-link",
            "folder-link/secret",
            &format!("sub/up/{name}/secret"),
            "dangling",
            "/etc/passwd",
            "/proc/self/root/etc/passwd",
        ] {
            let error = read(&project, given).unwrap_err();
            assert!(error.contains("outside the project"), "{given}: {error}");
            assert!(!error.contains(secret.to_str().unwrap()) || given.contains("secret"));
        }
    }

    #[test]
    fn impossible_names_are_refused_in_words() {
        let project = Project::new();
        for (given, words) in [
            ("", "empty"),
            ("a\0b", "NUL"),
            (&*"n".repeat(256), "too long"),
            (&*"d/".repeat(3000), "too long"),
        ] {
            let error = read(&project, given).unwrap_err();
            assert!(error.contains(words) && error.len() < 300, "{error}");
        }
    }

    #[test]
    fn links_in_a_circle_end() {
        let project = Project::new();
        symlink("two", project.path().join("one")).unwrap();
        symlink("one", project.path().join("two")).unwrap();
        assert!(read(&project, "one").unwrap_err().contains("symbolic link"));
        let root = Root::open(project.path()).unwrap();
        let error = root.target(&root.place("one").unwrap(), true).unwrap_err();
        assert!(error.contains("symbolic link"), "{error}");
    }

    #[test]
    fn the_process_table_is_no_project_file() {
        let root = Root::open(Path::new("/")).unwrap();
        let error = root.open_directory(&root.place("/proc/self").unwrap()).unwrap_err();
        assert!(error.contains("symbolic link") || error.contains("process table"), "{error}");
        let error = root.open_directory(&root.place("proc").unwrap()).unwrap_err();
        assert!(error.contains("process table"), "{error}");
    }

    #[test]
    fn a_target_never_leaves_the_project() {
        let project = Project::new();
        let other = Project::new();
        symlink(other.path(), project.path().join("folder")).unwrap();
        symlink(other.path().join("new"), project.path().join("dangling")).unwrap();
        symlink("../new", project.path().join("relative")).unwrap();
        let root = Root::open(project.path()).unwrap();
        for given in
            ["folder/new", "folder/deep/new", "dangling", "relative", "../new", "a/../../new"]
        {
            let error = root.target(&root.place(given).unwrap(), true).unwrap_err();
            assert!(error.contains("outside the project"), "{given}: {error}");
        }
        assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0);
        assert!(!project.path().parent().unwrap().join("new").exists());
    }

    #[test]
    fn a_link_swapped_in_between_is_never_followed_out() {
        let project = Project::new();
        let other = Project::new();
        project.write("inside/file", "inside");
        other.write("file", "outside");
        symlink(other.path(), project.path().join("evil")).unwrap();
        let root = Root::open(project.path()).unwrap();
        let place = root.place("inside/file").unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let exchange = rustix::fs::RenameFlags::EXCHANGE;
                    let at = &root.directory;
                    let _ = rustix::fs::renameat_with(at, "inside", at, "evil", exchange);
                }
            });
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
            let (mut inside, mut refused, mut leaked) = (0, 0, 0);
            // Long enough to have seen the directory both ways.
            while inside + refused < 4000 || inside == 0 || refused == 0 {
                for file in [
                    root.open_beneath(place.relative(), flags),
                    root.open_by_steps(place.relative(), flags),
                ] {
                    let mut text = String::new();
                    let read = file.map(|file| std::fs::File::from(file).read_to_string(&mut text));
                    match &*text {
                        "inside" => inside += 1,
                        "" if read.is_err() => refused += 1,
                        _ => leaked += 1,
                    }
                }
                if std::time::Instant::now() > end {
                    break;
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(leaked, 0);
            assert!(inside > 0 && refused > 0, "{inside} {refused}");
        });
    }
}
