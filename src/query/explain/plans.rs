//! The logical plans that a pipeline was made of, kept to be shown.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::physical_plan::displayable;

use super::super::plan::Output;
use super::words::is_plain_name;

/// What a pipeline was made of.
#[derive(Debug)]
pub struct Plans {
    /// The stateless part, optimised.
    pub below: LogicalPlan,
    /// What the SQL calls the elements of the array that it unnests.
    pub element: Option<String>,
    /// `None`: there is no aggregate.
    pub above: Option<AbovePlan>,
}

/// A windowed aggregate, and what stands above it.
#[derive(Debug)]
pub struct AbovePlan {
    /// The aggregate, as the SQL has it.
    pub aggregate: Aggregate,
    /// Where among its group keys the window stands.
    pub window_at: usize,
    /// Optimised, over a table of the aggregate's rows.
    pub plan: LogicalPlan,
}

/// The first name that a plan gives to the elements of an array; the optimiser loses it.
pub fn element_name(plan: &LogicalPlan) -> Option<String> {
    let mut found = None;
    let is_element = |expr: &Expr| match expr.clone().unalias_nested().data {
        Expr::Column(column) => {
            let name = column.name.to_lowercase();
            name.starts_with("unnest(") || name.starts_with("__unnest_placeholder(")
        }
        _ => false,
    };
    plan.apply(|node| {
        if let LogicalPlan::Projection(projection) = node {
            let named = projection.expr.iter().find_map(|expr| match expr {
                Expr::Alias(alias) if is_element(&alias.expr) && is_plain_name(&alias.name) => {
                    Some(alias.name.clone())
                }
                _ => None,
            });
            found = named.or(found.take());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .ok()?;
    found
}

/// DataFusion's plans of an output, each with its heading.
pub fn texts(state: &SessionState, output: &Output) -> Vec<(String, String)> {
    let plans = output.pipeline.plans();
    let table = &output.table;
    let logical = |plan: &LogicalPlan| plan.display_indent().to_string();
    let Some(above) = &plans.above else {
        return vec![(format!("{table}: logical plan"), logical(&plans.below))];
    };
    let mut texts = vec![
        (
            format!("{table}: logical plan below the aggregate"),
            logical(&plans.below),
        ),
        (
            format!("{table}: logical plan above the aggregate"),
            logical(&above.plan),
        ),
    ];
    if output.pipeline.plans_windows() {
        // Where it needs a static table's rows there is none yet.
        let physical = futures::executor::block_on(state.create_physical_plan(&above.plan));
        if let Ok(physical) = physical {
            let text = displayable(physical.as_ref()).indent(false).to_string();
            texts.push((
                format!("{table}: physical plan above the aggregate, run once a closed window"),
                text,
            ));
        }
    }
    texts
}
