//! Planned expressions, written as SQL again.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, Cast, ScalarFunction};
use datafusion::logical_expr::{Expr, SortExpr};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::unparser::Unparser;
use datafusion::sql::unparser::dialect::Dialect;

use super::super::windowing::interval_nanos;
use super::words::nanos_words;

/// What the planner adds, and means nothing to a reader.
const DEFAULTS: [(&str, &str); 3] = [
    (" ASC NULLS LAST", ""),
    (" DESC NULLS FIRST", " DESC"),
    ("count(1)", "count(*)"),
];

/// Functions for which a window frame means nothing.
const FRAMELESS: [&str; 8] = [
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
];

/// An expression over the columns of `schema`, whose texts are `columns`.
pub fn sql(expr: &Expr, schema: &DFSchema, columns: &[String]) -> String {
    let mut texts = Texts::default();
    let text_of = |column: &Column| match schema.maybe_index_of_column(column) {
        Some(at) => columns[at].clone(),
        None => column.name.clone(),
    };
    let expr = expr.clone().unalias();
    if let Expr::Column(column) = &expr {
        return text_of(column);
    }
    if let Expr::AggregateFunction(function) = &expr {
        return aggregate(function, schema, columns);
    }
    match expr
        .clone()
        .transform_up(|expr| texts.plain(expr, &text_of))
    {
        Ok(plain) => texts.unparse(&plain.data),
        Err(_) => expr.to_string(),
    }
}

/// Deliberately not the unparser's, which leaves out ORDER BY.
fn aggregate(function: &AggregateFunction, schema: &DFSchema, columns: &[String]) -> String {
    let AggregateFunction { func, params } = function;
    let mut args: Vec<String> = (params.args.iter())
        .map(|arg| sql(arg, schema, columns))
        .collect();
    let by = order(&params.order_by, schema, columns);
    let by_group = func.supports_within_group_clause() && !params.order_by.is_empty();
    if by_group {
        // The planner puts what is ordered by before the arguments.
        args.drain(..params.order_by.len().min(args.len()));
    }
    if func.name() == "count" && args == ["1"] {
        args = vec!["*".to_owned()];
    }
    let distinct = if params.distinct { "DISTINCT " } else { "" };
    let mut text = format!("{}({distinct}{}", func.name(), args.join(", "));
    text += &match (params.order_by.is_empty(), by_group) {
        (true, _) => ")".to_owned(),
        (false, true) => format!(") WITHIN GROUP (ORDER BY {by})"),
        (false, false) => format!(" ORDER BY {by})"),
    };
    if let Some(filter) = &params.filter {
        text += &format!(" FILTER (WHERE {})", sql(filter, schema, columns));
    }
    text
}

/// The order of rows.
pub fn order(by: &[SortExpr], schema: &DFSchema, columns: &[String]) -> String {
    let by = by.iter().map(|by| {
        let text = sql(&by.expr, schema, columns);
        match by.asc {
            true => text,
            false => format!("{text} DESC"),
        }
    });
    by.collect::<Vec<_>>().join(", ")
}

/// Whether a text must be in brackets to stand in another.
fn is_compound(text: &str) -> bool {
    let mut depth = 0;
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '\'' => quoted = !quoted,
            '(' | '[' if !quoted => depth += 1,
            ')' | ']' if !quoted => depth -= 1,
            ' ' if !quoted && depth == 0 => return true,
            _ => {}
        }
    }
    false
}

/// Texts that stand in an expression for what cannot be unparsed as it is; each is a column there.
#[derive(Default)]
struct Texts(Vec<String>);

impl Texts {
    /// Replaces what reads better otherwise; what is below was replaced before.
    fn plain(
        &mut self,
        expr: Expr,
        text_of: &dyn Fn(&Column) -> String,
    ) -> Result<Transformed<Expr>> {
        Ok(Transformed::yes(match expr {
            Expr::Column(column) => self.bracketed(text_of(&column)),
            // A CAST whose value may not fit gives NULL in a stream; it is written CAST all the same.
            Expr::TryCast(cast) if is_text(cast.field.data_type()) => *cast.expr,
            Expr::Cast(cast) if is_text(cast.field.data_type()) => *cast.expr,
            Expr::TryCast(cast) => constant(Cast::new_from_field(cast.expr, cast.field)),
            Expr::Cast(cast) => constant(cast),
            Expr::Literal(value, metadata) => match interval_nanos(&value) {
                Ok(nanos) => self.add(format!("INTERVAL '{}'", nanos_words(nanos))),
                Err(_) => Expr::Literal(value, metadata),
            },
            Expr::ScalarFunction(call) if call.func.name() == "get_field" => self.field(call),
            Expr::Alias(alias) => *alias.expr,
            other => return Ok(Transformed::no(other)),
        }))
    }

    /// `tick.s`, `data[1]['t']`
    fn field(&mut self, call: ScalarFunction) -> Expr {
        let Some((of, names)) = call.args.split_first() else {
            return Expr::ScalarFunction(call);
        };
        let is_subscript =
            matches!(of, Expr::ScalarFunction(inner) if inner.func.name() == "array_element");
        let mut text = self.write(of);
        for name in names {
            let Expr::Literal(ScalarValue::Utf8(Some(name)), _) = name else {
                return Expr::ScalarFunction(call);
            };
            text += &match is_subscript {
                true => format!("['{name}']"),
                false => format!(".{name}"),
            };
        }
        self.add(text)
    }

    fn bracketed(&mut self, text: String) -> Expr {
        match is_compound(&text) {
            true => self.add(format!("({text})")),
            false => self.add(text),
        }
    }

    fn add(&mut self, text: String) -> Expr {
        self.0.push(text);
        Expr::Column(Column::new_unqualified(place(self.0.len() - 1)))
    }

    fn unparse(&self, expr: &Expr) -> String {
        let mut text = self.write(expr);
        // Later ones may hold earlier ones.
        for (at, replacement) in self.0.iter().enumerate().rev() {
            text = text.replace(&place(at), replacement);
        }
        text
    }

    fn write(&self, expr: &Expr) -> String {
        let written = Unparser::new(&Plain).with_pretty(true).expr_to_sql(expr);
        let text = written.map_or_else(|_| expr.to_string(), |written| written.to_string());
        DEFAULTS
            .iter()
            .fold(text, |text, (default, plain)| text.replace(default, plain))
    }
}

/// A cast of a constant is a constant.
fn constant(cast: Cast) -> Expr {
    match cast.expr.as_ref() {
        Expr::Literal(value, metadata) => match value.cast_to(cast.field.data_type()) {
            Ok(value) => Expr::Literal(value, metadata.clone()),
            Err(_) => Expr::Cast(cast),
        },
        _ => Expr::Cast(cast),
    }
}

fn place(at: usize) -> String {
    format!("__text{at}__")
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8
    )
}

/// SQL to be read: nothing is quoted, and no window frame is written that says nothing.
struct Plain;

impl Dialect for Plain {
    fn identifier_quote_style(&self, _: &str) -> Option<char> {
        None
    }

    fn window_func_support_window_frame(
        &self,
        function: &str,
        start: &ast::WindowFrameBound,
        end: &ast::WindowFrameBound,
    ) -> bool {
        let whole = matches!(
            (start, end),
            (
                ast::WindowFrameBound::Preceding(None),
                ast::WindowFrameBound::Following(None)
            )
        );
        !whole && !FRAMELESS.contains(&function)
    }
}
