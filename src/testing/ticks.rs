//! A file of ticks → the frames of a topic: a line a frame, as the feed sent it, or in an envelope.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::Partition;
use crate::source::replay::ReplayFrame;

/// Names that a case's file of ticks may have.
pub const TICKS_FILES: [&str; 4] = [
    "ticks.ndjson",
    "ticks.ndjson.gz",
    "frames.ndjson",
    "frames.ndjson.gz",
];
/// A file of ticks is at most this long, unpacked: a case is meant to be read.
const TICKS_BYTES_MAX: u64 = 64 << 20;
/// Partitions of a case's topic are numbered below this.
pub const PARTITIONS_MAX: i32 = 256;

/// The ticks of a case.
#[derive(Debug, Default)]
pub struct Ticks {
    /// In the order in which they arrive.
    pub frames: Vec<TickFrame>,
    /// Whether a line says which partition it is in.
    pub names_partitions: bool,
    /// The newest time in them, Kafka's or a tick's, milliseconds since 1970 UTC.
    pub newest_ms: Option<i64>,
}

/// A frame, and where it goes.
#[derive(Debug)]
pub struct TickFrame {
    /// Its partition.
    pub partition: Partition,
    /// The message.
    pub frame: ReplayFrame,
    /// What it is dealt to partitions by: its key, else the symbols of its ticks.
    pub symbols: Vec<String>,
}

/// A line that says more than the frame.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    /// Partition, by default 0.
    p: Option<Partition>,
    /// Kafka's timestamp, milliseconds since 1970 UTC.
    ts: Option<i64>,
    /// The message key.
    key: Option<String>,
    /// The frame.
    frame: Option<Box<RawValue>>,
    /// The frame, where it is no JSON. With neither it is a message without a payload.
    raw: Option<String>,
}

/// Reads a file of ticks.
///
/// # Errors
/// What is wrong, with the file and the line.
pub fn read(path: &Path) -> Result<Ticks, String> {
    let mut ticks = Ticks::default();
    for (number, line) in text(path)?.lines().enumerate() {
        if !line.trim().is_empty() {
            ticks
                .push(line.trim())
                .map_err(|error| format!("{}:{}: {error}", path.display(), number + 1))?;
        }
    }
    Ok(ticks)
}

/// The one file of ticks in a case's folder.
///
/// # Errors
/// There is none, or more than one.
pub fn only_file(folder: &Path) -> Result<PathBuf, String> {
    let there: Vec<&str> = (TICKS_FILES.into_iter())
        .filter(|name| folder.join(name).exists())
        .collect();
    match there[..] {
        [name] => Ok(folder.join(name)),
        [] => Err(format!(
            "there are no ticks: write ticks.ndjson, a frame a line, or name a file of them in case.json (\"ticks\"); looked for {}",
            TICKS_FILES.join(", ")
        )),
        _ => Err(format!(
            "there is more than one file of ticks ({}); keep one",
            there.join(", ")
        )),
    }
}

