//! The jobs that are measured: `sql/ohlc.sql` as it is shipped, and changed in one place.

use std::fmt::Write as _;

/// The shipped job.
pub(super) const OHLC: &str = include_str!("../../sql/ohlc.sql");

/// Widths of the windows of [`with_inserts`], in its order.
const WIDTHS: [&str; 4] = ["1 minute", "2 minutes", "5 minutes", "15 minutes"];

/// The shipped job with another width and another delay of the watermark, and without the second for which it
/// collects closed candles: what is then waited for after a window's end is the engine's own time.
pub(super) fn with_windows(width: &str, delay: &str) -> String {
    let sql = replaced(
        OHLC,
        "tumble(interval '1 minute') AS",
        &format!("tumble(interval '{width}') AS"),
    );
    let sql = replaced(
        &sql,
        "- INTERVAL '1 minute'\n",
        &format!("- INTERVAL '{delay}'\n"),
    );
    replaced(&sql, "{{ COMMIT_INTERVAL | 1 second }}", "0 seconds")
}

/// The shipped job with so many INSERTs, 1 to 4: windows of another width into another table each.
pub(super) fn with_inserts(inserts: usize) -> String {
    let table = part(OHLC, "CREATE TABLE ohlc (", Some("\n);\n"));
    let insert = part(OHLC, "INSERT INTO ohlc\n", None);
    let mut sql = OHLC.to_owned();
    for (at, width) in WIDTHS.into_iter().enumerate().take(inserts).skip(1) {
        let name = format!("ohlc_{}", at + 1);
        let table = replaced(
            table,
            "CREATE TABLE ohlc (",
            &format!("CREATE TABLE {name} ("),
        );
        let path = format!("| data/ohlc }}}}_{}'", at + 1);
        let table = replaced(&table, "| data/ohlc }}'", &path);
        let insert = replaced(
            insert,
            "INSERT INTO ohlc\n",
            &format!("INSERT INTO {name}\n"),
        );
        let window = format!("tumble(interval '{width}') AS");
        let insert = replaced(&insert, "tumble(interval '1 minute') AS", &window);
        let _ = write!(sql, "\n{table}\n{insert}");
    }
    sql
}

/// The shipped job with one aggregate more, over `price` and `volume`, in a column of numbers.
pub(super) fn with_aggregate(aggregate: &str) -> String {
    let sql = replaced(
        OHLC,
        "trades BIGINT\n)",
        "trades BIGINT,\n    extra DOUBLE\n)",
    );
    let sql = replaced(
        &sql,
        "close, volume, trades\n",
        "close, volume, trades, CAST(extra AS DOUBLE)\n",
    );
    let column = format!("count(*) AS trades,\n        {aggregate} AS extra\n");
    replaced(&sql, "count(*) AS trades\n", &column)
}

/// A job that writes every tick as it is.
pub(super) fn every_tick() -> String {
    let source = part(OHLC, "CREATE TABLE raw_ticks (", Some("\n);\n"));
    let ticks = part(OHLC, "CREATE VIEW ticks AS", Some(";\n"));
    format!(
        "{source}\n{ticks}\nCREATE TABLE every_tick (\n    symbol TEXT,\n    price DOUBLE,\n    volume DOUBLE,\n    \
         event_time TIMESTAMP\n) WITH (\n    connector = 'filesystem',\n    type = 'sink',\n    \
         path = '{{{{ CANDLES_PATH | data/ticks }}}}',\n    format = 'parquet'\n);\n\n\
         INSERT INTO every_tick SELECT symbol, price, volume, _timestamp FROM ticks;\n"
    )
}

/// `text` with its only `from` replaced.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(
        text.matches(from).count(),
        1,
        "sql/ohlc.sql has {from:?} once"
    );
    text.replacen(from, to, 1)
}

/// The part that begins with `start`, up to and with `end`, or all that follows.
fn part<'a>(text: &'a str, start: &str, end: Option<&str>) -> &'a str {
    let from = text.find(start).expect("sql/ohlc.sql has this part");
    let rest = &text[from..];
    let length = end.map_or(rest.len(), |end| {
        rest.find(end).expect("sql/ohlc.sql ends this part") + end.len()
    });
    &rest[..length]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::JobPlan;
    use crate::query::sql::SqlFile;

    fn outputs(sql: &str) -> usize {
        let file = SqlFile::parse("job.sql", sql, &|_| None).unwrap();
        JobPlan::new(&file).unwrap().outputs.len()
    }

    #[test]
    fn every_job_is_one_that_runs() {
        assert_eq!(outputs(&with_windows("1 second", "119 seconds")), 1);
        for inserts in 1..=WIDTHS.len() {
            assert_eq!(outputs(&with_inserts(inserts)), inserts);
        }
        assert_eq!(outputs(&with_aggregate("stddev(price)")), 1);
        assert_eq!(outputs(&with_aggregate("count(DISTINCT price)")), 1);
        assert_eq!(outputs(&every_tick()), 1);
    }
}
