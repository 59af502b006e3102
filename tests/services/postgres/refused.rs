//! What cannot be written to is refused before anything is read, with what is wrong and what to do; no message has a
//! password.

use super::database::{Database, PASSWORD};
use super::{folder, job_at};
use crate::market::Market;
use crate::support::broker::TestBroker;

/// Starts the example's job and returns what it said, which must have all of `parts`.
fn refused(broker: &TestBroker, url: &str, parts: &[&str]) {
    let folder = folder();
    let ended = job_at(&folder, broker, url, &["--available-now"]).end();
    assert_eq!(ended.code, Some(7), "{}", ended.said);
    for part in parts {
        assert!(ended.said.contains(part), "{part}: {}", ended.said);
    }
    assert!(!ended.said.contains(PASSWORD), "{}", ended.said);
    assert!(!ended.said.contains("hunter2"), "{}", ended.said);
    assert_eq!(ended.said.matches(" is committed").count(), 0);
}

const COLUMNS: &str = "symbol text, window_start timestamptz, window_end timestamptz, open_price float8, \
                       high_price float8, low_price float8, close_price float8";

#[test]
fn what_cannot_be_written_to_is_refused_before_anything_is_read() {
    let broker = Market::recorded(50).in_topic();
    let database = Database::new();
    let (address, name, url) = (&database.address, &database.name, database.url());

    let wrong = format!("postgres://ticks:hunter2@{address}/{name}");
    refused(
        &broker,
        &wrong,
        &[
            "user ticks is not let in",
            "password authentication failed",
            "PGPASSWORD",
        ],
    );
    let nobody = format!("postgres://nobody:hunter2@{address}/{name}");
    refused(&broker, &nobody, &["user nobody is not let in"]);
    let none = format!("postgres://ticks@{address}/{name}");
    refused(
        &broker,
        &none,
        &["user ticks cannot log in", "password missing", "PGPASSWORD"],
    );
    let elsewhere = format!("postgres://ticks:{PASSWORD}@{address}/no_such");
    refused(
        &broker,
        &elsewhere,
        &["database \"no_such\" does not exist", "CREATE DATABASE"],
    );

    // The whole declaration is said, as the example has it.
    let declared = [
        "CREATE TABLE IF NOT EXISTS \"public\".\"ohlc_candles\"",
        "\"symbol\" text NOT NULL",
        "PRIMARY KEY (\"symbol\", \"window_start\")",
    ];
    refused(
        &broker,
        &url,
        &[
            "table public.ohlc_candles is not there",
            "--create-tables",
            declared[0],
            declared[1],
            declared[2],
        ],
    );

    // All differences at once.
    database.run(
        "CREATE TABLE ohlc_candles (\"Symbol\" text, window_start date, window_end timestamptz, open_price real, \
         high_price float8, low_price numeric, close_price float8 GENERATED ALWAYS AS (1.0) STORED, venue text NOT NULL)",
    );
    refused(
        &broker,
        &url,
        &[
            "column symbol is not there; is it Symbol, which is there?",
            "column window_start is date, which does not hold every TIMESTAMP",
            "column open_price is real, which does not hold every DOUBLE",
            "column close_price is generated",
            "column venue is NOT NULL without a default",
            declared[0],
        ],
    );
    database.run(&format!(
        "DROP TABLE ohlc_candles; CREATE TABLE ohlc_candles ({COLUMNS}, UNIQUE (symbol))"
    ));
    refused(
        &broker,
        &url,
        &[
            "no PRIMARY KEY or unique index over exactly (symbol, window_start)",
            "ADD PRIMARY KEY (\"symbol\", \"window_start\")",
        ],
    );
    database.run("DROP TABLE ohlc_candles; CREATE VIEW ohlc_candles AS SELECT 1 AS symbol");
    refused(&broker, &url, &["public.ohlc_candles is no table"]);

    // Rights: on the table, and to make the table of the epochs.
    database.run(&format!("DROP VIEW ohlc_candles; CREATE TABLE ohlc_candles ({COLUMNS}, PRIMARY KEY (symbol, window_start))"));
    let reader = format!("reader_{name}");
    database.as_admin(name, &format!("CREATE ROLE {reader} LOGIN PASSWORD 'hunter2'; GRANT SELECT ON ohlc_candles TO {reader}; REVOKE CREATE ON SCHEMA public FROM PUBLIC"));
    let reading = format!("postgres://{reader}:hunter2@{address}/{name}");
    refused(
        &broker,
        &reading,
        &[
            "may not write table public.ohlc_candles",
            "GRANT SELECT, INSERT, UPDATE",
        ],
    );
    database.as_admin(
        name,
        &format!("GRANT INSERT, UPDATE ON ohlc_candles TO {reader}"),
    );
    refused(
        &broker,
        &reading,
        &[
            "each commit is marked",
            "\"public\".\"stockpulse_epochs\" (",
            "GRANT SELECT, INSERT, UPDATE",
        ],
    );
    database.as_admin(name, &format!("DROP OWNED BY {reader}; DROP ROLE {reader}"));
}

#[test]
fn a_server_that_is_not_there_is_tried_for_a_while_and_named() {
    let broker = Market::recorded(50).in_topic();
    // A port that nobody listens on.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("postgres://ticks:hunter2@{address}/market");
    refused(
        &broker,
        &url,
        &[
            &format!("PostgreSQL at {address}, database market"),
            "Connection refused",
        ],
    );
}

/// `--explain` and `--dry-run` ask no server, and show no password.
#[test]
fn explain_shows_the_place_the_key_and_the_declaration() {
    let (broker, folder) = (TestBroker::start(1), folder());
    let url = "postgres://ticks:hunter2@db.example:6543/market?sslmode=verify-full";
    let ended = job_at(&folder, &broker, url, &["--explain"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    for part in [
        "INSERT INTO ohlc_candles → postgres://db.example:6543/market/public.ohlc_candles",
        "ticks, with a password (not shown)",
        "certificate and name are looked at",
        "symbol, window_start: a row takes the place of the one with its key",
        "CREATE TABLE IF NOT EXISTS \"public\".\"ohlc_candles\" (",
        "\"open_price\" double precision",
        "PRIMARY KEY (\"symbol\", \"window_start\")",
    ] {
        assert!(ended.said.contains(part), "{part}: {}", ended.said);
    }
    assert!(!ended.said.contains("hunter2"), "{}", ended.said);
    let ended = job_at(&folder, &broker, url, &["--dry-run"]).end();
    assert!(
        ended.said.contains(
            "writes ohlc_candles (postgres://db.example:6543/market/public.ohlc_candles)"
        ),
        "{}",
        ended.said
    );
    assert!(!ended.said.contains("hunter2"), "{}", ended.said);
}
