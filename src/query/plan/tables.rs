//! What a file's CREATE statements declare, as the planner's session knows it.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::catalog::view::ViewTable;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;

use super::planner::{Planner, Stream};
use crate::query::recover;
use crate::query::sql::{ColumnKind, KafkaSourceOptions, StaticTableOptions, TableDef, ViewDef};
use crate::query::static_table::StaticTable;
use crate::query::stream::{
    FRAME, FrameColumn, KAFKA_TIMESTAMP, StreamTable, TIMESTAMP, carry_hidden,
};
use crate::query::watermark::expression;

impl<'a> Planner<'a> {
    /// A view that cannot be planned has its faults now; one that cannot be run, when it is used.
    pub(super) fn add_view(&mut self, name: &str, view: &ViewDef) {
        let planned = recover::plan(&self.state, &view.query).and_then(|plan| {
            let registered = carry_hidden(plan).and_then(|plan| self.register(name, plan));
            registered.map_err(|error| vec![error])
        });
        for error in planned.err().unwrap_or_default() {
            self.fault(view.span, Some(&view.query), &error);
        }
    }

    fn register(&self, name: &str, plan: LogicalPlan) -> Result<()> {
        let view = Arc::new(ViewTable::new(plan, None));
        self.state
            .schema_for_ref(name.to_string())?
            .register_table(name.to_string(), view)?;
        Ok(())
    }

    /// A stream is a view over its physical columns: the generated ones and `_timestamp` are
    /// computed where a query uses them.
    pub(super) fn add_stream(
        &mut self,
        name: String,
        table: &'a TableDef,
        options: &'a KafkaSourceOptions,
    ) {
        match self
            .stream_view(&name, table)
            .and_then(|plan| self.register(&name, plan))
        {
            Ok(()) => {}
            Err(error) => self.fault(table.span, None, &error),
        }
        self.streams.insert(name, Stream { table, options });
    }

    pub(super) fn add_static(
        &mut self,
        name: &str,
        table: &TableDef,
        options: &StaticTableOptions,
    ) {
        let schema = Arc::new(Schema::new(physical(table)));
        let provider = Arc::new(StaticTable::new(name, schema, options));
        self.static_tables.push(Arc::clone(&provider));
        let registered = self
            .state
            .schema_for_ref(name.to_string())
            .and_then(|schema| schema.register_table(name.to_string(), provider));
        if let Err(error) = registered {
            self.fault(table.span, None, &error);
        }
    }

    fn stream_view(&mut self, name: &str, table: &TableDef) -> Result<LogicalPlan> {
        let provider = Arc::new(StreamTable::new(&physical(table)));
        let scan = LogicalPlanBuilder::scan(name, provider_as_source(provider), None)?;
        let schema = Arc::clone(scan.schema());
        let column = |column: &str| Expr::Column(Column::new(Some(name), column));
        let mut exprs = Vec::new();
        let mut event_time = column(KAFKA_TIMESTAMP);
        for defined in &table.columns {
            let expr = match &defined.kind {
                ColumnKind::Physical => column(&defined.name),
                ColumnKind::Generated(expr) => match expression(&self.state, expr, &schema) {
                    Ok(expr) => expr.cast_to(&defined.data_type, &schema)?,
                    Err(error) => {
                        self.fault(defined.span, None, &error);
                        continue;
                    }
                },
                ColumnKind::Metadata(key) => column(FrameColumn::of_metadata(key).name()),
            };
            let watermark = table.watermark.as_ref();
            if watermark.is_some_and(|mark| same_column(&mark.column, &defined.name)) {
                event_time = expr.clone();
            }
            exprs.push(expr.alias(&defined.name));
        }
        exprs.push(event_time.alias(TIMESTAMP));
        exprs.push(column(FRAME));
        scan.project(exprs)?.build()
    }
}

/// The columns that are in a table's messages or files.
pub(super) fn physical(table: &TableDef) -> Vec<FieldRef> {
    let physical = table
        .columns
        .iter()
        .filter(|c| matches!(c.kind, ColumnKind::Physical));
    physical.map(|column| Arc::new(column.field())).collect()
}

/// Whether an identifier names a column: as quoted, else in any case.
pub fn same_column(ident: &ast::Ident, name: &str) -> bool {
    match ident.quote_style {
        Some(_) => ident.value == name,
        None => ident.value.eq_ignore_ascii_case(name),
    }
}
