//! Markdown as lines of a terminal: headings bold, lists with their indent, quotes with a bar, code
//! with its language and colours, tables aligned, links with their address.

mod page;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use ratatui_core::style::{Modifier, Style};
use ratatui_core::text::{Line, Span};

use super::highlight::Highlighter;
use super::look::Look;
use super::table::Table;
use super::wrap::{Break, fill, span, untabbed, width};
use page::Page;

pub(crate) use page::Rendered;

/// Renders a text, or the rest of one.
pub(crate) fn render(text: &str, most: usize, look: Look, is_rest: bool) -> Rendered {
    let mut options = Options::empty();
    options.insert(Options::ENABLE_TABLES);
    options.insert(Options::ENABLE_STRIKETHROUGH);
    options.insert(Options::ENABLE_TASKLISTS);
    let mut writer = Writer {
        look,
        page: Page::new(text, most, is_rest),
        depth: 0,
        inline: Vec::new(),
        styles: vec![Style::new()],
        lists: Vec::new(),
        code: None,
        table: None,
        links: Vec::new(),
    };
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        writer.event(event, range.start);
    }
    writer.flush();
    writer.page.rendered
}

struct Writer {
    look: Look,
    page: Page,
    /// Blocks that are open.
    depth: usize,
    /// Text of the block under way.
    inline: Vec<Span<'static>>,
    styles: Vec<Style>,
    /// The next number of each list, or none for bullets.
    lists: Vec<Option<u64>>,
    /// The language of the code under way, and its text.
    code: Option<(String, String)>,
    table: Option<Table>,
    /// The address of each open link, and where its text began.
    links: Vec<(String, usize)>,
}

