//! A job without an end, by a clock that stands still or is told what time it is: what a quiet, a silent and a
//! lagging partition do to windows that are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use stockpulse::job::open::OpenRows;
use stockpulse::job::{Clock, JobSpec, Summary};
use stockpulse::source::replay::{ReplayFrame, ReplayTopic};

use super::exact::OHLC;
use super::harness::{Bench, Regime, counts, listing, long_before, read_rows};
use crate::support::broker::PATIENCE;

/// 2026-08-01T10:00:00Z, milliseconds.
const START_MS: i64 = 1_785_578_400_000;
const NANOS_PER_MS: i64 = 1_000_000;
/// The table's `idle_micros` where it says none, seconds.
const IDLE_S: i64 = 300;
/// Epochs in which nothing is written where nothing may be.
const EPOCHS: i64 = 15;

/// A tick of `symbol` so many seconds after the start.
fn frame(symbol: &str, price: f64, seconds: i64) -> ReplayFrame {
    let time = START_MS + seconds * 1000;
    let text =
        format!(r#"{{"type":"trade","data":[{{"s":"{symbol}","p":{price:?},"t":{time},"v":2}}]}}"#);
    ReplayFrame {
        timestamp_ms: Some(time),
        key: None,
        payload: Some(text.into_bytes()),
    }
}

/// So many seconds after the start, as a clock says it.
fn nanos(seconds: i64) -> i64 {
    (START_MS + seconds * 1000) * NANOS_PER_MS
}

/// A job that runs on, and its clock.
struct Running {
    bench: Arc<Bench>,
    open: OpenRows,
    clock: Arc<AtomicI64>,
    epochs: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Summary>,
}

impl Running {
    /// Starts so many seconds after the start.
    fn start(topic: &ReplayTopic, threads: usize, seconds: i64) -> Running {
        Running::triggered(topic, threads, seconds, Some(Duration::from_millis(5)))
    }

    /// Without a trigger: as soon as windows can be closed, and anyhow once an hour.
    fn triggered(
        topic: &ReplayTopic,
        threads: usize,
        seconds: i64,
        trigger: Option<Duration>,
    ) -> Running {
        let sql = OHLC.replace(
            "COMMIT_INTERVAL | 1 second",
            "COMMIT_INTERVAL | 1 microsecond",
        );
        let bench = Arc::new(Bench::new(&sql));
        let clock = Arc::new(AtomicI64::new(nanos(seconds)));
        let regime = Regime {
            threads,
            bounded: false,
            ..Regime::default()
        };
        let (now, later, begun) = (Arc::clone(&clock), Arc::clone(&clock), Instant::now());
        // The steady clock goes on by itself, too: epochs go by it.
        let steady = move || {
            let passed = later.load(Ordering::Relaxed) - nanos(seconds);
            begun.elapsed() + Duration::from_nanos(passed.try_into().unwrap())
        };
        let wall = move || now.load(Ordering::Relaxed);
        let open = OpenRows::default();
        let spec = JobSpec {
            clock: Clock::simulated(wall, steady, std::thread::sleep),
            closes_at_once: trigger.is_none(),
            trigger: trigger.unwrap_or(Duration::from_secs(3600)),
            open: Some(open.clone()),
            ..bench.spec_at(&regime, long_before).unwrap()
        };
        let (stop, topic) = (Arc::clone(&spec.stop), topic.clone());
        let epochs = Arc::new(AtomicI64::new(0));
        let counted = Arc::clone(&epochs);
        Running {
            bench,
            open,
            clock,
            epochs,
            stop,
            thread: std::thread::spawn(move || {
                let counting = &mut |_: &_| {
                    counted.fetch_add(1, Ordering::Relaxed);
                };
                stockpulse::job::run(spec, &topic, counting).unwrap()
            }),
        }
    }

    fn clock_at(&self, seconds: i64) {
        self.clock.store(nanos(seconds), Ordering::Relaxed);
    }

    /// The candles, as `symbol,second of its start,close`.
    fn candles(&self) -> Vec<String> {
        if !self.bench.table().exists() || listing(&self.bench.table()).is_empty() {
            return Vec::new();
        }
        let start = START_MS / 1000;
        read_rows(
            &self.bench.table(),
            &format!(
                "SELECT symbol, CAST(CAST(window_start AS TIMESTAMP(0)) AS BIGINT) - {start}, close \
                 FROM t ORDER BY symbol, window_start"
            ),
        )
    }

    /// Until these are the candles.
    fn wait_for(&self, candles: &[&str]) {
        let begun = Instant::now();
        while self.candles() != candles {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.candles());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks for the open windows until these are their candles, as symbol,close,trades.
    fn wait_for_open(&self, candles: &[&str]) {
        let begun = Instant::now();
        loop {
            self.open.ask();
            let open = self.open.shown().map_or_else(Vec::new, |shown| {
                let rows = shown.outputs.iter().flat_map(|output| &output.rows);
                rows.flat_map(symbols_closes_and_trades).collect()
            });
            if open == candles {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{open:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// For some epochs nothing changes.
    fn stays(&self, candles: &[&str]) {
        let (begun, first) = (Instant::now(), self.epochs.load(Ordering::Relaxed));
        while self.epochs.load(Ordering::Relaxed) < first + EPOCHS {
            assert_eq!(self.candles(), candles);
            assert!(begun.elapsed() < PATIENCE, "no epochs");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(self.candles(), candles);
    }

    fn end(self) -> Summary {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn the_last_candle_appears_when_every_partition_has_been_quiet_for_long_enough() {
    for (partitions, threads) in [(1, 1), (4, 1), (4, 2)] {
        let topic = ReplayTopic::new("raw_ticks", partitions);
        let running = Running::start(&topic, threads, 0);
        let mut last = Vec::new();
        for partition in 0..partitions {
            topic.append(partition, frame(&format!("S{partition}"), 10.0, 10));
            topic.append(partition, frame(&format!("S{partition}"), 12.0, 50));
            last.push(format!("S{partition},0,12.0"));
        }
        let last: Vec<&str> = last.iter().map(String::as_str).collect();
        running.stays(&[]);
        // The window is over, its watermark's delay too, but the market is not quiet for long enough.
        running.clock_at(60 + 60);
        running.stays(&[]);
        running.clock_at(IDLE_S + 60);
        running.stays(&[]);
        // Quiet for long enough by now; the clock has not passed the window by as much.
        running.clock_at(60 + 60 + IDLE_S - 1);
        running.stays(&[]);
        running.clock_at(60 + 60 + IDLE_S);
        running.wait_for(&last);
        let summary = running.end();
        assert_eq!(summary.open_windows, 0);
        assert_eq!(counts(&summary)["in_windows"], 2 * partitions as u64);
    }
}

#[test]
fn a_window_is_committed_as_soon_as_it_can_be_closed_and_does_not_wait_for_the_trigger() {
    for threads in [1, 2] {
        let topic = ReplayTopic::new("raw_ticks", 2);
        topic.append(0, frame("A", 10.0, 10));
        topic.append(1, frame("B", 20.0, 10));
        let running = Running::triggered(&topic, threads, 10, None);
        topic.append(0, frame("A", 11.0, 130));
        topic.append(1, frame("B", 21.0, 130));
        running.wait_for(&["A,0,10.0", "B,0,20.0"]);
        topic.append(0, frame("A", 12.0, 260));
        topic.append(1, frame("B", 22.0, 260));
        running.wait_for(&["A,0,10.0", "A,120,11.0", "B,0,20.0", "B,120,21.0"]);
        let epochs = running.epochs.load(Ordering::Relaxed);
        assert!(epochs < 10, "{epochs} commits for two windows");
        assert_eq!(counts(&running.end())["in_windows"], 6);
    }
}

fn symbols_closes_and_trades(rows: &RecordBatch) -> Vec<String> {
    let column = |name| rows.column_by_name(name).unwrap();
    let symbols = arrow::compute::cast(column("symbol"), &DataType::Utf8).unwrap();
    let closes = column("close").as_primitive::<Float64Type>();
    let trades = column("trades").as_primitive::<Int64Type>();
    (0..rows.num_rows())
        .map(|row| {
            let symbol = symbols.as_string::<i32>().value(row);
            format!("{symbol},{:?},{}", closes.value(row), trades.value(row))
        })
        .collect()
}

#[test]
fn who_asks_sees_what_open_windows_would_come_to_and_changes_nothing() {
    for threads in [1, 2] {
        let topic = ReplayTopic::new("raw_ticks", 2);
        topic.append(0, frame("A", 10.0, 10));
        topic.append(1, frame("B", 20.0, 10));
        let running = Running::start(&topic, threads, 10);
        running.wait_for_open(&["A,10.0,1", "B,20.0,1"]);
        topic.append(0, frame("A", 9.0, 5));
        topic.append(1, frame("B", 21.0, 20));
        // The close is the latest by event time; the window is still open.
        running.wait_for_open(&["A,10.0,2", "B,21.0,2"]);
        running.stays(&[]);
        topic.append(0, frame("A", 11.0, 130));
        topic.append(1, frame("B", 22.0, 130));
        running.wait_for(&["A,0,10.0", "B,0,21.0"]);
        running.wait_for_open(&["A,11.0,1", "B,22.0,1"]);
        assert_eq!(counts(&running.end())["in_windows"], 6);
    }
}

#[test]
fn a_partition_that_never_spoke_holds_nothing_up() {
    for threads in [1, 3] {
        let topic = ReplayTopic::new("raw_ticks", 3);
        topic.append(0, frame("A", 10.0, 10));
        topic.append(1, frame("B", 20.0, 10));
        // The clock stands: nobody is idle.
        let running = Running::start(&topic, threads, 10);
        running.stays(&[]);
        topic.append(0, frame("A", 11.0, 130));
        running.stays(&[]);
        topic.append(1, frame("B", 21.0, 130));
        running.wait_for(&["A,0,10.0", "B,0,20.0"]);
        // It speaks for the first time, and is waited for from then on.
        topic.append(2, frame("C", 30.0, 140));
        running.stays(&["A,0,10.0", "B,0,20.0"]);
        topic.append(0, frame("A", 12.0, 260));
        topic.append(1, frame("B", 22.0, 260));
        running.stays(&["A,0,10.0", "B,0,20.0"]);
        topic.append(2, frame("C", 31.0, 260));
        let all = [
            "A,0,10.0",
            "A,120,11.0",
            "B,0,20.0",
            "B,120,21.0",
            "C,120,30.0",
        ];
        running.wait_for(&all);
        assert_eq!(counts(&running.end())["in_windows"], 8);
    }
}

#[test]
fn a_lagging_partition_holds_windows_open_until_it_has_passed_them() {
    for threads in [1, 2] {
        let topic = ReplayTopic::new("raw_ticks", 2);
        topic.append(0, frame("A", 10.0, 10));
        topic.append(1, frame("A", 9.0, 5));
        let running = Running::start(&topic, threads, 10);
        // One partition is an hour ahead.
        for minute in 0..60 {
            topic.append(0, frame("A", 10.0, 60 * minute + 30));
        }
        running.stays(&[]);
        // The other one comes, tick by tick, and every tick is in its candle.
        topic.append(1, frame("A", 20.0, 59));
        topic.append(1, frame("A", 21.0, 119));
        running.stays(&[]);
        topic.append(1, frame("A", 22.0, 120));
        running.wait_for(&["A,0,20.0"]);
        topic.append(1, frame("A", 23.0, 121));
        running.stays(&["A,0,20.0"]);
        topic.append(1, frame("A", 24.0, 180));
        running.wait_for(&["A,0,20.0", "A,60,21.0"]);
        let summary = running.end();
        assert_eq!(counts(&summary).get("late"), None);
        assert_eq!(counts(&summary)["in_windows"], 67);
    }
}
