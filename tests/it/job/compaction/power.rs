//! The power goes at any step of a compaction, or of the start after one that was stopped: of what no fsync has
//! made durable, any part may be undone, in any order. The day's rows are always all there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use stockpulse::disk::{Allowed, Disk, Step, Watch};

use super::crash::{Snapshot, empty};
use super::{bits, everything, run, sql, try_run, written};
use crate::crash::{Done, ModelDisk, files_of, write};

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Plays the model along with the disk, looks at every power cut, and ends the process after so many steps.
struct Power {
    root: PathBuf,
    model: Mutex<ModelDisk>,
    /// The day's folder as it may be found.
    may_be: Vec<Files>,
    left: Mutex<usize>,
    cuts: Mutex<usize>,
}

const DAY: &str = "data/ohlc/date=2026-07-01";

impl Power {
    fn new(root: &Path, model: ModelDisk, may_be: &[Files], steps: usize) -> Arc<Power> {
        Arc::new(Power {
            root: root.to_path_buf(),
            model: Mutex::new(model),
            may_be: may_be.to_vec(),
            left: Mutex::new(steps),
            cuts: Mutex::new(0),
        })
    }

    fn look(&self, when: &str) {
        let model = self.model.lock().unwrap().clone();
        for image in model.images() {
            let found = files_of(&image, Path::new(DAY));
            assert!(
                self.may_be.contains(&found),
                "{when}: {:?}",
                found
                    .iter()
                    .map(|(name, bytes)| (name, bytes.len()))
                    .collect::<Vec<_>>()
            );
            *self.cuts.lock().unwrap() += 1;
        }
    }
}

impl Watch for Power {
    fn before(&self, _: &Step<'_>) -> io::Result<Allowed> {
        let mut left = self.left.lock().unwrap();
        *left = left
            .checked_sub(1)
            .ok_or_else(|| io::Error::other("the process has ended"))?;
        Ok(Allowed::Whole)
    }

    fn after(&self, step: &Step<'_>) {
        if let Some(done) = Done::of(step, &self.root) {
            self.model.lock().unwrap().step(&done);
        }
        self.look(&step.to_string());
    }
}

fn watching(power: &Arc<Power>) -> Disk {
    Disk::watched(Arc::clone(power) as Arc<dyn Watch>)
}

#[test]
fn a_power_cut_at_any_step_leaves_every_row_of_the_day() {
    let (bench, topic) = written(&sql(), 1, 3);
    let rows = bits(&bench.table());
    let original = Snapshot::of(&bench);
    let root = bench.dir.path();
    let day = || files_of(&ModelDisk::of(root).images()[0], Path::new(DAY));
    let old = day();
    run(&bench, &topic, |_| {});
    let (states, compacted) = ([old, day()], everything(&bench));
    assert_ne!(states[0], states[1]);
    let (mut steps, mut cuts, mut restarts) = (0, 0, 0);
    loop {
        original.restore(&bench);
        let first = Power::new(root, ModelDisk::of(root), &states, steps);
        let ended = try_run(&bench, &topic, |spec| spec.disk = watching(&first));
        cuts += *first.cuts.lock().unwrap();
        let stopped = Snapshot::of(&bench);
        let model = first.model.lock().unwrap().clone();
        // The power goes now: everything that can be undone is, or some of it, and the job starts again.
        for image in model.images().iter().step_by(15) {
            empty(&bench);
            write(image, root);
            run(&bench, &topic, |_| {});
            assert_eq!(bits(&bench.table()), rows, "cut after {steps} steps");
            assert_eq!(everything(&bench), compacted, "cut after {steps} steps");
            restarts += 1;
        }
        // Or only the process has ended, and the power goes while the next start tidies up.
        stopped.restore(&bench);
        let second = Power::new(root, model, &states, usize::MAX);
        run(&bench, &topic, |spec| spec.disk = watching(&second));
        cuts += *second.cuts.lock().unwrap();
        assert_eq!(bits(&bench.table()), rows);
        if ended.is_ok() && *first.left.lock().unwrap() > 0 {
            break;
        }
        steps += 1;
    }
    assert!(
        steps > 15 && cuts > 1_000 && restarts > 30,
        "{steps} {cuts} {restarts}"
    );
}
