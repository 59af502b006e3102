//! A topic that changes under the job or between two runs: it gets partitions, loses offsets, is another one under
//! the same name; and a table that somebody takes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stockpulse::job::{self, Clock, JobError};
use stockpulse::source::replay::ReplayTopic;

use super::definition::{Frame, MINUTE_MS, START_MS, Tick};
use super::exact::OHLC;
use super::harness::{Bench, Regime, counts, listing, long_before, noon};

/// A frame with a tick of A so many seconds after the start.
fn frame(seconds: i64) -> Frame {
    let time_ms = START_MS + seconds * 1000;
    Frame {
        partition: 0,
        kafka_ms: time_ms,
        torn: false,
        ticks: vec![Tick {
            symbol: "AAPL",
            price: 10.0 + seconds as f64,
            time_ms,
            volume: 1.0,
        }],
    }
}

fn topic(seconds: impl Iterator<Item = i64>) -> ReplayTopic {
    let topic = ReplayTopic::new("raw_ticks", 1);
    for seconds in seconds {
        topic.append(0, frame(seconds).replay());
    }
    topic
}

fn read(bench: &Bench, topic: &ReplayTopic) -> u64 {
    let summary = bench.run_at(topic, &Regime::default(), noon).unwrap();
    counts(&summary).get("read").copied().unwrap_or_default()
}

#[test]
fn a_partition_that_is_added_is_read_while_the_job_runs() {
    let bench = Bench::new(OHLC);
    let topic = topic(0..20);
    let regime = Regime {
        bounded: false,
        ..Regime::default()
    };
    let mut spec = bench.spec(&regime).unwrap();
    let (time, passing) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (steady, paused) = (Arc::clone(&time), Arc::clone(&time));
    spec.clock = Clock::simulated(
        long_before,
        move || Duration::from_millis(steady.fetch_add(50, Ordering::Relaxed)),
        move |pause| {
            let millis = u64::try_from(pause.as_millis()).unwrap();
            paused.fetch_add(millis, Ordering::Relaxed);
        },
    );
    spec.trigger = Duration::from_secs(1);
    spec.in_turns = true;
    let stop = Arc::clone(&spec.stop);
    let summary = job::run(spec, &topic, &mut |report| {
        if passing.fetch_add(1, Ordering::Relaxed) == 0 {
            for seconds in 0..7 {
                topic.append(1, frame(seconds).replay());
            }
            topic.append(0, frame(20).replay());
        }
        // It is still there: the partitions that it had are read on.
        if report.ticks_total == 28 || passing.load(Ordering::Relaxed) > 10_000 {
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert_eq!(counts(&summary.unwrap())["read"], 28);
    // Its ticks are in the candle of the others.
    assert_eq!(read(&bench, &topic), 28);
    assert_eq!(bench.rows().len(), 1);
    assert!(bench.rows()[0].ends_with(",28"), "{:?}", bench.rows());
}

#[test]
fn a_topic_that_was_created_anew_is_not_taken_for_the_one_that_was_read() {
    let again = |fail_on_data_loss: bool, topic: &ReplayTopic| {
        let bench = Bench::new(OHLC);
        assert_eq!(read(&bench, &self::topic(0..5)), 5);
        let mut spec = bench.spec_at(&Regime::default(), noon).unwrap();
        spec.fail_on_data_loss = fail_on_data_loss;
        (job::run(spec, topic, &mut |_| {}), bench)
    };
    // As many messages as before, or more: the offsets alone tell nothing.
    for other in [topic(300..305), topic(300..320)] {
        let (refused, bench) = again(true, &other);
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("deleted and created again"), "{message}");
        assert!(
            message.contains("partition 0") && message.contains("offset 4"),
            "{message}"
        );
        assert!(message.contains("failOnDataLoss=false"), "{message}");
        assert_eq!(bench.rows().len(), 1);
    }
    let (told, _) = again(false, &topic(300..320));
    assert_eq!(counts(&told.unwrap())["read"], 5 + 15);
    let (fewer, _) = again(true, &topic(300..303));
    assert!(matches!(fewer, Err(JobError::DataLoss(_))), "{fewer:?}");
    // A message that is gone, as compaction has it, proves nothing.
    let compacted = ReplayTopic::new("raw_ticks", 1);
    compacted.append_gap(0, 5);
    compacted.append(0, frame(300).replay());
    let (goes_on, _) = again(true, &compacted);
    assert_eq!(counts(&goes_on.unwrap())["read"], 6);
}

#[test]
fn what_is_left_of_a_topic_is_counted_once() {
    let bench = Bench::new(OHLC);
    let topic = topic(0..10);
    // The window is open: a restart needs all ten again.
    let regime = Regime::default();
    let summary = bench.run_at(&topic, &regime, long_before).unwrap();
    assert_eq!((summary.open_windows, counts(&summary)["read"]), (1, 10));
    topic.forget(0, 6);
    for seconds in 10..13 {
        topic.append(0, frame(seconds).replay());
    }
    let refused = bench.run_at(&topic, &regime, noon).unwrap_err();
    assert!(matches!(refused, JobError::DataLoss(_)), "{refused}");
    let mut spec = bench.spec_at(&regime, noon).unwrap();
    spec.fail_on_data_loss = false;
    let summary = job::run(spec, &topic, &mut |_| {}).unwrap();
    assert_eq!(counts(&summary)["read"], 13);
    // The candle has what is left of it.
    assert!(bench.rows()[0].ends_with(",7"), "{:?}", bench.rows());
}

#[test]
fn a_table_that_was_taken_away_is_not_begun_anew() {
    let bench = Bench::new(OHLC);
    let topic = topic(0..5);
    assert_eq!(read(&bench, &topic), 5);
    std::fs::rename(bench.table(), bench.dir.path().join("away")).unwrap();
    topic.append(0, frame(300).replay());
    let refused = bench.run_at(&topic, &Regime::default(), noon).unwrap_err();
    assert!(matches!(refused, JobError::Mismatch(_)), "{refused}");
    let message = refused.to_string();
    assert!(
        message.contains("data/ohlc is gone") && message.contains("--rebuild"),
        "{message}"
    );
    assert!(!bench.table().exists());
    std::fs::rename(bench.dir.path().join("away"), bench.table()).unwrap();
    assert_eq!(read(&bench, &topic), 6);
    assert_eq!(bench.rows().len(), 2);
}

#[test]
fn a_table_that_is_taken_away_while_the_job_runs_ends_it() {
    let bench = Bench::new(&OHLC.replace(
        "COMMIT_INTERVAL | 1 second",
        "COMMIT_INTERVAL | 1 microsecond",
    ));
    let topic = topic((0..10).map(|minute| minute * MINUTE_MS / 1000));
    let regime = Regime {
        max_offsets_per_trigger: Some(2),
        ..Regime::default()
    };
    let spec = bench.spec_at(&regime, noon).unwrap();
    let away = bench.dir.path().join("away");
    let ended = job::run(spec, &topic, &mut |report| {
        if report.files == 2 && !away.exists() {
            std::fs::rename(bench.table(), &away).unwrap();
        }
    });
    let message = ended.unwrap_err().to_string();
    assert!(message.contains("data/ohlc is gone"), "{message}");
    assert!(!bench.table().exists());
    // Put back, nothing is lost: what was committed and not published is published then.
    assert_eq!(listing(&away).len(), 2);
    std::fs::rename(&away, bench.table()).unwrap();
    assert_eq!(read(&bench, &topic), 10);
    assert_eq!(bench.rows().len(), 10);
}
