//! Where a job without a checkpoint begins.

use std::collections::BTreeMap;

use stockpulse::job::{self, StartAt};
use stockpulse::model::Offsets;
use stockpulse::source::Topic;

use super::exact::OHLC;
use super::harness::{Bench, Regime, counts, frame_of, noon, topic};

/// How many ticks a job that begins at `start` reads of two partitions of three ticks each, where the
/// consumer group stands behind the second one of partition 0.
fn read_from(start: StartAt) -> u64 {
    let frames: Vec<Vec<u8>> = (0..6)
        .map(|second| {
            let time = 1_785_578_400_000_i64 + second * 1000;
            format!(r#"{{"data":[{{"s":"A","p":1.5,"t":{time},"v":1}}]}}"#).into_bytes()
        })
        .collect();
    let topic = topic(&frames, 2, |number| (number % 2) as i32);
    topic.commit(&Offsets(BTreeMap::from([(0, 2)])));
    let bench = Bench::new(OHLC);
    let mut spec = bench.spec_at(&Regime::default(), noon).unwrap();
    spec.start = start;
    let summary = job::run(spec, &topic, &mut |_| {}).unwrap();
    // What comes later is read on from there.
    topic.append(
        0,
        frame_of(br#"{"data":[{"s":"A","p":1.5,"t":1785578500000,"v":1}]}"#),
    );
    let again = bench.run_at(&topic, &Regime::default(), noon).unwrap();
    assert_eq!(again.counts.read, summary.counts.read + 1);
    counts(&summary).get("read").copied().unwrap_or_default()
}

#[test]
fn a_job_begins_where_it_is_told() {
    assert_eq!(read_from(StartAt::Earliest), 6);
    assert_eq!(read_from(StartAt::Latest), 0);
    // Partition 1 is not known to the group.
    assert_eq!(read_from(StartAt::Group), 4);
    assert_eq!(
        read_from(StartAt::Offsets(BTreeMap::from([(0, 1), (1, -1)]))),
        2
    );
}
