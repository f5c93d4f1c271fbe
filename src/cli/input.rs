//! What a run asks: the words of the command line, standard input, and files.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};

use crate::cancel::Cancel;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::tell;
use crate::os::{Readable, Waker, wait_readable};
use crate::text::fence;

/// Bytes that standard input may add.
const STDIN_BYTES: usize = 512 * 1024;
/// Bytes that one file may add.
const FILE_BYTES: usize = 256 * 1024;
/// How long a pipe beside a prompt may take to its first byte: a script's open, silent standard
/// input must not hang a run.
const FIRST_BYTE: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

/// Why there is no message.
pub(super) enum Error {
    /// The run was ended meanwhile.
    Cancelled,
    /// Something is wrong with what was given.
    Failed(Failure),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The message of a run. `-` among the words waits for standard input.
pub(super) fn message(
    words: &[String],
    files: &[PathBuf],
    cancel: &Cancel,
) -> Result<String, Error> {
    let waits = words.iter().any(|word| word == "-");
    let words: Vec<_> = words.iter().filter(|word| *word != "-").map(String::as_str).collect();
    let mut message = words.join(" ").trim().to_owned();
    if !io::stdin().is_terminal() || waits {
        let silence = if message.is_empty() || waits { Silence::Waits } else { Silence::GoesOn };
        let added = read_stdin(silence, cancel)?;
        append(&mut message, added.trim_end_matches('\n'));
    }
    if message.trim().is_empty() && files.is_empty() {
        let text = "nothing to ask: give a prompt, or standard input";
        return Err(Failure::usage("run", text).into());
    }
    for file in files {
        let text = read_file(file, cancel)?;
        append(&mut message, &fenced(file, &text));
    }
    Ok(message)
}

fn append(message: &mut String, more: &str) {
    if !message.is_empty() && !more.is_empty() {
        message.push_str("\n\n");
    }
    message.push_str(more);
}

/// Standard input to its end; empty where nothing came in time.
fn read_stdin(silence: Silence, cancel: &Cancel) -> Result<String, Error> {
    match read(&mut io::stdin().lock(), STDIN_BYTES, silence, cancel) {
        Ok(text) => Ok(text),
        Err(Fault::Silent) => {
            tell(
                "nothing came on standard input within 1 s; going on without it (`-` waits for it)",
            );
            Ok(String::new())
        }
        // A directory, or what was closed: there is nothing to read.
        Err(Fault::Unreadable(error)) => {
            log::debug!("standard input: {error}");
            Ok(String::new())
        }
        Err(fault) => Err(fault.of("standard input")),
    }
}

/// A file, or what a command writes into a pipe (`<(command)`).
fn read_file(path: &Path, cancel: &Cancel) -> Result<String, Error> {
    let name = format!("--file {}", path.display());
    let wrong = |why: &str| Failure::new(Exit::Usage, format!("{name}: {why}"));
    // A FIFO that nobody writes to must not hang the opening.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let failed = |error: rustix::io::Errno| wrong(&io::Error::from(error).to_string());
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
    let stat = rustix::fs::fstat(&opened).map_err(failed)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::Fifo => {}
        FileType::Directory => return Err(wrong("it is a directory").into()),
        _ => return Err(wrong("it is no file").into()),
    }
    let text = read(&mut File::from(opened), FILE_BYTES, Silence::Looks, cancel);
    text.map_err(|fault| fault.of(&name))
}

/// What a reader does when nothing came within [`FIRST_BYTE`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// It goes on without.
    GoesOn,
    /// It waits.
    Waits,
    /// It waits if somebody could still write. Only where reading does not block.
    Looks,
}

/// Why there is no text.
enum Fault {
    Cancelled,
    Silent,
    TooLong(usize),
    NotUtf8,
    /// NUL bytes: no provider takes them, and no text has them.
    NotText,
    /// Nothing could be read at all.
    Unreadable(io::Error),
    Failed(io::Error),
}

impl Fault {
    fn of(self, name: &str) -> Error {
        let (exit, why) = match self {
            Self::Cancelled => return Error::Cancelled,
            Self::Silent => (Exit::Usage, "nobody writes to it".to_owned()),
            Self::TooLong(most) => (Exit::Usage, format!("it has more than {most} bytes")),
            Self::NotUtf8 => (Exit::Usage, "it is not UTF-8".to_owned()),
            Self::NotText => (Exit::Usage, "it has NUL bytes, so it is no text".to_owned()),
            Self::Unreadable(error) => (Exit::Usage, error.to_string()),
            Self::Failed(error) => (Exit::Failed, error.to_string()),
        };
        Failure::new(exit, format!("{name}: {why}")).into()
    }
}

/// Reads to the end, at most so many bytes, until the cancel.
fn read(
    source: &mut (impl Read + AsFd),
    most: usize,
    silence: Silence,
    cancel: &Cancel,
) -> Result<String, Fault> {
    let waker = Arc::new(Waker::new().map_err(Fault::Failed)?);
    let hook = Arc::clone(&waker);
    let _guard = cancel.on_cancel(move || hook.wake()).map_err(|_| Fault::Cancelled)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    let mut time = if silence == Silence::Waits { LONG } else { FIRST_BYTE };
    loop {
        let seen = wait_readable(&waker, source.as_fd(), time).map_err(Fault::Failed)?;
        match (seen, silence) {
            (Readable::Woken, _) => return Err(Fault::Cancelled),
            (Readable::TimedOut, Silence::GoesOn) if bytes.is_empty() => {
                return Err(Fault::Silent);
            }
            (Readable::TimedOut, Silence::GoesOn | Silence::Waits) => continue,
            (Readable::TimedOut, Silence::Looks) | (Readable::Ready, _) => {}
        }
        match source.read(&mut buffer) {
            Ok(0) if seen == Readable::TimedOut && bytes.is_empty() => return Err(Fault::Silent),
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => {}
                _ if bytes.is_empty() => return Err(Fault::Unreadable(error)),
                _ => return Err(Fault::Failed(error)),
            },
        }
        if !bytes.is_empty() || silence == Silence::Looks {
            time = LONG;
        }
        if bytes.len() > most {
            return Err(Fault::TooLong(most));
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => Err(Fault::NotText),
        Ok(text) => Ok(text),
        Err(_) => Err(Fault::NotUtf8),
    }
}

/// A file as a fenced block with its path.
fn fenced(path: &Path, text: &str) -> String {
    let fence = fence(text);
    let mut block = String::new();
    let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
    let _ = write!(block, "{fence} {}\n{text}{end}{fence}", path.display());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_fenced_more_than_it_fences() {
        let block = fenced(Path::new("a.md"), "x\n```\ny");
        assert_eq!(block, "```` a.md\nx\n```\ny\n````");
    }
}
