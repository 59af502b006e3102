//! One query, ready to run. One with a windowed aggregate is taken apart there: stateless steps below it,
//! held accumulators per window in its place, what stands above it once a closed window. One without an
//! aggregate is steps only, whose rows leave as they come.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use super::above::{Above, Tasks, WindowRows};
use super::aggregates::{Aggregates, Table};
use super::explain::{AbovePlan, Held, Plans, element_name};
use super::forgiving::forgive_casts;
use super::locality;
use super::lookup::Lookup;
use super::lowering::Lowered;
use super::origin;
use super::refusal::{Place, Refusal};
use super::session::analyze;
use super::sinks::into_sink;
use super::split::{above, find_aggregate, node_name, window_key, window_rows_schema};
use super::steps::{Steps, Tally};
use super::stream::{carry_hidden, is_stream, timestamp_type};
use super::trail::Trail;
use super::unnested;
use super::windowing::window_column;
use crate::model::Window;
use crate::window::Windows;

/// A query over the stream.
#[derive(Debug)]
pub struct Pipeline {
    below: Steps,
    /// `None`: rows leave as they come.
    windowed: Option<Windowed>,
    /// To be shown.
    plans: Plans,
}

/// A windowed aggregate and what is above it.
#[derive(Debug)]
struct Windowed {
    windows: Windows,
    aggregates: Aggregates,
    /// Where among the group keys the window stands.
    window_at: usize,
    above: Above,
    /// Schema of the aggregate's rows, the window among the keys.
    rows: SchemaRef,
    keys: Vec<String>,
}

/// Rows of one micro-batch, after the stateless part.
pub struct Ticks {
    /// Group keys and arguments, or the sink's columns; then event time.
    columns: Vec<ArrayRef>,
    /// Event time of every row, nanoseconds; null where there is none.
    pub event_time: TimestampNanosecondArray,
    /// Which frame of the micro-batch every row is from.
    pub frame: Int64Array,
    /// Where every row stands in its frame, and what was left out, if that was asked for.
    pub trail: Option<Trail>,
}

impl Ticks {
    /// The sink's rows of a query whose rows leave as they come.
    pub fn rows(&self, sink: &SchemaRef) -> Result<RecordBatch> {
        let columns = self.columns[..self.columns.len() - 1].to_vec();
        Ok(RecordBatch::try_new(Arc::clone(sink), columns)?)
    }
}

impl Pipeline {
    /// Takes a planned query apart. What this engine does not run is an error that says so.
    pub fn new(state: &SessionState, plan: LogicalPlan, sink: &SchemaRef) -> Result<Pipeline> {
        unnested::check(&plan)?;
        let selected = plan.schema().fields().len();
        let plan = carry_hidden(plan)?;
        let Some(aggregate) = find_aggregate(&plan).cloned() else {
            check_rows(&plan)?;
            let plan = forgive_casts(analyze(state, into_sink(plan, sink, selected, true)?)?)?;
            let element = element_name(&plan);
            let plan = optimize(state, &plan)?;
            return Ok(Pipeline {
                below: Steps::compile(&plan, state)?,
                windowed: None,
                plans: Plans {
                    below: plan,
                    element,
                    above: None,
                },
            });
        };
        window_key(&aggregate)?;
        let plan = analyze(state, into_sink(plan, sink, selected, false)?)?;
        let aggregate = find_aggregate(&plan).cloned().unwrap_or(aggregate);
        let (below, windowed, plans) = Windowed::new(state, plan, &aggregate)?;
        Ok(Pipeline {
            below,
            windowed: Some(windowed),
            plans,
        })
    }

    /// The windows that rows fall into; `None`: rows leave as they come.
    pub fn windows(&self) -> Option<Windows> {
        self.windowed.as_ref().map(|windowed| windowed.windows)
    }

    /// The group keys besides the window, as text over the stream's own columns: whatever views and aliases
    /// they go through.
    pub fn keys(&self) -> &[String] {
        self.windowed
            .as_ref()
            .map_or(&[], |windowed| &windowed.keys)
    }

    /// Whether rows are kept until their window closes, which costs memory by the tick.
    pub fn keeps_rows(&self) -> bool {
        self.windowed
            .as_ref()
            .is_some_and(|windowed| windowed.aggregates.keeps_rows())
    }

    /// How every aggregate is held, in the order of the query.
    pub fn held(&self) -> Vec<Held> {
        (self.windowed.as_ref()).map_or_else(Vec::new, |windowed| windowed.aggregates.held())
    }

    /// The plans that it was made of.
    pub fn plans(&self) -> &Plans {
        &self.plans
    }

    /// Whether a DataFusion plan is run for every closed window; else there are only steps.
    pub fn plans_windows(&self) -> bool {
        (self.windowed.as_ref()).is_some_and(|windowed| windowed.above.plan().is_some())
    }

    /// Names of the stream's columns that [`Pipeline::ticks`] wants, in order.
    pub fn input(&self) -> &[String] {
        self.below.input()
    }

    /// The joins with static tables, which want their tables' rows.
    pub fn lookups(&mut self) -> impl Iterator<Item = &mut Lookup> {
        self.below.lookups()
    }

