//! What this engine does not run, said so that the fault can be shown at its place in the file: planners
//! know plans, and a [`Place`] says which part of the SQL a plan's node came from.

use std::fmt;

use datafusion::common::DataFusionError;
use datafusion::logical_expr::LogicalPlan;

use super::split::node_name;

/// The part of a query that a refusal is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A call of the function of this name.
    Function(String),
    /// A window function: `… OVER (…)`.
    Over,
    /// GROUP BY, or the SELECT list where there is none.
    GroupBy,
    /// ORDER BY at the end of a query.
    OrderBy,
    /// LIMIT, OFFSET, FETCH.
    Limit,
    /// A joined table.
    Join,
    /// UNION, INTERSECT, EXCEPT.
    SetOperation,
    /// SELECT DISTINCT.
    Distinct,
    /// All that the query selects.
    Selected,
    /// What the query selects at this position.
    Column(usize),
    /// A column, or a field of a STRUCT, of this name.
    Name(String),
    /// Nothing smaller than the statement.
    Statement,
}

impl Place {
    /// Where in the SQL a plan's node comes from.
    pub fn of(node: &LogicalPlan) -> Place {
        match node {
            LogicalPlan::Sort(_) => Place::OrderBy,
            LogicalPlan::Limit(_) => Place::Limit,
            LogicalPlan::Join(_) => Place::Join,
            LogicalPlan::Union(_) => Place::SetOperation,
            LogicalPlan::Window(_) => Place::Over,
            LogicalPlan::Distinct(_) => Place::Distinct,
            LogicalPlan::Aggregate(_) => Place::GroupBy,
            LogicalPlan::Unnest(_) => Place::Function("unnest".to_owned()),
            _ => Place::Statement,
        }
    }
}

/// A refusal: where, what, and the way out.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What it is about.
    pub place: Place,
    /// What is refused, and why.
    pub message: String,
    /// What to do instead.
    pub help: Option<String>,
}

/// The way out where Arroyo runs what this engine does not.
const ARROYO: &str = "Arroyo runs it: --master arroyo://host:5115";

impl Refusal {
    /// A refusal without a way out yet.
    pub fn new(place: Place, message: impl Into<String>) -> Refusal {
        Refusal {
            place,
            message: message.into(),
            help: None,
        }
    }

    /// A kind of node that this engine does not run; Arroyo may.
    pub fn node(node: &LogicalPlan, over: &str) -> Refusal {
        let message = format!(
            "the local engine does not run {} over {over}",
            node_name(node)
        );
        let refusal = Refusal::new(Place::of(node), message);
        match node {
            LogicalPlan::Union(_) | LogicalPlan::Aggregate(_) => refusal.arroyo_runs_it(),
            _ => refusal,
        }
    }

    /// Adds what to do instead.
    pub fn help(mut self, help: impl Into<String>) -> Refusal {
        self.help = Some(help.into());
        self
    }

    /// Adds that Arroyo runs it.
    pub fn arroyo_runs_it(self) -> Refusal {
        self.help(ARROYO)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for DataFusionError {
    fn from(refusal: Refusal) -> DataFusionError {
        DataFusionError::External(Box::new(refusal))
    }
}

/// The refusal in an error, if it is one.
pub fn refusal(error: &DataFusionError) -> Option<&Refusal> {
    match error.find_root() {
        DataFusionError::External(inner) => inner.downcast_ref(),
        _ => None,
    }
}
