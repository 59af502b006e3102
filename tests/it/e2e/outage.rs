//! Kafka is gone for a while: the job waits, goes on by itself, and loses and doubles nothing, also when it is gone
//! for longer than a quiet market takes to be closed. `STOCKPULSE_TEST_OUTAGE_SECONDS` says for how long it is gone.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::candles::rows;
use crate::job::exact::deal_apart;
use crate::job::harness::{assert_recorded_candles, recorded_frames};
use crate::support::broker::{PATIENCE, TestBroker};
use crate::support::cut::CutBroker;
use crate::support::shipped::{Ended, Folder};

/// How long Kafka is gone, unless told otherwise: several times as long as a partition takes to be idle.
const OUTAGE: Duration = Duration::from_secs(5);
const IDLE_MS: u64 = 3000;
/// Within this the job has read the last frames too, and the market is not yet quiet.
const READ_ALL: Duration = Duration::from_millis(300);
/// A candle is written at the latest when the market has gone on for so long.
const WRITTEN_AFTER_MS: i64 = 60 * 60_000;
/// librdkafka's own is 10 s, for which no test waits twice.
const RECONNECT_MS: &str = "500";
/// A warning that Kafka is in trouble comes this often at the most, seconds.
const WARN_EVERY_S: u64 = 30;

fn outage() -> Duration {
    let told = std::env::var("STOCKPULSE_TEST_OUTAGE_SECONDS").ok();
    told.map_or(OUTAGE, |seconds| {
        Duration::from_secs(seconds.parse().unwrap())
    })
}

/// The recorded frames, dealt to two partitions.
struct Recorded {
    frames: Vec<Vec<u8>>,
    deal: Vec<i32>,
}

impl Recorded {
    fn new() -> Recorded {
        let frames = recorded_frames();
        Recorded {
            deal: deal_apart(&frames, 2),
            frames,
        }
    }

    /// By a client of its own: one that lost its broker takes a while to come back.
    fn append(&self, broker: &TestBroker, range: Range<usize>) {
        let deal = self.deal[range.clone()].iter().copied();
        broker.produce(deal.zip(self.frames[range].iter().map(Vec::as_slice)));
    }

    /// Event time of a frame, milliseconds.
    fn time_ms(&self, at: usize) -> i64 {
        let frame: Value = serde_json::from_slice(&self.frames[at]).unwrap();
        frame["data"][0]["t"].as_i64().unwrap()
    }

    /// A place from `from` on between two frames of the same minute.
    fn inside_a_minute(&self, from: usize) -> usize {
        let minute = |at| self.time_ms(at) / 60_000;
        let found = (from..self.frames.len()).find(|&at| minute(at - 1) == minute(at));
        found.expect("minutes of several frames")
    }
}

/// Waits for a candle that begins after a time.
fn wait_for_candle(folder: &Folder, after_ms: i64) {
    let after = chrono::DateTime::from_timestamp_millis(after_ms).unwrap();
    let after = after.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let begun = Instant::now();
    let starts = |row: &String| row.split(',').nth(1).map(str::to_string);
    while rows(folder).last().and_then(starts) < Some(after.clone()) {
        assert!(begun.elapsed() < PATIENCE, "no candle after {after}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// It is said that Kafka is gone, and not again and again.
fn assert_said_once(ended: &Ended, outage: Duration) {
    let warnings = ended.said.matches("trouble with Kafka").count() as u64;
    let most = 1 + outage.as_secs() / WARN_EVERY_S;
    assert!(
        (1..=most).contains(&warnings),
        "{warnings} warnings in {outage:?}: {}",
        ended.said
    );
    assert!(!ended.said.contains("error:"), "{}", ended.said);
    eprintln!("Kafka was gone for {outage:?}: {warnings} warnings");
}

/// Cut off in the middle of a minute: what comes for it afterwards still belongs to it.
#[test]
fn a_job_goes_on_when_kafka_is_back_and_nothing_is_lost() {
    let (kafka, folder) = (CutBroker::start(2), Folder::with_idle_ms(IDLE_MS));
    let recorded = Recorded::new();
    let end = recorded.frames.len();
    let gone = recorded.inside_a_minute(end / 3);
    recorded.append(&kafka.broker, 0..end / 6);
    let run = kafka
        .ingest(&folder, &["--master", "local[2]"])
        .conf("spark.stockpulse.trigger", "50 milliseconds")
        .conf("spark.stockpulse.var.COMMIT_INTERVAL", "1 milliseconds")
        .conf("spark.kafka.reconnect.backoff.max.ms", RECONNECT_MS)
        .start();
    run.wait_for(" is committed");
    // What comes while it runs begins a partition's silence anew.
    recorded.append(&kafka.broker, end / 6..gone);
    wait_for_candle(&folder, recorded.time_ms(gone - 1) - WRITTEN_AFTER_MS);
    assert!(!run.ends_within(READ_ALL));
    kafka.set_reachable(false);
    let mut next = gone;
    if kafka.can_append() {
        next = recorded.inside_a_minute(end / 2);
        recorded.append(&kafka.broker, gone..next);
    }
    let outage = outage();
    assert!(!run.ends_within(outage), "it ended while Kafka was gone");
    kafka.set_reachable(true);
    recorded.append(&kafka.broker, next..end);
    run.wait_for("2,469 rows written");
    run.signal("TERM");
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_recorded_candles(&rows(&folder), &ended.said);
    let counts = "12477 ticks read, 12477 in windows, 0 filtered, 0 late, 0 rejected";
    assert!(ended.said.contains(counts), "{}", ended.said);
    assert_said_once(&ended, outage);
}

/// The last commit needs no Kafka.
#[test]
fn a_signal_while_kafka_is_gone_ends_with_0_and_the_next_run_goes_on() {
    let (kafka, folder) = (CutBroker::start(2), Folder::new());
    let recorded = Recorded::new();
    let end = recorded.frames.len();
    recorded.append(&kafka.broker, 0..end / 2);
    let run = kafka
        .ingest(&folder, &[])
        .conf("spark.stockpulse.trigger", "50 milliseconds")
        .start();
    run.wait_for(" is committed");
    kafka.set_reachable(false);
    run.wait_for("trouble with Kafka");
    run.signal("TERM");
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("stopping after a last commit"));
    kafka.set_reachable(true);
    recorded.append(&kafka.broker, end / 2..end);
    let ended = kafka.ingest(&folder, &["--available-now"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_recorded_candles(&rows(&folder), &ended.said);
}
