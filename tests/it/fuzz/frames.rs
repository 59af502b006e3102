//! Frames: the decoder takes any bytes, keeps the frames beside them as they are, keeps every tick that is whole,
//! and says of every other one that it was refused.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use serde_json::Value;
use stockpulse::decode::{Decoder, Format};

use super::Inputs;
use crate::decode::{decode, good_frame, oracle_tick, rows};
use crate::job::harness::recorded_frames;

/// Frames of other shapes than the recorded ones.
const OTHERS: [&str; 8] = [
    r#"{"type":"ping"}"#,
    r#"{"data":null,"type":"trade"}"#,
    r#"{"data":[],"type":"trade"}"#,
    r#"{"data":[{"s":"A:\"\u00e9\\n","p":1.5e-3,"v":0,"t":-1}],"type":"trade","msg":{"a":[1,{"b":null}]}}"#,
    r#"{"type":"trade","data":[{"c":["1","8"],"p":"12.5","s":"B","t":1570752011620,"v":2},{"p":null},null,7,"x",{}]}"#,
    "{\n  \"data\": [\n    {\"t\": 1, \"s\": \"\", \"p\": -0.0, \"v\": 1E5}\n  ],\n  \"type\": \"trade\"\n}",
    r#"{"a":[{"a":1.5,"b":"text","c":7,"d":[1,2]}],"b":{"c":1},"c":1.25,"d":{"e":[]},"e":[1],"f":5}"#,
    r#"[1,2,{"data":[]}]"#,
];

fn corpus() -> Vec<Vec<u8>> {
    let recorded = recorded_frames().into_iter().step_by(97);
    let others = OTHERS.iter().map(|frame| frame.as_bytes().to_vec());
    recorded.chain(others).collect()
}

/// Columns of every kind.
fn kinds() -> SchemaRef {
    let list = |name: &str, item| Field::new_list(name, Field::new("item", item, true), true);
    let item = DataType::Struct(Fields::from(vec![
        Field::new("a", DataType::Float64, true),
        Field::new("b", DataType::Utf8View, true),
        Field::new("c", DataType::Int64, true),
        list("d", DataType::Int32),
    ]));
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    Arc::new(Schema::new(vec![
        list("a", item.clone()),
        Field::new("b", item, true),
        Field::new("c", DataType::Decimal128(20, 4), true),
        list("e", DataType::Float32),
        Field::new("f", time, true),
    ]))
}

/// Whatever the schema and the format, the frames before and after stay what they are.
fn leaves_its_neighbours(frame: &[u8], schema: SchemaRef, format: Format) {
    let good = OTHERS[6].as_bytes();
    let decoded = |frames: &[&[u8]]| {
        let mut decoder = Decoder::new(Arc::clone(&schema), format).unwrap();
        let mut rejects = Vec::new();
        let kept: Vec<bool> = frames
            .iter()
            .map(|frame| decoder.push(Some(frame), &mut rejects))
            .collect();
        (decoder.finish(), kept, rejects)
    };
    let (alone, ..) = decoded(&[good]);
    let (batch, kept, rejects) = decoded(&[good, frame, good]);
    assert!(kept[0] && kept[2]);
    assert_eq!(batch.num_rows(), kept.iter().filter(|&&kept| kept).count());
    assert_eq!(batch.slice(0, 1), alone);
    assert_eq!(batch.slice(batch.num_rows() - 1, 1), alone);
    if !kept[1] {
        assert_eq!(rejects.len(), 1);
        assert_eq!(rejects[0].element, None);
    }
}

/// Every tick that is whole is kept, in its order, and every other one is kept or refused.
fn loses_no_tick(frame: &[u8]) {
    let good = good_frame().to_string();
    let (batch, rejects) = decode([good.as_bytes(), frame, good.as_bytes()]);
    let rows = rows(&batch);
    let kept = match &rows[..] {
        [_, kept, _] => Some(kept),
        _ => None,
    };
    let Ok(value) = serde_json::from_slice::<Value>(frame) else {
        return;
    };
    let Some(elements) = value.get("data").and_then(Value::as_array) else {
        return;
    };
    let is_refused = rejects.iter().any(|reject| reject.element.is_none());
    assert_eq!(is_refused, kept.is_none());
    let Some(kept) = kept else {
        assert!(!matches!(value["type"], Value::Null | Value::String(_)));
        return;
    };
    let ticks = kept["data"].as_array().unwrap();
    assert_eq!(ticks.len() + rejects.len(), elements.len());
    let mut ticks = ticks.iter();
    for whole in elements.iter().filter_map(oracle_tick) {
        assert!(ticks.any(|tick| *tick == whole), "lost: {whole}");
    }
}

#[test]
fn no_bytes_of_a_frame_stop_the_decoder_or_lose_a_neighbour() {
    let changed = |inputs: &mut Inputs| {
        let number = inputs.any();
        inputs.changed(number)
    };
    let raw = Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)]));
    let kinds = kinds();
    Inputs::new(corpus()).each("frames", changed, |frame| {
        leaves_its_neighbours(frame, Arc::clone(&kinds), Format::Json);
        leaves_its_neighbours(frame, raw.clone(), Format::RawString);
        loses_no_tick(frame);
    });
}
