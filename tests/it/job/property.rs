//! However ticks are dealt, cut and interrupted, the job gives what a plain function over the same frames gives.

use proptest::prelude::*;
use proptest::test_runner::Config;
use stockpulse::source::replay::ReplayTopic;

use super::dead_letters::{letters, run_keeping, unplaced};
use super::definition::{Defined, Frame, LETTERS, START_MS, SYMBOLS, Tick, defined, ping};
use super::exact::OHLC;
use super::harness::{Bench, Regime, counts, long_before, noon};

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
        let Defined { rows, counts: counted, letters: dead } = defined(&run.frames);
        let bench = Bench::new(&OHLC.replace("COMMIT_INTERVAL | 1 second", "COMMIT_INTERVAL | 1 microsecond"));
        let topic = ReplayTopic::new("raw_ticks", run.partitions);
        // A partition that has never spoken is not waited for, so each speaks before the job starts.
        for partition in 0..run.partitions {
            topic.append(partition, ping(START_MS));
        }
        let mut from = 0;
        for &cut in &run.cuts {
            append(&topic, &run.frames[from..cut]);
            from = cut;
            run_keeping(&bench, &topic, &run.regime, long_before).unwrap();
        }
        append(&topic, &run.frames[from..]);
        let summary = run_keeping(&bench, &topic, &run.regime, noon).unwrap();
        let found = match bench.table().exists() && !rows.is_empty() {
            true => bench.rows(),
            false => Vec::new(),
        };
        prop_assert_eq!(found, rows);
        prop_assert_eq!(counts(&summary), counted);
        prop_assert_eq!(summary.open_windows, 0);
        let found = letters(&bench, LETTERS);
        prop_assert_eq!(found.len() as u64, unplaced(&summary.counts));
        prop_assert_eq!(found, dead);
    }
}

fn append(topic: &ReplayTopic, frames: &[Frame]) {
    for frame in frames {
        topic.append(frame.partition, frame.replay());
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

/// A frame before it is dealt: partition, how far time goes on, whether it is torn, ticks as (symbol, price, lag, volume).
type Step = (i32, i64, bool, Vec<(usize, u32, i64, u32)>);

fn steps() -> impl Strategy<Value = Step> {
    // In half seconds, so that many ticks share a time; a few are too late, a few in the far future.
    let lag = prop_oneof![
        12 => Just(0),
        6 => 0..=10i64,
        4 => 0..=360i64,
        1 => Just(-100_000i64),
    ];
    let tick = (0..SYMBOLS.len(), 1..=100_000u32, lag, 0..=5_000u32);
    let torn = prop::bool::weighted(0.1);
    (0..4i32, 0..=30i64, torn, prop::collection::vec(tick, 0..5))
}

fn frames(partitions: i32, steps: Vec<Step>) -> Vec<Frame> {
    let mut now = START_MS;
    let frames = steps.into_iter().map(|(partition, passed, torn, ticks)| {
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
            torn,
            ticks: ticks.collect(),
        }
    });
    frames.collect()
}
