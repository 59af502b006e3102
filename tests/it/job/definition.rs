//! What the main job's rows are, by definition: a plain function over the frames, in the words of the contract of time.

use std::collections::BTreeMap;

use stockpulse::source::replay::ReplayFrame;

/// 2026-08-01T10:00:00Z, milliseconds.
pub const START_MS: i64 = 1_785_578_400_000;
pub const MINUTE_MS: i64 = 60_000;
/// The job's `max_future_skew`.
pub const SKEW_MS: i64 = 10 * MINUTE_MS;
pub const SYMBOLS: [&str; 3] = ["AAPL", "BINANCE:BTCUSDT", "OANDA:EUR_USD_SPOT"];

#[derive(Debug, Clone)]
pub struct Tick {
    pub symbol: &'static str,
    pub price: f64,
    pub time_ms: i64,
    pub volume: f64,
}

#[derive(Debug, Clone)]
pub struct Frame {
    pub partition: i32,
    pub kafka_ms: i64,
    /// Cut off in the middle.
    pub torn: bool,
    pub ticks: Vec<Tick>,
}

impl Frame {
    /// As the feed sends it.
    pub fn payload(&self) -> String {
        let ticks = self.ticks.iter().map(|tick| {
            let Tick {
                symbol,
                price,
                time_ms,
                volume,
            } = tick;
            format!(r#"{{"s":"{symbol}","p":{price:?},"t":{time_ms},"v":{volume:?}}}"#)
        });
        let ticks: Vec<String> = ticks.collect();
        let mut text = format!(r#"{{"type":"trade","data":[{}]}}"#, ticks.join(","));
        text.truncate(text.len() - usize::from(self.torn));
        text
    }

    /// As Kafka has it.
    pub fn replay(&self) -> ReplayFrame {
        replay(self.kafka_ms, self.payload())
    }
}

/// A frame without a tick.
pub fn ping(kafka_ms: i64) -> ReplayFrame {
    replay(kafka_ms, r#"{"type":"ping"}"#.to_string())
}

fn replay(timestamp_ms: i64, text: String) -> ReplayFrame {
    ReplayFrame {
        timestamp_ms: Some(timestamp_ms),
        key: None,
        payload: Some(text.into_bytes()),
    }
}

/// A tick with its order: event time, partition, place in the partition.
pub type Placed<'a> = (i64, i32, usize, &'a Tick);

/// What tells two dead letters apart.
pub const LETTERS: &str = "SELECT partition, \"offset\", element, reason, table_name, late_by_ms FROM t \
     ORDER BY partition, \"offset\", element";

/// What a run must give: rows and dead letters as text, and counts.
pub struct Defined {
    pub rows: Vec<String>,
    pub counts: BTreeMap<&'static str, u64>,
    pub letters: Vec<String>,
}

/// The contract of time, as it is written down. The first message of each partition is a ping.
pub fn defined(frames: &[Frame]) -> Defined {
    let mut offsets = BTreeMap::new();
    let mut letters = BTreeMap::new();
    let mut watermarks = BTreeMap::new();
    let mut windows: BTreeMap<(&str, i64), Vec<Placed<'_>>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    let mut count = |what| *counts.entry(what).or_default() += 1;
    let is_future = |frame: &Frame, tick: &Tick| tick.time_ms > frame.kafka_ms + SKEW_MS;
    for (number, frame) in frames.iter().enumerate() {
        let watermark = watermarks.entry(frame.partition).or_insert(i64::MIN);
        // The first of each partition is the ping.
        let offset = offsets.entry(frame.partition).or_insert(0);
        *offset += 1;
        let at = (frame.partition, *offset);
        if frame.torn {
            count("read");
            count("malformed");
            let letter = format!("{},{},null,malformed,null,null", at.0, at.1);
            letters.insert((at, 0), letter);
            continue;
        }
        let mut letter = |element, what: &str, late_by: &str| {
            let letter = format!("{},{},{element},{what},ohlc,{late_by}", at.0, at.1);
            letters.insert((at, element), letter);
        };
        for (place, tick) in frame.ticks.iter().enumerate() {
            count("read");
            let start = tick.time_ms - tick.time_ms.rem_euclid(MINUTE_MS);
            if is_future(frame, tick) {
                count("future");
                letter(place, "future", "null");
            } else if start + MINUTE_MS <= *watermark {
                count("late");
                let late_by = *watermark - (start + MINUTE_MS);
                letter(place, "late", &late_by.to_string());
            } else {
                count("in_windows");
                let order = (tick.time_ms, frame.partition, number * 8 + place, tick);
                windows.entry((tick.symbol, start)).or_default().push(order);
            }
        }
        if let Some(first) = frame.ticks.first().filter(|first| !is_future(frame, first)) {
            *watermark = (*watermark).max(first.time_ms - MINUTE_MS);
        }
    }
    let rows = windows
        .into_iter()
        .map(|((symbol, start), ticks)| candle(symbol, start, ticks));
    Defined {
        rows: rows.collect(),
        counts,
        letters: letters.into_values().collect(),
    }
}

pub fn candle(symbol: &str, start: i64, mut ticks: Vec<(i64, i32, usize, &Tick)>) -> String {
    // Volumes are added up partition by partition, each in its own order.
    let mut volumes: BTreeMap<i32, f64> = BTreeMap::new();
    for (_, partition, _, tick) in &ticks {
        *volumes.entry(*partition).or_default() += tick.volume;
    }
    let volume = volumes.values().fold(0.0, |sum, volume| sum + volume);
    ticks.sort_by_key(|&(time_ms, partition, place, _)| (time_ms, partition, place));
    let prices: Vec<f64> = ticks.iter().map(|(.., tick)| tick.price).collect();
    let time = |ms| {
        let time = chrono::DateTime::from_timestamp_millis(ms).unwrap();
        time.format("%Y-%m-%dT%H:%M:%SZ")
    };
    format!(
        "{symbol},{},{},{:?},{:?},{:?},{:?},{volume:?},{}",
        time(start),
        time(start + MINUTE_MS),
        prices[0],
        prices.iter().copied().fold(f64::MIN, f64::max),
        prices.iter().copied().fold(f64::MAX, f64::min),
        prices[prices.len() - 1],
        prices.len()
    )
}
