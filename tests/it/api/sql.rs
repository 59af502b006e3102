//! `POST /api/v1/sql`: a SELECT over the candles, and nothing else.

use std::time::{Duration, Instant};

use serde_json::Value;
use stockpulse::config::api::{ApiOptions, SqlLimits};

use super::table::Table;
use super::{ask, with_server};

fn table() -> Table {
    let table = Table::new();
    table.publish(
        "date=2026-08-01/1.parquet",
        &[
            ("A", "2026-08-01T00:00:00Z", [1.0; 4]),
            ("A", "2026-08-01T00:01:00Z", [2.0; 4]),
            ("B", "2026-08-01T00:00:00Z", [3.0; 4]),
        ],
    );
    table
}

fn options(table: &Table) -> ApiOptions {
    ApiOptions {
        sql: Some(SqlLimits {
            timeout: Duration::from_secs(2),
            rows: 100,
            memory_bytes: 1 << 20,
        }),
        ..table.options()
    }
}

/// Runs statements one after another; status, and the body as JSON.
fn check(options: ApiOptions, statements: &'static [(&'static str, u16, &'static str)]) {
    with_server(options, move |address| {
        for (sql, status, said) in statements {
            let text = [("Content-Type", "text/plain")];
            let answer = ask(address, "POST", "/api/v1/sql", &text, sql.as_bytes());
            let body = String::from_utf8(answer.body).unwrap();
            assert_eq!(answer.status, *status, "{sql}: {body}");
            assert!(body.contains(said), "{sql}: no {said:?} in {body}");
            if *status != 200 {
                let body: Value = serde_json::from_str(&body).unwrap();
                assert!(body["error"].is_string(), "{body}");
            }
        }
    });
}

#[test]
fn it_is_off_unless_it_is_turned_on() {
    let table = table();
    check(table.options(), &[("SELECT 1", 403, "API_SQL")]);
}

#[test]
fn selects_are_answered_in_every_form() {
    let table = table();
    check(
        options(&table),
        &[
            (
                "SELECT symbol, max(close) AS high FROM candles GROUP BY 1 ORDER BY 1",
                200,
                r#"[{"symbol":"A","high":2.0},{"symbol":"B","high":3.0}]"#,
            ),
            (
                "WITH c AS (SELECT close FROM candles) SELECT count(*) AS n FROM c WHERE close > 1;",
                200,
                r#"[{"n":2}]"#,
            ),
            ("SELECT symbol FROM candles WHERE close > 100", 200, "[]"),
            (
                "SELECT sum(close) OVER (PARTITION BY symbol ORDER BY window_start) AS s FROM candles ORDER BY 1 LIMIT 1",
                200,
                r#"[{"s":1.0}]"#,
            ),
            ("SELECT prise FROM candles", 400, "prise"),
            ("SELECT FROM WHERE", 400, ""),
            ("", 400, "SELECT"),
        ],
    );
    with_server(options(&table), move |address| {
        let json = [("Content-Type", "application/json"), ("Accept", "text/csv")];
        let answer = ask(
            address,
            "POST",
            "/api/v1/sql",
            &json,
            br#"{"sql": "SELECT count(*) AS n FROM candles"}"#,
        );
        assert_eq!(String::from_utf8(answer.body).unwrap(), "n\n3\n");
        let answer = ask(address, "POST", "/api/v1/sql", &json, b"{\"sql\": 1}");
        assert_eq!(answer.status, 400);
        let answer = ask(
            address,
            "POST",
            "/api/v1/sql",
            &[("Content-Type", "text/html")],
            b"SELECT 1",
        );
        assert_eq!(answer.status, 415);
        drop(table);
    });
}

#[test]
fn nothing_else_is_read_or_changed() {
    let table = table();
    check(
        options(&table),
        &[
            ("DROP TABLE candles", 400, "only one SELECT"),
            ("CREATE TABLE t AS SELECT 1", 400, "only one SELECT"),
            (
                "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
                400,
                "only one SELECT",
            ),
            (
                "INSERT INTO candles SELECT * FROM candles",
                400,
                "only one SELECT",
            ),
            ("COPY candles TO '/tmp/x.csv'", 400, "only one SELECT"),
            (
                "SET datafusion.execution.batch_size = 1",
                400,
                "only one SELECT",
            ),
            ("EXPLAIN SELECT * FROM candles", 400, "only one SELECT"),
            ("SHOW TABLES", 400, "only one SELECT"),
            ("SELECT 1; SELECT 2", 400, "only one SELECT"),
            ("SELECT * FROM '/etc/passwd'", 400, "not found"),
            ("SELECT * FROM 'file:///etc/passwd'", 400, "not found"),
            ("SELECT * FROM other", 400, "not found"),
            ("SELECT * FROM information_schema.tables", 400, ""),
            (
                "SELECT * FROM generate_series(1, 1000000000000)",
                400,
                "generate_series",
            ),
            ("SELECT repeat('x', 1000000000)", 400, "repeat"),
            ("SELECT input_file_name() FROM candles", 400, ""),
        ],
    );
}

#[test]
fn time_memory_and_rows_have_limits() {
    let table = table();
    let cross = "candles a, candles b, candles c, candles d, candles e, candles f, candles g, candles h, candles i, candles j, candles k, candles l, candles m, candles n, candles o, candles p, candles q, candles r, candles s, candles t";
    let long: &'static str = format!("SELECT count(*), sum(a.close * o.close) FROM {cross}").leak();
    let many: &'static str = format!("SELECT a.close FROM {cross}").leak();
    // Half a million groups.
    let twelve = &cross[..cross.find(", candles m").unwrap()];
    let large: &'static str = format!(
        "SELECT x, count(*) FROM (SELECT row_number() OVER () AS x FROM {twelve}) GROUP BY x"
    )
    .leak();
    let statements = vec![
        (many, 422, "more than 100 rows"),
        (large, 422, "memory"),
        (long, 503, "longer than"),
    ]
    .leak();
    let started = Instant::now();
    check(options(&table), statements);
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}
