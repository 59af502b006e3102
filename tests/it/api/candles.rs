//! `/api/v1/candles` and `/api/v1/symbols`, over a table as the sink writes it.

use std::fs;

use arrow::ipc::reader::StreamReader;
use serde_json::{Value, json};

use super::table::{Row, Table};
use super::{ask, get, with_server};

fn flat(price: f64) -> [f64; 4] {
    [price; 4]
}

/// Two days of a few minutes, two symbols; the last candle of the first day lies in that day's folder.
fn two_days() -> Table {
    let table = Table::new();
    table.publish(
        "date=2026-07-31/ohlc-1.parquet",
        &[
            ("A", "2026-07-31T23:58:00Z", [1.0, 4.0, 0.5, 2.0]),
            ("A", "2026-07-31T23:59:00Z", [2.0, 3.0, 1.0, 2.5]),
            ("B", "2026-07-31T23:59:00Z", flat(9.0)),
        ],
    );
    table.publish(
        "date=2026-08-01/ohlc-2.parquet",
        &[
            ("A", "2026-08-01T00:00:00Z", flat(3.0)),
            ("A", "2026-08-01T00:03:00Z", [3.0, 8.0, 3.0, 7.0]),
        ],
    );
    table
}

/// Start and close of each candle, `null` where there is none.
fn brief(rows: &Value) -> Vec<(String, Option<f64>)> {
    (rows.as_array().unwrap().iter())
        .map(|row| {
            let start = row["window_start"].as_str().unwrap();
            let start = start.trim_start_matches("2026-0").trim_end_matches(":00Z");
            (start.to_string(), row["close"].as_f64())
        })
        .collect()
}

fn check(table: Table, asked: &'static [(&'static str, &'static [(&'static str, f64)])]) {
    with_server(table.options(), move |address| {
        for (query, expected) in asked {
            let (status, rows) = get(address, &format!("/api/v1/candles?symbol=A&{query}"));
            assert_eq!(status, 200, "{query}: {rows}");
            let expected: Vec<_> = (expected.iter())
                .map(|(start, close)| {
                    let close = Some(*close).filter(|close| !close.is_nan());
                    ((*start).to_string(), close)
                })
                .collect();
            assert_eq!(brief(&rows), expected, "{query}");
        }
        drop(table);
    });
}

const NOTHING: f64 = f64::NAN;

#[test]
fn candles_by_time_newest_first_found_and_oldest_first_given() {
    check(
        two_days(),
        &[
            (
                "",
                &[
                    ("7-31T23:58", 2.0),
                    ("7-31T23:59", 2.5),
                    ("8-01T00:00", 3.0),
                    ("8-01T00:03", 7.0),
                ],
            ),
            ("limit=2", &[("8-01T00:00", 3.0), ("8-01T00:03", 7.0)]),
            (
                "limit=2&to=2026-08-01T00:03:00Z",
                &[("7-31T23:59", 2.5), ("8-01T00:00", 3.0)],
            ),
            ("from=2026-07-31&limit=1", &[("7-31T23:58", 2.0)]),
            (
                "from=2026-07-31T23:59:00Z&to=2026-08-01T00:03:00Z",
                &[("7-31T23:59", 2.5), ("8-01T00:00", 3.0)],
            ),
            ("from=2026-09-01", &[]),
            ("to=2020-01-01", &[]),
        ],
    );
}

#[test]
fn larger_resolutions_are_made_of_stored_candles() {
    check(
        two_days(),
        &[
            ("resolution=1m&limit=1", &[("8-01T00:03", 7.0)]),
            (
                "resolution=2m",
                &[
                    ("7-31T23:58", 2.5),
                    ("8-01T00:00", 3.0),
                    ("8-01T00:02", 7.0),
                ],
            ),
            ("resolution=1h", &[("7-31T23:00", 2.5), ("8-01T00:00", 7.0)]),
            // 2026-07-27 was a Monday.
            ("resolution=1w", &[("7-27T00:00", 7.0)]),
            // Whole candles only: the one that began before is not half of one.
            (
                "resolution=2m&from=2026-07-31T23:59:00Z",
                &[("8-01T00:00", 3.0), ("8-01T00:02", 7.0)],
            ),
            ("resolution=1d&limit=1", &[("8-01T00:00", 7.0)]),
        ],
    );
    let table = two_days();
    with_server(table.options(), move |address| {
        let (_, rows) = get(address, "/api/v1/candles?symbol=A&resolution=1d&limit=2");
        assert_eq!(
            rows[0],
            json!({"symbol": "A", "window_start": "2026-07-31T00:00:00Z", "window_end": "2026-08-01T00:00:00Z",
                "open": 1.0, "high": 4.0, "low": 0.5, "close": 2.5, "volume": 1.0, "trades": 4})
        );
        for (resolution, said) in [("90s", "multiple of 1m"), ("1s", "multiple of 1m")] {
            let (status, body) = get(
                address,
                &format!("/api/v1/candles?symbol=A&resolution={resolution}"),
            );
            assert_eq!(status, 400);
            assert!(body["error"].as_str().unwrap().contains(said), "{body}");
        }
        drop(table);
    });
}

