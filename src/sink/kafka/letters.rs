//! Dead letters as messages: a letter is a line of JSON, keyed by its place in the topic that was read.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::Deserialize;

use crate::model::Partition;
use crate::sink::SinkError;
use crate::sink::json_lines::JsonLines;

/// The column of raw bytes that are shown as text, too, where they are text.
const VALUE: &str = "value";
/// That text.
const VALUE_TEXT: &str = "value_text";

/// Writes letters as lines.
#[derive(Debug)]
pub(super) struct LetterLines(JsonLines);

/// What a line is keyed by.
#[derive(Deserialize)]
struct Keyed {
    partition: Partition,
    offset: i64,
}

impl LetterLines {
    /// Of rows of `schema`.
    pub(super) fn new(schema: &SchemaRef) -> Result<LetterLines, SinkError> {
        let text = Field::new(VALUE_TEXT, DataType::Utf8View, true);
        let fields = schema.fields().iter().map(|field| field.as_ref().clone());
        let with_text = Schema::new(fields.chain([text]).collect::<Vec<_>>());
        JsonLines::new(Arc::new(with_text), false, false).map(LetterLines)
    }

    /// Writes the rows at the end of `text`, a line each.
    pub(super) fn encode(&self, rows: &RecordBatch, text: &mut Vec<u8>) -> Result<(), SinkError> {
        self.0.write(with_text(rows), text)
    }
}

/// The key of a line's message.
pub(super) fn key(line: &[u8]) -> Result<String, serde_json::Error> {
    let keyed: Keyed = serde_json::from_slice(line)?;
    Ok(format!("{}/{}", keyed.partition, keyed.offset))
}

/// The rows with their raw value as text beside it, where it is text.
fn with_text(rows: &RecordBatch) -> Vec<ArrayRef> {
    let mut columns = rows.columns().to_vec();
    let texts = rows.column_by_name(VALUE).map(|values| {
        let values = values.as_binary_view();
        let text = |value: Option<&[u8]>| std::str::from_utf8(value?).ok().map(str::to_owned);
        StringViewArray::from_iter(values.iter().map(text))
    });
    let none = || StringViewArray::new_null(rows.num_rows());
    columns.push(Arc::new(texts.unwrap_or_else(none)));
    columns
}
