//! The options of a table: a connector takes those it knows, one by one.
//!
//! An option that nobody has taken is an unknown one. No message ever holds an option's value
//! unless it is one of a fixed set of words, since values may be secrets.

use std::time::Duration;

use datafusion::sql::sqlparser::tokenizer::Span;

use super::parser::Reader;
use crate::model::{nearest, parse_duration};

/// Whether an option of this name, or of one that this was meant to be, holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    const OPEN: [&str; 9] = [
        "auth.type",
        "auth.mechanism",
        "auth.protocol",
        "auth.region",
        "storage.account_name",
        "storage.allow_http",
        "storage.aws_region",
        "storage.endpoint",
        "storage.region",
    ];
    const MARKS: [&str; 6] = [
        "passw",
        "secret",
        "api_key",
        "username",
        "client_conf",
        "sasl",
    ];
    let name = name.to_lowercase();
    MARKS.iter().any(|mark| name.contains(mark))
        || nearest(&name, ["password", "username"]).is_some()
        || (name.starts_with("auth.") || name.starts_with("storage."))
            && !OPEN.contains(&name.as_str())
}

/// Whether a text is, or has, a URL with a login, which may be a password, whatever option it is of.
pub(super) fn has_login(text: &str) -> bool {
    let behind = text.split_once("://").map(|(_, behind)| behind);
    // Behind a ? a store's URL may have a signature.
    behind.is_some_and(|behind| {
        behind.contains(['@', '?']) || behind.to_lowercase().contains("passw")
    })
}

/// An option as it is written. Deliberately without `Debug`.
pub(super) struct RawOption {
    pub name: String,
    pub name_span: Span,
    pub value: Value,
    pub value_span: Span,
}

/// A value as it is written.
pub(super) enum Value {
    /// `'text'`
    Text(String),
    /// `12`, `-1`, `1.5`
    Number(String),
    /// `true`, `false`
    Boolean,
    /// `interval '1 second'`
    Interval(String),
    /// `[a, 'b']`, each with its place.
    List(Vec<Taken<String>>),
    /// A bare word: a column's name.
    Word(String),
}

/// The options of one table, from which its connector takes what it knows.
pub(super) struct Options {
    options: Vec<RawOption>,
    /// Every name that was asked for: what an unknown one may have been meant to be.
    asked: Vec<&'static str>,
    /// The whole of `WITH (…)`, for what is missing.
    pub span: Span,
}

/// A value that was taken, and where it stands.
#[derive(Clone)]
pub(super) struct Taken<T> {
    pub value: T,
    pub span: Span,
}

impl Options {
    pub fn new(options: Vec<RawOption>, span: Span) -> Options {
        Options {
            options,
            asked: Vec::new(),
            span,
        }
    }

    fn ask(&mut self, name: &'static str) {
        if !self.asked.contains(&name) {
            self.asked.push(name);
        }
    }

    /// Refuses those of `names` that are given: they mean nothing without `another`.
    pub fn need(&mut self, reader: &mut Reader, names: &[&'static str], another: &str) {
        for name in names {
            if let Some(option) = self.take(name) {
                let message = format!("option '{name}' means nothing without {another}");
                reader
                    .faults
                    .push(reader.source.diagnostic(option.name_span, message));
            }
        }
    }

    /// Whether it is given and was not taken yet.
    pub fn has(&mut self, name: &'static str) -> bool {
        self.ask(name);
        self.options.iter().any(|option| option.name == name)
    }

    fn take(&mut self, name: &'static str) -> Option<RawOption> {
        self.ask(name);
        let index = self.options.iter().position(|option| option.name == name)?;
        Some(self.options.remove(index))
    }

    /// One of `choices`, which must be given; `help` says which there are.
    pub fn required_choice<T: Copy>(
        &mut self,
        reader: &mut Reader,
        name: &'static str,
        choices: &[(&'static str, T)],
        help: &str,
    ) -> Option<Taken<T>> {
        if !self.has(name) {
            let message = format!("option '{name}' is missing");
            let fault = reader.source.diagnostic(self.span, message);
            reader.faults.push(fault.with_help(help));
            return None;
        }
        self.choice(reader, name, choices)
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

    /// Strings whose names begin so, with their names.
    pub fn all(&mut self, reader: &mut Reader, beginning: &str) -> Vec<(String, Taken<String>)> {
        let (taken, left) = (self.options.drain(..)).partition(|o| o.name.starts_with(beginning));
        self.options = left;
        let taken: Vec<RawOption> = taken;
        let text = |option: RawOption| {
            let span = option.value_span;
            match option.value {
                Value::Text(value) => Some((option.name, Taken { value, span })),
                Value::Number(value) => Some((option.name, Taken { value, span })),
                _ => {
                    reject::<()>(reader, &option, "a 'string'");
                    None
                }
            }
        };
        taken.into_iter().filter_map(text).collect()
    }

    /// Refuses those whose names begin so: they mean nothing without `another`.
    pub fn need_all(&mut self, reader: &mut Reader, beginning: &str, another: &str) {
        self.options.retain(|option| {
            let found = option.name.starts_with(beginning);
            if found {
                let message = format!("option '{}' means nothing without {another}", option.name);
                reader
                    .faults
                    .push(reader.source.diagnostic(option.name_span, message));
            }
            !found
        });
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

    /// Names of columns, as a list `[a, 'b']`, one word, or (Arroyo's old form) a string `'a,b'`, if it is given. A
    /// list has at least one, and none twice.
    pub fn columns(
        &mut self,
        reader: &mut Reader,
        name: &'static str,
    ) -> Option<Vec<Taken<String>>> {
        let option = self.take(name)?;
        let span = option.value_span;
        let columns = match option.value {
            Value::List(columns) => columns,
            Value::Word(value) => vec![Taken { value, span }],
            Value::Text(text) => text
                .split(',')
                .map(|column| Taken {
                    value: column.trim().to_owned(),
                    span,
                })
                .collect(),
            _ => {
                reject::<()>(reader, &option, "a list of columns such as [a, b]");
                return None;
            }
        };
        if columns.is_empty() {
            let message = format!("option '{name}' names no column");
            reader.faults.push(reader.source.diagnostic(span, message));
            return None;
        }
        for (at, column) in columns.iter().enumerate() {
            let earlier = &columns[..at];
            if earlier.iter().any(|known| known.value == column.value) {
                let message = format!("option '{name}' names \"{}\" twice", column.value);
                reader
                    .faults
                    .push(reader.source.diagnostic(column.span, message));
            }
        }
        Some(columns)
    }

    /// Refuses an option that the dialect knows, and says why this engine does not run it.
    pub fn refuse(&mut self, reader: &mut Reader, name: &'static str, why: &str) {
        if let Some(option) = self.take(name) {
            let message = format!("the local engine does not run the option '{name}'");
            let fault = reader.source.diagnostic(option.name_span, message);
            reader.faults.push(fault.with_help(why));
        }
        self.asked.retain(|asked| *asked != name);
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
