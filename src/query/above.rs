//! What stands above the windowed aggregate, run once a closed window: steps where that is enough, else a
//! DataFusion plan over a table that holds the window's rows.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Result;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, collect};

use super::steps::{Steps, Tally};

/// The plan above an aggregate.
#[derive(Debug)]
pub enum Above {
    /// Filters and projections.
    Steps(Steps),
    /// Anything else that can be computed a window at a time.
    Plan(Box<WindowPlan>),
}

/// A plan over one window's rows.
#[derive(Debug)]
pub struct WindowPlan {
    logical: LogicalPlan,
    rows: Arc<WindowRows>,
    /// How many of the rows' first columns are group keys: rows are handed over in their order.
    keys: Vec<usize>,
    /// Made when the static tables were read.
    physical: Option<Arc<dyn ExecutionPlan>>,
}

/// The rows of the window that is computed: a table's only partition.
#[derive(Debug)]
pub struct WindowRows {
    schema: SchemaRef,
    rows: Mutex<RecordBatch>,
}

impl WindowRows {
    /// A table of no rows yet.
    pub fn new(schema: &SchemaRef) -> Arc<WindowRows> {
        Arc::new(WindowRows {
            schema: Arc::clone(schema),
            rows: Mutex::new(RecordBatch::new_empty(Arc::clone(schema))),
        })
    }

    /// The table, for the planner.
    pub fn table(self: &Arc<WindowRows>) -> Result<StreamingTable> {
        let partition = Arc::clone(self) as Arc<dyn PartitionStream>;
        StreamingTable::try_new(Arc::clone(&self.schema), vec![partition])
    }

    fn set(&self, rows: RecordBatch) {
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }
}

impl PartitionStream for WindowRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = MemoryStream::try_new(vec![rows.clone()], Arc::clone(&self.schema), None)
            .expect("no projection that could be out of range");
        Box::pin(stream)
    }
}

impl Above {
    /// Takes an optimised plan over `rows`, whose columns `keys` are group keys.
    pub fn new(
        plan: LogicalPlan,
        state: &SessionState,
        rows: Arc<WindowRows>,
        keys: Vec<usize>,
    ) -> Result<Above> {
        match Steps::are(&plan) {
            true => Ok(Above::Steps(Steps::compile(&plan, state)?)),
            false => Ok(Above::Plan(Box::new(WindowPlan {
                logical: plan,
                rows,
                keys,
                physical: None,
            }))),
        }
    }

    /// Makes the physical plan, now that the static tables are read.
    pub fn load(&mut self, state: &SessionState) -> Result<()> {
        if let Above::Plan(plan) = self {
            let physical = state.create_physical_plan(&plan.logical);
            plan.physical = Some(futures::executor::block_on(physical)?);
        }
        Ok(())
    }

    /// The rows of one window, in `sink`'s schema. `rows` has the columns of `schema`.
    pub fn run(
        &self,
        schema: &SchemaRef,
        columns: Vec<ArrayRef>,
        rows: usize,
        tasks: &Tasks,
    ) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        match self {
            Above::Steps(steps) => {
                let wanted = steps.input().iter().map(|name| {
                    Arc::clone(&columns[schema.index_of(name).expect("a column of these rows")])
                });
                let input = steps.input_schema(schema);
                let batch = RecordBatch::try_new_with_options(input, wanted.collect(), &options)?;
                steps.run(batch, &mut Tally::default(), None)
            }
            Above::Plan(plan) => {
                let batch =
                    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
                plan.run(batch, tasks)
            }
        }
    }

    /// The plan, where it is one.
    pub fn plan(&self) -> Option<&LogicalPlan> {
        match self {
            Above::Steps(_) => None,
            Above::Plan(plan) => Some(&plan.logical),
        }
    }
}

/// What plans are run with, made once.
#[derive(Debug)]
pub struct Tasks {
    context: Arc<TaskContext>,
    /// What open windows take of the memory that there is; `None`: there is no limit.
    held: Option<MemoryReservation>,
    runtime: tokio::runtime::Runtime,
}

impl Tasks {
    /// Tasks of a session, which together with open windows take so many bytes at the most.
    pub fn new(state: &SessionState, memory_limit: Option<usize>) -> Result<Tasks> {
        let mut context = state.task_ctx();
        let mut held = None;
        if let Some(bytes) = memory_limit {
            let pool = Arc::new(GreedyMemoryPool::new(bytes));
            let runtime = RuntimeEnvBuilder::from_runtime_env(&context.runtime_env())
                .with_memory_pool(pool)
                .build_arc()?;
            held = Some(MemoryConsumer::new("open windows").register(&runtime.memory_pool));
            context = Arc::new(TaskContext::from(state).with_runtime(runtime));
        }
        Ok(Tasks {
            context,
            held,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        })
    }

    /// Sets aside what open windows take of the memory that there is. False: there is not so much.
    pub fn hold(&self, bytes: usize) -> bool {
        self.held
            .as_ref()
            .is_none_or(|held| held.try_resize(bytes).is_ok())
    }

    /// Waits for something of DataFusion's.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Runs a plan to its end.
    pub fn collect(&self, plan: Arc<dyn ExecutionPlan>) -> Result<RecordBatch> {
        let schema = plan.schema();
        let batches = self.wait(collect(plan, Arc::clone(&self.context)))?;
        Ok(concat_batches(&schema, &batches)?)
    }
}

impl WindowPlan {
    fn run(&self, rows: RecordBatch, tasks: &Tasks) -> Result<RecordBatch> {
        let physical = self
            .physical
            .as_ref()
            .expect("the plans are made before the first window closes");
        self.rows.set(self.in_key_order(rows)?);
        let result = tasks.collect(reset_plan_states(Arc::clone(physical))?);
        self.rows
            .set(RecordBatch::new_empty(Arc::clone(&self.rows.schema)));
        result
    }

    /// Rows by their keys, so that ties above do not depend on which partition a key came from.
    fn in_key_order(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let keys: Vec<ArrayRef> = self
            .keys
            .iter()
            .map(|&at| Arc::clone(rows.column(at)))
            .collect();
        let fields = keys
            .iter()
            .map(|key| SortField::new(key.data_type().clone()));
        let fields: Vec<SortField> = fields.collect();
        if fields.is_empty() || !RowConverter::supports_fields(&fields) {
            return Ok(rows);
        }
        let converter = RowConverter::new(fields)?;
        let sortable = converter.convert_columns(&keys)?;
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by_key(|&row| sortable.row(row as usize));
        let order = UInt32Array::from(order);
        let columns = rows.columns().iter();
        let columns = columns.map(|column| Ok(take(column, &order, None)?));
        Ok(RecordBatch::try_new(
            rows.schema(),
            columns.collect::<Result<_>>()?,
        )?)
    }
}
