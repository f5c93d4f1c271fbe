//! Colours for code: keywords, strings, numbers, comments and called names of the usual languages,
//! line by line. A reader's help, not a parser.

use ratatui_core::text::Span;

use super::look::{Look, Token};
use super::wrap::span;

/// What differs between languages.
struct Language {
    names: &'static [&'static str],
    line_comments: &'static [&'static str],
    block_comment: Option<(&'static str, &'static str)>,
    quotes: &'static str,
    has_long_strings: bool,
    keywords: &'static str,
}

const C_BLOCK: Option<(&str, &str)> = Some(("/*", "*/"));

const LANGUAGES: &[Language] = &[
    Language {
        names: &["rust", "rs"],
        line_comments: &["//"],
        block_comment: C_BLOCK,
        quotes: "\"",
        has_long_strings: false,
        keywords: "as async await break const continue crate dyn else enum extern false fn for if \
            impl in let loop match mod move mut pub ref return self Self static struct super trait \
            true type unsafe use where while Some None Ok Err",
    },
    Language {
        names: &["python", "py", "python3"],
        line_comments: &["#"],
        block_comment: None,
        quotes: "\"'",
        has_long_strings: true,
        keywords: "and as assert async await break class continue def del elif else except False \
            finally for from global if import in is lambda match None nonlocal not or pass raise \
            return True try while with yield self",
    },
    Language {
        names: &["javascript", "js", "jsx", "typescript", "ts", "tsx", "mjs"],
        line_comments: &["//"],
        block_comment: C_BLOCK,
        quotes: "\"'`",
        has_long_strings: false,
        keywords: "abstract as async await break case catch class const continue debugger default \
            delete do else enum export extends false finally for from function get if implements \
            import in instanceof interface let new null of private protected public readonly \
            return set static super switch this throw true try type typeof undefined var void \
            while with yield string number boolean",
    },
    Language {
        names: &["go", "golang"],
        line_comments: &["//"],
        block_comment: C_BLOCK,
        quotes: "\"'`",
        has_long_strings: false,
        keywords: "break case chan const continue default defer else fallthrough false for func go \
            goto if import interface iota map nil package range return select string struct \
            switch true type var int error bool byte",
    },
    Language {
        names: &[
            "c", "cpp", "c++", "h", "hpp", "java", "cs", "csharp", "kotlin", "kt", "swift",
            "scala", "php", "dart", "zig",
        ],
        line_comments: &["//"],
        block_comment: C_BLOCK,
        quotes: "\"'",
        has_long_strings: false,
        keywords: "abstract auto bool boolean break case catch char class const continue default \
            delete do double else enum extends extern false final finally float for fun func goto \
            guard if implements import include inline int interface internal let long namespace \
            new nil null nullptr operator override package private protected public register \
            return short signed sizeof static string struct super switch template this throw \
            throws true try typedef union unsigned using val var virtual void volatile when where \
            while",
    },
    Language {
        names: &["bash", "sh", "shell", "zsh", "console", "fish", "dockerfile", "makefile"],
        line_comments: &["#"],
        block_comment: None,
        quotes: "\"'",
        has_long_strings: false,
        keywords: "case do done elif else esac export fi for function if in local return set \
            select shift source then trap unset until while FROM RUN CMD COPY ENV ENTRYPOINT \
            WORKDIR EXPOSE ARG USER cd echo exit sudo",
    },
    Language {
        names: &["json", "jsonc", "yaml", "yml", "toml", "ini", "env"],
        line_comments: &["#", "//"],
        block_comment: None,
        quotes: "\"'",
        has_long_strings: false,
        keywords: "true false null yes no",
    },
    Language {
        names: &["sql"],
        line_comments: &["--"],
        block_comment: C_BLOCK,
        quotes: "'\"",
        has_long_strings: false,
        keywords: "select from where and or not null insert into values update set delete create \
            table index view drop alter add join left right inner outer on group by order having \
            limit offset as distinct union all primary key foreign references default in like is \
            case when then else end SELECT FROM WHERE AND OR NOT NULL INSERT INTO VALUES UPDATE \
            SET DELETE CREATE TABLE INDEX VIEW DROP ALTER ADD JOIN LEFT RIGHT INNER OUTER ON GROUP \
            BY ORDER HAVING LIMIT OFFSET AS DISTINCT UNION ALL PRIMARY KEY FOREIGN REFERENCES \
            DEFAULT IN LIKE IS CASE WHEN THEN ELSE END",
    },
    Language {
        names: &["ruby", "rb", "elixir", "ex", "perl", "pl", "lua", "r"],
        line_comments: &["#", "--"],
        block_comment: None,
        quotes: "\"'",
        has_long_strings: false,
        keywords: "alias and begin break case class def defmodule do else elsif end ensure false \
            fn for function if in local module my next nil not or our package puts raise redo \
            require rescue return self sub super then true unless until use when while yield",
    },
    Language {
        names: &["html", "xml", "svg", "vue"],
        line_comments: &[],
        block_comment: Some(("<!--", "-->")),
        quotes: "\"'",
        has_long_strings: false,
        keywords: "",
    },
    Language {
        names: &["css", "scss", "less"],
        line_comments: &[],
        block_comment: C_BLOCK,
        quotes: "\"'",
        has_long_strings: false,
        keywords: "important media import supports root auto none inherit",
    },
];

