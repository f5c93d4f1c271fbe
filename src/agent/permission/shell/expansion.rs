//! What the shell puts in the place of a `$` or a backtick.

use super::{Frame, Opener, Reader};

impl Reader<'_> {
    /// An expansion. Only a plain variable is read: everything else can run a command.
    pub(super) fn dollar(&mut self) {
        let start = |c: char| c.is_ascii_alphabetic() || c == '_';
        match self.peek() {
            Some('(') => {
                self.rest.next();
                self.word().source.push_str("$(");
                self.substitute("it substitutes a command");
            }
            Some('{') => {
                self.rest.next();
                self.word().opaque = true;
                self.word().source.push_str("${");
                self.name();
                match self.next_if(|c| c == '}') {
                    Some(c) => self.word().source.push(c),
                    None => self.unread("it has an expansion"),
                }
            }
            Some(c) if start(c) => {
                self.word().opaque = true;
                self.word().source.push('$');
                self.name();
            }
            Some(c) if c.is_ascii_digit() || "?$!#@*-".contains(c) => {
                self.rest.next();
                self.word().opaque = true;
                self.word().source.extend(['$', c]);
            }
            Some('\'' | '"') if !self.here.quoted => self.unread("it has a quote of bash alone"),
            Some('[') => {
                self.unread("it has an expansion");
                self.word().opaque = true;
                self.word().source.push('$');
            }
            Some(_) | None => self.letter('$'),
        }
    }

    fn name(&mut self) {
        while let Some(c) = self.next_if(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.word().source.push(c);
        }
    }

    /// A command in a word: the word goes on behind it.
    pub(super) fn substitute(&mut self, why: &'static str) {
        self.unread(why);
        self.word().opaque = true;
        self.open(Opener::Parenthesis);
    }

    pub(super) fn backtick(&mut self) {
        self.unread("it substitutes a command");
        let open = |frame: &Frame| frame.opener == Opener::Backtick;
        if open(&self.here) || self.outer.iter().any(open) {
            while self.here.opener != Opener::Backtick {
                self.close();
            }
            self.close();
        } else {
            self.word().opaque = true;
            self.word().source.push('`');
            self.open(Opener::Backtick);
        }
    }
}
