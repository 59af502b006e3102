//! One INSERT, taken apart at its aggregate: stateless steps below it, held accumulators per window
//! in its place, stateless steps above it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, Result, plan_err};
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder};

use super::aggregates::{Aggregates, Table};
use super::forgiving::forgive_casts;
use super::lowering::{Lowered, column_name};
use super::origin;
use super::session::analyze;
use super::sinks::into_sink;
use super::steps::{Steps, Tally};
use super::stream::carry_hidden;
use super::tumble::{tumble_width, window_column};
use crate::model::Window;
use crate::window::TumbleWindows;

/// Name of the table that stands for the aggregate's rows in the plan above it.
const WINDOW_ROWS: &str = "__window_rows";

/// A windowed aggregate query.
#[derive(Debug)]
pub struct Pipeline {
    windows: TumbleWindows,
    below: Steps,
    aggregates: Aggregates,
    /// Where among the group keys the window stands.
    window_at: usize,
    above: Steps,
    /// Schema of the aggregate's rows, the window among the keys.
    rows: SchemaRef,
    keys: Vec<String>,
}

/// Rows of one micro-batch, after the stateless part.
pub struct Ticks {
    /// Group keys and arguments, then event time; `__order` comes last.
    columns: Vec<ArrayRef>,
    /// Event time of every row, nanoseconds; null where there is none.
    pub event_time: arrow::array::TimestampNanosecondArray,
    /// Which frame of the micro-batch every row is from.
    pub frame: Int64Array,
}

impl Pipeline {
    /// Takes a planned query apart. What this engine does not run is an error that says so.
    pub fn new(state: &SessionState, plan: LogicalPlan, sink: &SchemaRef) -> Result<Pipeline> {
        let plan = into_sink(carry_hidden(plan)?, sink)?;
        let plan = analyze(state, plan)?;
        let aggregate = find_aggregate(&plan)?.clone();
        let (window_at, windows) = window_key(&aggregate)?;
        let keys: Vec<Expr> = without(&aggregate.group_expr, window_at);
        let lowered = Lowered::new(state, &aggregate, &keys)?;
        let below = forgive_casts(lowered.below)?;
        let below = state.optimize(&below).map_err(strip_context)?;
        let above = state
            .optimize(&above(plan, &aggregate)?)
            .map_err(strip_context)?;
        let below = Steps::compile(&below, state)?;
        let above = Steps::compile(&above, state)?;
        let aggregates = Aggregates::new(lowered.input, keys.len(), &lowered.functions)?;
        Ok(Pipeline {
            windows,
            below,
            aggregates,
            window_at,
            above,
            rows: window_rows_schema(&aggregate),
            keys: (keys.iter())
                .map(|key| origin::text(key, &aggregate.input))
                .collect(),
        })
    }

    /// The windows that rows fall into.
    pub fn windows(&self) -> TumbleWindows {
        self.windows
    }

    /// The group keys besides the window, as text over the stream's own columns: whatever views and aliases
    /// they go through.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Whether rows are kept until their window closes, which costs memory by the tick.
    pub fn keeps_rows(&self) -> bool {
        self.aggregates.keeps_rows()
    }

    /// Names of the stream's columns that [`Pipeline::ticks`] wants, in order.
    pub fn input(&self) -> &[String] {
        self.below.input()
    }

    /// Runs the stateless part over the frames of one micro-batch.
    pub fn ticks(&self, frames: RecordBatch, tally: &mut Tally) -> Result<Ticks> {
        let rows = self.below.run(frames, tally)?;
        let width = rows.num_columns();
        let mut columns = rows.columns().to_vec();
        let frame = columns
            .pop()
            .expect("the plan below ends in the hidden columns");
        let downcast = |column: &ArrayRef| {
            let cast = arrow::compute::cast(column, &super::stream::timestamp_type())?;
            Ok::<_, DataFusionError>(arrow::array::AsArray::as_primitive(&cast).clone())
        };
        Ok(Ticks {
            event_time: downcast(&columns[width - 2])?,
            frame: arrow::array::AsArray::as_primitive(&frame).clone(),
            columns,
        })
    }

    /// The accumulators' input: the rows, and the order in which equal event times stand.
    pub fn accumulator_input(&self, ticks: &Ticks, order: Int64Array) -> Result<RecordBatch> {
        let mut columns = ticks.columns.clone();
        *columns.last_mut().expect("event time is the last column") =
            Arc::new(ticks.event_time.clone());
        columns.push(Arc::new(order));
        Ok(RecordBatch::try_new(
            Arc::clone(self.aggregates.input()),
            columns,
        )?)
    }

    /// An empty table for one window and topic partition.
    pub fn table(&self) -> Result<Table> {
        self.aggregates.table()
    }

    /// Adds rows of `input` to a table. `scratch` is a buffer to reuse.
    pub fn update(
        &self,
        table: &mut Table,
        input: &RecordBatch,
        scratch: &mut Vec<usize>,
    ) -> Result<()> {
        table.update(&self.aggregates, input, scratch)
    }

