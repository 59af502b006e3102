//! Held accumulators: per open window and topic partition one [`Table`] of DataFusion's own
//! `GroupsAccumulator`s, fed by micro-batches and merged in partition order when the window closes.
//!
//! Invariant: what a table holds depends on the order of its rows, never on how they were cut into
//! batches: what would, as a t-digest does, is handed its rows by [`Collected`].

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{EmitTo, Expr, GroupsAccumulator};
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

mod copy;

use super::collected::Collected;
use super::ends;
use super::explain::{Held, held};
use super::text_keys::TextKeys;

/// Functions whose ORDER BY, of WITHIN GROUP, says which end is the first percent and not in which order they want
/// their rows.
const PERCENTILES: [&str; 3] = [
    "percentile_cont",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
];

/// The group keys and aggregate functions of one query.
#[derive(Debug)]
pub struct Aggregates {
    /// The first columns of the input are the group keys.
    keys: SchemaRef,
    functions: Vec<Function>,
    input: SchemaRef,
    output: SchemaRef,
}

#[derive(Debug)]
struct Function {
    expr: Arc<AggregateFunctionExpr>,
    /// Arguments, then the ORDER BY expressions, as accumulators want them.
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// It takes rows in its own order only, so they are kept until the window closes.
    sort: Option<Vec<PhysicalSortExpr>>,
}

impl Aggregates {
    /// Lowers `functions` over `input`, whose first `keys` columns are the group keys. One that has no
    /// accumulator for its arguments' types is an error here, before anything is read.
    pub fn new(input: SchemaRef, keys: usize, functions: &[Expr]) -> Result<Aggregates> {
        let logical = DFSchema::try_from(Schema::clone(&input))?;
        let functions = functions
            .iter()
            .map(|expr| Function::lower(expr, &logical, &input))
            .collect::<Result<Vec<_>>>()?;
        functions.iter().try_for_each(Function::check)?;
        let keys = Arc::new(Schema::new(input.fields()[..keys].to_vec()));
        let mut fields = keys.fields().to_vec();
        fields.extend(functions.iter().map(|f| f.expr.field()));
        Ok(Aggregates {
            keys,
            functions,
            input,
            output: Arc::new(Schema::new(fields)),
        })
    }

    /// The columns that tables are updated with: keys, arguments, event time, order.
    pub fn input(&self) -> &SchemaRef {
        &self.input
    }

    /// An empty table.
    pub fn table(&self) -> Result<Table> {
        let groups = match self.keys.fields().is_empty() {
            true => None,
            false => Some(self.group_values()?),
        };
        Ok(Table {
            groups,
            accumulators: self
                .functions
                .iter()
                .map(|function| function.accumulator(&self.input))
                .collect::<Result<_>>()?,
            kept: Vec::new(),
            rows: 0,
        })
    }

    fn group_values(&self) -> Result<Box<dyn GroupValues>> {
        match self.keys.fields().as_ref() {
            [key] if *key.data_type() == DataType::Utf8View => Ok(Box::new(TextKeys::new())),
            _ => new_group_values(Arc::clone(&self.keys), &GroupOrdering::None),
        }
    }

    /// Whether rows are kept until their window closes, which costs memory by the tick.
    pub fn keeps_rows(&self) -> bool {
        self.functions.iter().any(|f| f.sort.is_some())
    }

    /// How every function is held, in the order of the query.
    pub fn held(&self) -> Vec<Held> {
        let functions = self.functions.iter();
        let held = |f: &Function| held(f.expr.fun().name(), f.expr.is_distinct(), f.sort.is_some());
        functions.map(held).collect()
    }

    /// The result of one window: the tables of its partitions, merged in the order given.
    pub fn finish(&self, tables: Vec<Table>) -> Result<RecordBatch> {
        let mut tables = tables;
        if tables.len() == 1 && !self.keeps_rows() {
            return self.evaluate(tables.remove(0), None);
        }
        let mut places = Places::default();
        match self.keys.fields().is_empty() {
            true => places.of_tables = vec![(vec![0], 1); tables.len()],
            false => self.place(&mut tables, &mut places)?,
        }
        if places.apart && !self.keeps_rows() {
            let results = tables.into_iter().zip(places.keys);
            let results = results
                .map(|(table, keys)| self.evaluate(table, Some(keys)))
                .collect::<Result<Vec<_>>>()?;
            return Ok(concat_batches(&self.output, &results)?);
        }
        let mut merged = self.merge(tables, places)?;
        self.feed_sorted(&mut merged)?;
        self.evaluate(merged, None)
    }

