//! The power goes at any step of a compaction, or of the start after one that was stopped: of what no fsync has
//! made durable, any part may be undone, in any order. The day's rows are always all there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use stockpulse::disk::{Allowed, Disk, Step, Watch};

use super::crash::{Snapshot, empty, tree};
use super::{bits, everything, run, sql, try_run, written};

/// A file's or a folder's number.
type Node = usize;

/// A change of names that a power cut can undo as a whole: the file systems that have an exchange write it down in
/// one piece.
#[derive(Debug, Clone)]
struct Change {
    what: What,
    /// The folders that have to be fsynced for it to stay.
    awaits: BTreeSet<Node>,
}

#[derive(Debug, Clone)]
enum What {
    Appears(Node, String, Node),
    Goes(Node, String),
    Swaps((Node, String), (Node, String)),
}

/// Folders with their entries.
type Names = BTreeMap<Node, BTreeMap<String, Node>>;

/// What a disk holds, and what of it would outlast a power cut.
#[derive(Debug, Clone, Default)]
struct Model {
    root: PathBuf,
    /// As the process sees it.
    now: Names,
    /// As it would be found after a power cut that undoes all it can.
    durable: Names,
    /// What a power cut can undo, oldest first.
    pending: Vec<Change>,
    /// What files hold as the process sees them, and what of it is durable.
    bytes: BTreeMap<Node, (Vec<u8>, Vec<u8>)>,
    nodes: Node,
}

impl Model {
    /// A disk on which everything below `root` is durable.
    fn of(root: &Path) -> Model {
        let mut model = Model {
            root: root.to_path_buf(),
            nodes: 1,
            ..Model::default()
        };
        model.now.insert(0, BTreeMap::new());
        for path in tree(root) {
            let (parent, name) = model.place(&path);
            let node = model.node();
            match path.is_dir() {
                true => drop(model.now.insert(node, BTreeMap::new())),
                false => {
                    let bytes = fs::read(&path).unwrap();
                    model.bytes.insert(node, (bytes.clone(), bytes));
                }
            }
            model.now.get_mut(&parent).unwrap().insert(name, node);
        }
        model.durable = model.now.clone();
        model
    }

    fn node(&mut self) -> Node {
        self.nodes += 1;
        self.nodes
    }

    fn find(&self, path: &Path) -> Option<Node> {
        let inside = path.strip_prefix(&self.root).unwrap();
        inside.components().try_fold(0, |folder, name| {
            let entries = self.now.get(&folder)?;
            entries.get(name.as_os_str().to_str()?).copied()
        })
    }

    /// The folder of a path, and its name there.
    fn place(&self, path: &Path) -> (Node, String) {
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        (self.find(path.parent().unwrap()).unwrap(), name)
    }

    fn change(&mut self, what: What) {
        let awaits = match &what {
            What::Appears(folder, ..) | What::Goes(folder, _) => BTreeSet::from([*folder]),
            What::Swaps((one, _), (other, _)) => BTreeSet::from([*one, *other]),
        };
        apply(&mut self.now, &what);
        self.pending.push(Change { what, awaits });
    }

    fn appears(&mut self, path: &Path, is_dir: bool) {
        let (folder, name) = self.place(path);
        let node = self.node();
        match is_dir {
            true => {
                self.now.insert(node, BTreeMap::new());
                self.durable.insert(node, BTreeMap::new());
            }
            false => drop(self.bytes.insert(node, Default::default())),
        }
        self.change(What::Appears(folder, name, node));
    }

    fn step(&mut self, step: &Step<'_>) {
        match *step {
            Step::CreateDir(path) => self.appears(path, true),
            Step::Create(path) | Step::Lock(path) if self.find(path).is_none() => {
                self.appears(path, false);
            }
            Step::Lock(_) => {}
            Step::Create(path) => {
                let node = self.find(path).unwrap();
                self.bytes.get_mut(&node).unwrap().0.clear();
            }
            Step::Write { path, bytes } => {
                let node = self.find(path).unwrap();
                self.bytes.get_mut(&node).unwrap().0.extend(bytes);
            }
            Step::SyncFile(path) => {
                let node = self.find(path).unwrap();
                let (now, durable) = self.bytes.get_mut(&node).unwrap();
                durable.clone_from(now);
            }
            Step::RemoveFile(path) | Step::RemoveDir(path) => {
                let (folder, name) = self.place(path);
                self.change(What::Goes(folder, name));
            }
            Step::Exchange { one, other } => {
                self.change(What::Swaps(self.place(one), self.place(other)));
            }
            Step::SyncDir(path) => {
                let node = self.find(path).unwrap();
                for change in &mut self.pending {
                    change.awaits.remove(&node);
                }
                let (stays, pending) = std::mem::take(&mut self.pending)
                    .into_iter()
                    .partition::<Vec<_>, _>(|change| change.awaits.is_empty());
                self.pending = pending;
                stays
                    .iter()
                    .for_each(|change| apply(&mut self.durable, &change.what));
            }
            Step::Rename { .. } => panic!("a compaction renames nothing"),
        }
    }

