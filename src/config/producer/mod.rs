//! The producer's flags and environment variables, and what they mean once checked.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::command_line;
use super::kafka::KafkaProperties;
use super::secret::Secret;

mod live;
mod settings;

pub use live::{FeedName, LiveArgs};
pub use settings::{
    Compression, DeliveryConfig, FeedConfig, LiveConfig, ProducerConfig, VenueConfig,
};

/// Topic names longer than this are refused by Kafka.
const TOPIC_NAME_MAX: usize = 249;
/// Word in the symbol list for every symbol of the simulated feed.
pub const ALL_SYMBOLS: &str = "all";

/// Word for no topic.
const NO_TOPIC: &str = "none";

/// Market ticks of a feed to a Kafka topic, one message a frame, keyed by symbol.
///
/// Exit codes: 0 done or stopped by a signal with everything delivered, 2 wrong usage, 4 Kafka cannot
/// be reached, 1 anything else. Settings are also read from `.env` in the working directory; the
/// environment beats it, and a flag beats both.
#[derive(Debug, Parser)]
#[command(name = "stockpulse-producer", version, max_term_width = 100)]
pub struct ProducerArgs {
    /// Where the ticks come from; live feeds may be several, with commas: finnhub,binance.
    #[arg(
        long,
        env = "STOCKPULSE_FEED",
        value_enum,
        value_delimiter = ',',
        default_value = "auto"
    )]
    pub feed: Vec<FeedName>,

    /// Symbols, separated by commas; for the simulated feed also `all` (its fifty).
    #[arg(
        long,
        env = "SYMBOL_LIST",
        value_name = "LIST",
        default_value = "BINANCE:ETHUSDT,BINANCE:BTCUSDT"
    )]
    pub symbols: String,

    /// Kafka's address, host:port, or several with commas.
    #[arg(
        long,
        env = "KAFKA_BROKER",
        value_name = "ADDRESS",
        default_value = "localhost:9092"
    )]
    pub kafka_broker: String,

    /// Topic the frames go to.
    #[arg(
        long,
        env = "KAFKA_TOPIC",
        value_name = "TOPIC",
        default_value = "raw_ticks"
    )]
    pub kafka_topic: String,

    /// Topic that gets a record of each gap, `none` for no topic [default: the topic's name and _gaps].
    #[arg(long, env = "GAP_TOPIC", value_name = "TOPIC")]
    pub gap_topic: Option<String>,

    /// librdkafka properties: name=value, separated by commas (a comma inside a value: `\,`).
    #[arg(
        long,
        env = "KAFKA_PROPERTIES",
        value_name = "LIST",
        default_value = "",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub kafka_properties: Secret,

    /// One librdkafka property, as spark.kafka.NAME=VALUE; repeatable, beats KAFKA_PROPERTIES.
    #[arg(long = "conf", value_name = "NAME=VALUE")]
    pub conf: Vec<Secret>,

    /// How messages are compressed.
    #[arg(
        long,
        env = "STOCKPULSE_COMPRESSION",
        value_enum,
        default_value = "lz4"
    )]
    pub compression: Compression,

    /// Seconds to keep trying for Kafka and the topic at the start, before exit code 4.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub kafka_wait: Duration,

    /// Seconds to wait at the end for what was accepted to be delivered; below Docker's 10.
    #[arg(long, value_name = "SECONDS", default_value = "8", value_parser = seconds)]
    pub flush_wait: Duration,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the heading")]
    pub live: LiveArgs,

    /// File of the replay feed: a frame a line, .ndjson or .ndjson.gz.
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,

    /// Replay at the recorded pace times this; without it as fast as possible.
    #[arg(long, allow_negative_numbers = true, value_name = "FACTOR")]
    pub speed: Option<f64>,

    /// Seed of the simulated feed: the same seed gives the same market [default: 1].
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,

    /// Ticks per second of the simulated feed, on average [default: 50].
    #[arg(long, allow_negative_numbers = true, value_name = "TICKS")]
    pub rate: Option<f64>,

    /// Seconds of market that the simulated feed first makes up for, as fast as possible [default: 0].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub history: Option<Duration>,

    /// Port of /healthz, /readyz and /metrics; without it they are not served.
    #[arg(long, env = "PRODUCER_PORT", value_name = "PORT")]
    pub port: Option<u16>,

    /// Address that port is opened on; 0.0.0.0 makes it reachable from other machines.
    #[arg(
        long,
        env = "PRODUCER_HOST",
        value_name = "ADDRESS",
        default_value = "127.0.0.1"
    )]
    pub host: String,

    /// Only try token, symbols and Kafka, say what is wrong, and end; nothing is sent.
    #[arg(long)]
    pub check: bool,

    /// Seconds that --check waits for a first tick of each symbol.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub check_wait: Duration,

    /// Log more.
    #[arg(short, long)]
    pub verbose: bool,
}

