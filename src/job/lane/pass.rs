//! Rows of queries without windows: they leave as they come, with the epoch of their frame.

use arrow::array::{Array, AsArray};
use arrow::compute::{filter, filter_record_batch};

use super::Lane;
use super::frames::Frame;
use super::letters::Why;
use super::shares::KeptOut;
use crate::job::JobError;
use crate::model::RejectReason;
use crate::query::{Output, Ticks};
use crate::sink::{RowTimes, SinkRows};

impl Lane {
    /// Keeps the rows of a query without windows until the next epoch. Those of frames that an earlier
    /// run committed are in its files.
    pub(super) fn pass(
        &mut self,
        at: usize,
        output: &Output,
        ticks: &Ticks,
        frames: &[Frame],
        counting: bool,
    ) -> Result<(), JobError> {
        if !self.counting(frames[0].offset) {
            return Ok(());
        }
        let failed = |error: arrow::error::ArrowError| JobError::Failed(error.to_string());
        let mut rows = ticks.rows(&output.schema)?;
        let mut times = ticks.event_time.clone();
        if output.needs_event_time() && times.null_count() > 0 {
            if let (Some(trail), Some(letters)) = (&ticks.trail, &mut self.letters) {
                for row in (0..times.len()).filter(|&row| times.is_null(row)) {
                    let frame = frames[ticks.frame.value(row) as usize].offset;
                    let untimed = Why::KeptOut(KeptOut::Untimed);
                    letters.tick(frame, trail.element(row), at, untimed);
                }
            }
            let timed = arrow::compute::is_not_null(&times).map_err(failed)?;
            rows = filter_record_batch(&rows, &timed).map_err(failed)?;
            times = filter(&times, &timed)
                .map_err(failed)?
                .as_primitive()
                .clone();
        }
        if counting {
            let untimed = (ticks.event_time.len() - rows.num_rows()) as u64;
            self.counts.in_windows += rows.num_rows() as u64;
            self.counts.reject(RejectReason::Null, untimed);
        }
        if rows.num_rows() > 0 {
            self.passed_bytes += rows.get_array_memory_size();
            let times = RowTimes::Each(times);
            self.passed.push((at, SinkRows { times, rows }));
        }
        Ok(())
    }
}
