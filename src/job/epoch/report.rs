//! What is told of an epoch.

use std::collections::BTreeMap;

use super::Coordinator;
use crate::job::lane::LaneStart;
use crate::job::progress::{PartitionProgress, SinkStanding, Waiting};
use crate::job::{JobError, ProgressReport};
use crate::model::{Partition, Watermark};

const MEGABYTE: f64 = (1 << 20) as f64;

impl Coordinator<'_> {
    /// Ends the job where open windows take more memory than they may.
    pub(super) fn check_memory(&self, bytes: usize, windows: usize) -> Result<(), JobError> {
        let limit = self.shared.plan.memory_limit().unwrap_or_default();
        match self.tasks.hold(bytes) {
            true => Ok(()),
            false => Err(JobError::Failed(format!(
                "{windows} open windows with {} keys take {:.1} MB, and the job may take {:.1} MB: allow more (--driver-memory), or let windows be shorter or close earlier (WATERMARK FOR); --explain says what each holds",
                self.open_groups,
                bytes as f64 / MEGABYTE,
                limit as f64 / MEGABYTE
            ))),
        }
    }

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
            sinks: (self.standings.iter())
                .filter(|standing| standing.connector != "stdout")
                .map(|standing| SinkStanding {
                    waits: standing.waits.clone().map(|waits| Waiting {
                        now: self.clock.steady(),
                        ..waits
                    }),
                    ..standing.clone()
                })
                .collect(),
        }
    }
}
