//! Open windows, for who looks at them.

use std::time::{Duration, Instant};

use super::Coordinator;
use crate::job::open::{OpenOutput, Shown};
use crate::model::{Partition, Watermark, Window};
use crate::query::Table;

/// How often their rows are computed while somebody looks.
const COPY_EVERY: Duration = Duration::from_millis(250);
/// Of the open windows of an output, so many of the youngest are shown.
const YOUNGEST: usize = 2;

impl Coordinator<'_> {
    /// Whether somebody looks, and has waited for long enough.
    pub(super) fn is_looked_at(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.are_wanted() && self.clock.since(self.copied_at) >= COPY_EVERY)
    }

    /// Per output the windows that are to be copied; none where nobody looks.
    pub(super) fn copies_wanted(&mut self, open: &[Vec<Window>]) -> Vec<Vec<Window>> {
        if !self.is_looked_at() {
            return Vec::new();
        }
        self.copied_at = self.clock.steady();
        let youngest =
            |windows: &Vec<Window>| windows[windows.len().saturating_sub(YOUNGEST)..].to_vec();
        open.iter().map(youngest).collect()
    }

    /// Shows what the copies come to.
    pub(super) fn show_open(
        &self,
        copies: Option<Vec<(usize, Window, Partition, Table)>>,
        watermark: Watermark,
    ) {
        let Some(open) = &self.open else {
            return;
        };
        let Some(copies) = copies else {
            if !open.are_wanted() {
                open.clear();
            }
            return;
        };
        let rows = match self.rows(copies) {
            Ok(rows) => rows,
            // Nulls where a column takes none, for one: it is not for a look to end the job.
            Err(error) => {
                tracing::debug!(%error, "the rows of open windows cannot be shown");
                open.clear();
                return;
            }
        };
        let outputs = self.shared.plan.outputs.iter().zip(rows);
        let windowed = outputs.filter(|(output, _)| output.pipeline.windows().is_some());
        let outputs = windowed.map(|(output, rows)| OpenOutput {
            table: output.table.clone(),
            rows: rows.into_iter().map(|rows| rows.rows).collect(),
        });
        open.show(Shown {
            at: Instant::now(),
            watermark,
            outputs: outputs.collect(),
        });
    }
}
