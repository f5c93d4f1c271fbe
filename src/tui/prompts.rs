//! The prompts that were sent, on disk for the next start: a line each, a JSON string.
//!
//! Terminals share the file. Each adds under a lock, in place, so that none takes a line from
//! another; what is no such line is passed over.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::state::edit::HISTORY;

/// As much is kept, and is read; the file is shortened once it is twice as long.
const BYTES: usize = 1024 * 1024;
/// A longer prompt is not kept.
const PROMPT_BYTES: usize = 64 * 1024;
/// How long the file is waited for while another has it.
const PATIENCE: Duration = Duration::from_millis(100);

/// The prompts that are kept, the oldest first; none where they cannot be read.
pub(super) fn read(path: &Path) -> Vec<String> {
    let mut options = OpenOptions::new();
    let Ok(bytes) = open(path, options.read(true)).and_then(|mut file| tail(&mut file)) else {
        return Vec::new();
    };
    let prompts = lines(&bytes).filter_map(|line| serde_json::from_slice::<String>(line).ok());
    let shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    prompts.map(|prompt| prompt.chars().filter(shown).collect()).collect()
}

/// Keeps a prompt, unless it begins with a space, which is how a person says that it is not to be.
pub(super) fn keep(path: &Path, prompt: &str) -> io::Result<()> {
    if prompt.starts_with(' ') || prompt.len() > PROMPT_BYTES {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut options = OpenOptions::new();
    let mut file = open(path, options.read(true).write(true).create(true).mode(0o600))?;
    let mut bytes = tail(&mut file)?;
    let known = bytes.len();
    // Whoever was ended while it wrote left half a line.
    if bytes.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    serde_json::to_writer(&mut bytes, prompt)?;
    bytes.push(b'\n');
    if lines(&bytes).count() <= 2 * HISTORY && bytes.len() <= 2 * BYTES {
        return file.write_all(&bytes[known..]);
    }
    let mut from = bytes.len();
    for line in lines(&bytes).rev().take(HISTORY) {
        if bytes.len() - from + line.len() > BYTES {
            break;
        }
        from -= line.len();
    }
    file.write_all_at(&bytes[from..], 0)?;
    file.set_len((bytes.len() - from) as u64)
}

/// Opens the file, for nobody else as long as it is open. Who is stopped while it has the file is
/// not waited for: the screen would stand still.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = options.custom_flags(flags.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let late = Instant::now() + PATIENCE;
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != Errno::WOULDBLOCK || Instant::now() >= late {
            return Err(error.into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(file)
}

/// The end of the file, where it then stands.
fn tail(file: &mut File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(2 * BYTES as u64)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn lines(bytes: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    /// A path in a folder that is not there yet, and is removed with this value.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Self {
            let name = format!("opencode-prompts-{:016x}", crate::id::random());
            Self(std::env::temp_dir().join(name).join("data/prompts.jsonl"))
        }

        fn folder(&self) -> &Path {
            self.0.parent().unwrap()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.folder().parent().unwrap());
        }
    }

    #[test]
    fn prompts_are_kept_for_their_owner_alone_unless_they_begin_with_a_space() {
        let place = Place::new();
        assert!(read(&place.0).is_empty());
        for prompt in ["one", "two\n\tlines \"世\" ", " secret", &"x".repeat(PROMPT_BYTES + 1)] {
            keep(&place.0, prompt).unwrap();
        }
        assert_eq!(read(&place.0), ["one", "two\n\tlines \"世\" "]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place.0), mode(place.folder())), (0o600, 0o700));
    }

    #[test]
    fn the_newest_stay_within_the_bounds() {
        let place = Place::new();
        for number in 0..=2 * HISTORY {
            keep(&place.0, &number.to_string()).unwrap();
        }
        let kept = read(&place.0);
        assert_eq!((kept.len(), &*kept[0], &*kept[HISTORY - 1]), (HISTORY, "501", "1000"));
        let long = "x".repeat(PROMPT_BYTES);
        for _ in 0..2 * BYTES / PROMPT_BYTES {
            keep(&place.0, &long).unwrap();
        }
        keep(&place.0, "last").unwrap();
        let length = fs::metadata(&place.0).unwrap().len();
        assert!(length <= BYTES as u64, "{length}");
        let kept = read(&place.0);
        assert_eq!((kept.len(), &*kept[kept.len() - 1]), (16, "last"));
    }

    #[test]
    fn terminals_lose_nothing_of_each_others() {
        let place = Place::new();
        for number in 0..2 * HISTORY - 100 {
            keep(&place.0, &number.to_string()).unwrap();
        }
        // It is shortened while they write.
        std::thread::scope(|scope| {
            for terminal in 0..4 {
                let path = &place.0;
                scope.spawn(move || {
                    for number in 0..50 {
                        // Who does not get the file in time is told so.
                        while let Err(error) = keep(path, &format!("{terminal} {number}")) {
                            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                        }
                    }
                });
            }
        });
        let kept = read(&place.0);
        for terminal in 0..4 {
            let wanted: Vec<_> = (0..50).map(|number| format!("{terminal} {number}")).collect();
            let prefix = format!("{terminal} ");
            let own: Vec<_> = kept.iter().filter(|kept| kept.starts_with(&prefix)).collect();
            assert!(own.into_iter().eq(&wanted), "{kept:?}");
        }
    }

    #[test]
    fn what_is_damaged_is_passed_over() {
        let place = Place::new();
        keep(&place.0, "one").unwrap();
        let mut bytes = fs::read(&place.0).unwrap();
        bytes.extend(b"\xff\xfe\n{}\n\n\"\\u001b[2Jtwo\"\n\"cut o");
        fs::write(&place.0, &bytes).unwrap();
        keep(&place.0, "three").unwrap();
        assert_eq!(read(&place.0), ["one", "[2Jtwo", "three"]);
        fs::write(&place.0, vec![0; 3 * BYTES]).unwrap();
        keep(&place.0, "four").unwrap();
        assert_eq!(read(&place.0), ["four"]);
    }

    #[test]
    fn what_is_no_file_is_an_error_and_holds_nobody_up() {
        let place = Place::new();
        fs::create_dir_all(&place.0).unwrap();
        assert!(keep(&place.0, "one").is_err() && read(&place.0).is_empty());
        fs::remove_dir(&place.0).unwrap();
        let mode = rustix::fs::Mode::from(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &place.0, mode).unwrap();
        assert!(keep(&place.0, "one").is_err() && read(&place.0).is_empty());
        let below = place.0.join("data/prompts.jsonl");
        assert!(keep(&below, "one").is_err() && read(&below).is_empty());
    }
}
