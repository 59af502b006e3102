//! unnest() above an aggregate makes several rows of one, and DataFusion 55 goes on taking that aggregate's keys
//! for unique: a GROUP BY of them gets every other column for a key, the unnested one too. Such a query is
//! refused, since its rows would be wrong. Upstream: apache/datafusion#24787.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, get_target_functional_dependencies};
use datafusion::logical_expr::LogicalPlan;

use super::refusal::{Place, Refusal};

/// Refuses a plan that groups unnested rows by what was unique before.
///
/// # Errors
/// What to write instead.
pub fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) if is_unnested(&aggregate.input) => {
            let keys = aggregate.group_expr.iter();
            let keys: Vec<String> = keys.map(|key| key.schema_name().to_string()).collect();
            match get_target_functional_dependencies(aggregate.input.schema(), &keys) {
                None => Ok(TreeNodeRecursion::Continue),
                Some(_) => {
                    let message = "the keys of the rows that unnest() was over are no keys behind it, but DataFusion takes them for such";
                    Err(Refusal::new(Place::GroupBy, message)
                        .help("select window.start AS start beside the unnest(), not the window itself, and group by start")
                        .into())
                }
            }
        }
        _ => Ok(TreeNodeRecursion::Continue),
    })?;
    Ok(())
}

/// Whether rows are unnested between a plan and the aggregates below it.
fn is_unnested(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Unnest(_) => true,
        LogicalPlan::Aggregate(_) => false,
        other => other.inputs().into_iter().any(is_unnested),
    }
}
