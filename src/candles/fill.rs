//! Rows for windows in which nothing was traded.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampNanosecondArray,
    UInt32Array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::{Schema, SchemaRef, TimestampNanosecondType};
use arrow::error::ArrowError;
use futures::{StreamExt, future, stream};

use super::CandlesError;
use super::resolution::Resolution;
use super::rows::{PRICES, TRADES, VOLUME, column_type};
use super::scan::{SYMBOL, Scan, WINDOW_START};
use super::store::{WINDOW_END, plain_time};

/// Rows of an answer with filled gaps at the most: a gap of years in candles of a second has no end.
pub const FILLED_ROWS_MAX: usize = 1_000_000;

/// What stands between two candles that do not follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fill {
    /// Nothing.
    #[default]
    None,
    /// A row without prices.
    Null,
    /// A row whose prices are the close before; nothing was traded.
    Previous,
}

/// Puts rows into the gaps of one symbol's candles, which come ordered by time.
///
/// Invariant: it makes rows between two candles only, none before the first and none after the last.
pub(super) struct Filler {
    fill: Fill,
    width: Resolution,
    left: usize,
    made: usize,
    newest: bool,
    last: Option<RecordBatch>,
}

impl Filler {
    /// At most `limit` rows; the last ones if `newest`, and then all of them are held until the end.
    pub(super) fn new(fill: Fill, width: Resolution, limit: usize, newest: bool) -> Filler {
        Filler {
            fill,
            width,
            left: limit,
            made: 0,
            newest,
            last: None,
        }
    }

    /// The scan's rows, with rows in their gaps.
    ///
    /// # Errors
    /// A column of the window's times or the symbol is missing.
    pub(super) fn over(mut self, scan: Scan) -> Result<Scan, CandlesError> {
        let schema = scan.schema;
        for column in [SYMBOL, WINDOW_START, WINDOW_END] {
            column_type(&schema, column, std::path::Path::new("the table"))?;
        }
        let batches = match self.newest {
            true => {
                let schema = Arc::clone(&schema);
                let all = async move { self.last_of(&schema, scan.batches.collect().await) };
                stream::once(all).boxed()
            }
            false => (scan.batches)
                .map(move |batch| self.next(&batch?))
                .take_while(|filled| future::ready(!matches!(filled, Ok(None))))
                .filter_map(|filled| future::ready(filled.transpose()))
                .boxed(),
        };
        Ok(Scan { schema, batches })
    }

