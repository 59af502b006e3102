//! What is printed: a bare SELECT, alone and beside an INSERT, and rows INTO a table on standard output.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use expect_test::{Expect, expect};
use stockpulse::job::{Console, JobError, Summary};
use stockpulse::source::replay::{ReplayFrame, ReplayTopic};

use super::exact::OHLC;
use super::harness::{Bench, Regime, listing, long_before, noon};

/// 2026-08-01T10:00:00Z, milliseconds.
const START_MS: i64 = 1_785_578_400_000;

fn append(topic: &ReplayTopic, ticks: &[(&str, f64, i64)]) {
    for (symbol, price, seconds) in ticks {
        let time = START_MS + seconds * 1000;
        let frame = format!(
            r#"{{"type":"trade","data":[{{"s":"{symbol}","p":{price},"t":{time},"v":2}}]}}"#
        );
        let frame = ReplayFrame {
            timestamp_ms: Some(time),
            key: None,
            payload: Some(frame.into_bytes()),
        };
        topic.append(0, frame);
    }
}

/// Two minutes that close (the watermark is a minute behind), and one that does not.
fn topic() -> ReplayTopic {
    let topic = ReplayTopic::new("raw_ticks", 1);
    append(
        &topic,
        &[
            ("BTC", 10.0, 0),
            ("ETH", 2.5, 10),
            ("BTC", 12.0, 30),
            ("BTC", 20.0, 70),
            ("BTC", 22.0, 125),
            ("ETH", 1234.25, 185),
        ],
    );
    topic
}

/// The tables and views of `sql/ohlc.sql`, without its INSERT.
fn tables() -> &'static str {
    OHLC.split_once("INSERT INTO ohlc").unwrap().0
}

fn select(width: &str) -> String {
    format!(
        "SELECT symbol, tumble(interval '{width}') AS window, max(price) AS high FROM ticks GROUP BY 1, 2"
    )
}

/// What was printed; from `closed_after` bytes on nobody reads.
#[derive(Clone, Default)]
pub struct Paper {
    text: Arc<Mutex<Vec<u8>>>,
    closed_after: Option<usize>,
}

