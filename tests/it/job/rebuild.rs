//! `--rebuild`: the new generation is what a fresh job writes; readers see the old one or the new one, never
//! a mix, wherever it is stopped; candles that cannot be computed again are not swapped out unasked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use expect_test::{Expect, expect};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use stockpulse::job::progress::RebuildPhase;
use stockpulse::job::{Console, JobError, JobSpec, ProgressReport, Rebuild, Summary};
use stockpulse::model::Exit;
use stockpulse::source::Topic;
use stockpulse::source::replay::ReplayTopic;

use super::edit::{VOLUMES, append, edited, topic};
use super::exact::OHLC;
use super::harness::{
    Bench, Regime, assert_recorded_candles, counts, listing, long_before, noon, read_rows,
    recorded_frames, topic as topic_of,
};
use super::preview::Paper;

const MINUTES: [(&str, &str); 1] = [(
    "tumble(interval '1 minute') AS",
    "tumble(interval '5 minutes') AS",
)];

/// `sql/ohlc.sql` with candles of five minutes.
pub fn five_minutes() -> String {
    edited(&MINUTES)
}

/// Epochs of a few frames, so that a rebuild has many.
fn small_epochs() -> Regime {
    Regime {
        max_offsets_per_trigger: Some(200),
        ..Regime::default()
    }
}

fn rebuild_with(
    bench: &Bench,
    topic: &dyn Topic,
    change: impl FnOnce(&mut JobSpec),
    on_progress: &mut dyn FnMut(&ProgressReport),
) -> Result<Summary, JobError> {
    let mut spec = bench.spec_at(&small_epochs(), noon).unwrap();
    change(&mut spec);
    stockpulse::job::rebuild(spec, topic, on_progress)
}

fn rebuild(bench: &Bench, topic: &dyn Topic) -> Result<Summary, JobError> {
    rebuild_with(bench, topic, |_| {}, &mut |_| {})
}

/// As a signal would, after the first commit.
fn rebuild_stopped(bench: &Bench, topic: &dyn Topic) -> Summary {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let stopping = |report: &ProgressReport| {
        assert_eq!(report.rebuild, Some(RebuildPhase::Reading));
        flag.store(report.files > 0, Ordering::Relaxed);
    };
    let summary = rebuild_with(bench, topic, |spec| spec.stop = stop, &mut { stopping });
    let summary = summary.unwrap();
    assert_eq!(summary.rebuild, Some(Rebuild::Stopped));
    summary
}

/// What a new job writes.
fn fresh(sql: &str, topic: &dyn Topic) -> Vec<String> {
    let bench = Bench::new(sql);
    bench.run_at(topic, &Regime::default(), noon).unwrap();
    bench.rows()
}

/// A job over the recorded trades that is done.
fn recorded() -> (Bench, ReplayTopic) {
    let topic = topic_of(&recorded_frames(), 1, |_| 0);
    let bench = Bench::new(OHLC);
    bench.run_at(&topic, &small_epochs(), noon).unwrap();
    (bench, topic)
}

fn data(bench: &Bench) -> PathBuf {
    bench.dir.path().join("data")
}

/// Folders in the data folder.
fn folders(bench: &Bench) -> Vec<String> {
    let entries = fs::read_dir(data(bench)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn names(table: &Path) -> BTreeSet<String> {
    let files = listing(table).into_iter();
    files
        .map(|file| file.rsplit('/').next().unwrap().to_string())
        .collect()
}

/// Where the one old generation is kept.
fn kept(summary: &Summary) -> PathBuf {
    match &summary.rebuild {
        Some(Rebuild::Swapped { kept, .. }) if kept.len() == 1 => kept[0].clone(),
        other => panic!("{other:?}"),
    }
}

/// The rows of a table as any reader finds them now, each a symbol, a window's start and a count of ticks:
/// lists all, opens all, reads all. `None`: a file that was listed has gone.
pub fn read_now(table: &Path) -> Option<BTreeSet<String>> {
    let mut files = Vec::new();
    let mut folders = vec![table.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()? {
            let path = entry.ok()?.path();
            match path.extension() {
                Some(_) => files.push(path),
                None => folders.push(path),
            }
        }
    }
    let open: Option<Vec<File>> = files.iter().map(|file| File::open(file).ok()).collect();
    let mut rows = BTreeSet::new();
    for file in open? {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let cell = |name: &str| {
                    let column = batch.column_by_name(name).unwrap();
                    arrow::util::display::array_value_to_string(column, row).unwrap()
                };
                let row = ["symbol", "window_start", "trades"].map(cell).join(",");
                assert!(rows.insert(row.clone()), "{row} is there twice");
            }
        }
    }
    Some(rows)
}

