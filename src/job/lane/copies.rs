//! The tables of open windows, looked at while they stay open: copies, and what they take.

use std::collections::BTreeMap;

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

    /// Bytes of open windows, about; 0 where nobody limits them.
    pub fn open_bytes(&self) -> usize {
        let tables = self.tables.iter().flat_map(BTreeMap::values);
        match self.shared.plan.memory_limit() {
            None => 0,
            Some(_) => tables.map(Table::bytes).sum(),
        }
    }
}
