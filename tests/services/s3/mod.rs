//! Tables and checkpoints on a server that speaks S3 (`.ci/s3`), with signatures checked: killed jobs, a killed server,
//! two jobs at once, readers all the while.

mod bucket;
mod readers;
#[path = "../../it/objects/requests.rs"]
mod requests;
mod trouble;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stockpulse::config::secret::Secret;
use stockpulse::objects::{Address, StorageOptions, Stores};

use crate::support::broker::TestBroker;
use crate::support::seed::Seeded;
use crate::support::shipped::{Folder, Run, TICKS};
use bucket::{Bucket, Place, rows_of};
use readers::Reader;

/// How often a job is killed, unless `STOCKPULSE_TEST_KILLS` says otherwise.
const KILLS: usize = 12;
/// How often the server is killed.
const CRASHES: usize = 3;
/// Pieces in which frames come while two jobs run.
const PIECES: usize = 60;
/// Frames that a run reads in an epoch.
const EPOCH_FRAMES: &str = "30";

/// The server is one, and some tests kill it: one test at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The recorded market, a topic for it, and a place on the store.
struct Market {
    broker: TestBroker,
    frames: Vec<Vec<u8>>,
    folder: Folder,
    bucket: Bucket,
    place: Place,
}

impl Market {
    fn new() -> Market {
        let bucket = Bucket::of_environment();
        Market {
            broker: TestBroker::start(1),
            frames: recorded(),
            folder: Folder::new(),
            place: bucket.place(),
            bucket,
        }
    }

    /// Adds these of `shares` equal parts of the frames to the topic.
    fn append(&self, parts: std::ops::Range<usize>, shares: usize) {
        let part = |number: usize| self.frames.len() * number / shares;
        let frames = &self.frames[part(parts.start)..part(parts.end)];
        let frames = frames.iter().map(|frame| (0, frame.as_slice()));
        self.broker.appender().append(frames);
    }

    /// The job with its table, and its checkpoints beside that, on the store.
    fn job(&self) -> Run {
        self.bucket
            .login(self.folder.ingest(&self.broker, &["--master", "local[2]"]))
            .conf("spark.stockpulse.trigger", "50 milliseconds")
            .conf("spark.stockpulse.maxOffsetsPerTrigger", EPOCH_FRAMES)
            .conf("spark.stockpulse.var.COMMIT_INTERVAL", "1 milliseconds")
            .conf("spark.stockpulse.var.CANDLES_PATH", &self.place.url)
    }

    /// What the same job writes into a folder.
    fn candles(&self) -> Vec<String> {
        let folder = Folder::new();
        folder.available_now(&self.broker, &[]);
        let mut rows = Vec::new();
        for file in parquet_files(&folder.table()) {
            rows.extend(rows_of(std::fs::read(file).unwrap().into()).unwrap());
        }
        rows.sort();
        assert!(rows.len() > 1000, "{}", rows.len());
        rows
    }

    /// A last run without a fault, after which everything is there once and nothing is left behind.
    fn finish(&self, expected: &[String]) {
        let ended = self
            .job()
            .conf("spark.stockpulse.maxOffsetsPerTrigger", "10000")
            .arguments(&["--available-now"])
            .end();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        let rows = self.bucket.rows(&self.place).unwrap();
        assert_eq!(rows.len(), expected.len());
        assert!(rows == expected, "other candles");
        let staged = self.bucket.keys(&format!("{}/_stage", self.place.prefix));
        assert!(
            staged.iter().all(|key| !key.ends_with(".parquet")),
            "{staged:?}"
        );
    }
}

fn recorded() -> Vec<Vec<u8>> {
    let file = std::fs::File::open(TICKS).unwrap();
    let text = std::io::read_to_string(flate2::read::GzDecoder::new(file)).unwrap();
    text.lines().map(|line| line.as_bytes().to_vec()).collect()
}

fn parquet_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(parquet_files(&path)),
            false => files.push(path),
        }
    }
    files
}

fn kills() -> usize {
    let told = std::env::var("STOCKPULSE_TEST_KILLS").ok();
    told.map_or(KILLS, |kills| kills.parse().unwrap())
}

