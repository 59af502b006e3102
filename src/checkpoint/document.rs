//! A checkpoint, or another document of its folder, as text: a version, a checksum, and the body it is over.
//!
//! ```json
//! {"version":1,"crc32":"5d2a7f10","body":{ … }}
//! ```
//! The checksum is over the body's bytes as they stand in the file, so it also notices an edit that
//! leaves the JSON valid.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Version of the document that this program writes; it reads this one and no other.
pub(super) const VERSION: u64 = 1;

/// Read first: a newer document may look different in everything else.
#[derive(Deserialize)]
struct Head {
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    version: u64,
    crc32: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// The document of a body, such as a checkpoint.
pub(super) fn encode<T: Serialize>(body: &T) -> String {
    let body = serde_json::to_string_pretty(body)
        .and_then(RawValue::from_string)
        .expect("a body holds text, numbers and maps with text keys");
    let envelope = Envelope {
        version: VERSION,
        crc32: checksum(body.get()),
        body: &body,
    };
    let mut text = serde_json::to_string(&envelope).expect("the body is valid JSON");
    text.push('\n');
    text
}

/// The body of a document, or what is wrong with it.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let head: Head = serde_json::from_slice(bytes)
        .map_err(|error| format!("it is not a whole checkpoint document ({error})"))?;
    if head.version != VERSION {
        return Err(format!(
            "it is of version {}, and this program reads version {VERSION}",
            head.version
        ));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(bytes)
        .map_err(|error| format!("it is not a whole checkpoint document ({error})"))?;
    let found = checksum(envelope.body.get());
    if found != envelope.crc32 {
        return Err(format!(
            "its checksum is {found} where {} is written: it was edited or damaged",
            envelope.crc32
        ));
    }
    serde_json::from_str(envelope.body.get())
        .map_err(|error| format!("its body is not a checkpoint ({error})"))
}

fn checksum(body: &str) -> String {
    format!("{:08x}", crc32fast::hash(body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::expect;

    use super::*;
    use crate::checkpoint::{Checkpoint, FileEntry, LastFrame, PartitionState, ReplayPoint};
    use crate::model::{Counts, Epoch, Watermark};

    fn checkpoint() -> Checkpoint {
        let state = |next, watermark, replay| PartitionState {
            next,
            watermark: Watermark(watermark),
            replay,
            last: (next > 0).then_some(LastFrame {
                offset: next - 1,
                timestamp_ms: Some(1_569_888_060_123),
                bytes: Some(80),
            }),
        };
        let replay = |offset, watermark| ReplayPoint {
            offset,
            watermark: Watermark(watermark),
        };
        Checkpoint {
            job: "ohlc".to_owned(),
            epoch: Epoch(12),
            topic: "raw_ticks".to_owned(),
            emitted: BTreeMap::from([(
                "ohlc".to_owned(),
                crate::checkpoint::Emitted(Watermark(1_569_888_060_000_000_000)),
            )]),
            partitions: BTreeMap::from([
                (0, state(0, i64::MIN, replay(0, i64::MIN))),
                (1, state(17, -1, replay(3, i64::MIN))),
            ]),
            since: BTreeMap::from([(0, 0), (1, 2)]),
            files: vec![FileEntry {
                table: "ohlc".to_owned(),
                staged: "ohlc-0000000012-000.parquet".to_owned(),
                published: "date=2019-10-01/ohlc-0000000012-000.parquet".to_owned(),
                rows: 50,
                bytes: 3400,
            }],
            counts: Counts::default(),
            dead_letters: None,
            owner: None,
            query: BTreeMap::from([("ohlc".to_owned(), "SELECT 1 -- \"ü\"".to_owned())]),
        }
    }

    #[test]
    fn a_document_is_readable_and_reads_back() {
        let text = encode(&checkpoint());
        expect![[r#"
            {"version":1,"crc32":"9598a5c8","body":{
              "job": "ohlc",
              "epoch": 12,
              "topic": "raw_ticks",
              "emitted": {
                "ohlc": {
                  "ns": 1569888060000000000,
                  "utc": "2019-10-01T00:01:00Z"
                }
              },
              "partitions": {
                "0": {
                  "next": 0,
                  "watermark": null,
                  "replay": {
                    "offset": 0,
                    "watermark": null
                  }
                },
                "1": {
                  "next": 17,
                  "watermark": {
                    "ns": -1,
                    "utc": "1969-12-31T23:59:59.999999999Z"
                  },
                  "replay": {
                    "offset": 3,
                    "watermark": null
                  },
                  "last": {
                    "offset": 16,
                    "timestamp_ms": 1569888060123,
                    "bytes": 80
                  }
                }
              },
              "since": {
                "0": 0,
                "1": 2
              },
              "files": [
                {
                  "table": "ohlc",
                  "staged": "ohlc-0000000012-000.parquet",
                  "published": "date=2019-10-01/ohlc-0000000012-000.parquet",
                  "rows": 50,
                  "bytes": 3400
                }
              ],
              "counts": {
                "read": 0,
                "in_windows": 0,
                "filtered": 0,
                "late": 0,
                "rejected": {}
              },
              "query": {
                "ohlc": "SELECT 1 -- \"ü\""
              }
            }}
        "#]]
        .assert_eq(&text);
        assert_eq!(decode(text.as_bytes()), Ok(checkpoint()));
    }

    #[test]
    fn every_truncation_and_every_changed_byte_is_noticed() {
        let bytes = encode(&checkpoint()).into_bytes();
        let end = bytes.len() - 1; // the line's end is not part of the document
        for cut in 0..end {
            assert!(decode::<Checkpoint>(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..end {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(decode::<Checkpoint>(&changed).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn another_version_is_named_before_anything_else_is_judged() {
        let error = decode::<Checkpoint>(br#"{"version":2,"content":[]}"#).unwrap_err();
        expect!["it is of version 2, and this program reads version 1"].assert_eq(&error);
    }
}