impl ProducerArgs {
    /// Checks every value.
    ///
    /// # Errors
    /// What is wrong, which flag or variable says it, and what to write instead; no secret.
    pub fn check(&self) -> Result<ProducerConfig, String> {
        let feeds = self.feed_names()?;
        self.check_feed_flags(&feeds)?;
        Ok(ProducerConfig {
            feeds: self.feed_configs(&feeds)?,
            delivery: self.delivery_config()?,
            listen: self.port.map(|port| (self.host.clone(), port)),
            check: self.check.then_some(self.check_wait),
        })
    }

    /// The live feeds that the environment asks for, for a program with flags of its own.
    ///
    /// # Errors
    /// As [`ProducerArgs::check`].
    pub fn live_from_environment() -> Result<Vec<FeedConfig>, String> {
        let words = ["stockpulse-producer", "--feed", "auto"];
        let args: ProducerArgs = command_line::parse_from(&words)?;
        args.feed_configs(&[FeedName::Auto])
    }

    /// Each feed once. What is made up or read from a file is no live feed's neighbour.
    fn feed_names(&self) -> Result<Vec<FeedName>, String> {
        let mut names: Vec<FeedName> = Vec::new();
        for name in &self.feed {
            if !names.contains(name) {
                names.push(*name);
            }
        }
        let alone = [FeedName::Auto, FeedName::Simulated, FeedName::Replay];
        match names.iter().find(|name| alone.contains(name)) {
            Some(name) if names.len() > 1 => Err(format!("--feed {} stands alone", name.word())),
            _ => Ok(names),
        }
    }

    fn delivery_config(&self) -> Result<DeliveryConfig, String> {
        let mut kafka = KafkaProperties::new(self.kafka_broker.trim());
        for (key, value) in KafkaProperties::parse_list(self.kafka_properties.reveal())
            .map_err(|error| format!("KAFKA_PROPERTIES: {error}"))?
        {
            kafka.set(key, value);
        }
        for conf in &self.conf {
            let (name, value) = conf
                .reveal()
                .split_once('=')
                .ok_or("--conf needs name=value, as in --conf spark.kafka.linger.ms=20")?;
            if !kafka.set_conf(name.trim(), value.trim()) {
                return Err(format!(
                    "--conf {}: the producer knows spark.kafka.<librdkafka property> only",
                    name.trim()
                ));
            }
        }
        kafka
            .check_brokers()
            .map_err(|error| format!("KAFKA_BROKER or --kafka-broker: {error}"))?;
        let topic = self.kafka_topic.trim();
        check_topic(topic).map_err(|error| format!("KAFKA_TOPIC or --kafka-topic: {error}"))?;
        let gap_topic = match self.gap_topic.as_deref().map(str::trim) {
            Some(NO_TOPIC) => None,
            Some(named) => Some(named.to_string()),
            None => Some(format!("{topic}_gaps")),
        };
        if let Some(gap_topic) = &gap_topic {
            check_topic(gap_topic)
                .map_err(|error| format!("GAP_TOPIC or --gap-topic: {gap_topic}: {error}"))?;
            if gap_topic == topic {
                return Err("GAP_TOPIC or --gap-topic: gaps need a topic of their own".to_string());
            }
        }
        Ok(DeliveryConfig {
            gap_topic,
            compression: self.compression,
            kafka_wait: self.kafka_wait,
            flush_wait: self.flush_wait,
            ..DeliveryConfig::new(kafka, topic)
        })
    }

    fn feed_configs(&self, feeds: &[FeedName]) -> Result<Vec<FeedConfig>, String> {
        Ok(match feeds {
            [FeedName::Simulated] => vec![FeedConfig::Simulated {
                symbols: match self.symbols.trim() {
                    ALL_SYMBOLS => Vec::new(),
                    _ => self.symbol_list()?,
                },
                seed: self.seed.unwrap_or(1),
                ticks_per_second: positive("--rate", self.rate.unwrap_or(50.0))?,
                history: self.history.unwrap_or_default(),
            }],
            [FeedName::Replay] => vec![FeedConfig::Replay {
                path: self.file.clone().ok_or(
                    "--feed replay needs --file, a file with a frame a line (.ndjson or .ndjson.gz)",
                )?,
                speed: (self.speed)
                    .map(|factor| positive("--speed", factor))
                    .transpose()?,
            }],
            live => self.live.feeds(live, &self.symbol_list()?)?,
        })
    }

