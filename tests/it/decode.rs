//! Frames → columns, from outside of the room: any bytes, an oracle, and the recorded ticks' shape.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type, Schema, SchemaRef};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use stockpulse::decode::{Decoder, Format};
use stockpulse::model::Reject;

pub fn ticks_schema() -> SchemaRef {
    let tick = DataType::Struct(Fields::from(vec![
        Field::new("s", DataType::Utf8View, true),
        Field::new("p", DataType::Float64, true),
        Field::new("v", DataType::Float64, true),
        Field::new("t", DataType::Int64, true),
    ]));
    let data = Field::new_list("data", Field::new("item", tick, true), true);
    Arc::new(Schema::new(vec![
        data,
        Field::new("type", DataType::Utf8View, true),
    ]))
}

/// The rows of a batch as JSON again, ticks with all of their members.
pub fn rows(batch: &RecordBatch) -> Vec<Value> {
    let data = batch.column(0).as_list::<i32>();
    let types = batch.column(1).as_string_view();
    let text = |array: &arrow::array::StringViewArray, at| {
        array.is_valid(at).then(|| array.value(at).to_owned())
    };
    (0..batch.num_rows())
        .map(|row| {
            let ticks = data.is_valid(row).then(|| {
                let ticks = data.value(row);
                let ticks = ticks.as_struct();
                let double = |column: usize, at| {
                    let column = ticks.column(column).as_primitive::<Float64Type>();
                    column.is_valid(at).then(|| column.value(at))
                };
                let times = ticks.column(3).as_primitive::<Int64Type>();
                (0..ticks.len())
                    .map(|at| {
                        assert!(ticks.is_valid(at));
                        json!({
                            "s": text(ticks.column(0).as_string_view(), at),
                            "p": double(1, at),
                            "v": double(2, at),
                            "t": times.is_valid(at).then(|| times.value(at)),
                        })
                    })
                    .collect::<Vec<_>>()
            });
            json!({ "data": ticks, "type": text(types, row) })
        })
        .collect()
}

pub fn decode<'a>(frames: impl IntoIterator<Item = &'a [u8]>) -> (RecordBatch, Vec<Reject>) {
    let mut decoder = Decoder::new(ticks_schema(), Format::Json).unwrap();
    let mut rejects = Vec::new();
    for frame in frames {
        decoder.push(Some(frame), &mut rejects);
    }
    (decoder.finish(), rejects)
}

/// What a tick must become: `None` if it must be refused.
pub fn oracle_tick(tick: &Value) -> Option<Value> {
    let tick = tick.as_object()?;
    let member = |name: &str| tick.get(name).filter(|value| !value.is_null());
    let text = member("s").map(|v| v.as_str().ok_or(())).transpose();
    let double = |name: &str| member(name).map(|v| v.as_f64().ok_or(())).transpose();
    let integer = member("t").map(|v| v.as_i64().ok_or(())).transpose();
    Some(json!({
        "s": text.ok()?,
        "p": double("p").ok()?,
        "v": double("v").ok()?,
        "t": integer.ok()?,
    }))
}

/// What a frame must become, and how many of its elements must be refused.
fn oracle(frame: &Value) -> Option<(Value, usize)> {
    let kind = match &frame["type"] {
        Value::Null => Value::Null,
        Value::String(text) => json!(text),
        _ => return None,
    };
    match &frame["data"] {
        Value::Null => Some((json!({ "data": null, "type": kind }), 0)),
        Value::Array(elements) => {
            let kept: Vec<_> = elements.iter().filter_map(oracle_tick).collect();
            let refused = elements.len() - kept.len();
            Some((json!({ "data": kept, "type": kind }), refused))
        }
        _ => None,
    }
}

fn any_text() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => "[A-Z]{3,8}:[A-Z]{3,12}".prop_map(Value::from),
        1 => ".{0,24}".prop_map(|text| json!(format!("~{text}"))),
    ]
}

fn any_double() -> impl Strategy<Value = Value> {
    let finite = any::<f64>().prop_filter("JSON has finite numbers only", |v| v.is_finite());
    prop_oneof![4 => finite.prop_map(Value::from), 1 => any::<i32>().prop_map(Value::from)]
}

/// Something that a column of text or numbers must not take.
fn any_misfit() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(true)),
        Just(json!([1, "a", null])),
        Just(json!({"p": 1})),
    ]
}

/// Mostly `good`; now and then null, and with `misfits` something wrong.
fn mostly(good: impl Strategy<Value = Value> + 'static, misfits: bool) -> BoxedStrategy<Value> {
    match misfits {
        true => prop_oneof![12 => good, 1 => Just(Value::Null), 1 => any_misfit()].boxed(),
        false => prop_oneof![12 => good, 1 => Just(Value::Null)].boxed(),
    }
}

