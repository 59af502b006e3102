//! A value of a row → the text that the server reads it from, refused here if the column would refuse it: then the
//! epoch is not committed yet, and the SQL can still be changed.

use std::fmt::Write as _;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DecimalType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use chrono::{DateTime, Datelike, NaiveDate, Timelike};

/// Days from the first year of our era to 1970.
const DAYS_TO_1970: i32 = 719_163;
/// The server's first day, 4714-11-24 BC: -4713 where there is a year 0.
const FIRST_DAY: (i32, u32, u32) = (-4713, 11, 24);

/// A column of the table, and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name.
    pub name: String,
    /// What of our values.
    pub takes: Takes,
    /// Whether a null is refused.
    pub not_null: bool,
}

/// What a column takes of the values of its declared type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Takes {
    /// Every one that the type has there.
    All,
    /// Text without U+0000, of so many characters at the most.
    Text {
        /// `None`: as many as there are.
        chars: Option<usize>,
    },
    /// Text that is JSON.
    Json {
        /// `jsonb`, which has no U+0000 in any form.
        binary: bool,
    },
    /// Text that is a UUID.
    Uuid,
    /// Numbers of so many digits, and so many of them behind the point.
    Numeric {
        /// `None`: any.
        digits: Option<(i32, i32)>,
        /// Whether infinite ones are numbers there.
        infinite: bool,
    },
    /// Lists of what it takes.
    Array(Box<Takes>),
}

/// Writes the value at `row` to the end of `text`, as the server reads it; not a null. What is wrong with it else.
pub(super) fn write(
    array: &dyn Array,
    row: usize,
    takes: &Takes,
    text: &mut String,
) -> Result<(), String> {
    match array.data_type() {
        DataType::Utf8 => write_text(array.as_string::<i32>().value(row), takes, text),
        DataType::LargeUtf8 => write_text(array.as_string::<i64>().value(row), takes, text),
        DataType::Utf8View => write_text(array.as_string_view().value(row), takes, text),
        DataType::Int8 => whole(array.as_primitive::<Int8Type>().value(row), takes, text),
        DataType::Int16 => whole(array.as_primitive::<Int16Type>().value(row), takes, text),
        DataType::Int32 => whole(array.as_primitive::<Int32Type>().value(row), takes, text),
        DataType::Int64 => whole(array.as_primitive::<Int64Type>().value(row), takes, text),
        DataType::UInt8 => whole(array.as_primitive::<UInt8Type>().value(row), takes, text),
        DataType::UInt16 => whole(array.as_primitive::<UInt16Type>().value(row), takes, text),
        DataType::UInt32 => whole(array.as_primitive::<UInt32Type>().value(row), takes, text),
        DataType::UInt64 => whole(array.as_primitive::<UInt64Type>().value(row), takes, text),
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            // Shortest digits that are read as the same number, as of the one below.
            float(value, &format!("{value:?}"), takes, text)
        }
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            float(f64::from(value), &format!("{value:?}"), takes, text)
        }
        DataType::Boolean => {
            text.push(if array.as_boolean().value(row) {
                't'
            } else {
                'f'
            });
            Ok(())
        }
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            let date = days.checked_add(DAYS_TO_1970);
            let date = date.and_then(NaiveDate::from_num_days_from_ce_opt);
            date.and_then(|date| put_date(date, "", text))
                .ok_or_else(out_of_range)
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            let micros = array.as_primitive::<Time64NanosecondType>().value(row) / 1000;
            let seconds = micros / 1_000_000;
            let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            put(
                text,
                format_args!(
                    "{hour:02}:{minute:02}:{second:02}.{:06}",
                    micros % 1_000_000
                ),
            );
            Ok(())
        }
        DataType::Timestamp(unit, None) => {
            let micros = micros(array, row, *unit).ok_or_else(out_of_range)?;
            let time = DateTime::from_timestamp_micros(micros).ok_or_else(out_of_range)?;
            let (second, micro) = (
                time.num_seconds_from_midnight(),
                time.timestamp_subsec_micros(),
            );
            let clock = format!(
                " {:02}:{:02}:{:02}.{micro:06}+00",
                second / 3600,
                second / 60 % 60,
                second % 60
            );
            put_date(time.date_naive(), &clock, text).ok_or_else(out_of_range)
        }
        DataType::Decimal128(precision, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            let digits = Decimal128Type::format_decimal(value, *precision, *scale);
            check_digits(&digits, takes)?;
            text.push_str(&digits);
            Ok(())
        }
        DataType::Binary => {
            text.push_str("\\x");
            for byte in array.as_binary::<i32>().value(row) {
                put(text, format_args!("{byte:02x}"));
            }
            Ok(())
        }
        DataType::List(_) => list(&array.as_list::<i32>().value(row), takes, text),
        other => Err(format!("values of type {other} cannot be written")),
    }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(what);
}

fn out_of_range() -> String {
    "is earlier or later than what PostgreSQL can hold".to_owned()
}

fn write_text(value: &str, takes: &Takes, text: &mut String) -> Result<(), String> {
    if value.contains('\0') {
        return Err("has a character U+0000, which PostgreSQL cannot hold; replace(…, chr(0), '') in the SQL leaves it out".to_owned());
    }
    match takes {
        // Blanks that are too many are cut, as the SQL standard has it.
        Takes::Text { chars: Some(most) } => {
            let chars = value.trim_end_matches(' ').chars().count();
            if chars > *most {
                return Err(format!("has {chars} characters, the column takes {most}"));
            }
        }
        Takes::Json { binary } => {
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(value) {
                return Err(format!("is not JSON: {error}"));
            }
            if *binary && has_escaped_null(value) {
                return Err("has \\u0000, which a jsonb cannot hold".to_owned());
            }
        }
        Takes::Uuid if !is_uuid(value) => return Err("is not a UUID".to_owned()),
        _ => {}
    }
    text.push_str(value);
    Ok(())
}