/// A thread that reads a table again and again, and may see nothing but one of some generations.
pub struct Readers {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<BTreeMap<usize, usize>>,
}

impl Readers {
    pub fn start(table: &Path, generations: Vec<BTreeSet<String>>) -> Readers {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, table) = (Arc::clone(&stop), table.to_path_buf());
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeMap::new();
            loop {
                // Before the last look, so that there is one in any case.
                let last = stopping.load(Ordering::Relaxed);
                // One that lost a file under it reads again, as a person would.
                let Some(rows) = read_now(&table) else {
                    continue;
                };
                let which = generations.iter().position(|known| *known == rows);
                let which = which.unwrap_or_else(|| panic!("a mix of {} rows", rows.len()));
                *seen.entry(which).or_insert(0) += 1;
                if last {
                    break;
                }
            }
            seen
        });
        Readers { stop, thread }
    }

    /// How often each generation was seen.
    pub fn end(self) -> BTreeMap<usize, usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn a_rebuilt_table_is_what_a_new_job_writes_and_the_job_goes_on_from_there() {
    let (mut bench, topic) = recorded();
    let old_names = names(&bench.table());
    bench.sql = five_minutes();
    let refused = bench.run_at(&topic, &Regime::default(), noon).unwrap_err();
    assert_eq!(refused.exit(), Exit::Mismatch);
    let summary = rebuild(&bench, &topic).unwrap();
    let rows = fresh(&bench.sql, &topic);
    assert_eq!(bench.rows(), rows);
    assert_eq!(counts(&summary)["in_windows"], 12_477);
    let kept = kept(&summary);
    let old = read_rows(&kept, "SELECT * FROM t ORDER BY symbol, window_start");
    assert_recorded_candles(&old, "what was there before");
    assert_eq!(folders(&bench), ["_checkpoints", "_old", "_stage", "ohlc"]);
    assert!(
        names(&bench.table()).is_disjoint(&old_names),
        "no name is used for two files"
    );
    assert_eq!(listing(&data(&bench).join("_stage")), ["ohlc/lock"]);

    // An ordinary run finds nothing new, then what is new.
    let again = bench.run_at(&topic, &Regime::default(), noon).unwrap();
    assert_eq!((again.epoch, again.rows), (None, 0));
    append(&topic, &[(10.0, 0), (12.0, 30)]);
    let more = bench.run_at(&topic, &Regime::default(), noon).unwrap();
    assert_eq!((more.rows, more.rebuild), (1, None));
    assert_eq!(bench.rows().len(), rows.len() + 1);
}

#[test]
fn readers_see_one_generation_or_the_other() {
    let (mut bench, topic) = recorded();
    let one = read_now(&bench.table()).unwrap();
    bench.sql = five_minutes();
    let other = Bench::new(&bench.sql);
    other.run_at(&topic, &Regime::default(), noon).unwrap();
    let five = read_now(&other.table()).unwrap();
    let readers = Readers::start(&bench.table(), vec![one, five]);
    for sql in [five_minutes(), OHLC.to_string(), five_minutes()] {
        bench.sql = sql;
        rebuild(&bench, &topic).unwrap();
    }
    let seen = readers.end();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(fs::read_dir(data(&bench).join("_old")).unwrap().count(), 3);
}

/// Two tables; the second has other windows.
fn two_tables() -> Bench {
    Bench::new(&format!("{OHLC}{VOLUMES}"))
}

fn volumes(bench: &Bench) -> Vec<String> {
    let table = data(bench).join("ohlc_volumes");
    read_rows(&table, "SELECT * FROM t ORDER BY symbol, window_start")
}

