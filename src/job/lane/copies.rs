//! Copies of the tables of open windows.

use super::Lane;
use crate::job::JobError;
use crate::model::Window;
use crate::query::Table;

impl Lane {
    /// Copies of those of `windows` that hold anything, per output; they go on as if nothing had happened.
    pub fn copies(
        &mut self,
        windows: &[Vec<Window>],
    ) -> Result<Vec<(usize, Window, Table)>, JobError> {
        let mut copies = Vec::new();
        for (at, windows) in windows.iter().enumerate() {
            for window in windows {
                if let Some(table) = self.tables[at].get_mut(window) {
                    let pipeline = &self.shared.plan.outputs[at].pipeline;
                    copies.push((at, *window, pipeline.copy(table)?));
                }
            }
        }
        Ok(copies)
    }
}
