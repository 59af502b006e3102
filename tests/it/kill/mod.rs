//! `kill -9` of the shipped job at random moments: nothing is lost, nothing doubled, and readers of the
//! table's folder never see anything but whole candles that stay as they are.
//!
//! A failure names the seed; `STOCKPULSE_TEST_SEED` runs it again with that one. `STOCKPULSE_TEST_KILLS` says how
//! often the continuous job is killed, and `.ci/kills` does it a thousand times on Apache Kafka.

mod archive;
mod compaction;
mod dead_letters;
mod kafka_sink;
mod market;
mod readers;
mod rebuild;
mod sessions;
mod watch;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::job::harness::{listing, read_rows};
use crate::support::seed::Seeded;
use crate::support::shipped::{Ended, Folder};
use market::Market;
use readers::{Looks, Readers, Reads};

/// How often a continuous run is killed, unless told otherwise; also the lives that a recorded market lasts for.
const KILLS: usize = 32;
/// An available-now run is killed at least this often in a recorded market, and mostly much more often.
const BOUNDED_KILLS: usize = 10;
/// It gets a recorded market for so many kills of the continuous one.
const KILLS_A_BOUNDED_MARKET: usize = 256;
/// More runs than an available-now job needs to come to the end of a recorded market.
const BOUNDED_RUNS_MAX: usize = 1000;
/// How long a staged file is waited for.
const STAGING: Duration = Duration::from_millis(500);
/// Frames that a continuous run reads in an epoch.
const EPOCH_FRAMES: u32 = 30;
/// Of the run that is not killed, which may have to read most of it: lives are short on a busy machine.
const LAST_EPOCH_FRAMES: u32 = 10_000;
/// Fewer, because an available-now run does not wait between epochs and must not end too soon.
const BOUNDED_EPOCH_FRAMES: u32 = 8;

/// How often a continuous run is killed.
fn kills() -> usize {
    let told = std::env::var("STOCKPULSE_TEST_KILLS").ok();
    told.map_or(KILLS, |kills| kills.parse().unwrap())
}

/// Allows every frame when it goes.
struct Allow<'a>(&'a AtomicUsize);

impl Drop for Allow<'_> {
    fn drop(&mut self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }
}

/// What the killed processes had done.
#[derive(Debug, Default)]
struct Lives {
    kills: usize,
    /// Killed after a commit of their own.
    after_commit: usize,
    commits: usize,
    /// Kills that left files for the next start to publish.
    to_publish: usize,
    /// Kills that left files for the next start to remove.
    to_remove: usize,
}

impl Lives {
    fn count(&mut self, ended: &Ended, folder: &Folder) {
        assert_eq!(ended.code, None, "it ended by itself: {}", ended.said);
        let commits = ended.said.matches(" is committed").count();
        self.kills += 1;
        self.after_commit += usize::from(commits > 0);
        self.commits += commits;
        let committed = committed_files(folder);
        let staged = staged(folder).into_iter();
        let (to_publish, to_remove): (Vec<_>, Vec<_>) = staged
            .filter(|file| file.contains(".parquet"))
            .partition(|file| committed.contains(file));
        self.to_publish += usize::from(!to_publish.is_empty());
        self.to_remove += usize::from(!to_remove.is_empty());
    }

    /// What was done and seen, for a person.
    fn tell(&self, name: &str, reads: &Reads, candles: usize, begun: Instant) {
        let Lives {
            kills,
            after_commit,
            commits,
            to_publish,
            to_remove,
        } = self;
        eprintln!(
            "kills: {name}: {kills} kills, {after_commit} after a commit of that life, {commits} commits; \
             the next start had files to publish {to_publish} times, files to remove {to_remove} times; \
             {candles} candles, each once and exact; {} s",
            begun.elapsed().as_secs()
        );
        let Reads {
            files,
            datafusion,
            duckdb,
        } = reads;
        let readers = [
            ("files", Some(files)),
            ("DataFusion", Some(datafusion)),
            ("DuckDB", duckdb.as_ref()),
        ];
        for (reader, looks) in readers {
            if let Some(Looks {
                looks, compared, ..
            }) = looks
            {
                eprintln!("kills: {name}: {reader}: {looks} looks, {compared} candles compared");
            }
        }
    }
}

/// Staged names, with their table, that the newest checkpoint has.
fn committed_files(folder: &Folder) -> BTreeSet<String> {
    let Some(path) = folder.checkpoint() else {
        return BTreeSet::new();
    };
    let text = std::fs::read_to_string(path).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let files = document["body"]["files"].as_array().unwrap().iter();
    let text = |file: &serde_json::Value, name: &str| file[name].as_str().unwrap().to_string();
    files
        .map(|file| format!("{}/{}", text(file, "table"), text(file, "staged")))
        .collect()
}

