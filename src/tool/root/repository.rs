//! What of a project belongs to version control, which runs commands by what stands there.

use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, Stat};

use super::Root;

/// Where version control keeps the settings and hooks that decide which commands it runs.
const REPOSITORIES: [&str; 4] = [".git", ".hg", ".jj", ".svn"];

impl Root {
    /// Whether what there is of a directory lies in a repository's own, whatever the links to it are
    /// called. Names are left to the file system, which may take `GIT~1` for `.git`.
    pub(super) fn leads_into_repository(&self, relative: &Path) -> bool {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = relative.ancestors().find_map(|path| self.open_beneath(path, flags).ok());
        let (Some(mut here), Ok(root)) = (opened, rustix::fs::fstat(&self.directory)) else {
            return false;
        };
        let id = |stat: &Stat| (stat.st_dev, stat.st_ino);
        loop {
            let Ok(stat) = rustix::fs::fstat(&here) else { return true };
            if id(&stat) == id(&root) {
                return false;
            }
            let Ok(above) = rustix::fs::openat(&here, "..", flags, Mode::empty()) else {
                return true;
            };
            let is_here = |name: &&str| {
                let named = rustix::fs::statat(&above, *name, AtFlags::empty());
                named.is_ok_and(|named| id(&named) == id(&stat))
            };
            let is_top = || rustix::fs::fstat(&above).is_ok_and(|above| id(&above) == id(&stat));
            // At the very top the directory has left the project in between.
            if REPOSITORIES.iter().any(is_here) || is_top() {
                return true;
            }
            here = above;
        }
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
