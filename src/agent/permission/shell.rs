//! A conservative reader of shell command lines.
//!
//! It tells the simple commands of a line apart. What it does not know for certain to be plain
//! (an expansion that runs something, a control structure, a redirection to a file) makes the
//! line *unread*, with the reason; it goes on all the same, so that what can be seen in it can be
//! held against the rules. It knows neither rules nor programs.
//!
//! What is nested is kept on a stack of its own, never on the machine's.

mod expansion;

use std::str::Chars;

/// Deeper nesting is not read.
const DEPTH: usize = 100;

/// A word of a command.
#[derive(Debug, Clone, Default)]
pub(super) struct Word {
    /// As it is written.
    pub(super) source: String,
    /// Without quotes, escapes and expansions.
    pub(super) bare: String,
    /// Whether the shell puts something into it that is not to be seen here.
    pub(super) opaque: bool,
}

impl Word {
    /// Whether it is exactly what is written.
    pub(super) fn is_plain(&self) -> bool {
        !self.opaque && self.source == self.bare
    }
}

/// A command line, taken apart.
#[derive(Debug)]
pub(super) struct Line {
    /// Its simple commands, none of them empty; of an unread line, what was seen.
    pub(super) commands: Vec<Vec<Word>>,
    /// Why it is not certain that these are all.
    pub(super) unread: Option<&'static str>,
}

/// Takes a command line apart.
pub(super) fn read(line: &str) -> Line {
    let mut reader = Reader {
        rest: line.chars(),
        outer: Vec::new(),
        here: Frame::new(Opener::Line),
        line: Line { commands: Vec::new(), unread: None },
    };
    while let Some(c) = reader.rest.next() {
        if reader.here.quoted {
            reader.quoted(c);
        } else {
            reader.plain(c);
        }
        if reader.outer.len() > DEPTH {
            reader.unread("it nests too deeply");
            break;
        }
    }
    reader.finish();
    reader.line
}

/// What a nested part of the line began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opener {
    Line,
    Parenthesis,
    Backtick,
}

/// What the next word is the target of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Redirection {
    File,
    Descriptor,
}

/// What a command ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Another command must follow: `&&`, `||`, `|`.
    Joined,
    /// `;` or `&`.
    Separated,
    /// A line's end, or the end of a nested part.
    Closed,
}

/// A part of the line that is being read: all of it, or what stands nested in a word of another.
struct Frame {
    opener: Opener,
    words: Vec<Word>,
    word: Option<Word>,
    /// Inside of `"…"`.
    quoted: bool,
    redirection: Option<Redirection>,
    /// A command must still come.
    wanting: bool,
}

impl Frame {
    fn new(opener: Opener) -> Self {
        Self {
            opener,
            words: Vec::new(),
            word: None,
            quoted: false,
            redirection: None,
            wanting: false,
        }
    }
}

struct Reader<'a> {
    rest: Chars<'a>,
    outer: Vec<Frame>,
    here: Frame,
    line: Line,
}

