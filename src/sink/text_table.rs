//! Rows as an aligned table that never ends: its header comes once, and columns are as wide as the rows
//! so far have wanted.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::SinkRows;

/// Letters of a value that the columns behind it still stand in line for.
const WIDTH_MAX: usize = 60;

/// Letters that a number has room for from the start, so that a column seldom grows.
const NUMBER_WIDTH: usize = 9;

/// A table under way.
#[derive(Debug)]
pub(super) struct TextTable {
    heading: Option<String>,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// Numbers stand right.
    is_number: bool,
    width: usize,
}

impl TextTable {
    /// A table with these columns, and a line above its header.
    pub(super) fn new(schema: &Schema, heading: Option<String>) -> TextTable {
        let columns = schema.fields().iter().map(|field| Column {
            name: printable(field.name()),
            is_number: field.data_type().is_numeric(),
            width: match field.data_type().is_numeric() {
                true => NUMBER_WIDTH,
                false => 0,
            },
        });
        TextTable {
            heading,
            columns: columns.collect(),
        }
    }

    /// The rows as lines, under a header where one is wanted.
    pub(super) fn text(&mut self, rows: &[SinkRows], with_header: bool) -> String {
        let rows: Vec<Vec<String>> = rows.iter().flat_map(|rows| cells(&rows.rows)).collect();
        for (at, column) in self.columns.iter_mut().enumerate() {
            let cells = rows.iter().map(|row| row[at].chars().count());
            let widest = cells.filter(|width| *width <= WIDTH_MAX).max().unwrap_or(0);
            column.width = column.width.max(widest).max(column.name.chars().count());
        }
        let mut text = String::new();
        if with_header {
            if let Some(heading) = &self.heading {
                text += &format!("{heading}\n");
            }
            let names: Vec<String> = self.columns.iter().map(|c| c.name.clone()).collect();
            self.line(&names, &mut text);
            let rules = self.columns.iter().map(|c| "-".repeat(c.width + 2));
            text += &rules.collect::<Vec<_>>().join("+");
            text.push('\n');
        }
        for row in &rows {
            self.line(row, &mut text);
        }
        text
    }

    fn line(&self, cells: &[String], text: &mut String) {
        for (at, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            let width = column.width;
            text.push_str(if at == 0 { " " } else { " | " });
            *text += &match column.is_number {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
}

/// Every row's values as text; a null is empty.
fn cells(rows: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default();
    let columns: Vec<_> = rows
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).ok())
        .collect();
    let cell = |column: &Option<ArrayFormatter>, row| match column {
        Some(column) => printable(&column.value(row).to_string()),
        None => "?".to_owned(),
    };
    (0..rows.num_rows())
        .map(|row| columns.iter().map(|column| cell(column, row)).collect())
        .collect()
}

/// Text that moves no cursor: what comes from a feed is shown on a terminal.
fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let mut shown = String::new();
    for letter in text.chars() {
        match letter.is_control() {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};
    use expect_test::expect;

    use super::*;
    use crate::sink::RowTimes;

    fn rows(rows: &[(Option<&str>, f64)]) -> SinkRows {
        let names: StringArray = rows.iter().map(|(name, _)| *name).collect();
        let prices: Float64Array = rows.iter().map(|(_, price)| Some(*price)).collect();
        let columns: Vec<(&str, ArrayRef)> =
            vec![("symbol", Arc::new(names)), ("price", Arc::new(prices))];
        SinkRows {
            times: RowTimes::One(0),
            rows: RecordBatch::try_from_iter(columns).unwrap(),
        }
    }

    #[test]
    fn columns_stand_in_line_and_only_grow() {
        let first = rows(&[(Some("A"), 1.5), (None, 1234.25)]);
        let mut table = TextTable::new(&first.rows.schema(), Some("-- one".to_owned()));
        let mut text = table.text(&[first], true);
        text += &table.text(
            &[rows(&[(Some("BINANCE:BTCUSDT"), 1.0), (Some("B"), 2.0)])],
            false,
        );
        text += &table.text(&[rows(&[(Some("a\u{1b}[2J\nb"), 1.0)])], false);
        text += &table.text(
            &[rows(&[(Some(&"x".repeat(70)), 1.0), (Some("C"), 1.0)])],
            true,
        );
        expect![[r#"
            -- one
             symbol |     price
            --------+-----------
             A      |       1.5
                    |   1234.25
             BINANCE:BTCUSDT |       1.0
             B               |       2.0
             a\u{1b}[2J\nb   |       1.0
            -- one
             symbol          |     price
            -----------------+-----------
             xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx |       1.0
             C               |       1.0
        "#]]
        .assert_eq(&text);
    }
}
