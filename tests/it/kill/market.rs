//! What is traded while jobs are killed: the recorded market, as often as lives need it, each time three days
//! later; and the candles that a plain function makes of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::job::definition::{Tick, candle};
use crate::job::exact::deal_apart;
use crate::job::harness::recorded_frames;
use crate::support::broker::{Appender, TestBroker};
use crate::support::shipped::{Folder, Run};

pub const PARTITIONS: i32 = 2;
/// The only symbol of the recorded market.
const SYMBOL: &str = "BINANCE:XRPETH";
/// The recorded market lasts for less than three days.
const ROUND_MS: i64 = 3 * 24 * 60 * MINUTE_MS;
const MINUTE_MS: i64 = 60_000;
/// Frames that are appended together while a job runs.
const APPEND_FRAMES: usize = 60;

/// A topic that gets the frames by and by, ticks of a millisecond in one partition.
pub struct Market {
    pub broker: TestBroker,
    pub frames: Vec<Vec<u8>>,
    deal: Vec<i32>,
}

impl Market {
    /// The recorded market.
    pub fn new() -> Market {
        Market::repeated(1)
    }

    /// The recorded market so many times, one after the other.
    pub fn repeated(rounds: usize) -> Market {
        let frames = repeated_frames(rounds);
        Market {
            broker: TestBroker::start(PARTITIONS),
            deal: deal_apart(&frames, PARTITIONS),
            frames,
        }
    }

    pub fn append(&self, appender: &Appender, frames: Range<usize>) {
        let deal = self.deal[frames.clone()].iter().copied();
        appender.append(deal.zip(self.frames[frames].iter().map(Vec::as_slice)));
    }

    /// Appends up to `allowed` of the frames, which grows, until all are there.
    pub fn trade(&self, mut next: usize, allowed: &AtomicUsize) {
        let appender = self.broker.appender();
        while next < self.frames.len() {
            let allowed = allowed.load(Ordering::Relaxed).min(self.frames.len());
            let end = (next + APPEND_FRAMES).min(allowed);
            match end > next {
                true => self.append(&appender, next..end),
                false => std::thread::sleep(Duration::from_millis(5)),
            }
            next = end.max(next);
        }
    }

    /// The job, with many small epochs and a commit in each.
    pub fn job(&self, folder: &Folder, epoch_frames: u32) -> Run {
        folder
            .ingest(&self.broker, &["--master", "local[2]"])
            .conf("spark.stockpulse.trigger", "50 milliseconds")
            .conf(
                "spark.stockpulse.maxOffsetsPerTrigger",
                &epoch_frames.to_string(),
            )
            .conf("spark.stockpulse.var.COMMIT_INTERVAL", "1 milliseconds")
    }

    /// The candles that the frames must give, in the order of their windows.
    pub fn candles(&self) -> Vec<String> {
        candles(&self.frames, &self.deal)
    }

    /// How many ticks the frames hold.
    pub fn ticks(&self) -> usize {
        self.frames.iter().map(|frame| ticks(frame).len()).sum()
    }
}

fn repeated_frames(rounds: usize) -> Vec<Vec<u8>> {
    let recorded = recorded_frames();
    let round = |round: usize| {
        let later = round as i64 * ROUND_MS;
        recorded.iter().map(move |frame| shifted(frame, later))
    };
    (0..rounds).flat_map(round).collect()
}

/// The frame, with its ticks so much later.
fn shifted(frame: &[u8], later_ms: i64) -> Vec<u8> {
    if later_ms == 0 {
        return frame.to_vec();
    }
    let mut frame: Value = serde_json::from_slice(frame).unwrap();
    for tick in frame["data"].as_array_mut().unwrap() {
        tick["t"] = (tick["t"].as_i64().unwrap() + later_ms).into();
    }
    frame.to_string().into_bytes()
}

fn ticks(frame: &[u8]) -> Vec<Tick> {
    let frame: Value = serde_json::from_slice(frame).unwrap();
    let tick = |tick: &Value| {
        assert_eq!(tick["s"], SYMBOL);
        Tick {
            symbol: SYMBOL,
            price: tick["p"].as_f64().unwrap(),
            time_ms: tick["t"].as_i64().unwrap(),
            volume: tick["v"].as_f64().unwrap(),
        }
    };
    frame["data"].as_array().unwrap().iter().map(tick).collect()
}

fn candles(frames: &[Vec<u8>], deal: &[i32]) -> Vec<String> {
    let mut windows: BTreeMap<i64, Vec<(i64, i32, usize, Tick)>> = BTreeMap::new();
    let dealt = frames.iter().zip(deal);
    let all =
        dealt.flat_map(|(frame, &partition)| ticks(frame).into_iter().map(move |t| (partition, t)));
    for (place, (partition, tick)) in all.enumerate() {
        let start = tick.time_ms - tick.time_ms.rem_euclid(MINUTE_MS);
        let window = windows.entry(start).or_default();
        window.push((tick.time_ms, partition, place, tick));
    }
    let row = |(start, ticks): (i64, Vec<(i64, i32, usize, Tick)>)| {
        let placed = ticks
            .iter()
            .map(|(time, partition, place, tick)| (*time, *partition, *place, tick));
        candle(SYMBOL, start, placed.collect())
    };
    windows.into_iter().map(row).collect()
}

/// The plain function is held against the candles that another project computed.
#[test]
fn the_plain_candles_of_the_recorded_market_are_the_recorded_ones() {
    let frames = repeated_frames(2);
    let rows = candles(&frames, &deal_apart(&frames, PARTITIONS));
    let (first, second) = rows.split_at(rows.len() / 2);
    crate::job::harness::assert_recorded_candles(first, "the plain function");
    let values = |row: &String| row.splitn(4, ',').last().unwrap().to_string();
    assert!(first.iter().map(values).eq(second.iter().map(values)));
    assert!(first.iter().all(|row| !second.contains(row)));
}
