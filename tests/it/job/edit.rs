//! The SQL is edited and run again; Kafka has lost something; a quiet market: what goes on and what is refused.

use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use stockpulse::job::{JobError, Summary};
use stockpulse::model::Exit;
use stockpulse::query::SinkOptions;
use stockpulse::source::replay::{ReplayFrame, ReplayTopic};

use super::exact::OHLC;
use super::harness::{Bench, Regime, counts, listing, long_before, noon, read_rows};

/// 2026-08-01T10:00:00Z, milliseconds.
const START_MS: i64 = 1_785_578_400_000;
/// A test that waits for something gives up after this.
const PATIENCE: Duration = Duration::from_secs(30);

/// A frame of one tick, `seconds` after ten o'clock.
fn frame(symbol: &str, price: f64, seconds: i64) -> ReplayFrame {
    let time = START_MS + seconds * 1000;
    let text =
        format!(r#"{{"type":"trade","data":[{{"s":"{symbol}","p":{price},"t":{time},"v":2}}]}}"#);
    ReplayFrame {
        timestamp_ms: Some(time),
        key: None,
        payload: Some(text.into_bytes()),
    }
}

pub fn append(topic: &ReplayTopic, ticks: &[(f64, i64)]) {
    for &(price, seconds) in ticks {
        topic.append(0, frame("BTC", price, seconds));
    }
}

/// A second table beside the candles, with other windows.
pub const VOLUMES: &str = "
CREATE TABLE volumes (symbol TEXT, window_start TIMESTAMP, volume DOUBLE) WITH (
    connector = 'filesystem', type = 'sink', format = 'parquet', path = '{{ CANDLES_PATH }}_volumes'
);
INSERT INTO volumes
SELECT symbol, window.start, volume FROM (
    SELECT symbol, tumble(interval '2 minutes') AS window, sum(volume) AS volume
    FROM ticks GROUP BY symbol, window
);
";

/// One partition: a minute that closes, and one that stays open.
pub fn topic() -> ReplayTopic {
    let topic = ReplayTopic::new("raw_ticks", 1);
    append(&topic, &[(10.0, 0), (12.0, 30), (20.0, 70), (22.0, 125)]);
    topic
}

/// `sql/ohlc.sql` with replacements, each of which must be found.
pub fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(OHLC.to_string(), |sql, (old, new)| {
        assert_eq!(sql.matches(old).count(), 1, "{old}");
        sql.replace(old, new)
    })
}

/// Runs `OHLC` over [`topic`], then what `edits` make of it over some more.
fn rerun(edits: &[(&str, &str)]) -> (Bench, Result<Summary, JobError>) {
    let mut bench = Bench::new(OHLC);
    let topic = topic();
    let first = bench
        .run_at(&topic, &Regime::default(), long_before)
        .unwrap();
    assert_eq!((first.rows, first.open_windows), (1, 2));
    append(&topic, &[(21.0, 80), (30.0, 190)]);
    bench.sql = edited(edits);
    let second = bench.run_at(&topic, &Regime::default(), noon);
    (bench, second)
}

/// The message of a refusal, with the bench's folder as `DIR`.
fn refusal(bench: &Bench, result: Result<Summary, JobError>, exit: Exit, expected: &Expect) {
    let error = result.unwrap_err();
    assert_eq!(error.exit(), exit, "{error}");
    let folder = bench.dir.path().display().to_string();
    expected.assert_eq(&error.to_string().replace(&folder, "DIR"));
}

fn refuses(edits: &[(&str, &str)], expected: &Expect) {
    let (bench, result) = rerun(edits);
    let rows = bench.rows();
    assert_eq!(rows.len(), 1, "nothing was written: {rows:?}");
    refusal(&bench, result, Exit::Mismatch, expected);
}

const PLAIN: [&str; 4] = [
    "BTC,2026-08-01T10:00:00Z,2026-08-01T10:01:00Z,10.0,12.0,10.0,12.0,4.0,2",
    "BTC,2026-08-01T10:01:00Z,2026-08-01T10:02:00Z,20.0,21.0,20.0,21.0,4.0,2",
    "BTC,2026-08-01T10:02:00Z,2026-08-01T10:03:00Z,22.0,22.0,22.0,22.0,2.0,1",
    "BTC,2026-08-01T10:03:00Z,2026-08-01T10:04:00Z,30.0,30.0,30.0,30.0,2.0,1",
];

