//! What a JSON scalar becomes in a column: the one place that says so, for both ways of decoding.

use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::datatypes::{Date32Type, TimeUnit};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::Utc;

use super::column::{Column, Values};
use super::decimal;

/// Why a value cannot stand in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is of another type.
    Type,
    /// It is a number that the column's type cannot hold.
    Range,
    /// It is a string with half of a surrogate pair: JSON, but no text.
    NotText,
    /// It is a time outside of the years that nanoseconds can express.
    Year,
    /// The column has reached 2 GiB in this micro-batch.
    Full,
}

impl Column {
    pub(super) fn push_bool(&mut self, value: bool) -> Result<(), Misfit> {
        let Values::Boolean(values) = &mut self.values else {
            return Err(Misfit::Type);
        };
        values.append(value);
        self.nulls.append_non_null();
        Ok(())
    }

    #[inline]
    pub(super) fn push_i64(&mut self, value: i64) -> Result<(), Misfit> {
        match &mut self.values {
            Values::Int64(values) | Values::Timestamp(_, values) => values.push(value),
            Values::Float64(values) => values.push(value as f64),
            _ => return self.push_integer(i128::from(value)),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    #[inline]
    pub(super) fn push_u64(&mut self, value: u64) -> Result<(), Misfit> {
        match i64::try_from(value) {
            Ok(value) => self.push_i64(value),
            Err(_) => self.push_integer(i128::from(value)),
        }
    }

    /// A number with a fraction or an exponent, or an integer beyond 64 bits. Finite.
    #[inline]
    pub(super) fn push_f64(&mut self, value: f64) -> Result<(), Misfit> {
        if !value.is_finite() {
            return Err(Misfit::Range);
        }
        match &mut self.values {
            Values::Float64(values) => values.push(value),
            Values::Float32(values) => {
                let value = value as f32;
                if !value.is_finite() {
                    return Err(Misfit::Range);
                }
                values.push(value);
            }
            // From 2^63 on a double no longer says which integer was written.
            _ => {
                let limit = match self.values {
                    Values::UInt64(_) => u64::MAX as f64,
                    _ => i64::MAX as f64,
                };
                let whole = if value.abs() < limit {
                    value as i128
                } else {
                    i128::MAX
                };
                return self.push_integer(whole);
            }
        }
        self.nulls.append_non_null();
        Ok(())
    }

    fn push_integer(&mut self, value: i128) -> Result<(), Misfit> {
        fn fit<T: TryFrom<i128>>(values: &mut Vec<T>, value: i128) -> Result<(), Misfit> {
            values.push(T::try_from(value).map_err(|_| Misfit::Range)?);
            Ok(())
        }
        match &mut self.values {
            Values::Int8(values) => fit(values, value),
            Values::Int16(values) => fit(values, value),
            Values::Int32(values) | Values::Date32(values) => fit(values, value),
            Values::Int64(values) | Values::Timestamp(_, values) => fit(values, value),
            Values::UInt8(values) => fit(values, value),
            Values::UInt16(values) => fit(values, value),
            Values::UInt32(values) => fit(values, value),
            Values::UInt64(values) => fit(values, value),
            Values::Float32(values) => {
                values.push(value as f32);
                Ok(())
            }
            Values::Float64(values) => {
                values.push(value as f64);
                Ok(())
            }
            _ => Err(Misfit::Type),
        }?;
        self.nulls.append_non_null();
        Ok(())
    }

    #[inline]
    pub(super) fn push_str(&mut self, text: &str) -> Result<(), Misfit> {
        match &mut self.values {
            Values::Utf8View(values) => values.push(text.as_bytes()),
            Values::Utf8(values) => values.push(text.as_bytes())?,
            _ => return self.push_parsed(text),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    /// A string for a column that is no text.
    fn push_parsed(&mut self, text: &str) -> Result<(), Misfit> {
        let trimmed = text.trim_ascii();
        match &mut self.values {
            Values::Float64(_) => {
                numeric(trimmed)?;
                let value = trimmed.parse::<f64>().map_err(|_| Misfit::Type)?;
                return self.push_f64(value);
            }
            Values::Float32(values) => {
                numeric(trimmed)?;
                values.push(float32(trimmed)?);
            }
            Values::Timestamp(unit, values) => values.push(timestamp(trimmed, *unit)?),
            Values::Date32(values) => values.push(date(trimmed)?),
            Values::Decimal128 {
                precision,
                scale,
                values,
            } => values.push(decimal::parse(trimmed, *precision, *scale)?),
            Values::Binary(values) => {
                let bytes = BASE64_STANDARD.decode(text).map_err(|_| Misfit::Type)?;
                values.push(&bytes)?;
            }
            Values::Boolean(_) | Values::Json(_) | Values::List(_) | Values::Struct(_) => {
                return Err(Misfit::Type);
            }
            _ => return self.push_integer(integer(trimmed)?),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    /// A scalar by its JSON text; whatever a JSON column is given.
    pub(super) fn push_raw(&mut self, raw: &str) -> Result<(), Misfit> {
        if let Values::Json(values) = &mut self.values {
            values.push(raw.as_bytes());
            self.nulls.append_non_null();
            return Ok(());
        }
        match raw.as_bytes().first() {
            Some(b'"') => {
                let text = serde_json::from_str::<Text>(raw).map_err(|_| Misfit::NotText)?;
                self.push_str(&text.0)
            }
            Some(b't') => self.push_bool(true),
            Some(b'f') => self.push_bool(false),
            Some(b'-' | b'0'..=b'9') => self.push_number(raw),
            _ => Err(Misfit::Type),
        }
    }

    /// A JSON number by its text, exactly as the quick way takes it.
    fn push_number(&mut self, raw: &str) -> Result<(), Misfit> {
        match &mut self.values {
            Values::Float32(values) => values.push(float32(raw)?),
            Values::Decimal128 {
                precision,
                scale,
                values,
            } => values.push(decimal::parse(raw, *precision, *scale)?),
            _ => {
                if raw == "-0" {
                    return self.push_f64(-0.0);
                }
                if let Ok(value) = raw.parse::<i64>() {
                    return self.push_i64(value);
                }
                if let Ok(value) = raw.parse::<u64>() {
                    return self.push_u64(value);
                }
                return self.push_f64(raw.parse::<f64>().map_err(|_| Misfit::Type)?);
            }
        }
        self.nulls.append_non_null();
        Ok(())
    }
}

/// A JSON string, borrowed from the frame where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

/// Refuses `NaN` and `inf`, which Rust reads as numbers.
fn numeric(text: &str) -> Result<(), Misfit> {
    match text.bytes().any(|b| b.is_ascii_digit()) {
        true => Ok(()),
        false => Err(Misfit::Type),
    }
}

fn float32(text: &str) -> Result<f32, Misfit> {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(Misfit::Range),
        Err(_) => Err(Misfit::Type),
    }
}

/// An integer by its digits; one of more digits than any column holds is out of range.
fn integer(text: &str) -> Result<i128, Misfit> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse::<i128>().map_err(|error| match error.kind() {
        PosOverflow | NegOverflow => Misfit::Range,
        _ => Misfit::Type,
    })
}

/// RFC 3339, and the shorter forms that DataFusion reads; UTC where no zone is given.
fn timestamp(text: &str, unit: TimeUnit) -> Result<i64, Misfit> {
    if !text.is_ascii() {
        return Err(Misfit::Type);
    }
    let time = string_to_datetime(&Utc, text).map_err(|_| Misfit::Type)?;
    match unit {
        TimeUnit::Second => Ok(time.timestamp()),
        TimeUnit::Millisecond => Ok(time.timestamp_millis()),
        TimeUnit::Microsecond => Ok(time.timestamp_micros()),
        TimeUnit::Nanosecond => time.timestamp_nanos_opt().ok_or(Misfit::Year),
    }
}

fn date(text: &str) -> Result<i32, Misfit> {
    if !text.is_ascii() {
        return Err(Misfit::Type);
    }
    Date32Type::parse(text).ok_or(Misfit::Type)
}