#[test]
fn gaps_are_left_or_filled() {
    check(
        two_days(),
        &[
            (
                "fill=null&limit=4",
                &[
                    ("8-01T00:00", 3.0),
                    ("8-01T00:01", NOTHING),
                    ("8-01T00:02", NOTHING),
                    ("8-01T00:03", 7.0),
                ],
            ),
            (
                "fill=previous&limit=3",
                &[
                    ("8-01T00:01", 3.0),
                    ("8-01T00:02", 3.0),
                    ("8-01T00:03", 7.0),
                ],
            ),
            (
                "fill=previous&from=2026-08-01&limit=3",
                &[
                    ("8-01T00:00", 3.0),
                    ("8-01T00:01", 3.0),
                    ("8-01T00:02", 3.0),
                ],
            ),
            (
                "fill=none&limit=2",
                &[("8-01T00:00", 3.0), ("8-01T00:03", 7.0)],
            ),
            ("fill=null&from=2030-01-01", &[]),
        ],
    );
    let table = two_days();
    with_server(table.options(), move |address| {
        let (_, rows) = get(address, "/api/v1/candles?symbol=A&fill=previous&limit=2");
        assert_eq!(
            rows[0],
            json!({"symbol": "A", "window_start": "2026-08-01T00:02:00Z", "window_end": "2026-08-01T00:03:00Z",
                "open": 3.0, "high": 3.0, "low": 3.0, "close": 3.0, "volume": 0.0, "trades": 0})
        );
        drop(table);
    });
}

#[test]
fn every_format_by_name_and_by_accept() {
    let table = two_days();
    with_server(table.options(), move |address| {
        let path = "/api/v1/candles?symbol=B";
        let csv = "symbol,window_start,window_end,open,high,low,close,volume,trades\n\
            B,2026-07-31T23:59:00Z,2026-08-01T00:00:00Z,9.0,9.0,9.0,9.0,0.5,2\n";
        let line = r#"{"symbol":"B","window_start":"2026-07-31T23:59:00Z","window_end":"2026-08-01T00:00:00Z","open":9.0,"high":9.0,"low":9.0,"close":9.0,"volume":0.5,"trades":2}"#;
        for (format, accept, media_type, expected) in [
            (
                "json",
                "application/json",
                "application/json",
                format!("[{line}]\n"),
            ),
            (
                "ndjson",
                "application/x-ndjson",
                "application/x-ndjson",
                format!("{line}\n"),
            ),
            (
                "csv",
                "text/csv",
                "text/csv; charset=utf-8",
                csv.to_string(),
            ),
        ] {
            let by_name = ask(address, "GET", &format!("{path}&format={format}"), &[], b"");
            let by_accept = ask(address, "GET", path, &[("Accept", accept)], b"");
            for answer in [by_name, by_accept] {
                assert_eq!(answer.status, 200);
                assert!(
                    answer.head.contains(&format!("content-type: {media_type}")),
                    "{}",
                    answer.head
                );
                assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
            }
        }
        let arrow = ask(address, "GET", &format!("{path}&format=arrow"), &[], b"");
        let batches: Result<Vec<_>, _> = StreamReader::try_new(&arrow.body[..], None)
            .unwrap()
            .collect();
        let rows: usize = batches.unwrap().iter().map(|batch| batch.num_rows()).sum();
        assert_eq!(rows, 1);
        let png = ask(address, "GET", path, &[("Accept", "image/png")], b"");
        assert_eq!(png.status, 406);
        drop(table);
    });
}