    fn symbol_list(&self) -> Result<Vec<String>, String> {
        let mut symbols: Vec<String> = Vec::new();
        for symbol in self
            .symbols
            .split(',')
            .map(str::trim)
            .filter(|symbol| !symbol.is_empty())
        {
            if !symbols.iter().any(|known| known == symbol) {
                symbols.push(symbol.to_string());
            }
        }
        if symbols.is_empty() {
            return Err(
                "SYMBOL_LIST or --symbols is empty: name symbols such as BINANCE:BTCUSDT, \
                        separated by commas"
                    .to_string(),
            );
        }
        Ok(symbols)
    }

    /// A flag of one feed given with another is a mistake, not to be passed over.
    fn check_feed_flags(&self, feeds: &[FeedName]) -> Result<(), String> {
        let flags = [
            ("--file", self.file.is_some(), FeedName::Replay),
            ("--speed", self.speed.is_some(), FeedName::Replay),
            ("--seed", self.seed.is_some(), FeedName::Simulated),
            ("--rate", self.rate.is_some(), FeedName::Simulated),
            ("--history", self.history.is_some(), FeedName::Simulated),
        ];
        match flags
            .iter()
            .find(|(_, given, feed)| *given && !feeds.contains(feed))
        {
            None => Ok(()),
            Some((flag, _, feed)) => Err(format!("{flag} belongs to --feed {}", feed.word())),
        }
    }
}

fn check_topic(topic: &str) -> Result<(), String> {
    let legal = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
    if topic.is_empty() || topic.len() > TOPIC_NAME_MAX || [".", ".."].contains(&topic) {
        return Err(format!(
            "a topic's name has 1 to {TOPIC_NAME_MAX} characters and is not . or .."
        ));
    }
    match topic.chars().find(|&char| !legal(char)) {
        Some(char) => Err(format!(
            "{char:?} cannot be in a topic's name (letters, digits, . _ - can)"
        )),
        None => Ok(()),
    }
}

