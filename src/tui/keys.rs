//! The bytes of a terminal's keyboard as keys: the sequences of xterm and what others made of
//! them, bracketed paste, and UTF-8.
//!
//! Knows no terminal and no time: whoever reads says when nothing more follows, so that an escape
//! alone is the Escape key.

/// Longest paste that is taken; what follows is dropped.
const PASTE_BYTES: usize = 512 * 1024;
const PASTE_START: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";

/// A key without its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Char(char),
    Enter,
    Tab,
    BackTab,
    Backspace,
    Delete,
    Esc,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    F(u8),
}

/// A key as it was pressed. Shift is told of keys that are no characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) code: Code,
    pub(super) ctrl: bool,
    pub(super) alt: bool,
    pub(super) shift: bool,
}

impl Key {
    pub(super) const fn plain(code: Code) -> Self {
        Self { code, ctrl: false, alt: false, shift: false }
    }

    pub(super) const fn ctrl(c: char) -> Self {
        Self { ctrl: true, ..Self::plain(Code::Char(c)) }
    }

    const fn alt(self) -> Self {
        Self { alt: true, ..self }
    }
}

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    Key(Key),
    Paste(String),
}

/// Reads keys from bytes as they come.
#[derive(Debug, Default)]
pub(super) struct Keyboard {
    pending: Vec<u8>,
    /// What was pasted so far, within a paste.
    paste: Option<Vec<u8>>,
}

impl Keyboard {
    /// Whether the next bytes may belong to what came last.
    pub(super) fn is_waiting(&self) -> bool {
        !self.pending.is_empty() && self.paste.is_none()
    }

    /// Takes more bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], typed: &mut Vec<Typed>) {
        self.pending.extend_from_slice(bytes);
        self.take(false, typed);
    }

    /// Nothing more followed: what waits is whole.
    pub(super) fn settle(&mut self, typed: &mut Vec<Typed>) {
        self.take(true, typed);
    }

    fn take(&mut self, is_whole: bool, typed: &mut Vec<Typed>) {
        let mut at = 0;
        loop {
            if self.paste.is_some() {
                match self.pasted(at) {
                    Some((text, next)) => {
                        typed.push(Typed::Paste(text));
                        at = next;
                        continue;
                    }
                    None => return,
                }
            }
            let rest = &self.pending[at..];
            if rest.starts_with(PASTE_START) {
                at += PASTE_START.len();
                self.paste = Some(Vec::new());
                continue;
            }
            match key(rest, is_whole) {
                Some((key, length)) => {
                    typed.extend(key.map(Typed::Key));
                    at += length;
                }
                None => break,
            }
        }
        self.pending.drain(..at);
    }

    /// The paste that ends behind `at`, and where that is; else keeps what came of it.
    fn pasted(&mut self, at: usize) -> Option<(String, usize)> {
        let rest = &self.pending[at..];
        let end = rest.windows(PASTE_END.len()).position(|window| window == PASTE_END);
        // The end may have come in part.
        let whole = end.unwrap_or_else(|| rest.len().saturating_sub(PASTE_END.len() - 1));
        let paste = self.paste.get_or_insert_default();
        let room = PASTE_BYTES.saturating_sub(paste.len()).min(whole);
        paste.extend_from_slice(&rest[..room]);
        if end.is_none() {
            self.pending.drain(..at + whole);
            return None;
        }
        let bytes = self.paste.take().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n").replace('\r', "\n");
        Some((text, at + whole + PASTE_END.len()))
    }
}

/// The key at the start and its length; `None` where more bytes are needed. A sequence that means
/// nothing here is no key.
fn key(bytes: &[u8], is_whole: bool) -> Option<(Option<Key>, usize)> {
    let plain = |code| Some((Some(Key::plain(code)), 1));
    match *bytes.first()? {
        0x1b => escape(bytes, is_whole),
        b'\r' => plain(Code::Enter),
        b'\t' => plain(Code::Tab),
        0x7f => plain(Code::Backspace),
        0 => Some((Some(Key::ctrl(' ')), 1)),
        byte @ 1..=26 => Some((Some(Key::ctrl(char::from(byte + b'a' - 1))), 1)),
        byte @ 28..=31 => Some((Some(Key::ctrl(char::from(byte + b'4' - 28))), 1)),
        _ => character(bytes, is_whole),
    }
}

fn character(bytes: &[u8], is_whole: bool) -> Option<(Option<Key>, usize)> {
    let length = match bytes[0] {
        0..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Some((None, 1)),
    };
    let Some(whole) = bytes.get(..length) else { return is_whole.then_some((None, 1)) };
    match std::str::from_utf8(whole) {
        Ok(text) => {
            // Control characters of the upper range are nobody's keys.
            let c = text.chars().next().filter(|c| !c.is_control());
            Some((c.map(|c| Key::plain(Code::Char(c))), length))
        }
        Err(_) => Some((None, 1)),
    }
}

fn escape(bytes: &[u8], is_whole: bool) -> Option<(Option<Key>, usize)> {
    let alone = Some((Some(Key::plain(Code::Esc)), 1));
    match bytes.get(1) {
        None => is_whole.then_some(alone).flatten(),
        Some(b'[') if bytes.len() == 2 && is_whole => {
            Some((Some(Key::plain(Code::Char('[')).alt()), 2))
        }
        Some(b'[') => control_sequence(bytes, is_whole),
        Some(b'O') => match bytes.get(2) {
            None => is_whole.then_some((Some(Key::plain(Code::Char('O')).alt()), 2)),
            Some(last) => Some((letter(*last).map(Key::plain), 3)),
        },
        // Escape twice: the first is a key, the second may begin something.
        Some(0x1b) => alone,
        Some(_) => {
            let (key, length) = key(&bytes[1..], is_whole)?;
            Some((key.map(Key::alt), length + 1))
        }
    }
}