impl Paper {
    pub fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.text.lock().unwrap();
        if self.closed_after.is_some_and(|limit| text.len() >= limit) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs the bench's file; what it printed beside how it ended.
fn print(
    bench: &Bench,
    topic: &ReplayTopic,
    clock: fn() -> i64,
    closed_after: Option<usize>,
) -> (String, Result<Summary, JobError>) {
    let paper = Paper {
        closed_after,
        ..Paper::default()
    };
    let mut spec = bench.spec_at(&Regime::default(), clock).unwrap();
    spec.console = Console::new(Box::new(paper.clone()));
    let ended = stockpulse::job::run(spec, topic, &mut |_| {});
    (paper.text(), ended)
}

fn check(bench: &Bench, topic: &ReplayTopic, clock: fn() -> i64, expected: &Expect) -> Summary {
    let (text, ended) = print(bench, topic, clock, None);
    expected.assert_eq(&text);
    ended.unwrap()
}

#[test]
fn a_select_is_shown_anew_each_time_and_leaves_nothing_behind() {
    let bench = Bench::new(&(tables().to_string() + &select("1 minute")));
    let topic = topic();
    for _ in 0..2 {
        let summary = check(
            &bench,
            &topic,
            long_before,
            &expect![[r#"
             symbol | window                                                 |      high
            --------+--------------------------------------------------------+-----------
             BTC    | {start: 2026-08-01T10:00:00, end: 2026-08-01T10:01:00} |      12.0
             ETH    | {start: 2026-08-01T10:00:00, end: 2026-08-01T10:01:00} |       2.5
             BTC    | {start: 2026-08-01T10:01:00, end: 2026-08-01T10:02:00} |      20.0
        "#]],
        );
        assert!(summary.is_preview);
        assert_eq!((summary.epoch, summary.rows, summary.files), (None, 0, 0));
        assert_eq!((summary.rows_printed, summary.open_windows), (3, 2));
        assert!(summary.counts.balanced());
        assert_eq!(listing(bench.dir.path()), Vec::<String>::new());
        assert!(topic.committed().0.is_empty());
    }
}

#[test]
fn rows_without_a_window_are_shown_as_they_come() {
    let select = "SELECT symbol, price, _timestamp AS at, price > 15 AS is_high FROM ticks WHERE price < 1000";
    let bench = Bench::new(&(tables().to_string() + select));
    check(
        &bench,
        &topic(),
        noon,
        &expect![[r#"
         symbol |     price | at                  | is_high
        --------+-----------+---------------------+---------
         BTC    |      10.0 | 2026-08-01T10:00:00 | false
         ETH    |       2.5 | 2026-08-01T10:00:10 | false
         BTC    |      12.0 | 2026-08-01T10:00:30 | false
         BTC    |      20.0 | 2026-08-01T10:01:10 | true
         BTC    |      22.0 | 2026-08-01T10:02:05 | true
    "#]],
    );
}

#[test]
fn several_selects_have_headings() {
    let sql = format!(
        "{}{};\n{};",
        tables(),
        select("1 minute"),
        select("2 minutes")
    );
    let bench = Bench::new(&sql);
    check(
        &bench,
        &topic(),
        noon,
        &expect![[r#"
        -- query at line 80
         symbol | window                                                 |      high
        --------+--------------------------------------------------------+-----------
         BTC    | {start: 2026-08-01T10:00:00, end: 2026-08-01T10:01:00} |      12.0
         ETH    | {start: 2026-08-01T10:00:00, end: 2026-08-01T10:01:00} |       2.5
         BTC    | {start: 2026-08-01T10:01:00, end: 2026-08-01T10:02:00} |      20.0
         BTC    | {start: 2026-08-01T10:02:00, end: 2026-08-01T10:03:00} |      22.0
         ETH    | {start: 2026-08-01T10:03:00, end: 2026-08-01T10:04:00} |   1234.25

        -- query at line 81
         symbol | window                                                 |      high
        --------+--------------------------------------------------------+-----------
         BTC    | {start: 2026-08-01T10:00:00, end: 2026-08-01T10:02:00} |      20.0
         ETH    | {start: 2026-08-01T10:00:00, end: 2026-08-01T10:02:00} |       2.5
         BTC    | {start: 2026-08-01T10:02:00, end: 2026-08-01T10:04:00} |      22.0
         ETH    | {start: 2026-08-01T10:02:00, end: 2026-08-01T10:04:00} |   1234.25
    "#]],
    );
}

#[test]
fn a_select_beside_an_insert_is_printed_along_and_may_be_edited() {
    let mut bench = Bench::new(&(OHLC.to_string() + &select("1 minute")));
    let topic = topic();
    let summary = check(
        &bench,
        &topic,
        long_before,
        &expect![[r#"
         symbol | window                                                 |      high
        --------+--------------------------------------------------------+-----------
         BTC    | {start: 2026-08-01T10:00:00, end: 2026-08-01T10:01:00} |      12.0
         ETH    | {start: 2026-08-01T10:00:00, end: 2026-08-01T10:01:00} |       2.5
         BTC    | {start: 2026-08-01T10:01:00, end: 2026-08-01T10:02:00} |      20.0
    "#]],
    );
    assert!(!summary.is_preview);
    assert_eq!((summary.rows, summary.rows_printed), (3, 3));
    assert!(!topic.committed().0.is_empty());
    append(&topic, &[("BTC", 23.0, 150), ("BTC", 30.0, 190)]);
    // The window of ten o'clock began before what is read again: half of it is not shown.
    bench.sql = OHLC.to_string() + &select("3 minutes");
    let summary = check(
        &bench,
        &topic,
        noon,
        &expect![[r#"
         symbol | window                                                 |      high
        --------+--------------------------------------------------------+-----------
         ETH    | {start: 2026-08-01T10:03:00, end: 2026-08-01T10:06:00} |   1234.25
         BTC    | {start: 2026-08-01T10:03:00, end: 2026-08-01T10:06:00} |      30.0
    "#]],
    );
    assert_eq!((summary.rows, summary.rows_printed), (3, 2));
    // Taken out altogether.
    bench.sql = OHLC.to_string();
    let summary = check(&bench, &topic, noon, &expect![[""]]);
    assert_eq!((summary.epoch, summary.rows), (None, 0));
    assert_eq!(bench.rows().len(), 6);
}

/// `sql/ohlc.sql` that prints its candles.
fn printing() -> String {
    let (before, rest) = OHLC.split_once("CREATE TABLE ohlc (").unwrap();
    let (columns, rest) = rest.split_once(") WITH (").unwrap();
    let (_, after) = rest.split_once(");").unwrap();
    format!(
        "{before}CREATE TABLE ohlc ({columns}) WITH (connector = 'stdout', format = 'json', 'json.timestamp_format' = 'RFC3339');{after}"
    )
}

#[test]
fn rows_into_standard_output_are_json_and_committed() {
    let bench = Bench::new(&printing());
    let topic = topic();
    let summary = check(
        &bench,
        &topic,
        long_before,
        &expect![[r#"
        {"symbol":"BTC","window_start":"2026-08-01T10:00:00","window_end":"2026-08-01T10:01:00","open":10.0,"high":12.0,"low":10.0,"close":12.0,"volume":4.0,"trades":2}
        {"symbol":"ETH","window_start":"2026-08-01T10:00:00","window_end":"2026-08-01T10:01:00","open":2.5,"high":2.5,"low":2.5,"close":2.5,"volume":2.0,"trades":1}
        {"symbol":"BTC","window_start":"2026-08-01T10:01:00","window_end":"2026-08-01T10:02:00","open":20.0,"high":20.0,"low":20.0,"close":20.0,"volume":2.0,"trades":1}
    "#]],
    );
    assert_eq!(
        (summary.rows, summary.files, summary.rows_printed),
        (0, 0, 3)
    );
    assert!(summary.epoch.is_some());
    assert!(!bench.table().exists());
    let summary = check(&bench, &topic, long_before, &expect![[""]]);
    assert_eq!(summary.epoch, None);
    append(&topic, &[("BTC", 23.0, 150), ("BTC", 30.0, 190)]);
    check(
        &bench,
        &topic,
        noon,
        &expect![[r#"
        {"symbol":"BTC","window_start":"2026-08-01T10:02:00","window_end":"2026-08-01T10:03:00","open":22.0,"high":23.0,"low":22.0,"close":23.0,"volume":4.0,"trades":2}
        {"symbol":"ETH","window_start":"2026-08-01T10:03:00","window_end":"2026-08-01T10:04:00","open":1234.25,"high":1234.25,"low":1234.25,"close":1234.25,"volume":2.0,"trades":1}
        {"symbol":"BTC","window_start":"2026-08-01T10:03:00","window_end":"2026-08-01T10:04:00","open":30.0,"high":30.0,"low":30.0,"close":30.0,"volume":2.0,"trades":1}
    "#]],
    );
}

#[test]
fn a_job_ends_well_when_nobody_reads_and_what_was_not_printed_is_printed_next_time() {
    let bench = Bench::new(&printing());
    let topic = topic();
    let (text, ended) = print(&bench, &topic, noon, Some(0));
    assert_eq!(text, "");
    let summary = ended.unwrap();
    assert_eq!((summary.epoch, summary.rows_printed), (None, 0));
    let (text, ended) = print(&bench, &topic, noon, None);
    assert_eq!(text.lines().count() as u64, ended.unwrap().rows_printed);
    assert_eq!(text.lines().count(), 5);
    // A preview, too.
    let bench = Bench::new(&(tables().to_string() + &select("1 minute")));
    let (_, ended) = print(&bench, &topic, noon, Some(0));
    assert_eq!(ended.unwrap().rows_printed, 0);
}

#[test]
fn rows_without_a_window_are_shown_with_their_event_time() {
    let sql = format!(
        "{}SELECT symbol, price, _timestamp FROM ticks WHERE price > 15;",
        tables()
    );
    check(
        &Bench::new(&sql),
        &topic(),
        long_before,
        &expect![[r#"
         symbol |     price | _timestamp
        --------+-----------+---------------------
         BTC    |      20.0 | 2026-08-01T10:01:10
         BTC    |      22.0 | 2026-08-01T10:02:05
         ETH    |   1234.25 | 2026-08-01T10:03:05
    "#]],
    );
}
