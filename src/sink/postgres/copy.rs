//! Rows → lines of `COPY … FROM STDIN` in its text form, which the server reads by each column's type.

use arrow::array::{Array, RecordBatch};

use super::errors::{Place, shown_value};
use super::values::{Column, write};
use crate::sink::SinkError;

/// Between two columns.
const TAB: char = '\t';

/// The columns of the table, and those of its key.
#[derive(Debug)]
pub(super) struct Lines {
    columns: Vec<Column>,
    key: Vec<usize>,
}

impl Lines {
    pub(super) fn new(columns: Vec<Column>, key: Vec<usize>) -> Lines {
        Lines { columns, key }
    }

    /// Whether rows replace each other.
    pub(super) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Writes a line for each row. One that the table would refuse is refused, with its key.
    pub(super) fn write(
        &self,
        rows: &RecordBatch,
        place: &Place,
        text: &mut Vec<u8>,
    ) -> Result<(), SinkError> {
        let mut value = String::new();
        for row in 0..rows.num_rows() {
            for (at, column) in self.columns.iter().enumerate() {
                if at > 0 {
                    text.push(TAB as u8);
                }
                let array = rows.column(at);
                value.clear();
                let written = match (array.is_null(row), column.not_null) {
                    (true, true) => Err("is null, and the column is NOT NULL".to_owned()),
                    (true, false) => {
                        text.extend_from_slice(b"\\N");
                        continue;
                    }
                    (false, _) => write(array, row, &column.takes, &mut value),
                };
                if let Err(why) = written {
                    return Err(self.refused(rows, row, column, &why, place));
                }
                escape(&value, text);
            }
            text.push(b'\n');
        }
        Ok(())
    }

    fn refused(
        &self,
        rows: &RecordBatch,
        row: usize,
        column: &Column,
        why: &str,
        place: &Place,
    ) -> SinkError {
        SinkError::NotWritable(format!(
            "table {} at {} cannot take a row of {}: column {} {why} (row {}). Nothing of this epoch is committed: change the SQL or the table, and start again",
            place.table,
            place.servers,
            place.sink,
            column.name,
            self.named(rows, row)
        ))
    }

    /// `symbol = BTC, window_start = 2019-…`: what tells the row apart; without a key the first columns.
    fn named(&self, rows: &RecordBatch, row: usize) -> String {
        const SHOWN: usize = 3;
        let key = match self.key.as_slice() {
            [] => (0..self.columns.len().min(SHOWN)).collect(),
            key => key.to_vec(),
        };
        let columns = key.iter().map(|&at| {
            let (name, array) = (&self.columns[at].name, rows.column(at));
            let mut value = String::new();
            let shown = match array.is_null(row) {
                true => "null".to_owned(),
                false => match write(array, row, &self.columns[at].takes, &mut value) {
                    Ok(()) => shown_value(&value),
                    Err(_) => "…".to_owned(),
                },
            };
            format!("{name} = {shown}")
        });
        columns.collect::<Vec<_>>().join(", ")
    }

    /// As [`Lines::named`], of a line that was written.
    pub(super) fn named_line(&self, line: &str) -> String {
        let values: Vec<&str> = line.trim_end_matches('\n').split(TAB).collect();
        let columns = self.columns.iter().zip(values).enumerate();
        let named = columns.filter(|(at, _)| self.key.is_empty() || self.key.contains(at));
        let named =
            named.map(|(_, (column, value))| format!("{} = {}", column.name, shown_value(value)));
        named.collect::<Vec<_>>().join(", ")
    }
}

/// As COPY wants it: what would end a column or a line has a backslash before it.
fn escape(value: &str, text: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'\\' => text.extend_from_slice(b"\\\\"),
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\r' => text.extend_from_slice(b"\\r"),
            b'\t' => text.extend_from_slice(b"\\t"),
            byte => text.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringViewArray};

    use super::super::values::Takes;
    use super::*;

    fn column(name: &str, takes: Takes, not_null: bool) -> Column {
        Column {
            name: name.to_owned(),
            takes,
            not_null,
        }
    }

    fn place() -> Place {
        Place {
            servers: "db:5432".to_owned(),
            database: "market".to_owned(),
            user: "ticks".to_owned(),
            schema: "public".to_owned(),
            table: "public.t".to_owned(),
            sink: "t".to_owned(),
            ddl: String::new(),
            leave_out: String::new(),
        }
    }

    fn batch(texts: Vec<Option<&str>>, numbers: Vec<Option<i64>>) -> RecordBatch {
        RecordBatch::try_from_iter([
            ("a", Arc::new(StringViewArray::from(texts)) as _),
            ("n", Arc::new(Int64Array::from(numbers)) as _),
        ])
        .unwrap()
    }

    fn lines() -> Lines {
        let text = column("a", Takes::Text { chars: Some(9) }, false);
        Lines::new(vec![text, column("n", Takes::All, true)], vec![1])
    }

    #[test]
    fn a_line_ends_where_its_row_does_and_a_null_is_no_text() {
        let texts = vec![Some("a\tb\nc"), Some("\\N"), None, Some(""), Some("\r\\.")];
        let numbers = (1..6).map(Some).collect();
        let mut text = Vec::new();
        lines()
            .write(&batch(texts, numbers), &place(), &mut text)
            .unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "a\\tb\\nc\t1\n\\\\N\t2\n\\N\t3\n\t4\n\\r\\\\.\t5\n"
        );
    }

    #[test]
    fn a_row_that_is_refused_is_named_by_its_key() {
        let mut text = Vec::new();
        for (texts, numbers, said) in [
            (
                Some("0123456789"),
                Some(7),
                "column a has 10 characters, the column takes 9 (row n = 7)",
            ),
            (
                Some("a"),
                None,
                "column n is null, and the column is NOT NULL (row n = null)",
            ),
        ] {
            let rows = batch(vec![texts], vec![numbers]);
            match lines().write(&rows, &place(), &mut text) {
                Err(SinkError::NotWritable(why)) => assert!(why.contains(said), "{why}"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(lines().named_line("x\\ty\t12"), "n = 12");
        assert_eq!(
            Lines::new(lines().columns, vec![]).named_line("x\t12"),
            "a = x, n = 12"
        );
    }
}
