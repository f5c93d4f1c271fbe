//! Blocks one below the other on a page: blank lines between them, and what begins each line.

use ratatui_core::text::{Line, Span};

use crate::tui::view::wrap::{Break, fill, width};

/// Deeper indents than this make no narrower text.
pub(super) const DEEPEST: usize = 8;

/// What came of a text.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) lines: Vec<Line<'static>>,
    /// Where the last block begins that surely is one, in bytes of the text and in lines: what
    /// stands before does not change when text is added.
    pub(crate) last: (usize, usize),
}

/// Where lines are put.
pub(super) struct Page {
    most: usize,
    /// Where the last line of the text begins, which may not have come whole.
    complete: usize,
    pub(super) rendered: Rendered,
    /// A block stands before the next one.
    has_before: bool,
    /// What begins each line, the outermost first.
    pub(super) indents: Vec<Span<'static>>,
    /// What begins the next line instead of the last indent.
    pub(super) marker: Option<Span<'static>>,
    /// The next block follows without a blank line.
    pub(super) is_tight: bool,
}

impl Page {
    pub(super) fn new(text: &str, most: usize, has_before: bool) -> Self {
        Self {
            most,
            complete: text.rfind('\n').map_or(0, |at| at + 1),
            rendered: Rendered::default(),
            has_before,
            indents: Vec::new(),
            marker: None,
            is_tight: false,
        }
    }

    /// Begins a block that stands in nothing else.
    pub(super) fn begin_block(&mut self, at: usize) {
        // What a line is, is known at its end: only then have the blocks before it ended.
        if at < self.complete {
            self.rendered.last = (at, self.rendered.lines.len());
        }
        if self.has_before {
            self.rendered.lines.push(Line::default());
        }
        self.has_before = true;
        self.is_tight = true;
    }

    /// A blank line between blocks that stand in the same one.
    pub(super) fn gap(&mut self) {
        if !self.is_tight {
            let (_, rest) = self.starts();
            self.rendered.lines.push(Line::from(rest));
        }
        self.is_tight = true;
    }

    /// Adds a text, in lines of the page's width.
    pub(super) fn fill(&mut self, text: &[Span<'static>]) {
        let (first, rest) = self.starts();
        self.marker = None;
        self.rendered.lines.extend(fill(text, self.most, &first, &rest, Break::Words));
    }

    /// Adds lines that are whole but for the indents.
    pub(super) fn put(&mut self, lines: Vec<Line<'static>>) {
        for line in lines {
            let (first, _) = self.starts();
            self.marker = None;
            let spans = first.into_iter().chain(line.spans).collect::<Vec<_>>();
            self.rendered.lines.push(Line::from(spans));
        }
    }

    /// Columns beside the indents.
    pub(super) fn room(&self) -> usize {
        let used: usize =
            self.indents.iter().take(DEEPEST).map(|indent| width(&indent.content)).sum();
        self.most.saturating_sub(used).max(8)
    }

    /// What begins the next line, and those after it.
    fn starts(&self) -> (Vec<Span<'static>>, Vec<Span<'static>>) {
        let rest: Vec<_> = self.indents.iter().take(DEEPEST).cloned().collect();
        let mut first = rest.clone();
        if let Some(marker) = &self.marker {
            if self.indents.len() <= DEEPEST {
                first.pop();
            }
            first.push(marker.clone());
        }
        (first, rest)
    }
}
