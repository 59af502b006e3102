//! `WITH (…)`: the options of a table as they are written, and taking them out one by one.
//!
//! An option that nobody has taken is an unknown one. No message ever holds an option's value
//! unless it is one of a fixed set of words, since values may be secrets.

use std::time::Duration;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

use super::diagnostic::Diagnostic;
use super::parser::Reader;
use super::tokens::span_of;
use crate::model::{nearest, parse_duration};

/// Whether an option of this name holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    name == "client_configs"
        || ["password", "secret", "api_key", "username"]
            .iter()
            .any(|word| name.contains(word))
}

/// An option as it is written. Deliberately without `Debug`.
struct RawOption {
    name: String,
    name_span: Span,
    value: Value,
    value_span: Span,
}

/// A value as it is written.
enum Value {
    /// `'text'`
    Text(String),
    /// `12`, `-1`, `1.5`
    Number(String),
    /// `true`, `false`
    Boolean,
    /// `interval '1 second'`
    Interval(String),
    /// `[a, 'b']`
    List,
    /// A bare word: a column's name.
    Word,
}

/// The options of one table, from which its connector takes what it knows.
pub(super) struct Options {
    options: Vec<RawOption>,
    /// Every name that was asked for: what an unknown one may have been meant to be.
    asked: Vec<&'static str>,
    /// The whole of `WITH (…)`, for what is missing.
    pub span: Span,
}

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
        }
        options.push(option);
        if !reader.parser.consume_token(&Token::Comma) {
            break;
        }
    }
    if reader.parser.peek_token_ref().token != Token::RParen {
        return Err(reader.expected(", or ) after an option"));
    }
    reader.parser.advance_token();
    Ok(Options {
        options,
        asked: Vec::new(),
        span: with,
    })
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
        Token::LBracket => {
            list(reader)?;
            Value::List
        }
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
            _ => Value::Word,
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

/// Passes over the rest of `[a, 'b']`.
fn list(reader: &mut Reader) -> Result<(), Diagnostic> {
    while !reader.parser.consume_token(&Token::RBracket) {
        match reader.parser.peek_token_ref().token {
            Token::Word(_) | Token::SingleQuotedString(_) => reader.parser.advance_token(),
            _ => return Err(reader.expected("a column's name")),
        }
        if !reader.parser.consume_token(&Token::Comma) {
            reader.token(&Token::RBracket)?;
            break;
        }
    }
    Ok(())
}

/// A value that was taken, and where it stands.
pub(super) struct Taken<T> {
    pub value: T,
    pub span: Span,
}

impl Options {
    /// Whether it is given and was not taken yet.
    pub fn has(&mut self, name: &'static str) -> bool {
        self.asked.push(name);
        self.options.iter().any(|option| option.name == name)
    }

    fn take(&mut self, name: &'static str) -> Option<RawOption> {
        self.asked.push(name);
        let index = self.options.iter().position(|option| option.name == name)?;
        Some(self.options.remove(index))
    }

    /// A string, if it is given.
    pub fn text(&mut self, reader: &mut Reader, name: &'static str) -> Option<Taken<String>> {
        let option = self.take(name)?;
        match option.value {
            Value::Text(value) => Some(Taken {
                value,
                span: option.value_span,
            }),
            _ => reject(reader, &option, "a 'string'"),
        }
    }

    /// A string that must be given, and not be empty.
    pub fn required_text(
        &mut self,
        reader: &mut Reader,
        name: &'static str,
    ) -> Option<Taken<String>> {
        if !self.has(name) {
            let near = self.near(name);
            let fault = reader
                .source
                .diagnostic(self.span, format!("option '{name}' is missing"));
            reader.faults.push(match near {
                Some(near) => fault.with_help(format!("is it what '{near}' was meant to be?")),
                None => fault,
            });
            return None;
        }
        let taken = self.text(reader, name)?;
        if taken.value.trim().is_empty() {
            let message = format!("option '{name}' is empty");
            reader
                .faults
                .push(reader.source.diagnostic(taken.span, message));
            return None;
        }
        Some(taken)
    }

    fn near(&self, name: &str) -> Option<String> {
        nearest(name, self.options.iter().map(|option| option.name.as_str())).map(str::to_owned)
    }