    /// `keys` are those of the table, where they were taken out of it.
    fn evaluate(&self, mut table: Table, keys: Option<Vec<ArrayRef>>) -> Result<RecordBatch> {
        let mut columns = match (keys, &mut table.groups) {
            (Some(keys), _) => keys,
            (None, Some(groups)) => groups.emit(EmitTo::All)?,
            (None, None) => Vec::new(),
        };
        let rows = columns.first().map_or(1, |keys| keys.len());
        for accumulator in &mut table.accumulators {
            columns.push(accumulator.evaluate(EmitTo::All)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.output),
            columns,
            &options,
        )?)
    }

    /// Where the keys of each table are among the keys of all; a topic is usually written by key, so that they
    /// are apart.
    fn place(&self, tables: &mut [Table], places: &mut Places) -> Result<()> {
        let mut all = self.group_values()?;
        places.apart = true;
        for table in tables {
            let Some(groups) = &mut table.groups else {
                return internal_err!("a table without keys among those that have some");
            };
            let before = all.len();
            // DataFusion's cannot be used any more once they have emitted everything.
            let keys = groups.emit(EmitTo::All)?;
            let mut indices = Vec::new();
            all.intern(&keys, &mut indices)?;
            places.apart &= indices.iter().all(|&at| at >= before);
            places.of_tables.push((indices, all.len()));
            places.keys.push(keys);
        }
        places.all = Some(all);
        Ok(())
    }

    /// What is in the first is not moved: its keys are the first of all.
    fn merge(&self, tables: Vec<Table>, places: Places) -> Result<Table> {
        let mut tables = tables.into_iter().zip(places.of_tables);
        let mut merged = match tables.next() {
            Some((first, _)) => first,
            None => self.table()?,
        };
        merged.groups = places.all;
        for (mut table, (indices, total)) in tables {
            let pairs = merged.accumulators.iter_mut().zip(&mut table.accumulators);
            for ((into, from), function) in pairs.zip(&self.functions) {
                if function.sort.is_none() {
                    into.merge_batch(&from.state(EmitTo::All)?, &indices, total)?;
                }
            }
            merged.kept.append(&mut table.kept);
            merged.rows += table.rows;
        }
        Ok(merged)
    }

    /// Gives the kept rows to the functions that want them in an order of their own.
    fn feed_sorted(&self, table: &mut Table) -> Result<()> {
        if !self.keeps_rows() {
            return Ok(());
        }
        let rows = concat_batches(&self.input, &std::mem::take(&mut table.kept))?;
        for (index, function) in self.functions.iter().enumerate() {
            let Some(order) = &function.sort else {
                continue;
            };
            let columns = order
                .iter()
                .map(|by| {
                    Ok(SortColumn {
                        values: by.expr.evaluate(&rows)?.into_array(rows.num_rows())?,
                        options: Some(by.options),
                    })
                })
                .collect::<Result<Vec<_>>>()?;
            let indices = lexsort_to_indices(&columns, None)?;
            let sorted = rows
                .columns()
                .iter()
                .map(|column| Ok(take(column, &indices, None)?))
                .collect::<Result<Vec<_>>>()?;
            let sorted = RecordBatch::try_new(Arc::clone(&self.input), sorted)?;
            let mut groups = Vec::new();
            let total = table.intern(self, &sorted, &mut groups)?;
            function.update(&mut *table.accumulators[index], &sorted, &groups, total)?;
        }
        Ok(())
    }
}

impl Function {
    fn lower(expr: &Expr, logical: &DFSchema, input: &SchemaRef) -> Result<Function> {
        let props = ExecutionProps::new();
        let context = PhysicalPlanningContext::default();
        let lowered =
            LoweredAggregateBuilder::new(expr, logical, input, &props, &context).build()?;
        let expr = lowered.aggregate;
        let sorts_itself = PERCENTILES.contains(&expr.fun().name());
        let hard =
            expr.order_sensitivity() == AggregateOrderSensitivity::HardRequirement && !sorts_itself;
        let mut arguments = expr.expressions();
        arguments.extend(expr.order_bys().iter().map(|by| Arc::clone(&by.expr)));
        Ok(Function {
            sort: (hard && !lowered.order_bys.is_empty()).then_some(lowered.order_bys),
            arguments,
            filter: lowered.filter,
            expr,
        })
    }

