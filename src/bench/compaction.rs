//! What compaction does to queries: a month of candles as a job writes them that commits every minute, asked
//! before and after each day's files have become one.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::TimestampNanosecondArray;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::Serialize;
use tokio::runtime::Runtime;

use super::error::BenchError;
use super::report::{Spread, cores, grouped, pretty, show, shown};
use super::scratch::Scratch;
use super::stop::Stop;
use crate::candles::{CandlesError, Session};
use crate::config::bench::CompactionArgs;
use crate::disk::Disk;
use crate::model::{Epoch, NANOS_PER_SECOND, Watermark, Window};
use crate::sink::compact::{Compactor, Exchanged, NotCompacted, Terms};
use crate::sink::{Compression, ParquetOptions, ParquetSink, RowTimes, SinkError, SinkRows};

/// 2026-07-01T00:00:00Z, nanoseconds since 1970.
const FIRST: i64 = 1_782_864_000 * NANOS_PER_SECOND;
const MINUTE: i64 = 60 * NANOS_PER_SECOND;
const MINUTES_PER_DAY: i64 = 1440;

/// What is asked: a name, and the statement for a symbol and the last day.
type Query = (&'static str, fn(&str, &str) -> String);

const QUERIES: [Query; 4] = [
    ("one symbol, all days", |symbol, _| {
        format!("SELECT * FROM candles WHERE symbol = '{symbol}' ORDER BY window_start")
    }),
    ("last day, all symbols", |_, day| {
        format!("SELECT symbol, close, volume FROM candles WHERE date = '{day}'")
    }),
    ("one symbol, last day", |symbol, day| {
        format!("SELECT * FROM candles WHERE date = '{day}' AND symbol = '{symbol}'")
    }),
    ("all rows, by symbol", |_, _| {
        "SELECT symbol, max(high), min(low), sum(volume), count(*) FROM candles GROUP BY symbol"
            .to_owned()
    }),
];

/// What was found out of the table in one state.
#[derive(Debug, Serialize)]
struct Layout {
    files: usize,
    bytes: u64,
    /// Seconds a step of a fresh session: creating the table, then each of the queries.
    seconds: Vec<Spread>,
    /// Rows of each query.
    #[serde(skip)]
    rows: Vec<usize>,
}

/// The whole of it.
#[derive(Debug, Serialize)]
struct Report {
    candles: u64,
    days: u32,
    symbols: u32,
    rounds: u32,
    cores: usize,
    steps: Vec<&'static str>,
    before: Layout,
    after: Layout,
    /// Seconds for all folders.
    compaction_s: f64,
    folders: usize,
}

/// Measures it, and reports.
pub(super) fn measure(args: &CompactionArgs, stop: &Stop) -> Result<(), BenchError> {
    let scratch = Scratch::new(args.output.work_dir.as_deref(), args.keep)?;
    let month = Month::of(args);
    let mut sink = ParquetSink::open(month.options(&scratch.folder("round")?), month.schema())?;
    let compactor = sink.compactor();
    let runtime = Runtime::new().map_err(|e| BenchError::Failed(format!("no runtime: {e}")))?;
    let since = Instant::now();
    month.write(&mut sink, stop)?;
    let written = since.elapsed();
    eprintln!(
        "{} files written in {:.0} s",
        grouped(month.minutes as u64),
        written.as_secs_f64()
    );
    let before = look(args, &month, compactor.dir(), &runtime, stop)?;
    let since = Instant::now();
    let folders = compact(&compactor, stop)?;
    let compaction_s = since.elapsed().as_secs_f64();
    let after = look(args, &month, compactor.dir(), &runtime, stop)?;
    if before.rows != after.rows {
        let (before, after) = (&before.rows, &after.rows);
        let text = format!("the queries gave {before:?} rows before and {after:?} after");
        return Err(BenchError::Failed(text));
    }
    let report = Report {
        candles: month.minutes as u64 * u64::from(args.symbols),
        days: args.days,
        symbols: args.symbols,
        rounds: args.rounds,
        cores: cores(),
        steps: steps(),
        before,
        after,
        compaction_s,
        folders,
    };
    show(&report, args.output.json, || pretty(&report));
    Ok(())
}

fn steps() -> Vec<&'static str> {
    let queries = QUERIES.iter().map(|(name, _)| *name);
    ["creating the table"].into_iter().chain(queries).collect()
}

/// The candles of some days.
struct Month {
    minutes: i64,
    symbols: Vec<String>,
}

impl Month {
    fn of(args: &CompactionArgs) -> Month {
        let symbols = 0..args.symbols;
        Month {
            minutes: i64::from(args.days) * MINUTES_PER_DAY,
            symbols: symbols.map(|at| format!("BINANCE:SP{at:03}USDT")).collect(),
        }
    }

    fn last_day(&self) -> String {
        let day = chrono::DateTime::from_timestamp_nanos(FIRST + (self.minutes - 1) * MINUTE);
        day.format("%Y-%m-%d").to_string()
    }

