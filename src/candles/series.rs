//! The candles of one symbol over a time, in whatever resolution: what a chart asks for.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{DataFrame, ident, lit};
use futures::{StreamExt, TryStreamExt, stream};

use super::CandlesError;
use super::fill::{Fill, Filler};
use super::resolution::Resolution;
use super::rows::{PRICES, TRADES, VOLUME, column_type};
use super::scan::{SYMBOL, Scan, WINDOW_START, time_literal};
use super::store::{Shape, Store, WINDOW_END, midnight, plain_time};
use super::table::Span;

/// Days that are looked into first for the newest candles; then four times as many, and so on.
const FIRST_DAYS: usize = 2;

/// Which candles of which symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The value of the column `symbol`.
    pub symbol: String,
    /// Least start of a candle, nanoseconds since 1970 UTC.
    pub from: Option<i64>,
    /// Candles start before this, nanoseconds since 1970 UTC.
    pub to: Option<i64>,
    /// How long a candle lasts; none: as stored.
    pub resolution: Option<Resolution>,
    /// At most so many: the first ones from `from` on; without `from` the newest.
    pub limit: Option<usize>,
    /// What stands in gaps.
    pub fill: Fill,
}

impl Store {
    /// Reads a series, by time. Without `from` its rows are held in memory, at most `limit` of them;
    /// else they come as they are read.
    ///
    /// At the stored resolution these are the columns of the files. A larger one has those that
    /// follow from smaller candles: symbol, times, prices, volume and trades. A table without files has no rows.
    ///
    /// # Errors
    /// A resolution that stored candles do not add up to, a column that is missing, a file that cannot be read.
    pub async fn series(&self, series: &Series) -> Result<Scan, CandlesError> {
        match self.stored(series).await {
            Err(CandlesError::NoFiles(_)) => Ok(no_rows()),
            other => other,
        }
    }

    async fn stored(&self, series: &Series) -> Result<Scan, CandlesError> {
        let shape = self.shape().await?;
        let width = self.width(series, shape)?;
        let scan = match series.from {
            Some(from) => self.since(series, from, shape, width).await?,
            None => self.newest(series, shape, width).await?,
        };
        match series.fill {
            Fill::None => Ok(scan),
            fill => {
                let limit = series.limit.unwrap_or(usize::MAX);
                let newest = series.from.is_none();
                Filler::new(fill, width, limit, newest).over(scan)
            }
        }
    }

    fn width(&self, series: &Series, shape: Shape) -> Result<Resolution, CandlesError> {
        let Some(asked) = series.resolution.filter(|asked| *asked != shape.resolution) else {
            return Ok(shape.resolution);
        };
        let stored = shape.resolution;
        if shape.overlaps {
            return Err(CandlesError::Filter(format!(
                "resolution {asked}: the table's windows overlap, so they do not add up to longer ones; leave resolution out to get them as they are"
            )));
        }
        if !asked.is_multiple_of(stored) {
            return Err(CandlesError::Filter(format!(
                "resolution {asked} does not follow from the stored candles, which last {stored}; ask for a multiple of {stored}"
            )));
        }
        Ok(asked)
    }

    async fn since(
        &self,
        series: &Series,
        from: i64,
        shape: Shape,
        width: Resolution,
    ) -> Result<Scan, CandlesError> {
        let rows = self
            .candles(series, Some(from), shape, width)
            .await?
            .sort(vec![ident(WINDOW_START).sort(true, false)])
            .map_err(|error| self.failed(&error))?;
        let limit = series.limit.filter(|_| series.fill == Fill::None);
        let rows = match limit {
            Some(_) => rows.limit(0, limit).map_err(|error| self.failed(&error))?,
            None => rows,
        };
        let task = Arc::new(rows.task_ctx());
        let plan = rows.create_physical_plan().await;
        let plan = plan.map_err(|error| self.failed(&error))?;
        let schema = plan.schema();
        let batches = execute_stream(plan, task).map_err(|error| self.failed(&error))?;
        let path = self.path().to_path_buf();
        Ok(Scan {
            schema,
            batches: batches
                .map_err(move |error| CandlesError::reading(&path, &error))
                .boxed(),
        })
    }

