//! What of a project belongs to version control, which runs commands by what stands there.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::{Errno, Result as IoResult};

use super::Root;

/// Where version control keeps the settings and hooks that decide which commands it runs.
const REPOSITORIES: [&str; 4] = [".git", ".hg", ".jj", ".svn"];

impl Root {
    /// Whether an open directory of the project lies in a repository's own, whatever the links to it
    /// are called. Names are left to the file system, which may take `GIT~1` for `.git`.
    pub(super) fn is_in_repository(&self, directory: &OwnedFd) -> IoResult<bool> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let id = |stat: &Stat| (stat.st_dev, stat.st_ino);
        let root = id(&rustix::fs::fstat(&self.directory)?);
        let mut stat = rustix::fs::fstat(directory)?;
        let mut here = None;
        while id(&stat) != root {
            let from = here.as_ref().unwrap_or(directory);
            let above = rustix::fs::openat(from, "..", flags, Mode::empty())?;
            let is_here = |name: &&str| {
                let named = rustix::fs::statat(&above, *name, AtFlags::empty());
                named.is_ok_and(|named| id(&named) == id(&stat))
            };
            if REPOSITORIES.iter().any(is_here) {
                return Ok(true);
            }
            let stat_above = rustix::fs::fstat(&above)?;
            if id(&stat_above) == id(&stat) {
                // At the very top: the directory has left the project in between.
                return Err(Errno::XDEV);
            }
            (here, stat) = (Some(above), stat_above);
        }
        Ok(false)
    }
}

/// Whether a part of a path is a repository's own by its name, however a file system may read it.
pub(super) fn is_named(relative: &Path) -> bool {
    relative.iter().any(|part| {
        let name = part.to_string_lossy();
        let name = name.trim_end_matches(['.', ' ']);
        REPOSITORIES.iter().any(|repository| name.eq_ignore_ascii_case(repository))
    })
}
