//! The two ways against each other, and good frames around bad ones.

use arrow::datatypes::{DataType, Field, Fields, SchemaRef, TimeUnit};
use proptest::prelude::*;

use super::{json, list, schema};
use crate::decode::column::Column;
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
        json("d"),
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

proptest! {
    #[test]
    fn what_the_quick_way_takes_the_careful_way_takes_alike(frame in any_frame()) {
        let columns = || -> Vec<Column> {
            all_kinds().fields().iter().map(|f| Column::json(f).unwrap()).collect()
        };
        let (mut by_quick, mut by_careful) = (columns(), columns());
        if quick::frame(&mut by_quick, 0, &frame).is_ok() {
            let mut rejects = Vec::new();
            prop_assert_eq!(careful::frame(&mut by_careful, &frame, &mut rejects), Ok(()));
            prop_assert_eq!(rejects, vec![]);
            for (quick, careful) in by_quick.iter_mut().zip(&mut by_careful) {
                prop_assert_eq!(&quick.finish(), &careful.finish());
            }
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
