//! A compaction that fails or is stopped: the job goes on, and nothing is lost or left.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use stockpulse::disk::{Allowed, Step, Watch};

use super::{bits, days, everything, files, folder, run, sql, stage, watched, written};

/// Refuses the steps of a compaction that it is asked to.
struct Refuses {
    steps: fn(&Step<'_>) -> bool,
    error: io::ErrorKind,
    refused: AtomicUsize,
}

impl Refuses {
    fn new(error: io::ErrorKind, steps: fn(&Step<'_>) -> bool) -> Arc<Refuses> {
        Arc::new(Refuses {
            steps,
            error,
            refused: AtomicUsize::new(0),
        })
    }
}

impl Watch for Refuses {
    fn before(&self, step: &Step<'_>) -> io::Result<Allowed> {
        if in_compaction(step.path()) && (self.steps)(step) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(self.error.into());
        }
        Ok(Allowed::Whole)
    }

    fn after(&self, _: &Step<'_>) {}
}

fn in_compaction(path: &Path) -> bool {
    path.components()
        .any(|part| part.as_os_str() == "ohlc.compact")
}

#[test]
fn a_full_disk_stops_the_compaction_and_not_the_job() {
    for steps in [
        (|step| matches!(step, Step::Write { .. })) as fn(&Step<'_>) -> bool,
        |step| matches!(step, Step::CreateDir(_)),
        |step| matches!(step, Step::SyncFile(_)),
        |step| matches!(step, Step::SyncDir(_)),
    ] {
        let (bench, topic) = written(&sql(), 2, 2);
        days(&topic, 3..4, 2);
        let full = Refuses::new(io::ErrorKind::StorageFull, steps);
        let summary = run(&bench, &topic, watched(&full));
        assert!(full.refused.load(Ordering::Relaxed) > 0);
        assert!(summary.rows > 0);
        assert_eq!(summary.compacted_folders, 0);
        let rows = bits(&bench.table());
        // There is room again.
        assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 3);
        assert_eq!(bits(&bench.table()), rows);
        assert_eq!(stage(&bench), [""; 0]);
    }
}

#[test]
fn what_could_not_be_removed_is_removed_the_next_time() {
    let (bench, topic) = written(&sql(), 2, 2);
    let rows = bits(&bench.table());
    let refuses = Refuses::new(io::ErrorKind::PermissionDenied, |step| {
        matches!(step, Step::RemoveFile(_))
    });
    let summary = run(&bench, &topic, watched(&refuses));
    // The first folder is exchanged; a second would be written over what is left of it.
    assert_eq!(summary.compacted_folders, 1);
    assert_eq!(stage(&bench).len(), 2);
    assert_eq!(bits(&bench.table()), rows);
    assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 1);
    assert_eq!(bits(&bench.table()), rows);
    assert_eq!(stage(&bench), [""; 0]);
}

#[test]
fn a_file_system_that_cannot_exchange_folders_has_no_compaction() {
    let (bench, topic) = written(&sql(), 3, 2);
    let names = everything(&bench);
    let cannot = Arc::new(NoExchange(AtomicUsize::new(0)));
    assert_eq!(run(&bench, &topic, watched(&cannot)).compacted_folders, 0);
    assert_eq!(cannot.0.load(Ordering::Relaxed), 1, "it is asked once");
    assert_eq!(everything(&bench), names);
}

struct NoExchange(AtomicUsize);

impl Watch for NoExchange {
    fn before(&self, step: &Step<'_>) -> io::Result<Allowed> {
        match step {
            Step::Exchange { .. } => {
                self.0.fetch_add(1, Ordering::Relaxed);
                Err(io::ErrorKind::Unsupported.into())
            }
            _ => Ok(Allowed::Whole),
        }
    }