    /// The sink's rows of one closed window, from the tables of its partitions in partition order.
    pub fn finish(&self, window: Window, tables: Vec<Table>) -> Result<RecordBatch> {
        let merged = self.aggregates.finish(tables)?;
        let rows = merged.num_rows();
        let mut columns = merged.columns().to_vec();
        columns.insert(self.window_at, window_column(window, rows));
        let columns = self
            .above
            .input()
            .iter()
            .map(|name| {
                Arc::clone(&columns[self.rows.index_of(name).expect("a column of these rows")])
            })
            .collect();
        let schema = self.above.input_schema(&self.rows);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        self.above.run(batch, &mut Tally::default())
    }
}

/// The aggregate, under nothing but projections, filters and aliases.
fn find_aggregate(plan: &LogicalPlan) -> Result<&Aggregate> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => Ok(aggregate),
        LogicalPlan::Projection(projection) => find_aggregate(&projection.input),
        LogicalPlan::Filter(filter) => find_aggregate(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => find_aggregate(&alias.input),
        LogicalPlan::TableScan(_) | LogicalPlan::Unnest(_) => plan_err!(
            "the query has no windowed aggregate; the local engine runs GROUP BY … tumble(interval '…')"
        ),
        other => plan_err!(
            "the local engine does not run {} above a windowed aggregate",
            node_name(other)
        ),
    }
}

/// What a plan's node is in SQL.
pub fn node_name(plan: &LogicalPlan) -> &'static str {
    match plan {
        LogicalPlan::Sort(_) => "ORDER BY",
        LogicalPlan::Limit(_) => "LIMIT",
        LogicalPlan::Join(_) => "a join",
        LogicalPlan::Union(_) => "UNION",
        LogicalPlan::Window(_) => "window functions (OVER)",
        LogicalPlan::Distinct(_) => "SELECT DISTINCT",
        LogicalPlan::Aggregate(_) => "a second aggregation",
        LogicalPlan::Subquery(_) => "a subquery in an expression",
        LogicalPlan::EmptyRelation(_) => "a query without rows",
        LogicalPlan::Values(_) => "VALUES",
        LogicalPlan::RecursiveQuery(_) => "WITH RECURSIVE",
        _ => "this kind of query",
    }
}

fn window_key(aggregate: &Aggregate) -> Result<(usize, TumbleWindows)> {
    let mut found = None;
    for (at, key) in aggregate.group_expr.iter().enumerate() {
        if matches!(key, Expr::GroupingSet(_)) {
            return plan_err!("the local engine does not run GROUPING SETS, CUBE or ROLLUP");
        }
        match tumble_width(key) {
            None => {}
            Some(_) if found.is_some() => return plan_err!("a query has one window"),
            Some(Err(message)) => return plan_err!("{message}"),
            Some(Ok(width)) => found = TumbleWindows::new(width).map(|windows| (at, windows)),
        }
    }
    match found {
        Some(found) => Ok(found),
        None if holds_aggregate(&aggregate.input) => {
            plan_err!("the local engine does not run a second aggregation above a windowed one")
        }
        None => plan_err!(
            "the aggregate has no window, so its rows would never be final; add tumble(interval '1 minute') to its GROUP BY"
        ),
    }
}

fn holds_aggregate(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Aggregate(_)) || plan.inputs().into_iter().any(holds_aggregate)
}

fn without(exprs: &[Expr], at: usize) -> Vec<Expr> {
    let mut exprs = exprs.to_vec();
    exprs.remove(at);
    exprs
}

/// The aggregate's output columns under names of our own; the plan above finds them by position.
fn window_rows_schema(aggregate: &Aggregate) -> SchemaRef {
    let fields = aggregate.schema.fields().iter().enumerate();
    let fields = fields.map(|(at, f)| Field::new(column_name(at), f.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The plan with the aggregate replaced by a table of its rows.
fn above(plan: LogicalPlan, aggregate: &Aggregate) -> Result<LogicalPlan> {
    let table = Arc::new(EmptyTable::new(window_rows_schema(aggregate)));
    let names = aggregate
        .schema
        .iter()
        .enumerate()
        .map(|(at, (qualifier, field))| {
            let column = Expr::Column(Column::new(Some(WINDOW_ROWS), column_name(at)));
            column.alias_qualified(qualifier.cloned(), field.name())
        });
    let rows = LogicalPlanBuilder::scan(WINDOW_ROWS, provider_as_source(table), None)?
        .project(names)?
        .build()?;
    let replaced = plan.transform_down(|node| match node {
        LogicalPlan::Aggregate(_) => Ok(Transformed::new(
            rows.clone(),
            true,
            datafusion::common::tree_node::TreeNodeRecursion::Stop,
        )),
        other => Ok(Transformed::no(other)),
    })?;
    replaced.data.recompute_schema()
}

fn strip_context(error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::Context(_, inner) => strip_context(*inner),
        other => other,
    }
}
