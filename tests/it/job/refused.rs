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
            job.sql:93:14: the aggregate has no window, so its rows would never be final
              93 |     GROUP BY symbol
                 |              ^^^^^^
              help: add tumble(interval '1 minute') AS window to the SELECT, and window to its GROUP BY"#]],
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
            job.sql:94:14: a query has one window
              94 |     GROUP BY symbol, window, other
                 |              ^^^^^^^^^^^^^^^^^^^^^
              help: write an INSERT for each; they share one read of the topic"#]],
    );
}

#[test]
fn another_kind_of_window() {
    refuses(
        &[(
            "tumble(interval '1 minute') AS",
            "session(interval '1 minute') AS",
        )],
        &expect![[r#"
            job.sql:85:9: the local engine does not run session() windows
              85 |         session(interval '1 minute') AS window,
                 |         ^^^^^^^
              help: Arroyo runs it: --master arroyo://host:5115"#]],
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
            job.sql:72:10: the STRUCT has no field "price"
              72 |     tick.price AS price,
                 |          ^^^^^"#]],
    );
}

#[test]
fn an_unknown_function() {
    refuses(
        &[("max(price)", "maxx(price)")],
        &expect![[r#"
            job.sql:87:9: function "maxx" does not exist
              87 |         maxx(price) AS high,
                 |         ^^^^
              help: did you mean "max"?"#]],
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
            job.sql:81:8: the query has 8 columns, the table it goes into has 9
              81 | SELECT symbol, window.start, window.end, open, high, low, close, volume
                 |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              help: the table has (symbol, window_start, window_end, open, high, low, close, volume, trades)"#]],
    );
}

#[test]
fn a_type_that_does_not_fit() {
    refuses(
        &[("    open DOUBLE,", "    open BIGINT,")],
        &expect![[r#"
            job.sql:81:42: column "open" of the table is BIGINT, the query gives DOUBLE
              81 | SELECT symbol, window.start, window.end, open, high, low, close, volume, trades
                 |                                          ^^^^
              help: CAST(… AS BIGINT), or declare the column so"#]],
    );
    refuses(
        &[("    volume DOUBLE,", "    volume TEXT,")],
        &expect![[r#"
            job.sql:81:66: column "volume" of the table is TEXT, the query gives DOUBLE
              81 | SELECT symbol, window.start, window.end, open, high, low, close, volume, trades
                 |                                                                  ^^^^^^
              help: CAST(… AS TEXT), or declare the column so"#]],
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
            job.sql:76:106: now() gives another value in every run, so the same ticks would not give the same rows
              76 | WHERE tick.s IS NOT NULL AND tick.p IS NOT NULL AND tick.t IS NOT NULL AND to_timestamp_millis(tick.t) > now();
                 |                                                                                                          ^^^
              help: use _timestamp for the time of a tick"#]],
    );
    refuses(
        &[("max(price)", "max(price + random())")],
        &expect![[r#"
            job.sql:87:21: random() gives another value in every run, so the same ticks would not give the same rows
              87 |         max(price + random()) AS high,
                 |                     ^^^^^^
              help: use _timestamp for the time of a tick"#]],
    );
}

#[test]
fn an_order_or_a_limit_at_the_top() {
    refuses(
        &[(LAST, "    GROUP BY symbol, window\n)\nORDER BY symbol;")],
        &expect![[r#"
            job.sql:95:10: ORDER BY would be over all windows, which never end
              95 | ORDER BY symbol;
                 |          ^^^^^^
              help: rank within each window: ROW_NUMBER() OVER (PARTITION BY window ORDER BY …)"#]],
    );
    refuses(
        &[(LAST, "    GROUP BY symbol, window\n)\nLIMIT 10;")],
        &expect![[r#"
            job.sql:95:7: LIMIT would be over all windows, which never end
              95 | LIMIT 10;
                 |       ^^
              help: rank within each window: ROW_NUMBER() OVER (PARTITION BY window ORDER BY …)"#]],
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
            job.sql:92:22: the local engine does not run a join of two streams
              92 |     FROM ticks JOIN (SELECT symbol AS other FROM ticks) ON symbol = other
                 |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              help: Arroyo runs it: --master arroyo://host:5115"#]],
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
            job.sql:81:74: row_number() OVER (…) without the window in its PARTITION BY is over all windows, so its rows would never be final
              81 | SELECT symbol, window.start, window.end, open, high, low, close, volume, row_number() OVER (ORDER BY trades)
                 |                                                                          ^^^^^^^^^^
              help: write OVER (PARTITION BY window …)"#]],
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
            job.sql:92:41: the local engine does not run UNION over a stream's rows
              92 |     FROM (SELECT * FROM ticks UNION ALL SELECT * FROM ticks)
                 |                                         ^^^^^^^^^^^^^^^^^^^
              help: Arroyo runs it: --master arroyo://host:5115"#]],
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
            job.sql:85:9: months and years have no fixed length; give days, hours, minutes or seconds
              85 |         tumble(interval '1 month') AS window,
                 |         ^^^^^^"#]],
    );
    refuses(
        &[(
            "tumble(interval '1 minute') AS",
            "tumble(interval '0 minutes') AS",
        )],
        &expect![[r#"
            job.sql:85:9: the interval must be positive and below 292 years
              85 |         tumble(interval '0 minutes') AS window,
                 |         ^^^^^^"#]],
    );
}

#[test]
fn a_file_without_an_insert() {
    let (tables, _) = OHLC.split_once("INSERT INTO ohlc").unwrap();
    check(
        tables,
        &expect![
            "job.sql:1:1: the file has no INSERT INTO and no SELECT, so there is nothing to run"
        ],
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

#[test]
fn a_window_that_is_none() {
    for (window, expected) in [
        (
            "tumble(_timestamp, interval '1 minute')",
            expect![[r#"
            job.sql:85:9: tumble() takes one constant, such as interval '1 minute'; it is over _timestamp, so select another time AS _timestamp
              85 |         tumble(_timestamp, interval '1 minute') AS window,
                 |         ^^^^^^"#]],
        ),
        (
            "tumble(interval '1 month')",
            expect![[r#"
            job.sql:85:9: months and years have no fixed length; give days, hours, minutes or seconds
              85 |         tumble(interval '1 month') AS window,
                 |         ^^^^^^"#]],
        ),
        (
            "tumble('1 minute')",
            expect![[r#"
            job.sql:85:9: expected an interval, found Utf8
              85 |         tumble('1 minute') AS window,
                 |         ^^^^^^"#]],
        ),
        (
            "tumble(price)",
            expect![[r#"
            job.sql:85:9: tumble() takes one constant, such as interval '1 minute'; it is over _timestamp, so select another time AS _timestamp
              85 |         tumble(price) AS window,
                 |         ^^^^^^"#]],
        ),
        (
            "tumble()",
            expect![[r#"
                job.sql:85:9: there is no function tumble()
                  85 |         tumble() AS window,
                     |         ^^^^^^"#]],
        ),
        (
            "hop(interval '5 minutes', interval '1 minute')",
            expect![[r#"
                job.sql:85:9: hop()'s first argument is the slide, the second the width, which is larger
                  85 |         hop(interval '5 minutes', interval '1 minute') AS window,
                     |         ^^^"#]],
        ),
        (
            "hop(interval '2 minutes', interval '5 minutes')",
            expect![[r#"
                job.sql:85:9: hop()'s width must be a multiple of its slide
                  85 |         hop(interval '2 minutes', interval '5 minutes') AS window,
                     |         ^^^"#]],
        ),
        (
            "hop(interval '1 minute')",
            expect![[r#"
            job.sql:85:9: hop() takes two constants, slide and width, such as hop(interval '1 minute', interval '15 minutes'); it is over _timestamp, so select another time AS _timestamp
              85 |         hop(interval '1 minute') AS window,
                 |         ^^^"#]],
        ),
        (
            "hop(interval '1 millisecond', interval '1 minute')",
            expect![[r#"
                job.sql:85:9: every row would be in 60000 windows; hop()'s width is at most 1000 times its slide
                  85 |         hop(interval '1 millisecond', interval '1 minute') AS window,
                     |         ^^^"#]],
        ),
    ] {
        refuses(
            &[("tumble(interval '1 minute') AS", &format!("{window} AS"))],
            &expected,
        );
    }
    refuses(
        &[
            (
                WINDOW,
                "        date_trunc('minute', _timestamp) AS start,\n",
            ),
            ("GROUP BY symbol, window", "GROUP BY symbol, start"),
            (
                "SELECT symbol, window.start, window.end,",
                "SELECT symbol, start, start AS again,",
            ),
        ],
        &expect![[r#"
            job.sql:93:14: the aggregate has no window, so its rows would never be final
              93 |     GROUP BY symbol, start
                 |              ^^^^^^^^^^^^^
              help: date_trunc() is no window: nothing says when its rows are complete. Write tumble(interval '1 minute')"#]],
    );
}

/// A file with the tables and the view of `sql/ohlc.sql` and other queries.
fn with_queries(queries: &str) -> String {
    let (tables, _) = OHLC.split_once("-- (4)").unwrap();
    format!("{tables}{queries}")
}

const CANDLES: &str = "CREATE VIEW candles AS
SELECT symbol, tumble(interval '1 minute') AS window, max(price) AS high, count(*) AS trades
FROM ticks GROUP BY symbol, window;
CREATE TABLE wide (symbol TEXT, high DOUBLE, trades BIGINT)
WITH (connector = 'filesystem', type = 'sink', path = 'data/wide', format = 'parquet');
CREATE TABLE sectors (symbol TEXT, sector TEXT)
WITH (connector = 'filesystem', type = 'source', path = 'sectors.csv', format = 'csv');
";

/// What follows the tables, the view of the ticks and [`CANDLES`].
fn refuses_query(query: &str, expected: &Expect) {
    check(&with_queries(&format!("{CANDLES}{query}")), expected);
}

#[test]
fn what_would_need_all_windows() {
    refuses_query(
        "INSERT INTO wide SELECT symbol, max(high), sum(trades) FROM candles GROUP BY symbol;",
        &expect![[r#"
            job.sql:85:78: the second aggregation is over all windows, so its rows would never be final
              85 | INSERT INTO wide SELECT symbol, max(high), sum(trades) FROM candles GROUP BY symbol;
                 |                                                                              ^^^^^^
              help: add the window to its GROUP BY"#]],
    );
    refuses_query(
        "INSERT INTO wide SELECT DISTINCT symbol, 1.5, trades FROM candles;",
        &expect![[r#"
            job.sql:85:18: SELECT DISTINCT without the window is over all windows, so its rows would never be final
              85 | INSERT INTO wide SELECT DISTINCT symbol, 1.5, trades FROM candles;
                 |                  ^^^^^^
              help: select the window too"#]],
    );
    refuses_query(
        "INSERT INTO wide SELECT symbol, high, row_number() OVER (PARTITION BY symbol ORDER BY high) FROM candles;",
        &expect![[r#"
            job.sql:85:39: row_number() OVER (…) without the window in its PARTITION BY is over all windows, so its rows would never be final
              85 | INSERT INTO wide SELECT symbol, high, row_number() OVER (PARTITION BY symbol ORDER BY high) FROM candles;
                 |                                       ^^^^^^^^^^
              help: write OVER (PARTITION BY window …)"#]],
    );
    refuses_query(
        "INSERT INTO wide SELECT symbol, high, trades FROM (SELECT * FROM candles ORDER BY high LIMIT 3);",
        &expect![[r#"
            job.sql:85:94: LIMIT would be over all windows, which never end
              85 | INSERT INTO wide SELECT symbol, high, trades FROM (SELECT * FROM candles ORDER BY high LIMIT 3);
                 |                                                                                              ^
              help: rank within each window: ROW_NUMBER() OVER (PARTITION BY window ORDER BY …)"#]],
    );
    refuses_query(
        "INSERT INTO wide SELECT symbol, price, 1 FROM ticks ORDER BY price;",
        &expect![[r#"
            job.sql:85:62: ORDER BY is over a stream that does not end, so its rows would never be final
              85 | INSERT INTO wide SELECT symbol, price, 1 FROM ticks ORDER BY price;
                 |                                                              ^^^^^
              help: aggregate by window first: GROUP BY … tumble(interval '1 minute')"#]],
    );
    refuses_query(
        "INSERT INTO wide SELECT DISTINCT symbol, price, 1 FROM ticks;",
        &expect![[r#"
            job.sql:85:18: SELECT DISTINCT is over a stream that does not end, so its rows would never be final
              85 | INSERT INTO wide SELECT DISTINCT symbol, price, 1 FROM ticks;
                 |                  ^^^^^^
              help: aggregate by window first: GROUP BY … tumble(interval '1 minute')"#]],
    );
    refuses_query(
        "INSERT INTO wide SELECT symbol, lag(price) OVER (PARTITION BY symbol ORDER BY _timestamp), 1 FROM ticks;",
        &expect![[r#"
            job.sql:85:33: a window function (OVER) is over a stream that does not end, so its rows would never be final
              85 | INSERT INTO wide SELECT symbol, lag(price) OVER (PARTITION BY symbol ORDER BY _timestamp), 1 FROM ticks;
                 |                                 ^^^^^^^^^
              help: aggregate by window first: GROUP BY … tumble(interval '1 minute')"#]],
    );
}

#[test]
fn joins() {
    refuses_query(
        "INSERT INTO wide SELECT a.symbol, a.high, b.trades FROM candles a JOIN candles b ON a.window = b.window;",
        &expect![[r#"
            job.sql:85:72: the local engine does not run a join of two streams
              85 | INSERT INTO wide SELECT a.symbol, a.high, b.trades FROM candles a JOIN candles b ON a.window = b.window;
                 |                                                                        ^^^^^^^^^
              help: Arroyo runs it: --master arroyo://host:5115"#]],
    );
    refuses_query(
        "INSERT INTO wide SELECT a.symbol, a.price, 1 FROM ticks a, ticks b WHERE a.symbol = b.symbol;",
        &expect![[r#"
            job.sql:85:60: the local engine does not run a join of two streams
              85 | INSERT INTO wide SELECT a.symbol, a.price, 1 FROM ticks a, ticks b WHERE a.symbol = b.symbol;
                 |                                                            ^^^^^^^
              help: Arroyo runs it: --master arroyo://host:5115"#]],
    );
    refuses_query(
        "INSERT INTO wide SELECT s.symbol, t.price, 1 FROM sectors s LEFT JOIN ticks t ON t.symbol = s.symbol;",
        &expect![[r#"
            job.sql:85:71: a LEFT JOIN keeps the static table's rows without a match, and there may be one until the stream ends
              85 | INSERT INTO wide SELECT s.symbol, t.price, 1 FROM sectors s LEFT JOIN ticks t ON t.symbol = s.symbol;
                 |                                                                       ^^^^^^^
              help: begin with the stream: FROM ticks LEFT JOIN …"#]],
    );
    refuses_query(
        "INSERT INTO wide SELECT s.symbol, c.high, c.trades FROM candles c FULL JOIN sectors s ON c.symbol = s.symbol;",
        &expect![[r#"
            job.sql:85:77: a FULL JOIN keeps the static table's rows without a match, and there may be one until the stream ends
              85 | INSERT INTO wide SELECT s.symbol, c.high, c.trades FROM candles c FULL JOIN sectors s ON c.symbol = s.symbol;
                 |                                                                             ^^^^^^^^^
              help: begin with the stream: FROM ticks LEFT JOIN …"#]],
    );
    refuses_query(
        "INSERT INTO wide SELECT symbol, price, 1 FROM ticks WHERE symbol IN (SELECT symbol FROM candles);",
        &expect![[r#"
            job.sql:85:70: the local engine does not run a join of two streams
              85 | INSERT INTO wide SELECT symbol, price, 1 FROM ticks WHERE symbol IN (SELECT symbol FROM candles);
                 |                                                                      ^^^^^^^^^^^^^^^^^^^^^^^^^^
              help: Arroyo runs it: --master arroyo://host:5115"#]],
    );
    refuses_query(
        "INSERT INTO wide SELECT symbol, 1.5, 1 FROM sectors;",
        &expect![[r#"
            job.sql:85:1: the query's rows do not come from a stream
              85 | INSERT INTO wide SELECT symbol, 1.5, 1 FROM sectors;
                 | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]],
    );
    refuses_query(
        "INSERT INTO wide SELECT 'a', 1.5, 1;",
        &expect![[r#"
        job.sql:85:1: the query's rows do not come from a stream
          85 | INSERT INTO wide SELECT 'a', 1.5, 1;
             | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]],
    );
}

/// DataFusion would give a row for every price.
#[test]
fn unnested_rows_by_the_keys_of_their_candles() {
    refuses_query(
        "CREATE VIEW prices AS
SELECT symbol, window, unnest(prices) AS price FROM (
    SELECT symbol, tumble(interval '1 minute') AS window, array_agg(price) AS prices FROM ticks GROUP BY symbol, window
);
INSERT INTO wide SELECT symbol, max(price), count(*) FROM prices GROUP BY symbol, window;",
        &expect![[r#"
            job.sql:89:75: the keys of the rows that unnest() was over are no keys behind it, but DataFusion takes them for such
              89 | INSERT INTO wide SELECT symbol, max(price), count(*) FROM prices GROUP BY symbol, window;
                 |                                                                           ^^^^^^^^^^^^^^
              help: select window.start AS start beside the unnest(), not the window itself, and group by start"#]],
    );
}

#[test]
fn every_unknown_name_of_a_query_is_found_at_once() {
    refuses_query(
        "INSERT INTO wide SELECT symbl, maxx(hihg), upper(trade) FROM candles WHERE windw IS NOT NULL;",
        &expect![[r#"
            job.sql:85:25: column "symbl" does not exist
              85 | INSERT INTO wide SELECT symbl, maxx(hihg), upper(trade) FROM candles WHERE windw IS NOT NULL;
                 |                         ^^^^^
              help: did you mean "symbol"?
            job.sql:85:32: function "maxx" does not exist
              85 | INSERT INTO wide SELECT symbl, maxx(hihg), upper(trade) FROM candles WHERE windw IS NOT NULL;
                 |                                ^^^^
              help: did you mean "max"?
            job.sql:85:37: column "hihg" does not exist
              85 | INSERT INTO wide SELECT symbl, maxx(hihg), upper(trade) FROM candles WHERE windw IS NOT NULL;
                 |                                     ^^^^
              help: did you mean "high"?
            job.sql:85:50: column "trade" does not exist
              85 | INSERT INTO wide SELECT symbl, maxx(hihg), upper(trade) FROM candles WHERE windw IS NOT NULL;
                 |                                                  ^^^^^
              help: did you mean "trades"?
            job.sql:85:76: column "windw" does not exist
              85 | INSERT INTO wide SELECT symbl, maxx(hihg), upper(trade) FROM candles WHERE windw IS NOT NULL;
                 |                                                                            ^^^^^
              help: did you mean "window"?"#]],
    );
    refuses_query(
        "INSERT INTO wide SELECT symbol, sum(symbol), 1 FROM ticks GROUP BY symbol, tumble(interval '1 minute');",
        &expect![[r#"
            job.sql:85:33: there is no function sum(TEXT)
              85 | INSERT INTO wide SELECT symbol, sum(symbol), 1 FROM ticks GROUP BY symbol, tumble(interval '1 minute');
                 |                                 ^^^"#]],
    );
}
