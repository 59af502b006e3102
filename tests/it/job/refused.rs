//! What the planner refuses, before anything starts: the whole message, with its place and its reason.

use expect_test::{Expect, expect};

use super::exact::OHLC;
use super::harness::{Bench, Regime};

fn check(sql: &str, expected: &Expect) {
    let refused = Bench::new(sql).spec(&Regime::default()).map(|_| ());
    expected.assert_eq(&refused.unwrap_err());
}

/// `sql/ohlc.sql` with replacements, each of which must be found.
fn refuses(edits: &[(&str, &str)], expected: &Expect) {
    let sql = edits.iter().fold(OHLC.to_string(), |sql, (old, new)| {
        assert_eq!(sql.matches(old).count(), 1, "{old}");
        sql.replace(old, new)
    });
    check(&sql, expected);
}

const WINDOW: &str = "        tumble(interval '1 minute') AS window,\n";
const LAST: &str = "    GROUP BY symbol, window\n);";

#[test]
fn an_aggregate_without_a_window() {
    refuses(
        &[
            (
                "SELECT symbol, window.start, window.end, open",
                "SELECT symbol, newest, newest AS again, open",
            ),
            (WINDOW, "        max(_timestamp) AS newest,\n"),
            ("GROUP BY symbol, window", "GROUP BY symbol"),
        ],
        &expect![[r#"
            job.sql:80:1: the aggregate has no window, so its rows would never be final; add tumble(interval '1 minute') to its GROUP BY
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn a_query_without_an_aggregate() {
    let (tables, _) = OHLC.split_once("INSERT INTO ohlc").unwrap();
    let sql = tables.to_string()
        + "INSERT INTO ohlc SELECT symbol, _timestamp AS a, _timestamp AS b, price AS c, price AS d, price AS e, price AS f, volume, 1 FROM ticks;";
    check(
        &sql,
        &expect![[r#"
            job.sql:80:1: the query has no windowed aggregate; the local engine runs GROUP BY … tumble(interval '…')
              80 | INSERT INTO ohlc SELECT symbol, _timestamp AS a, _timestamp AS b, price AS c, price AS d, price AS e, price AS f, volume, 1 FROM ticks;
                 | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn two_windows() {
    refuses(
        &[
            (
                WINDOW,
                "        tumble(interval '1 minute') AS window,\n        tumble(interval '5 minutes') AS other,\n",
            ),
            ("GROUP BY symbol, window", "GROUP BY symbol, window, other"),
        ],
        &expect![[r#"
            job.sql:80:1: a query has one window
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn another_kind_of_window() {
    refuses(
        &[(
            "tumble(interval '1 minute') AS",
            "hop(interval '1 minute', interval '5 minutes') AS",
        )],
        &expect![[r#"
            job.sql:85:9: the local engine does not run hop() windows
              85 |         hop(interval '1 minute', interval '5 minutes') AS window,
                 |         ^^^
              help: it runs tumble(interval '1 minute')"#]],
    );
}

#[test]
fn an_unknown_column() {
    refuses(
        &[("max(price)", "max(prise)")],
        &expect![[r#"
            job.sql:87:13: column "prise" does not exist
              87 |         max(prise) AS high,
                 |             ^^^^^
              help: did you mean "price"?"#]],
    );
    refuses(
        &[("    tick.p AS price,", "    tick.price AS price,")],
        &expect![[r#"
            job.sql:69:1: Field price not found in struct
              69 | CREATE VIEW ticks AS
                 | ^^^^^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn an_unknown_function() {
    refuses(
        &[("max(price)", "maxx(price)")],
        &expect![[r#"
            job.sql:87:9: Invalid function 'maxx'.
              87 |         maxx(price) AS high,
                 |         ^^^^
              help: Did you mean 'max'?"#]],
    );
}

#[test]
fn an_unknown_table() {
    refuses(
        &[("    FROM ticks\n", "    FROM tikcs\n")],
        &expect![[r#"
            job.sql:92:10: table "tikcs" does not exist
              92 |     FROM tikcs
                 |          ^^^^^
              help: did you mean "ticks"?"#]],
    );
    refuses(
        &[("INSERT INTO ohlc\n", "INSERT INTO olhc\n")],
        &expect![[r#"
            job.sql:80:13: table "olhc" does not exist
              80 | INSERT INTO olhc
                 |             ^^^^
              help: did you mean "ohlc"?"#]],
    );
}

#[test]
fn another_number_of_columns() {
    refuses(
        &[("low, close, volume, trades\n", "low, close, volume\n")],
        &expect![[r#"
            job.sql:80:1: the query has 8 columns, the table it goes into has 9 (symbol, window_start, window_end, open, high, low, close, volume, trades)
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn a_type_that_does_not_fit() {
    refuses(
        &[("    open DOUBLE,", "    open BIGINT,")],
        &expect![[r#"
            job.sql:80:1: column "open" of the table is BIGINT, the query gives DOUBLE; CAST it
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
    refuses(
        &[("    volume DOUBLE,", "    volume TEXT,")],
        &expect![[r#"
            job.sql:80:1: column "volume" of the table is TEXT, the query gives DOUBLE; CAST it
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn a_clock_or_chance() {
    refuses(
        &[(
            "tick.t IS NOT NULL;",
            "tick.t IS NOT NULL AND to_timestamp_millis(tick.t) > now();",
        )],
        &expect![[r#"
            job.sql:80:1: now() gives another value in every run, so the same ticks would not give the same rows; use _timestamp for the time of a tick
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
    refuses(
        &[("max(price)", "max(price + random())")],
        &expect![[r#"
            job.sql:80:1: random() gives another value in every run, so the same ticks would not give the same rows; use _timestamp for the time of a tick
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn an_order_or_a_limit_at_the_top() {
    refuses(
        &[(LAST, "    GROUP BY symbol, window\n)\nORDER BY symbol;")],
        &expect![[r#"
            job.sql:80:1: the local engine does not run ORDER BY above a windowed aggregate
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
    refuses(
        &[(LAST, "    GROUP BY symbol, window\n)\nLIMIT 10;")],
        &expect![[r#"
            job.sql:80:1: the local engine does not run LIMIT above a windowed aggregate
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn a_join() {
    refuses(
        &[(
            "    FROM ticks\n",
            "    FROM ticks JOIN (SELECT symbol AS other FROM ticks) ON symbol = other\n",
        )],
        &expect![[r#"
            job.sql:80:1: the local engine does not run a join
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn a_window_function() {
    refuses(
        &[(
            "low, close, volume, trades\n",
            "low, close, volume, row_number() OVER (ORDER BY trades)\n",
        )],
        &expect![[r#"
            job.sql:80:1: the local engine does not run window functions (OVER) above a windowed aggregate
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn a_union_below_the_aggregate() {
    refuses(
        &[(
            "    FROM ticks\n",
            "    FROM (SELECT * FROM ticks UNION ALL SELECT * FROM ticks)\n",
        )],
        &expect![[r#"
            job.sql:80:1: the local engine does not run UNION
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn a_second_aggregation() {
    refuses(
        &[
            (
                "SELECT symbol, window.start, window.end, open, high, low, close, volume, trades\n",
                "SELECT 'all', window.start, window.end, max(open), max(high), max(low), max(close), max(volume), max(trades)\n",
            ),
            (LAST, "    GROUP BY symbol, window\n)\nGROUP BY window;"),
        ],
        &expect![[r#"
            job.sql:80:1: the local engine does not run a second aggregation above a windowed one
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn an_interval_without_a_fixed_length() {
    refuses(
        &[(
            "tumble(interval '1 minute') AS",
            "tumble(interval '1 month') AS",
        )],
        &expect![[r#"
            job.sql:80:1: months and years have no fixed length; give days, hours, minutes or seconds
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
    refuses(
        &[(
            "tumble(interval '1 minute') AS",
            "tumble(interval '0 minutes') AS",
        )],
        &expect![[r#"
            job.sql:80:1: the interval must be positive and below 292 years
              80 | INSERT INTO ohlc
                 | ^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn a_file_without_an_insert() {
    let (tables, _) = OHLC.split_once("INSERT INTO ohlc").unwrap();
    check(
        tables,
        &expect!["job.sql:1:1: the file has no INSERT INTO and no SELECT, so there is nothing to run"],
    );
}

#[test]
fn two_sources() {
    let (_, source) = OHLC.split_once("CREATE TABLE raw_ticks").unwrap();
    let (source, _) = source.split_once(";\n").unwrap();
    check(
        &format!("CREATE TABLE more_ticks{source};\n{OHLC}"),
        &expect![
            "job.sql:1:1: the local engine reads one source a file; this one has more_ticks, raw_ticks"
        ],
    );
}

#[test]
fn metadata_columns() {
    refuses(
        &[(
            "    type TEXT,\n",
            "    type TEXT,\n    at BIGINT METADATA FROM 'offset_id',\n",
        )],
        &expect![[r#"
            job.sql:24:5: the local engine does not run METADATA FROM columns
              24 |     at BIGINT METADATA FROM 'offset_id',
                 |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn every_fault_of_a_file_is_found_at_once() {
    refuses(
        &[
            ("    format = 'json'", "    fromat = 'json'"),
            ("    open DOUBLE,", "    open DUOBLE,"),
        ],
        &expect![[r#"
            job.sql:35:3: option 'format' is missing
              35 | ) WITH (
                 |   ^^^^
              help: is it what 'fromat' was meant to be?
            job.sql:40:5: unknown option 'fromat'
              40 |     fromat = 'json',
                 |     ^^^^^^
              help: did you mean "format"?
            job.sql:52:10: unknown type DUOBLE
              52 |     open DUOBLE,
                 |          ^^^^^^
              help: did you mean "DOUBLE"?"#]],
    );
}