impl Reader<'_> {
    fn unread(&mut self, why: &'static str) {
        self.line.unread.get_or_insert(why);
    }

    fn word(&mut self) -> &mut Word {
        self.here.word.get_or_insert_default()
    }

    /// The next character: a line that goes on in the next one may do so inside an operator.
    fn peek(&mut self) -> Option<char> {
        loop {
            let mut ahead = self.rest.clone();
            match (ahead.next(), ahead.next()) {
                (Some('\\'), Some('\n')) => self.rest = ahead,
                (next, _) => return next,
            }
        }
    }

    fn next_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let next = self.peek().filter(|c| wanted(*c))?;
        self.rest.next();
        Some(next)
    }

    /// A character that stands for itself.
    fn letter(&mut self, c: char) {
        let word = self.word();
        word.source.push(c);
        word.bare.push(c);
    }

    /// A character inside of `"…"`.
    fn quoted(&mut self, c: char) {
        match c {
            '"' => {
                self.here.quoted = false;
                self.word().source.push(c);
            }
            '\\' => match self.rest.clone().next() {
                Some('$' | '`' | '"' | '\\' | '\n') => self.escaped(),
                Some(_) | None => self.letter(c),
            },
            '$' => self.dollar(),
            '`' => self.backtick(),
            c => self.letter(c),
        }
    }

    /// A character outside of quotes.
    fn plain(&mut self, c: char) {
        match c {
            ' ' | '\t' => self.end_word(),
            '\n' => self.end_command(End::Closed),
            ';' => {
                if self.next_if(|c| matches!(c, ';' | '&')).is_some() {
                    self.unread("it has a control structure");
                }
                self.end_command(End::Separated);
            }
            '&' => match self.peek() {
                Some('&') => self.operator(End::Joined),
                Some('>') => {
                    self.end_word();
                    self.rest.next();
                    self.next_if(|c| c == '>');
                    self.redirect(Redirection::File);
                }
                Some(_) | None => self.end_command(End::Separated),
            },
            '|' => match self.peek() {
                Some('|' | '&') => self.operator(End::Joined),
                Some(_) | None => self.end_command(End::Joined),
            },
            '(' => {
                self.unread("it has a subshell or a function");
                self.end_command(End::Closed);
                self.open(Opener::Parenthesis);
            }
            ')' if self.here.opener == Opener::Parenthesis => self.close(),
            ')' => {
                self.unread("its parentheses do not match");
                self.end_command(End::Closed);
            }
            '<' | '>' => self.redirection(c),
            '\'' => self.single_quoted(),
            '"' => {
                self.here.quoted = true;
                self.word().source.push(c);
            }
            '\\' => self.escaped(),
            '$' => self.dollar(),
            '`' => self.backtick(),
            '#' if self.here.word.is_none() => {
                // The line's end is still one, after a backslash too.
                let text = self.rest.as_str();
                self.rest = text[text.find('\n').unwrap_or(text.len())..].chars();
            }
            // The place that `find` and `xargs` fill.
            '{' if self.next_if(|c| c == '}').is_some() => {
                self.letter(c);
                self.letter('}');
            }
            // Names of files, or several words out of one.
            '*' | '?' | '[' | '{' => {
                self.letter(c);
                self.word().opaque = true;
            }
            c => self.letter(c),
        }
    }

    /// The second character of an operator that has two.
    fn operator(&mut self, end: End) {
        self.rest.next();
        self.end_command(end);
    }

    /// What comes after a backslash.
    fn escaped(&mut self) {
        match self.rest.next() {
            // The line goes on.
            Some('\n') => {}
            Some(c) => {
                self.word().source.push('\\');
                self.letter(c);
            }
            None => self.unread("it ends in a backslash"),
        }
    }

    fn single_quoted(&mut self) {
        self.word().source.push('\'');
        loop {
            match self.rest.next() {
                Some('\'') => break,
                Some(c) => self.letter(c),
                None => return self.unread("its quotes do not match"),
            }
        }
        self.word().source.push('\'');
    }

    fn open(&mut self, opener: Opener) {
        let outer = std::mem::replace(&mut self.here, Frame::new(opener));
        self.outer.push(outer);
    }

    fn close(&mut self) {
        self.end_command(End::Closed);
        if let Some(outer) = self.outer.pop() {
            self.here = outer;
        }
    }

    fn redirection(&mut self, first: char) {
        let digits = |word: &Word| word.source.bytes().all(|b| b.is_ascii_digit());
        if self.here.word.as_ref().is_some_and(digits) {
            self.here.word = None;
        }
        match self.peek() {
            Some('(') => {
                self.rest.next();
                self.word().source.extend([first, '(']);
                self.substitute("it substitutes a process");
                return;
            }
            Some('<') if first == '<' => self.unread("it has a here-document"),
            Some(_) | None => {}
        }
        self.end_word();
        let kind = match self.next_if(|c| matches!(c, '<' | '>' | '|' | '&')) {
            Some('&') => Redirection::Descriptor,
            Some(_) | None => Redirection::File,
        };
        self.redirect(kind);
    }

    fn redirect(&mut self, kind: Redirection) {
        if self.here.redirection.replace(kind).is_some() {
            self.unread("it has a redirection without a target");
        }
    }

    fn end_word(&mut self) {
        let Some(word) = self.here.word.take() else { return };
        if let Some(kind) = self.here.redirection.take() {
            let number = |text: &str| {
                text == "-" || !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
            };
            let descriptor = kind == Redirection::Descriptor && number(&word.source);
            if !descriptor && word.source != "/dev/null" {
                self.unread("it redirects to or from a file");
            }
            return;
        }
        if self.here.words.is_empty() {
            if KEYWORDS.contains(&&*word.source) {
                self.unread("it has a control structure");
                return;
            }
            if is_assignment(&word.source) {
                self.unread("it sets a variable");
                return;
            }
            if word.opaque || word.bare.is_empty() {
                self.unread("its program is not plain");
            }
        }
        self.here.words.push(word);
    }

    fn end_command(&mut self, end: End) {
        self.end_word();
        if self.here.redirection.take().is_some() {
            self.unread("it has a redirection without a target");
        }
        let words = std::mem::take(&mut self.here.words);
        let wanting = std::mem::replace(&mut self.here.wanting, end == End::Joined);
        if !words.is_empty() {
            self.line.commands.push(words);
        } else if end != End::Closed {
            self.unread("a command is missing in it");
        } else {
            // Lines may be empty, between two joined commands too.
            self.here.wanting = wanting;
        }
    }

    fn finish(&mut self) {
        loop {
            if self.here.quoted {
                self.unread("its quotes do not match");
            }
            self.end_command(End::Closed);
            if self.here.wanting {
                self.unread("a command is missing in it");
            }
            let Some(outer) = self.outer.pop() else { return };
            self.unread("its parentheses do not match");
            self.here = outer;
        }
    }
}

/// Words that are no program where a command begins.
const KEYWORDS: [&str; 23] = [
    "!", "{", "}", "[[", "]]", "if", "then", "elif", "else", "fi", "case", "esac", "for", "select",
    "while", "until", "do", "done", "in", "function", "time", "coproc", "-p",
];

/// `NAME=`, `NAME+=` and `NAME[…]=`.
fn is_assignment(word: &str) -> bool {
    let name = word.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let length = word.len() - name.len();
    let named = length > 0 && !word.starts_with(|c: char| c.is_ascii_digit());
    named && (name.starts_with('=') || name.starts_with("+=") || name.starts_with('['))
}

#[cfg(test)]
mod tests;