    /// The newest day folders first, more of them until there are candles enough.
    async fn newest(
        &self,
        series: &Series,
        shape: Shape,
        width: Resolution,
    ) -> Result<Scan, CandlesError> {
        let mut days = self.days()?;
        if let Some(until) = until(series, shape, width) {
            days.retain(|day| midnight(*day) <= until);
        }
        let mut looked_into = FIRST_DAYS;
        loop {
            let is_all = looked_into >= days.len();
            let from = match is_all {
                true => None,
                // A candle that begins before that day is not whole without the day before.
                false => Some(width.ceil(midnight(days[days.len() - looked_into]))),
            };
            let rows = self.candles(series, from, shape, width).await?;
            let rows = rows
                .sort(vec![ident(WINDOW_START).sort(false, false)])
                .and_then(|rows| rows.limit(0, series.limit))
                .and_then(|rows| rows.sort(vec![ident(WINDOW_START).sort(true, false)]))
                .map_err(|error| self.failed(&error))?;
            let schema = Arc::clone(rows.schema().inner());
            let batches = rows.collect().await.map_err(|error| self.failed(&error))?;
            let found: usize = batches.iter().map(RecordBatch::num_rows).sum();
            if is_all || series.limit.is_some_and(|limit| found >= limit) {
                let batches = stream::iter(batches.into_iter().map(Ok)).boxed();
                return Ok(Scan { schema, batches });
            }
            looked_into = looked_into.saturating_mul(4);
        }
    }

    /// The series' candles that start at `from` or later, in no order.
    async fn candles(
        &self,
        series: &Series,
        from: Option<i64>,
        shape: Shape,
        width: Resolution,
    ) -> Result<DataFrame, CandlesError> {
        let is_derived = width != shape.resolution;
        // A longer candle belongs to the answer if it starts in it, and is then made of all its parts.
        let bound = |nanos: i64| match is_derived {
            true => width.ceil(nanos),
            false => nanos,
        };
        let span = Span {
            from: from.map(bound),
            until: until(series, shape, width),
        };
        let mut rows = self.rows(span).await?;
        let schema = Arc::clone(rows.schema().inner());
        column_type(&schema, SYMBOL, self.path())?;
        let time = |nanos| {
            let data_type = column_type(&schema, WINDOW_START, self.path())?;
            time_literal(data_type, nanos, self.path()).map(lit)
        };
        let mut condition = ident(SYMBOL).eq(lit(&series.symbol));
        if let Some(from) = from {
            condition = condition.and(ident(WINDOW_START).gt_eq(time(bound(from))?));
        }
        if let Some(to) = series.to {
            condition = condition.and(ident(WINDOW_START).lt(time(bound(to))?));
        }
        rows = rows
            .filter(condition)
            .map_err(|error| self.failed(&error))?;
        match is_derived {
            true => self.derived(rows, &schema, width).await,
            false => Ok(rows),
        }
    }

    async fn derived(
        &self,
        rows: DataFrame,
        schema: &Schema,
        width: Resolution,
    ) -> Result<DataFrame, CandlesError> {
        for column in PRICES {
            column_type(schema, column, self.path())?;
        }
        let summed: Vec<&str> = ([VOLUME, TRADES].into_iter())
            .filter(|column| schema.field_with_name(column).is_ok())
            .collect();
        let names: String = summed.iter().map(|name| format!(", {name}")).collect();
        let sums: String = (summed.iter())
            .map(|name| format!(", sum({name}) AS {name}"))
            .collect();
        let (nanos, origin) = (width.nanos(), width.origin());
        let sql = format!(
            "SELECT symbol, window_start, window_start + INTERVAL '{nanos} nanoseconds' AS window_end,
                open, high, low, close{names}
            FROM (
                SELECT symbol,
                    date_bin(INTERVAL '{nanos} nanoseconds', starts, to_timestamp_nanos({origin})) AS window_start,
                    first_value(open ORDER BY starts) AS open,
                    max(high) AS high,
                    min(low) AS low,
                    last_value(close ORDER BY starts) AS close{sums}
                FROM (SELECT *, arrow_cast(window_start, 'Timestamp(Nanosecond, None)') AS starts FROM parts)
                GROUP BY 1, 2
            )"
        );
        let session = self.session();
        let derived = async {
            session.register_table("parts", rows.into_view())?;
            session.sql(&sql).await
        };
        derived.await.map_err(|error| self.failed(&error))
    }
}

/// By when all windows of the series have ended.
fn until(series: &Series, shape: Shape, width: Resolution) -> Option<i64> {
    let longest = shape.resolution.max(width);
    (series.to).map(|to| to.saturating_add(longest.nanos()))
}

/// What a table without files answers: no candle, under the usual columns.
fn no_rows() -> Scan {
    let column = |name: &str, data_type| Field::new(name, data_type, true);
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        column(SYMBOL, DataType::Utf8),
        column(WINDOW_START, plain_time()),
        column(WINDOW_END, plain_time()),
        column("open", DataType::Float64),
        column("high", DataType::Float64),
        column("low", DataType::Float64),
        column("close", DataType::Float64),
        column(VOLUME, DataType::Float64),
        column(TRADES, DataType::Int64),
    ]));
    Scan {
        schema,
        batches: stream::empty().boxed(),
    }
}
