//! A frame → the messages it becomes, one a symbol. Pure.
//!
//! What was received is what goes on: a frame of one symbol is passed on byte for byte, one of several
//! is cut at its elements, and each part keeps the text around the array and its elements' own text, so
//! that prices and sizes keep their digits and fields that we do not know stay.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::feed::malformed;

/// An error frame's text is logged up to this many characters.
const ERROR_TEXT_CHARS: usize = 200;

/// One message to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// The symbol; `None` for elements that name none: Kafka keeps them, the job counts them.
    pub key: Option<Cow<'a, str>>,
    /// The frame's text.
    pub payload: Cow<'a, [u8]>,
    /// Elements in it.
    pub ticks: u32,
}

/// What a frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parts<'a> {
    /// Ticks, a message a symbol, in the order in which the symbols appear.
    Ticks(Vec<Message<'a>>),
    /// `{"type":"ping"}`
    Ping,
    /// `{"type":"error","msg":…}`: the feed's complaint.
    Error(String),
    /// JSON of another `type`, which holds no ticks.
    Other(String),
    /// Not a JSON object with a `data` array; says what is wrong, without the frame's text.
    Malformed(String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, borrow)]
    msg: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Element<'a> {
    #[serde(borrow)]
    s: Cow<'a, str>,
}

/// Takes a frame apart.
pub fn split(frame: &[u8]) -> Parts<'_> {
    let Ok(text) = std::str::from_utf8(frame) else {
        return Parts::Malformed("not UTF-8".to_string());
    };
    let envelope: Envelope = match serde_json::from_str(text) {
        // serde reads a struct from an array too; the feeds do not mean that.
        Ok(_) if !text.trim_start().starts_with('{') => {
            return Parts::Malformed("JSON, but not an object".to_string());
        }
        Ok(envelope) => envelope,
        Err(error) => return Parts::Malformed(malformed(&error)),
    };
    match envelope.kind.as_deref() {
        Some("ping") => Parts::Ping,
        Some("error") => Parts::Error(envelope.msg.map_or(String::new(), error_text)),
        Some("trade") | None => match envelope.data {
            Some(data) => split_data(text, data),
            None => Parts::Malformed("no data array".to_string()),
        },
        Some(other) => Parts::Other(other.chars().take(ERROR_TEXT_CHARS).collect()),
    }
}

fn split_data<'a>(text: &'a str, data: &'a RawValue) -> Parts<'a> {
    let elements: Vec<&RawValue> = match serde_json::from_str(data.get()) {
        Ok(elements) => elements,
        Err(_) => return Parts::Malformed("data is not an array".to_string()),
    };
    let groups = by_symbol(&elements);
    if let [(key, group)] = groups.as_slice() {
        let (key, ticks) = (key.clone(), count(group));
        return Parts::Ticks(vec![Message {
            key,
            payload: Cow::Borrowed(text.as_bytes()),
            ticks,
        }]);
    }
    // `data` borrows from `text`: where it stands is how far its text begins after the other's.
    let start = data.get().as_ptr() as usize - text.as_ptr() as usize;
    let (before, after) = (&text[..start], &text[start + data.get().len()..]);
    let message = |(key, group): (Option<Cow<'a, str>>, Vec<&str>)| Message {
        ticks: count(&group),
        payload: Cow::Owned(format!("{before}[{}]{after}", group.join(",")).into_bytes()),
        key,
    };
    Parts::Ticks(groups.into_iter().map(message).collect())
}

/// The elements' texts by symbol; symbols and elements in the order of the frame.
fn by_symbol<'a>(elements: &[&'a RawValue]) -> Vec<(Option<Cow<'a, str>>, Vec<&'a str>)> {
    let mut groups: Vec<(Option<Cow<'a, str>>, Vec<&'a str>)> = Vec::new();
    for element in elements {
        let object = element.get().starts_with('{').then_some(element.get());
        let symbol = object
            .and_then(|object| serde_json::from_str(object).ok())
            .map(|Element { s }| s);
        match groups.iter_mut().find(|(key, _)| *key == symbol) {
            Some((_, group)) => group.push(element.get()),
            None => groups.push((symbol, vec![element.get()])),
        }
    }
    groups
}

/// Earliest and latest event time of a message, milliseconds since 1970 UTC, where its ticks have any.
pub fn event_times(payload: &[u8]) -> Option<(i64, i64)> {
    #[derive(Deserialize)]
    struct Timed<'a> {
        #[serde(borrow)]
        data: Vec<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Tick {
        t: i64,
    }
    let timed: Timed = serde_json::from_slice(payload).ok()?;
    let time = |element: &&RawValue| Some(serde_json::from_str::<Tick>(element.get()).ok()?.t);
    let times: Vec<i64> = timed.data.iter().filter_map(time).collect();
    Some((*times.iter().min()?, *times.iter().max()?))
}

fn count(group: &[&str]) -> u32 {
    u32::try_from(group.len()).unwrap_or(u32::MAX)
}

