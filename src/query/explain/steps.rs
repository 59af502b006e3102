//! An optimised plan as steps in order, each in words.

use datafusion::common::{DFSchema, JoinType};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Distinct, Expr, Join, LogicalPlan, Projection, TableScan};

use super::super::sinks::ROW;
use super::super::split::node_name;
use super::super::sql::{Connector, SqlFile, StaticTableOptions};
use super::super::stream::{FRAME, FrameColumn, is_stream};
use super::expression::{order, sql};
use super::source::metadata;
use super::words::{counted, is_plain_name};

/// What the SQL calls things of which a plan only knows how they are computed.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// The elements of an unnested array.
    pub element: Option<String>,
    /// Columns of the aggregate's rows, by their position.
    pub rows: Vec<(usize, String)>,
    /// Window functions (OVER), in their order.
    pub over: Vec<(usize, String)>,
}

/// Tells a plan's steps.
pub struct Steps<'a> {
    /// The file, in which the static tables are declared.
    file: &'a SqlFile,
    /// Texts of the columns of a table that stands for an aggregate's rows.
    rows: &'a [String],
    /// Texts of the window functions that were told.
    over: Vec<String>,
    steps: Vec<String>,
    known: Names,
    found: Names,
}

impl<'a> Steps<'a> {
    /// The steps of a plan over a stream, or over `rows`; and the names that it gives.
    pub fn of(
        plan: &LogicalPlan,
        file: &'a SqlFile,
        rows: &'a [String],
        known: Names,
    ) -> (Vec<String>, Names) {
        let mut steps = Steps {
            file,
            rows,
            over: Vec::new(),
            steps: Vec::new(),
            known,
            found: Names::default(),
        };
        steps.node(plan);
        (steps.steps, steps.found)
    }

