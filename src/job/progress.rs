//! What a running job says of itself, for a person to see.

use crate::model::{Epoch, Watermark};

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
}

impl ProgressReport {
    /// Messages that are still to be read; `None`: not known.
    pub fn lag(&self) -> Option<u64> {
        Some(self.offsets_total?.saturating_sub(self.offsets_done))
    }
}
