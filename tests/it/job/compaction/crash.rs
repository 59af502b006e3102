//! Stopped before each step of a compaction, and in the middle of each write; then the start after that stopped
//! before each of its steps too: a reader always finds every row once, and in the end nothing is left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stockpulse::source::replay::ReplayTopic;

use super::{bits, everything, run, sql, stage, try_run, watched, written};
use crate::crash::{At, Stop};
use crate::job::harness::Bench;

/// What stands in a job's folder.
pub struct Snapshot(Vec<(PathBuf, Vec<u8>)>);

impl Snapshot {
    pub fn of(bench: &Bench) -> Snapshot {
        let files = tree(bench.dir.path()).into_iter();
        let files = files.filter(|path| !path.is_dir());
        Snapshot(
            files
                .map(|path| (path.clone(), fs::read(&path).unwrap()))
                .collect(),
        )
    }

    /// Puts it back, and nothing else.
    pub fn restore(&self, bench: &Bench) {
        empty(bench);
        for (path, bytes) in &self.0 {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

pub fn empty(bench: &Bench) {
    for entry in fs::read_dir(bench.dir.path()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
}

/// Every folder and file below `root`.
pub fn tree(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut unread = vec![root.to_path_buf()];
    while let Some(folder) = unread.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                unread.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The steps of a run, and what it leaves.
fn rehearsed(bench: &Bench, topic: &ReplayTopic) -> (Vec<String>, Vec<String>) {
    let steps = stop(bench, At::Never);
    run(bench, topic, watched(&steps));
    (steps.steps(), everything(bench))
}

/// Ends a job in the bench's folder.
pub fn stop(bench: &Bench, at: At) -> Arc<Stop> {
    Arc::new(Stop::new(at, bench.dir.path()))
}

#[test]
fn a_compaction_that_ends_at_any_step_loses_and_doubles_nothing() {
    let (bench, topic) = written(&sql(), 1, 3);
    let rows = bits(&bench.table());
    let original = Snapshot::of(&bench);
    let (steps, compacted) = rehearsed(&bench, &topic);
    assert!(steps.len() > 15, "{steps:?}");
    let is_whole = |what: &str| {
        run(&bench, &topic, |_| {});
        assert_eq!(bits(&bench.table()), rows, "{what}, and started again");
        assert_eq!(everything(&bench), compacted, "{what}, and started again");
        let left = tree(bench.dir.path());
        assert!(!left.iter().any(|path| path.ends_with("ohlc.compact")));
    };
    let (mut before, mut after, mut second_stops) = (0, 0, 0);
    for end in 0..=steps.len() {
        for at in [At::Before(end), At::Amid(end)] {
            let what = format!("ended {at:?}");
            original.restore(&bench);
            // It may be that the job does not even start; where it does, nothing of this stops it.
            let _ = try_run(&bench, &topic, watched(&stop(&bench, at)));
            assert_eq!(bits(&bench.table()), rows, "{what}");
            match super::files(&bench, 0).len() {
                1 => after += 1,
                _ => before += 1,
            }
            let stopped = Snapshot::of(&bench);
            is_whole(&what);
            if at == At::Amid(end) {
                continue;
            }
            // The start after that, stopped at each of its steps.
            stopped.restore(&bench);
            let (again, _) = rehearsed(&bench, &topic);
            for second in 0..again.len() {
                let what = format!("{what}, then before step {second}");
                stopped.restore(&bench);
                let _ = try_run(&bench, &topic, watched(&stop(&bench, At::Before(second))));
                assert_eq!(bits(&bench.table()), rows, "{what}");
                is_whole(&what);
                second_stops += 1;
            }
        }
    }
    assert!(before > 5 && after > 5 && second_stops > 100);
}

#[test]
fn what_a_crash_left_is_removed_also_by_a_job_that_does_not_compact() {
    let (bench, topic) = written(&sql(), 1, 3);
    let rows = bits(&bench.table());
    let original = Snapshot::of(&bench);
    let (steps, _) = rehearsed(&bench, &topic);
    let exchange = steps.iter().position(|step| step.starts_with("exchange"));
    let exchange = exchange.unwrap();
    for end in [exchange, exchange + 1] {
        original.restore(&bench);
        run(&bench, &topic, watched(&stop(&bench, At::Before(end))));
        assert!(!stage(&bench).is_empty());
        run(&bench, &topic, |spec| spec.compaction = None);
        assert_eq!(stage(&bench), [""; 0]);
        assert_eq!(bits(&bench.table()), rows);
    }
}
