//! Where in a query's text the part stands that a fault is about.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Query, Select, SetExpr, Spanned, Visit, Visitor, visit_expressions,
};

use super::refusal::Place;
use super::sql::Span;

/// The span of a place in the first of `queries` that has it.
pub fn locate(queries: &[&Query], place: &Place) -> Option<Span> {
    let spans = queries.iter().map(|query| in_query(query, place));
    spans.flatten().find(|span| *span != Span::empty())
}

/// The first call in `queries` of a function that a message names, as `name(…)` or `'name'`.
pub fn called_in(queries: &[&Query], message: &str) -> Option<Span> {
    let message = message.to_lowercase();
    let named = |name: &str| {
        let name = name.to_lowercase();
        message.contains(&format!("{name}(")) || message.contains(&format!("'{name}'"))
    };
    let spans = queries.iter().map(|query| function(query, &named));
    spans.flatten().find(|span| *span != Span::empty())
}

fn in_query(query: &Query, place: &Place) -> Option<Span> {
    match place {
        Place::Statement => None,
        Place::Function(name) => function(query, &|called| called.eq_ignore_ascii_case(name)),
        Place::Over => expression(query, |expr| match expr {
            Expr::Function(function) if function.over.is_some() => Some(expr.span()),
            _ => None,
        }),
        Place::Name(name) => expression(query, |expr| named(expr, name)),
        Place::Selected => top(query).and_then(selected),
        Place::Column(at) => Some(top(query)?.projection.get(*at)?.span()),
        Place::GroupBy | Place::Distinct => each(query, &mut |query| within(&query.body, place)),
        Place::Join => each(query, &mut |query| within(&query.body, place))
            .or_else(|| expression(query, subquery)),
        Place::OrderBy => each(query, &mut |query| Some(query.order_by.as_ref()?.span())),
        Place::Limit => each(query, &mut |query| {
            let limit = query.limit_clause.as_ref().map(Spanned::span);
            limit.or_else(|| Some(query.fetch.as_ref()?.quantity.as_ref()?.span()))
        }),
        Place::SetOperation => each(query, &mut |query| match query.body.as_ref() {
            SetExpr::SetOperation { right, .. } => Some(right.span()),
            _ => None,
        }),
    }
}

fn function(query: &Query, wanted: &dyn Fn(&str) -> bool) -> Option<Span> {
    expression(query, |expr| match expr {
        Expr::Function(function) if wanted(&function.name.to_string()) => {
            Some(function.name.span())
        }
        _ => None,
    })
}

/// A subquery, which stands for a join.
fn subquery(expr: &Expr) -> Option<Span> {
    match expr {
        Expr::InSubquery { subquery, .. } | Expr::Exists { subquery, .. } => Some(subquery.span()),
        Expr::Subquery(subquery) => Some(subquery.span()),
        _ => None,
    }
}

/// An identifier, or the last part of a compound one, of this name.
fn named(expr: &Expr, name: &str) -> Option<Span> {
    let ident = match expr {
        Expr::Identifier(ident) => ident,
        Expr::CompoundIdentifier(idents) => {
            idents.iter().find(|i| i.value.eq_ignore_ascii_case(name))?
        }
        Expr::CompoundFieldAccess { .. } => {
            return expr.to_string().contains(name).then(|| expr.span());
        }
        _ => return None,
    };
    ident.value.eq_ignore_ascii_case(name).then_some(ident.span)
}

fn expression(query: &Query, mut found: impl FnMut(&Expr) -> Option<Span>) -> Option<Span> {
    let walk = visit_expressions(query, |expr| match found(expr) {
        Some(span) => ControlFlow::Break(span),
        None => ControlFlow::Continue(()),
    });
    walk.break_value()
}

/// Asks every query, the outer ones first.
fn each(query: &Query, ask: &mut dyn FnMut(&Query) -> Option<Span>) -> Option<Span> {
    struct Asking<'a>(&'a mut dyn FnMut(&Query) -> Option<Span>);
    impl Visitor for Asking<'_> {
        type Break = Span;
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Span> {
            match (self.0)(query) {
                Some(span) => ControlFlow::Break(span),
                None => ControlFlow::Continue(()),
            }
        }
    }
    query.visit(&mut Asking(ask)).break_value()
}

fn within(body: &SetExpr, place: &Place) -> Option<Span> {
    match body {
        SetExpr::Select(select) => in_select(select, place),
        SetExpr::SetOperation { left, right, .. } => {
            within(left, place).or_else(|| within(right, place))
        }
        _ => None,
    }
}

fn in_select(select: &Select, place: &Place) -> Option<Span> {
    match place {
        Place::Distinct => {
            let distinct = select.distinct.as_ref();
            distinct.map(|_| select.select_token.0.span)
        }
        Place::Join => {
            let joins = select.from.iter().flat_map(|from| &from.joins);
            // `FROM a, b` joins too.
            joins
                .map(|join| join.relation.span())
                .next()
                .or_else(|| Some(select.from.get(1)?.span()))
        }
        Place::GroupBy => match &select.group_by {
            GroupByExpr::Expressions(exprs, _) if exprs.is_empty() => {
                aggregates(select).then(|| selected(select)).flatten()
            }
            group_by => Some(group_by.span()),
        },
        _ => None,
    }
}

/// Whether a SELECT without GROUP BY calls something that could be an aggregate.
fn aggregates(select: &Select) -> bool {
    let calls = |expr: &Expr| match expr {
        Expr::Function(function) if function.over.is_none() => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    visit_expressions(&select.projection, calls).is_break()
}

fn top(query: &Query) -> Option<&Select> {
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::Select(select) => return Some(select),
            SetExpr::Query(query) => body = query.body.as_ref(),
            SetExpr::SetOperation { left, .. } => body = left,
            _ => return None,
        }
    }
}

fn selected(select: &Select) -> Option<Span> {
    let (first, last) = (select.projection.first()?, select.projection.last()?);
    Some(Span::new(first.span().start, last.span().end))
}
