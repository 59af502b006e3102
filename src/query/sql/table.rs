//! What a table is: its columns, its watermark and its connector, and whether they go together.

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::ast::Ident;
use datafusion::sql::sqlparser::tokenizer::Span;

use super::connector::{
    Connector, FrameFormat, check_columns, check_delta_columns, check_kafka_columns, check_types,
};
use super::create_table::Body;
use super::diagnostic::Diagnostic;
use super::parser::Reader;
use super::types::SqlType;

/// A table of the file: a source or a sink.
#[derive(Debug, Clone)]
pub struct TableDef {
    /// Its name, as written; an unquoted one is the same in lower case.
    pub name: Ident,
    /// The whole statement.
    pub span: Span,
    /// Columns, in order. Names keep the case they are written in, as JSON fields do.
    pub columns: Vec<ColumnDef>,
    /// `WATERMARK FOR …`.
    pub watermark: Option<WatermarkDef>,
    /// Columns of `PRIMARY KEY`, in either form, in order; empty: there is none.
    pub primary_key: Vec<Ident>,
    /// What it stands for.
    pub connector: Connector,
    pub(super) canonical: String,
}

/// A column of a table.
#[derive(Debug, Clone)]
pub struct ColumnDef {
    /// Its name, as written.
    pub name: String,
    /// Its type; text is Utf8View, TIMESTAMP has no zone (it is UTC).
    pub data_type: DataType,
    /// Whether the text is a JSON document.
    pub is_json: bool,
    /// False for NOT NULL.
    pub nullable: bool,
    /// Where its values come from.
    pub kind: ColumnKind,
    /// From the name to the end of the definition.
    pub span: Span,
}

impl ColumnDef {
    /// The column as a field; JSON text is marked as Arrow's extension type `arrow.json`.
    pub fn field(&self) -> Field {
        let sql_type = SqlType {
            data_type: self.data_type.clone(),
            is_json: self.is_json,
        };
        sql_type.field(&self.name, self.nullable)
    }
}

/// Where a column's values come from.
#[derive(Debug, Clone)]
pub enum ColumnKind {
    /// A field of the frame, or a column of the files.
    Physical,
    /// `GENERATED ALWAYS AS (expression)` over the other kinds.
    Generated(Box<ast::Expr>),
    /// `METADATA FROM 'key'`: something about the message. One of [`METADATA`].
    Metadata(String),
}

/// `WATERMARK FOR column [AS expression]`.
#[derive(Debug, Clone)]
pub struct WatermarkDef {
    /// The column that is the frames' event time.
    pub column: Ident,
    /// The watermark; `None`: the column itself.
    pub expr: Option<Box<ast::Expr>>,
    /// The whole clause.
    pub span: Span,
}

/// What Kafka knows of a message: keys of METADATA FROM, with the types their columns have.
pub const METADATA: [(&str, DataType); 5] = [
    ("offset_id", DataType::Int64),
    ("partition", DataType::Int32),
    ("topic", DataType::Utf8View),
    ("timestamp", DataType::Int64),
    ("key", DataType::Binary),
];

/// What columns, watermark and connector say together.
pub(super) fn check(reader: &mut Reader, name: &Ident, body: &Body, connector: Option<&Connector>) {
    let mut faults = Vec::new();
    if !body.is_partial {
        check_watermark(reader, body, &mut faults);
    }
    for column in &body.columns {
        let ColumnKind::Metadata(key) = &column.kind else {
            continue;
        };
        let wanted = METADATA.iter().find(|(name, _)| name == key);
        if let Some((_, wanted)) = wanted
            && *wanted != column.data_type
        {
            let message = format!("metadata '{key}' is {}", sql_name(wanted));
            faults.push(reader.source.diagnostic(column.span, message));
        }
    }
    match connector {
        Some(Connector::KafkaSource(options))
            if options.format == FrameFormat::RawString && !body.is_partial =>
        {
            let physical: Vec<&ColumnDef> = body
                .columns
                .iter()
                .filter(|column| matches!(column.kind, ColumnKind::Physical))
                .collect();
            let as_needed = matches!(physical.as_slice(), [column]
                if column.name == "value" && column.data_type == DataType::Utf8View);
            if !as_needed {
                let fault = reader
                    .source
                    .diagnostic(name.span, "format 'raw_string' gives one column only")
                    .with_help(
                        "declare value TEXT, and what else you need as GENERATED or METADATA",
                    );
                faults.push(fault);
            }
        }
        Some(
            Connector::FilesystemSink(_)
            | Connector::KafkaSink(_)
            | Connector::PostgresSink(_)
            | Connector::StdoutSink(_)
            | Connector::DeltaSink(_),
        ) => {
            plain_columns(reader, body, "a sink", &mut faults);
        }
        Some(Connector::StaticTable(_)) => {
            plain_columns(reader, body, "a static table", &mut faults);
        }
        _ => {}
    }
    if let Some(Connector::FilesystemSink(options)) = connector
        && !body.is_partial
    {
        check_columns(reader.source, options, &body.columns, &mut faults);
    }
    if let Some(Connector::PostgresSink(_)) = connector {
        check_types(reader.source, &body.columns, &mut faults);
    }
    if let Some(Connector::DeltaSink(options)) = connector
        && !body.is_partial
    {
        check_delta_columns(reader.source, options, &body.columns, &mut faults);
    }
    if let Some(Connector::KafkaSink(options)) = connector
        && !body.is_partial
    {
        check_kafka_columns(reader.source, options, &body.columns, &mut faults);
    }
    if let Some(connector) = connector
        && !body.is_partial
    {
        check_key(reader, body, connector, &mut faults);
    }
    reader.faults.extend(faults);
}

