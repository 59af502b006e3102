//! What is told of an epoch.

use std::collections::BTreeMap;

use super::Coordinator;
use crate::job::ProgressReport;
use crate::job::lane::LaneStart;
use crate::job::progress::PartitionProgress;
use crate::model::{Partition, Watermark};

impl Coordinator<'_> {
    /// What an epoch came to, and how fast it was read since the last one.
    pub(super) fn report(
        &mut self,
        watermark: Watermark,
        open_windows: usize,
        starts: &BTreeMap<Partition, LaneStart>,
    ) -> ProgressReport {
        let now = (self.clock.steady(), self.counts.read);
        let (since, before) = std::mem::replace(&mut self.reported, now);
        let seconds = self.clock.since(since).as_secs_f64().max(1e-3);
        let done = self.partitions.iter().map(|(partition, state)| {
            let start = starts.get(partition).map_or(0, |start| start.offset);
            (state.next - start).max(0) as u64
        });
        let partitions = self
            .partitions
            .iter()
            .map(|(&partition, state)| PartitionProgress {
                partition,
                next: state.next,
                watermark: state.watermark,
            });
        ProgressReport {
            ticks_total: self.counts.read,
            ticks_per_second: (self.counts.read - before) as f64 / seconds,
            watermark,
            open_windows,
            rows_written_total: self.summary.rows + self.summary.rows_printed,
            offsets_done: done.sum(),
            offsets_total: None,
            epoch: self.summary.epoch,
            files: self.summary.files,
            rebuild: None,
            counts: self.counts.clone(),
            open_groups: self.open_groups,
            partitions: partitions.collect(),
            stages: std::mem::take(&mut self.stages),
        }
    }
}
