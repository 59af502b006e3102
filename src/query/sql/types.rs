//! SQL type names → Arrow types, as Arroyo maps them (its `types.rs`), text as Utf8View.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, TimeUnit};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

use super::diagnostic::Diagnostic;
use super::parser::Reader;
use super::tokens::closing_angles;
use crate::model::{EXTENSION_NAME_KEY, JSON_EXTENSION};

/// Names in the help of an unknown type.
const TYPE_NAMES: [&str; 21] = [
    "TEXT",
    "VARCHAR",
    "STRING",
    "BIGINT",
    "INT",
    "INTEGER",
    "SMALLINT",
    "TINYINT",
    "DOUBLE",
    "FLOAT",
    "REAL",
    "BOOLEAN",
    "TIMESTAMP",
    "DATE",
    "TIME",
    "BYTEA",
    "JSON",
    "DECIMAL",
    "NUMERIC",
    "STRUCT",
    "ARRAY",
];

/// A column's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SqlType {
    pub data_type: DataType,
    /// Text that holds a JSON document.
    pub is_json: bool,
}

impl SqlType {
    /// A field of this type; JSON text is marked by its metadata.
    pub fn field(&self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.data_type.clone(), nullable);
        if self.is_json {
            let mark = (EXTENSION_NAME_KEY.to_owned(), JSON_EXTENSION.to_owned());
            field.with_metadata([mark].into())
        } else {
            field
        }
    }
}

/// Reads a type.
pub(super) fn data_type(reader: &mut Reader) -> Result<SqlType, Diagnostic> {
    let mut angles = OpenAngles::default();
    let sql_type = nested_type(reader, &mut angles)?;
    if angles.closed_ahead > 0 {
        let at = reader.parser.get_current_token().span;
        return Err(reader.source.diagnostic(at, "a > too many"));
    }
    Ok(sql_type)
}

/// `>>` is one token that closes two types: the second is closed ahead of its turn.
#[derive(Default)]
struct OpenAngles {
    closed_ahead: usize,
}

impl OpenAngles {
    fn open(&mut self, reader: &mut Reader) -> Result<(), Diagnostic> {
        reader.token(&Token::Lt)
    }

    fn close(&mut self, reader: &mut Reader) -> Result<(), Diagnostic> {
        if self.closed_ahead > 0 {
            self.closed_ahead -= 1;
            return Ok(());
        }
        let count = closing_angles(&reader.parser.peek_token_ref().token);
        if count == 0 {
            return Err(reader.expected(", or >"));
        }
        reader.parser.advance_token();
        self.closed_ahead = count - 1;
        Ok(())
    }
}

/// A type inside others. Its depth is bounded by [`super::tokens::check_limits`].
fn nested_type(reader: &mut Reader, angles: &mut OpenAngles) -> Result<SqlType, Diagnostic> {
    let name = reader.parser.peek_token();
    let Token::Word(word) = &name.token else {
        return Err(reader.expected("a type"));
    };
    reader.parser.advance_token();
    let mut sql_type = match word.keyword {
        _ if word.quote_style.is_some() => return Err(unknown(reader, &word.value, name.span)),
        Keyword::STRUCT => plain(struct_type(reader, angles)?),
        Keyword::ARRAY => {
            angles.open(reader)?;
            let item = nested_type(reader, angles)?;
            angles.close(reader)?;
            list_of(&item)
        }
        Keyword::JSON => SqlType {
            data_type: DataType::Utf8View,
            is_json: true,
        },
        _ => plain(scalar(reader, &word.value, name.span)?),
    };
    // As deep as it likes: `check_limits` counts the brackets.
    while angles.closed_ahead == 0 && reader.parser.consume_token(&Token::LBracket) {
        reader.token(&Token::RBracket)?;
        sql_type = list_of(&sql_type);
    }
    Ok(sql_type)
}

fn plain(data_type: DataType) -> SqlType {
    SqlType {
        data_type,
        is_json: false,
    }
}

fn list_of(item: &SqlType) -> SqlType {
    plain(DataType::List(Arc::new(
        item.field(Field::LIST_FIELD_DEFAULT_NAME, true),
    )))
}

fn struct_type(reader: &mut Reader, angles: &mut OpenAngles) -> Result<DataType, Diagnostic> {
    angles.open(reader)?;
    let mut fields: Vec<Arc<Field>> = Vec::new();
    loop {
        let name = reader.parser.peek_token();
        let Token::Word(word) = &name.token else {
            return Err(reader.expected("a field's name"));
        };
        reader.parser.advance_token();
        if fields.iter().any(|field| *field.name() == word.value) {
            let message = format!("the struct has two fields \"{}\"", word.value);
            return Err(reader.source.diagnostic(name.span, message));
        }
        let sql_type = nested_type(reader, angles)?;
        fields.push(Arc::new(sql_type.field(&word.value, true)));
        if reader.parser.peek_keyword(Keyword::NOT) {
            return Err(reader
                .expected(", or >")
                .with_help("the fields of a STRUCT are always nullable"));
        }
        if angles.closed_ahead > 0 || !reader.parser.consume_token(&Token::Comma) {
            break;
        }
    }
    angles.close(reader)?;
    Ok(DataType::Struct(Fields::from(fields)))
}

