//! A live feed under test: against a server that the test owns, with time-outs of milliseconds, and everything
//! that it did.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use stockpulse::config::producer::{DeliveryConfig, FeedConfig, LiveConfig, VenueConfig};
use stockpulse::config::secret::Secret;
use stockpulse::feed::{self, Feed, Timing};
use stockpulse::metrics::producer::{ProducerCounts, ProducerMetrics};
use stockpulse::producer::{self, ProducerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{PATIENCE, delivery, quick, until};
use crate::support::broker::TestBroker;
use crate::support::speech::Speech;

pub const TOKEN: &str = "hunter2";

/// Quick enough for a test, slow enough for a busy machine.
pub fn timing() -> Timing {
    Timing {
        idle: Some(Duration::from_millis(600)),
        look: Duration::from_millis(10),
        patience: Duration::from_millis(100),
        overlap: Duration::from_millis(50),
        ..Timing::default()
    }
}

pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis() as i64
}

/// The feed of a venue at `url`, with the venue's two symbols.
pub fn config(speech: Speech, url: &str, ca_file: Option<PathBuf>) -> LiveConfig {
    let url = url.to_string();
    let venue = match speech {
        Speech::Finnhub => VenueConfig::Finnhub {
            url,
            token: Secret::new(TOKEN),
        },
        Speech::Binance => VenueConfig::Binance { urls: vec![url] },
        Speech::Coinbase => VenueConfig::Coinbase { url },
        Speech::Kraken => VenueConfig::Kraken {
            url: format!("{url}/v2"),
        },
    };
    LiveConfig {
        ca_file,
        ..LiveConfig::new(venue, &speech.symbols())
    }
}

pub fn feeds(configs: Vec<LiveConfig>, timing: &Timing) -> Vec<Box<dyn Feed>> {
    let configs: Vec<FeedConfig> = configs.into_iter().map(FeedConfig::Live).collect();
    feed::from_configs(&configs, timing, now_ms).unwrap()
}

/// A producer under way, its topic and that of its gaps.
pub struct Running {
    pub metrics: ProducerMetrics,
    pub broker: TestBroker,
    gaps: TestBroker,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), ProducerError>>,
}

/// Starts one with an empty topic.
pub fn start(feeds: Vec<Box<dyn Feed>>) -> Running {
    let broker = TestBroker::start(2);
    let config = delivery(&broker);
    start_with(feeds, broker, config)
}

/// As [`start`], with settings of the delivery's own.
pub fn start_with(
    feeds: Vec<Box<dyn Feed>>,
    broker: TestBroker,
    mut config: DeliveryConfig,
) -> Running {
    let gaps = broker.beside("gaps", 1);
    config.gap_topic = Some(gaps.topic.clone());
    let metrics = ProducerMetrics::default();
    let (stop, stopping) = watch::channel(false);
    let counting = metrics.clone();
    let task =
        tokio::spawn(
            async move { producer::run(feeds, &config, &quick(), &counting, stopping).await },
        );
    Running {
        metrics,
        broker,
        gaps,
        stop,
        task,
    }
}

impl Running {
    /// Waits for what the counters are to say.
    pub async fn until(&self, met: impl Fn(&ProducerCounts) -> bool) {
        let waiting = until(|| self.task.is_finished() || met(&self.metrics.counts()));
        let waited = tokio::time::timeout(PATIENCE / 2, waiting).await;
        let counts = self.metrics.counts();
        assert!(waited.is_ok(), "it did not come to pass: {counts:?}");
        assert!(!self.task.is_finished(), "it ended: {counts:?}");
    }

    /// Stops it; everything that was accepted is in the topic then.
    pub async fn stop(self) -> Stopped {
        self.stop.send(true).unwrap();
        self.task.await.unwrap().unwrap();
        let (broker, gaps) = (self.broker, self.gaps);
        // A reader of a topic blocks.
        let reading = tokio::task::spawn_blocking(move || {
            let record = |(_, text): (String, String)| serde_json::from_str(&text).unwrap();
            let records = texts(&gaps).into_iter().map(record).collect();
            (texts(&broker), records, (broker, gaps))
        });
        let (topic, gaps, brokers) = reading.await.unwrap();
        Stopped {
            counts: self.metrics.counts(),
            text: self.metrics.text(now_ms()),
            topic,
            gaps,
            _brokers: brokers,
        }
    }

    /// Waits for its own end.
    pub async fn end(self) -> ProducerError {
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        let _stop = self.stop;
        ended.expect("it did not end in time").unwrap().unwrap_err()
    }
}

fn texts(broker: &TestBroker) -> Vec<(String, String)> {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (broker.read_all().into_iter())
        .map(|stored| (stored.key.unwrap_or_default(), text(stored.payload)))
        .collect()
}

/// What a producer did.
pub struct Stopped {
    pub counts: ProducerCounts,
    /// Its metrics in the text format.
    pub text: String,
    /// Keys and messages, partition by partition.
    pub topic: Vec<(String, String)>,
    /// Records of gaps.
    pub gaps: Vec<Value>,
    _brokers: (TestBroker, TestBroker),
}

impl Stopped {
    /// A symbol's messages, in order.
    pub fn of(&self, symbol: &str) -> Vec<&str> {
        let messages = self.topic.iter().filter(|(key, _)| key == symbol);
        messages.map(|(_, text)| text.as_str()).collect()
    }

    /// Ids of a symbol that are told as missing, less those that came after all.
    pub fn missing(&self, symbol: &str) -> Vec<u64> {
        let mut missing = std::collections::BTreeSet::new();
        for gap in self.gaps.iter().filter(|gap| gap["symbol"] == symbol) {
            let id = |name: &str| gap[name].as_str()?.parse::<u64>().ok();
            let (Some(first), Some(last)) = (id("first_id"), id("last_id")) else {
                continue;
            };
            for id in first..=last {
                let known = match gap["type"].as_str() {
                    Some("gap") => missing.insert(id),
                    Some("recovered") => missing.remove(&id),
                    other => panic!("{other:?}"),
                };
                assert!(known, "{id} of {symbol} is told twice: {:?}", self.gaps);
            }
        }
        missing.into_iter().collect()
    }

    /// The value of a metric with these labels, 0 if it is not there.
    pub fn metric(&self, name_and_labels: &str) -> u64 {
        let line = self
            .text
            .lines()
            .find_map(|line| line.strip_prefix(name_and_labels));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }
}
