//! The ways to cut one run that must not change its rows.

use std::collections::BTreeSet;
use std::fmt;

use super::case::Case;
use crate::job::MICRO_BATCH_FRAMES;
use crate::model::Partition;

/// A case is stopped, or commits an epoch, about so many times at the most.
const CUTS_MAX: usize = 64;
/// Partitions that frames are dealt to.
const DEALT: [Partition; 2] = [2, 4];

/// How one run is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regime {
    /// Threads that read.
    pub threads: usize,
    /// Frames that are worked through together.
    pub micro_batch_frames: usize,
    /// Frames of an epoch at the most; `None`: no limit.
    pub frames_per_epoch: Option<usize>,
    /// After how many frames the job is stopped and started again.
    pub stops: Vec<usize>,
    /// It first runs without an end, and is stopped when it has read everything.
    pub continuous: bool,
    /// The frames are dealt to so many partitions, those of a symbol to one.
    pub dealt: Option<Partition>,
}

/// Which regimes a case is run under besides the plain one.
pub struct Regimes {
    /// Those that read the same topic.
    pub cut: Vec<Regime>,
    /// Those that deal the frames anew: the rows are the same but for the last bits of sums over symbols.
    pub dealt: Vec<Regime>,
}

impl Regime {
    /// Everything at once.
    pub fn plain(case: &Case) -> Regime {
        Regime {
            threads: threads(case.partitions).last().copied().unwrap_or(1),
            micro_batch_frames: case.frames.len().max(MICRO_BATCH_FRAMES),
            frames_per_epoch: None,
            stops: Vec::new(),
            continuous: false,
            dealt: None,
        }
    }
}

impl Regimes {
    /// All for `case`.
    pub fn of(case: &Case) -> Regimes {
        let plain = Regime::plain(case);
        let sizes = [1, 3, plain.micro_batch_frames];
        let threads = threads(case.partitions);
        let mut cut = Vec::new();
        for frames_per_epoch in [None, Some(case.frames.len().div_ceil(CUTS_MAX).max(1))] {
            for &threads in &threads {
                for micro_batch_frames in sizes {
                    cut.push(Regime {
                        threads,
                        micro_batch_frames,
                        frames_per_epoch,
                        ..plain.clone()
                    });
                }
            }
        }
        cut.retain(|regime| *regime != plain);
        for (at, stops) in stops(case).into_iter().enumerate() {
            cut.push(Regime {
                threads: threads[at % threads.len()],
                micro_batch_frames: sizes[(at + 2) % 3],
                stops,
                ..plain.clone()
            });
        }
        cut.push(Regime {
            continuous: true,
            ..plain.clone()
        });
        let dealt = DEALT.map(|partitions| Regime {
            threads: 2,
            micro_batch_frames: 3,
            dealt: Some(partitions),
            ..plain.clone()
        });
        Regimes {
            cut,
            dealt: dealt.into(),
        }
    }
}

/// 1, 2 and 4 threads; more than there are partitions stay unused.
fn threads(partitions: Partition) -> Vec<usize> {
    let most = usize::try_from(partitions).unwrap_or(1);
    let mut threads = [1, 2, 4].map(|threads| most.min(threads)).to_vec();
    threads.dedup();
    threads
}

/// Where runs are stopped: early, in the middle, late, and all the time. Not before every partition has
/// spoken: one that has not is not waited for, so what it says later may be late.
fn stops(case: &Case) -> Vec<Vec<usize>> {
    let mut spoken = BTreeSet::new();
    let firsts = case.frames.iter().enumerate();
    let firsts = firsts.filter(|(_, frame)| spoken.insert(frame.partition));
    let first = firsts.last().map_or(1, |(at, _)| at + 1);
    let all: Vec<usize> = (first..case.frames.len()).collect();
    let (Some(&middle), Some(&last)) = (all.get(all.len() / 2), all.last()) else {
        return Vec::new();
    };
    let all = all.iter().copied();
    let all = all.step_by(case.frames.len().div_ceil(CUTS_MAX)).collect();
    let mut stops = vec![vec![first], vec![middle], vec![last], all];
    stops.dedup();
    stops
}

impl fmt::Display for Regime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(partitions) = self.dealt {
            write!(f, "dealt to {partitions} partitions by symbol, ")?;
        }
        if self.continuous {
            write!(f, "run without an end and stopped, then run to the end, ")?;
        }
        match self.stops[..] {
            [] => {}
            [after] => write!(f, "stopped after {} and started again, ", frames(after))?,
            [..] => write!(f, "stopped {} times and started again, ", self.stops.len())?,
        }
        let threads = match self.threads {
            1 => "1 thread".to_string(),
            threads => format!("{threads} threads"),
        };
        let size = frames(self.micro_batch_frames);
        write!(f, "{threads}, micro-batches of up to {size}")?;
        match self.frames_per_epoch {
            None => Ok(()),
            Some(count) => write!(f, ", {} an epoch", frames(count)),
        }
    }
}

fn frames(count: usize) -> String {
    match count {
        1 => "1 frame".to_string(),
        count => format!("{count} frames"),
    }
}