/// Where a line begins.
enum Within {
    Code,
    Comment(&'static str),
    Text(&'static str),
}

/// Colours the lines of one piece of code.
pub(crate) struct Highlighter {
    is_diff: bool,
    language: Option<&'static Language>,
    within: Within,
    look: Look,
}

impl Highlighter {
    /// For a language by its name or its files' extension; another one stays plain.
    pub(crate) fn new(name: &str, look: Look) -> Self {
        let name = name.to_ascii_lowercase();
        let language = LANGUAGES.iter().find(|language| language.names.contains(&&*name));
        let is_diff = matches!(&*name, "diff" | "patch");
        Self { is_diff, language, within: Within::Code, look }
    }

    /// For a file by its path.
    pub(crate) fn of_path(path: &str, look: Look) -> Self {
        let name = path.rsplit('/').next().unwrap_or_default();
        Self::new(name.rsplit('.').next().unwrap_or_default(), look)
    }

    /// The pieces of the next line.
    pub(crate) fn line(&mut self, line: &str) -> Vec<Span<'static>> {
        if self.is_diff {
            let style = match line.chars().next() {
                Some('+') => self.look.ok(),
                Some('-') => self.look.err(),
                Some('@') => Look::muted(),
                _ => self.look.token(Token::Plain),
            };
            return vec![span(line, style)];
        }
        let Some(language) = self.language else {
            return vec![span(line, self.look.token(Token::Plain))];
        };
        let mut pieces = Vec::new();
        let mut rest = line;
        while !rest.is_empty() {
            let (token, length) = match self.within {
                Within::Comment(end) => self.until(rest, end, Token::Comment),
                Within::Text(end) => self.until(rest, end, Token::Text),
                Within::Code => self.next(language, rest),
            };
            pieces.push(span(&rest[..length], self.look.token(token)));
            rest = &rest[length..];
        }
        pieces
    }

    fn until(&mut self, rest: &str, end: &str, token: Token) -> (Token, usize) {
        match rest.find(end) {
            Some(at) => {
                self.within = Within::Code;
                (token, at + end.len())
            }
            None => (token, rest.len()),
        }
    }

    /// What stands at the start, and its length.
    fn next(&mut self, language: &Language, rest: &str) -> (Token, usize) {
        if let Some((start, end)) = language.block_comment
            && rest.starts_with(start)
        {
            self.within = Within::Comment(end);
            let (token, length) = self.until(&rest[start.len()..], end, Token::Comment);
            return (token, length + start.len());
        }
        if language.line_comments.iter().any(|start| rest.starts_with(start)) {
            return (Token::Comment, rest.len());
        }
        if language.has_long_strings {
            for quotes in ["\"\"\"", "'''"] {
                if rest.starts_with(quotes) {
                    self.within = Within::Text(quotes);
                    let (token, length) = self.until(&rest[3..], quotes, Token::Text);
                    return (token, length + 3);
                }
            }
        }
        let Some(first) = rest.chars().next() else { return (Token::Plain, 0) };
        if language.quotes.contains(first) {
            return (Token::Text, quoted(rest, first));
        }
        if first.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_');
            return (Token::Number, end.unwrap_or(rest.len()));
        }
        if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let word = &rest[..end];
            let token = if language.keywords.split_whitespace().any(|known| known == word) {
                Token::Keyword
            } else if rest[end..].starts_with('(') {
                Token::Name
            } else {
                Token::Plain
            };
            return (token, end);
        }
        let special = |c: char| {
            c.is_alphanumeric()
                || c == '_'
                || language.quotes.contains(c)
                || language.line_comments.iter().any(|start| start.starts_with(c))
                || language.block_comment.is_some_and(|(start, _)| start.starts_with(c))
        };
        let more = rest[first.len_utf8()..].find(special);
        (Token::Plain, more.map_or(rest.len(), |at| at + first.len_utf8()))
    }
}

/// The length of a string that begins here and ends in this line.
fn quoted(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::super::look::Depth;
    use super::*;

    fn tokens(language: &str, lines: &[&str]) -> Vec<(String, Token)> {
        let look = Look { depth: Depth::Named, is_light: false };
        let mut highlighter = Highlighter::new(language, look);
        let all = [Token::Keyword, Token::Text, Token::Number, Token::Name, Token::Comment];
        let token = |one: &Span<'_>| all.into_iter().find(|t| look.token(*t) == one.style);
        let pieces = lines.iter().flat_map(|line| highlighter.line(line)).collect::<Vec<_>>();
        let named = pieces.iter().filter_map(|one| Some((one.content.to_string(), token(one)?)));
        named.collect()
    }

    #[test]
    fn words_strings_numbers_and_comments() {
        assert_eq!(
            tokens("rust", &["pub fn go(x: u8) -> &str { \"a\\\"b\" } // 42", "/* a", "b */ 7"]),
            [
                ("pub", Token::Keyword),
                ("fn", Token::Keyword),
                ("go", Token::Name),
                ("\"a\\\"b\"", Token::Text),
                ("// 42", Token::Comment),
                ("/* a", Token::Comment),
                ("b */", Token::Comment),
                ("7", Token::Number),
            ]
            .map(|(text, token)| (text.to_owned(), token))
        );
        let doc = tokens("py", &["\"\"\"one", "two\"\"\" + 'x'"]);
        assert!(doc.iter().all(|(_, token)| *token == Token::Text), "{doc:?}");
    }

    #[test]
    fn every_line_is_given_whole() {
        use proptest::prelude::*;
        proptest!(|(line in "\\PC{0,40}", which in 0..LANGUAGES.len())| {
            let look = Look { depth: Depth::Named, is_light: false };
            let mut highlighter = Highlighter::new(LANGUAGES[which].names[0], look);
            let given: String = highlighter.line(&line).iter().map(|s| s.content.to_string()).collect();
            prop_assert_eq!(given, line);
        });
    }
}
