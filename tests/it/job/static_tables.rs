//! Static tables: every format, and what is said of one that cannot be read.

use std::path::Path;

use expect_test::{Expect, expect};
use stockpulse::job::JobError;
use stockpulse::model::Exit;

use super::exact::OHLC;
use super::harness::{Bench, Regime, noon, read_rows, topic};

/// Four ticks of two symbols in one minute.
fn frames() -> Vec<Vec<u8>> {
    let ticks = [("BTC", 10.0), ("ETH", 2.0), ("BTC", 12.0), ("XRP", 1.0)];
    let frames = ticks.iter().enumerate().map(|(second, (symbol, price))| {
        let time = 1_785_578_400_000_i64 + second as i64 * 1000;
        format!(r#"{{"data":[{{"s":"{symbol}","p":{price},"t":{time},"v":1}}]}}"#).into_bytes()
    });
    frames.collect()
}

/// A job whose ticks are joined, by `join`, with a static table of symbol, sector and weight at `path`.
fn job(path: &Path, format: &str, join: &str) -> Bench {
    let (tables, _) = OHLC.split_once("-- (4)").unwrap();
    let (before, rest) = tables.split_once("CREATE TABLE ohlc (").unwrap();
    let (_, view) = rest.split_once(");\n\n-- (3)").unwrap();
    Bench::new(&format!(
        "{before}CREATE TABLE ohlc (sector TEXT, since DATE, weight DOUBLE, trades BIGINT) WITH (
    connector = 'filesystem', type = 'sink', path = '{{{{ CANDLES_PATH | data/ohlc }}}}', format = 'parquet');
CREATE TABLE sectors (symbol TEXT NOT NULL, sector TEXT, since DATE, weight DOUBLE) WITH (
    connector = 'filesystem', type = 'source', path = '{}', format = '{format}');
-- (3){view}
INSERT INTO ohlc SELECT sector, since, weight, trades FROM (
    SELECT sector, since, weight, tumble(interval '1 minute') AS window, count(*) AS trades
    FROM ticks {join} GROUP BY sector, since, weight, window
);",
        path.display()
    ))
}

const JOIN: &str = "JOIN sectors ON ticks.symbol = sectors.symbol";

fn rows(bench: &Bench) -> Vec<String> {
    let topic = topic(&frames(), 1, |_| 0);
    let summary = bench.run_at(&topic, &Regime::default(), noon).unwrap();
    assert!(summary.counts.balanced());
    if summary.rows == 0 {
        return Vec::new();
    }
    read_rows(&bench.table(), "SELECT * FROM t ORDER BY sector, trades")
}

const SECTORS: [&str; 2] = ["large,2020-01-02,1.5,2", "small,null,null,1"];

#[test]
fn a_file_of_each_format_is_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("sectors.csv");
    let text = "sector,more,symbol,since,weight\nlarge,x,BTC,2020-01-02,1.5\n\"small\",,XRP,,\n";
    std::fs::write(&csv, text).unwrap();
    assert_eq!(rows(&job(&csv, "csv", JOIN)), SECTORS);

    let json = dir.path().join("sectors.json");
    let text = concat!(
        r#"{"symbol":"BTC","sector":"large","since":"2020-01-02","weight":1.5,"more":[1]}"#,
        "\n",
        r#"{"symbol":"XRP","sector":"small"}"#,
        "\n"
    );
    std::fs::write(&json, text).unwrap();
    assert_eq!(rows(&job(&json, "json", JOIN)), SECTORS);

    // What a job has written is a table of another: a folder with folders in it, without a date column.
    let candles = Bench::new(OHLC);
    let topic = topic(&frames(), 1, |_| 0);
    candles.run_at(&topic, &Regime::default(), noon).unwrap();
    let table = candles.table();
    let sql = job(&table, "parquet", JOIN);
    let sql = sql.sql.replace(
        "symbol TEXT NOT NULL, sector TEXT, since DATE, weight DOUBLE",
        "symbol TEXT NOT NULL, high DOUBLE, since DATE, sector TEXT, weight DOUBLE",
    );
    let sql = sql.replace(
        "SELECT sector, since, weight, tumble",
        "SELECT ticks.symbol AS sector, since, high AS weight, tumble",
    );
    let sql = sql.replace(
        "GROUP BY sector, since, weight, window",
        "GROUP BY ticks.symbol, since, high, window",
    );
    assert_eq!(
        rows(&Bench::new(&sql)),
        ["BTC,null,12.0,2", "ETH,null,2.0,1", "XRP,null,1.0,1"]
    );
}

