//! The stateless parts of a query, run per micro-batch below the aggregate and per window above it:
//! filters, projections, unnests and joins with static tables, as physical expressions on record batches.
//!
//! Deliberately no DataFusion execution plan: those allocate streams and metrics an execution, which
//! at micro-batch size would cost more than the work. Anything that is not one of these steps is
//! refused when the query is planned.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, UInt32Array};
use arrow::compute::{and, filter_record_batch, prep_null_mask_filter, take};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::{Result, internal_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, Unnest};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use super::lookup::Lookup;
use super::refusal::{Place, Refusal};
use super::shortcuts::physical_expr;
use super::trail::Trail;

/// What became of the rows that a run of steps was given.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Ticks seen: rows behind the unnest, and those that a filter took before it.
    pub ticks: u64,
    /// Left out because a value that the SQL needs (`IS NOT NULL`) is null.
    pub null: u64,
    /// Left out by the SQL's other conditions.
    pub filtered: u64,
}

/// A chain of stateless steps over the columns of one table.
#[derive(Debug, Clone)]
pub struct Steps {
    /// Names of the table's columns that the first step is given, in order.
    input: Vec<String>,
    steps: Vec<Step>,
    schema: SchemaRef,
    /// Per column of `schema` whether it is a column of the table as it was.
    plain: Vec<bool>,
}

#[derive(Debug, Clone)]
enum Step {
    Project {
        exprs: Vec<Arc<dyn PhysicalExpr>>,
        schema: SchemaRef,
    },
    Filter {
        conditions: Vec<Condition>,
    },
    Unnest {
        list: usize,
        columns: Vec<usize>,
        schema: SchemaRef,
        /// Whether the list is a column of the table as it was.
        plain: bool,
    },
    Lookup(Box<Lookup>),
}

#[derive(Debug, Clone)]
struct Condition {
    predicate: Arc<dyn PhysicalExpr>,
    /// `x IS NOT NULL`: the SQL says that it needs the value, so a row without it is a reject.
    needs_value: bool,
}

impl Steps {
    /// Compiles an optimised plan. A node that is none of the steps is an error that names it.
    pub fn compile(plan: &LogicalPlan, state: &SessionState) -> Result<Steps> {
        match plan {
            LogicalPlan::TableScan(scan) => Steps::scan(scan, state),
            LogicalPlan::SubqueryAlias(alias) => Steps::compile(&alias.input, state),
            LogicalPlan::Filter(filter) => {
                let mut steps = Steps::compile(&filter.input, state)?;
                let predicate = [filter.predicate.clone()];
                steps.filter(&predicate, &filter.input, state)?;
                Ok(steps)
            }
            LogicalPlan::Projection(projection) => {
                let mut steps = Steps::compile(&projection.input, state)?;
                let exprs = projection
                    .expr
                    .iter()
                    .map(|e| physical_expr(state, e, projection.input.schema()))
                    .collect::<Result<Vec<_>>>()?;
                let plain = exprs.iter().map(|expr| {
                    let column = expr.downcast_ref::<Column>();
                    column.is_some_and(|column| steps.plain[column.index()])
                });
                steps.plain = plain.collect();
                steps.schema = Arc::clone(projection.schema.inner());
                let schema = Arc::clone(&steps.schema);
                steps.steps.push(Step::Project { exprs, schema });
                Ok(steps)
            }
            LogicalPlan::Unnest(unnest) => {
                let mut steps = Steps::compile(&unnest.input, state)?;
                steps.unnest(unnest)?;
                Ok(steps)
            }
            LogicalPlan::Join(join) => {
                let (lookup, stream) = Lookup::compile(join, state)?;
                let mut steps = Steps::compile(&stream, state)?;
                steps.schema = Arc::clone(lookup.schema());
                steps.plain = vec![false; steps.schema.fields().len()];
                steps.steps.push(Step::Lookup(Box::new(lookup)));
                Ok(steps)
            }
            other => Err(Refusal::node(other, "a stream's rows").into()),
        }
    }

