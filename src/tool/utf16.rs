//! What a file says by its first bytes: UTF-16 is read as UTF-8, and a mark of UTF-8 is left out.

use std::io::{self, ErrorKind, Read};

/// Bytes of UTF-16 that are turned at a time.
const CHUNK: usize = 8 * 1024;

/// Reads text without its byte order mark. Halves of a character that lack the other half become
/// U+FFFD. What has no mark passes as it is.
pub(super) struct Utf8<R> {
    source: R,
    form: Form,
    /// What was read of UTF-16 and not turned: half a unit, or half a character.
    rest: Vec<u8>,
    /// What can be given, and how much of it was.
    ready: Vec<u8>,
    given: usize,
}

#[derive(Clone, Copy)]
enum Form {
    Unknown,
    AsItIs,
    Utf16(fn([u8; 2]) -> u16),
    Over,
}

impl<R: Read> Utf8<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, form: Form::Unknown, rest: Vec::new(), ready: Vec::new(), given: 0 }
    }

    fn look(&mut self) -> io::Result<Form> {
        while self.ready.len() < 3 {
            let (mut bytes, room) = ([0; 3], 3 - self.ready.len());
            match self.source.read(&mut bytes[..room]) {
                Ok(0) => break,
                Ok(read) => self.ready.extend(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let (form, mark) = match self.ready[..] {
            [0xef, 0xbb, 0xbf] => (Form::AsItIs, 3),
            [0xff, 0xfe, ..] => (Form::Utf16(u16::from_le_bytes), 2),
            [0xfe, 0xff, ..] => (Form::Utf16(u16::from_be_bytes), 2),
            _ => (Form::AsItIs, 0),
        };
        self.ready.drain(..mark);
        if let Form::Utf16(_) = form {
            self.rest.append(&mut self.ready);
        }
        Ok(form)
    }

    /// Turns one more chunk, or what is left at the end.
    fn turn(&mut self, unit: fn([u8; 2]) -> u16) -> io::Result<Form> {
        let before = self.rest.len();
        self.rest.resize(before + CHUNK, 0);
        let read = self.source.read(&mut self.rest[before..]);
        self.rest.truncate(before + *read.as_ref().unwrap_or(&0));
        let is_over = read? == 0;

        let units = self.rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let mut whole = self.rest.len() / 2 * 2;
        if !is_over
            && units.clone().next_back().is_some_and(|last| (0xd800..0xdc00).contains(&last))
        {
            whole -= 2;
        }
        self.ready.clear();
        self.given = 0;
        for found in char::decode_utf16(units.take(whole / 2)) {
            let character = found.unwrap_or(char::REPLACEMENT_CHARACTER);
            self.ready.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.rest.drain(..whole);
        if !is_over {
            return Ok(Form::Utf16(unit));
        }
        if !self.rest.is_empty() {
            self.ready.extend("\u{fffd}".as_bytes());
        }
        Ok(Form::Over)
    }
}

impl<R: Read> Read for Utf8<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.given < self.ready.len() {
                let read = (&self.ready[self.given..]).read(buffer)?;
                self.given += read;
                return Ok(read);
            }
            self.form = match self.form {
                Form::Unknown => self.look()?,
                Form::AsItIs => return self.source.read(buffer),
                Form::Utf16(unit) => self.turn(unit)?,
                Form::Over => return Ok(0),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives as many bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let room = buffer.len().min(self.1);
            self.0.read(&mut buffer[..room])
        }
    }

    fn read(bytes: &[u8], step: usize) -> Vec<u8> {
        let mut text = Vec::new();
        Utf8::new(Slow(bytes, step)).read_to_end(&mut text).unwrap();
        text
    }

    fn utf16(units: &[u16], turn: fn(u16) -> [u8; 2]) -> Vec<u8> {
        [0xfeff].iter().chain(units).copied().flat_map(turn).collect()
    }

    #[test]
    fn a_mark_is_left_out_and_nothing_else() {
        for step in 1..5 {
            assert_eq!(read(b"\xef\xbb\xbfa", step), b"a");
            assert_eq!(read(b"\xef\xbba\0\xff", step), b"\xef\xbba\0\xff");
            assert_eq!(read(b"\xef", step), b"\xef");
            assert_eq!(read(b"", step), b"");
            assert_eq!(read(b"\xff\xfe", step), b"");
            assert_eq!(read(b"\xff\xfea\0", step), b"a");
            assert_eq!(read(b"\xfe\xff\0a\0", step), "a\u{fffd}".as_bytes());
        }
    }

    #[test]
    fn a_character_across_two_chunks_stays_whole() {
        let text = format!("x{}", "😀".repeat(CHUNK));
        let units: Vec<u16> = text.encode_utf16().collect();
        assert_eq!(read(&utf16(&units, u16::to_le_bytes), usize::MAX), text.as_bytes());
    }

    proptest! {
        #[test]
        fn every_unit_is_read_as_it_should(
            units in prop::collection::vec(
                prop_oneof![0..0xffff_u16, 0xd800..0xe000_u16], 0..40,
            ),
            step in 1..7_usize,
        ) {
            let expected = String::from_utf16_lossy(&units);
            for turn in [u16::to_le_bytes, u16::to_be_bytes] {
                prop_assert_eq!(read(&utf16(&units, turn), step), expected.as_bytes());
            }
        }
    }
}
