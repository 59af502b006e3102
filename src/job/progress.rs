//! What a running job tells the person who watches it.

use crate::model::{Epoch, Watermark};

/// How far a job is.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgressReport {
    /// Ticks read since the job's first epoch.
    pub ticks_total: u64,
    /// Ticks read a second, since the last report.
    pub ticks_per_second: f64,
    /// Windows that end at or before this are closed.
    pub watermark: Watermark,
    /// Windows that are open.
    pub open_windows: usize,
    /// Rows that this run published.
    pub rows_written_total: u64,
    /// Offsets read, over all partitions, since this run began.
    pub offsets_done: u64,
    /// Offsets to read in a bounded run.
    pub offsets_total: Option<u64>,
    /// The commit that this report is of; `None`: nothing was committed.
    pub epoch: Option<Epoch>,
    /// Files that the commit published.
    pub files: usize,
}
