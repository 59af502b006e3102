//! Where rows stand in their frames, and which were left out for want of a value: for whoever keeps what
//! became no row. A run of steps that is given no trail does not look.

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::common::{Result, internal_err};

use super::stream::FRAME;

/// A row's frame in its micro-batch, and its place in the frame's array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Number of the frame in its micro-batch.
    pub frame: usize,
    /// Place in the array as it was decoded, from 0; `None`: it is no element of one, or of which is not known.
    pub element: Option<u32>,
}

/// What a run of steps leaves behind.
#[derive(Debug, Default)]
pub struct Trail {
    /// Per row its place in the array that was unnested; `None`: nothing was, or not an array of the frame.
    elements: Option<Vec<u32>>,
    /// Rows without a value that the SQL needs, in the order in which they were left out.
    missing: Vec<Trace>,
}

impl Trail {
    /// The place of a row that has come through, in its frame's array as it was decoded.
    pub fn element(&self, row: usize) -> Option<u32> {
        self.elements.as_ref()?.get(row).copied()
    }

    /// The rows that were left out for want of a value: as many as the tally says.
    pub fn missing(&self) -> &[Trace] {
        &self.missing
    }

    /// Rows become elements of their arrays.
    pub(super) fn unnested(&mut self, elements: Option<Vec<u32>>) {
        self.elements = elements;
    }

    /// Only these rows go on, in this order; a row may be there more than once.
    pub(super) fn taken(&mut self, rows: &[u32]) {
        if let Some(elements) = &mut self.elements {
            *elements = rows.iter().map(|&row| elements[row as usize]).collect();
        }
    }

    /// Only the rows of `mask` go on; those that are not in `needed` lack a value. Neither has nulls.
    pub(super) fn filtered(
        &mut self,
        batch: &RecordBatch,
        needed: Option<&BooleanArray>,
        mask: &BooleanArray,
    ) -> Result<()> {
        if let Some(needed) = needed {
            let Some(frames) = batch.column_by_name(FRAME) else {
                return internal_err!("rows without their frame");
            };
            let frames = frames.as_primitive::<Int64Type>();
            let lacking = (0..needed.len()).filter(|&row| !needed.value(row));
            let traces = lacking.map(|row| Trace {
                frame: frames.value(row) as usize,
                element: self.elements.as_ref().map(|elements| elements[row]),
            });
            self.missing.extend(traces);
        }
        if let Some(elements) = &mut self.elements {
            let mut row = 0;
            elements.retain(|_| {
                row += 1;
                mask.value(row - 1)
            });
        }
        Ok(())
    }
}
