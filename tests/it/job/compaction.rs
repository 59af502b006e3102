//! The files of a day that is over become one: the same rows, seen by whoever reads as the one or the other.

mod crash;
mod failures;
mod power;
mod rules;
mod sessions;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use arrow::array::RecordBatch;
use arrow::row::{RowConverter, SortField};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use stockpulse::disk::{Disk, Watch};
use stockpulse::job::{Clock, JobSpec, Summary};
use stockpulse::source::replay::{ReplayFrame, ReplayTopic};

use super::edit::{VOLUMES, edited};
use super::harness::{Bench, Regime, listing, long_before};
use crate::crash::At;

/// 2026-07-01T00:00:00Z, seconds since 1970.
const FIRST_DAY: i64 = 1_782_864_000;
const DAY: i64 = 86_400;
/// 2100-01-01: every day of the tests is over, and every file is old.
const LATER: i64 = 4_102_444_800;
/// A test that waits for something gives up after this.
const PATIENCE: Duration = Duration::from_secs(60);

/// `sql/ohlc.sql`, with a commit for every window that closes.
fn sql() -> String {
    edited(&[(
        "%Y-%m-%d',\n    -- Closed candles are collected for at least this long before a file is written.\n    \
         'rolling_policy.interval' = interval '{{ COMMIT_INTERVAL | 1 second }}'",
        "%Y-%m-%d'",
    )])
}

/// Two symbols' ticks at ten o'clock and every two minutes after, on these days of July.
fn days(topic: &ReplayTopic, days: std::ops::Range<i64>, minutes: i64) {
    for day in days {
        for minute in 0..minutes {
            tick(topic, day * DAY + 36_000 + 120 * minute);
        }
    }
}

