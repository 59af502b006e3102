//! The loop over the rooms: the one page that shows an epoch in order.
//!
//! [`run`] opens the checkpoint, the sinks and the topic; `worker` threads read and aggregate; `epoch`
//! closes windows, stages, commits and publishes. [`rebuild`] does it all anew, beside what is there.

mod clock;
mod compaction;
mod crew;
mod dead_letters;
mod epoch;
mod error;
mod lane;
pub mod open;
pub mod progress;
mod rebuild;
mod start;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use clock::{Clock, wall_clock};
pub use dead_letters::{DEAD_LETTERS, DeadLetters};
pub use error::JobError;
pub use lane::MICRO_BATCH_FRAMES;
pub use progress::ProgressReport;
pub use rebuild::{Rebuild, check_rebuild, rebuild};

pub use crate::sink::Console;

use crate::checkpoint::{CheckpointStore, Checkpoints, Location};
use crate::disk::Disk;
use crate::metrics::ingest::IngestMetrics;
use crate::model::{Counts, Epoch, Partition};
use crate::objects::Stores;
use crate::query::JobPlan;
use crate::source::Topic;

/// Where a job without a checkpoint begins to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartAt {
    /// With what the topic retains.
    Earliest,
    /// With what comes next.
    Latest,
    /// Where the consumer group stands; with what is retained of a partition that it does not know.
    Group,
    /// With the first message of each partition that Kafka stamped at a time or later.
    Since {
        /// Which time.
        times: Times,
        /// Where no message is that young: whether to begin with what comes next, else the job does not start.
        or_latest: bool,
    },
    /// Per partition an offset, or -2 (earliest), or -1 (latest); every partition must be named.
    Offsets(BTreeMap<Partition, i64>),
}

/// From when on a topic is read, milliseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Times {
    /// The same for all partitions.
    All(i64),
    /// Per partition; every partition must be named.
    Each(BTreeMap<Partition, i64>),
}

/// The newest commit of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCommit {
    /// Its number.
    pub epoch: Epoch,
    /// When it was written, where the file system says so.
    pub at: Option<std::time::SystemTime>,
    /// Ticks that were read up to it, since the job began.
    pub read: u64,
}

/// The newest commit in a checkpoint directory, whoever may be writing there; `None`: there is none yet.
///
/// # Errors
/// It cannot be read.
pub fn last_commit(dir: &std::path::Path) -> Result<Option<LastCommit>, JobError> {
    let newest = CheckpointStore::peek(dir)?;
    Ok(newest.map(|(checkpoint, at)| LastCommit {
        epoch: checkpoint.epoch,
        at,
        read: checkpoint.counts.read,
    }))
}

