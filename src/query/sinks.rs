//! What a sink's declaration says about its files, and how a query's columns become the sink's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, Result, plan_err};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection};
use datafusion::sql::sqlparser::ast;

use super::plan::Output;
use super::refusal::{Place, Refusal};
use super::sql::{
    ColumnKind, Connector, DeltaSinkOptions, Diagnostic, FilesystemSinkOptions, KafkaSinkOptions,
    PostgresSinkOptions, SourceText, SqlFile, Statement, StdoutSinkOptions, TableDef, sql_name,
    table_name,
};
use super::stream::{FRAME, HIDDEN, TIMESTAMP};

/// Where rows go that are printed.
pub const STDOUT: &str = "standard output";

/// What has the rows of a `filesystem` table whose path is an object store's URL.
const OBJECT_STORE: &str = "object store";

/// `rolling_policy.interval` and `rolling_policy.inactivity_interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rolling {
    /// Least time between two commits of closed windows; `None`: not given.
    pub interval: Option<Duration>,
    /// Rows are committed earlier when no window has closed for this long; `None`: not given.
    pub inactivity: Option<Duration>,
}

/// Where an output's rows go, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkOptions {
    /// A folder of Parquet files.
    Filesystem(FilesystemSinkOptions),
    /// A table of PostgreSQL.
    Postgres(PostgresSinkOptions),
    /// A Delta Lake table.
    Delta(DeltaSinkOptions),
    /// A Kafka topic.
    Kafka(Box<KafkaSinkOptions>),
    /// Standard output, as JSON.
    Stdout(StdoutSinkOptions),
    /// Standard output, as a table: a bare SELECT. What the checkpoint remembers has nothing of it.
    Preview {
        /// Where the SELECT stands in the file.
        line: u64,
    },
}

impl SinkOptions {
    /// The sink that a table is; `None`: rows come from it.
    pub(super) fn of(connector: &Connector) -> Option<SinkOptions> {
        match connector {
            Connector::KafkaSource(_) | Connector::StaticTable(_) => None,
            Connector::FilesystemSink(options) => Some(SinkOptions::Filesystem(options.clone())),
            Connector::PostgresSink(options) => Some(SinkOptions::Postgres(options.clone())),
            Connector::KafkaSink(options) => Some(SinkOptions::Kafka(Box::new(options.clone()))),
            Connector::StdoutSink(options) => Some(SinkOptions::Stdout(*options)),
            Connector::DeltaSink(options) => Some(SinkOptions::Delta(options.clone())),
        }
    }

    /// Where the rows go, as a checkpoint remembers it and people read it, without any secret.
    pub fn place(&self) -> String {
        match self {
            SinkOptions::Filesystem(options) => options.path.display().to_string(),
            SinkOptions::Postgres(options) => options.place(),
            SinkOptions::Delta(options) => options.place(),
            SinkOptions::Kafka(options) => options.place(),
            SinkOptions::Stdout(_) | SinkOptions::Preview { .. } => STDOUT.to_owned(),
        }
    }

    /// The name of what has the rows where that is another system: `None` for a folder, and what is printed.
    pub fn remote(&self) -> Option<&'static str> {
        match self {
            SinkOptions::Postgres(_) => Some("postgres"),
            SinkOptions::Delta(_) => Some("delta"),
            SinkOptions::Kafka(_) => Some("kafka"),
            SinkOptions::Filesystem(options) => options.store.as_ref().map(|_| OBJECT_STORE),
            SinkOptions::Stdout(_) | SinkOptions::Preview { .. } => None,
        }
    }

    /// How often rows of closed windows are committed, as the table's options say; `None`: it has none.
    pub fn rolling(&self) -> Option<Rolling> {
        let (interval, inactivity) = match self {
            SinkOptions::Postgres(options) => {
                (options.rolling_interval, options.rolling_inactivity)
            }
            other => {
                let files = other.files()?;
                (files.rolling_interval, files.rolling_inactivity)
            }
        };
        Some(Rolling {
            interval,
            inactivity,
        })
    }

    /// The options of files, in a folder or on an object store, a Delta table's among them.
    pub fn files(&self) -> Option<&FilesystemSinkOptions> {
        match self {
            SinkOptions::Filesystem(options) => Some(options),
            SinkOptions::Delta(options) => Some(&options.files),
            SinkOptions::Kafka(_)
            | SinkOptions::Postgres(_)
            | SinkOptions::Stdout(_)
            | SinkOptions::Preview { .. } => None,
        }
    }

    /// The folder that the rows are written to; `None`: they go elsewhere.
    pub fn folder(&self) -> Option<&Path> {
        let files = self.files().filter(|options| options.store.is_none());
        files.map(|options| options.path.as_path())
    }

    /// Whether it is a bare SELECT's.
    pub fn is_preview(&self) -> bool {
        matches!(self, SinkOptions::Preview { .. })
    }
}

/// What the names of hidden columns begin with behind the columns of a row without a window.
pub const ROW: &str = "__row";

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

