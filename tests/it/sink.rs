//! The Parquet table: what readers see at every moment, and after every way a process can end.

mod delta;
mod outbox;
mod partitions;
mod topic;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use expect_test::{Expect, expect};
use stockpulse::checkpoint::FileEntry;
use stockpulse::disk::Disk;
use stockpulse::model::Epoch;
use stockpulse::sink::{Compression, ParquetOptions, ParquetSink, RowTimes, SinkError, SinkRows};
use tempfile::TempDir;

const MINUTE: i64 = 60_000_000_000;
/// 2019-10-01T00:00:00Z
const MIDNIGHT: i64 = 1_569_888_000_000_000_000;

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    Arc::new(Schema::new(vec![
        Field::new("symbol", DataType::Utf8View, false),
        Field::new("window_start", time, false),
        Field::new("close", DataType::Float64, true),
        Field::new("trades", DataType::Int64, true),
    ]))
}

/// The rows of the window that starts `minute` minutes after midnight.
fn rows(minute: i64, symbols: &[&str]) -> SinkRows {
    let start = MIDNIGHT + minute * MINUTE;
    let count = symbols.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from_iter_values(symbols)),
        Arc::new(TimestampNanosecondArray::from_value(start, count)),
        Arc::new(Float64Array::from_iter((0..count).map(|row| {
            (row != 1).then_some(minute as f64 + row as f64 / 8.0)
        }))),
        Arc::new(Int64Array::from_iter_values(0..count as i64)),
    ];
    SinkRows {
        times: RowTimes::One(start + MINUTE - 1),
        rows: RecordBatch::try_new(schema(), columns).unwrap(),
    }
}

/// A table in a folder of its own.
struct Table {
    folder: TempDir,
}

impl Table {
    fn new() -> Table {
        Table {
            folder: TempDir::new().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data/ohlc")
    }

    fn stage_dir(&self) -> PathBuf {
        self.folder.path().join("data/_stage/ohlc")
    }

    fn options(&self) -> ParquetOptions {
        ParquetOptions {
            table: "ohlc".to_owned(),
            job: "ohlc".to_owned(),
            path: self.path(),
            time_pattern: Some("date=%Y-%m-%d".to_owned()),
            partition_columns: Vec::new(),
            file_bytes: None,
            compression: Compression::Zstd,
            row_group_bytes: None,
            filename_prefix: None,
            sort_columns: vec![0, 1],
            disk: Disk::default(),
        }
    }

    fn sink(&self) -> ParquetSink {
        ParquetSink::open(self.options(), schema()).unwrap()
    }

    fn published(&self) -> Vec<String> {
        files_below(&self.path())
    }

    fn staged(&self) -> Vec<String> {
        let mut files = files_below(&self.stage_dir());
        files.retain(|file| file != "lock");
        files
    }
}

/// Files below a directory, relative to it, sorted.
fn files_below(dir: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut unread = vec![dir.to_path_buf()];
    while let Some(next) = unread.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                unread.push(path);
            } else {
                files.push(path.strip_prefix(dir).unwrap().display().to_string());
            }
        }
    }
    files.sort();
    files
}

/// Reads the table as datafusion-cli does: its listing table.
async fn check_query(table: &Path, sql: &str, expected: Expect) {
    let context = SessionContext::new();
    let options = ParquetReadOptions::default()
        .table_partition_cols(vec![("date".to_owned(), DataType::Utf8)]);
    let path = table.to_str().unwrap();
    context
        .register_parquet("ohlc", path, options)
        .await
        .unwrap();
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    expected.assert_eq(&format!("{}\n", pretty_format_batches(&batches).unwrap()));
}

