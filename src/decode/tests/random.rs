//! The two ways against each other, and good frames around bad ones.

use std::fmt::Write as _;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Fields, SchemaRef, TimeUnit};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{json as json_column, list, schema};
use crate::decode::column::{Column, Object};
use crate::decode::{Decoder, Format, careful, quick};

/// Every kind of column, with short names that [`any_json`] uses.
fn all_kinds() -> SchemaRef {
    let item = DataType::Struct(Fields::from(vec![
        Field::new("a", DataType::Float64, true),
        Field::new("b", DataType::Utf8View, true),
        Field::new("c", DataType::Int64, false),
        list("d", DataType::Int32),
    ]));
    schema(vec![
        list("a", item.clone()),
        Field::new("b", item, true),
        Field::new("c", DataType::Decimal128(20, 4), true),
        json_column("d"),
        list("e", DataType::Float32),
        Field::new("f", DataType::Timestamp(TimeUnit::Nanosecond, None), true),
    ])
}

/// The text of a JSON value, mostly of the shape of [`all_kinds`].
fn any_json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        3 => any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(|v| format!("{v:?}")),
        3 => any::<i64>().prop_map(|v| v.to_string()),
        2 => any::<i16>().prop_map(|v| v.to_string()),
        2 => Just("null".to_owned()),
        1 => any::<bool>().prop_map(|v| v.to_string()),
        1 => proptest::sample::select(vec!["-0", "1e400", "18446744073709551616", "\"12\"", "\"\\ud800\"", "\"2019-10-11T00:00:11Z\""])
            .prop_map(str::to_owned),
        2 => ".{0,20}".prop_map(|v| serde_json::to_string(&v).unwrap()),
    ];
    scalar.prop_recursive(4, 40, 5, |inner| {
        let member = (
            proptest::sample::select(vec!["a", "b", "c", "d", "e", "f", "g"]),
            inner.clone(),
        );
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(|v| format!("[{}]", v.join(", "))),
            proptest::collection::vec(member, 0..6).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(k, v)| format!("\"{k}\":{v}"))
                    .collect();
                format!("{{{}}}", members.join(" ,"))
            }),
        ]
    })
}

