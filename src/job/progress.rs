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
    /// What a rebuild is at; `None`: it is none.
    pub rebuild: Option<RebuildPhase>,
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
        }
    }

    /// Messages that are still to be read; `None`: not known.
    pub fn lag(&self) -> Option<u64> {
        Some(self.offsets_total?.saturating_sub(self.offsets_done))
    }
}
