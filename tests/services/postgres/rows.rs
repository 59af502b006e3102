//! Values of every type arrive as they are; what the table would refuse is refused before it is committed.

use super::database::Database;
use super::{folder_of, job};
use crate::support::broker::TestBroker;

/// A message of a topic of its own, and the job's source for it.
fn source(columns: &str) -> String {
    format!(
        "CREATE TABLE m ({columns}) WITH (connector = 'kafka', type = 'source',
         bootstrap_servers = '{{{{ KAFKA_BROKER }}}}', topic = '{{{{ KAFKA_TOPIC }}}}', format = 'json',
         bad_data = 'fail', 'source.offset' = 'earliest');\n"
    )
}

const SINK: &str = "WITH (connector = 'postgres', type = 'sink', url = '{{ POSTGRES_URL }}');\n";

fn topic(messages: &[serde_json::Value]) -> TestBroker {
    let broker = TestBroker::start(1);
    let texts: Vec<String> = messages.iter().map(ToString::to_string).collect();
    broker.produce(texts.iter().map(|text| (0, text.as_bytes())));
    broker
}

#[test]
fn values_of_every_type_arrive_as_they_are() {
    let texts = [
        "plain",
        "",
        "\\N",
        "\\.",
        "tab\tand\nline\r\\end",
        "it's \"quoted\" {a,b}",
        "NULL",
        "héé 日本 🦀",
        "\u{1}\u{7f}\u{b}\u{8}",
    ];
    let doubles = [
        0.1,
        -0.0,
        1e300,
        5e-324,
        f64::MAX,
        1.0,
        -2.5,
        123456789.125,
        0.3,
    ];
    let longs = [0, 1, -1, i64::MAX, i64::MIN, 7, 8, 9, 10];
    let millis: [i64; 9] = [
        0,
        -1,
        1_570_752_011_620,
        -9_000_000_000_000,
        9_000_000_000_000,
        1,
        2,
        3,
        4,
    ];
    let messages: Vec<_> = (texts.iter().enumerate())
        .map(|(n, text)| {
            serde_json::json!({
                "n": n, "t": text, "d": (doubles[n]), "i": (longs[n]), "b": (n % 2 == 0), "ms": (millis[n]),
                "list": [text, "x"], "numbers": [1.5, -2.0], "j": {"a": [1, text]},
                "dec": "12345678901234.567891"
            })
        })
        .chain([serde_json::json!({"n": 99})])
        .collect();
    let database = Database::new();
    let declared = "n BIGINT PRIMARY KEY, t TEXT, d DOUBLE, f FLOAT, i BIGINT, s SMALLINT, b BOOLEAN, \
                    at TIMESTAMP, day DATE, list TEXT[], numbers DOUBLE[], j JSON, raw BYTEA, dec DECIMAL(20,6)";
    let folder = super::folder_with(&format!(
        "{}CREATE TABLE odd ({declared}) {SINK}
         INSERT INTO odd SELECT n, t, d, CAST(d AS FLOAT) AS f, i, CAST(n AS SMALLINT) AS s, b,
             CAST(to_timestamp_millis(ms) AS TIMESTAMP) AS at, CAST(to_timestamp_millis(ms) AS DATE) AS day, list,
             numbers, j, CAST(t AS BYTEA) AS raw, CAST(dec AS DECIMAL(20,6)) AS dec FROM m;",
        source("n BIGINT, t TEXT, d DOUBLE, i BIGINT, b BOOLEAN, ms BIGINT, list TEXT[], numbers DOUBLE[], j JSON, dec TEXT")
    ));
    let run = ["--create-tables", "--available-now"];
    let ended = job(&folder, &topic(&messages), &database, &run).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let all = "SELECT count(*), count(t), count(d), count(list), count(j), count(raw), count(dec) FROM odd";
    assert_eq!(database.value(all), "10|9|9|9|9|9|9");
    for (n, text) in texts.iter().enumerate() {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let row = database.value(&format!(
            "SELECT encode(convert_to(t, 'UTF8'), 'hex') = '{hex}', encode(raw, 'hex') = '{hex}', \
             encode(convert_to(list[1], 'UTF8'), 'hex') = '{hex}', list[2] = 'x', cardinality(list) = 2, \
             encode(convert_to(j->'a'->>1, 'UTF8'), 'hex') = '{hex}', numbers = ARRAY[1.5, -2]::float8[], \
             dec = 12345678901234.567891, s = n FROM odd WHERE n = {n}"
        ));
        assert_eq!(row, "t|t|t|t|t|t|t|t|t", "{text:?}");
    }
    let numbers = "SELECT string_agg(d::text, ' ' ORDER BY n) || ' / ' || string_agg(i::text, ' ' ORDER BY n) FROM odd";
    assert_eq!(
        database.value(numbers),
        "0.1 -0 1e+300 5e-324 1.7976931348623157e+308 1 -2.5 123456789.125 0.3 / \
         0 1 -1 9223372036854775807 -9223372036854775808 7 8 9 10"
    );
    let times = "SELECT string_agg((at AT TIME ZONE 'UTC')::text || ' ' || day::text, ', ' ORDER BY n) FROM odd WHERE n < 5";
    assert_eq!(
        database.value(times),
        "1970-01-01 00:00:00 1970-01-01, 1969-12-31 23:59:59.999 1969-12-31, \
         2019-10-11 00:00:11.62 2019-10-11, 1684-10-19 08:00:00 1684-10-19, \
         2255-03-14 16:00:00 2255-03-14"
    );
}

