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

use super::errors::shown_value;

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
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row), takes, text),
        DataType::Float32 => float(array.as_primitive::<Float32Type>().value(row), takes, text),
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

/// The shortest digits that are read as the same number.
fn float<F>(value: F, takes: &Takes, text: &mut String) -> Result<(), String>
where
    F: Into<f64> + std::fmt::Debug + std::fmt::Display + Copy,
{
    let number: f64 = value.into();
    if number.is_infinite() {
        if let Takes::Numeric { digits, infinite } = takes
            && (digits.is_some() || !infinite)
        {
            return Err("is infinite, which the column cannot hold".to_owned());
        }
        text.push_str(if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
        return Ok(());
    }
    if let Takes::Numeric { .. } = takes
        && number.is_finite()
    {
        // The same digits, without an exponent.
        check_digits(&value.to_string(), takes)?;
    }
    let digits = format!("{value:?}");
    text.push_str(digits.strip_suffix(".0").unwrap_or(&digits));
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
            "is {}, which numeric({precision},{scale}) cannot hold",
            shown_value(number)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
        Float64Array, Int64Array, ListArray, StringViewArray, Time64NanosecondArray,
        TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
    };
    use expect_test::{Expect, expect};

    use super::*;

    /// Each value's text, or what is wrong with it.
    fn check(array: impl Array, takes: Takes, expected: Expect) {
        let lines = (0..array.len()).map(|row| {
            let mut text = String::new();
            match write(&array, row, &takes, &mut text) {
                Ok(()) => format!("{text}\n"),
                Err(why) => format!("! {why}\n"),
            }
        });
        expected.assert_eq(&lines.collect::<String>());
    }

    fn numeric(precision: i32, scale: i32) -> Takes {
        Takes::Numeric {
            digits: Some((precision, scale)),
            infinite: true,
        }
    }

    #[test]
    fn numbers_are_the_shortest_that_read_as_the_same() {
        let floats = [
            0.1,
            -0.0,
            1.0,
            -2.5,
            1e300,
            5e-324,
            f64::MAX,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        check(
            Float64Array::from(floats.to_vec()),
            Takes::All,
            expect![[r#"
                0.1
                -0
                1
                -2.5
                1e300
                5e-324
                1.7976931348623157e308
                NaN
                Infinity
                -Infinity
            "#]],
        );
        check(
            Float32Array::from(vec![0.1, f32::MIN_POSITIVE]),
            Takes::All,
            expect![[r#"
                0.1
                1.1754944e-38
            "#]],
        );
        check(
            UInt64Array::from(vec![u64::MAX]),
            numeric(20, 0),
            expect![[r#"
                18446744073709551615
            "#]],
        );
        check(
            BooleanArray::from(vec![true, false]),
            Takes::All,
            expect![[r#"
                t
                f
            "#]],
        );
    }

    #[test]
    fn what_a_numeric_cannot_hold_is_refused_as_the_server_would_round_it() {
        check(
            Int64Array::from(vec![999, -999, 1000, i64::MIN]),
            numeric(3, 0),
            expect![[r#"
                999
                -999
                ! is 1000, which numeric(3,0) cannot hold
                ! is -9223372036854775808, which numeric(3,0) cannot hold
            "#]],
        );
        // Rounded to tens first.
        check(
            Int64Array::from(vec![994, 9994, 9995]),
            numeric(3, -1),
            expect![[r#"
                994
                9994
                ! is 9995, which numeric(3,-1) cannot hold
            "#]],
        );
        let decimals = Decimal128Array::from(vec![99_949, -99_949, 99_950, 0, 4]);
        check(
            decimals.with_precision_and_scale(6, 3).unwrap(),
            numeric(3, 1),
            expect![[r#"
                99.949
                -99.949
                ! is 99.950, which numeric(3,1) cannot hold
                0.000
                0.004
            "#]],
        );
        check(
            Float64Array::from(vec![
                9.949_999,
                9.96,
                1e300,
                f64::NAN,
                f64::INFINITY,
                1e-300,
            ]),
            numeric(2, 1),
            expect![[r#"
                9.949999
                ! is 9.96, which numeric(2,1) cannot hold
                ! is 10000000000000000000000000000000000000000000000000000000000000000000000000000000…, which numeric(2,1) cannot hold
                NaN
                ! is infinite, which the column cannot hold
                1e-300
            "#]],
        );
        let old = Takes::Numeric {
            digits: None,
            infinite: false,
        };
        check(
            Float64Array::from(vec![1e300, f64::INFINITY]),
            old,
            expect![[r#"
                1e300
                ! is infinite, which the column cannot hold
            "#]],
        );
    }

    #[test]
    fn times_are_utc_and_rounded_down_to_microseconds() {
        let times = vec![0, 1_999, -1, 1_570_752_011_620_000_000, i64::MIN];
        check(
            TimestampNanosecondArray::from(times),
            Takes::All,
            expect![[r#"
                1970-01-01 00:00:00.000000+00
                1970-01-01 00:00:00.000001+00
                1969-12-31 23:59:59.999999+00
                2019-10-11 00:00:11.620000+00
                1677-09-21 00:12:43.145224+00
            "#]],
        );
        check(
            TimestampSecondArray::from(vec![
                -62_135_596_801,
                -210_866_803_200,
                -210_866_803_201,
                i64::MAX,
            ]),
            Takes::All,
            expect![[r#"
                0001-12-31 23:59:59.000000+00 BC
                4714-11-24 00:00:00.000000+00 BC
                ! is earlier or later than what PostgreSQL can hold
                ! is earlier or later than what PostgreSQL can hold
            "#]],
        );
        check(
            Date32Array::from(vec![0, -1, -719_163, i32::MAX, i32::MIN]),
            Takes::All,
            expect![[r#"
                1970-01-01
                1969-12-31
                0001-12-31 BC
                ! is earlier or later than what PostgreSQL can hold
                ! is earlier or later than what PostgreSQL can hold
            "#]],
        );
        check(
            Time64NanosecondArray::from(vec![0, 86_399_999_999_999]),
            Takes::All,
            expect![[r#"
                00:00:00.000000
                23:59:59.999999
            "#]],
        );
    }

    #[test]
    fn texts_are_as_they_are_where_the_column_takes_them() {
        check(
            StringViewArray::from(vec!["abc", "abc  ", "abcd", "日本語", "a\0"]),
            Takes::Text { chars: Some(3) },
            expect![[r#"
                abc
                abc  
                ! has 4 characters, the column takes 3
                日本語
                ! has a character U+0000, which PostgreSQL cannot hold; replace(…, chr(0), '') in the SQL leaves it out
            "#]],
        );
        let json = vec![r#"{"a":1}"#, r#"["\u0000"]"#, r#"["\\u0000"]"#, "{", "1"];
        check(
            StringViewArray::from(json.clone()),
            Takes::Json { binary: true },
            expect![[r#"
                {"a":1}
                ! has \u0000, which a jsonb cannot hold
                ["\\u0000"]
                ! is not JSON: EOF while parsing an object at line 1 column 1
                1
            "#]],
        );
        check(
            StringViewArray::from(json[1..2].to_vec()),
            Takes::Json { binary: false },
            expect![[r#"
                ["\u0000"]
            "#]],
        );
        check(
            StringViewArray::from(vec![
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                "{a0eebc999c0b4ef8bb6d6bb9bd380a11}",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
                "a0eebc99--9c0b4ef8bb6d6bb9bd380a11",
            ]),
            Takes::Uuid,
            expect![[r#"
                a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11
                {a0eebc999c0b4ef8bb6d6bb9bd380a11}
                ! is not a UUID
                ! is not a UUID
            "#]],
        );
        check(
            BinaryArray::from(vec![&b""[..], b"\x00\xff\\"]),
            Takes::All,
            expect![[r#"
                \x
                \x00ff5c
            "#]],
        );
    }

    #[test]
    fn elements_of_lists_are_quoted() {
        let texts = StringViewArray::from(vec![
            Some("a"),
            None,
            Some("NULL"),
            Some(r#"{"\,}"#),
            Some(""),
            Some("b\0"),
        ]);
        let field = Arc::new(arrow::datatypes::Field::new(
            "item",
            DataType::Utf8View,
            true,
        ));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([5, 0, 1]);
        let lists = ListArray::new(field, offsets, Arc::new(texts) as ArrayRef, None);
        let takes = Takes::Array(Box::new(Takes::Text { chars: None }));
        check(
            lists,
            takes,
            expect![[r#"
                {"a",NULL,"NULL","{\"\\,}",""}
                {}
                ! has an element 1 that has a character U+0000, which PostgreSQL cannot hold; replace(…, chr(0), '') in the SQL leaves it out
            "#]],
        );
    }
}