    /// What can be found after a power cut: each with any part of what is not durable.
    fn cuts(&self) -> impl Iterator<Item = Names> {
        assert!(self.pending.len() < 12, "{:?}", self.pending);
        (0..1_usize << self.pending.len()).map(|kept| {
            let mut names = self.durable.clone();
            for (at, change) in self.pending.iter().enumerate() {
                if kept >> at & 1 == 1 {
                    apply(&mut names, &change.what);
                }
            }
            names
        })
    }

    /// The files of a folder: what is durable of them.
    fn files(&self, names: &Names, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let node = folder
            .split('/')
            .try_fold(0, |folder, name| names.get(&folder)?.get(name).copied());
        let entries = node.and_then(|node| names.get(&node));
        let entries = entries.into_iter().flatten();
        entries
            .map(|(name, node)| (name.clone(), self.bytes[node].1.clone()))
            .collect()
    }

    /// Makes the folders and files of `names` below `to`.
    fn make(&self, names: &Names, node: Node, to: &Path) {
        for (name, &node) in &names[&node] {
            let path = to.join(name);
            match self.bytes.get(&node) {
                Some((_, bytes)) => fs::write(path, bytes).unwrap(),
                None => {
                    fs::create_dir_all(&path).unwrap();
                    self.make(names, node, &path);
                }
            }
        }
    }
}

/// What is undone before it may make a later change meaningless: then nothing happens.
fn apply(names: &mut Names, what: &What) {
    match what {
        What::Appears(folder, name, node) => {
            names
                .entry(*folder)
                .or_default()
                .insert(name.clone(), *node);
        }
        What::Goes(folder, name) => {
            names.entry(*folder).or_default().remove(name);
        }
        What::Swaps((one, one_name), (other, other_name)) => {
            let found = |folder: &Node, name: &String| names.get(folder)?.get(name).copied();
            let pair = found(one, one_name).zip(found(other, other_name));
            if let Some((a, b)) = pair {
                names.entry(*one).or_default().insert(one_name.clone(), b);
                names
                    .entry(*other)
                    .or_default()
                    .insert(other_name.clone(), a);
            }
        }
    }
}

/// Plays the model along with the disk, looks at every power cut, and ends the process after so many steps.
struct Power {
    model: Mutex<Model>,
    /// The day's folder as it may be found.
    may_be: Vec<BTreeMap<String, Vec<u8>>>,
    left: Mutex<usize>,
    cuts: Mutex<usize>,
}

const DAY: &str = "data/ohlc/date=2026-07-01";

impl Power {
    fn new(model: Model, may_be: &[BTreeMap<String, Vec<u8>>], steps: usize) -> Arc<Power> {
        Arc::new(Power {
            model: Mutex::new(model),
            may_be: may_be.to_vec(),
            left: Mutex::new(steps),
            cuts: Mutex::new(0),
        })
    }

    fn look(&self, when: &str) {
        let model = self.model.lock().unwrap().clone();
        for names in model.cuts() {
            let found = model.files(&names, DAY);
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
        self.model.lock().unwrap().step(step);
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
    let day = || {
        let model = Model::of(bench.dir.path());
        model.files(&model.now, DAY)
    };
    let old = day();
    run(&bench, &topic, |_| {});
    let (states, compacted) = ([old, day()], everything(&bench));
    assert_ne!(states[0], states[1]);
    let (mut steps, mut cuts, mut restarts) = (0, 0, 0);
    loop {
        original.restore(&bench);
        let first = Power::new(Model::of(bench.dir.path()), &states, steps);
        let ended = try_run(&bench, &topic, |spec| spec.disk = watching(&first));
        cuts += *first.cuts.lock().unwrap();
        let stopped = Snapshot::of(&bench);
        let model = first.model.lock().unwrap().clone();
        // The power goes now: everything that can be undone is, or some of it, and the job starts again.
        for names in model.cuts().step_by(5) {
            empty(&bench);
            model.make(&names, 0, bench.dir.path());
            run(&bench, &topic, |_| {});
            assert_eq!(bits(&bench.table()), rows, "cut after {steps} steps");
            assert_eq!(everything(&bench), compacted, "cut after {steps} steps");
            restarts += 1;
        }
        // Or only the process has ended, and the power goes while the next start tidies up.
        stopped.restore(&bench);
        let second = Power::new(model, &states, usize::MAX);
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
