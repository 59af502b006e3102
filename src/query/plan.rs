//! A SQL file's statements → one job: the source with its watermark, and a pipeline an INSERT.

mod planner;
mod preview;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionState;

use self::planner::Planner;
pub use self::tables::same_column;
use super::above::Tasks;
use super::pipeline::Pipeline;
use super::session::without_kind;
use super::sinks::SinkOptions;
use super::sql::{Diagnostics, KafkaSourceOptions, SqlFile};
use super::static_table::StaticTable;
use super::stream::{FrameColumn, frame_field};
use super::watermark::WatermarkPlan;

/// A SQL file, ready to run.
#[derive(Debug)]
pub struct JobPlan {
    /// What is read.
    pub source: SourcePlan,
    /// What is computed and where it goes, in the order of the file, SELECTs last; at least one.
    pub outputs: Vec<Output>,
    /// What the file means, for the checkpoint: see [`compare`](super::compare).
    pub meaning: BTreeMap<String, String>,
    tables: StaticTables,
    memory_limit: Option<usize>,
}

/// The static tables, and the session that plans over them.
#[derive(Debug)]
struct StaticTables {
    state: SessionState,
    tables: Vec<Arc<StaticTable>>,
}

/// The stream that a job reads.
#[derive(Debug)]
pub struct SourcePlan {
    /// The table's name in the SQL.
    pub table: String,
    /// Its connector's options.
    pub options: KafkaSourceOptions,
    /// The columns that frames are decoded into: those that the job uses.
    pub decoded: SchemaRef,
    /// What else of a frame the job uses.
    pub frame_columns: Vec<FrameColumn>,
    /// The frames' watermark.
    pub watermark: WatermarkPlan,
}

/// One INSERT, or one bare SELECT.
#[derive(Debug)]
pub struct Output {
    /// The sink's name in the SQL; of a SELECT a name by its place among them: `select_1`.
    pub table: String,
    /// Where its rows go.
    pub sink: SinkOptions,
    /// Its columns.
    pub schema: SchemaRef,
    /// Columns of its PRIMARY KEY, in the key's order; empty: it has none.
    pub primary_key: Vec<usize>,
    /// Columns that files are sorted by.
    pub sort_columns: Vec<usize>,
    /// The query.
    pub pipeline: Pipeline,
    /// Which columns of a batch of frames the query wants.
    columns: Vec<usize>,
}

impl JobPlan {
    /// Plans a file.
    ///
    /// # Errors
    /// Every fault that could be found, with its place.
    pub fn new(file: &SqlFile) -> Result<JobPlan, Diagnostics> {
        Planner::new(file).plan()
    }

    /// Reads the static tables and makes what needs their rows. Call it once, before anything runs.
    ///
    /// # Errors
    /// Which table cannot be read, and why.
    pub fn load(&mut self) -> Result<Tasks, String> {
        let told = |error: DataFusionError| without_kind(&error.strip_backtrace()).to_owned();
        let StaticTables { state, tables } = &self.tables;
        let tasks = Tasks::new(state, self.memory_limit).map_err(told)?;
        for table in tables {
            tasks.wait(table.load())?;
        }
        for output in &mut self.outputs {
            for lookup in output.pipeline.lookups() {
                let plan = state.create_physical_plan(lookup.static_plan());
                let rows = tasks.wait(plan).and_then(|plan| tasks.collect(plan));
                rows.and_then(|rows| lookup.load(rows)).map_err(told)?;
            }
            output.pipeline.load(state).map_err(told)?;
        }
        Ok(tasks)
    }

    /// Open windows, and what is computed when they close, take so many bytes at the most.
    pub fn limit_memory(&mut self, bytes: u64) {
        self.memory_limit = Some(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// See [`JobPlan::limit_memory`]; `None`: there is no limit.
    pub fn memory_limit(&self) -> Option<usize> {
        self.memory_limit
    }

    /// The session that it was planned in.
    pub(super) fn session(&self) -> &SessionState {
        &self.tables.state
    }

    /// Whether it only shows rows: it writes nothing, and nothing is remembered of it.
    pub fn is_preview(&self) -> bool {
        self.outputs.iter().all(|output| output.sink.is_preview())
    }
}

impl SourcePlan {
    /// Schema of a batch of frames: the decoded columns, what else is used, the frame's number.
    pub fn frames(&self) -> SchemaRef {
        frames_schema(&self.decoded, &self.frame_columns)
    }
}

fn frames_schema(decoded: &SchemaRef, frame_columns: &[FrameColumn]) -> SchemaRef {
    let mut fields = decoded.fields().to_vec();
    fields.extend(frame_columns.iter().map(|column| column.field()));
    fields.push(frame_field());
    Arc::new(Schema::new(fields))
}

impl Output {
    /// The query's columns of a batch of frames.
    pub fn project(&self, frames: &RecordBatch) -> Result<RecordBatch> {
        Ok(frames.project(&self.columns)?)
    }

    /// Whether every row needs an event time to know its folder.
    pub fn needs_event_time(&self) -> bool {
        self.sink
            .files()
            .is_some_and(|files| files.time_pattern.is_some())
    }
}
