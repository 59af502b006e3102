//! Frames → Arrow, by the table's declared schema. Never fails: rows and rejects.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::model::Reject;

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
pub struct Decoder {}

impl Decoder {
    /// A decoder for the columns of `schema` (only those that the query uses).
    pub fn new(schema: SchemaRef, format: Format) -> Result<Decoder, DecodeError> {
        let _ = (schema, format);
        todo!()
    }

    /// Decodes one frame. True: one row was appended (elements that were refused are left out of it
    /// and pushed to `rejects`). False: nothing was appended and one reject for the frame was pushed.
    pub fn push(&mut self, payload: Option<&[u8]>, rejects: &mut Vec<Reject>) -> bool {
        let _ = (payload, rejects);
        todo!()
    }

    /// Rows appended since the last [`Decoder::finish`].
    pub fn rows(&self) -> usize {
        todo!()
    }

    /// Takes the rows appended so far; the decoder is empty afterwards and can be used again.
    pub fn finish(&mut self) -> RecordBatch {
        todo!()
    }
}
