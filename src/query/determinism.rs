//! Functions whose value depends on when they are called are refused: the same topic and the same SQL
//! give the same rows.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};

use super::windowing::WindowKind;

/// Stable within a query, but not between two runs of it.
const CLOCKS: [&str; 5] = [
    "now",
    "current_timestamp",
    "current_date",
    "current_time",
    "today",
];

/// Refuses a plan with such a function in it.
pub fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            check_expr(expr)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

/// Refuses an expression with such a function in it.
pub fn check_expr(expr: &Expr) -> Result<()> {
    expr.apply(|expr| {
        if let Expr::ScalarFunction(call) = expr {
            let name = call.func.name();
            let volatile = call.func.signature().volatility == Volatility::Volatile;
            if WindowKind::named(name).is_none() && (volatile || CLOCKS.contains(&name)) {
                return plan_err!(
                    "{name}() gives another value in every run, so the same ticks would not give the same rows; use _timestamp for the time of a tick"
                );
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}