/// `CSI parameters final`, with the modifiers in the second parameter.
fn control_sequence(bytes: &[u8], is_whole: bool) -> Option<(Option<Key>, usize)> {
    let end = bytes[2..].iter().position(|byte| !(0x20..=0x3f).contains(byte));
    let Some(end) = end.map(|end| end + 2) else {
        return is_whole.then_some((None, bytes.len()));
    };
    // The console of Linux has F1 to F5 as `CSI [ A` to `CSI [ E`.
    if bytes[end] == b'[' && end == 2 {
        let last = *bytes.get(3)?;
        let function = (b'A'..=b'E').contains(&last).then(|| Code::F(last - b'A' + 1));
        return Some((function.map(Key::plain), 4));
    }
    let text = std::str::from_utf8(&bytes[2..end]).unwrap_or_default();
    let mut parameters = text.split(';').map(|one| one.split(':').next().unwrap_or_default());
    let first: u32 = parameters.next().and_then(|one| one.parse().ok()).unwrap_or(1);
    let modifiers: u32 = parameters.next().and_then(|one| one.parse().ok()).unwrap_or(1);
    let third: u32 = parameters.next().and_then(|one| one.parse().ok()).unwrap_or(0);
    let code = match bytes[end] {
        b'~' if first == 27 => character_code(third),
        b'~' => tilde(first),
        b'u' => character_code(first),
        b'Z' => Some(Code::BackTab),
        last => letter(last),
    };
    let bits = modifiers.saturating_sub(1);
    let key = code.map(|code| Key {
        code,
        ctrl: bits & 4 != 0,
        alt: bits & 2 != 0,
        shift: bits & 1 != 0,
    });
    Some((key, end + 1))
}

fn letter(last: u8) -> Option<Code> {
    Some(match last {
        b'A' => Code::Up,
        b'B' => Code::Down,
        b'C' => Code::Right,
        b'D' => Code::Left,
        b'H' => Code::Home,
        b'F' => Code::End,
        b'M' => Code::Enter,
        b'P'..=b'S' => Code::F(last - b'P' + 1),
        _ => return None,
    })
}

fn tilde(number: u32) -> Option<Code> {
    Some(match number {
        1 | 7 => Code::Home,
        3 => Code::Delete,
        4 | 8 => Code::End,
        5 => Code::PageUp,
        6 => Code::PageDown,
        11..=15 => Code::F(number as u8 - 10),
        17..=21 => Code::F(number as u8 - 11),
        23 | 24 => Code::F(number as u8 - 12),
        _ => return None,
    })
}

/// A key by its character, as xterm and kitty write those that have no byte of their own.
fn character_code(number: u32) -> Option<Code> {
    Some(match number {
        9 => Code::Tab,
        13 => Code::Enter,
        27 => Code::Esc,
        127 => Code::Backspace,
        _ => Code::Char(char::from_u32(number).filter(|c| !c.is_control())?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Typed> {
        let mut whole = Vec::new();
        let mut keyboard = Keyboard::default();
        keyboard.feed(bytes, &mut whole);
        keyboard.settle(&mut whole);
        // However the bytes are cut, the keys are the same.
        let mut single = Vec::new();
        let mut keyboard = Keyboard::default();
        for byte in bytes {
            keyboard.feed(&[*byte], &mut single);
        }
        keyboard.settle(&mut single);
        assert_eq!(whole, single, "{bytes:?}");
        whole
    }

    fn one(bytes: &[u8]) -> Key {
        match &keys(bytes)[..] {
            [Typed::Key(key)] => *key,
            other => panic!("{bytes:?} is {other:?}"),
        }
    }

    #[test]
    fn keys_of_every_terminal() {
        let plain = Key::plain;
        assert_eq!(one(b"\x1b"), plain(Code::Esc));
        assert_eq!(one(b"\x1bOP"), plain(Code::F(1)));
        assert_eq!(one(b"\x1b[[B"), plain(Code::F(2)));
        assert_eq!(one(b"\x1b[13~"), plain(Code::F(3)));
        assert_eq!(one(b"\x1b[24~"), plain(Code::F(12)));
        assert_eq!(one(b"\x1b[5~"), plain(Code::PageUp));
        assert_eq!(one(b"\x1b[1;5D"), Key { ctrl: true, ..plain(Code::Left) });
        assert_eq!(one(b"\x1bb"), plain(Code::Char('b')).alt());
        assert_eq!(one(b"\x1b\r"), plain(Code::Enter).alt());
        assert_eq!(one(b"\x1b[13;2u"), Key { shift: true, ..plain(Code::Enter) });
        assert_eq!(one(b"\x1b[27;5;13~"), Key { ctrl: true, ..plain(Code::Enter) });
        assert_eq!(one(b"\n"), Key::ctrl('j'));
        assert_eq!(one(b"\x1b[Z"), plain(Code::BackTab));
        assert_eq!(one("ü".as_bytes()), plain(Code::Char('ü')));
        assert_eq!(one("👋".as_bytes()), plain(Code::Char('👋')));
        assert_eq!(keys(b"\x1b[?1;2c\xff\xc3("), vec![Typed::Key(plain(Code::Char('(')))]);
        assert_eq!(keys(b"\x1b\x1b").len(), 2);
    }

    #[test]
    fn a_paste_is_one_text_with_its_lines() {
        let typed = keys(b"a\x1b[200~one\r\ntwo\rthree\x1b[31m\x1b[201~b");
        let [Typed::Key(_), Typed::Paste(text), Typed::Key(_)] = &typed[..] else {
            panic!("{typed:?}")
        };
        assert_eq!(text, "one\ntwo\nthree\x1b[31m");
    }
}