/// A frame of two ticks, so many seconds after July has begun.
fn tick(topic: &ReplayTopic, seconds: i64) {
    let time = (FIRST_DAY + seconds) * 1000;
    let price = seconds as f64 / 7.0;
    let ticks = ["ETH", "BTC"]
        .map(|symbol| format!(r#"{{"s":"{symbol}","p":{price},"t":{time},"v":0.1}}"#));
    let frame = format!(r#"{{"type":"trade","data":[{}]}}"#, ticks.join(","));
    topic.append(
        0,
        ReplayFrame {
            timestamp_ms: Some(time),
            key: None,
            payload: Some(frame.into_bytes()),
        },
    );
}

/// An epoch a frame.
fn small_epochs() -> Regime {
    Regime {
        threads: 1,
        max_offsets_per_trigger: Some(1),
        ..Regime::default()
    }
}

/// A job that has written `files` files on each of the first days of July, and more on the one after them. It has
/// committed everything, so that another run has nothing to do but to compact.
fn written(sql: &str, number: i64, files: i64) -> (Bench, ReplayTopic) {
    let bench = Bench {
        dir: in_memory(),
        sql: sql.to_string(),
    };
    let topic = ReplayTopic::new("raw_ticks", 1);
    days(&topic, 0..number + 1, files);
    write(&bench, &topic, &small_epochs());
    (bench, topic)
}

/// The job's first runs, without compaction.
fn write(bench: &Bench, topic: &ReplayTopic, regime: &Regime) {
    bench.run_at(topic, regime, long_before).unwrap();
    run(bench, topic, |spec| spec.compaction = None);
}

/// In memory where the system has such a folder: what is tried here is the order of steps, not the disk.
fn in_memory() -> tempfile::TempDir {
    let mut folder = tempfile::Builder::new();
    folder.prefix("stockpulse-compaction-");
    let made = folder.tempdir_in("/dev/shm");
    made.or_else(|_| folder.tempdir()).unwrap()
}

/// A bounded run in 2100, in turns; `change` changes more.
fn run(bench: &Bench, topic: &ReplayTopic, change: impl FnOnce(&mut JobSpec)) -> Summary {
    try_run(bench, topic, change).unwrap()
}

fn try_run(
    bench: &Bench,
    topic: &ReplayTopic,
    change: impl FnOnce(&mut JobSpec),
) -> Result<Summary, stockpulse::job::JobError> {
    let mut spec = bench.spec(&small_epochs()).unwrap();
    spec.clock = at(LATER);
    spec.in_turns = true;
    change(&mut spec);
    stockpulse::job::run(spec, topic, &mut |_| {})
}

/// A wall clock that stands, seconds since 1970.
fn at(seconds: i64) -> Clock {
    Clock::showing(move || seconds * 1_000_000_000)
}

/// A run whose steps on the disk `watch` hears of.
fn watched<W: Watch + 'static>(watch: &Arc<W>) -> impl FnOnce(&mut JobSpec) + use<W> {
    let watch = Arc::clone(watch) as Arc<dyn Watch>;
    |spec| spec.disk = Disk::watched(watch)
}

/// The rows of a table, bit for bit and in order of their bits, by the folder that they are in; with the columns.
fn bits(table: &Path) -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
    let mut folders: BTreeMap<String, Vec<(String, Vec<u8>)>> = BTreeMap::new();
    for file in listing(table) {
        let (folder, _) = file.rsplit_once('/').unwrap();
        let rows = folders.entry(folder.to_string()).or_default();
        for batch in batches(&table.join(&file)) {
            let columns = format!("{:?}", batch.schema().fields());
            let fields = batch.columns().iter();
            let fields = fields.map(|column| SortField::new(column.data_type().clone()));
            let converter = RowConverter::new(fields.collect()).unwrap();
            let found = converter.convert_columns(batch.columns()).unwrap();
            rows.extend(
                found
                    .iter()
                    .map(|row| (columns.clone(), row.data().to_vec())),
            );
        }
    }
    folders.values_mut().for_each(|rows| rows.sort());
    folders
}

fn batches(file: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

/// The names of a day's files.
fn files(bench: &Bench, day: i64) -> Vec<String> {
    listing(&folder(bench, day))
}

fn folder(bench: &Bench, day: i64) -> PathBuf {
    bench.table().join(format!("date=2026-07-{:02}", day + 1))
}

fn stage(bench: &Bench) -> Vec<String> {
    let mut files = listing(&bench.dir.path().join("data/_stage"));
    files.retain(|file| !file.ends_with("lock"));
    files
}

/// All that stands in the job's folder but for its locks.
fn everything(bench: &Bench) -> Vec<String> {
    let mut files = listing(bench.dir.path());
    files.retain(|file| !file.ends_with("lock"));
    files
}

/// Lets every file of the table look as if it was published then, seconds since 1970.
fn published_at(bench: &Bench, seconds: i64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap());
    for file in listing(&bench.table()) {
        let file = File::options()
            .append(true)
            .open(bench.table().join(file))
            .unwrap();
        file.set_modified(time).unwrap();
    }
}

#[test]
fn days_that_are_over_become_one_file_each_with_the_same_rows() {
    let (bench, topic) = (Bench::new(&sql()), ReplayTopic::new("raw_ticks", 1));
    days(&topic, 0..4, 6);
    write(&bench, &topic, &small_epochs());
    let before = bits(&bench.table());
    let text = bench.rows();
    for day in 0..4 {
        assert!(files(&bench, day).len() > 4, "{:?}", files(&bench, day));
    }
    let last_day = files(&bench, 3);
    let summary = run(&bench, &topic, |_| {});
    assert_eq!((summary.compacted_folders, summary.rows), (3, 0));
    assert_eq!(bits(&bench.table()), before);
    assert_eq!(bench.rows(), text);
    for day in 0..3 {
        let [file] = &files(&bench, day)[..] else {
            panic!("{:?}", files(&bench, day));
        };
        assert!(file.ends_with("-000c001.parquet"), "{file}");
        let rows = batches(&folder(&bench, day).join(file));
        assert_eq!(rows.len(), 1);
        let shown: Vec<String> = (0..rows[0].num_rows())
            .map(|row| stockpulse::testing::row_text(&rows[0], row).unwrap())
            .collect();
        assert_eq!(shown.len(), 12);
        assert!(shown.is_sorted(), "by symbol, then by window: {shown:?}");
    }
    // Windows of the last day may still come, for all that is known.
    assert_eq!(files(&bench, 3), last_day);
    assert_eq!(stage(&bench), [""; 0]);

    let names = everything(&bench);
    let again = run(&bench, &topic, |_| {});
    assert_eq!((again.compacted_folders, again.epoch), (0, None));
    assert_eq!(everything(&bench), names);
    // The job goes on as it would have without, and the last day is over then.
    days(&topic, 4..5, 2);
    let more = run(&bench, &topic, |_| {});
    assert_eq!(
        (more.compacted_folders, more.compacted_files),
        (1, last_day.len())
    );
    assert!(more.rows > 0);
}

#[test]
fn a_compacted_table_can_be_rebuilt_and_no_name_is_used_twice() {
    let (bench, topic) = written(&sql(), 2, 3);
    run(&bench, &topic, |_| {});
    let (names, rows) = (listing(&bench.table()), bench.rows());
    for without_checkpoint in [false, true] {
        if without_checkpoint {
            fs::remove_dir_all(bench.dir.path().join("data/_checkpoints")).unwrap();
        }
        let mut spec = bench.spec(&small_epochs()).unwrap();
        spec.clock = at(LATER);
        spec.compaction = Some(Duration::ZERO);
        stockpulse::job::rebuild(spec, &topic, &mut |_| {}).unwrap();
        assert_eq!(bench.rows(), rows);
        let rebuilt = listing(&bench.table());
        assert!(
            rebuilt.iter().all(|name| !names.contains(name)),
            "{rebuilt:?}"
        );
        let summary = run(&bench, &topic, |_| {});
        assert_eq!(summary.compacted_folders, 2, "{rebuilt:?}");
        assert_eq!(bench.rows(), rows);
        let compacted = listing(&bench.table());
        assert!(compacted.iter().all(|name| !names.contains(name)));
    }
}

#[test]
fn without_its_checkpoint_a_compacted_table_is_still_a_table_of_somebody() {
    let (bench, topic) = written(&sql(), 2, 3);
    run(&bench, &topic, |_| {});
    fs::remove_dir_all(bench.dir.path().join("data/_checkpoints")).unwrap();
    let refused = try_run(&bench, &topic, |_| {}).unwrap_err();
    assert!(
        refused.to_string().contains("holds Parquet files"),
        "{refused}"
    );
}

#[test]
fn every_table_of_a_job_is_compacted() {
    let volumes = VOLUMES.replace(
        "path =",
        "'partitioning.time_pattern' = 'date=%Y-%m-%d', path =",
    );
    let (bench, topic) = written(&format!("{}{volumes}", sql()), 2, 4);
    let other = bench.dir.path().join("data/ohlc_volumes");
    let before = (bits(&bench.table()), bits(&other));
    let summary = run(&bench, &topic, |_| {});
    assert_eq!(summary.compacted_folders, 4);
    assert_eq!((bits(&bench.table()), bits(&other)), before);
    assert_eq!(listing(&other.join("date=2026-07-01")).len(), 1);
}

#[test]
fn the_reader_of_candles_sees_the_same_before_and_after() {
    let (bench, topic) = written(&sql(), 2, 3);
    let read = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let filter = stockpulse::candles::Filter {
            symbols: vec!["BTC".to_string()],
            from: Some((FIRST_DAY + DAY) * 1_000_000_000),
            ..stockpulse::candles::Filter::default()
        };
        let rows: Vec<RecordBatch> = runtime.block_on(async {
            let scan = stockpulse::candles::scan(&bench.table(), &filter)
                .await
                .unwrap();
            futures::TryStreamExt::try_collect(scan.batches)
                .await
                .unwrap()
        });
        let rows = rows.iter().flat_map(|batch| {
            (0..batch.num_rows()).map(|row| stockpulse::testing::row_text(batch, row).unwrap())
        });
        rows.collect::<Vec<String>>()
    };
    let before = read();
    assert_eq!(before.len(), 6);
    assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 2);
    assert_eq!(read(), before);
}

