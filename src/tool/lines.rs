//! Searches what is read for the lines that a regular expression matches, a block of lines at a
//! time.

use std::io::{self, ErrorKind, Read};
use std::ops::ControlFlow;

use memchr::{memchr, memchr_iter, memrchr};
use regex_automata::Input;
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind,
};

use super::utf16::Utf8;

/// What is read at a time, as long as lines are shorter.
const BLOCK: usize = 64 * 1024;
/// A single line that takes more memory than this ends the search of its file.
const LINE_BYTES: usize = 16 * 1024 * 1024;
/// What a compiled expression may take.
const REGEX_BYTES: usize = 10 * 1024 * 1024;

/// An expression that matches within lines.
pub(super) struct Pattern {
    regex: Regex,
    /// `\A` and `\z` see where a text ends, so each line is shown to the expression by itself.
    sees_ends: bool,
}

/// How the search of a file ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything was looked at, or as much as was wanted.
    Well,
    /// There is a NUL in it.
    Binary,
}

impl Pattern {
    /// An expression in Rust's syntax, or a text to be found as it is. `^` and `$` are a line's,
    /// and `$` comes before a `\r` too.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(pattern: &str, is_literal: bool, ignores_case: bool) -> Result<Self, String> {
        let escaped;
        let pattern = if is_literal {
            escaped = regex_syntax::escape(pattern);
            &escaped
        } else {
            pattern
        };
        let parsed = ParserBuilder::new()
            .utf8(false)
            .multi_line(true)
            .crlf(true)
            .case_insensitive(ignores_case)
            .build()
            .parse(pattern)
            .map_err(|error| error.to_string())?;
        let within = within_line(parsed).ok_or(
            "it asks for the end of a line itself, and each line is searched alone: `$` stands for \
             the end of one",
        )?;
        let limits = Regex::config()
            .utf8_empty(false)
            .which_captures(WhichCaptures::Implicit)
            .nfa_size_limit(Some(REGEX_BYTES))
            .hybrid_cache_capacity(REGEX_BYTES);
        let regex = Regex::builder().configure(limits).build_from_hir(&within);
        let regex = regex.map_err(|error| match error.size_limit() {
            Some(limit) => format!("it is beyond the size limit of {limit} bytes once compiled"),
            None => error.to_string(),
        })?;
        Ok(Self { regex, sees_ends: within.properties().look_set().contains_anchor_haystack() })
    }

    /// Where the first match in a line begins.
    pub(super) fn find(&self, line: &[u8]) -> Option<usize> {
        self.regex.find(line).map(|found| found.start())
    }

    /// Calls for each line that matches, with its number from 1 on and without its end, until it
    /// breaks. The lines before a NUL may have been told when it is found.
    ///
    /// # Errors
    /// What reading failed with, and a line that is too long.
    pub(super) fn search(
        &self,
        source: impl Read,
        each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<Ended> {
        self.search_blocks(&mut Utf8::new(source), (BLOCK, LINE_BYTES), each)
    }

    fn search_blocks(
        &self,
        source: &mut dyn Read,
        (block, longest): (usize, usize),
        each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<Ended> {
        let (mut buffer, mut filled, mut number) = (vec![0; block], 0, 1);
        loop {
            if filled == buffer.len() {
                // All of it is one line without its end.
                if filled >= longest {
                    return Err(io::Error::new(ErrorKind::OutOfMemory, "a line is too long"));
                }
                buffer.resize((2 * filled).min(longest), 0);
            }
            let read = match source.read(&mut buffer[filled..]) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let new = &buffer[filled..filled + read];
            if memchr(0, new).is_some() {
                return Ok(Ended::Binary);
            }
            // The last line may go on.
            let whole = match memrchr(b'\n', new) {
                _ if read == 0 => filled,
                Some(end) => filled + end + 1,
                None => 0,
            };
            filled += read;
            if self.search_lines(&buffer[..whole], &mut number, each).is_break() || read == 0 {
                return Ok(Ended::Well);
            }
            buffer.copy_within(whole..filled, 0);
            filled -= whole;
        }
    }

    /// Searches whole lines, of which the first has the number.
    fn search_lines(
        &self,
        lines: &[u8],
        number: &mut u64,
        each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (mut at, mut counted) = (0, 0);
        while at < lines.len() {
            let Some(found) = self.next(lines, at) else { break };
            let start = memrchr(b'\n', &lines[at..found]).map_or(at, |before| at + before + 1);
            let end = memchr(b'\n', &lines[found..]).map_or(lines.len(), |end| found + end);
            // What stands behind the last line's end is no line.
            if start == lines.len() {
                break;
            }
            *number += line_ends(&lines[counted..start]);
            counted = start;
            each(*number, without_return(&lines[start..end]))?;
            at = end + 1;
        }
        *number += line_ends(&lines[counted..]);
        ControlFlow::Continue(())
    }

    /// A place in the next line that matches, from the start of a line on.
    fn next(&self, lines: &[u8], mut at: usize) -> Option<usize> {
        if !self.sees_ends {
            // No match reaches beyond its line, so its end is in the line as well.
            let found = self.regex.search_half(&Input::new(lines).range(at..));
            return found.map(|found| found.offset());
        }
        while at < lines.len() {
            let end = memchr(b'\n', &lines[at..]).map_or(lines.len(), |end| at + end);
            if self.regex.is_match(without_return(&lines[at..end])) {
                return Some(at);
            }
            at = end + 1;
        }
        None
    }
}

fn line_ends(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The same expression, whose classes (`\s`, `[^a]`) leave out the characters that end lines, so
/// that no match crosses from one to the next; `None` where nothing would be left.
fn within_line(expression: Hir) -> Option<Hir> {
    let each = |parts: Vec<Hir>| parts.into_iter().map(within_line).collect::<Option<Vec<_>>>();
    Some(match expression.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Literal(literal) => {
            if literal.0.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
                return None;
            }
            Hir::literal(literal.0)
        }
        HirKind::Class(mut class) => {
            let was_empty = class.is_empty();
            match &mut class {
                Class::Unicode(class) => {
                    let ends = ['\n', '\r'].map(|end| ClassUnicodeRange::new(end, end));
                    class.difference(&ClassUnicode::new(ends));
                }
                Class::Bytes(class) => {
                    let ends = [b'\n', b'\r'].map(|end| ClassBytesRange::new(end, end));
                    class.difference(&ClassBytes::new(ends));
                }
            }
            if class.is_empty() && !was_empty {
                return None;
            }
            Hir::class(class)
        }
        HirKind::Repetition(mut repetition) => {
            repetition.sub = Box::new(within_line(*repetition.sub)?);
            Hir::repetition(repetition)
        }
        HirKind::Capture(mut capture) => {
            capture.sub = Box::new(within_line(*capture.sub)?);
            Hir::capture(capture)
        }
        HirKind::Concat(parts) => Hir::concat(each(parts)?),
        HirKind::Alternation(parts) => Hir::alternation(each(parts)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Lines = Vec<(u64, String)>;

    fn search(
        pattern: &Pattern,
        bytes: &[u8],
        sizes: (usize, usize),
    ) -> io::Result<(Ended, Lines)> {
        let mut lines = Vec::new();
        let ended = pattern.search_blocks(&mut &bytes[..], sizes, &mut |number, line| {
            lines.push((number, String::from_utf8_lossy(line).into_owned()));
            ControlFlow::Continue(())
        });
        ended.map(|ended| (ended, lines))
    }

    fn found(pattern: &str, text: impl AsRef<[u8]>) -> Vec<u64> {
        let pattern = Pattern::new(pattern, false, false).unwrap();
        let (ended, lines) = search(&pattern, text.as_ref(), (BLOCK, LINE_BYTES)).unwrap();
        assert_eq!(ended, Ended::Well);
        lines.into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn a_match_stays_within_its_line() {
        assert_eq!(found("a[^x]+b", "a\nb\na-b\n"), [3]);
        assert_eq!(found(r"a\s+b", "a\r\nb\r\na \tb"), [3]);
        assert_eq!(found(r"a(?s:.)b", "a\nb\na\rb\naxb"), [4]);
        assert_eq!(found(r"\W", "a\r\nb!\r\n"), [2]);
        assert_eq!(found("^$", "\r\nb\n\n"), [1, 3]);
        assert_eq!(found("^", "a\n"), [1]);
        assert_eq!(found("x*", ""), [0; 0]);
        for pattern in [r"a\nb", r"a\r\n", r"[\r\n]", r"ab|\n"] {
            let error = Pattern::new(pattern, false, false).err().unwrap();
            assert!(error.contains("each line is searched alone"), "{error}");
        }
    }

    #[test]
    fn anchors_are_a_lines() {
        let text = "one\r\none two\ntwo one\n";
        assert_eq!(found("^one", text), [1, 2]);
        assert_eq!(found("one$", text), [1, 3]);
        assert_eq!(found(r"\Aone\z", text), [1]);
        assert_eq!(found(r"two\z", text), [2]);
        assert_eq!(found(r"\Atwo", "\n\ntwo"), [3]);
        assert_eq!(found(r"\bone\b", "bone\nzone one\none"), [2, 3]);
    }

    #[test]
    fn characters_are_unicodes_and_bytes_may_be_any() {
        assert_eq!(found(r"^\w+$", "größe\ngr ße\n数据\n"), [1, 3]);
        assert_eq!(found(r"^\p{Lu}\p{Ll}+$", "Ölig\nölig\nÇa\n"), [1, 3]);
        assert_eq!(found(r"\p{Han}|\p{Greek}", "abc\n数\nλ\n"), [2, 3]);
        assert_eq!(found("(?i)ÄRGER", "ärger\nArger\n"), [1]);
        assert_eq!(found(r"\p{Greek}", "a\nβ\n"), [2]);
        assert_eq!(found("a.b", b"a\xffb\na\xc3\xa9b\n"), [2]);
        assert_eq!(found(r"(?-u:a\xffb)", b"a\xffb\n"), [1]);
        let pattern = Pattern::new("STRASSE Ä", true, true).unwrap();
        let (_, lines) = search(&pattern, "Strasse ä\r\n".as_bytes(), (64, 64)).unwrap();
        assert_eq!(lines, [(1, "Strasse ä".to_owned())]);
    }

    #[test]
    fn a_line_may_be_longer_than_a_block_and_not_than_the_limit() {
        let pattern = Pattern::new("needle", false, false).unwrap();
        let text = format!("short needle\n{}needle\nneedle", "x".repeat(50));
        let numbers =
            |(_, lines): (Ended, Lines)| lines.into_iter().map(|line| line.0).collect::<Vec<_>>();
        assert_eq!(numbers(search(&pattern, text.as_bytes(), (4, 57)).unwrap()), [1, 2, 3]);
        let error = search(&pattern, text.as_bytes(), (4, 56)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    }

    #[test]
    fn a_nul_anywhere_makes_a_file_binary() {
        let pattern = Pattern::new("a", false, false).unwrap();
        for text in ["a\0", "a\na\n\0\n", "\0"] {
            for block in 1..5 {
                assert_eq!(search(&pattern, text.as_bytes(), (block, 9)).unwrap().0, Ended::Binary);
            }
        }
    }

    #[test]
    fn a_break_ends_the_search() {
        let pattern = Pattern::new("a", false, false).unwrap();
        let mut seen = 0;
        let mut source = "a\na\n".chars().map(|c| c.to_string()).collect::<String>().into_bytes();
        source.push(0xff);
        let ended = pattern.search(&source[..], &mut |_, _| {
            seen += 1;
            ControlFlow::Break(())
        });
        assert_eq!((ended.unwrap(), seen), (Ended::Well, 1));
    }

    proptest! {
        /// What one line after the other finds, whatever the size of the blocks.
        #[test]
        fn blocks_find_what_single_lines_do(
            text in r"([ab é]{0,3}(\n|\r\n|\r|)){0,12}",
            pattern in prop::sample::select(vec![
                "a", "^", "$", "^$", "a$", "^b", "b*", r"\s", "[^a]", r"\W+b", "a|^b", "(?s:.)b",
                r"\ba", r"\Ba", r"\Aa", r"b\z", "é", "a.*b", "(?i:B)$", r"\A\z",
            ]),
            block in 1..20_usize,
        ) {
            // To the expression a lone `\r` ends a line, and here it is a part of the last one.
            let text = text.trim_end_matches('\r');
            let wanted = Pattern::new(pattern, false, false).unwrap();
            let (_, lines) = search(&wanted, text.as_bytes(), (block, 1000)).unwrap();
            let ends = text.strip_suffix('\n').unwrap_or(text);
            let single: Lines = (1..)
                .zip(ends.split('\n'))
                .filter(|_| !text.is_empty())
                .map(|(number, line)| (number, line.strip_suffix('\r').unwrap_or(line).to_owned()))
                .filter(|(_, line)| wanted.find(line.as_bytes()).is_some())
                .collect();
            prop_assert_eq!(lines, single, "{:?} in {:?}", pattern, text);
        }
    }
}
