//! CREATE TABLE: columns, the watermark, and the connector. Every fault of the statement is found at once
//! where the next column or option can still be told apart.

use arrow::datatypes::{DataType, Field};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::ast::Ident;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

use super::connector::{self, Connector, FrameFormat};
use super::diagnostic::Diagnostic;
use super::options;
use super::parser::Reader;
use super::tokens::{self, closing_angles};
use super::types::{self, SqlType};

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

/// What the parentheses after the name hold.
#[derive(Default)]
struct Body {
    columns: Vec<ColumnDef>,
    watermark: Option<WatermarkDef>,
    /// Canonical text of each part, in order.
    canonical: Vec<String>,
}

/// Reads what follows CREATE TABLE.
pub(super) fn create_table(reader: &mut Reader) -> Result<TableDef, Diagnostic> {
    let name = reader.name("the table's name")?;
    if reader.parser.peek_token_ref().token != Token::LParen {
        return Err(reader
            .expected("(")
            .with_help("CREATE TABLE name (column type, …) WITH (connector = …, …)"));
    }
    reader.parser.advance_token();
    let body = body(reader)?;
    let with = reader.parser.peek_token();
    if !reader.parser.parse_keyword(Keyword::WITH) {
        return Err(reader
            .expected("WITH (connector = …)")
            .with_help("the local engine does not run tables in memory; a name for a query is CREATE VIEW name AS …"));
    }
    let options = options::parse(reader, with.span)?;
    let connector = connector::connector(reader, options);
    check_columns(reader, &name, &body, connector.as_ref());
    let Some(connector) = connector else {
        // The reader has the faults, one of which is the statement's.
        let last = reader.faults.pop();
        return Err(
            last.unwrap_or_else(|| reader.source.diagnostic(with.span, "unknown connector"))
        );
    };
    let canonical = format!(
        "create table {} ( {} ) with ( {} )",
        name.value,
        body.canonical.join(" , "),
        connector.canonical()
    );
    Ok(TableDef {
        name,
        span: tokens::span_of(reader.tokens),
        columns: body.columns,
        watermark: body.watermark,
        connector,
        canonical,
    })
}

fn body(reader: &mut Reader) -> Result<Body, Diagnostic> {
    let mut body = Body::default();
    loop {
        let from = reader.parser.index();
        if let Err(fault) = part(reader, &mut body) {
            reader.faults.push(fault);
            skip_part(reader, from);
        }
        let range = from..reader.parser.index();
        body.canonical.push(tokens::canonical(
            reader.tokens.get(range).unwrap_or_default(),
        ));
        if !reader.parser.consume_token(&Token::Comma) {
            break;
        }
    }
    reader.token(&Token::RParen)?;
    Ok(body)
}

/// A column, or the watermark.
fn part(reader: &mut Reader, body: &mut Body) -> Result<(), Diagnostic> {
    let first = reader.parser.peek_token();
    let Token::Word(word) = &first.token else {
        return Err(reader.expected("a column's name"));
    };
    let next = reader.parser.peek_nth_token_ref(1).token.clone();
    match word.keyword {
        _ if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("watermark") => {
            let watermark = watermark(reader)?;
            if body.watermark.is_some() {
                let message = "a table has one WATERMARK FOR only";
                return Err(reader.source.diagnostic(watermark.span, message));
            }
            body.watermark = Some(watermark);
        }
        Keyword::PRIMARY
        | Keyword::UNIQUE
        | Keyword::CONSTRAINT
        | Keyword::FOREIGN
        | Keyword::CHECK
            if matches!(&next, Token::Word(w) if w.keyword == Keyword::KEY)
                || next == Token::LParen
                || word.keyword == Keyword::CONSTRAINT =>
        {
            let message = format!("the local engine does not run {} constraints", word.value);
            return Err(reader.source.diagnostic(first.span, message));
        }
        _ => {
            let column = column(reader)?;
            if body.columns.iter().any(|known| known.name == column.name) {
                let message = format!("the table has two columns \"{}\"", column.name);
                return Err(reader.source.diagnostic(first.span, message));
            }
            body.columns.push(column);
        }
    }
    match reader.parser.peek_token_ref().token {
        Token::Comma | Token::RParen => Ok(()),
        _ => Err(reader.expected(", or ) after a column")),
    }
}

/// Goes on to the comma or parenthesis that ends the part which began at `from`.
fn skip_part(reader: &mut Reader, from: usize) {
    while reader.parser.index() > from {
        reader.parser.prev_token();
    }
    let (mut depth, mut angles) = (0_usize, 0_usize);
    let mut before = Keyword::NoKeyword;
    loop {
        let token = reader.parser.peek_token_ref();
        match &token.token {
            Token::EOF => return,
            Token::Comma | Token::RParen if depth + angles == 0 => return,
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            Token::Lt if matches!(before, Keyword::STRUCT | Keyword::ARRAY) => angles += 1,
            closing => angles = angles.saturating_sub(closing_angles(closing)),
        }
        before = match &token.token {
            Token::Word(word) => word.keyword,
            _ => Keyword::NoKeyword,
        };
        reader.parser.advance_token();
    }
}

