//! A path as a model writes it, and the sentences for what can be wrong with it.
//!
//! The sentences name the path in the model's own words and never one outside the project. Nothing
//! is opened here: see [`super::root`].

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

/// Longer paths and names are refused by every file system.
const PATH_BYTES: usize = 4095;
const NAME_BYTES: usize = 255;

/// A path a model gave: its words for the errors, and what it means from the root.
#[derive(Debug, Clone)]
pub struct Place {
    given: String,
    relative: PathBuf,
}

impl Place {
    /// Reads a path as a model writes it: relative to the project, or absolute and inside it.
    pub fn new(given: &str, root: &Path) -> Result<Self, String> {
        if given.is_empty() {
            return Err("the path is empty: `.` is the project itself".to_owned());
        }
        if given.contains('\0') {
            return Err("the path contains a NUL byte, which no file name can".to_owned());
        }
        let path = Path::new(given);
        let inside = if path.is_absolute() {
            path.strip_prefix(root).map_err(|_| outside(given))?
        } else {
            path
        };
        let relative: PathBuf =
            inside.components().filter(|part| !matches!(part, Component::CurDir)).collect();
        let place = Self { given: given.to_owned(), relative };
        let long = |part: Component<'_>| part.as_os_str().len() > NAME_BYTES;
        if given.len() > PATH_BYTES || place.relative.components().any(long) {
            return Err(place.failed(Errno::NAMETOOLONG));
        }
        Ok(place)
    }

    /// The path as the model gave it.
    #[must_use]
    pub fn given(&self) -> &str {
        &self.given
    }

    /// The path from the project directory; empty for the directory itself.
    #[must_use]
    pub fn relative(&self) -> &Path {
        &self.relative
    }

    /// The place of an entry of this directory.
    #[must_use]
    pub fn entry(&self, name: &OsStr) -> Self {
        let relative = self.relative.join(name);
        Self { given: relative.to_string_lossy().into_owned(), relative }
    }

    /// The place of the directory this one is in.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let relative = self.relative.parent()?.to_owned();
        Some(Self { given: relative.to_string_lossy().into_owned(), relative })
    }

    /// The sentence for a call that failed at this place.
    #[must_use]
    pub fn failed(&self, error: Errno) -> String {
        let given = &self.given;
        match error {
            Errno::XDEV => outside(given),
            Errno::NAMETOOLONG => {
                let start: String = given.chars().take(60).collect();
                format!(
                    "the path `{start}…` is too long: a name has at most {NAME_BYTES} bytes, a \
                     path {PATH_BYTES}"
                )
            }
            Errno::LOOP => {
                format!("`{given}` goes through a symbolic link that cannot be followed")
            }
            Errno::NOENT => format!("`{given}` does not exist"),
            Errno::NOTDIR => format!("`{given}`: it, or a part of the path, is not a directory"),
            Errno::ISDIR => format!("`{given}` is a directory: use list_dir to see what is in it"),
            Errno::ACCESS | Errno::PERM => format!("`{given}`: permission denied"),
            Errno::NXIO => not_regular(given),
            error => format!("`{given}`: {error}"),
        }
    }

    /// The sentence for what is not written because version control would act on it.
    #[must_use]
    pub fn repository(&self) -> String {
        format!(
            "`{}` belongs to version control, which runs commands by what stands there: change it \
             with git, or the like, through bash",
            self.given
        )
    }

    /// The sentence for something that is neither a file nor a directory.
    #[must_use]
    pub fn not_regular(&self) -> String {
        not_regular(&self.given)
    }
}

fn outside(given: &str) -> String {
    format!(
        "`{given}` is outside the project: only paths inside the project directory can be used, \
         and `..` and symbolic links must stay inside it"
    )
}

fn not_regular(given: &str) -> String {
    format!("`{given}` is not a regular file but a FIFO, a socket or a device")
}
