//! An epoch's rows in the order in which they are sent.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray, UInt32Array};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::sink::{RowTimes, SinkRows};

/// All rows in one batch, each with its event time, in order; bytes that are views are not copied.
pub(super) fn in_order(
    schema: &SchemaRef,
    rows: &[SinkRows],
    sort_columns: &[usize],
    time_first: bool,
) -> Result<SinkRows, ArrowError> {
    let times: TimestampNanosecondArray = rows.iter().flat_map(times_of).collect();
    let times: ArrayRef = Arc::new(times);
    let rows = concat_batches(schema, rows.iter().map(|rows| &rows.rows))?;
    let by_time = time_first.then(|| Arc::clone(&times));
    let columns = sort_columns.iter().map(|&at| Arc::clone(rows.column(at)));
    // A sort does not keep the order of equal rows by itself.
    let came: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..rows.num_rows() as u32));
    let by = by_time.into_iter().chain(columns).chain([came]);
    let by = by.map(|values| SortColumn {
        values,
        options: None,
    });
    let order = lexsort_to_indices(&by.collect::<Vec<_>>(), None)?;
    let times = take(&times, &order, None)?;
    Ok(SinkRows {
        times: RowTimes::Each(TimestampNanosecondArray::from(times.to_data())),
        rows: take_record_batch(&rows, &order)?,
    })
}

/// Some of the rows, one after the other.
pub(super) fn slice(rows: &SinkRows, from: usize, count: usize) -> SinkRows {
    let piece: RecordBatch = rows.rows.slice(from, count);
    let times = match &rows.times {
        RowTimes::One(time) => RowTimes::One(*time),
        RowTimes::Each(times) => RowTimes::Each(times.slice(from, count)),
    };
    SinkRows { times, rows: piece }
}

fn times_of(rows: &SinkRows) -> Box<dyn Iterator<Item = Option<i64>> + '_> {
    match &rows.times {
        RowTimes::One(time) => Box::new(std::iter::repeat_n(Some(*time), rows.rows.num_rows())),
        RowTimes::Each(times) => Box::new(times.iter()),
    }
}