    /// Makes what needs the static tables' rows.
    pub fn load(&mut self, state: &SessionState) -> Result<()> {
        match &mut self.windowed {
            Some(windowed) => windowed.above.load(state),
            None => Ok(()),
        }
    }

    /// Runs the stateless part over the frames of one micro-batch, and follows its rows on the `trail`.
    pub fn ticks(
        &self,
        frames: RecordBatch,
        tally: &mut Tally,
        mut trail: Option<Trail>,
    ) -> Result<Ticks> {
        let rows = self.below.run(frames, tally, trail.as_mut())?;
        let mut columns = rows.columns().to_vec();
        let frame = columns
            .pop()
            .expect("the plan below ends in the hidden columns");
        let time = columns
            .pop()
            .expect("the plan below ends in the hidden columns");
        let time = arrow::compute::cast(&time, &timestamp_type())?;
        columns.push(Arc::clone(&time));
        Ok(Ticks {
            event_time: time.as_primitive().clone(),
            frame: frame.as_primitive().clone(),
            trail,
            columns,
        })
    }

    /// The accumulators' input: the rows, and the order in which equal event times stand.
    pub fn accumulator_input(&self, ticks: &Ticks, order: Int64Array) -> Result<RecordBatch> {
        let mut columns = ticks.columns.clone();
        columns.push(Arc::new(order));
        let input = Arc::clone(self.windowed()?.aggregates.input());
        Ok(RecordBatch::try_new(input, columns)?)
    }

    /// An empty table for one window and topic partition.
    pub fn table(&self) -> Result<Table> {
        self.windowed()?.aggregates.table()
    }

    /// Adds rows of `input` to a table. `scratch` is a buffer to reuse.
    pub fn update(
        &self,
        table: &mut Table,
        input: &RecordBatch,
        scratch: &mut Vec<usize>,
    ) -> Result<()> {
        table.update(&self.windowed()?.aggregates, input, scratch)
    }

    /// A copy of a table, which goes on as if nothing had happened. What cannot be copied is null in it.
    pub fn copy(&self, table: &mut Table) -> Result<Table> {
        self.windowed()?.aggregates.copy(table)
    }

    /// The sink's rows of one closed window, from the tables of its partitions in partition order.
    pub fn finish(&self, window: Window, tables: Vec<Table>, tasks: &Tasks) -> Result<RecordBatch> {
        let windowed = self.windowed()?;
        let merged = windowed.aggregates.finish(tables)?;
        let rows = merged.num_rows();
        let mut columns = merged.columns().to_vec();
        columns.insert(windowed.window_at, window_column(window, rows));
        windowed.above.run(&windowed.rows, columns, rows, tasks)
    }

    fn windowed(&self) -> Result<&Windowed> {
        match &self.windowed {
            Some(windowed) => Ok(windowed),
            None => plan_err!("a query without windows has no accumulators"),
        }
    }
}

impl Windowed {
    fn new(
        state: &SessionState,
        plan: LogicalPlan,
        aggregate: &Aggregate,
    ) -> Result<(Steps, Windowed, Plans)> {
        let (window_at, windows) = window_key(aggregate)?;
        let mut keys: Vec<Expr> = aggregate.group_expr.clone();
        keys.remove(window_at);
        let lowered = Lowered::new(state, aggregate, &keys)?;
        let element = element_name(&lowered.below);
        let below = optimize(state, &forgive_casts(lowered.below)?)?;
        let steps = Steps::compile(&below, state)?;
        let schema = window_rows_schema(aggregate);
        let rows = WindowRows::new(&schema);
        let above = above(plan, Arc::new(rows.table()?))?;
        locality::check(&above, window_at)?;
        let above = optimize(state, &above)?;
        let key_columns = 0..aggregate.group_expr.len();
        let key_columns = key_columns.filter(|&at| at != window_at).collect();
        let windowed = Windowed {
            windows,
            aggregates: Aggregates::new(lowered.input, keys.len(), &lowered.functions)?,
            window_at,
            above: Above::new(above.clone(), state, rows, key_columns)?,
            rows: schema,
            keys: (keys.iter())
                .map(|key| origin::text(key, &aggregate.input))
                .collect(),
        };
        let plans = Plans {
            below,
            element,
            above: Some(AbovePlan {
                aggregate: aggregate.clone(),
                window_at,
                plan: above,
            }),
        };
        Ok((steps, windowed, plans))
    }
}

/// Refuses what would need more than one row of a stream that has no window.
fn check_rows(plan: &LogicalPlan) -> Result<()> {
    plan.apply(|node| {
        match node {
            LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Window(_)
                if is_stream(node) =>
            {
                let message = format!(
                    "{} is over a stream that does not end, so its rows would never be final",
                    node_name(node)
                );
                let refusal = Refusal::new(Place::of(node), message)
                    .help("aggregate by window first: GROUP BY … tumble(interval '1 minute')");
                return Err(refusal.into());
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn optimize(state: &SessionState, plan: &LogicalPlan) -> Result<LogicalPlan> {
    state.optimize(plan).map_err(strip_context)
}

fn strip_context(error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::Context(_, inner) => strip_context(*inner),
        other => other,
    }
}
