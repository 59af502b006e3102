//! Batches → candles, for who looks at each of them.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimestampNanosecondType};

use super::CandlesError;
use super::scan::{SYMBOL, WINDOW_START};
use super::store::{WINDOW_END, as_type, plain_time};

/// The prices of a candle, in their usual order.
pub(super) const PRICES: [&str; 4] = ["open", "high", "low", "close"];
pub(super) const VOLUME: &str = "volume";
pub(super) const TRADES: &str = "trades";

/// One candle: what all tables of candles have.
#[derive(Debug, Clone, PartialEq)]
pub struct Candle {
    /// As the feed names it.
    pub symbol: String,
    /// The window's start, nanoseconds since 1970 UTC.
    pub start: i64,
    /// The window's end, nanoseconds since 1970 UTC; not in it.
    pub end: i64,
    /// The first price.
    pub open: f64,
    /// The highest price.
    pub high: f64,
    /// The lowest price.
    pub low: f64,
    /// The last price.
    pub close: f64,
    /// What was traded; none if the table has no such column.
    pub volume: Option<f64>,
    /// Number of ticks; none if the table has no such column.
    pub trades: Option<i64>,
}

/// The candles of a batch; rows without a symbol, a time or a price are none.
///
/// # Errors
/// A column is missing or has another type.
pub fn candles(batch: &RecordBatch, path: &Path) -> Result<Vec<Candle>, CandlesError> {
    let schema = batch.schema();
    let needed = |name: &str, data_type: &DataType| {
        column_type(&schema, name, path)?;
        as_type(&batch[name], data_type, path)
    };
    let optional = |name: &str, data_type: &DataType| {
        let column = batch.column_by_name(name);
        column
            .map(|column| as_type(column, data_type, path))
            .transpose()
    };
    let symbols = needed(SYMBOL, &DataType::Utf8)?;
    let symbols = symbols.as_string::<i32>();
    let starts = nanos_of(&needed(WINDOW_START, &plain_time())?, path)?;
    let ends = nanos_of(&needed(WINDOW_END, &plain_time())?, path)?;
    let mut prices = Vec::with_capacity(PRICES.len());
    for name in PRICES {
        prices.push(needed(name, &DataType::Float64)?);
    }
    let volumes = optional(VOLUME, &DataType::Float64)?;
    let trades = optional(TRADES, &DataType::Int64)?;
    let mut candles = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let is_whole = symbols.is_valid(row)
            && starts.is_valid(row)
            && ends.is_valid(row)
            && prices.iter().all(|column| column.is_valid(row));
        if !is_whole {
            continue;
        }
        let price = |at: usize| prices[at].as_primitive::<Float64Type>().value(row);
        candles.push(Candle {
            symbol: symbols.value(row).to_string(),
            start: starts.value(row),
            end: ends.value(row),
            open: price(0),
            high: price(1),
            low: price(2),
            close: price(3),
            volume: (volumes.as_ref())
                .filter(|column| column.is_valid(row))
                .map(|column| column.as_primitive::<Float64Type>().value(row)),
            trades: (trades.as_ref())
                .filter(|column| column.is_valid(row))
                .map(|column| column.as_primitive::<Int64Type>().value(row)),
        });
    }
    Ok(candles)
}

/// One candle of several that follow each other, all of one symbol; none of none.
///
/// It begins at `start` and ends at `end`; high, low and sums are those of the parts, in their order.
pub fn merged<'a>(
    parts: impl IntoIterator<Item = &'a Candle>,
    start: i64,
    end: i64,
) -> Option<Candle> {
    let mut parts = parts.into_iter();
    let mut whole = parts.next()?.clone();
    for part in parts {
        whole.high = whole.high.max(part.high);
        whole.low = whole.low.min(part.low);
        whole.close = part.close;
        whole.volume = sum(whole.volume, part.volume, |a, b| a + b);
        whole.trades = sum(whole.trades, part.trades, i64::saturating_add);
    }
    Some(Candle {
        start,
        end,
        ..whole
    })
}

/// As SQL adds: what is null is left out.
fn sum<T>(a: Option<T>, b: Option<T>, add: impl FnOnce(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(add(a, b)),
        (a, b) => a.or(b),
    }
}

/// A column of times, in nanoseconds since 1970 UTC.
pub(super) fn nanos_of(
    column: &ArrayRef,
    path: &Path,
) -> Result<TimestampNanosecondArray, CandlesError> {
    let column = as_type(column, &plain_time(), path)?;
    Ok(column.as_primitive::<TimestampNanosecondType>().clone())
}

/// A column of whole numbers.
pub(super) fn whole_numbers(column: &ArrayRef, path: &Path) -> Result<Int64Array, CandlesError> {
    let column = as_type(column, &DataType::Int64, path)?;
    Ok(column.as_primitive::<Int64Type>().clone())
}

/// The type of a column that a query needs.
pub(super) fn column_type<'a>(
    schema: &'a Schema,
    column: &str,
    path: &Path,
) -> Result<&'a DataType, CandlesError> {
    match schema.field_with_name(column) {
        Ok(field) => Ok(field.data_type()),
        Err(_) => {
            let columns: Vec<_> = schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            Err(CandlesError::Filter(format!(
                "{} has no column {column} to filter by; its columns are {}",
                path.display(),
                columns.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candle(start: i64, prices: [f64; 4], volume: Option<f64>) -> Candle {
        let [open, high, low, close] = prices;
        Candle {
            symbol: "A".to_string(),
            start,
            end: start + 1,
            open,
            high,
            low,
            close,
            volume,
            trades: Some(1),
        }
    }

    #[test]
    fn several_candles_are_one() {
        let parts = [
            candle(0, [2.0, 3.0, 2.0, 2.5], Some(1.0)),
            candle(1, [2.5, 2.6, 1.0, 1.5], None),
            candle(3, [1.5, 1.5, 1.5, 1.5], Some(0.5)),
        ];
        let whole = merged(&parts, 0, 5).unwrap();
        let expected = Candle {
            end: 5,
            trades: Some(3),
            ..candle(0, [2.0, 3.0, 1.0, 1.5], Some(1.5))
        };
        assert_eq!(whole, expected);
        assert_eq!(merged(&[], 0, 5), None);
    }
}