/// Of a table whose swap may be under way: nothing but finished files.
fn both(bench: &Bench) -> (Vec<String>, Vec<String>) {
    (bench.rows(), volumes(bench))
}

#[test]
fn a_swap_that_is_stopped_at_any_step_is_finished_by_the_next_start() {
    let topic = topic();
    let rebuilt_sql = two_tables()
        .sql
        .replace("sum(volume) AS", "10 * sum(volume) AS");
    let expected = {
        let mut bench = two_tables();
        bench.sql = rebuilt_sql.clone();
        bench.run_at(&topic, &Regime::default(), noon).unwrap();
        both(&bench)
    };
    let mut whole: Option<Vec<String>> = None;
    // Without a stop first, then at every step; then the start after that once more at that step.
    let (mut steps, mut at) = (0, (usize::MAX, usize::MAX));
    loop {
        let mut bench = two_tables();
        bench.run_at(&topic, &Regime::default(), noon).unwrap();
        let old = both(&bench);
        bench.sql = rebuilt_sql.clone();
        let mut seen = 0;
        let mut stop_at = |limit: usize, report: &ProgressReport| {
            if report.rebuild == Some(RebuildPhase::Swapping) {
                assert!(seen != limit, "stopped here");
                seen += 1;
            }
        };
        let first = catch_unwind(AssertUnwindSafe(|| {
            rebuild_with(&bench, &topic, |_| {}, &mut |report| stop_at(at.0, report)).unwrap()
        }));
        assert_eq!(first.is_err(), at.0 != usize::MAX);
        if first.is_err() {
            for (now, (old, new)) in [
                (bench.rows(), (&old.0, &expected.0)),
                (volumes(&bench), (&old.1, &expected.1)),
            ] {
                assert!(now == *old || now == *new, "stopped at {at:?}: {now:?}");
            }
            let mut seen = 0;
            let second = catch_unwind(AssertUnwindSafe(|| {
                let spec = bench.spec_at(&Regime::default(), noon).unwrap();
                stockpulse::job::run(spec, &topic, &mut |report| {
                    if report.rebuild == Some(RebuildPhase::Swapping) {
                        assert!(seen != at.1, "stopped again");
                        seen += 1;
                    }
                })
                .unwrap()
            }));
            if second.is_err() {
                bench.run_at(&topic, &Regime::default(), noon).unwrap();
            }
        }
        assert_eq!(both(&bench), expected, "stopped at {at:?}");
        assert_eq!(
            folders(&bench),
            ["_checkpoints", "_old", "_stage", "ohlc", "ohlc_volumes"]
        );
        let mut files = listing(&data(&bench));
        // The restart takes a lock that the rebuild needs only for the new generation.
        files.retain(|file| !file.ends_with("lock"));
        assert_eq!(
            whole.get_or_insert(files.clone()),
            &files,
            "stopped at {at:?}"
        );
        at = match at {
            (usize::MAX, _) => {
                steps = seen;
                assert_eq!(
                    steps, 7,
                    "two folders exchanged, a commit, two put away, two ends"
                );
                (0, usize::MAX)
            }
            (first, usize::MAX) => (first, first),
            (first, _) if first + 1 < steps => (first + 1, usize::MAX),
            _ => break,
        };
    }
}

#[test]
fn a_swap_that_was_stopped_is_finished_and_not_begun_anew_by_the_same_rebuild() {
    let topic = topic();
    let mut bench = Bench::new(OHLC);
    bench.run_at(&topic, &Regime::default(), noon).unwrap();
    bench.sql = five_minutes();
    let stopped = catch_unwind(AssertUnwindSafe(|| {
        rebuild_with(&bench, &topic, |_| {}, &mut |report| {
            assert_ne!(report.rebuild, Some(RebuildPhase::Swapping), "stopped here");
        })
    }));
    assert!(stopped.is_err());
    let mut read = 0;
    let summary = rebuild_with(&bench, &topic, |_| {}, &mut |report| {
        read += usize::from(report.rebuild == Some(RebuildPhase::Reading));
    });
    assert_eq!(read, 0);
    assert_eq!(listing(&kept(&summary.unwrap())).len(), 1);
    assert_eq!(bench.rows(), fresh(&bench.sql, &topic));
}