#[test]
fn comments_layout_and_options_that_change_no_row_go_on() {
    let (bench, result) = rerun(&[
        ("-- (4) The candles.", "-- edited\n\n-- The candles."),
        ("    GROUP BY symbol, window", "  GROUP  BY\n symbol,window"),
        (
            "    format = 'parquet',",
            "    format = 'parquet', 'parquet.compression' = 'snappy', 'filename.prefix' = 'x',",
        ),
    ]);
    assert_eq!(counts(&result.unwrap())["in_windows"], 6);
    assert_eq!(bench.rows(), PLAIN);
}

#[test]
fn a_run_without_anything_new_writes_nothing() {
    let bench = Bench::new(OHLC);
    let topic = topic();
    let first = bench.run_at(&topic, &Regime::default(), noon).unwrap();
    let files = listing(bench.dir.path());
    let again = bench.run_at(&topic, &Regime::default(), noon).unwrap();
    assert_eq!((again.epoch, again.rows, again.files), (None, 0, 0));
    assert_eq!(again.counts, first.counts);
    assert_eq!(listing(bench.dir.path()), files);
}

#[test]
fn an_added_column_is_in_the_windows_that_were_still_open() {
    let (bench, result) = rerun(&[
        (
            "    trades BIGINT\n",
            "    trades BIGINT,\n    mean DOUBLE\n",
        ),
        (
            "low, close, volume, trades\n",
            "low, close, volume, trades, mean\n",
        ),
        (
            "        count(*) AS trades\n",
            "        count(*) AS trades,\n        avg(price) AS mean\n",
        ),
    ]);
    result.unwrap();
    let query = "SELECT window_start, trades, mean FROM t ORDER BY window_start";
    assert_eq!(
        read_rows(&bench.table(), query),
        [
            "2026-08-01T10:00:00Z,2,null",
            "2026-08-01T10:01:00Z,2,20.5",
            "2026-08-01T10:02:00Z,1,22.0",
            "2026-08-01T10:03:00Z,1,30.0",
        ]
    );
}

#[test]
fn an_edited_condition_holds_for_the_windows_that_were_still_open() {
    let (bench, result) = rerun(&[(
        "tick.t IS NOT NULL;",
        "tick.t IS NOT NULL AND tick.p > 20.5;",
    )]);
    result.unwrap();
    assert_eq!(
        bench.rows(),
        [
            PLAIN[0],
            "BTC,2026-08-01T10:01:00Z,2026-08-01T10:02:00Z,21.0,21.0,21.0,21.0,2.0,1",
            PLAIN[2],
            PLAIN[3],
        ]
    );
}

#[test]
fn an_edited_aggregate_holds_for_the_windows_that_were_still_open() {
    let (bench, result) = rerun(&[(
        "        max(price) AS high",
        "        max(price) + 100 AS high",
    )]);
    result.unwrap();
    let highs = read_rows(&bench.table(), "SELECT high FROM t ORDER BY window_start");
    assert_eq!(highs, ["12.0", "121.0", "122.0", "130.0"]);
}