fn staged(folder: &Folder) -> Vec<String> {
    let stage = folder.path().join("data/_stage");
    match stage.exists() {
        true => listing(&stage),
        false => Vec::new(),
    }
}

/// Waits for a staged file.
fn stages_within(folder: &Folder, limit: Duration) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        let stage = folder.path().join("data/_stage/ohlc");
        let mut entries = std::fs::read_dir(stage).unwrap();
        if entries.any(|entry| entry.unwrap().path().extension() == Some("parquet".as_ref())) {
            return true;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    false
}

/// Everything there once, and nothing left behind.
fn assert_whole(folder: &Folder, candles: &[String], what: &str) {
    let rows = read_rows(
        &folder.table(),
        "SELECT symbol, window_start, window_end, open, high, low, close, volume, trades \
         FROM t ORDER BY symbol, window_start",
    );
    assert_eq!(rows.len(), candles.len(), "{what}");
    assert!(rows == candles, "{what}: other candles");
    assert_eq!(staged(folder), ["ohlc/lock"], "{what}");
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
    let (mut seeded, begun) = (Seeded::new(), Instant::now());
    let rounds = kills().div_ceil(KILLS);
    let (market, folder) = (Market::repeated(rounds), Folder::new());
    let candles = market.candles();
    // Every partition has spoken before the first start: one that never has is waited for by nobody.
    let share = market.frames.len().div_ceil(kills());
    market.append(&market.broker.appender(), 0..share);
    let allowed = AtomicUsize::new(share);
    let mut readers = Readers::start(&folder.table(), &candles);
    let mut lives = Lives::default();
    std::thread::scope(|scope| {
        // Also when an assertion fails: the scope waits for the thread.
        let _all_allowed_at_the_end = Allow(&allowed);
        scope.spawn(|| market.trade(share, &allowed));
        for life in 0..kills() {
            allowed.store(share * (life + 1), Ordering::Relaxed);
            let run = market.job(&folder, EPOCH_FRAMES).start();
            let moment = match seeded.one_in(4) {
                // While it starts, recovers, reads open windows again.
                true => seeded.moment(0, 200),
                false => {
                    run.wait_for(" is committed");
                    match seeded.one_in(3) && stages_within(&folder, STAGING) {
                        // Before, while and after it is committed and published.
                        true => seeded.moment(0, 12),
                        false => seeded.moment(20, 400),
                    }
                }
            };
            std::thread::sleep(moment);
            lives.count(&run.kill(), &folder);
            readers.check();
        }
    });
    let what = format!("seed {}, {lives:?}", seeded.seed);
    let ended = market
        .job(&folder, LAST_EPOCH_FRAMES)
        .arguments(&["--available-now"])
        .end();
    assert_eq!(ended.code, Some(0), "{what}: {}", ended.said);
    let reads = readers.end(candles.len());
    assert_whole(&folder, &candles, &what);
    let ticks = market.ticks();
    let counts = format!(
        "{ticks} ticks read, {ticks} in windows, 0 filtered, 0 late, 0 rejected; no window is open"
    );
    assert!(ended.said.contains(&counts), "{what}: {}", ended.said);
    assert!(
        lives.after_commit >= kills() / 2 && lives.commits > kills(),
        "{what}"
    );
    lives.tell("continuous", &reads, candles.len(), begun);
}

#[test]
fn an_available_now_job_killed_again_and_again_writes_every_candle_once() {
    let (mut seeded, begun) = (Seeded::new(), Instant::now());
    let rounds = kills().div_ceil(KILLS_A_BOUNDED_MARKET);
    let (market, folder) = (Market::repeated(rounds), Folder::new());
    let candles = market.candles();
    market.append(&market.broker.appender(), 0..market.frames.len());
    let mut readers = Readers::start(&folder.table(), &candles);
    let mut lives = Lives::default();
    let ended = (0..BOUNDED_RUNS_MAX * rounds).find_map(|number| {
        let run = market
            .job(&folder, BOUNDED_EPOCH_FRAMES)
            .arguments(&["--available-now"])
            .start();
        // Ever later, so that it comes to its end on a busy machine, too.
        let moment = seeded.moment(40, 180 + number as u64 / 2);
        run.ends_within(moment);
        let ended = run.kill();
        if ended.code.is_some() {
            // It was done before the moment came.
            return Some(ended);
        }
        lives.count(&ended, &folder);
        readers.check();
        None
    });
    let what = format!("seed {}, {lives:?}", seeded.seed);
    let ended = ended.expect(&what);
    assert_eq!(ended.code, Some(0), "{what}: {}", ended.said);
    let reads = readers.end(candles.len());
    assert_whole(&folder, &candles, &what);
    assert!(lives.kills >= BOUNDED_KILLS * rounds, "{what}");
    lives.tell("available-now", &reads, candles.len(), begun);
}
