//! What the producer's flags and variables mean, once checked.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::config::kafka::KafkaProperties;
use crate::config::secret::Secret;

/// Codecs for the topic's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Quick.
    Lz4,
    /// Small.
    Zstd,
    /// Not compressed.
    None,
}

impl Compression {
    /// librdkafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
            Compression::None => "none",
        }
    }
}

/// What a feed needs to know.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedConfig {
    /// Finnhub's WebSocket.
    Finnhub {
        /// `ws://` or `wss://`, without the token.
        url: String,
        /// The account's token.
        token: Secret,
        /// Symbols to subscribe, in this order.
        symbols: Vec<String>,
    },
    /// A made-up market.
    Simulated {
        /// Symbols to make up; empty: all fifty.
        symbols: Vec<String>,
        /// The same seed gives the same market.
        seed: u64,
        /// Ticks per second on average, above 0.
        ticks_per_second: f64,
        /// How long before now the market begins; that much is sent as fast as possible.
        history: Duration,
    },
    /// Frames from a file.
    Replay {
        /// `.ndjson` or `.ndjson.gz`.
        path: PathBuf,
        /// Factor on the recorded pace, above 0; `None`: as fast as possible.
        speed: Option<f64>,
    },
}

/// How frames reach the topic.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryConfig {
    /// Broker and librdkafka properties.
    pub kafka: KafkaProperties,
    /// Topic the frames go to.
    pub topic: String,
    /// Codec.
    pub compression: Compression,
    /// How long the start waits for Kafka and the topic.
    pub kafka_wait: Duration,
    /// How long a stop waits for deliveries.
    pub flush_wait: Duration,
}

impl DeliveryConfig {
    /// The defaults of the flags, for a caller without a command line.
    pub fn new(kafka: KafkaProperties, topic: impl Into<String>) -> DeliveryConfig {
        DeliveryConfig {
            kafka,
            topic: topic.into(),
            compression: Compression::Lz4,
            kafka_wait: Duration::from_secs(30),
            flush_wait: Duration::from_secs(8),
        }
    }
}

/// The producer's settings, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ProducerConfig {
    /// Where the ticks come from.
    pub feed: FeedConfig,
    /// Where they go.
    pub delivery: DeliveryConfig,
}
