//! `kill -9` of the shipped job at random moments: nothing is lost, nothing doubled, and a reader of the
//! table's folder never sees anything but finished files that stay as they are.
//!
//! A failure names the seed; `STOCKPULSE_TEST_SEED` runs it again with that one.

mod archive;
mod compaction;
mod rebuild;
mod watch;

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::job::exact::deal_apart;
use crate::job::harness::{assert_recorded_candles, listing, read_rows, recorded_frames};
use crate::support::broker::{Appender, TestBroker};
use crate::support::shipped::{Ended, Folder, Run};
use watch::Watch;

/// How often a continuous run is killed.
const KILLS: usize = 32;
/// An available-now run is killed at least this often before it may end.
const BOUNDED_KILLS: usize = 10;
/// More runs than an available-now job needs to come to its end.
const BOUNDED_RUNS_MAX: usize = 1000;
const PARTITIONS: i32 = 2;
/// Frames that a continuous run reads in an epoch.
const EPOCH_FRAMES: u32 = 30;
/// Fewer, because an available-now run does not wait between epochs and must not end too soon.
const BOUNDED_EPOCH_FRAMES: u32 = 8;
/// Frames that are appended together while a job runs.
const APPEND_FRAMES: usize = 60;

/// Allows every frame when it goes.
struct Allow<'a>(&'a AtomicUsize);

impl Drop for Allow<'_> {
    fn drop(&mut self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }
}

/// The moments at which processes are killed.
struct Moments {
    seed: u64,
    random: Xoshiro256PlusPlus,
}

impl Moments {
    fn new() -> Moments {
        let named = std::env::var("STOCKPULSE_TEST_SEED").ok();
        let seed = named.map_or_else(rand::random, |seed| seed.parse().unwrap());
        eprintln!("STOCKPULSE_TEST_SEED={seed}");
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Moments { seed, random }
    }

    fn next(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_micros(self.random.random_range(from_ms * 1000..to_ms * 1000))
    }

    fn one_in(&mut self, times: u32) -> bool {
        self.random.random_range(0..times) == 0
    }
}

/// A topic that gets the recorded frames by and by, ticks of a millisecond in one partition.
struct Market {
    broker: TestBroker,
    frames: Vec<Vec<u8>>,
    deal: Vec<i32>,
}

impl Market {
    fn new() -> Market {
        let frames = recorded_frames();
        Market {
            broker: TestBroker::start(PARTITIONS),
            deal: deal_apart(&frames, PARTITIONS),
            frames,
        }
    }

    fn append(&self, appender: &Appender, frames: Range<usize>) {
        let deal = self.deal[frames.clone()].iter().copied();
        appender.append(deal.zip(self.frames[frames].iter().map(Vec::as_slice)));
    }