    /// One of some words, if it is given.
    pub fn choice<T: Copy>(
        &mut self,
        reader: &mut Reader,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<Taken<T>> {
        let taken = self.text(reader, name)?;
        let chosen = choices.iter().find(|(word, _)| *word == taken.value);
        if let Some((_, value)) = chosen {
            return Some(Taken {
                value: *value,
                span: taken.span,
            });
        }
        let words: Vec<String> = choices
            .iter()
            .map(|(word, _)| format!("'{word}'"))
            .collect();
        let fault = reader
            .source
            .diagnostic(taken.span, format!("'{name}' cannot be this"))
            .with_help(format!("it is one of {}", words.join(", ")));
        reader.faults.push(fault);
        None
    }

    /// A whole number, as such or quoted, if it is given.
    pub fn integer(&mut self, reader: &mut Reader, name: &'static str) -> Option<Taken<i64>> {
        let option = self.take(name)?;
        let parsed = match &option.value {
            Value::Number(digits) | Value::Text(digits) => digits.trim().parse().ok(),
            _ => None,
        };
        match parsed {
            Some(value) => Some(Taken {
                value,
                span: option.value_span,
            }),
            None => reject(reader, &option, "a whole number"),
        }
    }

    /// A number of bytes such as `'128MB'`, if it is given.
    pub fn bytes(&mut self, reader: &mut Reader, name: &'static str) -> Option<Taken<u64>> {
        let option = self.take(name)?;
        let parsed = match &option.value {
            Value::Text(text) => parse_bytes(text),
            _ => None,
        };
        match parsed {
            Some(value) => Some(Taken {
                value,
                span: option.value_span,
            }),
            None => reject(
                reader,
                &option,
                "a size above 0 such as '128MB' (B, KB, MB, GB)",
            ),
        }
    }

    /// A length of time without months, as an interval or (Arroyo's old form) a string, if it is given.
    pub fn duration(&mut self, reader: &mut Reader, name: &'static str) -> Option<Taken<Duration>> {
        let option = self.take(name)?;
        let parsed = match &option.value {
            Value::Interval(text) | Value::Text(text) => parse_duration(text),
            _ => None,
        };
        match parsed {
            Some(value) => Some(Taken {
                value,
                span: option.value_span,
            }),
            None => reject(
                reader,
                &option,
                "an interval without months, such as interval '1 second'",
            ),
        }
    }

    /// Refuses those of `names` that are given: the dialect knows them, this engine does not run
    /// them. A name that ends in `.` stands for all that begin so.
    pub fn not_run(&mut self, reader: &mut Reader, names: &[&str]) {
        self.options.retain(|option| {
            let known = names.iter().any(|name| {
                *name == option.name || (name.ends_with('.') && option.name.starts_with(name))
            });
            if known {
                let message = format!("the local engine does not run the option '{}'", option.name);
                reader
                    .faults
                    .push(reader.source.diagnostic(option.name_span, message));
            }
            !known
        });
    }

    /// Refuses what nobody has taken.
    pub fn finish(self, reader: &mut Reader, of: &str) {
        for option in &self.options {
            let names = format!("options of {of} are {}", self.asked.join(", "));
            let fault = reader
                .source
                .diagnostic(
                    option.name_span,
                    format!("unknown option '{}'", option.name),
                )
                .with_nearest(&option.name, self.asked.iter().copied(), Some(names));
            reader.faults.push(fault);
        }
    }
}

fn reject<T>(reader: &mut Reader, option: &RawOption, wanted: &str) -> Option<Taken<T>> {
    let message = format!("option '{}' must be {wanted}", option.name);
    reader
        .faults
        .push(reader.source.diagnostic(option.value_span, message));
    None
}

/// `128MB`, `1 048 576` without the spaces, `64k`: powers of 1024, as Arroyo has them. Above 0.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let power = match unit.to_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" => 1,
        "m" | "mb" => 2,
        "g" | "gb" => 3,
        "t" | "tb" => 4,
        _ => return None,
    };
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(1024_u64.checked_pow(power)?)
        .filter(|bytes| *bytes > 0)
}
