//! Server-sent events, parsed from bytes that arrive in any pieces.
//!
//! Follows the event stream format of the HTML standard, section 9.2.6. Two liberties: `id` and
//! `retry` are ignored, and `Parser::finish` hands over an event whose blank line never came.
//! Every byte is looked at once; an event is bounded. Knows nothing of any provider.

/// Bytes that one event may have.
pub(crate) const MAX_EVENT: usize = 4 * 1024 * 1024;

/// One event of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// The `event:` field; empty where none was sent.
    pub(crate) name: String,
    /// The `data:` lines, joined by line feeds.
    pub(crate) data: String,
}

/// An event went over [`MAX_EVENT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than 4 MiB")]
pub(crate) struct TooLarge;

/// An incremental parser.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// A line whose end has not come yet.
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
    has_data: bool,
    /// The last line ended in CR: a LF that follows belongs to it.
    after_cr: bool,
    /// A line has been taken, so a byte order mark can no longer come.
    begun: bool,
}

impl Parser {
    /// Takes the next bytes and appends the events they complete.
    ///
    /// # Errors
    /// [`TooLarge`]; the parser is of no use after that.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), TooLarge> {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|&b| b == b'\n' || b == b'\r') else {
                self.line.extend_from_slice(rest);
                return self.bound(0);
            };
            self.after_cr = rest[end] == b'\r';
            self.bound(end)?;
            if self.line.is_empty() {
                self.take_line(&rest[..end], out);
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&rest[..end]);
                self.take_line(&line, out);
                line.clear();
                self.line = line;
            }
            rest = &rest[end + 1..];
        }
        Ok(())
    }

    /// The stream has ended: an event without its blank line is complete too.
    pub(crate) fn finish(&mut self, out: &mut Vec<Event>) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.take_line(&line, out);
        }
        self.dispatch(out);
    }

    fn bound(&self, more: usize) -> Result<(), TooLarge> {
        let size = self.line.len() + self.data.len() + self.name.len() + more;
        if size > MAX_EVENT { Err(TooLarge) } else { Ok(()) }
    }

    fn take_line(&mut self, line: &[u8], out: &mut Vec<Event>) {
        let line = if std::mem::replace(&mut self.begun, true) {
            line
        } else {
            line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
        };
        if line.is_empty() {
            self.dispatch(out);
            return;
        }
        let colon = line.iter().position(|&b| b == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            // A comment (an empty field name), `id`, `retry`, and what is not known.
            _ => {}
        }
    }

    fn dispatch(&mut self, out: &mut Vec<Event>) {
        let name = std::mem::take(&mut self.name);
        if std::mem::take(&mut self.has_data) {
            let data = String::from_utf8_lossy(&self.data).into_owned();
            self.data.clear();
            out.push(Event { name, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let (mut parser, mut out) = (Parser::default(), Vec::new());
        for piece in pieces {
            parser.feed(piece, &mut out).unwrap();
        }
        parser.finish(&mut out);
        out.into_iter().map(|e| (e.name, e.data)).collect()
    }

    fn data(text: &str) -> Vec<String> {
        parse(&[text.as_bytes()]).into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn every_line_end_separates_lines() {
        for end in ["\n", "\r", "\r\n"] {
            let text = format!("event: a{end}data: 1{end}data: 2{end}{end}data:3{end}{end}");
            assert_eq!(
                parse(&[text.as_bytes()]),
                [("a".into(), "1\n2".into()), (String::new(), "3".into())]
            );
        }
    }

    #[test]
    fn comments_marks_and_unknown_fields_are_no_events() {
        assert_eq!(data("\u{feff}: hello\n\nid: 7\nretry: 1\nnonsense\n\ndata: x\n\n"), ["x"]);
    }

    #[test]
    fn an_empty_data_line_is_an_event_and_a_missing_blank_line_is_forgiven() {
        assert_eq!(data("data\n\ndata:\n\ndata: last"), ["", "", "last"]);
    }

    #[test]
    fn only_one_space_is_dropped() {
        assert_eq!(data("data:  a: b \n\n"), [" a: b "]);
    }

    #[test]
    fn an_endless_line_and_an_endless_event_are_refused() {
        let (mut parser, mut out) = (Parser::default(), Vec::new());
        let chunk = vec![b'x'; 64 * 1024];
        let fed = (0..100).take_while(|_| parser.feed(&chunk, &mut out).is_ok()).count();
        assert!(fed <= MAX_EVENT / chunk.len());

        let mut parser = Parser::default();
        let line = [b"data: ", chunk.as_slice(), b"\n"].concat();
        let fed = (0..100).take_while(|_| parser.feed(&line, &mut out).is_ok()).count();
        assert!(fed <= MAX_EVENT / chunk.len());
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_events(
            lines in prop::collection::vec(("(data|event|id|:|x)?", ":? ?", "[a-zé: ]{0,6}", "(\n|\r|\r\n)"), 0..20),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let text = lines.iter().map(|(a, b, c, d)| [a.as_str(), b, c, d].concat()).collect::<Vec<_>>().concat();
            let bytes = text.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|i| i.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(parse(&pieces), parse(&[bytes]));
        }
    }
}
