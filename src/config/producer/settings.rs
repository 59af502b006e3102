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
    /// A venue on a WebSocket.
    Live(LiveConfig),
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

/// What a feed of a venue needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveConfig {
    /// Which venue, and where.
    pub venue: VenueConfig,
    /// Symbols to subscribe, in this order.
    pub symbols: Vec<String>,
    /// Certificate authorities to trust beside the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Silence after which a connection is made anew; `None`: as is right for the venue.
    pub idle_timeout: Option<Duration>,
    /// Silence after which a symbol is subscribed again; `None`: the default.
    pub symbol_idle_timeout: Option<Duration>,
}

impl LiveConfig {
    /// With the defaults of the flags, for a caller without a command line.
    pub fn new(venue: VenueConfig, symbols: &[&str]) -> LiveConfig {
        LiveConfig {
            venue,
            symbols: symbols.iter().map(ToString::to_string).collect(),
            ca_file: None,
            idle_timeout: None,
            symbol_idle_timeout: None,
        }
    }
}

/// The venues; addresses are `ws://` or `wss://`.
#[derive(Debug, Clone, PartialEq)]
pub enum VenueConfig {
    /// Finnhub.
    Finnhub {
        /// Without the token.
        url: String,
        /// The account's token.
        token: Secret,
    },
    /// Binance's spot market.
    Binance {
        /// Without a path; the next one is tried where one does not serve the user's country.
        urls: Vec<String>,
    },
    /// Coinbase Exchange.
    Coinbase {
        /// The whole address.
        url: String,
    },
    /// Kraken's spot market.
    Kraken {
        /// The whole address.
        url: String,
    },
}

/// How frames reach the topic.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryConfig {
    /// Broker and librdkafka properties.
    pub kafka: KafkaProperties,
    /// Topic the frames go to.
    pub topic: String,
    /// Topic that gets a record of each gap; `None`: gaps are logged and counted only.
    pub gap_topic: Option<String>,
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
            gap_topic: None,
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
    pub feeds: Vec<FeedConfig>,
    /// Where they go.
    pub delivery: DeliveryConfig,
    /// Where health and metrics are served, host and port; `None`: nowhere.
    pub listen: Option<(String, u16)>,
    /// Only try whether everything is there, and wait this long for a first tick of each symbol.
    pub check: Option<Duration>,
}