fn any_frame() -> impl Strategy<Value = String> {
    let names = proptest::sample::subsequence(vec!["a", "b", "c", "d", "e", "f"], 0..=6);
    (names, proptest::collection::vec(any_json(), 6)).prop_map(|(names, values)| {
        let members: Vec<_> = names
            .iter()
            .zip(values)
            .map(|(k, v)| format!("\"{k}\":{v}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

/// A value's JSON with white space anywhere, and its members in any order.
fn spread(value: &Value, spaces: &mut impl FnMut() -> &'static str, turn: usize) -> String {
    let mut text = spaces().to_owned();
    match value {
        Value::Array(elements) => {
            let elements: Vec<_> = (elements.iter().map(|e| spread(e, spaces, turn))).collect();
            let _ = write!(text, "[{}{}]", spaces(), elements.join(","));
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members
                .iter()
                .map(|(name, value)| {
                    let value = spread(value, spaces, turn);
                    format!("{}\"{name}\"{}:{value}", spaces(), spaces())
                })
                .collect();
            let turn = turn % members.len().max(1);
            members.rotate_left(turn);
            let _ = write!(text, "{{{}{}}}", spaces(), members.join(","));
        }
        scalar => text.push_str(&scalar.to_string()),
    }
    text + spaces()
}

/// A frame that every column of [`all_kinds`] has a value for.
fn whole_frame() -> impl Strategy<Value = Value> {
    let item = (any::<f64>(), ".{0,20}", any::<i64>(), any::<[i32; 2]>()).prop_map(
        |(number, text, integer, list)| {
            json!({"a": if number.is_finite() { number } else { 0.5 }, "b": text, "c": integer, "d": list, "z": [null, true]})
        },
    );
    let items = proptest::collection::vec(item.clone(), 0..4);
    (items, item, any::<i32>(), any::<f32>(), any::<i64>()).prop_map(
        |(items, item, decimal, float, time)| {
            let float = if float.is_finite() { float } else { 1.5 };
            json!({
                "a": items, "b": item, "c": f64::from(decimal) / 8.0, "d": {"x": [decimal]}, "e": [float],
                "f": time, "unused": {"deep": [[{"er": "\u{1}\\\""}], -1e-7, false]},
            })
        },
    )
}

/// The columns of one frame, by the careful way.
fn by_careful(frame: &str) -> Option<Vec<ArrayRef>> {
    let mut columns: Vec<Column> = (all_kinds().fields().iter())
        .map(|field| Column::json(field).unwrap())
        .collect();
    let mut rejects = Vec::new();
    careful::frame(&mut columns, frame, &mut rejects).ok()?;
    (rejects.is_empty()).then(|| columns.iter_mut().map(Column::finish).collect())
}

/// One object of columns, which learns what frames look like.
struct Quick(Object);

impl Quick {
    fn new() -> Quick {
        let fields = all_kinds();
        let columns = fields.fields().iter().map(|f| Column::json(f).unwrap());
        Quick(Object::new(columns.collect()))
    }

    fn take(&mut self, frame: &str) -> Option<Vec<ArrayRef>> {
        let taken = quick::frame(&mut self.0, 0, frame.as_bytes());
        if taken.is_none() {
            self.0.truncate(0);
        }
        taken.map(|()| self.0.columns.iter_mut().map(Column::finish).collect())
    }
}

proptest! {
    #[test]
    fn what_the_quick_way_takes_the_careful_way_takes_alike(
        frames in proptest::collection::vec(any_frame(), 1..6),
        cut in any::<proptest::sample::Index>(),
        byte in proptest::sample::select(b"\"\\{}[],: 0-.eE\n\x01nx9".to_vec()),
    ) {
        let mut quick = Quick::new();
        for frame in &frames {
            let at = cut.index(frame.len());
            let mut hit = frame.clone().into_bytes();
            hit[at] = byte;
            let hit = String::from_utf8(hit).unwrap_or_default();
            for text in [frame, &hit, &frame[..frame.floor_char_boundary(at)]] {
                if let Some(columns) = quick.take(text) {
                    prop_assert_eq!(Some(columns), by_careful(text), "{}", text);
                }
            }
        }
    }

    /// Whatever order and white space a feed writes its frames with: else it would be read slowly.
    #[test]
    fn the_quick_way_takes_whole_frames(
        frames in proptest::collection::vec((whole_frame(), 0_usize..5, any::<u64>()), 1..5),
    ) {
        let mut quick = Quick::new();
        for (frame, turn, mut seed) in frames {
            // Most have none, as most feeds.
            let mut spaces = || {
                seed = seed.rotate_left(7).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                ["", "", "", " ", "\n  ", "\t"][(seed >> 60) as usize % 6]
            };
            let text = spread(&frame, &mut spaces, turn);
            let columns = quick.take(&text);
            prop_assert!(columns.is_some(), "{text}");
            prop_assert_eq!(columns, by_careful(&text), "{}", text);
        }
    }

    #[test]
    fn a_frame_between_leaves_the_others_as_they_are(frame in any_frame(), cut in 0_usize..400) {
        let good = r#"{"a":[{"a":1.5,"b":"a text of some length","c":7,"d":[1,2]}],"b":{"c":1},"c":1.25,"d":{},"e":[1],"f":5}"#;
        let torn = frame.get(..cut).unwrap_or(&frame);
        let mut decoder = Decoder::new(all_kinds(), Format::Json).unwrap();
        let mut rejects = Vec::new();
        for text in [good, &frame, good, torn, good] {
            decoder.push(Some(text.as_bytes()), &mut rejects);
        }
        let rows = decoder.rows();
        let batch = decoder.finish();
        let mut alone = Decoder::new(all_kinds(), Format::Json).unwrap();
        alone.push(Some(good.as_bytes()), &mut rejects);
        let expected = alone.finish();
        prop_assert_eq!(batch.num_rows(), rows);
        prop_assert_eq!(&batch.slice(0, 1), &expected);
        prop_assert_eq!(&batch.slice(rows - 1, 1), &expected);
    }
}
