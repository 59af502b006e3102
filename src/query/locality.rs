//! Whether what stands above a windowed aggregate may be computed a window at a time: its rows of one
//! window must not depend on another's.

use std::collections::BTreeSet;

use datafusion::common::{
    Column, DFSchemaRef, JoinType, Result, ScalarValue, not_impl_err, plan_err,
};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use super::split::{node_name, reads_window_rows};

/// Positions of a plan's columns that say which window a row is of.
type Known = BTreeSet<usize>;

/// Checks the plan above an aggregate, whose rows' window is column `window_at` of its table.
///
/// # Errors
/// What would mix windows, and what to write instead.
pub fn check(plan: &LogicalPlan, window_at: usize) -> Result<()> {
    if let LogicalPlan::Projection(projection) = plan
        && matches!(
            *projection.input,
            LogicalPlan::Sort(_) | LogicalPlan::Limit(_)
        )
    {
        return plan_err!(
            "{} at the top of a query would be over a stream that does not end; rank within each window by ROW_NUMBER() OVER (PARTITION BY window ORDER BY …)",
            node_name(&projection.input)
        );
    }
    known(plan, window_at).map(drop)
}

fn known(plan: &LogicalPlan, window_at: usize) -> Result<Known> {
    let below = |input: &LogicalPlan| known(input, window_at);
    if !reads_window_rows(plan) {
        return Ok(Known::new());
    }
    match plan {
        LogicalPlan::TableScan(scan) => {
            let fields = scan.projected_schema.fields().iter();
            let name = super::lowering::column_name(window_at);
            Ok(Known::from_iter(
                fields.clone().position(|f| *f.name() == name),
            ))
        }
        LogicalPlan::SubqueryAlias(alias) => below(&alias.input),
        LogicalPlan::Filter(filter) => below(&filter.input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => below(&sort.input),
        LogicalPlan::Projection(projection) => {
            let input = below(&projection.input)?;
            let schema = projection.input.schema();
            Ok(positions(&projection.expr, &input, schema))
        }
        LogicalPlan::Unnest(unnest) => {
            let input = below(&unnest.input)?;
            let from = unnest.dependency_indices.iter().enumerate();
            let kept = from.filter(|(_, from)| input.contains(from));
            Ok(kept.map(|(at, _)| at).collect())
        }
        LogicalPlan::Aggregate(aggregate) => {
            let input = below(&aggregate.input)?;
            let keys = positions(&aggregate.group_expr, &input, aggregate.input.schema());
            match keys.is_empty() {
                false => Ok(keys),
                true => plan_err!(
                    "the second aggregation is over all windows, so its rows would never be final; add the window to its GROUP BY"
                ),
            }
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let keys = below(input)?;
            match keys.is_empty() {
                false => Ok(keys),
                true => plan_err!(
                    "SELECT DISTINCT without the window is over all windows, so its rows would never be final; select the window too"
                ),
            }
        }
        LogicalPlan::Window(window) => {
            let input = below(&window.input)?;
            for expr in &window.window_expr {
                let Expr::WindowFunction(function) = expr.clone().unalias() else {
                    return not_impl_err!("the local engine does not run {expr}");
                };
                let by = &function.params.partition_by;
                if positions(by, &input, window.input.schema()).is_empty() {
                    return plan_err!(
                        "{}() OVER () without the window in its PARTITION BY is over all windows, so its rows would never be final; write OVER (PARTITION BY window …)",
                        function.fun.name()
                    );
                }
            }
            Ok(input)
        }
        LogicalPlan::Join(join) => {
            let (left, right) = (below(&join.left)?, below(&join.right)?);
            match (
                reads_window_rows(&join.left),
                reads_window_rows(&join.right),
            ) {
                (true, true) => {
                    not_impl_err!("the local engine does not run a join of two streams")
                }
                (true, false) => match join.join_type {
                    JoinType::Right | JoinType::Full | JoinType::RightAnti => keeps_static(),
                    _ => Ok(left),
                },
                (false, _) => match join.join_type {
                    JoinType::Left | JoinType::Full | JoinType::LeftAnti => keeps_static(),
                    JoinType::RightSemi | JoinType::RightMark => Ok(right),
                    _ => {
                        let width = join.left.schema().fields().len();
                        Ok(right.into_iter().map(|at| at + width).collect())
                    }
                },
            }
        }
        LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => plan_err!(
            "{} would be over all windows; rank within each by ROW_NUMBER() OVER (PARTITION BY window ORDER BY …)",
            node_name(plan)
        ),
        other => not_impl_err!(
            "the local engine does not run {} over windows",
            node_name(other)
        ),
    }
}

fn keeps_static<T>() -> Result<T> {
    not_impl_err!(
        "the local engine does not run a join that keeps the static table's rows, which would never be final"
    )
}

/// Which of `exprs` say which window a row is of.
fn positions(exprs: &[Expr], known: &Known, schema: &DFSchemaRef) -> Known {
    let exprs = exprs.iter().enumerate();
    let of_window = exprs.filter(|(_, expr)| says_window(expr, known, schema));
    of_window.map(|(at, _)| at).collect()
}

/// The window, its start or its end.
fn says_window(expr: &Expr, known: &Known, schema: &DFSchemaRef) -> bool {
    match expr {
        Expr::Column(column) => is_known(column, known, schema),
        Expr::Alias(alias) => says_window(&alias.expr, known, schema),
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => {
            let part = |expr: &Expr| match expr {
                Expr::Literal(ScalarValue::Utf8(Some(part)), _) => part == "start" || part == "end",
                _ => false,
            };
            matches!(call.args.as_slice(), [of, name] if part(name) && says_window(of, known, schema))
        }
        _ => false,
    }
}

fn is_known(column: &Column, known: &Known, schema: &DFSchemaRef) -> bool {
    schema
        .maybe_index_of_column(column)
        .is_some_and(|at| known.contains(&at))
}
