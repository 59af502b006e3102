//! Rows as text: a line a row, as expected files have them.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, SchemaRef, TimestampNanosecondType};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use chrono::DateTime;

/// How a null is written; a text of these letters has quotes.
const NULL: &str = "null";

/// The rows of a table, as lines of CSV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Names of the columns.
    pub header: String,
    /// The rows, sorted as text: their order in the files is not part of what a case expects.
    pub lines: Vec<String>,
}

impl Rows {
    /// The rows of `batches`, which are of this schema.
    pub fn new(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Rows, ArrowError> {
        let names = schema.fields().iter().map(|field| quoted(field.name()));
        let mut lines = Vec::new();
        for batch in batches {
            for row in 0..batch.num_rows() {
                lines.push(row_text(batch, row)?);
            }
        }
        lines.sort();
        Ok(Rows {
            header: names.collect::<Vec<_>>().join(","),
            lines,
        })
    }

    /// Reads an expected file. A line break inside quotes is part of a row; empty lines are passed over.
    pub fn from_csv(text: &str) -> Rows {
        let mut in_quotes = false;
        let lines = text.split(|c| {
            in_quotes ^= c == '"';
            c == '\n' && !in_quotes
        });
        let mut lines = (lines.map(|line| line.trim_end_matches('\r')))
            .filter(|line| !line.is_empty())
            .map(str::to_string);
        let header = lines.next().unwrap_or_default();
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        Rows { header, lines }
    }

    /// An expected file: the header first.
    pub fn to_csv(&self) -> String {
        let lines = self.lines.iter().map(String::as_str);
        let lines: Vec<&str> = std::iter::once(self.header.as_str()).chain(lines).collect();
        lines.join("\n") + "\n"
    }
}

/// A row as a line of CSV: floats shortest, times in RFC 3339 (UTC), nulls as `null`.
///
/// # Errors
/// A column of a type that cannot be shown.
pub fn row_text(batch: &RecordBatch, row: usize) -> Result<String, ArrowError> {
    let cells = batch.columns().iter().map(|column| cell(column, row));
    let line = cells.collect::<Result<Vec<_>, _>>()?.join(",");
    // An empty line would be none.
    Ok(if line.is_empty() {
        "\"\"".to_string()
    } else {
        line
    })
}

fn cell(column: &dyn Array, row: usize) -> Result<String, ArrowError> {
    if column.is_null(row) {
        return Ok(NULL.to_string());
    }
    if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
        return Ok(format!("{:?}", floats.value(row)));
    }
    if let Some(ints) = column.as_primitive_opt::<Int64Type>() {
        return Ok(ints.value(row).to_string());
    }
    if let Some(times) = column.as_primitive_opt::<TimestampNanosecondType>() {
        let time = DateTime::from_timestamp_nanos(times.value(row));
        return Ok(time.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string());
    }
    Ok(quoted(&array_value_to_string(column, row)?))
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) || text == NULL {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}

/// The cells of a line of CSV, as they are written: quotes stay.
pub fn cells(line: &str) -> Vec<&str> {
    let mut in_quotes = false;
    let cells = line.split(|c| {
        in_quotes ^= c == '"';
        c == ',' && !in_quotes
    });
    cells.collect()
}

/// The name of a table's expected file.
pub fn file_name(table: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let table: String = (table.chars())
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    format!("expected.{table}.csv")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampNanosecondArray};

    use super::*;

    #[test]
    fn rows_are_read_back_as_they_were_written() {
        let texts = ["plain", "a,b", "say \"x\"", "two\nlines", "null", ""];
        let columns: [(&str, ArrayRef); 3] = [
            ("a,b", Arc::new(StringArray::from(texts.to_vec()))),
            ("x", Arc::new(Float64Array::from(vec![0.1 + 0.2; 6]))),
            ("t", Arc::new(TimestampNanosecondArray::from(vec![None; 6]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let rows = Rows::new(&batch.schema(), &[batch]).unwrap();
        let text = rows.to_csv();
        assert_eq!(
            text,
            "\"a,b\",x,t\n\"a,b\",0.30000000000000004,null\n\"null\",0.30000000000000004,null\n\
             \"say \"\"x\"\"\",0.30000000000000004,null\n\"two\nlines\",0.30000000000000004,null\n\
             ,0.30000000000000004,null\nplain,0.30000000000000004,null\n"
        );
        assert_eq!(Rows::from_csv(&text), rows);
        assert_eq!(
            Rows::from_csv(&text.replace('\n', "\r\n")).header,
            rows.header
        );
        assert_eq!(
            cells(&rows.lines[0]),
            ["\"a,b\"", "0.30000000000000004", "null"]
        );
    }

    #[test]
    fn a_row_of_one_empty_text_is_a_row() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![""]));
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        let rows = Rows::new(&batch.schema(), &[batch]).unwrap();
        assert_eq!(rows.to_csv(), "a\n\"\"\n");
        assert_eq!(Rows::from_csv(&rows.to_csv()), rows);
    }

    #[test]
    fn an_expected_file_is_named_after_its_table() {
        assert_eq!(file_name("ohlc"), "expected.ohlc.csv");
        assert_eq!(file_name("../x y"), "expected..._x_y.csv");
    }
}