#[test]
fn a_job_killed_again_and_again_writes_every_candle_once() {
    let _turn = turn();
    let (market, mut seeded, kills) = (Market::new(), Seeded::new(), kills());
    let all = kills + 1;
    market.append(0..all, all);
    let expected = market.candles();
    // The same again, by and by: in a topic of its own.
    let market = Market {
        broker: TestBroker::start(1),
        ..market
    };
    market.append(0..1, all);
    let reader = Reader::start(&market.bucket, &market.place, &expected);
    let mut after_commit = 0;
    for life in 0..kills {
        let run = market.job().start();
        let moment = match seeded.one_in(3) {
            // While it starts, takes over, publishes, cleans up.
            true => seeded.moment(0, 400),
            false => {
                run.wait_for(" is committed");
                seeded.moment(0, 300)
            }
        };
        market.append(life + 1..life + 2, all);
        run.ends_within(moment);
        let ended = run.kill();
        assert_eq!(ended.code, None, "seed {}: {}", seeded.seed, ended.said);
        after_commit += usize::from(ended.said.contains(" is committed"));
        reader.check();
    }
    market.finish(&expected);
    let looks = reader.end(expected.len());
    assert!(after_commit >= kills / 3, "{after_commit} of {kills}");
    eprintln!(
        "s3: {kills} kills, {after_commit} after a commit of that life; {} candles, each once and exact; {looks}",
        expected.len()
    );
}

#[test]
fn a_server_that_is_killed_and_comes_back_is_waited_for() {
    let _turn = turn();
    let market = Market::new();
    market.append(0..1, 1);
    let expected = market.candles();
    let market = Market {
        broker: TestBroker::start(1),
        ..market
    };
    let all = CRASHES + 1;
    market.append(0..1, all);
    let reader = Reader::start(&market.bucket, &market.place, &expected);
    let run = market.job().start();
    run.wait_for(" is committed");
    for crash in 0..CRASHES {
        market.append(crash + 1..crash + 2, all);
        market.bucket.crash();
        assert!(
            !run.ends_within(Duration::from_millis(500)),
            "{}",
            run.end().said
        );
        reader.check();
    }
    run.signal("TERM");
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    market.finish(&expected);
    eprintln!(
        "s3: {CRASHES} crashes of the server; {}",
        reader.end(expected.len())
    );
}

#[test]
fn a_second_start_is_refused_and_of_two_that_run_one_ends() {
    let _turn = turn();
    let market = Market::new();
    market.append(0..20, PIECES);
    let one = market.job().start();
    one.wait_for(" is committed");
    let refused = market.job().end();
    assert_eq!(refused.code, Some(5), "{}", refused.said);
    assert!(
        refused
            .said
            .contains("runs the job whose checkpoints are in"),
        "{}",
        refused.said
    );
    // On another machine it may not be known that one runs.
    market.bucket.delete(&format!(
        "{}/_checkpoints/ohlc/lock.json",
        market.place.prefix
    ));
    let other = market.job().start();
    let (mut one, mut other) = (Some(one), Some(other));
    let mut pieces = 20..PIECES;
    let ended = loop {
        // Who has been overtaken notices when it commits, so there must be something to commit.
        if let Some(piece) = pieces.next() {
            market.append(piece..piece + 1, PIECES);
        }
        let step = Duration::from_millis(250);
        if one.as_ref().unwrap().ends_within(step) {
            break one.take().unwrap().end();
        }
        if other.as_ref().unwrap().ends_within(step) {
            break other.take().unwrap().end();
        }
    };
    assert_eq!(ended.code, Some(5), "{}", ended.said);
    market.append(pieces, PIECES);
    let left = one.or(other).unwrap();
    left.wait_for(" is committed");
    left.signal("TERM");
    let left = left.end();
    assert_eq!(left.code, Some(0), "{}", left.said);
    market.finish(&market.candles());
}

#[test]
fn every_request_does_what_it_says() {
    let _turn = turn();
    let bucket = Bucket::of_environment();
    let place = bucket.place();
    let address = Address::parse(&place.url).unwrap();
    let mut options = StorageOptions::default();
    for (name, value) in [
        ("access_key_id", &bucket.key),
        ("secret_access_key", &bucket.secret),
    ] {
        options
            .add(&address, name, Secret::new(value.as_str()))
            .unwrap();
    }
    let objects = Stores::default().open(&address, &options).unwrap();
    requests::check_every_request(&objects, &place.prefix);
}

#[test]
fn checkpoints_may_be_in_a_folder() {
    let _turn = turn();
    let market = Market::new();
    market.append(0..1, 1);
    let expected = market.candles();
    let job = || {
        let place = "spark.sql.streaming.checkpointLocation";
        market.job().conf(place, "data/_checkpoints/ohlc")
    };
    let run = job().start();
    run.wait_for(" is committed");
    assert_eq!(run.kill().code, None);
    let ended = job().arguments(&["--available-now"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(market.bucket.rows(&market.place).unwrap(), expected);
    assert!(market.folder.checkpoint().is_some());
}
