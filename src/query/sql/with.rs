//! `WITH (name = value, …)`: a table's options as they are written.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

use super::diagnostic::Diagnostic;
use super::options::{Options, RawOption, Taken, Value};
use super::parser::Reader;
use super::tokens::span_of;

/// Reads `( name = value, … )` after WITH. A name twice is a fault.
pub(super) fn parse(reader: &mut Reader, with: Span) -> Result<Options, Diagnostic> {
    reader.token(&Token::LParen)?;
    let mut options: Vec<RawOption> = Vec::new();
    loop {
        let option = option(reader)?;
        if options.iter().any(|known| known.name == option.name) {
            let message = format!("option '{}' is given twice", option.name);
            let fault = reader.source.diagnostic(option.name_span, message);
            reader.faults.push(fault);
        } else {
            options.push(option);
        }
        if !reader.parser.consume_token(&Token::Comma) {
            break;
        }
    }
    if reader.parser.peek_token_ref().token != Token::RParen {
        return Err(reader.expected(", or ) after an option"));
    }
    reader.parser.advance_token();
    Ok(Options::new(options, with))
}

fn option(reader: &mut Reader) -> Result<RawOption, Diagnostic> {
    let name = reader.parser.peek_token();
    let text = match &name.token {
        Token::Word(word) => word.value.clone(),
        Token::SingleQuotedString(text) => text.clone(),
        _ => return Err(reader.expected("an option's name")),
    };
    reader.parser.advance_token();
    if reader.parser.peek_token_ref().token != Token::Eq {
        let fault = reader.expected("= after an option's name");
        return Err(match reader.parser.peek_token_ref().token {
            Token::Period => {
                fault.with_help(format!("a name with a dot is quoted: '{text}.…' = …"))
            }
            _ => fault,
        });
    }
    reader.parser.advance_token();
    let from = reader.parser.index();
    let value = value(reader)?;
    let value_span = span_of(
        reader
            .tokens
            .get(from..reader.parser.index())
            .unwrap_or_default(),
    );
    Ok(RawOption {
        name: text,
        name_span: name.span,
        value,
        value_span,
    })
}

fn value(reader: &mut Reader) -> Result<Value, Diagnostic> {
    let first = reader.parser.peek_token();
    reader.parser.advance_token();
    Ok(match first.token {
        Token::SingleQuotedString(text) => Value::Text(text),
        Token::Number(digits, _) => Value::Number(digits),
        Token::Minus => match reader.parser.next_token().token {
            Token::Number(digits, _) => Value::Number(format!("-{digits}")),
            _ => {
                reader.parser.prev_token();
                return Err(reader.expected("a number"));
            }
        },
        Token::LBracket => Value::List(list(reader)?),
        Token::Word(word) => match word.keyword {
            Keyword::TRUE | Keyword::FALSE => Value::Boolean,
            Keyword::INTERVAL => match reader.parser.next_token().token {
                Token::SingleQuotedString(text) => Value::Interval(with_unit(reader, text)),
                _ => {
                    reader.parser.prev_token();
                    return Err(reader
                        .expected("a quoted interval")
                        .with_help("interval '1 second'"));
                }
            },
            _ => Value::Word(word.value),
        },
        _ => {
            reader.parser.prev_token();
            return Err(reader.expected("an option's value").with_help(
                "a 'string', a number, true or false, interval '1 second', or a list [a, b]",
            ));
        }
    })
}

/// `interval '1' second` is `interval '1 second'`.
fn with_unit(reader: &mut Reader, text: String) -> String {
    if !reader.parser.next_token_is_temporal_unit() {
        return text;
    }
    match reader.parser.next_token().token {
        Token::Word(unit) => format!("{text} {}", unit.value),
        _ => text,
    }
}

/// The rest of `[a, 'b']`.
fn list(reader: &mut Reader) -> Result<Vec<Taken<String>>, Diagnostic> {
    let mut items = Vec::new();
    while !reader.parser.consume_token(&Token::RBracket) {
        let item = reader.parser.peek_token();
        let value = match item.token {
            Token::Word(word) => word.value,
            Token::SingleQuotedString(text) => text,
            _ => return Err(reader.expected("a column's name")),
        };
        reader.parser.advance_token();
        items.push(Taken {
            value,
            span: item.span,
        });
        if !reader.parser.consume_token(&Token::Comma) {
            reader.token(&Token::RBracket)?;
            break;
        }
    }
    Ok(items)
}
