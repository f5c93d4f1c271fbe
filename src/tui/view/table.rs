//! Tables: in columns where they fit, else each row as a list of its cells.

use pulldown_cmark::Alignment;
use ratatui_core::style::Modifier;
use ratatui_core::text::{Line, Span};

use super::look::Look;
use super::wrap::{Break, fill, span, width};

const BETWEEN: &str = " │ ";
/// More columns than this are not drawn side by side.
const COLUMNS: usize = 32;

type Cell = Vec<Span<'static>>;

/// A table that is being read.
pub(super) struct Table {
    alignments: Vec<Alignment>,
    /// The heading first.
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(alignments: &[Alignment]) -> Self {
        Self { alignments: alignments.to_vec(), rows: Vec::new() }
    }

    pub(super) fn begin_row(&mut self) {
        self.rows.push(Vec::new());
    }

    pub(super) fn add(&mut self, cell: Cell) {
        if let Some(row) = self.rows.last_mut() {
            row.push(cell);
        }
    }

    /// Its lines, at most so wide.
    pub(super) fn lines(mut self, most: usize, look: Look) -> Vec<Line<'static>> {
        if let Some(heading) = self.rows.first_mut() {
            for piece in heading.iter_mut().flatten() {
                piece.style = piece.style.add_modifier(Modifier::BOLD);
            }
        }
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let wide = |at: usize| self.rows.iter().filter_map(|row| row.get(at)).map(measure).max();
        let widths: Vec<_> = (0..columns).map(|at| wide(at).unwrap_or(0)).collect();
        let total = widths.iter().sum::<usize>() + columns.saturating_sub(1) * width(BETWEEN);
        if total <= most && columns <= COLUMNS {
            self.side_by_side(&widths, look)
        } else {
            self.stacked(most, look)
        }
    }

    fn side_by_side(self, widths: &[usize], look: Look) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        for (number, row) in self.rows.into_iter().enumerate() {
            let mut cells = row.into_iter();
            let mut line = Vec::new();
            for (at, wide) in widths.iter().enumerate() {
                let cell = cells.next().unwrap_or_default();
                let blank = wide - measure(&cell).min(*wide);
                let (before, after) = match self.alignments.get(at) {
                    Some(Alignment::Right) => (blank, 0),
                    Some(Alignment::Center) => (blank / 2, blank - blank / 2),
                    _ => (0, blank),
                };
                if at > 0 {
                    line.push(span(BETWEEN, Look::muted()));
                }
                line.push(span(" ".repeat(before), look.token(super::look::Token::Plain)));
                line.extend(cell);
                line.push(span(" ".repeat(after), look.token(super::look::Token::Plain)));
            }
            lines.push(Line::from(line));
            if number == 0 {
                let rule: Vec<_> = widths.iter().map(|wide| "─".repeat(*wide)).collect();
                lines.push(Line::from(span(rule.join("─┼─"), Look::muted())));
            }
        }
        lines
    }

    fn stacked(self, most: usize, look: Look) -> Vec<Line<'static>> {
        let mut rows = self.rows.into_iter();
        let heading = rows.next().unwrap_or_default();
        let indent = [span("  ", look.token(super::look::Token::Plain))];
        let mut lines = Vec::new();
        for (number, row) in rows.enumerate() {
            if number > 0 {
                lines.push(Line::from(span("─".repeat(most.min(8)), Look::muted())));
            }
            for (at, cell) in row.into_iter().enumerate() {
                let mut pieces = heading.get(at).cloned().unwrap_or_default();
                if !pieces.is_empty() {
                    pieces.push(span(": ", Look::strong()));
                }
                pieces.extend(cell);
                lines.extend(fill(&pieces, most, &[], &indent, Break::Words));
            }
        }
        if lines.is_empty() {
            for cell in heading {
                lines.extend(fill(&cell, most, &[], &indent, Break::Words));
            }
        }
        lines
    }
}

fn measure(cell: &Cell) -> usize {
    cell.iter().map(|piece| width(&piece.content)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::look::Depth;
    use super::super::markdown::render;
    use super::*;

    const TEXT: &str = "| Name | Size |\n|:--|--:|\n| `a` | 10 |\n| 世界 long | 2000 |\n";

    fn shown(most: usize) -> String {
        let look = Look { depth: Depth::Named, is_light: false };
        let lines = render(TEXT, most, look, false).lines;
        super::super::wrap::text_of(&lines)
    }

    #[test]
    fn a_table_is_aligned_as_it_says() {
        assert_eq!(
            shown(40),
            "Name      │ Size\n──────────┼─────\na         │   10\n世界 long │ 2000\n"
        );
    }

    #[test]
    fn a_table_that_is_too_wide_is_stacked() {
        assert_eq!(shown(14), "Name: a\nSize: 10\n────────\nName: 世界\n  long\nSize: 2000\n");
    }
}
