//! What each type makes of JSON values.

use arrow::datatypes::{DataType, TimeUnit};
use expect_test::expect;

use super::check_one;

#[test]
fn doubles() {
    check_one(
        DataType::Float64,
        &[
            "0.1",
            "1",
            "-0",
            "18446744073709551617",
            "\" 2.5e3 \"",
            "5e-324",
            "1e400",
            "\"1e400\"",
            "\"NaN\"",
            "\"inf\"",
            "\"\"",
            "true",
            "null",
            "9007199254740993",
        ],
        expect![[r#"
            +-----------------------+
            | x                     |
            +-----------------------+
            | 0.1                   |
            | 1.0                   |
            | -0.0                  |
            | 1.8446744073709552e19 |
            | 2500.0                |
            | 5e-324                |
            | NULL                  |
            | 9007199254740992.0    |
            +-----------------------+
            frame 6 wrong_type: x: out of range for Float64: a number: 1e400
            frame 7 wrong_type: x: out of range for Float64: a string: "1e400"
            frame 8 wrong_type: x: expected a number, found a string: "NaN"
            frame 9 wrong_type: x: expected a number, found a string: "inf"
            frame 10 wrong_type: x: expected a number, found a string: ""
            frame 11 wrong_type: x: expected a number, found true
        "#]],
    );
}

#[test]
fn floats_are_rounded_once() {
    // By way of a double this one would be rounded up, and up again.
    check_one(
        DataType::Float32,
        &[
            "1.00000017881393432617187499",
            "\"1.00000017881393432617187499\"",
            "1e39",
            "16777217",
            "null",
            "[1e39]",
        ],
        expect![[r#"
            +------------+
            | x          |
            +------------+
            | 1.0000001  |
            | 1.0000001  |
            | 16777216.0 |
            | NULL       |
            +------------+
            frame 2 wrong_type: x: out of range for Float32: a number: 1e39
            frame 5 wrong_type: x: expected a number, found an array
        "#]],
    );
}

#[test]
fn integers() {
    check_one(
        DataType::Int64,
        &[
            "1",
            "-9223372036854775808",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775809",
            "1.9",
            "-1.9",
            "1e3",
            "1e19",
            "\"42\"",
            "\" -42 \"",
            "\"4.2\"",
            "\"99999999999999999999\"",
            "\"99999999999999999999999999999999999999999\"",
            "{}",
        ],
        expect![[r#"
            +----------------------+
            | x                    |
            +----------------------+
            | 1                    |
            | -9223372036854775808 |
            | 9223372036854775807  |
            | 1                    |
            | -1                   |
            | 1000                 |
            | 42                   |
            | -42                  |
            +----------------------+
            frame 3 wrong_type: x: out of range for Int64: a number: 9223372036854775808
            frame 4 wrong_type: x: out of range for Int64: a number: -9223372036854775809
            frame 8 wrong_type: x: out of range for Int64: a number: 1e19
            frame 11 wrong_type: x: expected a number, found a string: "4.2"
            frame 12 wrong_type: x: out of range for Int64: a string: "99999999999999999999"
            frame 13 wrong_type: x: out of range for Int64: a string: "9999999999999999999999999999999…
            frame 14 wrong_type: x: expected a number, found an object
        "#]],
    );
    check_one(
        DataType::Int8,
        &["127", "128", "-128", "1e400", "-0.9"],
        expect![[r#"
            +------+
            | x    |
            +------+
            | 127  |
            | -128 |
            | 0    |
            +------+
            frame 1 wrong_type: x: out of range for Int8: a number: 128
            frame 3 wrong_type: x: out of range for Int8: a number: 1e400
        "#]],
    );
    check_one(
        DataType::UInt64,
        &["18446744073709551615", "18446744073709551616", "-1", "1.5"],
        expect![[r#"
            +----------------------+
            | x                    |
            +----------------------+
            | 18446744073709551615 |
            | 1                    |
            +----------------------+
            frame 1 wrong_type: x: out of range for UInt64: a number: 18446744073709551616
            frame 2 wrong_type: x: out of range for UInt64: a number: -1
        "#]],
    );
}

#[test]
fn booleans_text_and_bytes() {
    check_one(
        DataType::Boolean,
        &["true", "false", "null", "1", "\"true\""],
        expect![[r#"
            +-------+
            | x     |
            +-------+
            | true  |
            | false |
            | NULL  |
            +-------+
            frame 3 wrong_type: x: expected true or false, found a number: 1
            frame 4 wrong_type: x: expected true or false, found a string: "true"
        "#]],
    );
    check_one(
        DataType::Utf8,
        &["\"a\"", "1", "\"\"", "null", "[\"a\"]"],
        expect![[r#"
            +------+
            | x    |
            +------+
            | a    |
            |      |
            | NULL |
            +------+
            frame 1 wrong_type: x: expected a string, found a number: 1
            frame 4 wrong_type: x: expected a string, found an array
        "#]],
    );
    check_one(
        DataType::Binary,
        &["\"aGk=\"", "\"aGk\"", "\"\"", "3"],
        expect![[r#"
            +------+
            | x    |
            +------+
            | 6869 |
            |      |
            +------+
            frame 1 wrong_type: x: expected base64 text, found a string: "aGk"
            frame 3 wrong_type: x: expected base64 text, found a number: 3
        "#]],
    );
}

#[test]
fn times_and_dates() {
    check_one(
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        &[
            "\"2019-10-11T00:00:11.620Z\"",
            "\"2019-10-11 00:00:11\"",
            "\"2019-10-11T02:00:11+02:00\"",
            "1570752011620000000",
            "1.5e18",
            "\"2300-01-01T00:00:00Z\"",
            "\"yesterday\"",
            "\"2019-10-11é\"",
            "1e300",
            "true",
        ],
        expect![[r#"
            +-------------------------+
            | x                       |
            +-------------------------+
            | 2019-10-11T00:00:11.620 |
            | 2019-10-11T00:00:11     |
            | 2019-10-11T00:00:11     |
            | 2019-10-11T00:00:11.620 |
            | 2017-07-14T02:40:00     |
            +-------------------------+
            frame 5 out_of_range: x: outside of the years 1677 to 2262: a string: "2300-01-01T00:00:00Z"
            frame 6 wrong_type: x: expected a time, found a string: "yesterday"
            frame 7 wrong_type: x: expected a time, found a string: "2019-10-11é"
            frame 8 wrong_type: x: out of range for Timestamp(ns): a number: 1e300
            frame 9 wrong_type: x: expected a time, found true
        "#]],
    );
    check_one(
        DataType::Timestamp(TimeUnit::Millisecond, None),
        &["\"2019-10-11T00:00:11.620Z\"", "1570752011620"],
        expect![[r#"
            +-------------------------+
            | x                       |
            +-------------------------+
            | 2019-10-11T00:00:11.620 |
            | 2019-10-11T00:00:11.620 |
            +-------------------------+
        "#]],
    );
    check_one(
        DataType::Date32,
        &["\"2019-10-11\"", "18000", "\"2019-13-01\"", "1e12"],
        expect![[r#"
            +------------+
            | x          |
            +------------+
            | 2019-10-11 |
            | 2019-04-14 |
            +------------+
            frame 2 wrong_type: x: expected a date, found a string: "2019-13-01"
            frame 3 wrong_type: x: out of range for Date32: a number: 1e12
        "#]],
    );
}

#[test]
fn decimals() {
    check_one(
        DataType::Decimal128(10, 3),
        &[
            "1.5",
            "0.1239",
            "-0.1239",
            "1234567",
            "12345678",
            "\"7.25\"",
            "1e3",
            "1e-3",
            "1e-99999999999",
            "1e99999999999",
            "0e99999999999",
            "0.0000001e9",
            "12e",
            "\"abc\"",
            "\".\"",
            "null",
            "\"\"",
        ],
        expect![[r#"
            +-------------+
            | x           |
            +-------------+
            | 1.500       |
            | 0.123       |
            | -0.123      |
            | 1234567.000 |
            | 7.250       |
            | 1000.000    |
            | 0.001       |
            | 0.000       |
            | 0.000       |
            | 100.000     |
            | NULL        |
            +-------------+
            frame 4 wrong_type: x: out of range for Decimal128(10, 3): a number: 12345678
            frame 9 wrong_type: x: out of range for Decimal128(10, 3): a number: 1e99999999999
            frame 12 malformed: not JSON: invalid number at line 1 column 9
            frame 13 wrong_type: x: expected a number, found a string: "abc"
            frame 14 wrong_type: x: expected a number, found a string: "."
            frame 16 wrong_type: x: expected a number, found a string: ""
        "#]],
    );
    check_one(
        DataType::Decimal128(5, -2),
        &["12345", "1e6", "99"],
        expect![[r#"
            +---------+
            | x       |
            +---------+
            | 12300   |
            | 1000000 |
            | 000     |
            +---------+
        "#]],
    );
}
