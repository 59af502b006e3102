//! What a running job says of itself, for a person to see.

use std::time::Duration;

use crate::model::{Counts, Epoch, Partition, Watermark};

/// Where a job stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgressReport {
    /// Ticks read since the start.
    pub ticks_total: u64,
    /// Ticks read per second, lately.
    pub ticks_per_second: f64,
    /// The global watermark.
    pub watermark: Watermark,
    /// Windows that are open.
    pub open_windows: usize,
    /// Rows published since the start.
    pub rows_written_total: u64,
    /// Messages read since the start.
    pub offsets_done: u64,
    /// Messages to read since the start, those read included; `None`: not known.
    pub offsets_total: Option<u64>,
    /// The last commit; `None`: none yet.
    pub epoch: Option<Epoch>,
    /// Files published since the start.
    pub files: usize,
    /// What a rebuild is at; `None`: it is none.
    pub rebuild: Option<RebuildPhase>,
    /// What became of the ticks since the job's first epoch.
    pub counts: Counts,
    /// Distinct keys in open windows.
    pub open_groups: usize,
    /// Every partition, in order.
    pub partitions: Vec<PartitionProgress>,
    /// Where the time since the last report went.
    pub stages: Stages,
}

/// Where a partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionProgress {
    /// Which.
    pub partition: Partition,
    /// The offset after the last that was read.
    pub next: i64,
    /// Its own watermark.
    pub watermark: Watermark,
}

/// Where the coordinator's time went; the workers read and aggregate meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// Asking the workers, and taking the closed windows out of them.
    pub take: Duration,
    /// Computing the rows of closed windows.
    pub compute: Duration,
    /// Writing files, the checkpoint, and making them visible.
    pub commit: Duration,
}

impl Stages {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.take + self.compute + self.commit
    }
}

/// What a rebuild is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildPhase {
    /// It computes the new generation.
    Reading,
    /// It swaps it in.
    Swapping,
}

impl ProgressReport {
    /// A rebuild is being swapped in; `epoch` is the checkpoint's then.
    pub(super) fn swapping(epoch: Epoch) -> ProgressReport {
        ProgressReport {
            ticks_total: 0,
            ticks_per_second: 0.0,
            watermark: Watermark::NONE,
            open_windows: 0,
            rows_written_total: 0,
            offsets_done: 0,
            offsets_total: None,
            epoch: Some(epoch),
            files: 0,
            rebuild: Some(RebuildPhase::Swapping),
            counts: Counts::default(),
            open_groups: 0,
            partitions: Vec::new(),
            stages: Stages::default(),
        }
    }

    /// Messages that are still to be read; `None`: not known.
    pub fn lag(&self) -> Option<u64> {
        Some(self.offsets_total?.saturating_sub(self.offsets_done))
    }
}