#[test]
fn a_run_without_an_end_compacts_beside_its_epochs() {
    for in_turns in [false, true] {
        let (bench, topic) = written(&sql(), 3, 4);
        let before = bits(&bench.table());
        let mut regime = small_epochs();
        regime.bounded = false;
        let mut spec = bench.spec(&regime).unwrap();
        spec.clock = at(LATER);
        spec.in_turns = in_turns;
        let stop = Arc::clone(&spec.stop);
        std::thread::scope(|scope| {
            let job = scope.spawn(|| stockpulse::job::run(spec, &topic, &mut |_| {}).unwrap());
            let since = Instant::now();
            let is_open =
                || (0..3).any(|day| files(&bench, day).len() != 1) || !stage(&bench).is_empty();
            while is_open() && since.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
            // Before any assertion: the scope waits for the job.
            stop.store(true, Ordering::Relaxed);
            let summary = job.join().unwrap();
            assert!(!is_open(), "{:?}", everything(&bench));
            assert_eq!(summary.compacted_folders, 3);
        });
        assert_eq!(bits(&bench.table()), before);
    }
}

#[test]
fn runs_in_turns_take_the_same_steps() {
    let steps = || {
        let (bench, topic) = written(&sql(), 2, 3);
        let steps = crash::stop(&bench, At::Never);
        run(&bench, &topic, watched(&steps));
        steps.steps()
    };
    let first = steps();
    assert!(first.len() > 20, "{first:?}");
    assert_eq!(first, steps());
}
