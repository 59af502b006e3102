//! `--dry-run` and `--explain`: a job that is looked at, and touches nothing.

use std::path::Path;
use std::process::Command;

use expect_test::{Expect, expect};
use tempfile::TempDir;

const OHLC: &str = include_str!("../../sql/ohlc.sql");

/// A hop window, a join with a static table, the top three of each window, an archive, and aggregates whose
/// memory grows. Neither the broker nor the static table's file is there.
const LEADERS: &str = r#"
CREATE TABLE raw_ticks (
    type TEXT,
    data STRUCT<s TEXT, p DOUBLE, t BIGINT, v DOUBLE>[],
    at_offset BIGINT METADATA FROM 'offset_id'
) WITH (
    connector = 'kafka', type = 'source', bootstrap_servers = '127.0.0.1:1', topic = 'raw_ticks',
    format = 'json', idle_micros = 0, client_configs = 'ssl.key.password=hunter2',
    'auth.type' = 'sasl', 'auth.mechanism' = 'PLAIN', 'auth.protocol' = 'SASL_SSL',
    'auth.username' = 'hunter3', 'auth.password' = 'hunter4'
);
CREATE TABLE sectors (symbol TEXT NOT NULL, sector TEXT) WITH (
    connector = 'filesystem', type = 'source', path = 'sectors.csv', format = 'csv'
);
CREATE TABLE leaders (sector TEXT, symbol TEXT, window_end TIMESTAMP, volume DOUBLE, prices BIGINT, vwap DOUBLE, place BIGINT) WITH (
    connector = 'filesystem', type = 'sink', path = 'out/leaders', format = 'parquet',
    'partitioning.time_pattern' = 'date=%Y-%m-%d', 'rolling_policy.interval' = interval '5 minutes'
);
CREATE TABLE archive (at TIMESTAMP, symbol TEXT, price DOUBLE, at_offset BIGINT) WITH (
    connector = 'filesystem', type = 'sink', path = 'out/archive', format = 'parquet', 'parquet.compression' = 'snappy',
    'partitioning.time_pattern' = 'date=%Y-%m-%d', 'partitioning.fields' = [symbol], 'rolling_policy.file_size' = '128MB',
    'rolling_policy.interval' = interval '1 minute', 'rolling_policy.inactivity_interval' = interval '10 seconds'
);
CREATE TABLE screen (window_start TIMESTAMP, trades BIGINT, prices DOUBLE[]) WITH (connector = 'stdout', format = 'json');
CREATE VIEW ticks AS
SELECT tick.s AS symbol, tick.p AS price, tick.v AS volume, at_offset,
    CAST(to_timestamp_millis(tick.t) AS TIMESTAMP) AS _timestamp
FROM (SELECT unnest(data) AS tick, at_offset FROM raw_ticks)
WHERE tick.s IS NOT NULL AND tick.v > 0;

INSERT INTO leaders
SELECT sector, symbol, window.end, volume, prices, vwap, place FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY window, sector ORDER BY volume DESC, symbol) AS place
    FROM (
        SELECT s.sector, ticks.symbol, hop(interval '1 minute', interval '15 minutes') AS window, sum(volume) AS volume,
            count(DISTINCT price) AS prices, sum(price * volume) / sum(volume) AS vwap
        FROM ticks JOIN sectors s ON ticks.symbol = s.symbol
        GROUP BY s.sector, ticks.symbol, window
    )
) WHERE place <= 3;

INSERT INTO archive SELECT _timestamp, symbol, price, at_offset FROM ticks;

INSERT INTO screen
SELECT window.start, trades, prices FROM (
    SELECT tumble(interval '90 seconds') AS window, count(*) AS trades, array_agg(price ORDER BY price DESC) FILTER (WHERE volume > 1) AS prices
    FROM ticks GROUP BY window HAVING count(*) > 10
);

SELECT symbol, price FROM ticks WHERE price > 1000;
"#;

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    /// What is in the working directory now.
    files: Vec<String>,
}