fn text(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let file = File::open(path).map_err(failed)?;
    let mut reader: Box<dyn Read> = match path.extension().is_some_and(|end| end == "gz") {
        true => Box::new(MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    let mut text = String::new();
    let limited = reader.by_ref().take(TICKS_BYTES_MAX + 1);
    let bytes = { limited }.read_to_string(&mut text).map_err(failed)?;
    match bytes as u64 > TICKS_BYTES_MAX {
        true => Err(format!(
            "{} holds more than {TICKS_BYTES_MAX} bytes; a case is meant to be small",
            path.display()
        )),
        false => Ok(text),
    }
}

impl Ticks {
    fn push(&mut self, line: &str) -> Result<(), String> {
        let json: Value = serde_json::from_str(line).map_err(|error| {
            format!("this is no JSON ({error}); a frame that is none goes into {{\"raw\":\"…\"}}")
        })?;
        let (partition, frame, found) = match is_envelope(&json) {
            true => {
                let envelope: Envelope = serde_json::from_str(line).map_err(|error| {
                    format!("{error}; a line is a frame, or {{\"p\":0,\"ts\":0,\"key\":\"\",\"frame\":{{…}}}}")
                })?;
                self.names_partitions |= envelope.p.is_some();
                envelope.open(&json)?
            }
            false => {
                let found = Found::of(&json);
                let frame = ReplayFrame {
                    timestamp_ms: found.newest_ms,
                    key: found.symbols.first().map(|symbol| symbol.clone().into()),
                    payload: Some(line.into()),
                };
                (0, frame, found)
            }
        };
        let newest = [self.newest_ms, found.newest_ms, frame.timestamp_ms];
        self.newest_ms = newest.into_iter().flatten().max();
        self.frames.push(TickFrame {
            partition,
            frame,
            symbols: found.symbols,
        });
        Ok(())
    }
}

/// A line with `frame` or `raw`, or with nothing but an envelope's other fields: a message without payload.
fn is_envelope(line: &Value) -> bool {
    line.as_object().is_some_and(|line| {
        let bare = |key: &String| ["p", "ts", "key"].contains(&key.as_str());
        line.contains_key("frame")
            || line.contains_key("raw")
            || line.contains_key("p") && line.keys().all(bare)
    })
}

impl Envelope {
    fn open(self, line: &Value) -> Result<(Partition, ReplayFrame, Found), String> {
        let partition = self.p.unwrap_or(0);
        if !(0..PARTITIONS_MAX).contains(&partition) {
            return Err(format!(
                "partition {partition}: a case has partitions 0 to {}",
                PARTITIONS_MAX - 1
            ));
        }
        if self.frame.is_some() && self.raw.is_some() {
            return Err("both \"frame\" and \"raw\"; a message has one payload".to_string());
        }
        let mut found = Found::of(line.get("frame").unwrap_or(&Value::Null));
        if let Some(key) = &self.key {
            found.symbols = vec![key.clone()];
        }
        let payload = self.frame.map(|frame| frame.get().to_string()).or(self.raw);
        let frame = ReplayFrame {
            timestamp_ms: self.ts,
            key: self.key.map(String::into_bytes),
            payload: payload.map(String::into_bytes),
        };
        Ok((partition, frame, found))
    }
}

/// What a frame of the usual shapes says: Finnhub's (`data` is a list of ticks), or one tick by itself.
#[derive(Default)]
struct Found {
    symbols: Vec<String>,
    newest_ms: Option<i64>,
}

impl Found {
    fn of(frame: &Value) -> Found {
        let alone = std::slice::from_ref(frame);
        let ticks = frame.get("data").and_then(Value::as_array);
        let mut found = Found::default();
        for tick in ticks.map_or(alone, Vec::as_slice) {
            let symbol = tick.get("s").or_else(|| tick.get("symbol"));
            if let Some(symbol) = symbol.and_then(Value::as_str) {
                found.symbols.push(symbol.to_string());
            }
            found.newest_ms = found.newest_ms.max(tick.get("t").and_then(Value::as_i64));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Ticks {
        let mut ticks = Ticks::default();
        ticks.push(line).unwrap();
        ticks
    }

    #[test]
    fn a_plain_frame_has_the_time_of_its_newest_tick_and_the_key_of_its_first() {
        let line = r#"{"type":"trade","data":[{"s":"A","t":7},{"s":"B","t":5}]}"#;
        let ticks = one(line);
        let frame = &ticks.frames[0];
        assert_eq!(frame.symbols, ["A", "B"]);
        assert_eq!(frame.frame.timestamp_ms, Some(7));
        assert_eq!(frame.frame.key.as_deref(), Some(&b"A"[..]));
        assert_eq!(frame.frame.payload.as_deref(), Some(line.as_bytes()));
        assert!(!ticks.names_partitions);
        // Its own fields, not an envelope's.
        assert_eq!(one(r#"{"s":"A","p":1,"t":9}"#).newest_ms, Some(9));
    }

    #[test]
    fn an_envelope_says_partition_time_and_key() {
        let ticks = one(r#"{"p":3,"ts":9,"key":"k","frame":{"data":[{"s":"A","t":12}]}}"#);
        let frame = &ticks.frames[0];
        assert_eq!((frame.partition, frame.frame.timestamp_ms), (3, Some(9)));
        assert_eq!(frame.symbols, ["k"]);
        assert_eq!(ticks.newest_ms, Some(12));
        assert!(ticks.names_partitions);
        assert!(!one(r#"{"raw":"text"}"#).names_partitions);
        assert_eq!(one(r#"{"p":0}"#).frames[0].frame.payload, None);
    }

    #[test]
    fn a_line_that_is_neither_is_refused() {
        for line in [
            "garbage",
            r#"{"frame":{},"partition":1}"#,
            r#"{"p":-1,"raw":""}"#,
            r#"{"frame":{},"raw":""}"#,
        ] {
            assert!(Ticks::default().push(line).is_err(), "{line}");
        }
    }
}