#[test]
fn a_rebuild_that_was_stopped_goes_on_and_the_old_candles_stand_meanwhile() {
    let (mut bench, topic) = recorded();
    let old = bench.rows();
    bench.sql = five_minutes();
    let first = rebuild_stopped(&bench, &topic);
    assert!(first.counts.read < 12_477, "{first:?}");
    assert_eq!(bench.rows(), old);
    let second = rebuild_stopped(&bench, &topic);
    assert!(second.counts.read > first.counts.read, "{second:?}");
    let last = rebuild(&bench, &topic).unwrap();
    assert_eq!(counts(&last)["in_windows"], 12_477);
    assert_eq!(bench.rows(), fresh(&bench.sql, &topic));
}

#[test]
fn a_rebuild_of_sql_that_was_edited_again_begins_anew() {
    let (mut bench, topic) = recorded();
    bench.sql = five_minutes();
    rebuild_stopped(&bench, &topic);
    bench.sql = edited(&[(MINUTES[0].0, "tumble(interval '2 minutes') AS")]);
    rebuild(&bench, &topic).unwrap();
    assert_eq!(bench.rows(), fresh(&bench.sql, &topic));
    assert_eq!(folders(&bench), ["_checkpoints", "_old", "_stage", "ohlc"]);
}

#[test]
fn what_kafka_forgets_after_an_unfinished_rebuild_has_read_it_is_no_loss() {
    let (mut bench, topic) = recorded();
    bench.sql = five_minutes();
    let expected = fresh(&bench.sql, &topic);
    rebuild_stopped(&bench, &topic);
    topic.forget(0, 20);
    rebuild(&bench, &topic).unwrap();
    assert_eq!(bench.rows(), expected);
}

#[test]
fn a_rebuild_that_has_not_read_what_kafka_has_forgotten_begins_anew() {
    let (mut bench, topic) = recorded();
    bench.sql = five_minutes();
    rebuild_stopped(&bench, &topic);
    topic.forget(0, 5_000);
    let refused = rebuild(&bench, &topic).unwrap_err();
    assert_eq!(refused.exit(), Exit::DataLoss, "{refused}");
    let may_lose = |spec: &mut JobSpec| spec.fail_on_data_loss = false;
    rebuild_with(&bench, &topic, may_lose, &mut |_| {}).unwrap();
    assert_eq!(bench.rows(), fresh(&bench.sql, &topic));
}

#[test]
fn a_rebuild_whose_folder_was_removed_by_hand_begins_anew() {
    let (mut bench, topic) = recorded();
    bench.sql = five_minutes();
    rebuild_stopped(&bench, &topic);
    fs::remove_dir_all(data(&bench).join("_rebuild")).unwrap();
    rebuild(&bench, &topic).unwrap();
    assert_eq!(bench.rows(), fresh(&bench.sql, &topic));
}

#[test]
fn without_being_asked_for_again_an_unfinished_rebuild_is_given_up() {
    let (mut bench, topic) = recorded();
    let rows = bench.rows().len();
    bench.sql = five_minutes();
    rebuild_stopped(&bench, &topic);
    // Refused as before, and the rebuild can still go on.
    let refused = bench.run_at(&topic, &Regime::default(), noon).unwrap_err();
    assert_eq!(refused.exit(), Exit::Mismatch);
    assert!(data(&bench).join("_rebuild").exists());
    bench.sql = OHLC.to_string();
    append(&topic, &[(10.0, 0)]);
    bench.run_at(&topic, &Regime::default(), noon).unwrap();
    assert_eq!(bench.rows().len(), rows + 1);
    assert_eq!(folders(&bench), ["_checkpoints", "_stage", "ohlc"]);
    assert!(!data(&bench).join("_checkpoints/ohlc/rebuild").exists());
    bench.sql = five_minutes();
    rebuild(&bench, &topic).unwrap();
    assert_eq!(bench.rows(), fresh(&bench.sql, &topic));
}