    /// Appends up to `allowed` of the frames, which grows, until all are there.
    fn trade(&self, mut next: usize, allowed: &AtomicUsize) {
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
    fn job(&self, folder: &Folder, epoch_frames: u32) -> Run {
        folder
            .ingest(&self.broker, &["--master", "local[2]"])
            .conf("spark.stockpulse.trigger", "50 milliseconds")
            .conf(
                "spark.stockpulse.maxOffsetsPerTrigger",
                &epoch_frames.to_string(),
            )
            .conf("spark.stockpulse.var.COMMIT_INTERVAL", "1 milliseconds")
    }
}

/// What the killed processes had done.
#[derive(Debug, Default)]
struct Lives {
    kills: usize,
    /// Killed after a commit of their own.
    after_commit: usize,
    commits: usize,
    /// Kills that left something for the next start to remove or to publish.
    left_staged: usize,
}

impl Lives {
    fn count(&mut self, ended: &Ended, folder: &Folder) {
        assert_eq!(ended.code, None, "it ended by itself: {}", ended.said);
        let commits = ended.said.matches(" is committed").count();
        self.kills += 1;
        self.after_commit += usize::from(commits > 0);
        self.commits += commits;
        self.left_staged += usize::from(staged(folder).iter().any(|f| f.contains(".parquet")));
    }
}

fn staged(folder: &Folder) -> Vec<String> {
    let stage = folder.path().join("data/_stage");
    match stage.exists() {
        true => listing(&stage),
        false => Vec::new(),
    }
}

/// Everything there once, and nothing left behind.
fn assert_whole(folder: &Folder, what: &str) {
    let rows = read_rows(
        &folder.table(),
        "SELECT symbol, window_start, window_end, open, high, low, close, volume, trades \
         FROM t ORDER BY symbol, window_start",
    );
    assert_recorded_candles(&rows, what);
    assert_eq!(staged(folder), ["ohlc/ohlc.lock"], "{what}");
    assert_eq!(
        folders(&folder.path().join("data")),
        ["_checkpoints", "_stage", "ohlc"]
    );
}

fn folders(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_continuous_job_killed_again_and_again_writes_every_candle_once() {
    let mut moments = Moments::new();
    let (market, folder) = (Market::new(), Folder::new());
    // Every partition has spoken before the first start: one that never has is waited for by nobody.
    let share = market.frames.len().div_ceil(KILLS);
    market.append(&market.broker.appender(), 0..share);
    let allowed = AtomicUsize::new(share);
    let watch = Watch::start(&folder.table());
    let mut lives = Lives::default();
    std::thread::scope(|scope| {
        // Also when an assertion fails: the scope waits for the thread.
        let _all_allowed_at_the_end = Allow(&allowed);
        scope.spawn(|| market.trade(share, &allowed));
        for life in 0..KILLS {
            allowed.store(share * (life + 1), Ordering::Relaxed);
            let run = market.job(&folder, EPOCH_FRAMES).start();
            let moment = match moments.one_in(4) {
                // While it starts, recovers, reads open windows again.
                true => moments.next(0, 200),
                false => {
                    run.wait_for(" is committed");
                    moments.next(20, 400)
                }
            };
            std::thread::sleep(moment);
            lives.count(&run.kill(), &folder);
            watch.check();
        }
    });
    let what = format!("seed {}, {lives:?}", moments.seed);
    let ended = market
        .job(&folder, EPOCH_FRAMES)
        .arguments(&["--available-now"])
        .end();
    assert_eq!(ended.code, Some(0), "{what}: {}", ended.said);
    let candles = watch.end();
    assert_whole(&folder, &what);
    assert_eq!(candles, 2_469, "{what}");
    let counts =
        "12477 ticks read, 12477 in windows, 0 filtered, 0 late, 0 rejected; no window is open";
    assert!(ended.said.contains(counts), "{what}: {}", ended.said);
    assert!(
        lives.after_commit >= KILLS / 2 && lives.commits > KILLS,
        "{what}"
    );
    eprintln!("{what}");
}

#[test]
fn an_available_now_job_killed_again_and_again_writes_every_candle_once() {
    let mut moments = Moments::new();
    let (market, folder) = (Market::new(), Folder::new());
    market.append(&market.broker.appender(), 0..market.frames.len());
    let watch = Watch::start(&folder.table());
    let mut lives = Lives::default();
    let ended = (0..BOUNDED_RUNS_MAX).find_map(|_| {
        let run = market
            .job(&folder, BOUNDED_EPOCH_FRAMES)
            .arguments(&["--available-now"])
            .start();
        let moment = moments.next(40, 180);
        run.ends_within(moment);
        let ended = run.kill();
        if ended.code.is_some() {
            // It was done before the moment came.
            return Some(ended);
        }
        lives.count(&ended, &folder);
        watch.check();
        None
    });
    let what = format!("seed {}, {lives:?}", moments.seed);
    let ended = ended.expect(&what);
    assert_eq!(ended.code, Some(0), "{what}: {}", ended.said);
    let candles = watch.end();
    assert_whole(&folder, &what);
    assert_eq!(candles, 2_469, "{what}");
    assert!(lives.kills >= BOUNDED_KILLS, "{what}");
    eprintln!("{what}");
}
