//! Reads CREATE TABLE. Every fault of the statement is found at once where the next column or option can
//! still be told apart.

use datafusion::sql::sqlparser::ast::{self, Ident};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::IsOptional;
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

use super::diagnostic::Diagnostic;
use super::parser::Reader;
use super::table::{self, ColumnDef, ColumnKind, METADATA, TableDef, WatermarkDef};
use super::tokens::{self, closing_angles};
use super::{connector, table_name, types, with};

/// What the parentheses after the name hold.
#[derive(Default)]
pub(super) struct Body {
    pub columns: Vec<ColumnDef>,
    pub watermark: Option<WatermarkDef>,
    /// `PRIMARY KEY`, in either form.
    pub primary_key: Vec<Ident>,
    /// Canonical text of each part, in order.
    canonical: Vec<String>,
    /// Whether there are columns that could not be read.
    pub is_partial: bool,
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
    let with_word = reader.parser.peek_token();
    if !reader.parser.parse_keyword(Keyword::WITH) {
        return Err(reader
            .expected("WITH (connector = …)")
            .with_help("the local engine does not run tables in memory; a name for a query is CREATE VIEW name AS …"));
    }
    let options = with::parse(reader, with_word.span)?;
    let connector = connector::connector(reader, options, &table_name(&name));
    table::check(reader, &name, &body, connector.as_ref());
    let Some(connector) = connector else {
        // The reader has the faults, one of which is the statement's.
        let last = reader.faults.pop();
        return Err(last.unwrap_or_else(|| {
            reader
                .source
                .diagnostic(with_word.span, "unknown connector")
        }));
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
        primary_key: body.primary_key,
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
            body.is_partial = true;
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
        Keyword::PRIMARY if matches!(&next, Token::Word(w) if w.keyword == Keyword::KEY) => {
            primary_key(reader, body)?;
        }
        Keyword::UNIQUE | Keyword::CONSTRAINT | Keyword::FOREIGN | Keyword::CHECK
            if next == Token::LParen || word.keyword == Keyword::CONSTRAINT =>
        {
            let message = format!("the local engine does not run {} constraints", word.value);
            return Err(reader.source.diagnostic(first.span, message));
        }
        _ => {
            let column = column(reader, &mut body.primary_key)?;
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

/// `PRIMARY KEY (column, …)`: the key of the rows.
fn primary_key(reader: &mut Reader, body: &mut Body) -> Result<(), Diagnostic> {
    let from = reader.parser.index();
    reader.parser.advance_token();
    reader.parser.advance_token();
    let columns = reader
        .parser
        .parse_parenthesized_column_list(IsOptional::Mandatory, false)
        .map_err(|error| reader.fault(error))?;
    if !body.primary_key.is_empty() {
        let message = "a table has one PRIMARY KEY only";
        return Err(reader.source.diagnostic(span_from(reader, from), message));
    }
    body.primary_key = columns;
    Ok(())
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

fn column(reader: &mut Reader, primary_key: &mut Vec<Ident>) -> Result<ColumnDef, Diagnostic> {
    let from = reader.parser.index();
    let first = reader.parser.next_token();
    let Token::Word(name) = first.token else {
        return Err(reader.expected("a column's name"));
    };
    let ident = name.clone().into_ident(first.span);
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
        match reader
            .parser
            .parse_keywords(&[Keyword::PRIMARY, Keyword::KEY])
        {
            true => primary_key.push(ident.clone()),
            false => column_option(reader, &mut column)?,
        }
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
            "a type may be followed by NOT NULL, PRIMARY KEY, GENERATED ALWAYS AS (…) or METADATA FROM '…'",
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