#[test]
fn what_is_there_without_a_checkpoint_or_with_a_damaged_one_can_be_rebuilt() {
    let topic = topic();
    for damage in [
        |checkpoints: &Path| fs::remove_dir_all(checkpoints).unwrap(),
        |checkpoints: &Path| {
            for file in listing(checkpoints) {
                fs::write(checkpoints.join(file), "damaged").unwrap();
            }
        },
    ] {
        let mut bench = Bench::new(OHLC);
        bench.run_at(&topic, &Regime::default(), noon).unwrap();
        let old_names = names(&bench.table());
        damage(&data(&bench).join("_checkpoints/ohlc"));
        bench.sql = five_minutes();
        rebuild(&bench, &topic).unwrap();
        assert_eq!(bench.rows(), fresh(&bench.sql, &topic));
        assert!(names(&bench.table()).is_disjoint(&old_names));
    }
}

#[test]
fn a_first_start_can_be_a_rebuild_and_young_windows_stay_open() {
    fn six_minutes_later() -> i64 {
        (1_785_578_400 + 7 * 60) * 1_000_000_000
    }
    let topic = ReplayTopic::new("raw_ticks", 1);
    append(&topic, &[(10.0, 0), (20.0, 65)]);
    let bench = Bench::new(OHLC);
    let spec = bench
        .spec_at(&Regime::default(), six_minutes_later)
        .unwrap();
    let summary = stockpulse::job::rebuild(spec, &topic, &mut |_| {}).unwrap();
    assert_eq!((summary.rows, summary.open_windows), (1, 1));
    let nothing_kept = Rebuild::Swapped {
        rows: 1,
        kept: Vec::new(),
    };
    assert_eq!(summary.rebuild, Some(nothing_kept));
    assert_eq!(folders(&bench), ["_checkpoints", "_stage", "ohlc"]);
    append(&topic, &[(21.0, 66)]);
    let next = bench.run_at(&topic, &Regime::default(), noon).unwrap();
    assert_eq!((next.rows, next.open_windows), (1, 0));
    assert_eq!(bench.rows(), fresh(OHLC, &topic));
}

#[test]
fn another_topic_can_be_swapped_in() {
    let mut bench = Bench::new(OHLC);
    bench.run_at(&topic(), &Regime::default(), noon).unwrap();
    let other = ReplayTopic::new("other_ticks", 2);
    append(&other, &[(50.0, 0), (60.0, 300)]);
    bench.sql = edited(&[("{{ KAFKA_TOPIC | raw_ticks }}", "other_ticks")]);
    rebuild(&bench, &other).unwrap();
    assert_eq!(bench.rows(), fresh(&bench.sql, &other));
}

#[test]
fn a_table_that_is_a_link_stays_one() {
    let topic = topic();
    let mut bench = Bench::new(OHLC);
    let elsewhere = bench.dir.path().join("disk/candles");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::create_dir_all(data(&bench)).unwrap();
    std::os::unix::fs::symlink(&elsewhere, bench.table()).unwrap();
    bench.run_at(&topic, &Regime::default(), noon).unwrap();
    bench.sql = five_minutes();
    let summary = rebuild(&bench, &topic).unwrap();
    assert_eq!(bench.rows(), fresh(&bench.sql, &topic));
    assert!(fs::symlink_metadata(bench.table()).unwrap().is_symlink());
    let old = bench
        .dir
        .path()
        .canonicalize()
        .unwrap()
        .join("disk/_old/candles-1");
    assert_eq!(kept(&summary), old);
}

#[test]
fn nobody_else_works_on_the_table_during_a_rebuild() {
    let (mut bench, topic) = recorded();
    bench.sql = five_minutes();
    let (other_checkpoint, mut refused) = (bench.dir.path().join("other"), 0);
    rebuild_with(&bench, &topic, |_| {}, &mut |report| {
        if report.files == 0 || refused > 0 {
            return;
        }
        for checkpoint_dir in [
            data(&bench).join("_checkpoints/ohlc"),
            other_checkpoint.clone(),
        ] {
            let mut spec = bench.spec_at(&Regime::default(), noon).unwrap();
            spec.checkpoint_dir = Some(checkpoint_dir.into());
            let error = stockpulse::job::run(spec, &topic, &mut |_| {}).unwrap_err();
            assert_eq!(error.exit(), Exit::Mismatch, "{error}");
            refused += 1;
        }
    })
    .unwrap();
    assert_eq!(refused, 2);
}

