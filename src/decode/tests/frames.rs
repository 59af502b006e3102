//! Whole frames: neighbours, nesting, what is no frame.

use arrow::datatypes::{DataType, Field, Fields};
use expect_test::expect;

use super::{check, finnhub, json, list, schema, show};
use crate::decode::{Decoder, Format};

#[test]
fn a_bad_element_leaves_its_neighbours() {
    check(
        finnhub(),
        &[
            r#"{"data":[{"c":null,"p":1.5,"s":"A","t":1,"v":2},{"p":2,"s":"A LONG SYMBOL NAME","t":2}],"type":"trade"}"#,
            r#"{"data":[{"p":"x","s":"A","t":1},{"p":3,"s":"A","t":3},null,7,{"s":"B","p":4,"t":"5","c":[[1],{"a":2}]},{"p":[1],"s":"ANOTHER LONG NAME"}],"type":"trade"}"#,
            r#"{"type":"ping"}"#,
            "{}",
            r#" {"data":[],"type":null} "#,
        ],
        expect![[r#"
            +---------------------------------------------------------------+-------+
            | data                                                          | type  |
            +---------------------------------------------------------------+-------+
            | [{p: 1.5, s: A, t: 1}, {p: 2.0, s: A LONG SYMBOL NAME, t: 2}] | trade |
            | [{p: 3.0, s: A, t: 3}, {p: 4.0, s: B, t: 5}]                  | trade |
            | NULL                                                          | ping  |
            | NULL                                                          | NULL  |
            | []                                                            | NULL  |
            +---------------------------------------------------------------+-------+
            frame 1[0] wrong_type: data[0].p: expected a number, found a string: "x"
            frame 1[2] null: data[2]: expected an object, found null
            frame 1[3] wrong_type: data[3]: expected an object, found a number: 7
            frame 1[5] wrong_type: data[5].p: expected a number, found an array
        "#]],
    );
}

#[test]
fn what_is_wrong_outside_of_arrays_refuses_the_frame() {
    check(
        finnhub(),
        &[
            r#"{"data":{"p":1},"type":"trade"}"#,
            r#"{"data":[{"p":null},null],"type":7}"#,
            r#"{"data":[{"p":1}],"type":{"a":1}}"#,
        ],
        expect![[r#"
            +------+------+
            | data | type |
            +------+------+
            +------+------+
            frame 0 wrong_type: data: expected an array, found an object
            frame 1 wrong_type: type: expected a string, found a number: 7
            frame 2 wrong_type: type: expected a string, found an object
        "#]],
    );
}

#[test]
fn what_is_no_frame() {
    let frames: [Option<&[u8]>; 16] = [
        None,
        Some(b""),
        Some(b" \r\n\t"),
        Some(b"garbage"),
        Some(br#"{"type":"trade","data":[{"p":1,"s":"A","t":1},{"p""#),
        Some(br#"{"type":"trade"} {"type":"trade"}"#),
        Some(br#"{"type":"trade",}"#),
        Some(b"{\"other\":\"\xff\"}"),
        Some(b"[]"),
        Some(b"null"),
        Some(b"-17.5"),
        Some(br#""text with \u0041 and a long, long, long tail""#),
        Some(b"NaN"),
        Some(b"{\"type\":\"a\x01b\"}"),
        Some(b"\xef\xbb\xbf{}"),
        Some(b"{\"type\":\"t\"}\0"),
    ];
    expect![[r#"
        +------+------+
        | data | type |
        +------+------+
        +------+------+
        frame 0 empty: no payload
        frame 1 empty: nothing but white space
        frame 2 empty: nothing but white space
        frame 3 malformed: not JSON: expected value at line 1 column 1
        frame 4 malformed: not JSON: EOF while parsing an object at line 1 column 50
        frame 5 malformed: not JSON: trailing characters at line 1 column 18
        frame 6 malformed: not JSON: key must be a string at line 1 column 17
        frame 7 malformed: not UTF-8: byte 0xff at position 10
        frame 8 not_an_object: expected an object, found an array
        frame 9 not_an_object: expected an object, found null
        frame 10 not_an_object: expected an object, found a number: -17.5
        frame 11 not_an_object: expected an object, found a string: "text with \u0041 and a long, lo…
        frame 12 malformed: not JSON: expected value at line 1 column 1
        frame 13 malformed: not JSON: control character (\u0000-\u001F) found while parsing a string at line 1 column 10
        frame 14 malformed: not JSON: expected value at line 1 column 1
        frame 15 malformed: not JSON: trailing characters at line 1 column 13
    "#]].assert_eq(&show(finnhub(), Format::Json, &frames));
}

#[test]
fn the_last_of_a_repeated_key_counts() {
    check(
        finnhub(),
        &[
            r#"{"type":"a","type":"b","data":[{"p":"bad"}],"data":[{"p":1,"p":2,"s":5,"s":"S"}]}"#,
            r#"{"type":7,"type":null}"#,
            r#"{"type":"good","type":7}"#,
        ],
        expect![[r#"
            +---------------------------+------+
            | data                      | type |
            +---------------------------+------+
            | [{p: 2.0, s: S, t: NULL}] | b    |
            | NULL                      | NULL |
            +---------------------------+------+
            frame 2 wrong_type: type: expected a string, found a number: 7
        "#]],
    );
}

#[test]
fn keys_and_strings_with_escapes() {
    check(
        finnhub(),
        &[
            r#"{"\u0074ype":"tr\u0061de \ud83d\ude00 \"quoted\" \\ \n","d\u0061ta":[{"\u0073":"\u00e9"}]}"#,
            r#"{"\ud800":1,"type":"a name that is half a surrogate pair is nobody's"}"#,
            r#"{"data":[{"s":"\ud800"},{"s":"neighbour"}]}"#,
            r#"{"type":"\ud800"}"#,
        ],
        expect![[r#"
            +------------------------------------+--------------------------------------------------+
            | data                               | type                                             |
            +------------------------------------+--------------------------------------------------+
            | [{p: NULL, s: é, t: NULL}]         | trade 😀 "quoted" \                              |
            |                                    |                                                  |
            | NULL                               | a name that is half a surrogate pair is nobody's |
            | [{p: NULL, s: neighbour, t: NULL}] | NULL                                             |
            +------------------------------------+--------------------------------------------------+
            frame 2[0] wrong_type: data[0].s: half of a surrogate pair is no text: a string: "\ud800"
            frame 3 wrong_type: type: half of a surrogate pair is no text: a string: "\ud800"
        "#]],
    );
}

#[test]
fn json_columns_keep_the_text() {
    check(
        schema(vec![json("x"), list("y", DataType::Int32)]),
        &[
            r#"{"x":{"a": [1, 2.50]}}"#,
            r#"{"x":null}"#,
            "{}",
            r#"{"x":"t","y":[1,"b",3]}"#,
        ],
        expect![[r#"
            +------------------+--------+
            | x                | y      |
            +------------------+--------+
            | {"a": [1, 2.50]} | NULL   |
            | null             | NULL   |
            | NULL             | NULL   |
            | "t"              | [1, 3] |
            +------------------+--------+
            frame 3[1] wrong_type: y[1]: expected a number, found a string: "b"
        "#]],
    );
}

#[test]
fn nested_columns() {
    let inner = DataType::Struct(Fields::from(vec![
        list("c", DataType::Utf8View),
        Field::new("n", DataType::Int16, false),
    ]));
    check(
        schema(vec![Field::new("o", inner.clone(), true), list("l", inner)]),
        &[
            r#"{"o":{"c":["a",null,"a text of some length"],"n":1},"l":[{"c":["x",null],"n":2},null]}"#,
            r#"{"o":null,"l":[{"c":["x",7],"n":2},{"n":null},{"n":3},{"c":[]}]}"#,
            r#"{"o":{"c":["dropped alone",7]}}"#,
            r#"{"o":{"c":["dropped alone",7],"n":4}}"#,
        ],
        expect![[r#"
            +---------------------------------------+------------------------+
            | o                                     | l                      |
            +---------------------------------------+------------------------+
            | {c: [a, a text of some length], n: 1} | [{c: [x, NULL], n: 2}] |
            | NULL                                  | [{c: NULL, n: 3}]      |
            | {c: [dropped alone], n: 4}            | NULL                   |
            +---------------------------------------+------------------------+
            frame 0[1] null: o.c[1]: expected a string, found null
            frame 0[1] null: l[1]: expected an object, found null
            frame 1[0] wrong_type: l[0].c[1]: expected a string, found a number: 7
            frame 1[1] null: l[1].n: expected a number, found null
            frame 1[3] null: l[3].n: expected a number, found nothing
            frame 2 null: o.n: expected a number, found nothing
            frame 3[1] wrong_type: o.c[1]: expected a string, found a number: 7
        "#]],
    );
}

#[test]
fn a_missing_value_where_one_is_needed() {
    check(
        schema(vec![Field::new("x", DataType::Int32, false)]),
        &[r#"{"x":1}"#, "{}", r#"{"x":null}"#],
        expect![[r#"
            +---+
            | x |
            +---+
            | 1 |
            +---+
            frame 1 null: x: expected a number, found nothing
            frame 2 null: x: expected a number, found null
        "#]],
    );
}

#[test]
fn no_columns_still_count_rows() {
    check(
        schema(vec![]),
        &["{}", "[]", r#"{"a":1}"#, "{"],
        expect![[r#"
            ++
            ++
            ++
            frame 1 not_an_object: expected an object, found an array
            frame 3 malformed: not JSON: EOF while parsing an object at line 1 column 1
        "#]],
    );
}

#[test]
fn raw_strings() {
    let frames: [Option<&[u8]>; 4] = [Some(b"any text"), None, Some(b"\xff"), Some(b"")];
    let value = schema(vec![Field::new("value", DataType::Utf8View, false)]);
    expect![[r#"
        +----------+
        | value    |
        +----------+
        | any text |
        |          |
        +----------+
        frame 1 empty: no payload
        frame 2 malformed: not UTF-8: byte 0xff at position 0
    "#]]
    .assert_eq(&show(value, Format::RawString, &frames));
}

#[test]
fn what_cannot_be_decoded_is_said_at_the_start() {
    let refusal = |fields, format| match Decoder::new(schema(fields), format) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    };
    let deep = DataType::Struct(Fields::from(vec![Field::new("b", DataType::Date64, true)]));
    expect!["column a[].b: Date64 cannot be read from Json"]
        .assert_eq(&refusal(vec![list("a", deep)], Format::Json));
    let other = vec![Field::new("text", DataType::Utf8View, true)];
    expect!["column text: Utf8View cannot be read from RawString"]
        .assert_eq(&refusal(other, Format::RawString));
}

#[test]
fn deep_nesting_is_no_danger() {
    let deep = 200_000;
    let open = "[".repeat(deep);
    let skipped = format!("{{\"other\":{open}1{},\"type\":\"t\"}}", "]".repeat(deep));
    let wanted = format!("{{\"data\":{open}1{}}}", "]".repeat(deep));
    let torn = format!("{{\"data\":{open}");
    let frames = [
        Some(skipped.as_bytes()),
        Some(wanted.as_bytes()),
        Some(torn.as_bytes()),
    ];
    expect![[r#"
        +------+------+
        | data | type |
        +------+------+
        | NULL | t    |
        | []   | NULL |
        +------+------+
        frame 1[0] wrong_type: data[0]: expected an object, found an array
        frame 2 malformed: not JSON: EOF while parsing a list at line 1 column 200008
    "#]]
    .assert_eq(&show(finnhub(), Format::Json, &frames));
}

#[test]
fn a_batch_after_a_batch() {
    let mut decoder = Decoder::new(finnhub(), Format::Json).unwrap();
    let frame = br#"{"data":[{"s":"A SYMBOL OF SOME LENGTH","p":1}],"type":"trade"}"#;
    let mut batches = Vec::new();
    for _ in 0..3 {
        for _ in 0..100 {
            assert!(decoder.push(Some(frame), &mut Vec::new()));
            assert!(!decoder.push(
                Some(br#"{"type":"a text too long to be inline","data":1}"#),
                &mut Vec::new()
            ));
        }
        batches.push(decoder.finish());
    }
    assert_eq!(batches[0].num_rows(), 100);
    assert_eq!(batches[0], batches[1]);
    assert_eq!(batches[1], batches[2]);
    assert_eq!(decoder.finish().num_rows(), 0);
}
