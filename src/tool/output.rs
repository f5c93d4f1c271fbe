//! What a command prints: passed on as it comes, kept at both ends.
//!
//! Bytes become text here. A character that arrives in two pieces is held back until it is whole;
//! bytes that are no UTF-8 become U+FFFD.

use crate::text::{boundary, left_out};

/// Commands that print without end are shown live only up to here; the kept ends go on.
const STREAM_BYTES: usize = 1024 * 1024;
const STREAM_CUT: &str = "\n[too much output: the rest is not shown live]\n";

/// Collects one command's output.
pub(super) struct Output {
    /// The beginning of a character whose end is still to come.
    pending: Vec<u8>,
    head: String,
    tail: String,
    /// Bytes of text so far.
    total: usize,
    /// Bytes kept at either end.
    half: usize,
}

impl Output {
    /// An empty output of which at most `limit` bytes are kept.
    pub(super) fn new(limit: usize) -> Self {
        let half = limit.saturating_sub(left_out(usize::MAX).len()) / 2;
        Self { pending: Vec::new(), head: String::new(), tail: String::new(), total: 0, half }
    }

    /// Takes what was just read, and passes on what is complete of it.
    pub(super) fn push(&mut self, bytes: &[u8], live: &mut dyn FnMut(&str)) {
        self.pending.extend_from_slice(bytes);
        let held = match std::str::from_utf8(&self.pending) {
            Ok(_) => 0,
            Err(_) => incomplete(&self.pending),
        };
        let rest = self.pending.split_off(self.pending.len() - held);
        let ready = std::mem::replace(&mut self.pending, rest);
        self.take(&String::from_utf8_lossy(&ready), live);
    }

    /// The text that is kept, when nothing more will come.
    pub(super) fn finish(mut self, live: &mut dyn FnMut(&str)) -> String {
        let last = std::mem::take(&mut self.pending);
        self.take(&String::from_utf8_lossy(&last), live);
        self.trim_tail();
        match self.total - self.head.len() - self.tail.len() {
            0 => self.head + &self.tail,
            gap => self.head + &left_out(gap) + &self.tail,
        }
    }

    fn take(&mut self, text: &str, live: &mut dyn FnMut(&str)) {
        if text.is_empty() {
            return;
        }
        if self.total < STREAM_BYTES {
            live(text);
            if self.total + text.len() >= STREAM_BYTES {
                live(STREAM_CUT);
            }
        }
        self.total += text.len();
        let room = if self.tail.is_empty() { self.half - self.head.len() } else { 0 };
        let (head, tail) = text.split_at(boundary(text, room));
        self.head.push_str(head);
        self.tail.push_str(tail);
        if self.tail.len() > 4 * self.half {
            self.trim_tail();
        }
    }

    fn trim_tail(&mut self) {
        let mut from = self.tail.len().saturating_sub(self.half);
        while !self.tail.is_char_boundary(from) {
            from += 1;
        }
        self.tail.drain(..from);
    }
}

/// How many bytes at the end may be the beginning of a character.
fn incomplete(bytes: &[u8]) -> usize {
    (1..=bytes.len().min(3))
        .find(|back| {
            let end = &bytes[bytes.len() - back..];
            std::str::from_utf8(end)
                .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_characters_are_held_back_and_bad_bytes_are_not() {
        let mut output = Output::new(1000);
        let mut pieces = Vec::new();
        let text = "aé\u{1f600}z".as_bytes();
        for byte in text {
            output.push(&[*byte], &mut |piece| pieces.push(piece.to_owned()));
        }
        output.push(b"\xff!\xe2\x82", &mut |piece| pieces.push(piece.to_owned()));
        let whole = output.finish(&mut |piece| pieces.push(piece.to_owned()));
        assert_eq!(pieces, ["a", "é", "\u{1f600}", "z", "\u{fffd}!", "\u{fffd}"]);
        assert_eq!(whole, pieces.concat());
    }

    #[test]
    fn both_ends_are_kept_however_it_comes() {
        let text: String = "é, some characters\n".repeat(1000);
        for size in [1, 7, 500, 100_000] {
            let mut output = Output::new(1000);
            for piece in text.as_bytes().chunks(size) {
                output.push(piece, &mut |_| {});
            }
            let kept = output.finish(&mut |_| {});
            assert!(kept.len() <= 1000 && kept.len() > 900, "{}", kept.len());
            let (head, rest) = kept.split_once("\n[… ").unwrap();
            let (gap, tail) = rest.split_once(" bytes left out …]\n").unwrap();
            assert!(text.starts_with(head) && text.ends_with(tail));
            assert_eq!(head.len() + tail.len() + gap.parse::<usize>().unwrap(), text.len());
        }
    }

    #[test]
    fn endless_output_is_not_shown_live_for_ever() {
        let mut output = Output::new(1000);
        let mut live = 0;
        let mut last = String::new();
        for _ in 0..100 {
            output.push(&vec![b'x'; 64 * 1024], &mut |piece| {
                live += piece.len();
                piece.clone_into(&mut last);
            });
        }
        assert_eq!((live, &*last), (STREAM_BYTES + STREAM_CUT.len(), STREAM_CUT));
        assert!(output.finish(&mut |_| {}).contains(" bytes left out "));
    }
}