/// A PRIMARY KEY is for what has keys, and of columns that are there.
fn check_key(reader: &Reader, body: &Body, connector: &Connector, faults: &mut Vec<Diagnostic>) {
    let Some(first) = body.primary_key.first() else {
        return;
    };
    if let Some(why) = connector.refuses_key() {
        let message = format!("PRIMARY KEY: {why}");
        faults.push(reader.source.diagnostic(first.span, message));
        return;
    }
    for (at, key) in body.primary_key.iter().enumerate() {
        let names = body.columns.iter().map(|column| column.name.as_str());
        if body.primary_key[..at].iter().any(|k| k.value == key.value) {
            let message = format!("PRIMARY KEY names \"{}\" twice", key.value);
            faults.push(reader.source.diagnostic(key.span, message));
        } else if !names.clone().any(|name| name == key.value) {
            let message = format!("the table has no column \"{}\"", key.value);
            let fault = reader.source.diagnostic(key.span, message);
            faults.push(fault.with_nearest(&key.value, names, None));
        }
    }
}

/// Columns of files: what is in them and nothing else.
fn plain_columns(reader: &Reader, body: &Body, what: &str, faults: &mut Vec<Diagnostic>) {
    for column in &body.columns {
        if !matches!(column.kind, ColumnKind::Physical) {
            let message = format!("{what}'s columns are neither GENERATED nor METADATA");
            faults.push(reader.source.diagnostic(column.span, message));
        }
    }
    if let Some(watermark) = &body.watermark {
        let message = format!("{what} has no watermark");
        faults.push(reader.source.diagnostic(watermark.span, message));
    }
}

fn check_watermark(reader: &Reader, body: &Body, faults: &mut Vec<Diagnostic>) {
    let Some(watermark) = &body.watermark else {
        return;
    };
    let wanted = &watermark.column;
    let names = body.columns.iter().map(|column| column.name.as_str());
    match body
        .columns
        .iter()
        .find(|column| column.name == wanted.value)
    {
        None => faults.push(
            reader
                .source
                .diagnostic(
                    wanted.span,
                    format!("the table has no column \"{}\"", wanted.value),
                )
                .with_nearest(&wanted.value, names, None),
        ),
        Some(column) if !matches!(column.data_type, DataType::Timestamp(_, None)) => {
            let message = format!(
                "the watermark's column \"{}\" is no TIMESTAMP",
                wanted.value
            );
            faults.push(reader.source.diagnostic(wanted.span, message));
        }
        Some(_) => {}
    }
}

/// A type as SQL names it; one that has no such name as Arrow does. Never with a space after a comma.
pub fn sql_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int64 => "BIGINT",
        DataType::Int32 => "INT",
        DataType::Float64 => "DOUBLE",
        DataType::Float32 => "FLOAT",
        DataType::Date32 => "DATE",
        DataType::Binary => "BYTEA",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT",
        DataType::Timestamp(TimeUnit::Nanosecond, None) => "TIMESTAMP",
        DataType::Decimal128(precision, scale) => return format!("DECIMAL({precision},{scale})"),
        DataType::List(item) => return format!("{}[]", sql_name(item.data_type())),
        other => return other.to_string().replace(", ", ","),
    };
    name.to_string()
}
