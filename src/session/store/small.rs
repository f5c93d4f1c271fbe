//! The files of a store, opened and replaced with care: whatever a name has become, nothing waits
//! on it and nothing endless is read from it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::StoreError;
use crate::id;

/// No small file is larger, in bytes.
const SMALL: u64 = 1024 * 1024;
/// Nobody takes this long to write a small file.
const UNFINISHED: Duration = Duration::from_secs(600);

/// Opens a file for reading; anything else that bears its name is refused, and not waited for.
pub(super) fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// The same with these options, for nobody else to read where it is made.
pub(super) fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // Without the first a named pipe is waited for; without the second a link that bears the name
    // would have what it leads to read, cut and written.
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let is_link = |error: &io::Error| error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
    match options.custom_flags(flags).mode(0o600).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Err(error) if !is_link(&error) => Err(error),
        _ => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let text = format!("{name} is no file any more");
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        }
    }
}

/// What a small file holds.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(SMALL).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A missing file is a missing session.
pub(super) fn found<T>(result: io::Result<T>) -> Result<T, StoreError> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::Missing,
        _ => error.into(),
    })
}

/// Replaces a small file as a whole; on stable storage before it returns, if `sync`.
pub(super) fn replace(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    // Two writers of one file never share the name they write under.
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{:016x}.new", id::random() as u64));
    let new = PathBuf::from(new);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        if sync {
            file.sync_data()?;
        }
        fs::rename(&new, path)?;
        match path.parent() {
            Some(folder) if sync => sync_folder(folder),
            _ => Ok(()),
        }
    };
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes what was being written when a process died. A file that another process writes at this
/// moment is younger.
pub(super) fn remove_unfinished(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_new = entry.path().extension().is_some_and(|kind| kind == "new");
        if is_new
            && let Ok(when) = entry.metadata().and_then(|found| found.modified())
            && when.elapsed().is_ok_and(|age| age > UNFINISHED)
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}