/// Runs `stockpulse-ingest job.sql …` in a directory that holds nothing else.
fn run(sql: &str, line: &[&str]) -> Ended {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("job.sql"), sql).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_stockpulse-ingest"))
        .arg("job.sql")
        .args(line)
        .current_dir(dir.path())
        .env_clear()
        .output()
        .unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        files: files(dir.path()),
    }
}

fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// What a look at a sound job says; it leaves nothing behind.
fn check_look(sql: &str, line: &[&str], expected: Expect) {
    let ended = run(sql, line);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{}",
        ended.stdout
    );
    assert_eq!(ended.files, ["job.sql"]);
    expected.assert_eq(&ended.stdout);
}

/// What is told before DataFusion's plans.
fn told(sql: &str, line: &[&str]) -> String {
    let ended = run(sql, line);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (told, _) = ended.stdout.split_once("\nDataFusion's plans").unwrap();
    told.to_owned()
}

#[test]
fn a_dry_run_says_in_a_line_what_a_job_would_do() {
    check_look(
        OHLC,
        &["--dry-run"],
        expect![[r#"
        job.sql is valid: reads topic raw_ticks, writes ohlc (data/ohlc)
    "#]],
    );
    check_look(
        LEADERS,
        &["--dry-run", "--available-now"],
        expect![[r#"
            job.sql is valid: reads topic raw_ticks, writes leaders (out/leaders), writes archive (out/archive), prints screen, shows the SELECT of line 50
        "#]],
    );
}

#[test]
fn a_dry_run_refuses_what_a_start_refuses() {
    let refused = |sql: &str, line: &[&str], code: i32, why: &str| {
        for look in ["--dry-run", "--explain"] {
            let ended = run(sql, &[&[look], line].concat());
            assert_eq!(ended.code, Some(code), "{}", ended.stderr);
            assert!(ended.stderr.contains(why), "{}", ended.stderr);
            assert_eq!((ended.stdout.as_str(), ended.files.len()), ("", 1));
        }
    };
    refused(
        &OHLC.replace("max(price)", "max(prise)"),
        &[],
        3,
        "column \"prise\" does not exist",
    );
    refused(
        OHLC,
        &["--conf", "spark.stockpulse.trigger=soon"],
        2,
        "trigger",
    );
    let other = "spark.stockpulse.startingOffsets={\"other\":{\"0\":1}}";
    refused(
        OHLC,
        &["--conf", other],
        2,
        "has nothing for topic raw_ticks",
    );
    refused(OHLC, &["--conf", "spark.kafka.no.such=1"], 2, "no.such");
    let delta = include_str!("../../examples/delta/delta.sql");
    refused(delta, &["--rebuild"], 2, "it cannot replace: candles_delta");
    refused(
        OHLC,
        &["--conf", "spark.kafka.enable.auto.commit=true"],
        2,
        "cannot be set",
    );
    refused(
        &OHLC.replace("date=%Y-%m-%d", "%D"),
        &[],
        2,
        "partitioning.time_pattern",
    );
}

#[test]
fn a_variable_that_is_not_used_is_a_warning_of_a_dry_run() {
    let line = ["--dry-run", "--conf", "spark.stockpulse.var.CANDLE_PATH=x"];
    let ended = run(OHLC, &line);
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stderr.contains("CANDLE_PATH has no effect"),
        "{}",
        ended.stderr
    );
    let line = [
        "--dry-run",
        "--conf",
        "spark.stockpulse.var.CANDLES_PATH=x/y",
    ];
    check_look(
        OHLC,
        &line,
        expect![[r#"
        job.sql is valid: reads topic raw_ticks, writes ohlc (x/y)
    "#]],
    );
}

#[test]
fn the_main_job_is_explained() {
    check_look(
        OHLC,
        &["--explain"],
        expect![[r#"
            Job job, from job.sql

            Source raw_ticks
              topic         raw_ticks
              brokers       localhost:9092
              messages      all, also of transactions that are open or aborted
              format        json: one object a message
              bad data      drop: what is not of the declared shape is counted and left out
              decoded       1 of 2 declared columns: data
              metadata      none
              begins        with the earliest message, unless a checkpoint says where
              group         stockpulse-job, which is told the offsets and never asked

            Time
              watermark     for event_time: CAST(CAST(coalesce(data[1]['t'], 86400000) AS TIMESTAMP(3)) AS
                              TIMESTAMP) - INTERVAL '1 minute'
              delay         1 minute
              idle          a partition that is read to its end and silent for 5 minutes leaves the watermark;
                              when all are, the wall clock closes windows
              late          a tick whose window's end is not after the watermark that its partition had before
                              its message: counted, not added
              future        an event time over 10 minutes ahead of its Kafka timestamp is rejected

            INSERT INTO ohlc → data/ohlc
              files         Parquet, zstd
              directories   date=%Y-%m-%d of the window's last instant (UTC)
              sorted by     symbol, window_start, window_end
              interval      at least 1 second between two files
              each batch    1. unnest data: a row for each tick
                            2. filter: tick.s IS NOT NULL AND tick.p IS NOT NULL AND tick.t IS NOT NULL
                            3. project 4 columns: tick.s AS symbol, tick.p AS price, tick.v AS volume,
                              CAST(to_timestamp_millis(tick.t) AS TIMESTAMP) AS _timestamp
              window        tumble 1 minute, aligned to 1970 UTC
              keys          symbol
              aggregates    open    first_value(price ORDER BY _timestamp)  fixed size
                            high    max(price)                              fixed size
                            low     min(price)                              fixed size
                            close   last_value(price ORDER BY _timestamp)   fixed size
                            volume  sum(volume)                             fixed size
                            trades  count(*)                                fixed size
              at the close  1. project 9 columns: symbol, window.start AS window_start, window.end AS
                              window_end, open, high, low, close, volume, trades
              in memory     the aggregates of each open window, partition and key; about 2 windows open at once

            Commits
              checkpoint    data/_checkpoints/ohlc
              trigger       as soon as a window can be closed, else every second, until stopped
              interval      rows of all tables wait for at least 1 second (rolling_policy.interval)
              exactly once  offsets, watermarks and the names of staged files are one commit, after which the
                              files are published; a restart goes on from it
              dead letters  rejects and late ticks are counted, and not kept (spark.stockpulse.deadLetters)

            DataFusion's plans, optimised

              ohlc: logical plan below the aggregate
                Projection: ticks.symbol AS __c0, ticks.price AS __c1, ticks._timestamp AS __c2, ticks.volume AS
                    __c3, ticks._timestamp AS _timestamp, ticks.__frame AS __frame
                  SubqueryAlias: ticks
                    Projection: get_field(__unnest_placeholder(raw_ticks.data,depth=1), Utf8("s")) AS symbol,
                        get_field(__unnest_placeholder(raw_ticks.data,depth=1), Utf8("p")) AS price,
                        get_field(__unnest_placeholder(raw_ticks.data,depth=1), Utf8("v")) AS volume,
                        TRY_CAST(to_timestamp_millis(get_field(__unnest_placeholder(raw_ticks.data,depth=1),
                        Utf8("t"))) AS Timestamp(ns)) AS _timestamp, raw_ticks.__frame
                      Filter: get_field(__unnest_placeholder(raw_ticks.data,depth=1), Utf8("s")) IS NOT NULL AND
                          get_field(__unnest_placeholder(raw_ticks.data,depth=1), Utf8("p")) IS NOT NULL AND
                          get_field(__unnest_placeholder(raw_ticks.data,depth=1), Utf8("t")) IS NOT NULL
                        Unnest: lists[__unnest_placeholder(raw_ticks.data)|depth=1] structs[]
                          Projection: raw_ticks.data AS __unnest_placeholder(raw_ticks.data), raw_ticks.__frame
                            SubqueryAlias: raw_ticks
                              Projection: raw_ticks.data AS data, raw_ticks.__frame
                                TableScan: raw_ticks projection=[data, __frame]

              ohlc: logical plan above the aggregate
                Projection: __window_rows.__c0 AS symbol, get_field(__window_rows.__c1, Utf8("start")) AS
                    window_start, get_field(__window_rows.__c1, Utf8("end")) AS window_end, __window_rows.__c2
                    AS open, __window_rows.__c3 AS high, __window_rows.__c4 AS low, __window_rows.__c5 AS close,
                    __window_rows.__c6 AS volume, __window_rows.__c7 AS trades
                  TableScan: __window_rows projection=[__c0, __c1, __c2, __c3, __c4, __c5, __c6, __c7]
        "#]],
    );
}

#[test]
fn where_a_delta_table_is_and_what_its_commits_are_known_by() {
    let sql = include_str!("../../examples/delta/delta.sql");
    let dry = run(sql, &["--dry-run"]);
    assert!(
        dry.stdout
            .contains("appends to candles_delta (delta data/candles_delta)"),
        "{}{}",
        dry.stdout,
        dry.stderr
    );
    let explained = run(sql, &["--explain", "--name", "live"]).stdout;
    let (_, told) = explained.split_once("INSERT INTO candles_delta").unwrap();
    let labels = [
        " → ",
        "  files",
        "  directories",
        "  interval",
        "  versions",
    ];
    let told = told
        .lines()
        .filter(|line| labels.iter().any(|label| line.starts_with(label)))
        .map(str::trim);
    expect![[r#"
        → delta data/candles_delta
        files         Parquet, zstd
        directories   day=… (not in the files)
        interval      at least 1 minute between two files
        versions      one each commit; its transaction is "stockpulse/live/candles_delta", with the epoch
        interval      rows of all tables wait for at least 1 minute (rolling_policy.interval)
    "#]].assert_eq(&(told.collect::<Vec<_>>().join("\n") + "\n"));
}

#[test]
fn to_explain_says_more_than_a_dry_run_and_the_same_each_time() {
    let explained = run(LEADERS, &["--explain"]).stdout;
    assert_eq!(run(LEADERS, &["--dry-run", "--explain"]).stdout, explained);
    let long = |line: &&str| line.chars().count() > 100;
    let long: Vec<&str> = explained.lines().filter(long).collect();
    // A word is not cut.
    assert!(
        long.iter().all(|line| line.trim().split(' ').count() <= 2),
        "{long:?}"
    );
}

#[test]
fn a_job_with_all_that_costs_memory_is_explained_without_its_secrets() {
    let ended = run(LEADERS, &["--explain"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stdout.contains("hunter"), "{}", ended.stdout);
    assert_eq!(ended.files, ["job.sql"]);
    let (told, plans) = ended.stdout.split_once("\nDataFusion's plans").unwrap();
    expect![[r#"
        Job job, from job.sql

        Source raw_ticks
          topic         raw_ticks
          brokers       127.0.0.1:1
          messages      all, also of transactions that are open or aborted
          format        json: one object a message
          bad data      fail: what is not of the declared shape stops the job
          decoded       1 of 2 declared columns: data
          metadata      Kafka's timestamp, offset_id
          properties    sasl.mechanism, sasl.password, sasl.username, security.protocol, ssl.key.password
                          (values are not shown)
          begins        with the earliest message, unless a checkpoint says where
          group         stockpulse-job, which is told the offsets and never asked

        Time
          watermark     Kafka's timestamp - INTERVAL '1 second', since the table has no WATERMARK FOR
          delay         1 second
          idle          never (idle_micros): a silent partition keeps the windows of all of them open
          late          a tick whose window's end is not after the watermark that its partition had before
                          its message: counted, not added
          future        an event time over 10 minutes ahead of its Kafka timestamp is rejected

        INSERT INTO leaders → out/leaders
          files         Parquet, zstd
          directories   date=%Y-%m-%d of the window's last instant (UTC)
          sorted by     sector, symbol, window_end
          interval      at least 5 minutes between two files
          each batch    1. unnest data: a row for each tick
                        2. filter: tick.s IS NOT NULL AND tick.v > 0.0
                        3. project 4 columns: tick.s AS symbol, tick.p AS price, tick.v AS volume,
                          CAST(to_timestamp_millis(tick.t) AS TIMESTAMP) AS _timestamp
                        4. join, static table sectors (csv, sectors.csv) on symbol = sectors.symbol
          window        hop 15 minutes every 1 minute, aligned to 1970 UTC: a tick is in 15 windows
          keys          sector, symbol
          aggregates    volume  sum(volume)            fixed size
                        prices  count(DISTINCT price)  every distinct value
                                sum(price * volume)    fixed size
          at the close  a DataFusion plan is run for each window, see below:
                        1. project 6 columns: sector, symbol, window, volume, prices, sum(price * volume) /
                          volume AS vwap
                        2. window functions: row_number() OVER (PARTITION BY window, sector ORDER BY volume
                          DESC, symbol) AS place
                        3. filter: place <= 3
                        4. project 7 columns: sector, symbol, window.end AS window_end, volume, prices,
                          vwap, place
          in memory     the aggregates of each open window, partition and keys; about 16 windows open at
                          once
          WARNING       count(DISTINCT price) keeps every distinct value of an open window, so memory grows
                          with the distinct values, in each of the 15 windows of a tick

        INSERT INTO archive → out/archive
          files         Parquet, snappy, a new one at 128 MB
          directories   date=%Y-%m-%d of the row's event time (UTC), in it symbol=… (not in the files)
          sorted by     nothing, rows stay in their order
          interval      at least 1 minute between two files, unless nothing new came for 10 seconds
          each batch    1. project 2 columns: data, offset_id AS at_offset
                        2. unnest data: a row for each tick
                        3. filter: tick.s IS NOT NULL AND tick.v > 0.0
                        4. project 4 columns: tick.s AS symbol, tick.p AS price, at_offset,
                          CAST(to_timestamp_millis(tick.t) AS TIMESTAMP) AS _timestamp
                        5. project 4 columns: _timestamp AS at, symbol, price, at_offset
          rows          leave as they come, without a window, in the order of each partition; each once, by
                          its offset

        INSERT INTO screen → stdout
          format        a JSON object a line, on standard output
          each batch    1. unnest data: a row for each tick
                        2. filter: tick.s IS NOT NULL AND tick.v > 0.0
                        3. project 3 columns: tick.p AS price, tick.v AS volume,
                          CAST(to_timestamp_millis(tick.t) AS TIMESTAMP) AS _timestamp
          window        tumble 1 minute 30 seconds, aligned to 1970 UTC
          keys          none but the window
          aggregates    trades  count(*)  fixed size
                        prices  array_agg(price ORDER BY price DESC) FILTER (WHERE volume > 1.0)
                                          every value
          at the close  1. filter: trades > 10
                        2. project 3 columns: window.start AS window_start, trades, prices
          in memory     the aggregates of each open window and partition; about 2 windows open at once
          WARNING       array_agg(price ORDER BY price DESC) FILTER (WHERE volume > 1.0) keeps every value
                          of an open window, so memory grows with every tick

        SELECT of line 50 → preview
          format        a table on standard output
          each batch    1. unnest data: a row for each tick
                        2. filter: tick.s IS NOT NULL AND tick.v > 0.0
                        3. project 3 columns: tick.s AS symbol, tick.p AS price,
                          CAST(to_timestamp_millis(tick.t) AS TIMESTAMP) AS _timestamp
                        4. filter: price > 1000.0
          rows          leave as they come, without a window, in the order of each partition

        Commits
          checkpoint    out/_checkpoints/leaders
          trigger       as soon as a window can be closed, else every second, until stopped
          interval      rows of all tables wait for at least 5 minutes (rolling_policy.interval)
          exactly once  offsets, watermarks and the names of staged files are one commit, after which the
                          files are published; a restart goes on from it
          dead letters  rejects and late ticks are counted, and not kept (spark.stockpulse.deadLetters)
          stdout        rows are printed before the commit, so that after a crash some come again
    "#]].assert_eq(told);
    for plan in [
        "leaders: logical plan below the aggregate",
        "Inner Join: ticks.symbol = s.symbol",
        "leaders: logical plan above the aggregate",
        "leaders: physical plan above the aggregate, run once a closed window",
        "StreamingTableExec",
        "archive: logical plan",
        "screen: logical plan above the aggregate",
    ] {
        assert!(plans.contains(plan), "{plan}: {plans}");
    }
}

#[test]
fn options_are_in_the_explanation() {
    let offsets = "spark.stockpulse.startingOffsets={\"raw_ticks\":{\"0\":23,\"1\":-2,\"2\":-1}}";
    let told = told(
        OHLC,
        &[
            "--explain",
            "--available-now",
            "--name",
            "candles",
            "--conf",
            offsets,
            "--conf",
            "spark.kafka.bootstrap.servers=me:hunter2@a:1,b:2",
            "--conf",
            "spark.kafka.isolation.level=read_committed",
            "--conf",
            "spark.sql.streaming.checkpointLocation=elsewhere",
        ],
    );
    let told: Vec<&str> = told.lines().map(str::trim).collect();
    for line in [
        "Job candles, from job.sql",
        "brokers       a:1, b:2",
        "messages      those of committed transactions",
        "begins        partition 0 at 23, 1 earliest, 2 latest, unless a checkpoint says where",
        "group         stockpulse-candles, which is told the offsets and never asked",
        "checkpoint    elsewhere",
        "trigger       available now: what the topic holds at the start, then the job ends",
    ] {
        assert!(told.contains(&line), "{line}: {told:#?}");
    }
}

/// The lines under `aggregates`, and the warnings, of an aggregate over the ticks of [`OHLC`].
fn check_aggregate(aggregate: &str, expected: Expect) {
    let told = told(
        &OHLC.replace(
            "        count(*) AS trades",
            &format!("        {aggregate} AS trades"),
        ),
        &["--explain"],
    );
    let about = |line: &&str| line.contains("trades  ") || line.contains("WARNING");
    let lines: Vec<&str> = told.lines().filter(about).map(str::trim).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn how_an_aggregate_is_held_is_said() {
    check_aggregate(
        "count(DISTINCT price) FILTER (WHERE volume > 1)",
        expect![[r#"
            trades  count(DISTINCT price) FILTER (WHERE volume > 1.0)
            WARNING       count(DISTINCT price) FILTER (WHERE volume > 1.0) keeps every distinct value of an"#]],
    );
    check_aggregate(
        "CAST(approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY price DESC) AS BIGINT)",
        expect![[r#"
            trades  approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY price DESC)"#]],
    );
    check_aggregate(
        "CAST(median(price * volume) AS BIGINT)",
        expect![[r#"
        trades  median(price * volume)                  every value
        WARNING       median(price * volume) keeps every value of an open window, so memory grows with"#]],
    );
    check_aggregate(
        "CAST(nth_value(price, 2 ORDER BY volume) AS BIGINT)",
        expect![[r#"
            trades  nth_value(price, 2 ORDER BY volume)     from the rows, at the close
            WARNING       nth_value(price, 2 ORDER BY volume) wants its rows sorted, so every row of a window"#]],
    );
    check_aggregate(
        "CAST(max(CASE WHEN symbol LIKE 'A%' THEN 1 ELSE 2 END) AS BIGINT)",
        expect!["trades  max(CASE WHEN symbol LIKE 'A%' THEN 1 ELSE 2 END)"],
    );
}
