//! Closed windows → rows, which wait for the next commit.

use std::collections::BTreeMap;

use super::commit::waiting_bytes;
use super::{Coordinator, Taken};
use crate::job::JobError;
use crate::model::{Partition, Watermark, Window};
use crate::query::Table;
use crate::sink::{RowTimes, SinkRows};

impl Coordinator<'_> {
    /// Computes the rows of the closed windows, which wait for the next commit.
    pub(super) fn close(&mut self, taken: Taken) -> Result<(Watermark, usize), JobError> {
        self.partitions = taken.closed.partitions;
        self.counts.add(&taken.closed.counts);
        self.metrics.ticks(&taken.closed.counts);
        let windows: usize = taken.open.iter().map(Vec::len).sum();
        self.open_groups = taken.closed.open_groups;
        self.metrics
            .open(windows, taken.closed.open_groups, taken.watermark);
        self.summary.open_windows = windows;
        self.check_memory(taken.closed.open_bytes, windows)?;
        let open = taken.open.iter().flatten();
        self.summary.open_since = open.map(|window| window.start).min();
        let rows = self.rows(taken.closed.tables)?;
        let copies = taken.is_copied.then_some(taken.closed.copies);
        self.show_open(copies, taken.watermark);
        if rows.iter().any(|rows| !rows.is_empty()) {
            self.pending_since = self.clock.steady();
        }
        for (pending, rows) in self.pending.iter_mut().zip(rows) {
            pending.extend(rows);
        }
        let mut passed = taken.closed.passed;
        // In partition order; a partition's own rows are in the order of the topic.
        passed.sort_by_key(|&(at, partition, _)| (at, partition));
        for (at, _, rows) in passed {
            self.pending_bytes += waiting_bytes(&rows);
            self.pending_since = self.clock.steady();
            self.pending[at].push(rows);
        }
        let mut letters = taken.closed.letters;
        letters.sort_by_key(|&(partition, _)| partition);
        for (_, rows) in letters {
            self.pending_bytes += waiting_bytes(&rows);
            if let Some(outlet) = &mut self.letters {
                outlet.push(rows);
            }
        }
        Ok((taken.watermark, windows))
    }

    /// The sinks' rows of the closed windows, per output in the order of the windows.
    pub(super) fn rows(
        &self,
        tables: Vec<(usize, Window, Partition, Table)>,
    ) -> Result<Vec<Vec<SinkRows>>, JobError> {
        let mut by_window: BTreeMap<(usize, Window), BTreeMap<Partition, Table>> = BTreeMap::new();
        for (at, window, partition, table) in tables {
            by_window
                .entry((at, window))
                .or_default()
                .insert(partition, table);
        }
        let mut rows: Vec<Vec<SinkRows>> = self.sinks.iter().map(|_| Vec::new()).collect();
        for ((at, window), tables) in by_window {
            // In partition order, so that a float sum is the same on every run.
            let tables = tables.into_values().collect();
            let batch =
                self.shared.plan.outputs[at]
                    .pipeline
                    .finish(window, tables, &self.tasks)?;
            rows[at].push(SinkRows {
                times: RowTimes::One(window.row_time()),
                rows: batch,
            });
        }
        Ok(rows)
    }
}