    fn after(&self, _: &Step<'_>) {}
}

#[test]
fn a_folder_with_a_damaged_file_is_left_as_it_is() {
    let (bench, topic) = written(&sql(), 4, 3);
    let damaged = |day: i64, damage: &dyn Fn(&mut Vec<u8>)| {
        let file = folder(&bench, day).join(&files(&bench, day)[1]);
        let mut bytes = fs::read(&file).unwrap();
        damage(&mut bytes);
        fs::write(file, bytes).unwrap();
    };
    damaged(0, &|bytes| bytes.truncate(bytes.len() / 2));
    damaged(1, &|bytes| bytes.clear());
    damaged(2, &|bytes| {
        let middle = bytes.len() / 4;
        bytes[4..middle].fill(0xff);
    });
    let names = everything(&bench);
    let summary = run(&bench, &topic, |_| {});
    assert_eq!(summary.compacted_folders, 1);
    let kept = |names: Vec<String>| {
        let kept = names.into_iter().filter(|name| !name.contains("07-04"));
        kept.collect::<Vec<String>>()
    };
    assert_eq!(kept(everything(&bench)), kept(names));
}

#[test]
fn files_that_do_not_go_together_are_left_as_they_are() {
    let (bench, topic) = written(&sql(), 3, 2);
    let trades: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![1]));
    let more: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    for (day, column, values) in [(0, "trades", trades), (1, "more", more)] {
        let rows = RecordBatch::try_from_iter([(column, values)]).unwrap();
        let file = folder(&bench, day).join("ohlc-0000000001-777.parquet");
        let file = File::create(file).unwrap();
        let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
    }
    assert_eq!(run(&bench, &topic, |_| {}).compacted_folders, 1);
    assert_eq!((files(&bench, 0).len(), files(&bench, 1).len()), (3, 3));
    assert_eq!(stage(&bench), [""; 0]);
}

/// Does something when a step comes.
struct When<F> {
    done: AtomicBool,
    step: fn(&Step<'_>) -> bool,
    what: Mutex<F>,
}

impl<F: FnMut(&Step<'_>) + Send> When<F> {
    fn new(step: fn(&Step<'_>) -> bool, what: F) -> Arc<When<F>> {
        Arc::new(When {
            done: AtomicBool::new(false),
            step,
            what: Mutex::new(what),
        })
    }
}

impl<F: FnMut(&Step<'_>) + Send> Watch for When<F> {
    fn before(&self, step: &Step<'_>) -> io::Result<Allowed> {
        if (self.step)(step) && !self.done.swap(true, Ordering::Relaxed) {
            (self.what.lock().unwrap())(step);
        }
        Ok(Allowed::Whole)
    }

    fn after(&self, _: &Step<'_>) {}
}

#[test]
fn a_file_that_somebody_adds_just_before_the_exchange_is_not_lost() {
    let (bench, topic) = written(&sql(), 2, 2);
    let first = folder(&bench, 0);
    let (from, to): (PathBuf, PathBuf) = (
        first.join(&files(&bench, 0)[0]),
        first.join("other-0000000001-000.parquet"),
    );
    let added = to.clone();
    let adds = When::new(
        |step| matches!(step, Step::Exchange { .. }),
        move |_| {
            fs::copy(&from, &added).unwrap();
        },
    );
    let summary = run(&bench, &topic, watched(&adds));
    assert_eq!(summary.compacted_folders, 1, "the other one");
    assert!(to.exists());
    assert_eq!((files(&bench, 0).len(), files(&bench, 1).len()), (3, 1));
    assert_eq!(stage(&bench), [""; 0]);
}

#[test]
fn a_stop_gives_up_what_is_being_prepared() {
    let (bench, topic) = written(&sql(), 2, 6);
    let names = everything(&bench);
    for in_turns in [false, true] {
        run(&bench, &topic, |spec| {
            let stop = Arc::clone(&spec.stop);
            let stops = When::new(
                |step| matches!(step, Step::CreateDir(path) if in_compaction(path)),
                move |_| stop.store(true, Ordering::Relaxed),
            );
            spec.in_turns = in_turns;
            watched(&stops)(spec);
        });
        assert_eq!(everything(&bench), names);
        assert!(
            !bench
                .dir
                .path()
                .join("data/_stage/ohlc/ohlc.compact")
                .exists()
        );
    }
}