#[test]
fn only_the_folders_that_can_hold_it_are_touched() {
    let table = two_days();
    for day in [
        "date=2026-07-29",
        "date=2026-07-30",
        "date=2026-08-05",
        "date=2026-08-06",
    ] {
        table.broken(&format!("{day}/ohlc-9.parquet"));
    }
    let asked = [
        // Bounded on both sides; then the newest ones before a time, for which two days are enough.
        "from=2026-07-31T23:00:00Z&to=2026-08-02",
        "to=2026-08-02&limit=3",
        "resolution=1h&from=2026-07-31T23:00:00Z&to=2026-08-02",
    ];
    // How long windows last is seen in the newest folder.
    table.publish(
        "date=2026-08-09/ohlc-8.parquet",
        &[("A", "2026-08-09T00:00:00Z", flat(1.0))],
    );
    with_server(table.options(), move |address| {
        for query in asked {
            let (status, rows) = get(address, &format!("/api/v1/candles?symbol=A&{query}"));
            assert_eq!(status, 200, "{query}: {rows}");
            assert!(rows.as_array().unwrap().len() >= 2, "{query}: {rows}");
        }
        let (status, body) = get(address, "/api/v1/candles?symbol=A&from=2026-07-30");
        assert_eq!(status, 500);
        let said = body["error"].as_str().unwrap();
        assert!(
            said.contains("log") && !said.contains(table.path().to_str().unwrap()),
            "{said}"
        );
    });
}

#[test]
fn what_is_new_is_there_and_what_is_not_is_empty() {
    let table = Table::new();
    with_server(table.options(), move |address| {
        let path = "/api/v1/candles?symbol=A";
        assert_eq!(get(address, path), (200, json!([])));
        assert_eq!(get(address, "/api/v1/symbols"), (200, json!([])));
        for minute in 0..3 {
            let start = format!("2026-08-01T00:0{minute}:00Z");
            table.publish(
                &format!("date=2026-08-01/ohlc-{minute}.parquet"),
                &[("A", &start, flat(1.0))],
            );
            let (_, rows) = get(address, path);
            assert_eq!(rows.as_array().unwrap().len(), minute + 1);
        }
        assert_eq!(
            get(address, "/api/v1/symbols"),
            (
                200,
                json!([{"symbol": "A", "first": "2026-08-01T00:00:00Z", "last": "2026-08-01T00:03:00Z", "candles": 3}])
            )
        );
        // A day is merged into one file.
        table.publish(
            "merged.parquet",
            &[
                ("A", "2026-08-01T00:00:00Z", flat(1.0)),
                ("C", "2026-08-01T00:01:00Z", flat(2.0)),
            ],
        );
        fs::remove_dir_all(table.path().join("date=2026-08-01")).unwrap();
        let (_, symbols) = get(address, "/api/v1/symbols?query=c");
        assert_eq!(symbols[0]["candles"], 1);
        assert_eq!(
            get(address, "/api/v1/symbols").1.as_array().unwrap().len(),
            2
        );
    });
}

#[test]
fn a_symbol_is_a_value_and_never_a_path() {
    let table = two_days();
    table.publish(
        "date=2026-08-01/x.parquet",
        &[
            ("../../x", "2026-08-01T00:07:00Z", flat(5.0)),
            ("a'b\"c", "2026-08-01T00:07:00Z", flat(6.0)),
        ],
    );
    with_server(table.options(), move |address| {
        for (symbol, close) in [("..%2F..%2Fx", 5.0), ("a%27b%22c", 6.0)] {
            let (_, rows) = get(address, &format!("/api/v1/candles?symbol={symbol}"));
            assert_eq!(rows[0]["close"], close);
            let (_, rows) = get(
                address,
                &format!("/api/v1/candles?symbol={symbol}&resolution=1h"),
            );
            assert_eq!(rows[0]["close"], close);
        }
        for symbol in [
            "%2Fetc%2Fpasswd",
            "date=2026-08-01",
            "*",
            "A%00",
            "a",
            "%27%20OR%201=1",
        ] {
            let (status, rows) = get(address, &format!("/api/v1/candles?symbol={symbol}"));
            assert_eq!((status, rows), (200, json!([])), "{symbol}");
        }
        for path in ["/assets/..%2F..%2FCargo.toml", "/assets/%2Fetc%2Fpasswd"] {
            assert_eq!(get(address, path).0, 404);
        }
        drop(table);
    });
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let table = two_days();
    with_server(table.options(), move |address| {
        for (query, said) in [
            ("", "symbol"),
            ("symbol=", "symbol is empty"),
            ("symbol=A&from=noon", "from: \"noon\" is not a time"),
            (
                "symbol=A&from=2026-08-02&to=2026-08-01",
                "from is later than to",
            ),
            (
                "symbol=A&limit=0",
                "limit: \"0\" is not a whole number of 1 to",
            ),
            ("symbol=A&limit=x", "limit"),
            (
                "symbol=A&resolution=1x",
                "resolution: \"1x\" is not a resolution",
            ),
            ("symbol=A&fill=zero", "none of none, null and previous"),
            ("symbol=A&format=xml", "none of json, ndjson, csv and arrow"),
            ("symbol=A&symbl=B", "symbl"),
            ("symbol=A&symbol=B", "symbol"),
        ] {
            let (status, body) = get(address, &format!("/api/v1/candles?{query}"));
            assert_eq!(status, 400, "{query}");
            assert!(
                body["error"].as_str().unwrap().contains(said),
                "{query}: {body}"
            );
        }
        drop(table);
    });
}