/// A job to run.
pub struct JobSpec {
    /// Its name: the beginning of file names, and of the consumer group.
    pub name: String,
    /// What it does.
    pub plan: JobPlan,
    /// Threads that read and aggregate, 1 and up; more than the topic has partitions stay unused.
    pub threads: usize,
    /// Frames of one partition that are worked through together at the most, 1 and up; see
    /// [`MICRO_BATCH_FRAMES`].
    pub micro_batch_frames: usize,
    /// Where its checkpoints are kept; `None` for a job that only shows rows
    /// ([`JobPlan::is_preview`]), which begins anew each time and commits nothing.
    pub checkpoint_dir: Option<Location>,
    /// Where printed rows go.
    pub console: Console,
    /// Read what the topic holds at the start, then end.
    pub bounded: bool,
    /// Least time between two epochs of an unbounded run.
    pub trigger: Duration,
    /// Whether an unbounded run that has caught up commits windows as soon as they can be closed, without
    /// waiting for `trigger`. Not where `max_offsets_per_trigger` counts by it.
    pub closes_at_once: bool,
    /// Where to begin without a checkpoint.
    pub start: StartAt,
    /// Frames to read in an epoch, over all partitions; `None`: no limit.
    pub max_offsets_per_trigger: Option<u64>,
    /// Refuse to start when needed offsets are gone.
    pub fail_on_data_loss: bool,
    /// Event times further in the future of Kafka's timestamp are rejected.
    pub max_future_skew: Duration,
    /// Where rejects and late ticks are kept; `None`: they are counted only.
    pub dead_letters: Option<DeadLetters>,
    /// For how long sinks that are away are waited for; `None`: until they are back, by a run without an end,
    /// and for five minutes by one with an end.
    pub sink_patience: Option<Duration>,
    /// Whether the files of days that are over become one, and how long after the youngest of them was published.
    pub compaction: Option<Duration>,
    /// Set it to end the job after a last commit.
    pub stop: Arc<AtomicBool>,
    /// Its times.
    pub clock: Clock,
    /// Its disk.
    pub disk: Disk,
    /// Its object stores.
    pub stores: Stores,
    /// Whether its workers take turns in the caller's thread instead of having one each: a run over the same
    /// topic, clock and disk can then be repeated exactly.
    pub in_turns: bool,
    /// What it counts.
    pub metrics: IngestMetrics,
    /// Where it shows the rows of open windows to who asks; `None`: nowhere.
    pub open: Option<open::OpenRows>,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The last commit of this run; `None`: nothing was new.
    pub epoch: Option<Epoch>,
    /// Rows that this run published.
    pub rows: u64,
    /// Files that this run published.
    pub files: usize,
    /// Dead letters that this run published; they are neither in `rows` nor in `files`.
    pub dead_letters: u64,
    /// What became of the ticks since the job's first epoch.
    pub counts: Counts,
    /// Windows that stay open, and the start of the earliest, nanoseconds since 1970 UTC.
    pub open_windows: usize,
    /// See `open_windows`.
    pub open_since: Option<i64>,
    /// How a rebuild ended, if it was one.
    pub rebuild: Option<Rebuild>,
    /// Rows that this run printed.
    pub rows_printed: u64,
    /// Partition directories that this run has compacted.
    pub compacted_folders: usize,
    /// Files that were in them before.
    pub compacted_files: usize,
    /// Whether it only showed rows: the next run begins anew.
    pub is_preview: bool,
}

/// Runs a job until it is done, told to stop, or cannot go on.
///
/// # Errors
/// See [`JobError`]; whatever it is, a restart goes on from the last commit.
pub fn run(
    spec: JobSpec,
    topic: &dyn Topic,
    on_progress: &mut dyn FnMut(&ProgressReport),
) -> Result<Summary, JobError> {
    let Some(opened) = start::open_checkpoints(&spec)? else {
        return Ok(Summary::default());
    };
    let (mut store, _presence) = match opened {
        Some(opened) => (Some(opened.checkpoints), opened.presence),
        None => (None, None),
    };
    let checkpoint = match &mut store {
        Some(store) => {
            if let Checkpoints::Folder(store) = store {
                rebuild::finish(store, on_progress)?;
            }
            store.load()?
        }
        None => None,
    };
    if let Some(checkpoint) = &checkpoint {
        start::check_meaning(&spec, checkpoint)?;
    }
    if let Some(Checkpoints::Folder(store)) = &store {
        rebuild::give_up(store)?;
    }
    let owner = store.as_ref().and_then(Checkpoints::owner);
    let mut spec = spec;
    let tasks = spec.plan.load().map_err(JobError::Failed)?;
    let Some(sinks) = start::open_sinks(&spec, checkpoint.as_ref(), owner)? else {
        return Ok(Summary::default());
    };
    if let Some(Checkpoints::Chain(chain)) = &store
        && let Err(error) = chain.forget_earlier()
    {
        tracing::warn!("what earlier starts have left of themselves stays: {error}");
    }
    let mut letters = || dead_letters::Outlet::open(&spec, checkpoint.as_ref());
    let Some(letters) = start::patiently(&spec, &mut letters)? else {
        return Ok(Summary::default());
    };
    let bounds = topic.bounds()?;
    if checkpoint.is_none() && spec.start == StartAt::Group {
        spec.start = start::of_group(topic, &bounds)?;
    }
    if let (None, StartAt::Since { times, or_latest }) = (&checkpoint, &spec.start) {
        spec.start = start::of_times(topic, &bounds, times, *or_latest)?;
    }
    epoch::Coordinator::new(spec, store.as_mut(), sinks, letters, checkpoint, tasks).run(
        topic,
        bounds,
        on_progress,
    )
}