/// `\u0000` whose backslash is not itself escaped.
fn has_escaped_null(json: &str) -> bool {
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at + 1..];
        if escape.starts_with("u0000") {
            return true;
        }
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

/// 32 hexadecimal digits, with - between groups of four, perhaps in braces.
fn is_uuid(text: &str) -> bool {
    let inner = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    let inner = inner.unwrap_or(text);
    let mut digits = 0;
    for c in inner.chars() {
        match c {
            '-' if digits > 0 && digits < 32 && digits % 4 == 0 => {}
            c if c.is_ascii_hexdigit() => digits += 1,
            _ => return false,
        }
    }
    digits == 32 && !inner.contains("--")
}

fn whole(value: impl std::fmt::Display, takes: &Takes, text: &mut String) -> Result<(), String> {
    let digits = value.to_string();
    check_digits(&digits, takes)?;
    text.push_str(&digits);
    Ok(())
}

fn float(value: f64, digits: &str, takes: &Takes, text: &mut String) -> Result<(), String> {
    if value.is_infinite() {
        if let Takes::Numeric { digits, infinite } = takes
            && (digits.is_some() || !infinite)
        {
            return Err("is infinite, which the column cannot hold".to_owned());
        }
        text.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
        return Ok(());
    }
    if let Takes::Numeric {
        digits: Some((_, scale)),
        ..
    } = takes
        && value.is_finite()
    {
        // As the server rounds it: from the shortest digits, so a little more than its limit is its limit.
        let places = usize::try_from(*scale).unwrap_or(0) + 1;
        check_digits(&format!("{value:.places$}"), takes)?;
    }
    text.push_str(digits.strip_suffix(".0").unwrap_or(digits));
    Ok(())
}

/// Whether a number fits once it is rounded, away from zero where it is in the middle.
fn check_digits(number: &str, takes: &Takes) -> Result<(), String> {
    let Takes::Numeric {
        digits: Some((precision, scale)),
        ..
    } = takes
    else {
        return Ok(());
    };
    let unsigned = number.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    // Digits before the place that is rounded at, and the one behind it.
    let kept = whole.len() as i64 + i64::from(*scale);
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let kept = usize::try_from(kept).unwrap_or(0);
    let mut rounded: Vec<u8> = all.iter().copied().take(kept).collect();
    if all.get(kept).is_some_and(|digit| *digit >= b'5') {
        let nines = rounded
            .iter()
            .rev()
            .take_while(|digit| **digit == b'9')
            .count();
        let at = rounded.len() - nines;
        rounded[at..].fill(b'0');
        match at {
            0 => rounded.insert(0, b'1'),
            at => rounded[at - 1] += 1,
        }
    }
    // Zeros that were never written stand behind it.
    let unwritten = kept.saturating_sub(all.len());
    let significant = rounded.iter().skip_while(|digit| **digit == b'0').count();
    let length = if significant == 0 {
        0
    } else {
        significant + unwritten
    };
    match length as i64 > i64::from(*precision) {
        true => Err(format!(
            "is {number}, which numeric({precision},{scale}) cannot hold"
        )),
        false => Ok(()),
    }
}

/// Microseconds since 1970, rounded down.
fn micros(array: &dyn Array, row: usize, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => {
            let value = array.as_primitive::<TimestampSecondType>().value(row);
            value.checked_mul(1_000_000)
        }
        TimeUnit::Millisecond => {
            let value = array.as_primitive::<TimestampMillisecondType>().value(row);
            value.checked_mul(1000)
        }
        TimeUnit::Microsecond => Some(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        TimeUnit::Nanosecond => {
            let value = array.as_primitive::<TimestampNanosecondType>().value(row);
            Some(value.div_euclid(1000))
        }
    }
}

/// `2019-12-05`, what comes `behind`, and ` BC` where there is no year 0; `None`: before the server's first day.
fn put_date(date: NaiveDate, behind: &str, text: &mut String) -> Option<()> {
    let (year, month, day) = FIRST_DAY;
    if date < NaiveDate::from_ymd_opt(year, month, day)? {
        return None;
    }
    let (year, era) = match date.year() {
        year if year > 0 => (year, ""),
        year => (1 - year, " BC"),
    };
    let (month, day) = (date.month(), date.day());
    put(
        text,
        format_args!("{year:04}-{month:02}-{day:02}{behind}{era}"),
    );
    Some(())
}

/// `{"a",NULL,"b"}`: each element quoted, so that none is taken for a null or a brace.
fn list(items: &dyn Array, takes: &Takes, text: &mut String) -> Result<(), String> {
    let Takes::Array(takes) = takes else {
        return Err("is a list, and the column takes none".to_owned());
    };
    text.push('{');
    let mut item = String::new();
    for row in 0..items.len() {
        if row > 0 {
            text.push(',');
        }
        if items.is_null(row) {
            text.push_str("NULL");
            continue;
        }
        item.clear();
        write(items, row, takes, &mut item)
            .map_err(|why| format!("has an element {} that {why}", row + 1))?;
        text.push('"');
        for c in item.chars() {
            if matches!(c, '"' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        text.push('"');
    }
    text.push('}');
    Ok(())
}