fn any_tick(misfits: bool) -> impl Strategy<Value = Value> {
    let members = (
        mostly(any_text(), misfits),
        mostly(any_double(), misfits),
        mostly(any_double(), misfits),
        mostly(any::<i64>().prop_map(Value::from), misfits),
        proptest::sample::subsequence(vec!["s", "p", "v", "t", "c", "x"], 0..=6),
    );
    members.prop_map(|(s, p, v, t, names)| {
        let all = json!({"s": s, "p": p, "v": v, "t": t, "c": ["1", "8"], "x": {"p": "no"}});
        names
            .into_iter()
            .map(|name| (name, all[name].clone()))
            .collect::<Value>()
    })
}

fn any_frame(misfits: bool) -> impl Strategy<Value = Value> {
    let data = vec(mostly(any_tick(misfits), misfits), 0..6).prop_map(Value::from);
    let kind = mostly(any_text(), misfits);
    (mostly(data, misfits), kind, any::<bool>()).prop_map(|(data, kind, type_first)| {
        match type_first {
            true => json!({"type": kind, "data": data}),
            false => json!({"data": data, "other": [data], "type": kind}),
        }
    })
}

pub fn good_frame() -> Value {
    json!({"data": [
        {"s": "BINANCE:BTCUSDT", "p": 50_000.25, "v": 0.001, "t": 1_570_752_011_620_i64},
        {"s": "A", "p": 1.5, "v": 2.0, "t": 3},
    ], "type": "trade"})
}

proptest! {
    #[test]
    fn decode_agrees_with_a_plain_reading(frames in vec(any_frame(true), 1..8), pretty: bool) {
        let write = if pretty { serde_json::to_vec_pretty } else { serde_json::to_vec };
        let bytes: Vec<_> = frames.iter().map(|frame| write(frame).unwrap()).collect();
        let (batch, rejects) = decode(bytes.iter().map(Vec::as_slice));
        let expected: Vec<_> = frames.iter().map(oracle).collect();
        let kept: Vec<_> = expected.iter().flatten().map(|(row, _)| row.clone()).collect();
        prop_assert_eq!(rows(&batch), kept);
        let refused: usize = expected.iter().map(|e| e.as_ref().map_or(1, |(_, n)| *n)).sum();
        prop_assert_eq!(rejects.len(), refused);
    }

    #[test]
    fn decode_takes_any_bytes(frames in vec(vec(any::<u8>(), 0..200), 0..5)) {
        for (schema, format) in [
            (ticks_schema(), Format::Json),
            (Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)])), Format::RawString),
        ] {
            let mut decoder = Decoder::new(schema, format).unwrap();
            let mut kept = 0;
            for frame in &frames {
                let mut rejects = Vec::new();
                let row = decoder.push(Some(frame), &mut rejects);
                kept += usize::from(row);
                prop_assert!(row || (rejects.len() == 1 && rejects[0].element.is_none()));
            }
            prop_assert_eq!(decoder.rows(), kept);
            prop_assert_eq!(decoder.finish().num_rows(), kept);
        }
    }

    #[test]
    fn decode_keeps_the_neighbours_of_a_damaged_frame(
        frame in any_frame(false),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let good = serde_json::to_vec(&good_frame()).unwrap();
        let mut damaged = serde_json::to_vec(&frame).unwrap();
        for (at, byte) in damage {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        let torn = &damaged[..cut.index(damaged.len())];
        let (batch, _) = decode([&good[..], &damaged, &good, torn, &good]);
        let rows = rows(&batch);
        prop_assert!(rows.len() >= 3);
        prop_assert_eq!(rows.iter().filter(|row| **row == good_frame()).count(), 3);
        prop_assert_eq!(&rows[0], &good_frame());
        prop_assert_eq!(&rows[rows.len() - 1], &good_frame());
    }

    #[test]
    fn decode_drops_a_damaged_element_alone(
        misfit in any_misfit(), at in 0_usize..4, name in prop::sample::select(vec!["s", "p", "v", "t"]),
    ) {
        let tick = |t: i64| json!({"s": "A", "p": 1.0, "v": 2.0, "t": t});
        let mut ticks: Vec<_> = (0..4).map(tick).collect();
        ticks[at][name] = misfit;
        let frame = json!({"data": ticks, "type": "trade"}).to_string();
        let (batch, rejects) = decode([frame.as_bytes()]);
        ticks.remove(at);
        prop_assert_eq!(rows(&batch), vec![json!({"data": ticks, "type": "trade"})]);
        prop_assert_eq!(rejects.len(), 1);
        prop_assert_eq!(rejects[0].element, Some(at as u32));
        let path = format!("data[{at}].{name}: expected ");
        prop_assert!(rejects[0].detail.starts_with(&path), "{}", rejects[0].detail);
    }
}
