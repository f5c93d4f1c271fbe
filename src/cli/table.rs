//! Tables for people: columns aligned, and no line wider than the terminal. Programs read JSON.

use serde_json::Value;

use crate::cli::look::{Look, fit, width};
use crate::text::plain;

/// A column: its heading, what it shows of an item, and what becomes of it where the terminal is
/// too narrow.
pub(super) struct Column {
    heading: &'static str,
    cell: fn(&Value) -> String,
    gives_way: bool,
    can_go: bool,
}

/// A column that is shown whole.
pub(super) const fn column(heading: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { heading, cell, gives_way: false, can_go: false }
}

/// A column of words, which may be cut.
pub(super) const fn words(heading: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { heading, cell, gives_way: true, can_go: false }
}

impl Column {
    /// The same, left out where there is no room for it.
    pub(super) const fn or_none(self) -> Self {
        Self { can_go: true, ..self }
    }
}

/// What is left of a column that gives way.
const LEAST: usize = 8;
/// Between two columns.
const GAP: &str = "  ";

/// A table of items, with headings; `is_faint` ones stand back.
pub(super) fn table(
    columns: &[Column],
    items: &[Value],
    is_faint: fn(&Value) -> bool,
    look: Look,
) -> String {
    let mut columns: Vec<_> = columns.iter().collect();
    let mut rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| columns.iter().map(|column| on_one_line(&(column.cell)(item))).collect())
        .collect();
    let mut widths = widths(&columns, &rows, look.width);
    // The last of them goes first.
    while let Some(most) = look.width
        && whole(&widths) > most
        && let Some(last) = columns.iter().rposition(|column| column.can_go)
    {
        columns.remove(last);
        for row in &mut rows {
            row.remove(last);
        }
        widths = self::widths(&columns, &rows, look.width);
    }
    let line = |cells: &[&str]| {
        let cells = cells.iter().zip(&widths).map(|(cell, most)| {
            let cell = fit(cell, *most);
            let room = most.saturating_sub(width(&cell));
            format!("{cell}{}", " ".repeat(room))
        });
        let line = cells.collect::<Vec<_>>().join(GAP);
        fit(line.trim_end(), look.width.unwrap_or(usize::MAX)).into_owned()
    };
    let headings: Vec<_> = columns.iter().map(|column| column.heading).collect();
    let mut text = format!("{}\n", look.bold(&line(&headings)));
    for (row, item) in rows.iter().zip(items) {
        let line = line(&row.iter().map(String::as_str).collect::<Vec<_>>());
        let line = if is_faint(item) { look.dim(&line) } else { line.as_str().into() };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// What a cell shows of a value.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What columns and the gaps between them take.
fn whole(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1)
}

/// Columns as wide as their widest cell; where that is too much, those that give way are cut, the
/// widest first.
fn widths(columns: &[&Column], rows: &[Vec<String>], most: Option<usize>) -> Vec<usize> {
    let widest = |at: usize| rows.iter().map(|row| width(&row[at])).max().unwrap_or(0);
    let mut widths: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| widest(at).max(width(column.heading)))
        .collect();
    let Some(most) = most else { return widths };
    let mut over = whole(&widths).saturating_sub(most);
    while over > 0 {
        let giving = (0..columns.len()).filter(|at| columns[*at].gives_way);
        let Some(at) = giving.max_by_key(|at| widths[*at]).filter(|at| widths[*at] > LEAST) else {
            break;
        };
        widths[at] -= 1;
        over -= 1;
    }
    widths
}

fn on_one_line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: &[Column] = &[
        column("ID", |item| word(&item["id"])),
        words("NAME", |item| word(&item["name"])),
        words("TITLE", |item| word(&item["title"])),
    ];

    fn shown(items: &[Value], columns: Option<usize>) -> Vec<String> {
        let table = table(COLUMNS, items, |_| false, Look::plain(columns));
        table.lines().map(str::to_owned).collect()
    }

    #[test]
    fn columns_are_aligned_by_what_they_take_on_a_terminal() {
        let items = [
            json!({ "id": "a", "name": "日本", "title": "first\n\tline" }),
            json!({ "id": "bcd", "name": "x", "title": null }),
        ];
        assert_eq!(
            shown(&items, None),
            ["ID   NAME  TITLE", "a    日本  first line", "bcd  x     -"]
        );
    }

    #[test]
    fn what_gives_way_is_cut_to_the_terminal() {
        let items = [json!({
            "id": "0123456789",
            "name": "quite a long name",
            "title": "Review the change to the parser of heads, and what it does to fields",
        })];
        for columns in [10, 40, 60, 80, 200] {
            for line in shown(&items, Some(columns)) {
                assert!(width(&line) <= columns, "{columns}: {line}");
            }
        }
        assert_eq!(shown(&items, Some(50))[1], "0123456789  quite a long name  Review the change…");
        assert_eq!(shown(&items, Some(30))[1], "0123456789  quite a…  Review…");
    }

    #[test]
    fn what_can_go_goes_where_there_is_no_room() {
        let columns = [
            column("ID", |item| word(&item["id"])),
            words("NAME", |item| word(&item["name"])).or_none(),
            column("SIZE", |item| word(&item["size"])).or_none(),
            column("STATE", |item| word(&item["state"])),
        ];
        let items = [json!({ "id": "0123456789", "name": "a name", "size": 7, "state": "ready" })];
        let shown = |most| {
            let table = table(&columns, &items, |_| false, Look::plain(Some(most)));
            table.lines().nth(1).unwrap_or_default().to_owned()
        };
        assert_eq!(shown(31), "0123456789  a name  7     ready");
        assert_eq!(shown(30), "0123456789  a name  ready");
        assert_eq!(shown(20), "0123456789  ready");
        assert_eq!(shown(12), "0123456789…");
    }

    #[test]
    fn nothing_in_a_cell_moves_the_cursor() {
        let items = [json!({ "id": "\u{1b}[2J\u{9b}5mx", "name": "\u{202e}y", "title": "a\rb" })];
        assert_eq!(shown(&items, None)[1], "[2J5mx  y     ab");
    }
}