fn scalar(reader: &mut Reader, name: &str, at: Span) -> Result<DataType, Diagnostic> {
    let lower = name.to_lowercase();
    Ok(match lower.as_str() {
        "boolean" | "bool" => DataType::Boolean,
        "tinyint" => integer(reader, DataType::Int8, DataType::UInt8),
        "smallint" | "int2" => integer(reader, DataType::Int16, DataType::UInt16),
        "int" | "integer" | "int4" => integer(reader, DataType::Int32, DataType::UInt32),
        "bigint" | "int8" => integer(reader, DataType::Int64, DataType::UInt64),
        "float" | "real" | "float4" => DataType::Float32,
        "double" => {
            let _ = reader.parser.parse_keyword(Keyword::PRECISION);
            DataType::Float64
        }
        "float8" => DataType::Float64,
        "text" | "string" => DataType::Utf8View,
        "varchar" | "char" => {
            if reader.parser.peek_token_ref().token == Token::LParen {
                // The length limits nothing, in Arroyo neither.
                let _ = numbers(reader, 1)?;
            }
            DataType::Utf8View
        }
        "timestamp" | "datetime" => timestamp(reader, at)?,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Nanosecond),
        "bytea" => DataType::Binary,
        "decimal" | "numeric" => decimal(reader, at)?,
        _ => return Err(unknown(reader, name, at)),
    })
}

fn unknown(reader: &Reader, name: &str, at: Span) -> Diagnostic {
    reader
        .source
        .diagnostic(at, format!("unknown type {name}"))
        .with_nearest(
            name,
            TYPE_NAMES,
            Some(format!("types are {}", TYPE_NAMES.join(", "))),
        )
}

fn integer(reader: &mut Reader, signed: DataType, unsigned: DataType) -> DataType {
    if reader.parser.parse_keyword(Keyword::UNSIGNED) {
        unsigned
    } else {
        signed
    }
}

fn timestamp(reader: &mut Reader, at: Span) -> Result<DataType, Diagnostic> {
    let precision = match reader.parser.peek_token_ref().token {
        Token::LParen => numbers(reader, 1)?.first().copied(),
        _ => None,
    };
    let unit = match precision {
        None | Some(9) => TimeUnit::Nanosecond,
        Some(6) => TimeUnit::Microsecond,
        Some(3) => TimeUnit::Millisecond,
        Some(0) => TimeUnit::Second,
        Some(other) => {
            return Err(reader
                .source
                .diagnostic(at, format!("TIMESTAMP({other}) is not supported"))
                .with_help(
                    "0 (seconds), 3 (milliseconds), 6 (microseconds) and 9 (nanoseconds) are",
                ));
        }
    };
    if reader.parser.peek_keyword(Keyword::WITH) || reader.parser.peek_keyword(Keyword::WITHOUT) {
        return Err(reader
            .expected("the end of the type")
            .with_help("a TIMESTAMP has no time zone; it is UTC"));
    }
    Ok(DataType::Timestamp(unit, None))
}

fn decimal(reader: &mut Reader, at: Span) -> Result<DataType, Diagnostic> {
    const DEFAULT_SCALE: u64 = 10;
    let given = match reader.parser.peek_token_ref().token {
        Token::LParen => numbers(reader, 2)?,
        _ => Vec::new(),
    };
    let most = u64::from(DECIMAL128_MAX_PRECISION);
    let (precision, scale) = match given.as_slice() {
        [] => (most, DEFAULT_SCALE),
        [precision] => (*precision, 0),
        [precision, scale, ..] => (*precision, *scale),
    };
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p), Ok(s)) if (1..=most).contains(&precision) && scale <= precision => {
            Ok(DataType::Decimal128(p, s))
        }
        _ => Err(reader
            .source
            .diagnostic(at, format!("DECIMAL({precision}, {scale}) is not possible"))
            .with_help(format!(
                "DECIMAL(digits, of these after the point): 1 to {most} digits"
            ))),
    }
}

/// `(1)`, `(1, 2)`: `most` numbers at the most.
fn numbers(reader: &mut Reader, most: usize) -> Result<Vec<u64>, Diagnostic> {
    reader.token(&Token::LParen)?;
    let mut found = Vec::new();
    loop {
        let Token::Number(digits, _) = &reader.parser.peek_token_ref().token else {
            return Err(reader.expected("a whole number"));
        };
        let Ok(number) = digits.parse() else {
            return Err(reader.expected("a whole number"));
        };
        found.push(number);
        reader.parser.advance_token();
        if found.len() == most || !reader.parser.consume_token(&Token::Comma) {
            break;
        }
    }
    reader.token(&Token::RParen)?;
    Ok(found)
}
