//! Whatever is in a SQL file, it is planned or refused with places in it; never a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::Config;
use stockpulse::query::JobPlan;
use stockpulse::query::sql::SqlFile;

use super::exact::OHLC;

/// Pieces that statements are made of: what users write, and what they should not.
const PIECES: [&str; 96] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "HAVING",
    "ORDER BY",
    "LIMIT 1",
    "DISTINCT",
    "UNION ALL",
    "INSERT INTO ohlc",
    "INSERT INTO archive",
    "CREATE VIEW v AS",
    "CREATE TABLE t",
    "WITH",
    "AS",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "USING (symbol)",
    "OVER",
    "PARTITION BY",
    "(",
    ")",
    ",",
    ";",
    "*",
    "symbol",
    "price",
    "volume",
    "_timestamp",
    "__frame",
    "window",
    "window.start",
    "data",
    "data[1]['t']",
    "data[1].t",
    "tick.s",
    "ticks",
    "raw_ticks",
    "ohlc",
    "sectors",
    "candles",
    "tumble(interval '1 minute')",
    "hop(interval '1 minute', interval '5 minutes')",
    "session(interval '1 minute')",
    "tumble(price)",
    "interval '1 minute'",
    "interval '999999999 years'",
    "first_value(price ORDER BY _timestamp)",
    "count(*)",
    "count(DISTINCT price)",
    "sum(price)",
    "array_agg(price ORDER BY volume)",
    "max(symbol)",
    "unnest(data)",
    "unnest(data) AS tick",
    "row_number()",
    "lag(price)",
    "now()",
    "random()",
    "CASE WHEN price > 1 THEN 2 END",
    "CAST(price AS BIGINT)",
    "NULL",
    "TRUE",
    "1",
    "-1",
    "9223372036854775808",
    "1e400",
    "'a'",
    "''",
    "'\u{e9}\u{1f980}'",
    "\"Symbol\"",
    "{{ A | 1 }}",
    "{{ A",
    "}}",
    "-- c\n",
    "/* c",
    "=",
    "<>",
    "<",
    "AND",
    "NOT IN",
    "IN",
    "EXISTS",
    "BETWEEN",
    "FILTER (WHERE price > 1)",
    "WITHIN GROUP (ORDER BY price)",
    "GROUPING SETS ((symbol), ())",
    "extract_json(symbol, '$.a')",
    "json_get(symbol, 'a')",
    "STRUCT<a TEXT>[]",
    "TEXT",
    "METADATA FROM 'key'",
    "GENERATED ALWAYS AS",
    "WATERMARK FOR",
    "connector = 'kafka'",
];

/// The tables and views that the statements may be about.
fn tables() -> String {
    let (tables, _) = OHLC.split_once("-- (4)").unwrap();
    format!(
        "{tables}
CREATE VIEW candles AS SELECT symbol, tumble(interval '1 minute') AS window, max(price) AS high
FROM ticks GROUP BY symbol, window;
CREATE TABLE sectors (symbol TEXT, sector TEXT)
WITH (connector = 'filesystem', type = 'source', path = 'sectors.csv', format = 'csv');
CREATE TABLE archive (symbol TEXT, price DOUBLE)
WITH (connector = 'filesystem', type = 'sink', path = 'data/archive', format = 'parquet');
"
    )
}

fn plans_or_refuses(sql: &str) {
    let planned = catch_unwind(AssertUnwindSafe(|| {
        let file = SqlFile::parse("job.sql", sql, &|_| None)?;
        JobPlan::new(&file).map(drop)
    }));
    let planned = planned.unwrap_or_else(|_| panic!("it panics on:\n{sql}"));
    if let Err(faults) = planned {
        assert!(!faults.0.is_empty(), "refused without a fault:\n{sql}");
        // The end of the text may be a line of its own.
        let lines = sql.lines().count() as u64 + 1;
        for fault in &faults.0 {
            assert!((1..=lines).contains(&fault.line), "{fault}\n{sql}");
            assert!(!fault.message.is_empty(), "{sql}");
        }
    }
}

fn statement() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(select(&PIECES[..]), 1..24);
    let free = pieces.prop_map(|pieces| pieces.join(" "));
    // Closer to a query that runs: what is wrong is within it.
    let query = (
        prop::collection::vec(select(&PIECES[..]), 1..6),
        select(
            &[
                "ticks",
                "candles",
                "ticks JOIN sectors USING (symbol)",
                "raw_ticks",
            ][..],
        ),
        prop::collection::vec(select(&PIECES[..]), 0..4),
    );
    let query = query.prop_map(|(selected, from, tail)| {
        format!(
            "INSERT INTO archive SELECT {} FROM {from} {}",
            selected.join(", "),
            tail.join(" ")
        )
    });
    prop_oneof![free, query]
}

/// `sql/ohlc.sql` with characters taken out, doubled or replaced.
fn damaged() -> impl Strategy<Value = String> {
    let cut = (
        any::<prop::sample::Index>(),
        0..12_usize,
        select(&PIECES[..]),
    );
    prop::collection::vec(cut, 1..4).prop_map(|cuts| {
        let mut text: Vec<char> = OHLC.chars().collect();
        for (at, length, piece) in cuts {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, piece.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, ..Config::default() })]

    #[test]
    fn statements_of_any_pieces(statement in statement()) {
        plans_or_refuses(&format!("{}{statement};", tables()));
    }

    #[test]
    fn a_damaged_file(sql in damaged()) {
        plans_or_refuses(&sql);
    }

    #[test]
    fn any_text(sql in "\\PC{0,200}") {
        plans_or_refuses(&sql);
    }
}

#[test]
fn deep_nesting() {
    for (open, close) in [
        ("(", ")"),
        ("CASE WHEN TRUE THEN ", " END"),
        ("abs(", ")"),
        ("-", ""),
        ("NOT ", ""),
    ] {
        for depth in [20, 200, 5_000] {
            let expr = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let sql = format!(
                "{}INSERT INTO archive SELECT symbol, {expr} FROM ticks;",
                tables()
            );
            plans_or_refuses(&sql);
        }
    }
    let sum = vec!["price"; 3_000].join(" + ");
    plans_or_refuses(&format!(
        "{}INSERT INTO archive SELECT symbol, {sum} FROM ticks;",
        tables()
    ));
    let subquery = format!("{}ticks{}", "(SELECT * FROM ".repeat(60), ")".repeat(60));
    plans_or_refuses(&format!(
        "{}INSERT INTO archive SELECT symbol, price FROM {subquery};",
        tables()
    ));
}