#[test]
fn windows_that_overlap_are_not_added_up() {
    let table = Table::new();
    let rows: [Row; 2] = [
        ("A", "2026-08-01T00:00:30Z", flat(1.0)),
        ("A", "2026-08-01T00:01:00Z", flat(2.0)),
    ];
    table.publish("date=2026-08-01/1.parquet", &rows);
    with_server(table.options(), move |address| {
        assert_eq!(
            get(address, "/api/v1/candles?symbol=A")
                .1
                .as_array()
                .unwrap()
                .len(),
            2
        );
        let (status, body) = get(address, "/api/v1/candles?symbol=A&resolution=5m");
        assert_eq!(status, 400);
        assert!(
            body["error"].as_str().unwrap().contains("overlap"),
            "{body}"
        );
        drop(table);
    });
}

#[test]
fn many_candles_come_as_they_are_read() {
    let table = Table::new();
    let starts: Vec<String> = (0..20_000)
        .map(|minute| {
            let time = chrono::DateTime::from_timestamp_nanos(minute * super::table::MINUTE_NS);
            time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
        })
        .collect();
    let rows: Vec<Row> = starts
        .iter()
        .map(|start| ("A", start.as_str(), flat(1.0)))
        .collect();
    table.publish("1.parquet", &rows);
    with_server(table.options(), move |address| {
        let answer = ask(
            address,
            "GET",
            "/api/v1/candles?symbol=A&from=1970-01-01&format=ndjson",
            &[],
            b"",
        );
        assert!(
            answer.head.contains("transfer-encoding: chunked"),
            "{}",
            answer.head
        );
        let lines = String::from_utf8(answer.body).unwrap();
        assert_eq!(
            lines.lines().filter(|line| line.contains("\"A\"")).count(),
            20_000
        );
        drop(table);
    });
}

#[test]
fn a_day_of_many_files_is_read_once_and_is_never_old() {
    let table = Table::new();
    table.publish(
        "date=2026-07-31/ohlc-0.parquet",
        &[("A", "2026-07-31T23:58:00Z", flat(9.0))],
    );
    let minute = |at: usize| {
        let start = format!("2026-08-01T00:{at:02}:00Z");
        let file = format!("date=2026-08-01/ohlc-{at:02}.parquet");
        table.publish(
            &file,
            &[("A", &start, flat(at as f64)), ("B", &start, flat(1.0))],
        );
        table.path().join(file)
    };
    let files: Vec<_> = (0..40).map(minute).collect();
    let options = table.options();
    let count = |address, query: &str| {
        let (status, rows) = get(address, &format!("/api/v1/candles?symbol=A&{query}"));
        assert_eq!(status, 200, "{query}: {rows}");
        rows.as_array().unwrap().len()
    };
    std::thread::scope(|scope| {
        let (asked, ask_now) = std::sync::mpsc::channel::<std::net::SocketAddr>();
        let (done, until) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            with_server(options, move |address| {
                asked.send(address).unwrap();
                // An error is the other side's panic.
                let _ = until.recv();
            });
        });
        let address = ask_now.recv().unwrap();
        assert_eq!(count(address, ""), 41);
        assert_eq!(
            count(address, "from=2026-08-01T00:10:00Z&to=2026-08-01T00:20:00Z"),
            10
        );
        // A file that was read is not opened again.
        fs::write(&files[7], "this is no Parquet file").unwrap();
        let _ = minute(40);
        assert_eq!(count(address, ""), 42);
        let (_, hours) = get(address, "/api/v1/candles?symbol=A&resolution=1h");
        assert_eq!(
            brief(&hours),
            [
                ("7-31T23:00".into(), Some(9.0)),
                ("8-01T00:00".into(), Some(40.0))
            ]
        );
        assert_eq!(hours[1]["trades"], 82);
        // One that went makes the folder another: it is read anew.
        fs::remove_file(&files[7]).unwrap();
        assert_eq!(count(address, ""), 41);
        fs::remove_dir_all(table.path().join("date=2026-08-01")).unwrap();
        assert_eq!(count(address, ""), 1);
        done.send(()).unwrap();
    });
}
