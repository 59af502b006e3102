//! In a stream a value that cannot be cast is NULL, so that one tick with a time of the year 300000
//! costs itself and not the job.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, TryCast};

/// Every CAST of the plan becomes a TRY_CAST.
pub fn forgive_casts(plan: LogicalPlan) -> Result<LogicalPlan> {
    let forgiving = plan.transform_up(|node| {
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(forgive(expr)?.update_data(|expr| name.restore(expr)))
        })?;
        // Where nothing can fail a column was NOT NULL; now it may be null.
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(forgiving.data)
}

/// The same for one expression.
pub fn forgive(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| match expr {
        Expr::Cast(cast) => Ok(Transformed::yes(Expr::TryCast(TryCast {
            expr: cast.expr,
            field: cast.field,
        }))),
        other => Ok(Transformed::no(other)),
    })
}