    /// Whether a plan is made of steps that [`Steps::compile`] takes without a static table.
    pub fn are(plan: &LogicalPlan) -> bool {
        match plan {
            LogicalPlan::TableScan(_) => true,
            LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) | LogicalPlan::Projection(_) => {
                plan.inputs().into_iter().all(Steps::are)
            }
            _ => false,
        }
    }

    /// The static tables' sides of its joins.
    pub fn lookups(&mut self) -> impl Iterator<Item = &mut Lookup> {
        self.steps.iter_mut().filter_map(|step| match step {
            Step::Lookup(lookup) => Some(lookup.as_mut()),
            _ => None,
        })
    }

    /// Names of the columns that [`Steps::run`] wants, in order.
    pub fn input(&self) -> &[String] {
        &self.input
    }

    /// The schema of [`Steps::input`], by the types of `table`'s columns.
    pub fn input_schema(&self, table: &SchemaRef) -> SchemaRef {
        let fields = self.input.iter().map(|name| {
            let at = table
                .index_of(name)
                .expect("the input is columns of the table");
            Arc::clone(&table.fields()[at])
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Runs the chain over one batch of the input columns. A `trail` is for a table's frames only.
    pub fn run(
        &self,
        batch: RecordBatch,
        tally: &mut Tally,
        mut trail: Option<&mut Trail>,
    ) -> Result<RecordBatch> {
        let mut batch = batch;
        let mut dropped = 0;
        for step in &self.steps {
            match step {
                Step::Project { exprs, schema } => batch = project(&batch, exprs, schema)?,
                Step::Filter { conditions } => {
                    let before = (tally.null, tally.filtered);
                    batch = filter(batch, conditions, tally, trail.as_deref_mut())?;
                    dropped += tally.null - before.0 + tally.filtered - before.1;
                }
                Step::Unnest {
                    list,
                    columns,
                    schema,
                    plain,
                } => {
                    tally.ticks += dropped;
                    dropped = 0;
                    if let Some(trail) = trail.as_deref_mut() {
                        let lists = batch.column(*list).as_list_opt::<i32>();
                        trail.unnested(lists.filter(|_| *plain).map(places));
                    }
                    batch = unnest(&batch, *list, columns, schema)?;
                }
                Step::Lookup(lookup) => {
                    let mut unmatched = 0;
                    batch = lookup.run(&batch, &mut unmatched, trail.as_deref_mut())?;
                    tally.filtered += unmatched;
                    dropped += unmatched;
                }
            }
        }
        tally.ticks += dropped + batch.num_rows() as u64;
        Ok(batch)
    }

    fn scan(scan: &TableScan, state: &SessionState) -> Result<Steps> {
        let schema = Arc::clone(scan.projected_schema.inner());
        let mut steps = Steps {
            input: schema.fields().iter().map(|f| f.name().clone()).collect(),
            steps: Vec::new(),
            plain: vec![true; schema.fields().len()],
            schema,
        };
        let filters = scan.filters.clone();
        if !filters.is_empty() {
            let bare = LogicalPlan::TableScan(TableScan {
                filters: Vec::new(),
                ..scan.clone()
            });
            steps.filter(&filters, &bare, state)?;
        }
        Ok(steps)
    }

    fn filter(
        &mut self,
        predicates: &[Expr],
        input: &LogicalPlan,
        state: &SessionState,
    ) -> Result<()> {
        let conditions = predicates
            .iter()
            .flat_map(split_conjunction)
            .map(|conjunct| {
                Ok(Condition {
                    predicate: physical_expr(state, conjunct, input.schema())?,
                    needs_value: matches!(conjunct, Expr::IsNotNull(_)),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        self.steps.push(Step::Filter { conditions });
        Ok(())
    }

    fn unnest(&mut self, unnest: &Unnest) -> Result<()> {
        let [(list, target)] = unnest.list_type_columns.as_slice() else {
            let message = "only one array can be unnested in a SELECT";
            return Err(unnest_refusal(message).into());
        };
        let is_list = matches!(self.schema.field(*list).data_type(), DataType::List(_));
        if !unnest.struct_type_columns.is_empty() || target.depth != 1 || !is_list {
            let message = "unnest() takes one array, one level deep";
            return Err(unnest_refusal(message).into());
        }
        self.schema = Arc::clone(unnest.schema.inner());
        let plain = self.plain[*list];
        self.plain = vec![false; self.schema.fields().len()];
        self.steps.push(Step::Unnest {
            list: *list,
            columns: unnest.dependency_indices.clone(),
            schema: Arc::clone(&self.schema),
            plain,
        });
        Ok(())
    }
}

fn unnest_refusal(message: &str) -> Refusal {
    Refusal::new(Place::Function("unnest".to_owned()), message)
        .help("unnest the others in a SELECT around this one")
}

fn project(
    batch: &RecordBatch,
    exprs: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let columns = exprs
        .iter()
        .map(|e| e.evaluate(batch)?.into_array(rows))
        .collect::<Result<Vec<_>>>()?;
    new_batch(schema, columns, rows)
}

fn filter(
    batch: RecordBatch,
    conditions: &[Condition],
    tally: &mut Tally,
    trail: Option<&mut Trail>,
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let mut needed: Option<BooleanArray> = None;
    let mut wanted: Option<BooleanArray> = None;
    for condition in conditions {
        let mask = condition.predicate.evaluate(&batch)?.into_array(rows)?;
        let mask = certain(mask.as_boolean());
        if mask.true_count() == rows {
            continue;
        }
        let side = if condition.needs_value {
            &mut needed
        } else {
            &mut wanted
        };
        *side = Some(match side.take() {
            Some(other) => and(&other, &mask)?,
            None => mask,
        });
    }
    let has_values = needed.as_ref().map_or(rows, |mask| mask.true_count());
    let mask = match (&needed, wanted) {
        (None, None) => return Ok(batch),
        (Some(mask), None) => mask.clone(),
        (None, Some(mask)) => mask,
        (Some(needed), Some(wanted)) => and(needed, &wanted)?,
    };
    if let Some(trail) = trail {
        trail.filtered(&batch, needed.as_ref(), &mask)?;
    }
    let batch = filter_record_batch(&batch, &mask)?;
    tally.null += (rows - has_values) as u64;
    tally.filtered += (has_values - batch.num_rows()) as u64;
    Ok(batch)
}

/// One row for every element of the list; the other columns are repeated. A null or empty list
/// gives no row.
fn unnest(
    batch: &RecordBatch,
    list: usize,
    columns: &[usize],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let Some(lists) = batch.column(list).as_list_opt::<i32>() else {
        return internal_err!("unnest of {}", batch.column(list).data_type());
    };
    let mut parents = Vec::with_capacity(lists.values().len());
    let mut contiguous = lists.null_count() == 0;
    let offsets = lists.value_offsets();
    for row in 0..lists.len() {
        if lists.is_valid(row) {
            let length = (offsets[row + 1] - offsets[row]) as usize;
            parents.extend(std::iter::repeat_n(row as u32, length));
        } else if offsets[row + 1] > offsets[row] {
            contiguous = false;
        }
    }
    if lists.null_count() > 0 {
        // Null rows without elements behind them leave the values contiguous.
        contiguous = parents.len() == (offsets[lists.len()] - offsets[0]) as usize;
    }
    let values: ArrayRef = if contiguous {
        lists.values().slice(offsets[0] as usize, parents.len())
    } else {
        let elements: UInt32Array = (0..lists.len())
            .filter(|&row| lists.is_valid(row))
            .flat_map(|row| offsets[row] as u32..offsets[row + 1] as u32)
            .collect();
        take(lists.values(), &elements, None)?
    };
    let rows = parents.len();
    let parents = UInt32Array::from(parents);
    let columns = columns
        .iter()
        .map(|&column| match column {
            column if column == list => Ok(Arc::clone(&values)),
            column => Ok(take(batch.column(column), &parents, None)?),
        })
        .collect::<Result<Vec<_>>>()?;
    new_batch(schema, columns, rows)
}

/// Of every element of the lists its place in its own.
fn places(lists: &ListArray) -> Vec<u32> {
    let offsets = lists.value_offsets();
    let rows = (0..lists.len()).filter(|&row| lists.is_valid(row));
    rows.flat_map(|row| 0..(offsets[row + 1] - offsets[row]) as u32)
        .collect()
}

/// A condition whose nulls are false.
pub fn certain(mask: &BooleanArray) -> BooleanArray {
    match mask.null_count() {
        0 => mask.clone(),
        _ => prep_null_mask_filter(mask),
    }
}

/// A batch of columns that may be none.
pub fn new_batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}
