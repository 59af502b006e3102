//! Who watches the steps of a job on its disk: to stop it at one of them, or to write them all down.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use stockpulse::disk::{Allowed, Step, Watch};

/// What a refused step fails with.
pub const STOPPED: &str = "stopped here";

/// Where a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Before the step of this number, from 0.
    Before(usize),
    /// In the middle of it: half of the bytes of a write are written.
    Amid(usize),
    /// Nowhere.
    Never,
}

/// Lets a process do its steps up to one of them, and nothing after it.
pub struct Stop {
    at: At,
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that were begun, the one that it was stopped at included.
    steps: Vec<String>,
    stopped: bool,
}

impl Stop {
    /// Stops a job whose files are below `root`.
    pub fn new(at: At, root: &Path) -> Stop {
        Stop {
            at,
            root: root.to_path_buf(),
            state: Mutex::default(),
        }
    }

    /// The steps that were begun, the one that it was stopped at included.
    pub fn steps(&self) -> Vec<String> {
        self.state.lock().unwrap().steps.clone()
    }

    /// Whether the process was stopped.
    pub fn stopped(&self) -> bool {
        self.state.lock().unwrap().stopped
    }

    /// One more effect; of a write `bytes` are written.
    pub fn effect(&self, name: String, bytes: usize) -> io::Result<Allowed> {
        let mut state = self.state.lock().unwrap();
        if state.stopped {
            return Err(io::Error::other(STOPPED));
        }
        let number = state.steps.len();
        state.steps.push(name);
        match self.at {
            At::Before(at) if at == number => {
                state.stopped = true;
                Err(io::Error::other(STOPPED))
            }
            At::Amid(at) if at == number => {
                state.stopped = true;
                Ok(Allowed::Part((bytes / 2).max(1)))
            }
            _ => Ok(Allowed::Whole),
        }
    }
}

impl Watch for Stop {
    fn before(&self, step: &Step<'_>) -> io::Result<Allowed> {
        let bytes = match step {
            Step::Write { bytes, .. } => bytes.len(),
            _ => 0,
        };
        self.effect(named(step, &self.root), bytes)
    }

    fn after(&self, _: &Step<'_>) {}
}

/// A step in words, its path below `root`.
pub fn named(step: &Step<'_>, root: &Path) -> String {
    let path = step.path();
    let path = path.strip_prefix(root).unwrap_or(path);
    format!("{} {}", step.name(), path.display())
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    CreateDir(PathBuf),
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    SyncFile(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Exchange(PathBuf, PathBuf),
    RemoveFile(PathBuf),
    RemoveDir(PathBuf),
    SyncDir(PathBuf),
}

/// Writes down every step that was done, with what was written.
pub struct Record {
    root: PathBuf,
    pub done: Mutex<Vec<Done>>,
}

impl Record {
    pub fn new(root: &Path) -> Record {
        Record {
            root: root.to_path_buf(),
            done: Mutex::default(),
        }
    }
}

impl Watch for Record {
    fn before(&self, _: &Step<'_>) -> io::Result<Allowed> {
        Ok(Allowed::Whole)
    }

    fn after(&self, step: &Step<'_>) {
        let done = Done::of(step, &self.root);
        self.done.lock().unwrap().extend(done);
    }
}

impl Done {
    /// The step, below `root`; `None`: a lock, which nothing depends on.
    pub fn of(step: &Step<'_>, root: &Path) -> Option<Done> {
        // What stands above the root was there before.
        let below = |path: &Path| {
            path.strip_prefix(root)
                .unwrap_or(Path::new(""))
                .to_path_buf()
        };
        Some(match *step {
            Step::CreateDir(path) => Done::CreateDir(below(path)),
            Step::Create(path) => Done::Create(below(path)),
            Step::Write { path, bytes } => Done::Write(below(path), bytes.to_vec()),
            Step::SyncFile(path) => Done::SyncFile(below(path)),
            Step::Rename { from, to } => Done::Rename(below(from), below(to)),
            Step::Link { from, to } => Done::Link(below(from), below(to)),
            Step::Exchange { one, other } => Done::Exchange(below(one), below(other)),
            Step::RemoveFile(path) => Done::RemoveFile(below(path)),
            Step::RemoveDir(path) => Done::RemoveDir(below(path)),
            Step::SyncDir(path) => Done::SyncDir(below(path)),
            Step::Lock(_) => return None,
        })
    }
}
