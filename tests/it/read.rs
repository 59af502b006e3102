//! `stockpulse read` over Parquet files as the sink lays them out, as the real binary; and the
//! statements that README gives for datafusion-cli.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use chrono::DateTime;
use datafusion::prelude::SessionContext;
use expect_test::{Expect, expect};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

const MINUTE_NS: i64 = 60_000_000_000;

/// A table's folder, with a space and pattern characters in its path.
struct Table {
    folder: TempDir,
    name: &'static str,
}

impl Table {
    fn new() -> Table {
        Table::named("a [b]*?%20é")
    }

    fn named(name: &'static str) -> Table {
        let folder = tempfile::tempdir().unwrap();
        let table = Table { folder, name };
        fs::create_dir_all(table.path()).unwrap();
        table
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    /// One file of 1-minute candles: `(symbol, window_start, open)`.
    fn candles(&self, file: &str, candles: &[(&str, &str, f64)]) {
        self.file(file, &candle_batch(candles, MINUTE_NS));
    }

    fn file(&self, file: &str, batch: &RecordBatch) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_parquet(&path, batch);
    }

    fn text(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Two days, two symbols; the last candle of the first day lies in that day's folder.
    fn two_days() -> Table {
        Table::new().with_two_days()
    }

    fn with_two_days(self) -> Table {
        let table = self;
        table.candles(
            "date=2019-10-11/job-1.parquet",
            &[
                ("A", "2019-10-11T00:00:00Z", 1.5),
                ("B", "2019-10-11T00:00:00Z", 0.00141342),
            ],
        );
        table.candles(
            "date=2019-10-11/job-2.parquet",
            &[
                ("A", "2019-10-11T23:59:00Z", 2.0),
                ("B", "2019-10-11T23:59:00Z", 1e-7),
            ],
        );
        table.candles(
            "date=2019-10-12/job-3.parquet",
            &[("A", "2019-10-12T00:00:00Z", 3.0)],
        );
        table
    }

    fn read(&self, args: &[&str]) -> Output {
        read(&self.path(), args)
    }

    /// `symbol window_start` of every row, in the order of the answer.
    fn rows(&self, args: &[&str]) -> Vec<String> {
        let json = stdout(&self.read(args));
        let rows: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        rows.iter()
            .map(|row| {
                let text = |name: &str| row[name].as_str().unwrap().to_string();
                format!("{} {}", text("symbol"), text("window_start"))
            })
            .collect()
    }
}

fn candle_batch(candles: &[(&str, &str, f64)], width_ns: i64) -> RecordBatch {
    let starts: Vec<i64> = candles.iter().map(|(_, start, _)| nanos(start)).collect();
    let ends: Vec<i64> = starts.iter().map(|start| start + width_ns).collect();
    let columns: [(&str, ArrayRef); 4] = [
        (
            "symbol",
            Arc::new(StringArray::from_iter_values(
                candles.iter().map(|candle| candle.0),
            )),
        ),
        (
            "window_start",
            Arc::new(TimestampNanosecondArray::from(starts)),
        ),
        ("window_end", Arc::new(TimestampNanosecondArray::from(ends))),
        (
            "open",
            Arc::new(Float64Array::from_iter_values(
                candles.iter().map(|candle| candle.2),
            )),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn nanos(rfc3339: &str) -> i64 {
    let time = DateTime::parse_from_rfc3339(rfc3339).unwrap();
    time.timestamp_nanos_opt().unwrap()
}

fn write_parquet(path: &Path, batch: &RecordBatch) {
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockpulse"));
    command.arg("read").args(args).env_clear();
    command
}

fn read(path: &Path, args: &[&str]) -> Output {
    command(args).arg(path).output().unwrap()
}

/// What was written, of a run that went well and said nothing else.
fn stdout(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.as_ref()), (Some(0), ""));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Checks a run that failed: its exit code, and that standard error names all of `parts`.
fn check_failed(output: &Output, code: i32, parts: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no {part:?} in: {stderr}");
    }
}

fn check(args: &[&str], expected: Expect) {
    expected.assert_eq(&stdout(&Table::two_days().read(args)));
}

#[test]
fn every_format() {
    check(
        &[],
        expect![[r#"
        [{"symbol":"A","window_start":"2019-10-11T00:00:00Z","window_end":"2019-10-11T00:01:00Z","open":1.5},{"symbol":"A","window_start":"2019-10-11T23:59:00Z","window_end":"2019-10-12T00:00:00Z","open":2.0},{"symbol":"A","window_start":"2019-10-12T00:00:00Z","window_end":"2019-10-12T00:01:00Z","open":3.0},{"symbol":"B","window_start":"2019-10-11T00:00:00Z","window_end":"2019-10-11T00:01:00Z","open":0.00141342},{"symbol":"B","window_start":"2019-10-11T23:59:00Z","window_end":"2019-10-12T00:00:00Z","open":1.0e-7}]
    "#]],
    );
    check(
        &["--format", "ndjson", "--limit", "2"],
        expect![[r#"
        {"symbol":"A","window_start":"2019-10-11T00:00:00Z","window_end":"2019-10-11T00:01:00Z","open":1.5}
        {"symbol":"A","window_start":"2019-10-11T23:59:00Z","window_end":"2019-10-12T00:00:00Z","open":2.0}
    "#]],
    );
    check(
        &["--format", "csv"],
        expect![[r#"
        symbol,window_start,window_end,open
        A,2019-10-11T00:00:00Z,2019-10-11T00:01:00Z,1.5
        A,2019-10-11T23:59:00Z,2019-10-12T00:00:00Z,2.0
        A,2019-10-12T00:00:00Z,2019-10-12T00:01:00Z,3.0
        B,2019-10-11T00:00:00Z,2019-10-11T00:01:00Z,0.00141342
        B,2019-10-11T23:59:00Z,2019-10-12T00:00:00Z,1e-7
    "#]],
    );
    check(
        &["--format", "table", "--symbol", "A"],
        expect![[r#"
        +--------+----------------------+----------------------+------+
        | symbol | window_start         | window_end           | open |
        +--------+----------------------+----------------------+------+
        | A      | 2019-10-11T00:00:00Z | 2019-10-11T00:01:00Z | 1.5  |
        | A      | 2019-10-11T23:59:00Z | 2019-10-12T00:00:00Z | 2.0  |
        | A      | 2019-10-12T00:00:00Z | 2019-10-12T00:01:00Z | 3.0  |
        +--------+----------------------+----------------------+------+
    "#]],
    );
}

#[test]
fn no_row_is_an_empty_answer() {
    let later = ["--from", "2030-01-01"];
    let with = |format| ["--format", format, later[0], later[1]];
    check(
        &with("json"),
        expect![[r#"
        []
    "#]],
    );
    check(&with("ndjson"), expect![[""]]);
    check(
        &with("csv"),
        expect![[r#"
        symbol,window_start,window_end,open
    "#]],
    );
    check(
        &with("table"),
        expect![[r#"
        +--------+--------------+------------+------+
        | symbol | window_start | window_end | open |
        +--------+--------------+------------+------+
        +--------+--------------+------------+------+
    "#]],
    );
}

#[test]
fn rows_are_filtered_by_symbol_and_time_and_ordered() {
    let table = Table::two_days();
    assert_eq!(table.rows(&[]).len(), 5);
    assert_eq!(
        table.rows(&["--symbol", "B"]),
        ["B 2019-10-11T00:00:00Z", "B 2019-10-11T23:59:00Z"]
    );
    assert_eq!(table.rows(&["--symbol", "A,B", "--symbol", "C"]).len(), 5);
    assert!(table.rows(&["--symbol", "C"]).is_empty());
    assert_eq!(
        table.rows(&["--from", "2019-10-11T23:59:00Z", "--to", "2019-10-12"]),
        ["A 2019-10-11T23:59:00Z", "B 2019-10-11T23:59:00Z"]
    );
    assert_eq!(
        table.rows(&["--from", "2019-10-12"]),
        ["A 2019-10-12T00:00:00Z"]
    );
    assert_eq!(
        table.rows(&["--to", "1570752000001"]),
        ["A 2019-10-11T00:00:00Z", "B 2019-10-11T00:00:00Z"]
    );
    assert_eq!(
        table.rows(&["--limit", "4"]),
        [
            "A 2019-10-11T00:00:00Z",
            "A 2019-10-11T23:59:00Z",
            "A 2019-10-12T00:00:00Z",
            "B 2019-10-11T00:00:00Z"
        ]
    );
    assert!(table.rows(&["--limit", "0"]).is_empty());
}

#[test]
fn a_window_of_days_is_found_in_the_folder_of_its_end() {
    let table = Table::new();
    let weekly = candle_batch(
        &[("A", "2019-10-05T00:00:00Z", 1.0)],
        7 * 24 * 60 * MINUTE_NS,
    );
    table.file("date=2019-10-11/job-1.parquet", &weekly);
    assert_eq!(
        table.rows(&["--from", "2019-10-05", "--to", "2019-10-06"]),
        ["A 2019-10-05T00:00:00Z"]
    );
}

#[test]
fn a_folder_of_an_earlier_day_is_not_touched() {
    let table = Table::two_days();
    table.text("date=2019-10-11/broken.parquet", "this is no Parquet file");
    assert_eq!(
        table.rows(&["--from", "2019-10-12"]),
        ["A 2019-10-12T00:00:00Z"]
    );
    check_failed(&table.read(&[]), 1, &["date=2019-10-11/broken.parquet"]);
}

#[test]
fn a_single_file_and_a_flat_folder() {
    let table = Table::new();
    table.candles("b.parquet", &[("B", "2019-10-12T00:00:00Z", 1.0)]);
    table.candles("a.parquet", &[("A", "2019-10-11T00:00:00Z", 1.0)]);
    table.candles("c.pq", &[("C", "2019-10-11T00:00:00Z", 1.0)]);
    table.text("readme.txt", "not a table's file");
    let ordered = ["A 2019-10-11T00:00:00Z", "B 2019-10-12T00:00:00Z"];
    assert_eq!(table.rows(&[]), ordered);
    assert_eq!(table.rows(&["--from", "2019-10-11"]), ordered);
    assert_eq!(table.rows(&["--from", "2019-10-12"]), ordered[1..]);
    for file in ["a.parquet", "c.pq"] {
        let output = read(&table.path().join(file), &["--from", "2019-10-11"]);
        assert_eq!(stdout(&output).matches("window_start").count(), 1, "{file}");
    }
}

#[test]
fn columns_that_came_later_are_null_before() {
    let table = Table::two_days();
    let batch = candle_batch(&[("A", "2019-10-13T00:00:00Z", 4.0)], MINUTE_NS);
    let trades: ArrayRef = Arc::new(Float64Array::from(vec![7.0]));
    let mut columns: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .zip(batch.columns().to_vec())
        .collect();
    columns.push(("vwap".to_string(), trades));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    table.file("date=2019-10-13/job-4.parquet", &batch);
    let lines = stdout(&table.read(&["--format", "ndjson", "--symbol", "A"]));
    let vwaps: Vec<_> = lines
        .lines()
        .map(|line| line.rsplit_once("\"vwap\":").unwrap().1)
        .collect();
    assert_eq!(vwaps, ["null}", "null}", "null}", "7.0}"]);
}

#[test]
fn a_table_without_symbol_and_window_start() {
    let table = Table::new();
    let column: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let batch = RecordBatch::try_from_iter([("word", column)]).unwrap();
    table.file("words.parquet", &batch);
    assert_eq!(stdout(&table.read(&["--format", "csv"])), "word\nx\ny\n");
    check_failed(
        &table.read(&["--symbol", "A"]),
        2,
        &["no column symbol", "its columns are word"],
    );
    check_failed(
        &table.read(&["--to", "2019-10-11"]),
        2,
        &["no column window_start"],
    );
}

#[test]
fn files_that_do_not_go_together_are_named() {
    let table = Table::two_days();
    let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    let batch = RecordBatch::try_from_iter([("symbol", column)]).unwrap();
    table.file("date=2019-10-12/other.parquet", &batch);
    check_failed(&table.read(&[]), 1, &["same columns", "symbol"]);
}

#[test]
fn nothing_there_says_so() {
    let table = Table::new();
    let missing = read(&table.path().join("nowhere"), &[]);
    check_failed(
        &missing,
        1,
        &[
            "no Parquet files in",
            "nowhere",
            "does not exist",
            "has the job",
        ],
    );
    for args in [&[][..], &["--from", "2019-10-11"]] {
        check_failed(
            &table.read(args),
            1,
            &["no Parquet files in", "has the job written any?"],
        );
    }
    table.text("date=2019-10-11/empty.parquet", "");
    check_failed(&table.read(&[]), 1, &["no Parquet files in"]);
}

#[test]
fn the_default_path_is_the_environments() {
    let table = Table::two_days();
    let output = command(&[]).env("CANDLES_PATH", table.path()).output();
    assert_eq!(stdout(&output.unwrap()), stdout(&table.read(&[])));
    let output = command(&[])
        .env("CANDLES_PATH", "")
        .current_dir(table.folder.path())
        .output();
    check_failed(&output.unwrap(), 1, &["data/ohlc"]);
}

#[test]
fn an_output_file_appears_whole_or_not_at_all() {
    let table = Table::two_days();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("candles.json");
    let to = target.to_str().unwrap();
    fs::write(&target, "old").unwrap();

    check_failed(
        &table.read(&["-o", to, "--symbol", "A", "--to", "x"]),
        2,
        &[],
    );
    table.text("date=2019-10-12/broken.parquet", "this is no Parquet file");
    check_failed(&table.read(&["-o", to]), 1, &["broken.parquet"]);
    assert_eq!(fs::read_to_string(&target).unwrap(), "old");

    fs::remove_file(table.path().join("date=2019-10-12/broken.parquet")).unwrap();
    assert_eq!(stdout(&table.read(&["-o", to])), "");
    assert_eq!(
        fs::read_to_string(&target).unwrap(),
        stdout(&table.read(&[]))
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "something is left over"
    );

    let missing = folder.path().join("nowhere").join("x.json");
    check_failed(
        &table.read(&["-o", missing.to_str().unwrap()]),
        7,
        &["nowhere", "cannot be written"],
    );
    check_failed(
        &table.read(&["-o", folder.path().to_str().unwrap()]),
        7,
        &["directory"],
    );
    assert_eq!(stdout(&table.read(&["-o", "/dev/null"])), "");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let table = Table::new();
    let many: Vec<_> = (0..50_000)
        .map(|i| ("A", "2019-10-11T00:00:00Z", f64::from(i)))
        .collect();
    table.candles("date=2019-10-11/job-1.parquet", &many);
    for format in ["json", "ndjson", "csv", "table"] {
        let mut child = command(&["--format", format, "--limit", "50000"])
            .arg(table.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdout.take().unwrap();
        pipe.read_exact(&mut [0; 10]).unwrap();
        drop(pipe);
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), stderr.as_str()),
            (Some(0), ""),
            "{format}"
        );
    }
}

#[test]
fn a_table_for_the_eye_is_cut_and_says_so() {
    let table = Table::new();
    let many: Vec<_> = (0..1_001)
        .map(|i| ("A", "2019-10-11T00:00:00Z", f64::from(i)))
        .collect();
    table.candles("date=2019-10-11/job-1.parquet", &many);
    let output = table.read(&["--format", "table"]);
    assert_eq!(output.status.code(), Some(0));
    let rows = String::from_utf8(output.stdout)
        .unwrap()
        .matches("| A ")
        .count();
    assert_eq!(rows, 1000);
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("--limit")
    );
    let all = stdout(&table.read(&["--format", "table", "--limit", "1001"]));
    assert_eq!(all.matches("| A ").count(), 1001);
}

/// The statements as README shows them; the folder is put in place of its own.
const README_SET: &str = "SET datafusion.runtime.list_files_cache_limit = '0'";
const README_CREATE: &str = "CREATE EXTERNAL TABLE ohlc STORED AS PARQUET LOCATION 'data/ohlc/'";
const README_SELECT: &str = "SELECT symbol, window_start, open FROM ohlc WHERE date = '2019-10-13'";

async fn rows_of(session: &SessionContext, sql: &str) -> usize {
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Rows that a running session sees after one more file has come: of the table, of its day.
fn rows_after_a_new_file(before: &[&str]) -> (usize, usize) {
    let table = Table::named("ohlc").with_two_days();
    let folder = format!("{}/", table.path().to_str().unwrap());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let session = SessionContext::new();
        for statement in before {
            let statement = statement.replace("'data/ohlc/'", &format!("'{folder}'"));
            session
                .sql(&statement)
                .await
                .unwrap()
                .collect()
                .await
                .unwrap();
        }
        assert_eq!(rows_of(&session, "SELECT * FROM ohlc").await, 5);
        table.candles(
            "date=2019-10-13/job-4.parquet",
            &[
                ("A", "2019-10-13T00:00:00Z", 4.0),
                ("B", "2019-10-13T00:00:00Z", 4.0),
            ],
        );
        (
            rows_of(&session, "SELECT * FROM ohlc").await,
            rows_of(&session, README_SELECT).await,
        )
    })
}

#[test]
fn a_running_session_sees_new_files_only_without_the_listing_cache() {
    assert_eq!(rows_after_a_new_file(&[README_SET, README_CREATE]), (7, 2));
    assert_eq!(rows_after_a_new_file(&[README_CREATE]), (5, 0));
}
