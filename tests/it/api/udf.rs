//! `/udf/…`, as TradingView's charting library asks for it.

use serde_json::json;

use super::table::Table;
use super::{ask, get, with_server};

fn table() -> Table {
    let table = Table::new();
    let day = |rows| table.publish("date=2026-08-01/1.parquet", rows);
    day(&[
        (
            "BINANCE:BTCUSDT",
            "2026-08-01T00:00:00Z",
            [1.0, 4.0, 0.5, 2.25],
        ),
        (
            "BINANCE:BTCUSDT",
            "2026-08-01T00:01:00Z",
            [2.0, 3.0, 1.0, 2.125],
        ),
        (
            "BINANCE:BTCUSDT",
            "2026-08-01T00:06:00Z",
            [5.0, 5.0, 5.0, 5.0],
        ),
        ("KRAKEN:ETH/USD", "2026-08-01T00:00:00Z", [1.0; 4]),
    ]);
    table
}

const MIDNIGHT: i64 = 1_785_542_400;

#[test]
fn what_a_charting_library_asks_first() {
    let table = table();
    with_server(table.options(), move |address| {
        let (status, config) = get(address, "/udf/config");
        assert_eq!((status, &config["supports_search"]), (200, &json!(true)));
        let resolutions = config["supported_resolutions"].as_array().unwrap();
        assert!(resolutions.contains(&json!("1")) && resolutions.contains(&json!("1W")));
        assert!(
            !resolutions.contains(&json!("1S")),
            "no seconds follow from minutes"
        );

        let time = ask(address, "GET", "/udf/time", &[], b"");
        let time: u64 = String::from_utf8(time.body).unwrap().parse().unwrap();
        assert!(time > 1_700_000_000);

        let (_, symbol) = get(address, "/udf/symbols?symbol=BINANCE:BTCUSDT");
        assert_eq!(symbol["ticker"], "BINANCE:BTCUSDT");
        assert_eq!(
            (&symbol["name"], &symbol["exchange"]),
            (&json!("BTCUSDT"), &json!("BINANCE"))
        );
        assert_eq!(
            (&symbol["pricescale"], &symbol["has_seconds"]),
            (&json!(1000), &json!(false))
        );
        assert_eq!(get(address, "/udf/symbols?symbol=BTCUSDT").1, symbol);
        let (status, unknown) = get(address, "/udf/symbols?symbol=NONE");
        assert_eq!(
            (status, unknown),
            (404, json!({"s": "error", "errmsg": "unknown_symbol"}))
        );

        let (_, found) = get(address, "/udf/search?query=eth&type=&exchange=&limit=10");
        assert_eq!(found[0]["full_name"], "KRAKEN:ETH/USD");
        let (_, found) = get(address, "/udf/search?query=&exchange=binance");
        assert_eq!(found.as_array().unwrap().len(), 1);
        drop(table);
    });
}

#[test]
fn history_by_time_and_by_count() {
    let table = table();
    with_server(table.options(), move |address| {
        let history = |query: String| {
            get(
                address,
                &format!("/udf/history?symbol=BINANCE:BTCUSDT&{query}"),
            )
            .1
        };
        let end = MIDNIGHT + 3600;
        assert_eq!(
            history(format!("resolution=1&from={MIDNIGHT}&to={end}")),
            json!({"s": "ok", "t": [MIDNIGHT, MIDNIGHT + 60, MIDNIGHT + 360],
                "o": [1.0, 2.0, 5.0], "h": [4.0, 3.0, 5.0], "l": [0.5, 1.0, 5.0], "c": [2.25, 2.125, 5.0], "v": [0.5, 0.5, 0.5]})
        );
        assert_eq!(
            history(format!("resolution=5&from={MIDNIGHT}&to={end}"))["c"],
            json!([2.125, 5.0])
        );
        // The count goes before the time.
        assert_eq!(
            history(format!(
                "resolution=1&from={}&to={end}&countback=2",
                end - 1
            ))["t"],
            json!([MIDNIGHT + 60, MIDNIGHT + 360])
        );
        assert_eq!(
            history(format!("resolution=1&from={}&to={end}", MIDNIGHT + 1000)),
            json!({"s": "no_data", "nextTime": MIDNIGHT + 360})
        );
        assert_eq!(
            history(format!("resolution=1&from=0&to={MIDNIGHT}")),
            json!({"s": "no_data"})
        );
        for wrong in [
            "resolution=1M&from=0&to=1",
            "resolution=1&to=1",
            "resolution=1&from=x&to=1",
        ] {
            let (status, body) = get(address, &format!("/udf/history?symbol=A&{wrong}"));
            assert_eq!(status, 400, "{wrong}");
            assert_eq!(
                (&body["s"], &body["errmsg"]),
                (&json!("error"), &body["error"])
            );
            assert!(body["error"].is_string());
        }
        drop(table);
    });
}