fn watermark(reader: &mut Reader) -> Result<WatermarkDef, Diagnostic> {
    let from = reader.parser.index();
    reader.parser.advance_token();
    if !reader.parser.parse_keyword(Keyword::FOR) {
        return Err(reader
            .expected("FOR")
            .with_help("a column of that name needs \"quotes\"; the clause is WATERMARK FOR column [AS expression]"));
    }
    let column = reader
        .parser
        .parse_identifier()
        .map_err(|error| reader.fault(error))?;
    let expr = if reader.parser.parse_keyword(Keyword::AS) {
        Some(Box::new(expression(reader)?))
    } else {
        None
    };
    Ok(WatermarkDef {
        column,
        expr,
        span: span_from(reader, from),
    })
}

fn column(reader: &mut Reader) -> Result<ColumnDef, Diagnostic> {
    let from = reader.parser.index();
    let Token::Word(name) = reader.parser.next_token().token else {
        return Err(reader.expected("a column's name"));
    };
    if let Token::Comma | Token::RParen = reader.parser.peek_token_ref().token {
        return Err(reader.expected(&format!("the type of column \"{}\"", name.value)));
    }
    let sql_type = types::data_type(reader)?;
    let mut column = ColumnDef {
        name: name.value,
        data_type: sql_type.data_type,
        is_json: sql_type.is_json,
        nullable: true,
        kind: ColumnKind::Physical,
        span: Span::empty(),
    };
    while !matches!(
        reader.parser.peek_token_ref().token,
        Token::Comma | Token::RParen | Token::EOF
    ) {
        column_option(reader, &mut column)?;
    }
    column.span = span_from(reader, from);
    Ok(column)
}

fn column_option(reader: &mut Reader, column: &mut ColumnDef) -> Result<(), Diagnostic> {
    let at = reader.parser.peek_token().span;
    let parser = &mut reader.parser;
    let kind = if parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]) {
        column.nullable = false;
        return Ok(());
    } else if parser.parse_keyword(Keyword::NULL) {
        return Ok(());
    } else if parser.parse_keywords(&[Keyword::GENERATED, Keyword::ALWAYS, Keyword::AS]) {
        reader.token(&Token::LParen)?;
        let expr = expression(reader)?;
        reader.token(&Token::RParen)?;
        let _ = reader
            .parser
            .parse_one_of_keywords(&[Keyword::STORED, Keyword::VIRTUAL]);
        ColumnKind::Generated(Box::new(expr))
    } else if parser.parse_keywords(&[Keyword::METADATA, Keyword::FROM]) {
        ColumnKind::Metadata(metadata_key(reader)?)
    } else {
        return Err(reader.expected(", or ) after a column").with_help(
            "a type may be followed by NOT NULL, GENERATED ALWAYS AS (…) or METADATA FROM '…'",
        ));
    };
    if !matches!(column.kind, ColumnKind::Physical) {
        let message = "a column is either GENERATED or METADATA, and once";
        return Err(reader.source.diagnostic(at, message));
    }
    column.kind = kind;
    Ok(())
}

fn metadata_key(reader: &mut Reader) -> Result<String, Diagnostic> {
    let token = reader.parser.peek_token();
    let Token::SingleQuotedString(key) = token.token else {
        return Err(reader.expected("a quoted metadata key"));
    };
    let names = METADATA.iter().map(|(name, _)| *name);
    if !names.clone().any(|name| name == key) {
        let all = format!("keys are {}", names.clone().collect::<Vec<_>>().join(", "));
        return Err(reader
            .source
            .diagnostic(token.span, format!("unknown metadata '{key}'"))
            .with_nearest(&key, names, Some(all)));
    }
    reader.parser.advance_token();
    Ok(key)
}

fn expression(reader: &mut Reader) -> Result<ast::Expr, Diagnostic> {
    reader
        .parser
        .parse_expr()
        .map_err(|error| reader.fault(error))
}

fn span_from(reader: &Reader, from: usize) -> Span {
    tokens::span_of(
        reader
            .tokens
            .get(from..reader.parser.index())
            .unwrap_or_default(),
    )
}

/// What columns, watermark and connector say together. Skipped where columns are missing through faults.
fn check_columns(reader: &mut Reader, name: &Ident, body: &Body, connector: Option<&Connector>) {
    let mut faults = Vec::new();
    if reader.faults.is_empty() || connector.is_some() {
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
        Some(Connector::KafkaSource(options)) if options.format == FrameFormat::RawString => {
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
        Some(Connector::FilesystemSink(_)) => {
            for column in &body.columns {
                if !matches!(column.kind, ColumnKind::Physical) {
                    let message = "a sink's columns are neither GENERATED nor METADATA";
                    faults.push(reader.source.diagnostic(column.span, message));
                }
            }
            if let Some(watermark) = &body.watermark {
                let message = "a sink has no watermark";
                faults.push(reader.source.diagnostic(watermark.span, message));
            }
        }
        _ => {}
    }
    reader.faults.extend(faults);
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

fn sql_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Int64 => "BIGINT",
        DataType::Int32 => "INT",
        DataType::Binary => "BYTEA",
        _ => "TEXT",
    }
}
