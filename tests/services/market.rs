//! The recorded market, dealt to a few symbols, each in one partition; and the candles that a plain function makes of it.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;

use serde_json::{Value, json};

use crate::support::broker::{Appender, TestBroker};
use crate::support::shipped::TICKS;

pub const PARTITIONS: i32 = 2;
const SYMBOLS: i64 = 5;
const MINUTE_MS: i64 = 60_000;
/// All messages but those that close the last windows.
const LAST_TICK_MS: i64 = 1_600_000_000_000;

/// A candle's key, the start of its window in milliseconds, and its open, high, low and close.
pub type Candles = BTreeMap<(String, i64), [f64; 4]>;

/// Messages of a topic, in order, each for its partition.
pub struct Market {
    pub messages: Vec<(i32, Vec<u8>)>,
}

impl Market {
    /// All of it, but of `most` recorded messages at the most. The last messages close every window before.
    pub fn recorded(most: usize) -> Market {
        let mut text = String::new();
        let file = std::fs::File::open(TICKS).unwrap();
        flate2::read::GzDecoder::new(file)
            .read_to_string(&mut text)
            .unwrap();
        let mut messages: Vec<(i32, Vec<u8>)> = (text.lines().take(most).enumerate())
            .map(|(at, line)| {
                let mut frame: Value = serde_json::from_str(line).unwrap();
                let symbol = at as i64 % SYMBOLS;
                for tick in frame["data"].as_array_mut().unwrap() {
                    tick["s"] = format!("S{symbol}").into();
                }
                (
                    (symbol % i64::from(PARTITIONS)) as i32,
                    frame.to_string().into_bytes(),
                )
            })
            .collect();
        let last = |partition: i32| {
            let tick = json!({"s": "last", "p": 1.0, "t": LAST_TICK_MS, "v": 1.0});
            (
                partition,
                json!({"data": [tick], "type": "trade"})
                    .to_string()
                    .into_bytes(),
            )
        };
        messages.extend((0..PARTITIONS).map(last));
        Market { messages }
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn append(&self, appender: &Appender, messages: Range<usize>) {
        let messages = self.messages[messages].iter();
        appender.append(messages.map(|(partition, text)| (*partition, text.as_slice())));
    }

    /// All of it, in a topic.
    pub fn in_topic(&self) -> TestBroker {
        let broker = TestBroker::start(PARTITIONS);
        self.append(&broker.appender(), 0..self.len());
        broker
    }

    /// The candles of one minute that it gives.
    pub fn candles(&self) -> Candles {
        let mut candles: BTreeMap<(String, i64), (i64, i64, [f64; 4])> = BTreeMap::new();
        for (_, message) in &self.messages {
            let frame: Value = serde_json::from_slice(message).unwrap();
            for tick in frame["data"].as_array().unwrap() {
                let (time, price) = (tick["t"].as_i64().unwrap(), tick["p"].as_f64().unwrap());
                if time == LAST_TICK_MS {
                    continue;
                }
                let key = (
                    tick["s"].as_str().unwrap().to_owned(),
                    time - time.rem_euclid(MINUTE_MS),
                );
                let new = (time, time, [price; 4]);
                let (first, last, [open, high, low, close]) = candles.entry(key).or_insert(new);
                // Of one millisecond the order is the topic's.
                if time < *first {
                    (*first, *open) = (time, price);
                }
                if time >= *last {
                    (*last, *close) = (time, price);
                }
                (*high, *low) = (high.max(price), low.min(price));
            }
        }
        let values = candles.into_iter();
        values.map(|(key, (_, _, candle))| (key, candle)).collect()
    }
}
