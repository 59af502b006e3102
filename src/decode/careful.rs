//! The careful way: for frames that are not plain. It says what is wrong where, and keeps the
//! neighbours of a bad element. It may allocate: such frames are few.

use std::fmt::Write as _;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::column::{Column, Values};
use super::value::Misfit;
use crate::model::{Reject, RejectReason};

/// Most characters of the input that a detail quotes.
const QUOTE_CHARS: usize = 32;

/// Appends one row to every column and pushes the elements that were refused.
///
/// # Errors
/// Why the frame as a whole is refused; columns and `rejects` may have grown then.
pub(super) fn frame(
    columns: &mut [Column],
    text: &str,
    rejects: &mut Vec<Reject>,
) -> Result<(), Reject> {
    let raw: &RawValue = serde_json::from_str(text)
        .map_err(|error| reject(RejectReason::Malformed, format!("not JSON: {error}")))?;
    if kind(raw.get()) != Kind::Object {
        let detail = format!("expected an object, found {}", found(raw.get()));
        return Err(reject(RejectReason::NotAnObject, detail));
    }
    let mut path = String::new();
    Walk { rejects }.object(columns, raw.get(), &mut path)
}

/// The reject for a value, or its absence, that a column cannot take.
pub(super) fn refusal(column: &Column, path: &str, misfit: Misfit, raw: Option<&str>) -> Reject {
    let reason = match misfit {
        Misfit::Year => RejectReason::OutOfRange,
        Misfit::Type | Misfit::Range | Misfit::NotText | Misfit::Full => RejectReason::WrongType,
    };
    let data_type = column.field.data_type();
    let found = raw.map_or_else(|| "text".to_owned(), found);
    let detail = match misfit {
        Misfit::Type => format!("{path}: expected {}, found {found}", expected(column)),
        Misfit::Range => format!("{path}: out of range for {data_type}: {found}"),
        Misfit::Year => format!("{path}: outside of the years 1677 to 2262: {found}"),
        Misfit::NotText => format!("{path}: half of a surrogate pair is no text: {found}"),
        Misfit::Full => format!("{path}: more than 2 GiB in one micro-batch"),
    };
    reject(reason, detail)
}

fn reject(reason: RejectReason, detail: String) -> Reject {
    Reject {
        reason,
        element: None,
        detail,
    }
}

struct Walk<'r> {
    rejects: &'r mut Vec<Reject>,
}

impl Walk<'_> {
    fn object(
        &mut self,
        columns: &mut [Column],
        raw: &str,
        path: &mut String,
    ) -> Result<(), Reject> {
        let members = members(columns, raw)?;
        for (column, member) in columns.iter_mut().zip(members) {
            let mark = path.len();
            let dot = if mark == 0 { "" } else { "." };
            let _ = write!(path, "{dot}{}", column.field.name());
            self.value(column, member.map(RawValue::get), path)?;
            path.truncate(mark);
        }
        Ok(())
    }

    /// `raw` is `None` where the object has no such member.
    fn value(
        &mut self,
        column: &mut Column,
        raw: Option<&str>,
        path: &mut String,
    ) -> Result<(), Reject> {
        let json = matches!(column.values, Values::Json(_));
        let Some(raw) = raw.filter(|&raw| json || raw != "null") else {
            return null(column, raw, path);
        };
        match (&mut column.values, kind(raw)) {
            (Values::Struct(object), Kind::Object) => {
                self.object(&mut object.columns, raw, path)?;
                column.nulls.append_non_null();
                Ok(())
            }
            (Values::List(_), Kind::Array) => self.array(column, raw, path),
            (Values::List(_) | Values::Struct(_), _) => {
                Err(refusal(column, path, Misfit::Type, Some(raw)))
            }
            _ => column
                .push_raw(raw)
                .map_err(|misfit| refusal(column, path, misfit, Some(raw))),
        }
    }

    fn array(&mut self, column: &mut Column, raw: &str, path: &mut String) -> Result<(), Reject> {
        let elements: Vec<&RawValue> = parsed(raw)?;
        let Values::List(list) = &mut column.values else {
            return Err(refusal(column, path, Misfit::Type, Some(raw)));
        };
        let path_mark = path.len();
        let json = matches!(list.elements.values, Values::Json(_));
        for (index, element) in elements.into_iter().enumerate() {
            let _ = write!(path, "[{index}]");
            let row = list.elements.len();
            let outcome = match element.get() {
                "null" if list.outermost && !json => {
                    Err(missing(&list.elements, Some("null"), path))
                }
                raw => self.value(&mut list.elements, Some(raw), path),
            };
            match outcome {
                Err(refused) if list.outermost => {
                    list.elements.truncate(row);
                    self.rejects.push(Reject {
                        element: Some(u32::try_from(index).unwrap_or(u32::MAX)),
                        ..refused
                    });
                }
                outcome => outcome?,
            }
            path.truncate(path_mark);
        }
        match list.close_row() {
            Ok(()) => column.nulls.append_non_null(),
            Err(misfit) => return Err(refusal(column, path, misfit, Some(raw))),
        }
        Ok(())
    }
}