fn foreign(result: Result<(), SinkError>) -> String {
    match result {
        Err(SinkError::Foreign(message)) => message,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

fn not_writable(result: Result<ParquetSink, SinkError>) -> String {
    match result {
        Err(SinkError::NotWritable(message)) => message,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[tokio::test]
async fn staged_rows_are_invisible_and_published_ones_read_back() {
    let table = Table::new();
    let mut sink = table.sink();
    assert!(!sink.has_published().unwrap());
    // The window of 23:59 belongs to its own day, and one epoch has one file a day.
    let windows = vec![
        rows(-1, &["KRAKEN:B", "BINANCE:A"]),
        rows(1, &["BINANCE:A", "KRAKEN:B"]),
        rows(0, &["KRAKEN:B", "BINANCE:A"]),
    ];
    let files = sink.stage(Epoch(12), windows).unwrap();
    assert_eq!(table.published(), Vec::<String>::new());
    assert_eq!(
        table.staged(),
        ["ohlc-0000000012-000.parquet", "ohlc-0000000012-001.parquet"]
    );
    sink.publish(&files).unwrap();
    assert_eq!(
        table.published(),
        [
            "date=2019-09-30/ohlc-0000000012-000.parquet",
            "date=2019-10-01/ohlc-0000000012-001.parquet"
        ]
    );
    assert_eq!(table.staged(), Vec::<String>::new());
    assert!(sink.has_published().unwrap());
    let sizes = |file: &FileEntry| {
        let bytes = fs::metadata(table.path().join(&file.published))
            .unwrap()
            .len();
        (file.rows, file.bytes == bytes)
    };
    assert_eq!(
        files.iter().map(sizes).collect::<Vec<_>>(),
        [(2, true), (4, true)]
    );

    // Within a file rows are sorted; `row_number` over nothing shows them as they stand.
    check_query(
        &table.path(),
        "SELECT symbol, window_start, close, trades, date FROM ohlc WHERE date = '2019-10-01'",
        expect![[r#"
            +-----------+---------------------+-------+--------+------------+
            | symbol    | window_start        | close | trades | date       |
            +-----------+---------------------+-------+--------+------------+
            | BINANCE:A | 2019-10-01T00:00:00 |       | 1      | 2019-10-01 |
            | BINANCE:A | 2019-10-01T00:01:00 | 1.0   | 0      | 2019-10-01 |
            | KRAKEN:B  | 2019-10-01T00:00:00 | 0.0   | 0      | 2019-10-01 |
            | KRAKEN:B  | 2019-10-01T00:01:00 |       | 1      | 2019-10-01 |
            +-----------+---------------------+-------+--------+------------+
        "#]],
    )
    .await;
    check_query(
        &table.path(),
        "SELECT arrow_typeof(symbol) AS symbol, arrow_typeof(window_start) AS window_start, \
         count(*) AS rows FROM ohlc WHERE symbol = 'BINANCE:A' GROUP BY 1, 2",
        expect![[r#"
            +----------+---------------+------+
            | symbol   | window_start  | rows |
            +----------+---------------+------+
            | Utf8View | Timestamp(ns) | 3    |
            +----------+---------------+------+
        "#]],
    )
    .await;
}

#[test]
fn a_crash_before_the_commit_leaves_nothing() {
    let table = Table::new();
    let mut sink = table.sink();
    let first = sink.stage(Epoch(1), vec![rows(0, &["A"])]).unwrap();
    sink.publish(&first).unwrap();
    sink.stage(Epoch(2), vec![rows(1, &["A"])]).unwrap();
    drop(sink);
    fs::write(
        table.stage_dir().join("ohlc-0000000002-001.parquet"),
        "half",
    )
    .unwrap();
    fs::write(
        table.stage_dir().join("other-0000000002-000.parquet"),
        "theirs",
    )
    .unwrap();
    let mut sink = table.sink();
    sink.recover(&first).unwrap();
    assert_eq!(table.staged(), ["other-0000000002-000.parquet"]);
    assert_eq!(
        table.published(),
        ["date=2019-10-01/ohlc-0000000001-000.parquet"]
    );
    let second = sink.stage(Epoch(2), vec![rows(1, &["A"])]).unwrap();
    sink.publish(&second).unwrap();
    assert_eq!(table.published().len(), 2);
}

#[test]
fn a_crash_after_the_commit_is_finished_by_the_restart() {
    let table = Table::new();
    let mut sink = table.sink();
    let windows = || vec![rows(-1, &["A", "B"]), rows(0, &["A"])];
    let files = sink.stage(Epoch(1), windows()).unwrap();
    // As if the process had ended between the two renames.
    sink.publish(&files[..1]).unwrap();
    drop(sink);
    for _ in 0..2 {
        let sink = table.sink();
        sink.recover(&files).unwrap();
        assert_eq!(table.published().len(), 2);
        assert_eq!(table.staged(), Vec::<String>::new());
    }
    let sink = table.sink();
    sink.publish(&files).unwrap();
}

#[test]
fn nothing_published_is_ever_overwritten() {
    let table = Table::new();
    let mut sink = table.sink();
    let files = sink.stage(Epoch(1), vec![rows(0, &["A"])]).unwrap();
    sink.publish(&files).unwrap();
    let before = fs::read(table.path().join(&files[0].published)).unwrap();
    // A job without its checkpoint starts again at epoch 1, with other rows.
    let other = sink.stage(Epoch(1), vec![rows(0, &["A", "B"])]).unwrap();
    let message = foreign(sink.publish(&other));
    assert!(
        message.contains("ohlc-0000000001-000.parquet is there already"),
        "{message}"
    );
    assert_eq!(
        fs::read(table.path().join(&files[0].published)).unwrap(),
        before
    );
    // With the same rows it is the same file: the bytes derive from nothing else.
    let same = sink.stage(Epoch(1), vec![rows(0, &["A"])]).unwrap();
    assert_eq!(same, files);
    sink.publish(&same).unwrap();
    assert_eq!(
        fs::read(table.path().join(&files[0].published)).unwrap(),
        before
    );
}

#[test]
fn a_committed_file_that_was_removed_by_hand_is_named() {
    let table = Table::new();
    let mut sink = table.sink();
    let files = sink.stage(Epoch(1), vec![rows(0, &["A"])]).unwrap();
    sink.publish(&files).unwrap();
    fs::remove_file(table.path().join(&files[0].published)).unwrap();
    let message = foreign(sink.recover(&files));
    assert!(
        message.contains("neither published nor staged"),
        "{message}"
    );
    assert!(
        message.contains("date=2019-10-01/ohlc-0000000001-000.parquet"),
        "{message}"
    );
}

#[test]
fn a_table_has_one_job_at_a_time() {
    let table = Table::new();
    let named = |job: &str| {
        let options = ParquetOptions {
            job: job.to_owned(),
            ..table.options()
        };
        ParquetSink::open(options, schema())
    };
    let mut one = named("one").unwrap();
    for job in ["one", "two"] {
        let message = foreign(named(job).map(drop));
        let holder = format!("process {} is writing", std::process::id());
        assert!(message.contains(&holder), "{message}");
        assert!(message.contains("another path"), "{message}");
    }
    let files = one.stage(Epoch(1), vec![rows(0, &["A"])]).unwrap();
    one.publish(&files).unwrap();
    drop(one);
    named("two").unwrap().recover(&[]).unwrap();
    assert_eq!(
        table.published(),
        ["date=2019-10-01/one-0000000001-000.parquet"]
    );
}

#[test]
fn rows_of_no_windows_make_no_file_and_no_pattern_makes_no_directory() {
    let table = Table::new();
    let options = ParquetOptions {
        time_pattern: None,
        filename_prefix: Some("live".to_owned()),
        sort_columns: Vec::new(),
        ..table.options()
    };
    let mut sink = ParquetSink::open(options, schema()).unwrap();
    assert_eq!(sink.stage(Epoch(1), Vec::new()).unwrap(), []);
    assert_eq!(sink.stage(Epoch(2), vec![rows(0, &[])]).unwrap(), []);
    let files = sink.stage(Epoch(3), vec![rows(0, &["A"])]).unwrap();
    sink.publish(&files).unwrap();
    assert_eq!(table.published(), ["live-ohlc-0000000003-000.parquet"]);
}

#[test]
fn every_codec_writes_a_file_that_reads_back() {
    for compression in [
        Compression::Uncompressed,
        Compression::Snappy,
        Compression::Gzip,
        Compression::Zstd,
        Compression::Lz4,
    ] {
        let table = Table::new();
        let options = ParquetOptions {
            compression,
            ..table.options()
        };
        let mut sink = ParquetSink::open(options, schema()).unwrap();
        let files = sink.stage(Epoch(1), vec![rows(0, &["A", "B"])]).unwrap();
        let file = fs::File::open(table.stage_dir().join(&files[0].staged)).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file);
        let reader = reader.unwrap();
        let read: usize = reader
            .build()
            .unwrap()
            .map(|rows| rows.unwrap().num_rows())
            .sum();
        assert_eq!(read, 2, "{compression:?}");
    }
}

#[test]
fn a_long_file_has_row_groups_of_the_wanted_size() {
    let table = Table::new();
    let limit = 500_000;
    let options = ParquetOptions {
        compression: Compression::Uncompressed,
        row_group_bytes: Some(limit),
        ..table.options()
    };
    let mut sink = ParquetSink::open(options, schema()).unwrap();
    let symbols = vec!["BINANCE:BTCUSDT"; 1000];
    let windows = (0..100).map(|minute| rows(minute, &symbols)).collect();
    let files = sink.stage(Epoch(1), windows).unwrap();
    let file = fs::File::open(table.stage_dir().join(&files[0].staged)).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file);
    let metadata = Arc::clone(reader.unwrap().metadata());
    assert_eq!(metadata.file_metadata().num_rows(), 100_000);
    let groups = metadata.row_groups();
    assert!(groups.len() > 2, "{} row groups", groups.len());
    for group in groups {
        let bytes = group.compressed_size() as u64;
        assert!(bytes <= limit * 11 / 10, "a row group of {bytes} bytes");
    }
}

#[test]
fn a_table_that_cannot_be_is_refused_before_anything_is_read() {
    let table = Table::new();
    let open = |path: PathBuf, pattern: &str| {
        let options = ParquetOptions {
            path,
            time_pattern: Some(pattern.to_owned()),
            ..table.options()
        };
        ParquetSink::open(options, schema())
    };
    let file = table.folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("ohlc")] {
        let message = not_writable(open(path, "date=%Y"));
        assert!(message.contains(file.to_str().unwrap()), "{message}");
        assert!(message.contains("move it away"), "{message}");
    }
    assert!(not_writable(open(PathBuf::from("/"), "date=%Y")).contains("cannot be a table"));
    let refused = open(table.path(), "../%Y");
    assert!(matches!(refused, Err(SinkError::Options(message)) if message.contains("../%Y")));
}

#[cfg(unix)]
#[test]
fn a_linked_table_is_staged_beside_what_it_leads_to() {
    let table = Table::new();
    let real = table.folder.path().join("disk/candles");
    fs::create_dir_all(&real).unwrap();
    fs::create_dir_all(table.path().parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&real, table.path()).unwrap();
    let mut sink = table.sink();
    let files = sink.stage(Epoch(1), vec![rows(0, &["A"])]).unwrap();
    assert!(table.folder.path().join("disk/_stage/candles").is_dir());
    sink.publish(&files).unwrap();
    assert_eq!(files_below(&real).len(), 1);
}