    /// Tells a node and what is below it; gives the texts of its columns.
    fn node(&mut self, plan: &LogicalPlan) -> Vec<String> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let columns = self.scan(scan);
                self.filter(&scan.filters, plan.schema(), &columns);
                columns
            }
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input),
            LogicalPlan::Filter(filter) => {
                let columns = self.node(&filter.input);
                let predicate = [filter.predicate.clone()];
                self.filter(&predicate, filter.input.schema(), &columns);
                columns
            }
            LogicalPlan::Projection(projection) => {
                let input = self.node(&projection.input);
                self.project(projection, &input)
            }
            LogicalPlan::Unnest(unnest) => {
                let input = self.node(&unnest.input);
                let lists: Vec<usize> = (unnest.list_type_columns.iter())
                    .map(|(at, _)| *at)
                    .collect();
                let element = self.known.element.as_deref().unwrap_or("element");
                for &at in &lists {
                    self.steps
                        .push(format!("unnest {}: a row for each {element}", input[at]));
                }
                let text = |&at: &usize| match lists.contains(&at) {
                    true => element.to_owned(),
                    false => input[at].clone(),
                };
                unnest.dependency_indices.iter().map(text).collect()
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Window(window) => {
                let mut columns = self.node(&window.input);
                let schema = window.input.schema();
                let input = columns.clone();
                let mut shown = Vec::new();
                for expr in &window.window_expr {
                    let text = sql(expr, schema, &input);
                    let at = self.over.len();
                    let name = self.known.over.iter().find(|(of, _)| *of == at);
                    let name = name.map_or(text.as_str(), |(_, name)| name.as_str());
                    shown.push(renamed(&text, name));
                    columns.push(name.to_owned());
                    self.over.push(name.to_owned());
                }
                self.steps
                    .push(format!("window functions: {}", shown.join(", ")));
                columns
            }
            LogicalPlan::Aggregate(aggregate) => {
                let input = self.node(&aggregate.input);
                let schema = aggregate.input.schema();
                let texts = |exprs: &[Expr]| -> Vec<String> {
                    exprs.iter().map(|expr| sql(expr, schema, &input)).collect()
                };
                let (keys, functions) = (texts(&aggregate.group_expr), texts(&aggregate.aggr_expr));
                let what = match functions.is_empty() {
                    true => "distinct rows".to_owned(),
                    false => functions.join(", "),
                };
                self.steps
                    .push(format!("aggregate by {}: {what}", keys.join(", ")));
                [keys, functions].concat()
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let columns = self.node(input);
                self.steps.push("distinct rows".to_owned());
                columns
            }
            LogicalPlan::Sort(sort) => {
                let columns = self.node(&sort.input);
                let by = order(&sort.expr, sort.input.schema(), &columns);
                self.steps.push(format!("sort by {by}"));
                columns
            }
            other => {
                let inputs = other.inputs();
                for input in &inputs {
                    self.node(input);
                }
                self.steps.push(node_name(other).to_owned());
                names(other.schema())
            }
        }
    }

    fn scan(&self, scan: &TableScan) -> Vec<String> {
        let table = scan.table_name.table();
        let fields = scan.projected_schema.fields().iter();
        let is_static = self.static_table(table).is_some();
        let text = |name: &String| {
            let of_rows = name.strip_prefix("__c").and_then(|at| at.parse().ok());
            let frame_column = FrameColumn::ALL.into_iter().find(|c| c.name() == name);
            match (of_rows, frame_column) {
                (Some(at), _) if self.rows.len() > at => self.rows[at].clone(),
                (_, Some(column)) => metadata(column).to_owned(),
                _ if is_static => format!("{table}.{name}"),
                _ => name.clone(),
            }
        };
        fields.map(|field| text(field.name())).collect()
    }

    fn filter(&mut self, predicates: &[Expr], schema: &DFSchema, columns: &[String]) {
        let conjuncts = predicates.iter().flat_map(split_conjunction);
        let texts: Vec<String> = conjuncts.map(|expr| sql(expr, schema, columns)).collect();
        if !texts.is_empty() {
            self.steps.push(format!("filter: {}", texts.join(" AND ")));
        }
    }

    fn project(&mut self, projection: &Projection, input: &[String]) -> Vec<String> {
        let schema = projection.input.schema();
        let mut columns = Vec::new();
        let mut shown: Vec<String> = Vec::new();
        let mut names_some = false;
        for expr in &projection.expr {
            let text = sql(expr, schema, input);
            let name = match expr {
                Expr::Alias(alias) if is_plain_name(&alias.name) => alias.name.as_str(),
                _ => text.as_str(),
            };
            let uncast = sql(without_casts(expr), schema, input);
            if name != text {
                let of = |texts: &[String]| texts.iter().position(|text| *text == uncast);
                let rows = of(self.rows).map(|at| (at, name.to_owned()));
                self.found.rows.extend(rows);
                let over = of(&self.over).map(|at| (at, name.to_owned()));
                self.found.over.extend(over);
            }
            let said = match uncast == name {
                true => uncast,
                false => renamed(&text, name),
            };
            names_some |= name != text;
            if !is_hidden(&text, expr) && !shown.contains(&said) {
                shown.push(said);
            }
            columns.push(name.to_owned());
        }
        // What has no name is told where it is used.
        if names_some {
            let count = counted(shown.len() as u128, "column");
            self.steps
                .push(format!("project {count}: {}", shown.join(", ")));
        }
        columns
    }

    fn join(&mut self, join: &Join) -> Vec<String> {
        let (static_side, static_is_left) = match self.is_main(&join.left) {
            true => (&join.right, false),
            false => (&join.left, true),
        };
        // What is done to the static side is done once, when the job starts.
        let before = self.steps.len();
        let (left, right) = match static_is_left {
            true => {
                let left = self.node(&join.left);
                let once = self.steps.split_off(before);
                let right = self.node(&join.right);
                self.steps.push(self.looked_up(join, static_side, once));
                (left, right)
            }
            false => {
                let left = self.node(&join.left);
                let before = self.steps.len();
                let right = self.node(&join.right);
                let once = self.steps.split_off(before);
                self.steps.push(self.looked_up(join, static_side, once));
                (left, right)
            }
        };
        let mut conditions: Vec<String> = (join.on.iter())
            .map(|(a, b)| {
                let a = sql(a, join.left.schema(), &left);
                let b = sql(b, join.right.schema(), &right);
                match static_is_left {
                    true => format!("{b} = {a}"),
                    false => format!("{a} = {b}"),
                }
            })
            .collect();
        if let Some(filter) = &join.filter
            && let Ok(both) = join.left.schema().join(join.right.schema())
        {
            let columns = [left.clone(), right.clone()].concat();
            conditions.push(sql(filter, &both, &columns));
        }
        if let (false, Some(step)) = (conditions.is_empty(), self.steps.last_mut()) {
            *step += &format!(" on {}", conditions.join(" AND "));
        }
        let mark = || vec!["has a match".to_owned()];
        match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => left,
            JoinType::RightSemi | JoinType::RightAnti => right,
            JoinType::LeftMark => [left, mark()].concat(),
            JoinType::RightMark => [right, mark()].concat(),
            _ => [left, right].concat(),
        }
    }

    /// A join with a static table, in words.
    fn looked_up(&self, join: &Join, side: &LogicalPlan, once: Vec<String>) -> String {
        let kind = match join.join_type {
            JoinType::Inner => "join",
            JoinType::Left | JoinType::Right => "left join (nulls where there is no match)",
            JoinType::LeftSemi | JoinType::RightSemi => "keep rows with a match",
            JoinType::LeftAnti | JoinType::RightAnti => "keep rows without a match",
            _ => "mark rows with a match",
        };
        let tables: Vec<String> = self.static_tables(side);
        let once = match once.is_empty() {
            true => String::new(),
            false => format!(" ({}, once)", once.join("; ")),
        };
        format!("{kind}, static table {}{once}", tables.join(", "))
    }

    /// Static tables that a plan reads, each with its format and path.
    fn static_tables(&self, plan: &LogicalPlan) -> Vec<String> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let name = scan.table_name.table();
                match self.static_table(name) {
                    Some(StaticTableOptions { path, format }) => {
                        vec![format!(
                            "{name} ({}, {})",
                            format.extension(),
                            path.display()
                        )]
                    }
                    None => vec![name.to_owned()],
                }
            }
            other => {
                let inputs = other.inputs().into_iter();
                inputs.flat_map(|input| self.static_tables(input)).collect()
            }
        }
    }

    fn static_table(&self, name: &str) -> Option<&'a StaticTableOptions> {
        match &self.file.table(name)?.connector {
            Connector::StaticTable(options) => Some(options),
            _ => None,
        }
    }

    /// Whether a plan reads the stream, or the rows of its aggregate.
    fn is_main(&self, plan: &LogicalPlan) -> bool {
        is_stream(plan) || super::super::split::reads_window_rows(plan)
    }
}

/// `text AS name`, unless that says nothing.
fn renamed(text: &str, name: &str) -> String {
    match text == name {
        true => text.to_owned(),
        false => format!("{text} AS {name}"),
    }
}

/// What a column is cast from, as into the sink's type.
fn without_casts(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => without_casts(&alias.expr),
        Expr::Cast(cast) => without_casts(&cast.expr),
        Expr::TryCast(cast) => without_casts(&cast.expr),
        other => other,
    }
}

fn names(schema: &DFSchema) -> Vec<String> {
    schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect()
}

/// What a projection carries along without the SQL's asking.
fn is_hidden(text: &str, expr: &Expr) -> bool {
    text == FRAME || matches!(expr, Expr::Alias(alias) if alias.name.starts_with(ROW))
}