fn positive(flag: &str, value: f64) -> Result<f64, String> {
    if value.is_finite() && value > 0.0 && value <= 1e6 {
        Ok(value)
    } else {
        Err(format!(
            "{flag} {value}: write a number above 0, at most 1000000"
        ))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    const SECONDS_MAX: f64 = 7.0 * 86_400.0;
    match text.trim_end_matches('s').parse::<f64>() {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(format!("write seconds, 0 to {SECONDS_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn args(line: &str) -> ProducerArgs {
        ProducerArgs::try_parse_from(
            ["stockpulse-producer"]
                .into_iter()
                .chain(line.split_whitespace()),
        )
        .unwrap_or_else(|error| panic!("{error}"))
    }

    fn check_error(line: &str, expected: Expect) {
        expected.assert_eq(&args(line).check().unwrap_err());
    }

    #[test]
    fn wrong_values_are_named() {
        check_error(
            "--feed replay",
            expect![
                "--feed replay needs --file, a file with a frame a line (.ndjson or .ndjson.gz)"
            ],
        );
        check_error(
            "--feed simulated --file x",
            expect!["--file belongs to --feed replay"],
        );
        check_error(
            "--feed simulated --rate 0",
            expect!["--rate 0: write a number above 0, at most 1000000"],
        );
        check_error(
            "--feed simulated --symbols ,",
            expect![
                "SYMBOL_LIST or --symbols is empty: name symbols such as BINANCE:BTCUSDT, separated by commas"
            ],
        );
        check_error(
            "--feed simulated --kafka-topic a/b",
            expect![
                "KAFKA_TOPIC or --kafka-topic: '/' cannot be in a topic's name (letters, digits, . _ - can)"
            ],
        );
        check_error(
            "--feed simulated --conf spark.app.name=x",
            expect![
                "--conf spark.app.name: the producer knows spark.kafka.<librdkafka property> only"
            ],
        );
        check_error(
            "--feed simulated --conf secret-without-equals",
            expect!["--conf needs name=value, as in --conf spark.kafka.linger.ms=20"],
        );
        check_error(
            "--feed simulated --kafka-broker localhost:x",
            expect!["KAFKA_BROKER or --kafka-broker: localhost:x is not host:port"],
        );
        check_error(
            "--feed finnhub --finnhub-token= ",
            expect![
                "the finnhub feed needs a token: set FINNHUB_TOKEN (free at https://finnhub.io), or take --feed binance, coinbase, kraken or simulated, which need none"
            ],
        );
        check_error(
            "--feed finnhub --finnhub-token t --finnhub-url http://x",
            expect!["FINNHUB_URL or --finnhub-url: write ws://host… or wss://host…"],
        );
    }

    /// Which feed gets which symbols.
    fn check_feeds(line: &str, expected: Expect) {
        let said = match args(line).check() {
            Ok(config) => (config.feeds.iter())
                .map(|feed| match feed {
                    FeedConfig::Live(live) => {
                        let venue = format!("{:?}", live.venue);
                        let name = venue.split(' ').next().unwrap_or_default().to_string();
                        format!("{name} {}\n", live.symbols.join(" "))
                    }
                    other => format!("{other:?}\n"),
                })
                .collect(),
            Err(message) => message,
        };
        expected.assert_eq(&said);
    }

    #[test]
    fn a_symbol_comes_from_finnhub_with_a_token_else_from_its_exchange() {
        check_feeds(
            "",
            expect![[r#"
            Binance BINANCE:ETHUSDT BINANCE:BTCUSDT
        "#]],
        );
        check_feeds(
            "--symbols binance:btcusdt,BINANCE:BTCUSDT",
            expect![[r#"
            Binance binance:btcusdt
        "#]],
        );
        let mixed = "--symbols BINANCE:BTCUSDT,KRAKEN:BTC/USD,binance:ethusdt,COINBASE:ETH-USD";
        check_feeds(
            mixed,
            expect![[r#"
            Binance BINANCE:BTCUSDT binance:ethusdt
            Kraken KRAKEN:BTC/USD
            Coinbase COINBASE:ETH-USD
        "#]],
        );
        check_feeds(
            &format!("{mixed} --finnhub-token t"),
            expect![[r#"
            Finnhub BINANCE:BTCUSDT KRAKEN:BTC/USD binance:ethusdt COINBASE:ETH-USD
        "#]],
        );
        check_feeds(
            "--feed finnhub,kraken --finnhub-token t --symbols AAPL,KRAKEN:BTC/USD,BINANCE:BTCUSDT",
            expect![[r#"
            Finnhub AAPL BINANCE:BTCUSDT
            Kraken KRAKEN:BTC/USD
        "#]],
        );
    }

    #[test]
    fn a_symbol_without_a_feed_is_named() {
        check_feeds(
            "--symbols AAPL",
            expect![
                "symbol AAPL is none of binance, coinbase, kraken: write BINANCE:BTCUSDT, COINBASE:BTC-USD or KRAKEN:BTC/USD, or set FINNHUB_TOKEN (free at https://finnhub.io)"
            ],
        );
        check_feeds(
            "--feed kraken --symbols BINANCE:BTCUSDT",
            expect![
                "symbol BINANCE:BTCUSDT is none of kraken: write BINANCE:BTCUSDT, COINBASE:BTC-USD or KRAKEN:BTC/USD, or set FINNHUB_TOKEN (free at https://finnhub.io)"
            ],
        );
        check_feeds(
            "--symbols KRAKEN:XBTUSD",
            expect![
                "symbol KRAKEN:XBTUSD is not written as kraken writes its symbols: KRAKEN:BTC/USD"
            ],
        );
        check_feeds(
            "--feed binance,kraken",
            expect![
                "--feed kraken: none of the symbols (SYMBOL_LIST or --symbols) comes from there"
            ],
        );
        check_feeds("--feed auto,kraken", expect!["--feed auto stands alone"]);
        check_feeds(
            "--coinbase-url http://x --symbols COINBASE:BTC-USD",
            expect!["COINBASE_URL or --coinbase-url: write ws://host… or wss://host…"],
        );
        check_feeds(
            "--kafka-topic t --gap-topic t",
            expect!["GAP_TOPIC or --gap-topic: gaps need a topic of their own"],
        );
    }

    #[test]
    fn gaps_have_a_topic_of_their_own_unless_none_is_wanted() {
        let gap_topic = |line| args(line).check().unwrap().delivery.gap_topic;
        assert_eq!(gap_topic("--kafka-topic t").as_deref(), Some("t_gaps"));
        assert_eq!(gap_topic("--gap-topic g").as_deref(), Some("g"));
        assert_eq!(gap_topic("--gap-topic none"), None);
    }

    #[test]
    fn symbols_are_trimmed_and_each_is_taken_once() {
        let config = ProducerArgs::try_parse_from([
            "stockpulse-producer",
            "--feed",
            "simulated",
            "--symbols",
            " A:X , B:Y,,A:X",
        ])
        .unwrap()
        .check()
        .unwrap();
        let [FeedConfig::Simulated { symbols, .. }] = config.feeds.as_slice() else {
            panic!("{config:?}")
        };
        assert_eq!(symbols, &["A:X", "B:Y"]);
    }

    #[test]
    fn a_conf_beats_the_list_and_nothing_secret_is_in_debug() {
        let args = args(
            "--feed finnhub --finnhub-token hunter1 --kafka-properties linger.ms=1,sasl.password=hunter2 \
             --conf spark.kafka.linger.ms=2",
        );
        let config = args.check().unwrap();
        assert_eq!(
            config.delivery.kafka.iter().collect::<Vec<_>>(),
            [("linger.ms", "2"), ("sasl.password", "hunter2")]
        );
        assert!(!format!("{args:?} {config:?}").contains("hunter"));
    }
}