#[test]
fn what_stands_where_the_rebuild_goes_and_is_not_known_is_left_alone() {
    let topic = topic();
    let bench = Bench::new(OHLC);
    bench.run_at(&topic, &Regime::default(), noon).unwrap();
    let precious = data(&bench).join("_rebuild/ohlc/precious.parquet");
    fs::create_dir_all(precious.parent().unwrap()).unwrap();
    fs::write(&precious, "candles").unwrap();
    let error = rebuild(&bench, &topic).unwrap_err();
    assert_eq!(error.exit(), Exit::Mismatch, "{error}");
    assert!(precious.exists());
}

/// The message of a refusal, with the bench's folder as `DIR`; nothing has changed.
fn refuses_to_lose(bench: &Bench, topic: &ReplayTopic, expected: &Expect) {
    let (rows, before) = (bench.rows(), folders(bench));
    let error = rebuild(bench, topic).unwrap_err();
    assert_eq!(error.exit(), Exit::DataLoss, "{error}");
    let folder = bench.dir.path().display().to_string();
    expected.assert_eq(&error.to_string().replace(&folder, "DIR"));
    assert_eq!((bench.rows(), folders(bench)), (rows, before));
    assert!(!data(bench).join("_checkpoints/ohlc/rebuild").exists());
}

#[test]
fn candles_of_ticks_that_kafka_has_forgotten_are_not_swapped_out_unasked() {
    let topic = topic();
    let mut bench = Bench::new(OHLC);
    bench.run_at(&topic, &Regime::default(), noon).unwrap();
    topic.forget(0, 2);
    bench.sql = five_minutes();
    refuses_to_lose(
        &bench,
        &topic,
        &expect![
            "a rebuild would take candles out of the table that cannot be computed again: topic raw_ticks no longer holds what the candles were made of: partition 0: offsets 0 to 1 are gone. DIR/data/ohlc holds rows since 2026-08-01 10:00:00 UTC; Kafka's oldest message is of 2026-08-01 10:01:10 UTC. Nothing was changed. Swap it in nevertheless by --conf spark.stockpulse.failOnDataLoss=false (the candles of before are kept beside the table), or give the table another path and the job another checkpoint location"
        ],
    );

    let may_lose = |spec: &mut JobSpec| spec.fail_on_data_loss = false;
    let summary = rebuild_with(&bench, &topic, may_lose, &mut |_| {}).unwrap();
    assert_eq!(bench.rows(), fresh(&bench.sql, &topic));
    assert_eq!(read_rows(&kept(&summary), "SELECT * FROM t").len(), 3);
    // From now on that is where the table begins.
    bench.sql = OHLC.to_string();
    rebuild(&bench, &topic).unwrap();
}

#[test]
fn what_kafka_forgot_before_the_job_first_read_is_no_loss() {
    let topic = topic();
    topic.forget(0, 2);
    let mut bench = Bench::new(OHLC);
    bench
        .run_at(&topic, &Regime::default(), long_before)
        .unwrap();
    bench.run_at(&topic, &Regime::default(), noon).unwrap();
    bench.sql = five_minutes();
    rebuild(&bench, &topic).unwrap();
    assert_eq!(bench.rows(), fresh(&bench.sql, &topic));
}

