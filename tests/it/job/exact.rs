//! Real trades give the candles that another project computed from them, however the run is cut.

use super::harness::{
    Bench, Regime, assert_recorded_candles, counts, listing, recorded_frames, topic,
};

pub const OHLC: &str = include_str!("../../../sql/ohlc.sql");

#[test]
fn recorded_trades_give_the_recorded_candles() {
    let frames = recorded_frames();
    for partitions in [1, 2, 4] {
        // Keyed by symbol, as the producer does: one partition has them all.
        let topic = topic(&frames, partitions, |_| partitions / 2);
        for threads in [1, 2, 4] {
            for micro_batch_frames in [97, 100_000] {
                let regime = Regime {
                    threads,
                    micro_batch_frames,
                    ..Regime::default()
                };
                let what = format!("{partitions} partitions, {regime:?}");
                let bench = Bench::new(OHLC);
                let summary = bench.run(&topic, &regime).unwrap();
                assert_recorded_candles(&bench.rows(), &what);
                assert_eq!(summary.open_windows, 0, "{what}");
                assert_eq!(counts(&summary).get("in_windows"), Some(&12_477), "{what}");
                assert!(
                    listing(&bench.table())
                        .iter()
                        .all(|file| file.ends_with(".parquet"))
                );
            }
        }
    }
}

#[test]
fn a_symbol_spread_over_partitions_gives_the_same_candles() {
    let frames = recorded_frames();
    for partitions in [2, 4] {
        let deal = deal_apart(&frames, partitions);
        let topic = topic(&frames, partitions, |number| deal[number]);
        for threads in [1, 4] {
            for max_offsets_per_trigger in [None, Some(500)] {
                let regime = Regime {
                    threads,
                    max_offsets_per_trigger,
                    ..Regime::default()
                };
                let bench = Bench::new(OHLC);
                bench.run(&topic, &regime).unwrap();
                assert_recorded_candles(
                    &bench.rows(),
                    &format!("{partitions} partitions, {regime:?}"),
                );
            }
        }
    }
}

/// Stopped before it has rebuilt its open windows, it commits less far than the run before it had come.
#[test]
fn a_job_that_is_stopped_while_it_rebuilds_counts_every_tick_once() {
    let frames = recorded_frames();
    let deal = deal_apart(&frames, 2);
    let topic = topic(&frames, 2, |number| deal[number]);
    let bench = Bench::new(&OHLC.replace("1 second", "1 milliseconds"));
    let stopped = |max_offsets_per_trigger, ticks: u64| {
        let regime = Regime {
            bounded: false,
            max_offsets_per_trigger: Some(max_offsets_per_trigger),
            ..Regime::default()
        };
        let summary = bench.run_until(&topic, &regime, |report| report.ticks_total >= ticks);
        summary.unwrap().counts.read
    };
    let mut read = 0;
    while read < 6_000 {
        let before = stopped(300, read + 1);
        for _ in 0..3 {
            read = stopped(2, 0);
            assert!(read >= before, "{read} ticks after {before}");
        }
    }
    let summary = bench.run(&topic, &Regime::default()).unwrap();
    assert_eq!(summary.counts.read, 12_477);
    assert_recorded_candles(&bench.rows(), "stopped again and again");
}

/// Deals frames round to the partitions, but ticks of one millisecond to one: their order is the
/// partition's, so only there it is the exchange's.
pub fn deal_apart(frames: &[Vec<u8>], partitions: i32) -> Vec<i32> {
    let mut last = (0, 0);
    let deal = frames.iter().map(|frame| {
        let frame: serde_json::Value = serde_json::from_slice(frame).unwrap();
        let times = frame["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tick| tick["t"].as_i64().unwrap());
        let times: Vec<i64> = times.collect();
        let (partition, before) = last;
        let partition = match times[0] == before {
            true => partition,
            false => (partition + 1) % partitions,
        };
        last = (partition, times[times.len() - 1]);
        partition
    });
    deal.collect()
}