    /// Makes an accumulator; the adapter would make its first one at the first row only.
    fn check(&self) -> Result<()> {
        match self.expr.groups_accumulator_supported() {
            true => self.expr.create_groups_accumulator().map(drop),
            false => self.expr.create_accumulator().map(drop),
        }
    }

    fn accumulator(&self, input: &Schema) -> Result<Box<dyn GroupsAccumulator>> {
        if let Some(ends) = ends::accumulator(&self.expr, input) {
            return Ok(ends);
        }
        if self.expr.groups_accumulator_supported() {
            return self.expr.create_groups_accumulator();
        }
        let expr = Arc::clone(&self.expr);
        let held = GroupsAccumulatorAdapter::new(move || expr.create_accumulator());
        Ok(Box::new(Collected::new(Box::new(held))))
    }

    fn update(
        &self,
        accumulator: &mut dyn GroupsAccumulator,
        batch: &RecordBatch,
        groups: &[usize],
        total: usize,
    ) -> Result<()> {
        let rows = batch.num_rows();
        let values = self
            .arguments
            .iter()
            .map(|argument| argument.evaluate(batch)?.into_array(rows))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let filter = match &self.filter {
            Some(filter) => Some(filter.evaluate(batch)?.into_array(rows)?),
            None => None,
        };
        let filter: Option<&BooleanArray> = filter.as_ref().map(|mask| mask.as_boolean());
        accumulator.update_batch(&values, groups, filter, total)
    }
}

/// The keys of several tables among the keys of all of them.
#[derive(Default)]
struct Places {
    /// `None` where the window is the only key.
    all: Option<Box<dyn GroupValues>>,
    /// And how many keys there are up to this table: an accumulator takes it that it has seen each.
    of_tables: Vec<(Vec<usize>, usize)>,
    keys: Vec<Vec<ArrayRef>>,
    /// No key is in two tables.
    apart: bool,
}

/// The aggregates of one window and one topic partition so far.
pub struct Table {
    /// `None` where the window is the only key: everything is one group.
    groups: Option<Box<dyn GroupValues>>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    kept: Vec<RecordBatch>,
    rows: u64,
}

impl Table {
    /// Adds rows, in the order of their partition. `scratch` is a buffer to reuse.
    pub fn update(
        &mut self,
        plan: &Aggregates,
        batch: &RecordBatch,
        scratch: &mut Vec<usize>,
    ) -> Result<()> {
        let total = self.intern(plan, batch, scratch)?;
        for (function, accumulator) in plan.functions.iter().zip(&mut self.accumulators) {
            if function.sort.is_none() {
                function.update(&mut **accumulator, batch, scratch, total)?;
            }
        }
        if plan.keeps_rows() {
            self.kept.push(batch.clone());
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Rows added so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Distinct group keys so far.
    pub fn groups(&self) -> usize {
        self.groups.as_ref().map_or(1, |groups| groups.len())
    }

    /// Bytes that it takes, about: keys, accumulators, and rows that are kept.
    pub fn bytes(&self) -> usize {
        let groups = self.groups.as_ref().map_or(0, |groups| groups.size());
        let accumulators = self
            .accumulators
            .iter()
            .map(|accumulator| accumulator.size());
        let kept = self.kept.iter().map(RecordBatch::get_array_memory_size);
        groups + accumulators.sum::<usize>() + kept.sum::<usize>()
    }

    fn intern(
        &mut self,
        plan: &Aggregates,
        batch: &RecordBatch,
        indices: &mut Vec<usize>,
    ) -> Result<usize> {
        match &mut self.groups {
            Some(groups) => {
                groups.intern(&batch.columns()[..plan.keys.fields().len()], indices)?;
                Ok(groups.len())
            }
            None => {
                indices.clear();
                indices.resize(batch.num_rows(), 0);
                Ok(1)
            }
        }
    }
}

#[cfg(test)]
mod tests;