fn null(column: &mut Column, raw: Option<&str>, path: &str) -> Result<(), Reject> {
    if !column.field.is_nullable() {
        return Err(missing(column, raw, path));
    }
    column.push_null();
    Ok(())
}

fn missing(column: &Column, raw: Option<&str>, path: &str) -> Reject {
    let found = if raw.is_some() { "null" } else { "nothing" };
    let detail = format!("{path}: expected {}, found {found}", expected(column));
    reject(RejectReason::Null, detail)
}

/// The member of each column's name; of a repeated one the last.
fn members<'de>(columns: &[Column], raw: &'de str) -> Result<Vec<Option<&'de RawValue>>, Reject> {
    serde_json::Deserializer::from_str(raw)
        .deserialize_map(Members(columns))
        .map_err(|error| reject(RejectReason::Malformed, format!("not JSON: {error}")))
}

fn parsed<'de, T: serde::Deserialize<'de>>(raw: &'de str) -> Result<T, Reject> {
    serde_json::from_str(raw)
        .map_err(|error| reject(RejectReason::Malformed, format!("not JSON: {error}")))
}

struct Members<'c>(&'c [Column]);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Vec<Option<&'de RawValue>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = vec![None; self.0.len()];
        // Names as raw text: half of a surrogate pair in one is no reason to lose the frame.
        while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            let Ok(name) = serde_json::from_str::<std::borrow::Cow<'_, str>>(name.get()) else {
                continue;
            };
            let column = self
                .0
                .iter()
                .position(|column| *column.field.name() == name);
            if let Some(index) = column {
                members[index] = Some(value);
            }
        }
        Ok(members)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

fn kind(raw: &str) -> Kind {
    match raw.as_bytes().first() {
        Some(b'n') | None => Kind::Null,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'"') => Kind::String,
        Some(b'[') => Kind::Array,
        Some(b'{') => Kind::Object,
        Some(_) => Kind::Number,
    }
}

fn found(raw: &str) -> String {
    match kind(raw) {
        Kind::Null => "null".to_owned(),
        Kind::Boolean => raw.to_owned(),
        Kind::Array => "an array".to_owned(),
        Kind::Object => "an object".to_owned(),
        Kind::Number => format!("a number: {}", quoted(raw)),
        Kind::String => format!("a string: {}", quoted(raw)),
    }
}

/// The beginning of a piece of input, with whatever a terminal or a log could trip over escaped.
fn quoted(raw: &str) -> String {
    let mut quote = String::new();
    for (count, char) in raw.chars().enumerate() {
        if count == QUOTE_CHARS {
            quote.push('…');
            break;
        }
        if matches!(char, ' '..='~') || char.is_alphanumeric() {
            quote.push(char);
        } else {
            quote.extend(char.escape_unicode());
        }
    }
    quote
}

fn expected(column: &Column) -> &'static str {
    match &column.values {
        Values::Boolean(_) => "true or false",
        Values::Utf8(_) | Values::Utf8View(_) => "a string",
        Values::Binary(_) => "base64 text",
        Values::Timestamp(..) => "a time",
        Values::Date32(_) => "a date",
        Values::Json(_) => "a value",
        Values::List(_) => "an array",
        Values::Struct(_) => "an object",
        _ => "a number",
    }
}