#[test]
fn of_two_rows_with_one_key_the_later_one_stays() {
    let database = Database::new();
    let messages: Vec<_> = (0..1000)
        .map(|n| serde_json::json!({"k": format!("k{}", n % 7), "n": n}))
        .collect();
    let folder = super::folder_with(&format!(
        "{}CREATE TABLE newest (k TEXT, n BIGINT, PRIMARY KEY (k)) {SINK} INSERT INTO newest SELECT k, n FROM m;",
        source("k TEXT, n BIGINT")
    ));
    let run = ["--create-tables", "--available-now"];
    let ended = job(&folder, &topic(&messages), &database, &run).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(
        database.value("SELECT string_agg(k || ' ' || n, ', ' ORDER BY k) FROM newest"),
        "k0 994, k1 995, k2 996, k3 997, k4 998, k5 999, k6 993"
    );
}

/// What the table would refuse and can be known before: nothing is committed, so the SQL can be changed.
#[test]
fn a_row_that_the_table_would_refuse_is_refused_before_the_commit() {
    for (column, value, said) in [
        ("text", serde_json::json!("a\u{0}b"), "U+0000"),
        (
            "varchar(3)",
            serde_json::json!("four"),
            "has 4 characters, the column takes 3",
        ),
        (
            "text NOT NULL",
            serde_json::Value::Null,
            "is null, and the column is NOT NULL",
        ),
        ("uuid", serde_json::json!("no"), "is not a UUID"),
        ("jsonb", serde_json::json!("{no"), "is not JSON"),
    ] {
        let database = Database::new();
        database.run(&format!("CREATE TABLE t (k text PRIMARY KEY, v {column})"));
        let folder = super::folder_with(&format!(
            "{}CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT) {SINK} INSERT INTO t SELECT k, v FROM m;",
            source("k TEXT, v TEXT")
        ));
        let message = serde_json::json!({"k": "the row", "v": value});
        let ended = job(&folder, &topic(&[message]), &database, &["--available-now"]).end();
        assert_eq!(ended.code, Some(7), "{column}: {}", ended.said);
        for part in [
            said,
            "column v",
            "row k = the row",
            "public.t",
            "Nothing of this epoch is committed",
        ] {
            assert!(
                ended.said.contains(part),
                "{column}: {part}: {}",
                ended.said
            );
        }
        assert_eq!(database.value("SELECT count(*) FROM t"), "0");
        assert_eq!(database.value("SELECT epoch FROM stockpulse_epochs"), "0");
    }
}

/// What only the server knows is committed already: the rows wait, and go in when the table takes them.
#[test]
fn rows_that_a_check_refuses_wait_until_the_table_takes_them() {
    let (database, market) = (Database::new(), crate::market::Market::recorded(300));
    let broker = market.in_topic();
    let folder = super::folder();
    database.run(
        "CREATE TABLE ohlc_candles (symbol text, window_start timestamptz, window_end timestamptz, \
         open_price float8, high_price float8, low_price float8, close_price float8, \
         CONSTRAINT no_s3 CHECK (symbol <> 'S3'), PRIMARY KEY (symbol, window_start))",
    );
    for _ in 0..2 {
        let ended = job(&folder, &broker, &database, &["--available-now"]).end();
        assert_eq!(ended.code, Some(7), "{}", ended.said);
        for part in [
            "no_s3",
            "The epoch is committed",
            "ALTER TABLE public.ohlc_candles",
            "UPDATE \"public\".\"stockpulse_epochs\" SET epoch = ",
        ] {
            assert!(ended.said.contains(part), "{part}: {}", ended.said);
        }
    }
    database.run("ALTER TABLE ohlc_candles DROP CONSTRAINT no_s3");
    let ended = job(&folder, &broker, &database, &["--available-now"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(database.candles(), market.candles());
}

#[test]
fn a_job_of_several_tables_writes_them_all() {
    let (database, market) = (Database::new(), crate::market::Market::recorded(500));
    let (_, candles) = super::EXAMPLE.split_once(super::SINK).unwrap();
    let folder = folder_of(&format!(
        "{}{candles}
         CREATE TABLE counts (symbol TEXT, start TIMESTAMP, n BIGINT, PRIMARY KEY (symbol, start))
         WITH (connector = 'postgres', type = 'sink', url = '{{{{ POSTGRES_URL }}}}', schema = 'other', 'table' = 'Counts of')
         ;
         INSERT INTO counts SELECT symbol, window.start, n FROM (
             SELECT symbol, tumble(interval '1 minute') AS window, count(*) AS n FROM ticks GROUP BY symbol, window);",
        super::SINK
    ));
    database.run("CREATE SCHEMA other");
    let run = ["--create-tables", "--available-now"];
    let ended = job(&folder, &market.in_topic(), &database, &run).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(database.candles(), market.candles());
    let windows = database.value("SELECT count(*) FROM other.\"Counts of\" WHERE symbol <> 'last'");
    assert_eq!(windows, market.candles().len().to_string());
    // In the schema of each.
    assert_eq!(
        database.value("SELECT sink FROM other.stockpulse_epochs"),
        "counts"
    );
    assert_eq!(
        database.value("SELECT sink FROM public.stockpulse_epochs"),
        "ohlc_candles"
    );
}