fn error_text(msg: &RawValue) -> String {
    let text: Cow<'_, str> = match serde_json::from_str::<String>(msg.get()) {
        Ok(text) => Cow::Owned(text),
        Err(_) => Cow::Borrowed(msg.get()),
    };
    text.chars().take(ERROR_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(frame: &str, expected: Expect) {
        let text = match split(frame.as_bytes()) {
            Parts::Ticks(messages) => messages
                .iter()
                .map(
                    |Message {
                         key,
                         payload,
                         ticks,
                     }| {
                        let payload = std::str::from_utf8(payload).unwrap();
                        format!("{} ×{ticks} {payload}\n", key.as_deref().unwrap_or("-"))
                    },
                )
                .collect(),
            other => format!("{other:?}\n"),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn one_symbol_goes_on_byte_for_byte() {
        check(
            r#" {"type":"trade", "data":[ {"s":"A:X","p":1.10},{"p":1e3,"s":"A:X"} ] } "#,
            expect![[r#"
                A:X ×2  {"type":"trade", "data":[ {"s":"A:X","p":1.10},{"p":1e3,"s":"A:X"} ] } 
            "#]],
        );
    }

    #[test]
    fn several_symbols_are_cut_and_keep_digits_and_envelope() {
        check(
            r#"{"x":[1],"data":[{"p":0.10,"s":"A"},{"p":2.000000000000000001,"s":"B"}, {"p":1E5,"s":"A","é":"[]"}],"type":"trade","seq":7.0}"#,
            expect![[r#"
                A ×2 {"x":[1],"data":[{"p":0.10,"s":"A"},{"p":1E5,"s":"A","é":"[]"}],"type":"trade","seq":7.0}
                B ×1 {"x":[1],"data":[{"p":2.000000000000000001,"s":"B"}],"type":"trade","seq":7.0}
            "#]],
        );
    }

    #[test]
    fn elements_without_a_symbol_are_kept_without_a_key() {
        check(
            r#"{"data":[{"s":"A"},null,{"s":7},{"p":1},"x",["A"],{"s":"\u0041"}]}"#,
            expect![[r#"
                A ×2 {"data":[{"s":"A"},{"s":"\u0041"}]}
                - ×5 {"data":[null,{"s":7},{"p":1},"x",["A"]]}
            "#]],
        );
    }

    #[test]
    fn what_holds_no_ticks_is_told_apart() {
        check(r#"{"type":"ping"}"#, expect!["Ping\n"]);
        check(
            r#"{"type":"error","msg":"Invalid \"API\" key"}"#,
            expect![[r#"
            Error("Invalid \"API\" key")
        "#]],
        );
        check(r#"{"type":"error"}"#, expect!["Error(\"\")\n"]);
        check(
            r#"{"type":"error","msg":{"code":1}}"#,
            expect![[r#"
            Error("{\"code\":1}")
        "#]],
        );
        check(r#"{"type":"news","data":[]}"#, expect!["Other(\"news\")\n"]);
        check(r#"{"type":"trade","data":[]}"#, expect!["\n"]);
    }

    #[test]
    fn garbage_is_malformed_and_not_quoted() {
        check(
            "",
            expect!["Malformed(\"truncated JSON at line 1, column 0\")\n"],
        );
        check(
            "hunter2",
            expect!["Malformed(\"not JSON at line 1, column 1\")\n"],
        );
        check(
            r#"{"data":[{"s":"A""#,
            expect!["Malformed(\"truncated JSON at line 1, column 17\")\n"],
        );
        check(
            "[1]",
            expect!["Malformed(\"JSON of another shape at line 1, column 2\")\n"],
        );
        check(
            r#"["trade",[{"s":"A"}]]"#,
            expect!["Malformed(\"JSON, but not an object\")\n"],
        );
        check(
            "null",
            expect!["Malformed(\"JSON of another shape at line 1, column 4\")\n"],
        );
        check(
            r#"{"type":"trade"}"#,
            expect!["Malformed(\"no data array\")\n"],
        );
        check(
            r#"{"type":"trade","data":null}"#,
            expect!["Malformed(\"no data array\")\n"],
        );
        check(
            r#"{"type":"trade","data":{"s":"A"}}"#,
            expect!["Malformed(\"data is not an array\")\n"],
        );
        check(
            r#"{"type":7}"#,
            expect!["Malformed(\"JSON of another shape at line 1, column 9\")\n"],
        );
        assert_eq!(split(b"\xff{}"), Parts::Malformed("not UTF-8".to_string()));
    }

    #[test]
    fn event_times_are_those_of_the_ticks_that_have_one() {
        let times = |text: &str| event_times(text.as_bytes());
        assert_eq!(
            times(r#"{"data":[{"t":3},{"t":1},{"t":"x"},7]}"#),
            Some((1, 3))
        );
        assert_eq!(times(r#"{"data":[{}]}"#), None);
        assert_eq!(times("x"), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_or_doubled(symbols in proptest::collection::vec(0..4_u8, 0..12)) {
            let elements: Vec<String> = symbols
                .iter()
                .enumerate()
                .map(|(index, symbol)| format!(r#"{{"s":"S{symbol}","t":{index}}}"#))
                .collect();
            let frame = format!(r#"{{"data":[{}],"type":"trade"}}"#, elements.join(","));
            let Parts::Ticks(messages) = split(frame.as_bytes()) else { panic!("{frame}") };
            let mut seen = vec![];
            for message in messages {
                let json: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
                let data = json["data"].as_array().unwrap();
                proptest::prop_assert_eq!(data.len(), message.ticks as usize);
                for tick in data {
                    proptest::prop_assert_eq!(tick["s"].as_str(), message.key.as_deref());
                    seen.push(tick["t"].as_u64().unwrap());
                }
            }
            seen.sort_unstable();
            proptest::prop_assert_eq!(seen, (0..symbols.len() as u64).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_it_panic(frame in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let _ = split(&frame);
        }
    }
}
