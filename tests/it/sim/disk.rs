//! The simulated disk's moods: full, broken, slow, or the machine ends in the middle of a step.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rand::RngExt;
use stockpulse::disk::{Allowed, Step, Watch};

use super::world::World;

/// What goes wrong at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process ends: nothing more is done.
    Crash,
    /// As [`Fault::Crash`], in the middle of a write.
    Torn,
    /// Half a write, then no room, once.
    Full,
    /// The step fails, once.
    Broken,
    /// An fsync takes seconds.
    Slow,
}

/// Does one fault at one step of a process' life.
pub struct Moods {
    world: World,
    root: PathBuf,
    fault: Option<(usize, Fault)>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    steps: usize,
    ended: bool,
    /// What was done to the process.
    done: Option<Fault>,
    /// The checksum of the steps: two runs of a seed do the same.
    trace: u32,
}

impl Moods {
    pub fn new(world: &World, root: &Path, fault: Option<(usize, Fault)>) -> Moods {
        Moods {
            world: world.clone(),
            root: root.to_path_buf(),
            fault,
            state: Mutex::default(),
        }
    }

    /// What was done to the process.
    pub fn done(&self) -> Option<Fault> {
        self.state.lock().unwrap().done
    }

    /// What it did, as a number.
    pub fn trace(&self) -> u32 {
        self.state.lock().unwrap().trace
    }
}

impl Watch for Moods {
    fn before(&self, step: &Step<'_>) -> io::Result<Allowed> {
        let mut state = self.state.lock().unwrap();
        if state.ended {
            return Err(io::Error::other("the process has ended"));
        }
        let name = step
            .path()
            .strip_prefix(&self.root)
            .unwrap_or(Path::new(""));
        let text = format!("{} {} {}", state.trace, step.name(), name.display());
        state.trace = crc32fast::hash(text.as_bytes());
        let number = state.steps;
        state.steps += 1;
        let half = match step {
            Step::Write { bytes, .. } => Some(bytes.len() / 2),
            _ => None,
        };
        let Some((at, fault)) = self.fault.filter(|(at, _)| *at <= number) else {
            return Ok(Allowed::Whole);
        };
        match fault {
            Fault::Crash => {
                (state.ended, state.done) = (true, Some(fault));
                Err(io::Error::other("the process ends"))
            }
            Fault::Torn => match half {
                Some(half) => {
                    (state.ended, state.done) = (true, Some(fault));
                    Ok(Allowed::Part(half.max(1)))
                }
                None => Ok(Allowed::Whole),
            },
            _ if state.done.is_some() => Ok(Allowed::Whole),
            Fault::Full => match half {
                Some(_) => {
                    state.done = Some(fault);
                    Err(io::ErrorKind::StorageFull.into())
                }
                None => Ok(Allowed::Whole),
            },
            Fault::Broken if at <= number => {
                state.done = Some(fault);
                // EIO
                Err(io::Error::from_raw_os_error(5))
            }
            Fault::Broken => Ok(Allowed::Whole),
            Fault::Slow => {
                if matches!(step, Step::SyncFile(_) | Step::SyncDir(_)) {
                    state.done = Some(fault);
                    let mut world = self.world.state();
                    let time = Duration::from_millis(world.random.random_range(100..60_000));
                    world.pass(time);
                }
                Ok(Allowed::Whole)
            }
        }
    }

    fn after(&self, _: &Step<'_>) {}
}