    /// The next rows with those before them; none once there are enough.
    fn next(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>, CandlesError> {
        if self.left == 0 {
            return Ok(None);
        }
        let filled = self.filled(batch)?;
        let filled = filled.slice(0, filled.num_rows().min(self.left));
        self.left -= filled.num_rows();
        Ok(Some(filled))
    }

    fn last_of(
        &mut self,
        schema: &SchemaRef,
        batches: Vec<Result<RecordBatch, CandlesError>>,
    ) -> Result<RecordBatch, CandlesError> {
        let batches = batches.into_iter().collect::<Result<Vec<_>, _>>()?;
        let rows = concat_batches(schema, &batches).map_err(unfit)?;
        let starts = starts_of(&rows)?;
        // From which stored row on there are enough rows, those in gaps counted.
        let newest = starts
            .len()
            .checked_sub(1)
            .map_or(0, |last| starts.value(last));
        let enough = i64::try_from(self.left).unwrap_or(i64::MAX);
        let enough = enough.saturating_mul(self.width.nanos());
        let oldest = newest.saturating_sub(enough);
        let cut = starts.values().partition_point(|start| *start < oldest);
        // The one before gives what the first gap is filled with.
        let cut = cut.saturating_sub(1);
        let filled = self.filled(&rows.slice(cut, rows.num_rows() - cut))?;
        let cut = filled.num_rows().saturating_sub(self.left);
        Ok(filled.slice(cut, filled.num_rows() - cut))
    }

    /// The rows of a batch, and those of the gaps before and among them.
    fn filled(&mut self, batch: &RecordBatch) -> Result<RecordBatch, CandlesError> {
        if batch.num_rows() == 0 {
            return Ok(batch.clone());
        }
        let before = self.last.take();
        self.last = Some(batch.slice(batch.num_rows() - 1, 1));
        let skipped = usize::from(before.is_some());
        let rows = match &before {
            Some(before) => concat_batches(&batch.schema(), [before, batch]).map_err(unfit)?,
            None => batch.clone(),
        };
        let gaps = self.gaps(&starts_of(&rows)?, skipped)?;
        if gaps.len() == batch.num_rows() {
            return Ok(batch.clone());
        }
        self.columns(&rows, &gaps).map_err(unfit)
    }

    /// Each row of the answer: its start, the stored row it is or comes after, and whether it is that row.
    fn gaps(
        &mut self,
        starts: &TimestampNanosecondArray,
        skipped: usize,
    ) -> Result<Vec<Row>, CandlesError> {
        let mut rows = Vec::with_capacity(starts.len());
        for at in 0..starts.len() {
            let start = starts.value(at);
            if at > 0 {
                let mut gap = starts.value(at - 1).saturating_add(self.width.nanos());
                while gap < start {
                    rows.push(Row {
                        start: gap,
                        after: at - 1,
                        is_stored: false,
                    });
                    gap = gap.saturating_add(self.width.nanos());
                    self.made += 1;
                    if self.made > FILLED_ROWS_MAX {
                        return Err(CandlesError::Filter(format!(
                            "the gaps are more than {FILLED_ROWS_MAX} rows; ask for a shorter time, a larger resolution, or without fill"
                        )));
                    }
                    if !self.newest && rows.len() > self.left.saturating_add(skipped) {
                        return Ok(rows);
                    }
                }
            }
            if at >= skipped {
                rows.push(Row {
                    start,
                    after: at,
                    is_stored: true,
                });
            }
        }
        Ok(rows)
    }

    fn columns(&self, stored: &RecordBatch, rows: &[Row]) -> Result<RecordBatch, ArrowError> {
        let own: UInt32Array = (rows.iter())
            .map(|row| row.is_stored.then_some(row.after as u32))
            .collect();
        let last: UInt32Array = rows.iter().map(|row| Some(row.after as u32)).collect();
        let closes = match self.fill {
            Fill::Previous => Some(take(&stored["close"], &last, None)?),
            _ => None,
        };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(stored.num_columns());
        for (field, column) in stored.schema().fields().iter().zip(stored.columns()) {
            let name = field.name().as_str();
            let filled = match (name, &closes) {
                (SYMBOL, _) => take(column, &last, None)?,
                (WINDOW_START, _) => times(rows.iter().map(|row| row.start), column)?,
                (WINDOW_END, _) => {
                    let width = self.width.nanos();
                    let ends = rows.iter().map(|row| row.start.saturating_add(width));
                    times(ends, column)?
                }
                (name, Some(closes)) if PRICES.contains(&name) => {
                    let own = take(column, &own, None)?;
                    let closes = cast(closes, column.data_type())?;
                    or_else(&own, &closes, rows)?
                }
                (VOLUME | TRADES, Some(_)) => {
                    let own = take(column, &own, None)?;
                    let nothing = Arc::new(Int64Array::from(vec![0; rows.len()]));
                    let nothing = cast(&(nothing as ArrayRef), column.data_type())?;
                    or_else(&own, &nothing, rows)?
                }
                _ => take(column, &own, None)?,
            };
            columns.push(filled);
        }
        let fields = stored.schema();
        let fields = fields.fields().iter();
        let fields: Vec<_> = fields
            .map(|field| field.as_ref().clone().with_nullable(true))
            .collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }
}

struct Row {
    start: i64,
    after: usize,
    is_stored: bool,
}

/// The stored rows of one column, the rows in gaps of another.
fn or_else(own: &ArrayRef, other: &ArrayRef, rows: &[Row]) -> Result<ArrayRef, ArrowError> {
    let is_stored: BooleanArray = rows.iter().map(|row| Some(row.is_stored)).collect();
    zip(&is_stored, own, other)
}

fn times(nanos: impl Iterator<Item = i64>, like: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let times: TimestampNanosecondArray = nanos.map(Some).collect();
    cast(&(Arc::new(times) as ArrayRef), like.data_type())
}

fn starts_of(rows: &RecordBatch) -> Result<TimestampNanosecondArray, CandlesError> {
    let starts = cast(&rows[WINDOW_START], &plain_time()).map_err(unfit)?;
    Ok(starts.as_primitive::<TimestampNanosecondType>().clone())
}

fn unfit(error: ArrowError) -> CandlesError {
    CandlesError::Unreadable(format!("gaps cannot be filled: {error}"))
}