#[test]
fn joins_and_conditions() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("sectors.csv");
    let text = "symbol,sector,since,weight\nBTC,large,,1\nBTC,coin,,2\nXRP,small,,3\n";
    std::fs::write(&csv, text).unwrap();
    let given = |join: &str| rows(&job(&csv, "csv", join));
    // Two matches are two rows.
    assert_eq!(
        given(JOIN),
        ["coin,null,2.0,2", "large,null,1.0,2", "small,null,3.0,1"]
    );
    assert_eq!(
        given(
            "LEFT JOIN sectors ON ticks.symbol = sectors.symbol AND sectors.weight > ticks.price"
        ),
        ["small,null,3.0,1", "null,null,null,3"]
    );
    assert_eq!(
        given("CROSS JOIN (SELECT * FROM sectors WHERE weight > 2) AS sectors"),
        ["small,null,3.0,4"]
    );
    let alone = ", (SELECT max(sector) AS sector, max(since) AS since, max(weight) AS weight FROM sectors) AS s WHERE";
    let with = |condition: &str| given(&format!("{alone} {condition}"));
    assert_eq!(
        with("symbol IN (SELECT symbol FROM sectors)"),
        ["small,null,3.0,3"]
    );
    assert_eq!(
        with("symbol NOT IN (SELECT symbol FROM sectors)"),
        ["small,null,3.0,1"]
    );
    // A null among them leaves NOT IN open.
    assert!(with("symbol NOT IN (SELECT CAST(since AS TEXT) FROM sectors)").is_empty());
    assert_eq!(
        with("NOT EXISTS (SELECT 1 FROM sectors o WHERE o.symbol = ticks.symbol AND o.weight > 2)"),
        ["small,null,3.0,3"]
    );
    assert_eq!(
        with("symbol = 'ETH' OR symbol IN (SELECT symbol FROM sectors WHERE weight > 2)"),
        ["small,null,3.0,2"]
    );
    assert_eq!(
        with("price > (SELECT max(weight) FROM sectors)"),
        ["small,null,3.0,2"]
    );
}

/// What is said of a table that cannot be used; the folder is `DIR`.
fn fails(name: &str, format: &str, text: Option<&str>, join: &str, expected: &Expect) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    if let Some(text) = text {
        std::fs::write(&path, text).unwrap();
    }
    let bench = job(&path, format, join);
    let topic = topic(&frames(), 1, |_| 0);
    let error: JobError = bench.run_at(&topic, &Regime::default(), noon).unwrap_err();
    assert_eq!(error.exit(), Exit::Failed);
    let folder = dir.path().display().to_string();
    expected.assert_eq(&error.to_string().replace(&folder, "DIR"));
    assert!(!bench.table().exists(), "nothing was written");
}

#[test]
fn a_table_that_cannot_be_read_ends_the_job_before_it_begins() {
    fails(
        "none.csv",
        "csv",
        None,
        JOIN,
        &expect![[r#"table "sectors" cannot be read from DIR/none.csv: it does not exist"#]],
    );
    fails(
        "a.csv",
        "csv",
        Some("symbl,sector\nBTC,large\n"),
        JOIN,
        &expect![[r#"table "sectors" cannot be read from DIR/a.csv: there is no column "symbol""#]],
    );
    fails(
        "a.csv",
        "csv",
        Some("symbol,weight\nBTC,heavy\n"),
        JOIN,
        &expect![[
            r#"table "sectors" cannot be read from DIR/a.csv: column "weight": Cast error: Cannot cast string 'heavy' to value of Float64 type"#
        ]],
    );
    fails(
        "a.csv",
        "csv",
        Some("symbol,sector\n,large\n"),
        JOIN,
        &expect![[
            r#"table "sectors" cannot be read from DIR/a.csv: column "symbol" is NOT NULL, but a value is missing"#
        ]],
    );
    fails(
        "a.csv",
        "csv",
        Some("symbol,sector\nBTC,large,more\n"),
        JOIN,
        &expect![[
            r#"table "sectors" cannot be read from DIR/a.csv: Csv error: incorrect number of fields for line 2, expected 2 got 3"#
        ]],
    );
    fails(
        "a.json",
        "json",
        Some("{\"symbol\":\"BTC\"}\n{\"symbol\":7\n"),
        JOIN,
        &expect![[
            r#"table "sectors" cannot be read from DIR/a.json: Json error: Truncated record whilst reading object"#
        ]],
    );
    fails(
        "a.parquet",
        "parquet",
        Some("no parquet"),
        JOIN,
        &expect![[
            r#"table "sectors" cannot be read from DIR/a.parquet: Parquet error: Parquet error: Invalid Parquet file. Corrupt footer"#
        ]],
    );
    fails(
        "a.csv",
        "csv",
        Some("symbol,sector,since,weight\nBTC,a,,1\nETH,b,,2\n"),
        ", sectors WHERE price > (SELECT weight FROM sectors)",
        &expect!["a subquery that stands for one value gave 2"],
    );
}