    /// The columns of `sql/ohlc.sql`.
    fn schema(&self) -> SchemaRef {
        let time = || DataType::Timestamp(TimeUnit::Nanosecond, None);
        let mut fields = vec![
            Field::new("symbol", DataType::Utf8, true),
            Field::new("window_start", time(), true),
            Field::new("window_end", time(), true),
        ];
        for price in ["open", "high", "low", "close", "volume"] {
            fields.push(Field::new(price, DataType::Float64, true));
        }
        fields.push(Field::new("trades", DataType::Int64, true));
        Arc::new(Schema::new(fields))
    }

    fn options(&self, folder: &Path) -> ParquetOptions {
        ParquetOptions {
            table: "ohlc".to_owned(),
            job: "ohlc".to_owned(),
            path: folder.join("ohlc"),
            time_pattern: Some("date=%Y-%m-%d".to_owned()),
            partition_columns: Vec::new(),
            file_bytes: None,
            compression: Compression::Zstd,
            row_group_bytes: None,
            filename_prefix: None,
            sort_columns: vec![0, 1, 2],
            disk: Disk::default(),
        }
    }

    /// Writes them as the job does, a commit a minute.
    fn write(&self, sink: &mut ParquetSink, stop: &Stop) -> Result<(), BenchError> {
        let mut market = Market {
            random: 0x5EED,
            cents: (0..)
                .map(|at| 100_000 + at * 137_911)
                .take(self.symbols.len())
                .collect(),
        };
        for minute in 0..self.minutes {
            stop.check()?;
            let start = FIRST + minute * MINUTE;
            let window = Window {
                start,
                end: start + MINUTE,
            };
            let rows = SinkRows {
                times: RowTimes::One(window.row_time()),
                rows: self.candles(&mut market, window)?,
            };
            let epoch = Epoch(minute as u64 + 1);
            let files = sink.stage(epoch, vec![rows])?;
            sink.publish(&files)?;
        }
        Ok(())
    }

    fn candles(&self, market: &mut Market, window: Window) -> Result<RecordBatch, BenchError> {
        let count = self.symbols.len();
        let (mut prices, mut volumes, mut trades) =
            ([vec![], vec![], vec![], vec![]], vec![], vec![]);
        for symbol in 0..count {
            for (column, price) in prices.iter_mut().zip(market.minute(symbol)) {
                column.push(price);
            }
            volumes.push(market.below(1_000_000) as f64 / 1e4);
            trades.push(market.below(400) as i64 + 1);
        }
        let time = |at: i64| Arc::new(TimestampNanosecondArray::from(vec![at; count])) as ArrayRef;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(self.symbols.clone())),
            time(window.start),
            time(window.end),
        ];
        for column in prices.into_iter().chain([volumes]) {
            columns.push(Arc::new(Float64Array::from(column)));
        }
        columns.push(Arc::new(Int64Array::from(trades)));
        RecordBatch::try_new(self.schema(), columns)
            .map_err(|error| BenchError::Failed(error.to_string()))
    }
}

/// Prices that wander, the same on every machine.
struct Market {
    random: u64,
    /// Of each symbol, in hundredths.
    cents: Vec<i64>,
}

impl Market {
    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    /// Open, high, low and close of the next minute.
    fn minute(&mut self, symbol: usize) -> [f64; 4] {
        let open = self.cents[symbol];
        let close = (open + self.below(201) as i64 - 100).max(100);
        let high = open.max(close) + self.below(50) as i64;
        let low = open.min(close) - self.below(50) as i64;
        self.cents[symbol] = close;
        [open, high, low, close].map(|cents| cents as f64 / 100.0)
    }
}

/// Compacts all there is, as if all of it was long ago: the number of folders.
fn compact(compactor: &Compactor, stop: &Stop) -> Result<usize, BenchError> {
    let terms = Terms {
        now: i64::MAX,
        grace: Duration::ZERO,
        emitted: Some(Watermark(i64::MAX)),
        named: std::collections::BTreeSet::new(),
    };
    let folders = compactor.folders(&terms)?;
    let number = folders.len();
    for folder in folders {
        stop.check()?;
        let prepared = compactor.prepare(folder, &|| false)?;
        match compactor.exchange(&prepared, &terms.named)? {
            Exchanged::Done { .. } => compactor.clear()?,
            Exchanged::Changed => {
                let text = "somebody writes into the bench's folder".to_owned();
                return Err(BenchError::Failed(text));
            }
            Exchanged::Unsupported => {
                let text = "this file system cannot exchange two folders; see --work-dir";
                return Err(BenchError::Usage(text.to_owned()));
            }
        }
    }
    Ok(number)
}

