//! However ticks are dealt, cut and interrupted, the job gives what a plain function over the same frames gives.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::Config;
use stockpulse::source::replay::{ReplayFrame, ReplayTopic};

use super::exact::OHLC;
use super::harness::{Bench, Regime, counts, long_before, noon};

/// 2026-08-01T10:00:00Z, milliseconds.
const START_MS: i64 = 1_785_578_400_000;
const MINUTE_MS: i64 = 60_000;
/// The job's `max_future_skew`.
const SKEW_MS: i64 = 10 * MINUTE_MS;
const SYMBOLS: [&str; 3] = ["AAPL", "BINANCE:BTCUSDT", "OANDA:EUR_USD_SPOT"];

#[derive(Debug, Clone)]
pub struct Tick {
    pub symbol: &'static str,
    pub price: f64,
    pub time_ms: i64,
    pub volume: f64,
}

#[derive(Debug, Clone)]
struct Frame {
    partition: i32,
    kafka_ms: i64,
    ticks: Vec<Tick>,
}

#[derive(Debug, Clone)]
struct Run {
    partitions: i32,
    frames: Vec<Frame>,
    /// After how many frames the job is stopped and started again.
    cuts: Vec<usize>,
    regime: Regime,
}

proptest! {
    #![proptest_config(Config { cases: 64, failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_run_gives_the_rows_and_counts_of_the_definition(run in runs()) {
        let (rows, counted) = defined(&run);
        let bench = Bench::new(&OHLC.replace("COMMIT_INTERVAL | 1 second", "COMMIT_INTERVAL | 1 microsecond"));
        let topic = ReplayTopic::new("raw_ticks", run.partitions);
        // A partition that has never spoken is not waited for, so each speaks before the job starts.
        for partition in 0..run.partitions {
            topic.append(partition, replay(START_MS, r#"{"type":"ping"}"#.to_string()));
        }
        let mut from = 0;
        for &cut in &run.cuts {
            append(&topic, &run.frames[from..cut]);
            from = cut;
            bench.run_at(&topic, &run.regime, long_before).unwrap();
        }
        append(&topic, &run.frames[from..]);
        let summary = bench.run_at(&topic, &run.regime, noon).unwrap();
        let found = match bench.table().exists() && !rows.is_empty() {
            true => bench.rows(),
            false => Vec::new(),
        };
        prop_assert_eq!(found, rows);
        prop_assert_eq!(counts(&summary), counted);
        prop_assert_eq!(summary.open_windows, 0);
    }
}

fn append(topic: &ReplayTopic, frames: &[Frame]) {
    for frame in frames {
        let ticks = frame.ticks.iter().map(|tick| {
            let Tick {
                symbol,
                price,
                time_ms,
                volume,
            } = tick;
            format!(r#"{{"s":"{symbol}","p":{price:?},"t":{time_ms},"v":{volume:?}}}"#)
        });
        let ticks: Vec<String> = ticks.collect();
        let text = format!(r#"{{"type":"trade","data":[{}]}}"#, ticks.join(","));
        topic.append(frame.partition, replay(frame.kafka_ms, text));
    }
}

fn replay(timestamp_ms: i64, text: String) -> ReplayFrame {
    ReplayFrame {
        timestamp_ms: Some(timestamp_ms),
        key: None,
        payload: Some(text.into_bytes()),
    }
}

fn runs() -> impl Strategy<Value = Run> {
    let regime = (1..=4usize, 1..=9usize, prop::option::of(1..=12u64));
    let regime = regime.prop_map(
        |(threads, micro_batch_frames, max_offsets_per_trigger)| Regime {
            threads,
            micro_batch_frames,
            max_offsets_per_trigger,
            ..Regime::default()
        },
    );
    (1..=4i32, prop::collection::vec(steps(), 1..60), regime).prop_flat_map(
        |(partitions, steps, regime)| {
            let frames = frames(partitions, steps);
            prop::collection::vec(0..=frames.len(), 0..4).prop_map(move |mut cuts| {
                cuts.sort_unstable();
                Run {
                    partitions,
                    frames: frames.clone(),
                    cuts,
                    regime: regime.clone(),
                }
            })
        },
    )
}

/// A frame before it is dealt: partition, how far time goes on, ticks as (symbol, price, lag, volume).
type Step = (i32, i64, Vec<(usize, u32, i64, u32)>);

fn steps() -> impl Strategy<Value = Step> {
    // In half seconds, so that many ticks share a time; a few are too late, a few in the far future.
    let lag = prop_oneof![
        12 => Just(0),
        6 => 0..=10i64,
        4 => 0..=360i64,
        1 => Just(-100_000i64),
    ];
    let tick = (0..SYMBOLS.len(), 1..=100_000u32, lag, 0..=5_000u32);
    (0..4i32, 0..=30i64, prop::collection::vec(tick, 0..5))
}

fn frames(partitions: i32, steps: Vec<Step>) -> Vec<Frame> {
    let mut now = START_MS;
    let frames = steps.into_iter().map(|(partition, passed, ticks)| {
        now += passed * 500;
        let ticks = ticks.into_iter().map(|(symbol, price, lag, volume)| Tick {
            symbol: SYMBOLS[symbol],
            price: f64::from(price) / 100.0,
            time_ms: now - lag * 500,
            volume: f64::from(volume) / 1000.0,
        });
        Frame {
            partition: partition % partitions,
            kafka_ms: now,
            ticks: ticks.collect(),
        }
    });
    frames.collect()
}

/// A tick with its order: event time, partition, place in the partition.
pub type Placed<'a> = (i64, i32, usize, &'a Tick);

/// The contract of time, as it is written down: rows as text and counts.
fn defined(run: &Run) -> (Vec<String>, BTreeMap<&'static str, u64>) {
    let mut watermarks = BTreeMap::new();
    let mut windows: BTreeMap<(&str, i64), Vec<Placed<'_>>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    let mut count = |what| *counts.entry(what).or_default() += 1;
    let is_future = |frame: &Frame, tick: &Tick| tick.time_ms > frame.kafka_ms + SKEW_MS;
    for (number, frame) in run.frames.iter().enumerate() {
        let watermark = watermarks.entry(frame.partition).or_insert(i64::MIN);
        for (place, tick) in frame.ticks.iter().enumerate() {
            count("read");
            let start = tick.time_ms - tick.time_ms.rem_euclid(MINUTE_MS);
            if is_future(frame, tick) {
                count("future");
            } else if start + MINUTE_MS <= *watermark {
                count("late");
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
    (rows.collect(), counts)
}

/// The candle of a window's ticks, the plain way, as a row is read.
pub fn candle(symbol: &str, start: i64, mut ticks: Vec<Placed<'_>>) -> String {
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
