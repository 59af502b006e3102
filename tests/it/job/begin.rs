//! Where a job without a checkpoint begins.

use std::collections::BTreeMap;

use stockpulse::job::{self, JobError, StartAt, Times};
use stockpulse::model::Offsets;
use stockpulse::source::Topic;
use stockpulse::source::replay::{ReplayFrame, ReplayTopic};

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

/// How a job begins at `start` on three partitions: with frames that Kafka stamped 100, 200, 200, with one stamped 150,
/// and with none.
fn stamped(start: StartAt) -> Result<u64, JobError> {
    let topic = ReplayTopic::new("raw_ticks", 3);
    for (partition, stamp) in [(0, 100), (0, 200), (0, 200), (1, 150)] {
        let time = 1_785_578_400_000_i64 + stamp;
        let payload = format!(r#"{{"data":[{{"s":"A","p":1.5,"t":{time},"v":1}}]}}"#);
        topic.append(
            partition,
            ReplayFrame {
                timestamp_ms: Some(1_785_578_400_000 + stamp),
                key: None,
                payload: Some(payload.into_bytes()),
            },
        );
    }
    let bench = Bench::new(OHLC);
    let mut spec = bench.spec_at(&Regime::default(), noon).unwrap();
    spec.start = start;
    let summary = job::run(spec, &topic, &mut |_| {})?;
    Ok(counts(&summary).get("read").copied().unwrap_or_default())
}

#[test]
fn a_job_begins_with_the_first_message_of_a_time() {
    let at = |stamp: i64| 1_785_578_400_000 + stamp;
    let since = |times, or_latest| stamped(StartAt::Since { times, or_latest });
    assert_eq!(since(Times::All(0), false).unwrap(), 4);
    assert_eq!(since(Times::All(at(150)), false).unwrap(), 3);
    assert_eq!(since(Times::All(at(151)), true).unwrap(), 2);
    let each = |one, other| Times::Each(BTreeMap::from([(0, at(one)), (1, at(other)), (2, 0)]));
    assert_eq!(since(each(200, 0), false).unwrap(), 3);
    assert_eq!(since(each(201, 151), true).unwrap(), 0);
    let error = |times| since(times, false).unwrap_err().to_string();
    let none = error(Times::All(at(151)));
    assert!(
        none.contains("partition 1: no message is of 2026-08-01 10:00:00 UTC")
            && none.contains("startingOffsetsByTimestampStrategy=latest"),
        "{none}"
    );
    let unnamed = error(Times::Each(BTreeMap::from([(0, at(0))])));
    assert!(unnamed.contains("no time for partition 1"), "{unnamed}");
}