#[test]
fn another_window_is_refused() {
    refuses(
        &[(
            "tumble(interval '1 minute') AS",
            "tumble(interval '5 minutes') AS",
        )],
        &expect![[r#"
            the checkpoint in DIR/data/_checkpoints/ohlc was written for another query (was → is):
              window ohlc: tumble 60 s → tumble 300 s
            To go on would mix rows of both, or begin a table with half a window. You can
              - undo the edit
              - make it a job of its own: another path for the table (CANDLES_PATH), another checkpoint location
              - add --rebuild: everything that Kafka retains is computed again by this SQL beside the table, then takes its place; what was there is kept aside"#]],
    );
}

#[test]
fn another_key_is_refused() {
    refuses(
        &[
            (
                "    symbol TEXT,\n    window_start",
                "    symbol TEXT,\n    side TEXT,\n    window_start",
            ),
            (
                "SELECT symbol, window.start",
                "SELECT symbol, side, window.start",
            ),
            (
                "        symbol,\n        tumble",
                "        symbol,\n        CASE WHEN volume > 1 THEN 'large' ELSE 'small' END AS side,\n        tumble",
            ),
            ("GROUP BY symbol, window", "GROUP BY symbol, side, window"),
        ],
        &expect![[r#"
            the checkpoint in DIR/data/_checkpoints/ohlc was written for another query (was → is):
              keys ohlc: get_field(data, Utf8("s")) → get_field(data, Utf8("s")), CASE WHEN get_field(data, Utf8("v")) > CAST(Int64(1) AS Float64) THEN Utf8("large") ELSE Utf8("small") END
            To go on would mix rows of both, or begin a table with half a window. You can
              - undo the edit
              - make it a job of its own: another path for the table (CANDLES_PATH), another checkpoint location
              - add --rebuild: everything that Kafka retains is computed again by this SQL beside the table, then takes its place; what was there is kept aside"#]],
    );
}

#[test]
fn a_removed_column_is_refused() {
    refuses(
        &[
            ("    volume DOUBLE,\n", ""),
            ("low, close, volume, trades\n", "low, close, trades\n"),
            ("        sum(volume) AS volume,\n", ""),
        ],
        &expect![[r#"
            the checkpoint in DIR/data/_checkpoints/ohlc was written for another query (was → is):
              columns ohlc: volume DOUBLE → nothing
            To go on would mix rows of both, or begin a table with half a window. You can
              - undo the edit
              - make it a job of its own: another path for the table (CANDLES_PATH), another checkpoint location
              - add --rebuild: everything that Kafka retains is computed again by this SQL beside the table, then takes its place; what was there is kept aside"#]],
    );
}

#[test]
fn another_type_of_a_column_is_refused() {
    refuses(
        &[("    trades BIGINT\n", "    trades DOUBLE\n")],
        &expect![[r#"
            the checkpoint in DIR/data/_checkpoints/ohlc was written for another query (was → is):
              columns ohlc: trades BIGINT → trades DOUBLE
            To go on would mix rows of both, or begin a table with half a window. You can
              - undo the edit
              - make it a job of its own: another path for the table (CANDLES_PATH), another checkpoint location
              - add --rebuild: everything that Kafka retains is computed again by this SQL beside the table, then takes its place; what was there is kept aside"#]],
    );
}

#[test]
fn another_path_for_the_same_checkpoint_is_refused() {
    refuses(
        &[("{{ CANDLES_PATH | data/ohlc }}", "{{ CANDLES_PATH }}_new")],
        &expect![[r#"
            the checkpoint in DIR/data/_checkpoints/ohlc was written for another query (was → is):
              path ohlc: DIR/data/ohlc → DIR/data/ohlc_new
            To go on would mix rows of both, or begin a table with half a window. You can
              - undo the edit
              - make it a job of its own: another path for the table (CANDLES_PATH), another checkpoint location
              - add --rebuild: everything that Kafka retains is computed again by this SQL beside the table, then takes its place; what was there is kept aside"#]],
    );
}

#[test]
fn another_topic_for_the_same_checkpoint_is_refused() {
    refuses(
        &[("{{ KAFKA_TOPIC | raw_ticks }}", "other_ticks")],
        &expect![[r#"
            the checkpoint in DIR/data/_checkpoints/ohlc was written for another query (was → is):
              topic: raw_ticks → other_ticks
            To go on would mix rows of both, or begin a table with half a window. You can
              - undo the edit
              - make it a job of its own: another path for the table (CANDLES_PATH), another checkpoint location
              - add --rebuild: everything that Kafka retains is computed again by this SQL beside the table, then takes its place; what was there is kept aside"#]],
    );
}

#[test]
fn another_path_with_its_own_checkpoint_is_a_new_job_from_the_start() {
    let bench = Bench::new(OHLC);
    let topic = topic();
    bench.run_at(&topic, &Regime::default(), noon).unwrap();
    let other = Bench::new(&edited(&[(
        "tumble(interval '1 minute') AS",
        "tumble(interval '5 minutes') AS",
    )]));
    let mut spec = other.spec_at(&Regime::default(), noon).unwrap();
    let path = bench.dir.path().join("data/ohlc5");
    let SinkOptions::Filesystem(files) = &mut spec.plan.outputs[0].sink else {
        panic!("files");
    };
    files.path = path.clone();
    spec.checkpoint_dir = stockpulse::sink::default_checkpoint_dir(&path).map(Into::into);
    stockpulse::job::run(spec, &topic, &mut |_| {}).unwrap();
    assert_eq!(read_rows(&path, "SELECT trades FROM t"), ["4"]);
    assert_eq!(bench.rows(), PLAIN_TOPIC);
}

#[test]
fn other_names_for_views_and_columns_go_on() {
    let (bench, result) = rerun(&[
        ("CREATE VIEW ticks AS", "CREATE VIEW trade_ticks AS"),
        ("    FROM ticks\n", "    FROM trade_ticks AS t\n"),
        ("    tick.s AS symbol,", "    tick.s AS instrument,"),
        (
            "        symbol,\n        tumble",
            "        t.instrument AS symbol,\n        tumble",
        ),
    ]);
    assert_eq!(counts(&result.unwrap())["in_windows"], 6);
    assert_eq!(bench.rows(), PLAIN);
}

#[test]
fn something_else_under_the_name_of_a_key_is_another_key() {
    refuses(
        &[("    tick.s AS symbol,", "    lower(tick.s) AS symbol,")],
        &expect![[r#"
            the checkpoint in DIR/data/_checkpoints/ohlc was written for another query (was → is):
              keys ohlc: get_field(data, Utf8("s")) → lower(get_field(data, Utf8("s")))
            To go on would mix rows of both, or begin a table with half a window. You can
              - undo the edit
              - make it a job of its own: another path for the table (CANDLES_PATH), another checkpoint location
              - add --rebuild: everything that Kafka retains is computed again by this SQL beside the table, then takes its place; what was there is kept aside"#]],
    );
}

#[test]
fn a_renamed_column_is_refused() {
    refuses(
        &[("    trades BIGINT\n", "    ticks BIGINT\n")],
        &expect![[r#"
            the checkpoint in DIR/data/_checkpoints/ohlc was written for another query (was → is):
              columns ohlc: trades BIGINT → nothing
            To go on would mix rows of both, or begin a table with half a window. You can
              - undo the edit
              - make it a job of its own: another path for the table (CANDLES_PATH), another checkpoint location
              - add --rebuild: everything that Kafka retains is computed again by this SQL beside the table, then takes its place; what was there is kept aside"#]],
    );
}

#[test]
fn other_directories_are_refused() {
    refuses(
        &[("'date=%Y-%m-%d'", "'day=%Y-%m-%d'")],
        &expect![[r#"
            the checkpoint in DIR/data/_checkpoints/ohlc was written for another query (was → is):
              partitioning ohlc: date=%Y-%m-%d → day=%Y-%m-%d
            To go on would mix rows of both, or begin a table with half a window. You can
              - undo the edit
              - make it a job of its own: another path for the table (CANDLES_PATH), another checkpoint location
              - add --rebuild: everything that Kafka retains is computed again by this SQL beside the table, then takes its place; what was there is kept aside"#]],
    );
}

#[test]
fn source_options_that_change_no_row_go_on() {
    let (bench, result) = rerun(&[(
        "    bad_data = 'drop',",
        "    bad_data = 'fail', idle_micros = 60000000, 'source.group_id' = 'mine', client_configs = 'client.id=x',",
    )]);
    result.unwrap();
    assert_eq!(bench.rows(), PLAIN);
}

#[test]
fn a_removed_table_keeps_its_candles_and_the_others_go_on() {
    let mut bench = Bench::new(&format!("{OHLC}{VOLUMES}"));
    let topic = topic();
    append(&topic, &[(30.0, 190)]);
    let first = bench.run_at(&topic, &Regime::default(), long_before);
    assert_eq!(first.unwrap().rows, 3);
    // As a crash between commit and publish leaves it.
    let (table, stage) = (
        bench.dir.path().join("data/ohlc_volumes"),
        bench.dir.path().join("data/_stage/ohlc_volumes"),
    );
    let files = listing(&table);
    assert_eq!(files.len(), 1, "{files:?}");
    std::fs::rename(table.join(&files[0]), stage.join(&files[0])).unwrap();
    append(&topic, &[(31.0, 200)]);
    bench.sql = OHLC.to_string();
    bench.run_at(&topic, &Regime::default(), noon).unwrap();
    let closes = read_rows(&bench.table(), "SELECT close FROM t ORDER BY window_start");
    assert_eq!(closes, ["12.0", "20.0", "22.0", "31.0"]);
    assert_eq!(listing(&table), files);
}

#[test]
fn an_added_table_is_refused() {
    let mut bench = Bench::new(OHLC);
    let topic = topic();
    bench
        .run_at(&topic, &Regime::default(), long_before)
        .unwrap();
    bench.sql = format!("{OHLC}{VOLUMES}");
    let result = bench.run_at(&topic, &Regime::default(), noon);
    refusal(
        &bench,
        result,
        Exit::Mismatch,
        &expect![[r#"
            the checkpoint in DIR/data/_checkpoints/ohlc was written for another query (was → is):
              table volumes: nothing → DIR/data/ohlc_volumes; its first windows would lack the ticks that were read before
            To go on would mix rows of both, or begin a table with half a window. You can
              - undo the edit
              - make it a job of its own: another path for the table (CANDLES_PATH), another checkpoint location
              - add --rebuild: everything that Kafka retains is computed again by this SQL beside the table, then takes its place; what was there is kept aside"#]],
    );
    assert!(!bench.dir.path().join("data/ohlc_volumes").exists());
}

#[test]
fn a_renamed_table_of_the_same_folder_is_refused() {
    refuses(
        &[
            ("CREATE TABLE ohlc (", "CREATE TABLE candles ("),
            ("INSERT INTO ohlc\n", "INSERT INTO candles\n"),
        ],
        &expect![[r#"
            the checkpoint in DIR/data/_checkpoints/ohlc was written for another query (was → is):
              table of DIR/data/ohlc: ohlc → candles
            To go on would mix rows of both, or begin a table with half a window. You can
              - undo the edit
              - make it a job of its own: another path for the table (CANDLES_PATH), another checkpoint location
              - add --rebuild: everything that Kafka retains is computed again by this SQL beside the table, then takes its place; what was there is kept aside"#]],
    );
}

#[test]
fn a_folder_with_candles_but_no_checkpoint_is_refused() {
    let bench = Bench::new(OHLC);
    let topic = topic();
    bench.run_at(&topic, &Regime::default(), noon).unwrap();
    std::fs::remove_dir_all(bench.dir.path().join("data/_checkpoints")).unwrap();
    let result = bench.run_at(&topic, &Regime::default(), noon);
    assert_eq!(bench.rows(), PLAIN_TOPIC);
    refusal(
        &bench,
        result,
        Exit::Mismatch,
        &expect![
            "DIR/data/ohlc holds Parquet files, but DIR/data/_checkpoints/ohlc holds no checkpoint that knows of them; give the table another path (CANDLES_PATH), or the job the checkpoint location that it had, or add --rebuild: everything that Kafka retains is computed again by this SQL beside the table, then takes its place; what was there is kept aside"
        ],
    );
}

/// The rows of [`topic`] alone.
const PLAIN_TOPIC: [&str; 3] = [
    PLAIN[0],
    "BTC,2026-08-01T10:01:00Z,2026-08-01T10:02:00Z,20.0,20.0,20.0,20.0,2.0,1",
    PLAIN[2],
];

#[test]
fn lost_offsets_of_an_open_window_are_data_loss() {
    let bench = Bench::new(OHLC);
    let topic = topic();
    bench
        .run_at(&topic, &Regime::default(), long_before)
        .unwrap();
    append(&topic, &[(30.0, 190)]);
    topic.forget(0, 2);
    // The open windows begin at offset 2: nothing that is needed is gone.
    bench
        .run_at(&topic, &Regime::default(), long_before)
        .unwrap();
    append(&topic, &[(31.0, 200)]);
    topic.forget(0, 5);
    let result = bench.run_at(&topic, &Regime::default(), noon);
    refusal(
        &bench,
        result,
        Exit::DataLoss,
        &expect![
            "topic raw_ticks no longer holds what the job needs: partition 0: offset 3 is needed, the topic begins at 5. Go on without it by --conf spark.stockpulse.failOnDataLoss=false, or start over with another checkpoint location and table path"
        ],
    );

    let mut spec = bench.spec_at(&Regime::default(), noon).unwrap();
    spec.fail_on_data_loss = false;
    let summary = stockpulse::job::run(spec, &topic, &mut |_| {}).unwrap();
    assert_eq!(counts(&summary)["in_windows"], 6);
    let last = "BTC,2026-08-01T10:03:00Z,2026-08-01T10:04:00Z,31.0,31.0,31.0,31.0,2.0,1";
    assert_eq!(bench.rows().last().unwrap(), last);
}

#[test]
fn a_topic_that_was_created_anew_is_data_loss() {
    let bench = Bench::new(OHLC);
    bench.run_at(&topic(), &Regime::default(), noon).unwrap();
    let anew = ReplayTopic::new("raw_ticks", 1);
    append(&anew, &[(50.0, 300)]);
    let result = bench.run_at(&anew, &Regime::default(), noon);
    refusal(
        &bench,
        result,
        Exit::DataLoss,
        &expect![
            "topic raw_ticks no longer holds what the job needs: partition 0: offset 4 was read before, but the topic ends at 1: it may have been deleted and created again. Go on without it by --conf spark.stockpulse.failOnDataLoss=false, or start over with another checkpoint location and table path"
        ],
    );
}

#[test]
fn a_partition_that_is_gone_is_data_loss() {
    let bench = Bench::new(OHLC);
    let topic = ReplayTopic::new("raw_ticks", 2);
    append(&topic, &[(10.0, 0)]);
    bench.run_at(&topic, &Regime::default(), noon).unwrap();
    let fewer = ReplayTopic::new("raw_ticks", 1);
    append(&fewer, &[(10.0, 0)]);
    let result = bench.run_at(&fewer, &Regime::default(), noon);
    refusal(
        &bench,
        result,
        Exit::DataLoss,
        &expect![
            "topic raw_ticks no longer holds what the job needs: partition 1 is gone. Go on without it by --conf spark.stockpulse.failOnDataLoss=false, or start over with another checkpoint location and table path"
        ],
    );
}

#[test]
fn an_added_partition_is_read_from_its_beginning() {
    let bench = Bench::new(OHLC);
    let topic = topic();
    bench
        .run_at(&topic, &Regime::default(), long_before)
        .unwrap();
    topic.append(1, frame("ETH", 3.0, 130));
    let summary = bench.run_at(&topic, &Regime::default(), noon).unwrap();
    assert_eq!(counts(&summary)["in_windows"], 5);
    let eth = "ETH,2026-08-01T10:02:00Z,2026-08-01T10:03:00Z,3.0,3.0,3.0,3.0,2.0,1";
    assert_eq!(bench.rows().last().unwrap(), eth);
}

#[test]
fn young_windows_stay_open_at_the_end_of_input_and_the_next_run_completes_them() {
    fn six_minutes_after_the_first_window() -> i64 {
        (START_MS + 7 * 60_000) * 1_000_000
    }
    let bench = Bench::new(OHLC);
    let topic = ReplayTopic::new("raw_ticks", 1);
    append(&topic, &[(10.0, 0), (20.0, 65)]);
    let clock = six_minutes_after_the_first_window;
    let first = bench.run_at(&topic, &Regime::default(), clock).unwrap();
    assert_eq!((first.rows, first.open_windows), (1, 1));
    assert_eq!(first.open_since, Some((START_MS + 60_000) * 1_000_000));
    append(&topic, &[(21.0, 66)]);
    let second = bench.run_at(&topic, &Regime::default(), noon).unwrap();
    assert_eq!((second.rows, second.open_windows), (1, 0));
    assert_eq!(
        bench.rows(),
        [
            "BTC,2026-08-01T10:00:00Z,2026-08-01T10:01:00Z,10.0,10.0,10.0,10.0,2.0,1",
            PLAIN[1],
        ]
    );
}

#[test]
fn what_comes_for_a_window_that_the_clock_closed_is_late() {
    let bench = Bench::new(OHLC);
    let topic = topic();
    bench.run_at(&topic, &Regime::default(), noon).unwrap();
    append(&topic, &[(99.0, 126), (30.0, 190)]);
    let summary = bench.run_at(&topic, &Regime::default(), noon).unwrap();
    assert_eq!(counts(&summary)["late"], 1);
    assert_eq!(bench.rows()[..3], PLAIN_TOPIC);
    assert_eq!(bench.rows()[3..], [PLAIN[3]]);
}

/// Runs without an end until `rows` are written.
fn run_on(bench: &Bench, topic: &ReplayTopic, threads: usize, rows: u64) -> Summary {
    let regime = Regime {
        bounded: false,
        threads,
        ..Regime::default()
    };
    let begun = Instant::now();
    let done = |written| written >= rows || begun.elapsed() > PATIENCE;
    bench
        .run_until(topic, &regime, |report| done(report.rows_written_total))
        .unwrap()
}

/// `sql/ohlc.sql` with a market that is quiet after a tenth of a second.
fn soon_idle() -> String {
    edited(&[
        (
            "    bad_data = 'drop',",
            "    bad_data = 'drop', idle_micros = 100000,",
        ),
        (
            "COMMIT_INTERVAL | 1 second",
            "COMMIT_INTERVAL | 1 millisecond",
        ),
    ])
}

#[test]
fn the_last_candle_of_a_quiet_market_appears_without_new_ticks() {
    for (partitions, threads) in [(1, 1), (3, 2)] {
        let bench = Bench::new(&soon_idle());
        let topic = ReplayTopic::new("raw_ticks", partitions);
        for partition in 0..partitions.min(2) {
            for (price, seconds) in [(10.0, 0), (12.0, 30), (20.0, 70)] {
                topic.append(partition, frame(&format!("S{partition}"), price, seconds));
            }
        }
        let rows = 2 * u64::try_from(partitions.min(2)).unwrap();
        let summary = run_on(&bench, &topic, threads, rows);
        assert_eq!((summary.rows, summary.open_windows), (rows, 0));
        let closes = read_rows(
            &bench.table(),
            "SELECT close FROM t ORDER BY symbol, window_start",
        );
        assert_eq!(closes, ["12.0", "20.0", "12.0", "20.0"][..rows as usize]);
    }
}

#[test]
fn a_job_without_an_end_reads_what_comes_and_goes_on_where_it_stopped() {
    let bench = Bench::new(&soon_idle());
    let topic = topic();
    run_on(&bench, &topic, 1, 3);
    append(&topic, &[(30.0, 190), (31.0, 200), (40.0, 400)]);
    let summary = run_on(&bench, &topic, 1, 2);
    assert_eq!((summary.rows, summary.open_windows), (2, 0));
    let closes = read_rows(&bench.table(), "SELECT close FROM t ORDER BY window_start");
    assert_eq!(closes, ["12.0", "20.0", "22.0", "31.0", "40.0"]);
    assert_eq!(topic.committed().0[&0], 7);
}

#[test]
fn bad_data_fails_where_the_table_says_so() {
    let bench = Bench::new(&edited(&[("bad_data = 'drop'", "bad_data = 'fail'")]));
    let topic = topic();
    topic.append(
        0,
        ReplayFrame {
            timestamp_ms: None,
            key: None,
            payload: Some(b"{\"type\":\"trade\",\"data\":[{\"s\":\"BTC\",\"p\":\"x\"}]}".to_vec()),
        },
    );
    let result = bench.run_at(&topic, &Regime::default(), noon);
    refusal(
        &bench,
        result,
        Exit::Failed,
        &expect![[
            r#"topic raw_ticks, partition 0, offset 4: data[0].p: expected a number, found a string: "x"; correct the producer, or say bad_data = 'drop' in raw_ticks"#
        ]],
    );
}
