//! What must not change the candles: the order of arrival within the lateness, how ticks are dealt to partitions, how
//! often a job is started, whether it lives or catches up; and minutes that are put together are the five minutes.
//!
//! Prices and volumes are multiples of 1/8, so that sums are exact in any order, and no two ticks of a symbol share
//! a time, so that opens and closes are decided by event time alone.

use std::sync::atomic::Ordering;

use proptest::prelude::*;
use proptest::test_runner::Config;
use stockpulse::job;
use stockpulse::source::Topic;
use stockpulse::source::replay::ReplayTopic;

use super::definition::{Defined, Frame, MINUTE_MS, START_MS, SYMBOLS, Tick, defined, ping};
use super::exact::OHLC;
use super::harness::{Bench, Regime, counts, long_before, noon, read_rows};
use super::rebuild::five_minutes;

/// Just within the watermark's delay.
const LATENESS_MS: i64 = MINUTE_MS - 1;

/// A market in the order of its event times, a tick a frame.
fn market() -> impl Strategy<Value = Vec<Frame>> {
    let tick = (0..SYMBOLS.len(), 1..8_000_u32, 1..9_000_i64, 0..800_u32);
    prop::collection::vec(tick, 1..150).prop_map(|ticks| {
        let mut time_ms = START_MS;
        let frames = ticks.into_iter().map(|(symbol, price, passed, volume)| {
            time_ms += passed;
            Frame {
                partition: 0,
                kafka_ms: time_ms,
                torn: false,
                ticks: vec![Tick {
                    symbol: SYMBOLS[symbol],
                    price: f64::from(price) / 8.0,
                    time_ms,
                    volume: f64::from(volume) / 8.0,
                }],
            }
        });
        frames.collect()
    })
}

/// How the same market comes to a job, and how that runs.
#[derive(Debug, Clone)]
struct Way {
    partitions: i32,
    /// By so much each frame is late, and the partition that it is in; over again if there are more frames.
    delays: Vec<(i64, i32)>,
    /// After how many hundredths of the frames the job is stopped and started again.
    cuts: Vec<usize>,
    /// The last run reads frames as they come, not all at once.
    live: bool,
    regime: Regime,
}

fn ways() -> impl Strategy<Value = Way> {
    let regime = (1..=4_usize, 1..=40_usize, prop::option::of(1..=30_u64));
    let delays = prop::collection::vec((0..LATENESS_MS, 0..8_i32), 1..40);
    let cuts = prop::collection::vec(0..100_usize, 0..4);
    (1..=8_i32, delays, cuts, any::<bool>(), regime).prop_map(
        |(partitions, delays, mut cuts, live, regime)| {
            cuts.sort_unstable();
            Way {
                partitions,
                delays,
                cuts,
                live,
                regime: Regime {
                    threads: regime.0,
                    micro_batch_frames: regime.1,
                    max_offsets_per_trigger: regime.2,
                    ..Regime::default()
                },
            }
        },
    )
}

impl Way {
    /// The frames in the order of their arrival.
    fn arrive(&self, frames: &[Frame]) -> Vec<Frame> {
        let delays = self.delays.iter().cycle();
        let mut arriving: Vec<Frame> = frames
            .iter()
            .zip(delays)
            .map(|(frame, (delay, partition))| Frame {
                partition: partition % self.partitions,
                kafka_ms: frame.kafka_ms + delay,
                ..frame.clone()
            })
            .collect();
        arriving.sort_by_key(|frame| frame.kafka_ms);
        arriving
    }

    /// Runs the job over the market; the candles.
    fn run(&self, sql: &str, frames: &[Frame]) -> Vec<String> {
        let frames = self.arrive(frames);
        let bench = Bench::new(sql);
        let topic = ReplayTopic::new("raw_ticks", self.partitions);
        // A partition that has never spoken is waited for by nobody.
        for partition in 0..self.partitions {
            topic.append(partition, ping(START_MS));
        }
        let mut from = 0;
        for cut in &self.cuts {
            let to = frames.len() * cut / 100;
            append(&topic, &frames[from..to]);
            from = to;
            bench.run_at(&topic, &self.regime, long_before).unwrap();
        }
        if self.live {
            self.live(&bench, &topic, &frames[from..]);
        } else {
            append(&topic, &frames[from..]);
        }
        let summary = bench.run_at(&topic, &self.regime, noon).unwrap();
        let counted = counts(&summary);
        assert_eq!(
            counted.get("in_windows"),
            Some(&(frames.len() as u64)),
            "{counted:?}"
        );
        bench.rows()
    }

    /// A run without an end that reads the frames as they come, some an epoch.
    fn live(&self, bench: &Bench, topic: &ReplayTopic, frames: &[Frame]) {
        let regime = Regime {
            bounded: false,
            ..self.regime.clone()
        };
        let mut spec = bench.spec_at(&regime, long_before).unwrap();
        spec.trigger = std::time::Duration::from_millis(1);
        let stop = std::sync::Arc::clone(&spec.stop);
        let mut left = frames;
        // Each partition's first message is a ping.
        let before = messages(topic) - i64::from(self.partitions);
        let wanted = before.unsigned_abs() + frames.len() as u64;
        job::run(spec, topic, &mut |report| {
            let (now, later) = left.split_at(left.len().min(7));
            append(topic, now);
            left = later;
            if report.ticks_total == wanted {
                stop.store(true, Ordering::Relaxed);
            }
        })
        .unwrap();
    }
}

/// Messages of the topic.
fn messages(topic: &ReplayTopic) -> i64 {
    topic
        .bounds()
        .unwrap()
        .values()
        .map(|bounds| bounds.high)
        .sum()
}

fn append(topic: &ReplayTopic, frames: &[Frame]) {
    for frame in frames {
        topic.append(frame.partition, frame.replay());
    }
}

proptest! {
    #![proptest_config(Config { cases: 40, failure_persistence: None, ..Config::default() })]

    #[test]
    fn however_the_market_arrives_the_candles_are_the_same(frames in market(), ways in prop::collection::vec(ways(), 2)) {
        let Defined { rows, letters, .. } = defined(&frames);
        prop_assert!(letters.is_empty());
        for way in ways {
            prop_assert_eq!(&way.run(OHLC, &frames), &rows, "{:?}", way);
        }
    }

    #[test]
    fn five_minutes_are_their_minutes_put_together(frames in market(), way in ways()) {
        let minutes = Bench::new(OHLC);
        let topic = ReplayTopic::new("raw_ticks", 1);
        append(&topic, &frames);
        minutes.run_at(&topic, &Regime::default(), noon).unwrap();
        let together = read_rows(
            &minutes.table(),
            "SELECT symbol, date_bin(interval '5 minutes', window_start) AS start, \
                    date_bin(interval '5 minutes', window_start) + interval '5 minutes', \
                    first_value(open ORDER BY window_start), max(high), min(low), \
                    last_value(close ORDER BY window_start), sum(volume), sum(trades) \
             FROM t GROUP BY symbol, start ORDER BY symbol, start",
        );
        prop_assert_eq!(way.run(&five_minutes(), &frames), together);
    }
}
