//! What a run asks: the words of the command line, standard input, and files.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::cancel::Cancel;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::tell;
use crate::os::{Readable, Waker, wait_readable};

/// Bytes that standard input may add.
const STDIN_BYTES: usize = 512 * 1024;
/// Bytes that one file may add.
const FILE_BYTES: u64 = 256 * 1024;
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
    let first_byte = if message.is_empty() || waits { LONG } else { FIRST_BYTE };
    if !io::stdin().is_terminal() || waits {
        let added = read_stdin(first_byte, cancel)?;
        append(&mut message, added.trim_end_matches('\n'));
    }
    if message.trim().is_empty() && files.is_empty() {
        let text = "nothing to ask: give a prompt, or standard input";
        return Err(Failure::usage("run", text).into());
    }
    for file in files {
        let text = read_file(file)?;
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
fn read_stdin(first_byte: Duration, cancel: &Cancel) -> Result<String, Error> {
    let failed = |error: io::Error| Failure::new(Exit::Failed, format!("standard input: {error}"));
    let waker = Arc::new(Waker::new().map_err(failed)?);
    let hook = Arc::clone(&waker);
    let _guard = cancel.on_cancel(move || hook.wake()).map_err(|_| Error::Cancelled)?;
    let mut stdin = io::stdin().lock();
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let time = if bytes.is_empty() { first_byte } else { LONG };
        match wait_readable(&waker, stdin.as_fd(), time).map_err(failed)? {
            Readable::Woken => return Err(Error::Cancelled),
            Readable::TimedOut if bytes.is_empty() && time == FIRST_BYTE => {
                tell(
                    "nothing came on standard input within 1 s; going on without it \
                     (`-` waits for it)",
                );
                return Ok(String::new());
            }
            Readable::TimedOut => {}
            Readable::Ready => match stdin.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => bytes.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A directory, or what was closed: there is nothing to read.
                Err(error) if bytes.is_empty() => {
                    log::debug!("standard input: {error}");
                    break;
                }
                Err(error) => return Err(failed(error).into()),
            },
        }
        if bytes.len() > STDIN_BYTES {
            let text = format!("standard input has more than {STDIN_BYTES} bytes");
            return Err(Failure::new(Exit::Usage, text).into());
        }
    }
    String::from_utf8(bytes)
        .map_err(|_| Failure::new(Exit::Usage, "standard input is not UTF-8").into())
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let wrong = |why: &str| Failure::new(Exit::Usage, format!("--file {}: {why}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| wrong(&error.to_string()))?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| wrong(&error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(wrong(&format!("it has more than {FILE_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))
}

/// A file as a fenced block with its path; the fence is longer than any in the text.
fn fenced(path: &Path, text: &str) -> String {
    let mut longest = 2;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
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
