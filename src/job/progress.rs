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
    /// Every table's sink, in the order of the SQL; the place of dead letters, if they are kept, comes last.
    pub sinks: Vec<SinkStanding>,
}

/// How what the rows of a table go to gets on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkStanding {
    /// The table, or the property of dead letters.
    pub table: String,
    /// Its connector.
    pub connector: &'static str,
    /// Where its rows go, without any secret.
    pub place: String,
    /// The last epoch that it has published rows of since the start; `None`: none yet.
    pub epoch: Option<Epoch>,
    /// Rows that it has published since the start.
    pub rows: u64,
    /// How long it took the last time.
    pub took: Duration,
    /// `None`: it is not waited for.
    pub waits: Option<Waiting>,
}

impl SinkStanding {
    /// `postgres 127.0.0.1:5432/market public.ohlc (table ohlc)`
    pub fn name(&self) -> String {
        format!("{} (table {})", self.place, self.table)
    }
}

/// A sink that is away. Times are the job's steady clock's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Since when.
    pub since: Duration,
    /// When this was known last.
    pub now: Duration,
    /// How often it was tried.
    pub attempts: u64,
    /// What it said last.
    pub why: String,
    /// When this was logged last.
    pub(super) logged: Option<Duration>,
}

impl Waiting {
    /// For how long.
    pub fn for_so_long(&self) -> Duration {
        self.now.saturating_sub(self.since)
    }
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
            sinks: Vec::new(),
        }
    }

    /// The sinks that are waited for.
    pub fn waits_for(&self) -> impl Iterator<Item = (&SinkStanding, &Waiting)> {
        let sinks = self.sinks.iter();
        sinks.filter_map(|sink| Some((sink, sink.waits.as_ref()?)))
    }

    /// Messages that are still to be read; `None`: not known.
    pub fn lag(&self) -> Option<u64> {
        Some(self.offsets_total?.saturating_sub(self.offsets_done))
    }
}
