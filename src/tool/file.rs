//! Whole files of the project: opened without ever blocking, replaced in one step.
//!
//! A file is replaced by a new one that takes its name when it is complete, so nobody sees half of
//! it and a full disk loses nothing.

use std::fs::File;
use std::io::{Read, Write};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use super::place::Place;
use super::root::{Root, Target, refuse_kernel_files};

/// Opens a regular file for reading; says what else it is, if it is not one.
pub(super) fn open(root: &Root, place: &Place) -> Result<(File, u64), String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = root.open_at(place, flags)?;
    let stat = rustix::fs::fstat(&opened).map_err(|error| place.failed(error))?;
    require_regular(&stat, place)?;
    refuse_kernel_files(&opened, place)?;
    Ok((File::from(opened), u64::try_from(stat.st_size).unwrap_or(0)))
}

/// Reads a text file of at most `limit` bytes.
pub(super) fn read_text(root: &Root, place: &Place, limit: u64) -> Result<String, String> {
    let bytes = read_bytes(root, place, limit)?;
    if !is_text(&bytes) {
        return Err(binary(place, bytes.len() as u64));
    }
    String::from_utf8(bytes).map_err(|_| {
        format!(
            "`{}` is text, but not UTF-8: convert it first, with `iconv -f ENCODING -t UTF-8` \
             through bash, and back when it is edited",
            place.given()
        )
    })
}

/// Reads a file of at most `limit` bytes.
pub(super) fn read_bytes(root: &Root, place: &Place, limit: u64) -> Result<Vec<u8>, String> {
    let (file, size) = open(root, place)?;
    let mut bytes = Vec::new();
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("`{}`: {error}", place.given()))?;
    if bytes.len() as u64 > limit {
        return Err(format!(
            "`{}` has {} bytes, more than the {limit} this tool takes: change it with a command",
            place.given(),
            size.max(limit + 1)
        ));
    }
    Ok(bytes)
}

/// Whether these bytes are text in some encoding of bytes: hardly any control characters.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let is_odd = |byte: &&u8| byte.is_ascii_control() && !matches!(byte, b'\t'..=b'\r' | 0x1b);
    !bytes.contains(&0)
        && (std::str::from_utf8(bytes).is_ok()
            || bytes.iter().filter(is_odd).count() <= bytes.len() / 50)
}

/// The sentence for a file that is no text.
pub(super) fn binary(place: &Place, size: u64) -> String {
    format!("`{}` is a binary file ({size} bytes): commands can work with it", place.given())
}

/// Gives a file new content in one step, and makes it and its directories if they are missing.
/// Says whether it was made. An existing file keeps its permissions and its owner.
pub(super) fn replace(root: &Root, place: &Place, content: &[u8]) -> Result<bool, String> {
    let Target { directory, name } = root.target(place, true)?;
    let failed = |error: Errno| place.failed(error);
    let old = match rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Some(stat),
        Err(Errno::NOENT) => None,
        Err(error) => return Err(failed(error)),
    };
    if let Some(stat) = &old {
        require_regular(stat, place)?;
        if stat.st_mode & 0o222 == 0 {
            return Err(format!("`{}` is read-only", place.given()));
        }
    }
    let temporary = format!(".{:016x}.tmp", getrandom::u64().map_err(|error| error.to_string())?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from(if old.is_some() { 0o600 } else { 0o666 });
    let file = rustix::fs::openat(&directory, &temporary, flags, mode).map_err(failed)?;
    let written = write(file, content, old.as_ref())
        .and_then(|()| rustix::fs::renameat(&directory, &temporary, &directory, &name));
    if let Err(error) = written {
        let _ = rustix::fs::unlinkat(&directory, &temporary, AtFlags::empty());
        return Err(failed(error));
    }
    Ok(old.is_none())
}

fn write(file: rustix::fd::OwnedFd, content: &[u8], old: Option<&Stat>) -> rustix::io::Result<()> {
    let mut file = File::from(file);
    let written = file.write_all(content);
    written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    if let Some(stat) = old {
        // Fails for who is not root, and then the owner is the one who writes.
        let _ = rustix::fs::fchown(
            &file,
            Some(Uid::from_raw(stat.st_uid)),
            Some(Gid::from_raw(stat.st_gid)),
        );
        rustix::fs::fchmod(&file, Mode::from_raw_mode(stat.st_mode))?;
    }
    Ok(())
}

fn require_regular(stat: &Stat, place: &Place) -> Result<(), String> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(place.failed(Errno::ISDIR)),
        _ => Err(place.not_regular()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::project::Project;

    fn at(project: &Project, given: &str) -> (Root, Place) {
        let root = Root::open(project.path()).unwrap();
        let place = root.place(given).unwrap();
        (root, place)
    }

    #[test]
    fn a_reader_sees_the_old_file_or_the_new_one() {
        let project = Project::new();
        let (old, new) = ("old".repeat(50_000), "new!".repeat(50_000));
        project.write("a", &old);
        let (root, place) = at(&project, "a");
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 0..50 {
                    let content = if round % 2 == 0 { &new } else { &old };
                    replace(&root, &place, content.as_bytes()).unwrap();
                }
            });
            while !writer.is_finished() {
                let seen = project.read("a");
                assert!(seen == old || seen == new);
            }
        });
    }

    #[test]
    fn what_cannot_be_replaced_leaves_nothing_behind() {
        let project = Project::new();
        project.write("folder/x", "");
        let (root, place) = at(&project, "folder");
        assert!(replace(&root, &place, b"x").is_err());
        let _socket =
            std::os::unix::net::UnixListener::bind(project.path().join("socket")).unwrap();
        let (root, place) = at(&project, "socket");
        assert!(replace(&root, &place, b"x").unwrap_err().contains("not a regular file"));
        assert_eq!(std::fs::read_dir(project.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_over_the_bound_is_not_loaded() {
        let project = Project::new();
        project.write("a", "12345");
        let (root, place) = at(&project, "a");
        assert_eq!(read_text(&root, &place, 5).as_deref(), Ok("12345"));
        let error = read_text(&root, &place, 4).unwrap_err();
        assert!(error.contains("has 5 bytes, more than the 4"), "{error}");
    }
}
