//! One INSERT, taken apart at its aggregate: stateless steps below it, held accumulators per window
//! in its place, stateless steps above it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, Result, plan_err};
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, Projection, col};
use datafusion::optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext};

use super::aggregates::{Aggregates, Table};
use super::forgiving::forgive_casts;
use super::session::analyze;
use super::sql::sql_name;
use super::steps::{Steps, Tally};
use super::stream::{FRAME, ORDER, TIMESTAMP, carry_hidden};
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
            keys: keys
                .iter()
                .map(|key| key.clone().unalias().to_string())
                .collect(),
        })
    }

    /// The windows that rows fall into.
    pub fn windows(&self) -> TumbleWindows {
        self.windows
    }

    /// The group keys besides the window, as text.
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

/// The aggregate's input and functions, written over named columns.
struct Lowered {
    below: LogicalPlan,
    input: SchemaRef,
    functions: Vec<Expr>,
}

impl Lowered {
    /// Every key, argument, ORDER BY and FILTER becomes a column below, once; constants stay where
    /// they are, since functions such as `approx_percentile_cont(0.5)` want them as constants.
    fn new(state: &SessionState, aggregate: &Aggregate, keys: &[Expr]) -> Result<Lowered> {
        let source = &aggregate.input;
        let hidden = |name: &str| match source.schema().iter().find(|(_, f)| f.name() == name) {
            Some((qualifier, field)) => Ok(Expr::Column(Column::from((qualifier, field)))),
            None => plan_err!("the windowed rows do not come from a stream"),
        };
        let mut columns = Columns { exprs: Vec::new() };
        for key in keys {
            columns.exprs.push(key.clone().unalias());
        }
        let context = SimplifyContext::builder()
            .with_schema(Arc::clone(source.schema()))
            .with_config_options(Arc::clone(state.config_options()))
            .build();
        let simplifier = ExprSimplifier::new(context);
        let functions = aggregate
            .aggr_expr
            .iter()
            .map(|expr| lower_function(expr.clone(), &mut columns, &simplifier))
            .collect::<Result<Vec<_>>>()?;
        let mut exprs: Vec<Expr> = columns
            .exprs
            .into_iter()
            .enumerate()
            .map(|(at, expr)| expr.alias(column_name(at)))
            .collect();
        exprs.push(hidden(TIMESTAMP)?.alias(TIMESTAMP));
        exprs.push(hidden(FRAME)?.alias(FRAME));
        let below = LogicalPlan::Projection(Projection::try_new(exprs, Arc::clone(source))?);
        let mut fields: Vec<_> = below.schema().fields().to_vec();
        let last = fields.len() - 1;
        fields[last - 1] = Arc::new(Field::new(TIMESTAMP, super::stream::timestamp_type(), true));
        fields[last] = Arc::new(Field::new(ORDER, DataType::Int64, false));
        Ok(Lowered {
            below,
            input: Arc::new(Schema::new(fields)),
            functions,
        })
    }
}

/// Expressions that become columns below the aggregate; equal ones become one.
struct Columns {
    exprs: Vec<Expr>,
}

impl Columns {
    fn column(&mut self, expr: Expr) -> Expr {
        let at = self
            .exprs
            .iter()
            .position(|known| *known == expr)
            .unwrap_or_else(|| {
                self.exprs.push(expr);
                self.exprs.len() - 1
            });
        col(column_name(at))
    }
}

fn column_name(at: usize) -> String {
    format!("__c{at}")
}

fn lower_function(expr: Expr, columns: &mut Columns, simplifier: &ExprSimplifier) -> Result<Expr> {
    let mut lower = |expr: Expr| {
        let expr = simplifier.simplify(expr)?;
        Ok::<_, DataFusionError>(match expr.column_refs().is_empty() {
            true => expr,
            false => columns.column(expr),
        })
    };
    Ok(expr
        .transform_down(|expr| {
            let Expr::AggregateFunction(AggregateFunction { func, mut params }) = expr else {
                return Ok(Transformed::no(expr));
            };
            params.args = params
                .args
                .into_iter()
                .map(&mut lower)
                .collect::<Result<_>>()?;
            if let Some(filter) = params.filter.take() {
                params.filter = Some(Box::new(lower(*filter)?));
            }
            for by in &mut params.order_by {
                by.expr = lower(std::mem::take(&mut by.expr))?;
            }
            if !func.supports_within_group_clause() {
                let by_order = func == first_value_udaf() || func == last_value_udaf();
                if by_order && params.order_by.is_empty() {
                    params.order_by.push(col(TIMESTAMP).sort(true, false));
                }
                if !params.order_by.is_empty() {
                    params.order_by.push(col(ORDER).sort(true, false));
                }
            }
            let lowered = Expr::AggregateFunction(AggregateFunction { func, params });
            Ok(Transformed::new(
                lowered,
                true,
                datafusion::common::tree_node::TreeNodeRecursion::Jump,
            ))
        })?
        .data)
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

/// The query's columns, by position, as the sink's; hidden columns stay behind.
fn into_sink(plan: LogicalPlan, sink: &SchemaRef) -> Result<LogicalPlan> {
    let visible: Vec<Expr> = plan
        .schema()
        .iter()
        .filter(|(_, field)| field.name() != TIMESTAMP && field.name() != FRAME)
        .map(|(qualifier, field)| Expr::Column(Column::from((qualifier, field))))
        .collect();
    if visible.len() != sink.fields().len() {
        return plan_err!(
            "the query has {} columns, the table it goes into has {} ({})",
            visible.len(),
            sink.fields().len(),
            sink.fields()
                .iter()
                .map(|f| f.name().as_str())
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    let exprs = visible
        .into_iter()
        .zip(sink.fields())
        .map(|(expr, field)| into_column(expr, &plan, field))
        .collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Projection(Projection::try_new(
        exprs,
        Arc::new(plan),
    )?))
}

fn into_column(expr: Expr, plan: &LogicalPlan, field: &Field) -> Result<Expr> {
    use datafusion::logical_expr::ExprSchemable;
    let found = expr.get_type(plan.schema())?;
    let wanted = field.data_type();
    let expr = match () {
        () if found == *wanted => expr,
        () if fits(&found, wanted) => expr.cast_to(wanted, plan.schema())?,
        () => {
            return plan_err!(
                "column \"{}\" of the table is {}, the query gives {}; CAST it",
                field.name(),
                sql_name(wanted),
                sql_name(&found)
            );
        }
    };
    Ok(expr.alias(field.name()))
}

/// Whether every value of `found` has its like in `wanted`.
fn fits(found: &DataType, wanted: &DataType) -> bool {
    use DataType::*;
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    let whole = |t: &DataType| t.is_integer();
    match (found, wanted) {
        (Null, _) => true,
        (found, wanted) if text(found) && text(wanted) => true,
        (found, wanted) if whole(found) && whole(wanted) => {
            let width = |t: &DataType| t.primitive_width().unwrap_or(0);
            width(found) <= width(wanted) || *found == UInt64 && *wanted == Int64
        }
        (found, Float64) => whole(found) || found.is_floating() || found.is_decimal(),
        (found, Float32) => matches!(found, Float16 | Int8 | Int16 | UInt8 | UInt16),
        (Timestamp(_, None), Timestamp(_, None)) => true,
        (Date32, Timestamp(_, None)) => true,
        (found, Decimal128(..)) => found.is_decimal() || whole(found),
        (Binary | LargeBinary | BinaryView, Binary | LargeBinary | BinaryView) => true,
        _ => false,
    }
}

fn strip_context(error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::Context(_, inner) => strip_context(*inner),
        other => other,
    }
}
