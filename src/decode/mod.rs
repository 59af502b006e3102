//! Frames → Arrow, by the table's declared schema. Never fails: rows and rejects.
//!
//! After the source, before the query. A frame first takes the quick way: straight from its bytes
//! into the column builders. Whatever is not plain there is rolled back and walked again with care:
//! only that way finds out what is wrong, where, and which neighbours are good. Both ways put values
//! into columns through the same functions, so that they cannot differ in what a value means.
//!
//! What a JSON value becomes follows Arroyo's decoder: a numeric string is a number, a number for an
//! integer column loses its fraction, BYTEA is base64, a time is RFC 3339 text or a number in the
//! column's unit, a JSON column holds the value's own text (`null` included). Unlike there, NaN,
//! infinities and numbers out of the column's range are refused.

mod careful;
mod column;
mod decimal;
mod layout;
mod quick;
mod scan;
mod text;
mod value;

#[cfg(test)]
mod tests;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use crate::model::{Reject, RejectReason};
use column::{Column, Object};

/// The only column of [`Format::RawString`].
pub const RAW_STRING_COLUMN: &str = "value";

/// How a frame's bytes become columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a frame; columns by field name.
    Json,
    /// The whole frame as text in the one column `value`.
    RawString,
}

/// A schema that cannot be decoded into.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A column type without a decoder.
    #[error("column {column}: {data_type} cannot be read from {format:?}")]
    Unsupported {
        /// Path of the column.
        column: String,
        /// Its type.
        data_type: String,
        /// The table's format.
        format: Format,
    },
}

/// Collects frames into columns; one row a frame.
///
/// Invariant: between calls every column holds exactly [`Decoder::rows`] values.
pub struct Decoder {
    schema: SchemaRef,
    format: Format,
    object: Object,
    rows: usize,
}

impl Decoder {
    /// A decoder for the columns of `schema` (only those that the query uses).
    ///
    /// # Errors
    /// A column of a type that the format has no value for.
    pub fn new(schema: SchemaRef, format: Format) -> Result<Decoder, DecodeError> {
        let columns = schema
            .fields()
            .iter()
            .map(|field| match format {
                Format::Json => Column::json(field),
                Format::RawString => Column::raw_string(field),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Decoder {
            schema,
            format,
            object: Object::new(columns),
            rows: 0,
        })
    }

    /// Decodes one frame. True: one row was appended (elements that were refused are left out of it
    /// and pushed to `rejects`). False: nothing was appended and one reject for the frame was pushed.
    ///
    /// An element is one of an outermost array: what is wrong deeper inside refuses the element as a
    /// whole, and what is wrong outside of arrays the frame. Of a repeated key the last value counts.
    pub fn push(&mut self, payload: Option<&[u8]>, rejects: &mut Vec<Reject>) -> bool {
        let mark = rejects.len();
        let outcome = match self.format {
            Format::Json => self.push_json(payload, rejects),
            Format::RawString => raw_text(payload).and_then(|text| self.push_raw(text)),
        };
        match outcome {
            Ok(()) => {
                self.rows += 1;
                true
            }
            Err(reject) => {
                self.roll_back();
                rejects.truncate(mark);
                rejects.push(reject);
                false
            }
        }
    }

    /// Rows appended since the last [`Decoder::finish`].
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Takes the rows appended so far; the decoder is empty afterwards and can be used again.
    pub fn finish(&mut self) -> RecordBatch {
        let rows = std::mem::take(&mut self.rows);
        let arrays = self.object.columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .expect("every column was built from its field and has one value a row")
    }

    fn push_json(
        &mut self,
        payload: Option<&[u8]>,
        rejects: &mut Vec<Reject>,
    ) -> Result<(), Reject> {
        let bytes = payload.unwrap_or_default();
        // Most frames are ASCII, which is seen at once.
        let is_text = bytes.is_ascii() || std::str::from_utf8(bytes).is_ok();
        if is_text && quick::frame(&mut self.object, self.rows, bytes).is_some() {
            return Ok(());
        }
        self.roll_back();
        careful::frame(&mut self.object.columns, json_text(payload)?, rejects)
    }

    fn push_raw(&mut self, text: &str) -> Result<(), Reject> {
        for column in &mut self.object.columns {
            column
                .push_str(text)
                .map_err(|misfit| careful::refusal(column, RAW_STRING_COLUMN, misfit, None))?;
        }
        Ok(())
    }

    fn roll_back(&mut self) {
        self.object.truncate(self.rows);
    }
}

fn json_text(payload: Option<&[u8]>) -> Result<&str, Reject> {
    let bytes = payload.ok_or_else(|| empty("no payload"))?;
    if bytes.trim_ascii().is_empty() {
        return Err(empty("nothing but white space"));
    }
    utf8(bytes)
}

/// Deliberately: a blank payload is a row here, text like any other.
fn raw_text(payload: Option<&[u8]>) -> Result<&str, Reject> {
    payload.ok_or_else(|| empty("no payload")).and_then(utf8)
}

fn empty(detail: &str) -> Reject {
    Reject {
        reason: RejectReason::Empty,
        element: None,
        detail: detail.to_owned(),
    }
}

/// Checked once a frame: what skips values afterwards need not look, and slices are cheaper as text.
fn utf8(bytes: &[u8]) -> Result<&str, Reject> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        Reject {
            reason: RejectReason::Malformed,
            element: None,
            detail: format!("not UTF-8: byte 0x{:02x} at position {at}", bytes[at]),
        }
    })
}
