//! How a table's options cut its rows into folders, files and commits.

use std::time::{Duration, Instant};

use expect_test::expect;
use stockpulse::model::{Epoch, Exit};
use stockpulse::source::replay::ReplayTopic;

use super::exact::OHLC;
use super::harness::noon;
use super::harness::{Bench, Regime, frame_of, listing, read_rows};

const FORMAT: &str = "    format = 'parquet',\n";

/// `sql/ohlc.sql` with more options of its table.
fn with(options: &str) -> String {
    assert_eq!(OHLC.matches(FORMAT).count(), 1);
    OHLC.replace(FORMAT, &format!("{FORMAT}    {options},\n"))
}

/// 2026-08-01T10:00:00Z and so many minutes later, two ticks.
fn append(topic: &ReplayTopic, minute: i64) {
    let time = 1_785_578_400_000 + minute * 60_000;
    for symbol in ["BINANCE:BTCUSDT", "ETH"] {
        let frame = format!(
            r#"{{"type":"trade","data":[{{"s":"{symbol}","p":{minute}.5,"t":{time},"v":1}}]}}"#
        );
        let mut frame = frame_of(frame.as_bytes());
        frame.timestamp_ms = Some(time);
        topic.append(0, frame);
    }
}

#[test]
fn a_column_can_be_a_folder_and_another_choice_is_another_table() {
    let mut bench = Bench::new(&with("'partitioning.fields' = [symbol]"));
    let topic = ReplayTopic::new("raw_ticks", 1);
    (0..2).for_each(|minute| append(&topic, minute));
    bench.run_at(&topic, &Regime::default(), noon).unwrap();
    let files = listing(&bench.table());
    expect![[r#"
        date=2026-08-01/symbol=BINANCE:BTCUSDT/ohlc-0000000001-000.parquet
        date=2026-08-01/symbol=ETH/ohlc-0000000001-001.parquet"#]]
    .assert_eq(&files.join("\n"));
    let rows = read_rows(
        &bench.table(),
        "SELECT window_start, close FROM t ORDER BY 1, 2",
    );
    assert_eq!(rows.len(), 4);
    for other in [
        "'partitioning.fields' = [trades]",
        "'filename.prefix' = 'x'",
    ] {
        bench.sql = with(other);
        let refused = bench.run_at(&topic, &Regime::default(), noon).unwrap_err();
        assert_eq!(refused.exit(), Exit::Mismatch);
        let told = refused.to_string();
        assert!(
            told.contains("partitioning ohlc: date=%Y-%m-%d, symbol →"),
            "{told}"
        );
    }
}

#[test]
fn rows_wait_for_the_interval_unless_nothing_happens() {
    let sql = with("'rolling_policy.inactivity_interval' = interval '100 milliseconds'");
    let interval = "'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'";
    assert_eq!(sql.matches(interval).count(), 1);
    let bench = Bench::new(&sql.replace(interval, "'rolling_policy.interval' = interval '1 hour'"));
    let topic = ReplayTopic::new("raw_ticks", 1);
    (0..4).for_each(|minute| append(&topic, minute));
    let unbounded = Regime {
        bounded: false,
        ..Regime::default()
    };
    let begun = Instant::now();
    let mut appended = None;
    let summary = bench.run_until(&topic, &unbounded, |report| {
        assert!(begun.elapsed() < Duration::from_secs(30), "{report:?}");
        if report.epoch == Some(Epoch(1)) && appended.is_none() {
            appended = Some(Instant::now());
            (4..8).for_each(|minute| append(&topic, minute));
        }
        report.epoch == Some(Epoch(2))
    });
    assert_eq!(summary.unwrap().epoch, Some(Epoch(2)));
    assert!(appended.unwrap().elapsed() >= Duration::from_millis(100));
}