impl Writer {
    fn event(&mut self, event: Event<'_>, at: usize) {
        match event {
            Event::Start(tag) => {
                if self.depth == 0 {
                    self.page.begin_block(at);
                }
                self.depth += 1;
                self.start(tag);
            }
            Event::End(tag) => {
                self.depth = self.depth.saturating_sub(1);
                self.end(tag);
            }
            Event::Text(text) => self.text(&text),
            Event::Code(text) => {
                let style = self.style().patch(self.look.code());
                // Without colours its quotes tell it from text.
                let text = if self.look.code() == Style::new() {
                    format!("`{text}`")
                } else {
                    text.into_string()
                };
                self.inline.push(span(text, style));
            }
            Event::Html(text) | Event::InlineHtml(text) => self.text(text.trim_end_matches('\n')),
            Event::SoftBreak => self.inline.push(span(" ", self.style())),
            Event::HardBreak => self.inline.push(span("\n", self.style())),
            Event::Rule => {
                if self.depth == 0 {
                    self.page.begin_block(at);
                }
                let length = self.page.room().min(40);
                self.inline.push(span("─".repeat(length), Look::muted()));
                self.flush();
            }
            Event::TaskListMarker(is_done) => {
                let box_ = if is_done { "[x] " } else { "[ ] " };
                self.inline.push(span(box_, self.style()));
            }
            Event::FootnoteReference(_) | Event::InlineMath(_) | Event::DisplayMath(_) => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.page.gap(),
            Tag::Heading { level, .. } => {
                self.page.gap();
                let style = self.style().add_modifier(Modifier::BOLD);
                let style = if level as usize <= 1 {
                    style.add_modifier(Modifier::UNDERLINED)
                } else {
                    style
                };
                self.styles.push(style);
            }
            Tag::BlockQuote(_) => {
                self.page.gap();
                self.page.indents.push(span("▎ ", Look::muted()));
            }
            Tag::CodeBlock(kind) => {
                self.flush();
                self.page.gap();
                let language = match kind {
                    CodeBlockKind::Fenced(info) => {
                        info.split([' ', ',', '{']).next().unwrap_or_default().to_owned()
                    }
                    CodeBlockKind::Indented => String::new(),
                };
                self.code = Some((language, String::new()));
            }
            Tag::List(first) => {
                self.flush();
                if self.lists.is_empty() {
                    self.page.gap();
                }
                self.lists.push(first);
                self.page.is_tight = true;
            }
            Tag::Item => {
                self.flush();
                let marker = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "• ".to_owned(),
                };
                let blanks = " ".repeat(width(&marker));
                self.page.marker = Some(span(marker, self.look.accent()));
                self.page.indents.push(span(blanks, Style::new()));
                self.page.is_tight = true;
            }
            Tag::Emphasis => self.styles.push(self.style().add_modifier(Modifier::ITALIC)),
            Tag::Strong => self.styles.push(self.style().add_modifier(Modifier::BOLD)),
            Tag::Strikethrough => {
                self.styles.push(self.style().add_modifier(Modifier::CROSSED_OUT));
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.links.push((dest_url.into_string(), self.inline.len()));
                self.styles.push(self.style().add_modifier(Modifier::UNDERLINED));
            }
            Tag::Table(alignments) => {
                self.page.gap();
                self.table = Some(Table::new(&alignments));
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.begin_row();
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => {
                self.flush();
                self.page.is_tight = false;
            }
            TagEnd::Heading(_) => {
                self.flush();
                self.styles.pop();
                self.page.is_tight = false;
            }
            TagEnd::BlockQuote(_) => {
                self.flush();
                self.page.indents.pop();
                self.page.is_tight = false;
            }
            TagEnd::CodeBlock => self.end_code(),
            TagEnd::List(_) => {
                self.lists.pop();
                self.page.is_tight = false;
            }
            TagEnd::Item => {
                if self.inline.is_empty() && self.page.marker.is_some() {
                    self.inline.push(span("", Style::new()));
                }
                self.flush();
                self.page.indents.pop();
                self.page.is_tight = true;
            }
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => _ = self.styles.pop(),
            TagEnd::Link | TagEnd::Image => {
                self.styles.pop();
                if let Some((address, from)) = self.links.pop() {
                    let shown: String = self.inline[from.min(self.inline.len())..]
                        .iter()
                        .map(|piece| &*piece.content)
                        .collect();
                    if !address.is_empty() && shown != address {
                        self.inline.push(span(format!(" ({address})"), Look::muted()));
                    }
                }
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.inline);
                if let Some(table) = &mut self.table {
                    table.add(cell);
                }
            }
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    let lines = table.lines(self.page.room(), self.look);
                    self.page.put(lines);
                }
                self.page.is_tight = false;
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((_, code)) = &mut self.code {
            code.push_str(text);
        } else {
            let style = self.style();
            self.inline.push(span(untabbed(text), style));
        }
    }

    fn end_code(&mut self) {
        let Some((language, code)) = self.code.take() else { return };
        let mut lines = Vec::new();
        if !language.is_empty() {
            lines.push(Line::from(span(language.clone(), Look::muted())));
        }
        let mut highlighter = Highlighter::new(&language, self.look);
        let indent = [span("  ", Style::new())];
        let room = self.page.room();
        for line in code.trim_end_matches('\n').split('\n') {
            let pieces = highlighter.line(&untabbed(line));
            lines.extend(fill(&pieces, room, &indent, &indent, Break::Anywhere));
        }
        self.page.put(lines);
        self.page.is_tight = false;
    }

    /// Ends the text under way.
    fn flush(&mut self) {
        if !self.inline.is_empty() {
            self.page.fill(&std::mem::take(&mut self.inline));
        }
    }

    fn style(&self) -> Style {
        self.styles.last().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::look::Depth;
    use super::page::DEEPEST;
    use super::*;

    const LOOK: Look = Look { depth: Depth::Named, is_light: false };

    fn shown(text: &str, most: usize) -> String {
        let lines = render(text, most, LOOK, false).lines;
        super::super::wrap::text_of(&lines)
    }

    #[test]
    fn blocks_of_every_kind() {
        let text = "# Title\n\nSome *text* with `code`\nand a [link](http://x.y).\n\n\
            1. one\n   - deep and long enough to wrap\n2. two\n\n> quoted\n> text\n\n\
            ```rust\nfn main() {\n\tgo();\n}\n```\n\n- [x] done\n";
        assert_eq!(
            shown(text, 30),
            "Title\n\nSome text with code and a link\n(http://x.y).\n\n1. one\n   • deep and long \
             enough to\n     wrap\n2. two\n\n▎ quoted text\n\nrust\n  fn main() {\n      go();\n  \
             }\n\n• [x] done\n"
        );
    }

    #[test]
    fn paragraphs_in_an_item_keep_their_indent() {
        assert_eq!(
            shown("- one\n\n  more\n\n      code\n- two", 40),
            "• one\n\n  more\n\n    code\n• two\n"
        );
    }

    #[test]
    fn what_was_rendered_does_not_change_with_more_text() {
        let text = "One.\n\n- a\n- b\n\n```py\nx = 1\n\ny = 2\n```\n\nTwo *three*.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nEnd.";
        let whole = render(text, 40, LOOK, false).lines;
        let (mut done, mut lines) = (0, Vec::new());
        for end in (1..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let part = render(&text[done..end], 40, LOOK, !lines.is_empty());
            let (bytes, count) = part.last;
            if end == text.len() {
                lines.extend(part.lines);
            } else {
                lines.extend(part.lines.into_iter().take(count));
                done += bytes;
            }
        }
        assert_eq!(lines, whole);
    }

    #[test]
    fn nothing_makes_it_fail_or_overflow() {
        use proptest::prelude::*;
        proptest!(|(text in "([-#>*`|\\[\\]() a-z0-9\n\t]|世|```|- |1\\. ){0,60}", most in 8_usize..60)| {
            for line in render(&text, most, LOOK, false).lines {
                prop_assert!(line.width() <= most + 2 * DEEPEST + 8, "{line:?}");
            }
        });
    }
}
