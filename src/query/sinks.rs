//! What a sink's declaration says about its files.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast;

use super::plan::Output;
use super::sql::{ColumnKind, Diagnostic, SourceText, SqlFile, Statement, TableDef, table_name};

/// The columns of a sink. `columns` is the INSERT's own list, which must name them all in order.
pub fn schema(
    source: &SourceText,
    table: &TableDef,
    columns: &[ast::Ident],
    faults: &mut Vec<Diagnostic>,
) -> Option<SchemaRef> {
    let before = faults.len();
    for column in &table.columns {
        if !matches!(column.kind, ColumnKind::Physical) {
            let message = format!("column \"{}\" of a sink cannot be generated", column.name);
            faults.push(source.diagnostic(column.span, message));
        }
    }
    if let Some(watermark) = &table.watermark {
        faults.push(source.diagnostic(watermark.span, "a sink has no watermark"));
    }
    let declared: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    let listed: Vec<String> = columns.iter().map(table_name).collect();
    if !columns.is_empty() && listed != declared {
        let message = "the columns of the INSERT are not those of the table, in its order";
        let help = format!("the table has ({})", declared.join(", "));
        faults.push(source.diagnostic(columns[0].span, message).with_help(help));
    }
    // All of them nullable: a column that is added later is null in the files before.
    let fields = table
        .columns
        .iter()
        .map(|column| Arc::new(column.field().with_nullable(true)));
    (faults.len() == before).then(|| Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// Files are sorted by their text columns, then by their times, in the order of declaration: by symbol and
/// window, for candles.
pub fn sort_columns(schema: &SchemaRef) -> Vec<usize> {
    let of = |wanted: fn(&DataType) -> bool| {
        let fields = schema.fields().iter().enumerate();
        fields
            .filter(move |(_, f)| wanted(f.data_type()))
            .map(|(at, _)| at)
    };
    let text = |t: &DataType| matches!(t, DataType::Utf8View | DataType::Utf8);
    let time = |t: &DataType| matches!(t, DataType::Timestamp(..) | DataType::Date32);
    of(text).chain(of(time)).collect()
}

/// Two INSERTs may not write to one folder, nor into each other's.
pub fn check_apart(file: &SqlFile, outputs: &[Output], faults: &mut Vec<Diagnostic>) {
    let mut spans: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for statement in &file.statements {
        if let Statement::Insert { table, .. } = statement {
            spans.entry(table_name(table)).or_default().push(table.span);
        }
    }
    for (at, output) in outputs.iter().enumerate() {
        let clash = outputs[..at].iter().find(|other| {
            output.sink.path.starts_with(&other.sink.path)
                || other.sink.path.starts_with(&output.sink.path)
        });
        if let (Some(other), Some(span)) = (clash, spans.get(&output.table).and_then(|s| s.last()))
        {
            let message = format!(
                "\"{}\" writes to {}, which is also a folder of \"{}\"",
                output.table,
                output.sink.path.display(),
                other.table
            );
            faults.push(
                file.source
                    .diagnostic(*span, message)
                    .with_help("give each table its own path"),
            );
        }
    }
}
