//! The text of a configuration file as a located tree: JSON with comments and trailing commas.

use std::collections::HashMap;
use std::sync::Arc;

use jsonc_parser::ast;
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, ParseOptions, ParseStringErrorKind, parse_to_ast};

use super::error::Report;
use super::origin::{ConfigFile, Origin};
use super::tree::{Entry, Node, Text, Tree};

/// Comments and trailing commas, and otherwise JSON as every other tool reads it.
const DIALECT: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Reads a file's text; an empty one is an empty object. None when an error was reported.
pub(super) fn parse(text: &str, file: &Arc<ConfigFile>, report: &mut Report) -> Option<Node> {
    let mut reader = Reader { lines: Lines::of(text), file, report };
    match parse_to_ast(text, &CollectOptions::default(), &DIALECT) {
        Ok(parsed) => match parsed.value {
            Some(value @ ast::Value::Object(_)) => Some(reader.node(value)),
            Some(other) => {
                let origin = reader.origin(other.range());
                reader.report.error(
                    origin,
                    "expected an object, { … }, as the whole of the file; put the settings in braces",
                );
                None
            }
            None => Some(Node::empty(reader.origin(Range::new(0, 0)))),
        },
        Err(error) => {
            let origin = reader.origin(error.range());
            reader.report.error(origin, in_plain_words(error.kind()));
            None
        }
    }
}

struct Reader<'a> {
    lines: Lines<'a>,
    file: &'a Arc<ConfigFile>,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn origin(&self, range: Range) -> Origin {
        let (line, column) = self.lines.place(range.start);
        Origin::File { file: Arc::clone(self.file), line, column }
    }

    /// The parser bounds the depth, so this may recurse.
    fn node(&mut self, value: ast::Value<'_>) -> Node {
        let origin = self.origin(value.range());
        let value = match value {
            ast::Value::NullKeyword(_) => Tree::Null,
            ast::Value::BooleanLit(literal) => Tree::Bool(literal.value),
            ast::Value::StringLit(literal) => Tree::Text(Text::plain(literal.value)),
            ast::Value::NumberLit(literal) => {
                if let Ok(number) = serde_json::from_str(literal.value) {
                    Tree::Number(number)
                } else {
                    self.report.error(&origin, "this number is too large to be read");
                    Tree::Null
                }
            }
            ast::Value::Array(array) => {
                Tree::List(array.elements.into_iter().map(|element| self.node(element)).collect())
            }
            ast::Value::Object(object) => Tree::Object(self.entries(object)),
        };
        Node { origin, value }
    }

    fn entries(&mut self, object: ast::Object<'_>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::with_capacity(object.properties.len());
        let mut places = HashMap::new();
        for property in object.properties {
            let origin = self.origin(property.range);
            let key = property.name.into_string();
            let node = self.node(property.value);
            if let Some(&place) = places.get(&key) {
                let earlier: &mut Entry = &mut entries[place];
                self.report.warn(
                    &origin,
                    format_args!(
                        "\"{key}\" is written twice and only this one counts; delete that of {}",
                        earlier.origin
                    ),
                );
                *earlier = Entry { key, origin, node };
            } else {
                places.insert(key.clone(), entries.len());
                entries.push(Entry { key, origin, node });
            }
        }
        entries
    }
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let after = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(i, _)| i + 1);
        Self { text, starts: std::iter::once(0).chain(after).collect() }
    }

    /// Line and column of a byte, from 1.
    fn place(&self, byte: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|&start| start <= byte);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..byte).unwrap_or("");
        (line, before.chars().count() + 1)
    }
}

/// What is wrong and how to mend it, for somebody who does not think in tokens.
fn in_plain_words(kind: &ParseErrorKind) -> String {
    let words = match kind {
        ParseErrorKind::ExpectedComma => {
            "expected a comma after this value, before the next one begins"
        }
        ParseErrorKind::ExpectedColonAfterObjectKey => {
            "expected a colon and a value after this key, as in \"key\": value"
        }
        ParseErrorKind::ExpectedObjectValue => {
            "expected a value after the colon: a text in double quotes, a number, true, false, a list or an object"
        }
        ParseErrorKind::ExpectedStringObjectProperty => "expected a key in double quotes",
        ParseErrorKind::SingleQuotedStringsNotAllowed => {
            "expected double quotes around texts and keys, not single ones"
        }
        ParseErrorKind::UnexpectedWord => {
            "expected a value; a text needs double quotes around it, and true, false and null are written small"
        }
        ParseErrorKind::UnterminatedObject => {
            "the object that begins here is never closed; expected a } at its end"
        }
        ParseErrorKind::UnterminatedArray => {
            "the list that begins here is never closed; expected a ] at its end"
        }
        ParseErrorKind::UnterminatedCommentBlock => {
            "the comment that begins here is never closed; expected */ at its end"
        }
        ParseErrorKind::MultipleRootJsonValues => {
            "expected the end of the file; something follows the closing brace"
        }
        ParseErrorKind::UnexpectedCloseBrace => "expected a value before this }",
        ParseErrorKind::UnexpectedCloseBracket => "expected a value before this ]",
        ParseErrorKind::UnexpectedColon => "expected a value, not a colon",
        ParseErrorKind::UnexpectedComma => {
            "expected a value before this comma; is there one comma too many?"
        }
        ParseErrorKind::UnexpectedTokenInObject => {
            "expected a key in double quotes, or a } that closes the object"
        }
        ParseErrorKind::UnexpectedToken => {
            "expected a value: a text in double quotes, a number, true, false, a list or an object"
        }
        ParseErrorKind::ExpectedDigit
        | ParseErrorKind::ExpectedDigitFollowingNegativeSign
        | ParseErrorKind::ExpectedPlusMinusOrDigitInNumberLiteral
        | ParseErrorKind::BareDecimalPointNumbersNotAllowed
        | ParseErrorKind::HexadecimalNumbersNotAllowed
        | ParseErrorKind::NonFiniteNumbersNotAllowed
        | ParseErrorKind::UnaryPlusNumbersNotAllowed => {
            "expected a number in plain decimal digits, such as 4096 or 0.5"
        }
        ParseErrorKind::NestingDepthExceeded => "expected fewer levels of lists and objects",
        ParseErrorKind::String(ParseStringErrorKind::UnterminatedStringLiteral) => {
            "this text is never closed; expected a double quote at its end, on the same line"
        }
        ParseErrorKind::String(_) => {
            "expected a valid escape after the backslash: \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u and four digits; a backslash itself is written \\\\"
        }
        ParseErrorKind::CommentsNotAllowed | ParseErrorKind::TrailingCommasNotAllowed => {
            return kind.to_string();
        }
    };
    words.to_owned()
}