#[test]
fn where_nobody_knows_what_was_read_a_topic_that_has_lost_its_beginning_is_loss() {
    let topic = topic();
    let mut bench = Bench::new(OHLC);
    bench.run_at(&topic, &Regime::default(), noon).unwrap();
    fs::remove_dir_all(data(&bench).join("_checkpoints/ohlc")).unwrap();
    topic.forget(0, 2);
    bench.sql = five_minutes();
    refuses_to_lose(
        &bench,
        &topic,
        &expect![
            "a rebuild would take candles out of the table that cannot be computed again: topic raw_ticks no longer holds what the candles were made of: partition 0 begins at offset 2, and no checkpoint says where the job began. DIR/data/ohlc holds rows since 2026-08-01 10:00:00 UTC; Kafka's oldest message is of 2026-08-01 10:01:10 UTC. Nothing was changed. Swap it in nevertheless by --conf spark.stockpulse.failOnDataLoss=false (the candles of before are kept beside the table), or give the table another path and the job another checkpoint location"
        ],
    );
    let may_lose = |spec: &mut JobSpec| spec.fail_on_data_loss = false;
    rebuild_with(&bench, &topic, may_lose, &mut |_| {}).unwrap();
    assert_eq!(bench.rows(), fresh(&bench.sql, &topic));
}

#[test]
fn where_nobody_knows_what_was_read_the_first_candles_are_compared() {
    let mut bench = Bench::new(OHLC);
    bench.run_at(&topic(), &Regime::default(), noon).unwrap();
    let later = ReplayTopic::new("other_ticks", 1);
    append(&later, &[(50.0, 60), (60.0, 300)]);
    bench.sql = edited(&[("{{ KAFKA_TOPIC | raw_ticks }}", "other_ticks")]);
    refuses_to_lose(
        &bench,
        &later,
        &expect![
            "a rebuild would take candles out of the table that cannot be computed again: DIR/data/ohlc holds rows since 2026-08-01 10:00:00 UTC, and the rebuilt one 2 rows since 2026-08-01 10:01:00 UTC. Nothing was changed. Swap it in nevertheless by --conf spark.stockpulse.failOnDataLoss=false (the candles of before are kept beside the table), or give the table another path and the job another checkpoint location"
        ],
    );
    let may_lose = |spec: &mut JobSpec| spec.fail_on_data_loss = false;
    rebuild_with(&bench, &later, may_lose, &mut |_| {}).unwrap();
    assert_eq!(bench.rows(), fresh(&bench.sql, &later));
}

#[test]
fn what_is_printed_is_not_printed_again_and_goes_on_with_whole_windows() {
    let seen = "CREATE TABLE seen (symbol TEXT, minute TIMESTAMP, close DOUBLE) WITH (connector = 'stdout', format = 'json');
        INSERT INTO seen SELECT symbol, window.start, close FROM (
            SELECT symbol, tumble(interval '2 minutes') AS window, last_value(price) AS close FROM ticks GROUP BY 1, 2
        );";
    let topic = topic();
    let mut bench = Bench::new(&format!("{OHLC}{seen}"));
    bench
        .run_at(&topic, &Regime::default(), long_before)
        .unwrap();
    bench.sql = format!("{}{seen}", five_minutes());
    let paper = Paper::default();
    let console = || Console::new(Box::new(paper.clone()));
    let mut spec = bench.spec_at(&Regime::default(), long_before).unwrap();
    spec.console = console();
    let rebuilt = stockpulse::job::rebuild(spec, &topic, &mut |_| {}).unwrap();
    assert_eq!((paper.text(), rebuilt.rows_printed), (String::new(), 0));
    append(&topic, &[(21.0, 80), (30.0, 190)]);
    let mut spec = bench.spec_at(&Regime::default(), noon).unwrap();
    spec.console = console();
    stockpulse::job::run(spec, &topic, &mut |_| {}).unwrap();
    assert_eq!(bench.rows(), fresh(&five_minutes(), &topic));
    expect![[r#"
        {"symbol":"BTC","minute":"2026-08-01T10:00:00","close":21.0}
        {"symbol":"BTC","minute":"2026-08-01T10:02:00","close":30.0}
    "#]]
    .assert_eq(&paper.text());
}

#[test]
fn a_job_that_writes_no_files_has_nothing_to_rebuild() {
    let (tables, _) = OHLC.split_once("INSERT INTO ohlc").unwrap();
    let bench = Bench::new(&format!(
        "{tables}SELECT symbol, tumble(interval '1 minute') AS window, max(price) AS high FROM ticks GROUP BY 1, 2"
    ));
    let error = rebuild(&bench, &topic()).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage, "{error}");
}