/// The columns that a bare SELECT shows.
pub fn shown_columns(plan: &LogicalPlan) -> SchemaRef {
    let fields = plan.schema().fields().iter();
    let shown = fields.filter(|field| field.name() != FRAME);
    let shown = shown.map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    Arc::new(Schema::new(shown.collect::<Vec<_>>()))
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

/// The query's columns, by position, as the sink's. Only its first `selected` columns are the SQL's own;
/// `_timestamp` among them is one of the sink's if there would be one too few without it (a `*` brings it
/// along). Hidden columns stay behind, or come last.
pub fn into_sink(
    plan: LogicalPlan,
    sink: &SchemaRef,
    selected: usize,
    keep_hidden: bool,
) -> Result<LogicalPlan> {
    let named = |wanted: &str| {
        let columns = plan.schema().fields().iter().take(selected);
        columns.filter(|field| field.name() == wanted).count()
    };
    let with_time = selected - named(FRAME) == sink.fields().len();
    let visible: Vec<Expr> = plan
        .schema()
        .iter()
        .take(selected)
        .filter(|(_, field)| field.name() != FRAME && (with_time || field.name() != TIMESTAMP))
        .map(|(qualifier, field)| Expr::Column(Column::from((qualifier, field))))
        .collect();
    if visible.len() != sink.fields().len() {
        let names: Vec<&str> = sink.fields().iter().map(|f| f.name().as_str()).collect();
        let message = format!(
            "the query has {} columns, the table it goes into has {}",
            visible.len(),
            names.len()
        );
        let help = format!("the table has ({})", names.join(", "));
        return Err(Refusal::new(Place::Selected, message).help(help).into());
    }
    let mut exprs = visible
        .into_iter()
        .zip(sink.fields())
        .enumerate()
        .map(|(at, (expr, field))| into_column(expr, &plan, field, at))
        .collect::<Result<Vec<_>>>()?;
    if keep_hidden {
        for name in HIDDEN {
            match plan.schema().iter().find(|(_, field)| field.name() == name) {
                Some((qualifier, field)) => {
                    let column = Expr::Column(Column::from((qualifier, field)));
                    // Under a name of its own: the SQL may select _timestamp too.
                    exprs.push(column.alias(format!("{ROW}{name}")));
                }
                None => return plan_err!("the query's rows do not come from a stream"),
            }
        }
    }
    Ok(LogicalPlan::Projection(Projection::try_new(
        exprs,
        Arc::new(plan),
    )?))
}

fn into_column(expr: Expr, plan: &LogicalPlan, field: &Field, at: usize) -> Result<Expr> {
    let found = expr.get_type(plan.schema())?;
    let wanted = field.data_type();
    let expr = match () {
        () if found == *wanted => expr,
        () if fits(&found, wanted) => expr.cast_to(wanted, plan.schema())?,
        () => {
            let message = format!(
                "column \"{}\" of the table is {}, the query gives {}",
                field.name(),
                sql_name(wanted),
                sql_name(&found)
            );
            let help = format!("CAST(… AS {}), or declare the column so", sql_name(wanted));
            return Err(Refusal::new(Place::Column(at), message).help(help).into());
        }
    };
    Ok(expr.alias(field.name()))
}

/// Whether every value of `found` has its like in `wanted`.
fn fits(found: &DataType, wanted: &DataType) -> bool {
    use DataType::*;
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    let whole = |t: &DataType| t.is_integer();
    match (found, wanted) {
        (Null, _) => true,
        (found, wanted) if text(found) && text(wanted) => true,
        (found, wanted) if whole(found) && whole(wanted) => {
            let width = |t: &DataType| t.primitive_width().unwrap_or(0);
            width(found) <= width(wanted) || *found == UInt64 && *wanted == Int64
        }
        (found, Float64) => whole(found) || found.is_floating() || found.is_decimal(),
        (found, Float32) => matches!(found, Float16 | Int8 | Int16 | UInt8 | UInt16),
        (Timestamp(_, None), Timestamp(_, None)) => true,
        (Date32, Timestamp(_, None)) => true,
        (found, Decimal128(..)) => found.is_decimal() || whole(found),
        (Binary | LargeBinary | BinaryView, Binary | LargeBinary | BinaryView) => true,
        _ => false,
    }
}

/// Two INSERTs may not write to one folder, nor into each other's.
pub fn check_apart(file: &SqlFile, outputs: &[Output], faults: &mut Vec<Diagnostic>) {
    let mut spans: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for statement in &file.statements {
        if let Statement::Insert { table, .. } = statement {
            spans.entry(table_name(table)).or_default().push(table.span);
        }
    }
    fn path(output: &Output) -> Option<&Path> {
        output.sink.files().map(|files| files.path.as_path())
    }
    for (at, output) in outputs.iter().enumerate() {
        let Some(folder) = path(output) else {
            continue;
        };
        let clash = outputs[..at].iter().find(|other| {
            path(other).is_some_and(|other| folder.starts_with(other) || other.starts_with(folder))
        });
        if let (Some(other), Some(span)) = (clash, spans.get(&output.table).and_then(|s| s.last()))
        {
            let message = format!(
                "\"{}\" writes to {}, which is also a folder of \"{}\"",
                output.table,
                folder.display(),
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
