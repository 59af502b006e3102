//! Ticks of the last minutes: an available-now run leaves young windows open, a later one completes them.

use std::collections::BTreeMap;

use stockpulse::job::wall_clock;

use crate::job::harness::read_rows;
use crate::support::broker::TestBroker;
use crate::support::shipped::Folder;

const MINUTE_MS: i64 = 60_000;
const SYMBOLS: [&str; 2] = ["AAA", "BBB"];

/// A tick of a symbol; its partition is the symbol's place.
#[derive(Clone, Copy)]
struct Tick {
    symbol: usize,
    time_ms: i64,
    price: f64,
}

/// A tick every 7 s of each symbol from `start_ms` up to `end_ms`.
fn ticks(start_ms: i64, end_ms: i64) -> Vec<Tick> {
    let times = (start_ms..end_ms).step_by(7_000);
    times
        .flat_map(|time_ms| (0..SYMBOLS.len()).map(move |symbol| (time_ms, symbol)))
        .map(|(time_ms, symbol)| Tick {
            symbol,
            time_ms,
            price: f64::from(u32::try_from(time_ms / 7_000 % 97).unwrap()) + symbol as f64,
        })
        .collect()
}

fn produce(broker: &TestBroker, ticks: &[Tick]) {
    let frame = |tick: &Tick| {
        let Tick {
            symbol,
            time_ms,
            price,
        } = tick;
        let symbol = SYMBOLS[*symbol];
        format!(
            r#"{{"type":"trade","data":[{{"s":"{symbol}","p":{price},"t":{time_ms},"v":0.5}}]}}"#
        )
    };
    let frames: Vec<(i32, String)> = ticks
        .iter()
        .map(|tick| (tick.symbol as i32, frame(tick)))
        .collect();
    broker.produce(
        frames
            .iter()
            .map(|(partition, frame)| (*partition, frame.as_bytes())),
    );
}

/// The candles of the windows that end by `closed_ms`, computed the plain way.
fn expected(ticks: &[Tick], closed_ms: i64) -> Vec<String> {
    let mut windows: BTreeMap<(usize, i64), Vec<f64>> = BTreeMap::new();
    for tick in ticks {
        let start = tick.time_ms - tick.time_ms.rem_euclid(MINUTE_MS);
        if start + MINUTE_MS <= closed_ms {
            windows
                .entry((tick.symbol, start))
                .or_default()
                .push(tick.price);
        }
    }
    let row = |((symbol, start), prices): ((usize, i64), Vec<f64>)| {
        let (open, close) = (prices[0], prices[prices.len() - 1]);
        let high = prices.iter().copied().fold(f64::MIN, f64::max);
        let low = prices.iter().copied().fold(f64::MAX, f64::min);
        let (trades, volume) = (prices.len(), prices.len() as f64 * 0.5);
        let symbol = SYMBOLS[symbol];
        let start = chrono::DateTime::from_timestamp_millis(start).unwrap();
        let start = start.format("%Y-%m-%dT%H:%M:%S%.fZ");
        format!("{symbol},{start},{open:?},{high:?},{low:?},{close:?},{volume:?},{trades}")
    };
    windows.into_iter().map(row).collect()
}

fn rows(folder: &Folder) -> Vec<String> {
    let columns = "symbol, window_start, open, high, low, close, volume, trades";
    read_rows(
        &folder.table(),
        &format!("SELECT {columns} FROM t ORDER BY symbol, window_start"),
    )
}

#[test]
fn young_windows_stay_open_and_a_later_run_completes_them() {
    let (broker, folder) = (TestBroker::start(2), Folder::new());
    let now_ms = wall_clock() / 1_000_000;
    let minute = now_ms - now_ms.rem_euclid(MINUTE_MS);
    // Up to half past a minute, so that both runs have ticks of the same window.
    let (start, middle, end) = (
        minute - 10 * MINUTE_MS,
        minute - MINUTE_MS / 2,
        minute + 3 * MINUTE_MS,
    );
    let (first, second) = (ticks(start, middle), ticks(start, end));
    let second = &second[first.len()..];
    let all = [&first, second].concat();

    produce(&broker, &first);
    let ended = folder.available_now(&broker, &[]);
    // The watermark is a minute behind the last tick: the minute before the last is still open.
    assert_eq!(rows(&folder), expected(&all, minute - 2 * MINUTE_MS));
    let since = chrono::DateTime::from_timestamp_millis(minute - 2 * MINUTE_MS).unwrap();
    let open = format!(
        "2 windows stay open for the next run, the first since {}",
        since.format("%Y-%m-%d %H:%M:%S UTC")
    );
    assert!(ended.said.contains(&open), "no \"{open}\": {}", ended.said);

    let again = folder.available_now(&broker, &[]);
    assert!(
        again.said.contains("0 rows in 0 files") && again.said.contains(&open),
        "{}",
        again.said
    );

    produce(&broker, second);
    let ended = folder.available_now(&broker, &[]);
    assert_eq!(rows(&folder), expected(&all, minute + MINUTE_MS));
    let counts = format!(
        "{0} ticks read, {0} in windows, 0 filtered, 0 late, 0 rejected",
        all.len()
    );
    assert!(ended.said.contains(&counts), "{}", ended.said);
}