/// Asks everything of a fresh session, in every round. A first round is not counted: it warms the page cache.
fn look(
    args: &CompactionArgs,
    month: &Month,
    table: &Path,
    runtime: &Runtime,
    stop: &Stop,
) -> Result<Layout, BenchError> {
    let (mut files, mut bytes) = (0, 0);
    for folder in entries(table)? {
        for file in entries(&folder)? {
            files += 1;
            bytes += fs::metadata(&file).map_or(0, |metadata| metadata.len());
        }
    }
    let (symbol, day) = (&month.symbols[month.symbols.len() / 2], month.last_day());
    let (mut seconds, mut rows) = (vec![Vec::new(); QUERIES.len() + 1], Vec::new());
    for round in 0..=args.rounds {
        let since = Instant::now();
        let session = runtime.block_on(Session::open(table))?;
        let mut times = vec![since.elapsed()];
        rows.clear();
        for (_, statement) in QUERIES {
            stop.check()?;
            let since = Instant::now();
            rows.push(runtime.block_on(session.rows(&statement(symbol, &day)))?);
            times.push(since.elapsed());
        }
        if round > 0 {
            for (all, time) in seconds.iter_mut().zip(times) {
                all.push(time.as_secs_f64());
            }
        }
    }
    Ok(Layout {
        files,
        bytes,
        seconds: seconds.into_iter().filter_map(Spread::of).collect(),
        rows,
    })
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let failed = |error| BenchError::Failed(format!("listing {}: {error}", dir.display()));
    let entries = fs::read_dir(dir).map_err(failed)?;
    let paths = entries.map(|entry| Ok(entry.map_err(failed)?.path()));
    paths.collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} candles: {} symbols, {} days, a commit a minute; {} rounds, {} cores; median (least to most)\n",
            grouped(self.candles),
            self.symbols,
            self.days,
            self.rounds,
            self.cores
        )?;
        writeln!(f, "{:<28}{:<34}compacted", "", "as written")?;
        let [before, after] = [&self.before, &self.after];
        let files = [before, after].map(|layout| grouped(layout.files as u64));
        writeln!(f, "{:<28}{:<34}{}", "files", files[0], files[1])?;
        let bytes = [before, after].map(|layout| format!("{:.1}", layout.bytes as f64 / 1e6));
        writeln!(f, "{:<28}{:<34}{}", "MB", bytes[0], bytes[1])?;
        for (at, step) in self.steps.iter().enumerate() {
            let [before, after] =
                [before, after].map(|layout| shown(layout.seconds.get(at).copied(), 1e-3, 1));
            writeln!(f, "{:<28}{before:<34}{after}", format!("{step}, ms"))?;
        }
        writeln!(
            f,
            "\ncompacting {} folders took {:.1} s",
            self.folders, self.compaction_s
        )
    }
}

impl From<SinkError> for BenchError {
    fn from(error: SinkError) -> BenchError {
        BenchError::Failed(error.to_string())
    }
}

impl From<NotCompacted> for BenchError {
    fn from(error: NotCompacted) -> BenchError {
        BenchError::Failed(error.to_string())
    }
}

impl From<CandlesError> for BenchError {
    fn from(error: CandlesError) -> BenchError {
        BenchError::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::bench::BenchWhat;
    use crate::config::stockpulse::{StockpulseArgs, StockpulseCommand};

    #[test]
    fn an_hour_of_two_symbols_is_asked_before_and_after() {
        let folder = tempfile::tempdir().unwrap();
        let line = "stockpulse bench compaction --days 2 --symbols 2 --rounds 1";
        let args = StockpulseArgs::try_parse_from(line.split(' ')).unwrap();
        let StockpulseCommand::Bench(args) = args.command else {
            panic!("not a bench");
        };
        let BenchWhat::Compaction(args) = args.what() else {
            panic!("not a compaction");
        };
        let stop = Stop::default();
        let month = Month {
            minutes: 60,
            ..Month::of(&args)
        };
        assert_eq!(month.last_day(), "2026-07-01");
        let mut sink = ParquetSink::open(month.options(folder.path()), month.schema()).unwrap();
        let compactor = sink.compactor();
        month.write(&mut sink, &stop).unwrap();
        let runtime = Runtime::new().unwrap();
        let before = look(&args, &month, compactor.dir(), &runtime, &stop).unwrap();
        assert_eq!(compact(&compactor, &stop).unwrap(), 1);
        let after = look(&args, &month, compactor.dir(), &runtime, &stop).unwrap();
        assert_eq!((before.files, after.files), (60, 1));
        assert_eq!(before.rows, [60, 120, 60, 2]);
        assert_eq!(after.rows, before.rows);
        let report = Report {
            candles: 120,
            days: 1,
            symbols: 2,
            rounds: 1,
            cores: 2,
            steps: steps(),
            before,
            after,
            compaction_s: 0.1,
            folders: 1,
        };
        let shown = report.to_string();
        assert!(
            shown.contains(&format!("{:<28}{:<34}1\n", "files", 60)),
            "{shown}"
        );
        assert_eq!(shown.lines().count(), 12, "{shown}");
    }
}
