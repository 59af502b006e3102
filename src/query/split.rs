//! A planned query, looked at from its windowed aggregate: where it is, its windows, and what stands
//! above it.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::datasource::TableProvider;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder};

use super::lowering::column_name;
use super::refusal::{Place, Refusal};
use super::stream::is_stream;
use super::windowing::windows_of;
use crate::window::Windows;

/// Name of the table that stands for the aggregate's rows in the plan above it.
const WINDOW_ROWS: &str = "__window_rows";

/// The aggregate that the stream's rows go into: the lowest one over the stream. `None`: the query
/// has none.
pub fn find_aggregate(plan: &LogicalPlan) -> Option<&Aggregate> {
    let stream = plan.inputs().into_iter().find(|input| is_stream(input))?;
    match (find_aggregate(stream), plan) {
        (None, LogicalPlan::Aggregate(aggregate)) => Some(aggregate),
        (found, _) => found,
    }
}

/// The window among an aggregate's group keys: where it stands, and what it is.
pub fn window_key(aggregate: &Aggregate) -> Result<(usize, Windows)> {
    let mut found = None;
    for (at, key) in aggregate.group_expr.iter().enumerate() {
        if matches!(key, Expr::GroupingSet(_)) {
            let message = "the local engine does not run GROUPING SETS, CUBE or ROLLUP";
            return Err(Refusal::new(Place::GroupBy, message).into());
        }
        match windows_of(key) {
            None => {}
            Some(_) if found.is_some() => {
                let refusal = Refusal::new(Place::GroupBy, "a query has one window")
                    .help("write an INSERT for each; they share one read of the topic");
                return Err(refusal.into());
            }
            Some(Err(refusal)) => return Err(refusal.into()),
            Some(Ok(windows)) => found = Some((at, windows)),
        }
    }
    match found {
        Some(found) => Ok(found),
        None => {
            let message = "the aggregate has no window, so its rows would never be final";
            let cut = aggregate.group_expr.iter().find_map(cut_time);
            let help = match cut {
                Some(name) => format!(
                    "{name}() is no window: nothing says when its rows are complete. Write tumble(interval '1 minute')"
                ),
                None => "add tumble(interval '1 minute') AS window to the SELECT, and window to its GROUP BY"
                    .to_owned(),
            };
            Err(Refusal::new(Place::GroupBy, message).help(help).into())
        }
    }
}

/// The function by which a group key cuts time into pieces without being a window.
fn cut_time(key: &Expr) -> Option<&'static str> {
    let names = ["date_trunc", "date_bin", "date_part"];
    names.into_iter().find(|name| {
        key.exists(|expr| {
            Ok(matches!(expr, Expr::ScalarFunction(call) if call.func.name() == *name))
        })
        .unwrap_or(false)
    })
}

/// The aggregate's output columns under names of our own; the plan above finds them by position.
pub fn window_rows_schema(aggregate: &Aggregate) -> SchemaRef {
    let fields = aggregate.schema.fields().iter().enumerate();
    let fields = fields.map(|(at, f)| Field::new(column_name(at), f.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The plan with its windowed aggregate replaced by a table of that aggregate's rows.
pub fn above(plan: LogicalPlan, table: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    let replaced = plan.transform_down(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else {
            return Ok(Transformed::no(node));
        };
        if !is_stream(&aggregate.input) || find_aggregate(&aggregate.input).is_some() {
            return Ok(Transformed::no(node));
        }
        let columns = aggregate.schema.iter().enumerate();
        let names = columns.map(|(at, (qualifier, field))| {
            let column = Expr::Column(Column::new(Some(WINDOW_ROWS), column_name(at)));
            column.alias_qualified(qualifier.cloned(), field.name())
        });
        let rows =
            LogicalPlanBuilder::scan(WINDOW_ROWS, provider_as_source(Arc::clone(&table)), None)?
                .project(names)?
                .build()?;
        Ok(Transformed::new(rows, true, TreeNodeRecursion::Jump))
    })?;
    // Above a second aggregation too, columns may be nullable now that were not.
    let recomputed = replaced
        .data
        .transform_up(|node| Ok(Transformed::yes(node.recompute_schema()?)))?;
    Ok(recomputed.data)
}

/// Whether a plan reads the table that stands for the aggregate's rows.
pub fn reads_window_rows(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => scan.table_name.table() == WINDOW_ROWS,
        other => other.inputs().into_iter().any(reads_window_rows),
    }
}

/// What a plan's node is in SQL.
pub fn node_name(plan: &LogicalPlan) -> &'static str {
    match plan {
        LogicalPlan::Sort(_) => "ORDER BY",
        LogicalPlan::Limit(_) => "LIMIT",
        LogicalPlan::Join(_) => "a join",
        LogicalPlan::Union(_) => "UNION",
        LogicalPlan::Window(_) => "a window function (OVER)",
        LogicalPlan::Distinct(_) => "SELECT DISTINCT",
        LogicalPlan::Aggregate(_) => "a second aggregation",
        LogicalPlan::Subquery(_) => "a subquery in an expression",
        LogicalPlan::EmptyRelation(_) => "a query without rows",
        LogicalPlan::Values(_) => "VALUES",
        LogicalPlan::RecursiveQuery(_) => "WITH RECURSIVE",
        _ => "this kind of query",
    }
}
