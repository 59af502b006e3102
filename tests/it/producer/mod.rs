//! Feed → topic: what arrives, under which key, and what becomes of everything else.

mod accounting;
mod binary;
mod kafka_away;
mod live;
mod load;
mod seen;
mod venues;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use stockpulse::broker::EmbeddedBroker;
use stockpulse::config::producer::{Compression, DeliveryConfig};
use stockpulse::feed::replay::Replay;
use stockpulse::feed::simulated::{Market, Simulated};
use stockpulse::feed::{Feed, FeedError, Frame, Outlet};
use stockpulse::metrics::producer::ProducerMetrics;
use stockpulse::model::Exit;
use stockpulse::producer::backoff::Backoff;
use stockpulse::producer::{self, ProducerError};
use tempfile::NamedTempFile;
use tokio::sync::watch;

use crate::support::broker::{PATIENCE, TestBroker};

/// The real trades that the end-to-end tests replay.
const TICKS: &str = "tests/data/xrpeth_ticks.ndjson.gz";

/// Quick enough for a test.
fn quick() -> Backoff {
    let wait = Duration::from_millis(5);
    Backoff {
        min: wait,
        max: wait,
        healthy_after: Duration::from_secs(60),
        long: wait,
    }
}

fn delivery(broker: &TestBroker) -> DeliveryConfig {
    DeliveryConfig {
        kafka_wait: PATIENCE,
        ..DeliveryConfig::new(broker.kafka(), &broker.topic)
    }
}

/// Runs one feed to its end.
async fn run(
    feed: impl Feed + 'static,
    config: &DeliveryConfig,
    metrics: &ProducerMetrics,
) -> Result<(), ProducerError> {
    let (_stop, stopping) = watch::channel(false);
    let backoff = quick();
    let running = producer::run(vec![Box::new(feed)], config, &backoff, metrics, stopping);
    tokio::time::timeout(PATIENCE, running)
        .await
        .expect("the feed did not end in time")
}

fn file(lines: &[&str]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(lines.join("\n").as_bytes()).unwrap();
    file
}

fn replay(path: &Path) -> Replay {
    Replay::new(path.to_path_buf(), None)
}

#[tokio::test]
async fn real_ticks_arrive_byte_for_byte_and_in_order() {
    let broker = TestBroker::start(4);
    let metrics = ProducerMetrics::default();
    run(replay(Path::new(TICKS)), &delivery(&broker), &metrics)
        .await
        .unwrap();

    let mut text = String::new();
    let packed = std::fs::File::open(TICKS).unwrap();
    flate2::read::MultiGzDecoder::new(packed)
        .read_to_string(&mut text)
        .unwrap();
    let stored = broker.read_all();
    let payloads: Vec<&str> = stored
        .iter()
        .map(|message| std::str::from_utf8(&message.payload).unwrap())
        .collect();
    assert_eq!(payloads, text.lines().collect::<Vec<_>>());
    assert!(
        stored
            .iter()
            .all(|message| message.key.as_deref() == Some("BINANCE:XRPETH"))
    );
    assert_eq!(
        stored
            .iter()
            .map(|message| message.partition)
            .collect::<BTreeSet<_>>()
            .len(),
        1
    );

    let counts = metrics.counts();
    assert_eq!(
        (counts.frames_received, counts.messages_delivered),
        (7_349, 7_349)
    );
    assert_eq!(
        (counts.ticks_delivered, counts.messages_failed),
        (12_477, 0)
    );
}

#[tokio::test]
async fn frames_are_split_by_symbol_and_only_ticks_reach_the_topic() {
    let broker = TestBroker::start(2);
    let metrics = ProducerMetrics::default();
    let lines = file(&[
        r#"{"data":[{"p":0.10,"s":"A:X","v":1e-8},{"p":7296.890,"s":"B:Y"},{"p":0.2,"s":"A:X"}],"type":"trade","n":1.0}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"error","msg":"Subscribing to too many symbols"}"#,
        "not json",
        r#"{"data":[{"p":1,"s":"A:X"#,
        r#"{"data":[],"type":"trade"}"#,
        r#"{"data":[{"s":"A:X"}],"type":"news"}"#,
        r#"{"data":[{"p":3,"s":"B:Y"}],"type":"trade"}"#,
    ]);
    run(replay(lines.path()), &delivery(&broker), &metrics)
        .await
        .unwrap();

    let mut by_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in broker.read_all() {
        let payload = String::from_utf8(message.payload).unwrap();
        by_key
            .entry(message.key.unwrap())
            .or_default()
            .push(payload);
    }
    let expected = [
        (
            "A:X",
            vec![
                r#"{"data":[{"p":0.10,"s":"A:X","v":1e-8},{"p":0.2,"s":"A:X"}],"type":"trade","n":1.0}"#,
            ],
        ),
        (
            "B:Y",
            vec![
                r#"{"data":[{"p":7296.890,"s":"B:Y"}],"type":"trade","n":1.0}"#,
                r#"{"data":[{"p":3,"s":"B:Y"}],"type":"trade"}"#,
            ],
        ),
    ];
    let expected: BTreeMap<String, Vec<String>> = expected
        .into_iter()
        .map(|(key, payloads)| {
            (
                key.to_string(),
                payloads.into_iter().map(str::to_string).collect(),
            )
        })
        .collect();
    assert_eq!(by_key, expected);

    let counts = metrics.counts();
    assert_eq!(counts.frames_received, 8);
    assert_eq!((counts.frames_ping, counts.frames_error), (1, 1));
    assert_eq!((counts.frames_malformed, counts.frames_other), (2, 2));
    assert_eq!((counts.messages_delivered, counts.ticks_delivered), (3, 4));
}

#[tokio::test]
async fn every_codec_arrives() {
    for compression in [Compression::Lz4, Compression::Zstd, Compression::None] {
        let broker = TestBroker::start(1);
        let config = DeliveryConfig {
            compression,
            ..delivery(&broker)
        };
        let lines = file(&[r#"{"data":[{"p":1,"s":"A:X"}]}"#; 50]);
        run(replay(lines.path()), &config, &ProducerMetrics::default())
            .await
            .unwrap();
        assert_eq!(broker.read_all().len(), 50, "{compression:?}");
    }
}

#[tokio::test]
async fn a_full_queue_makes_the_feed_wait() {
    let broker = TestBroker::start(1);
    let metrics = ProducerMetrics::default();
    let mut config = delivery(&broker);
    config.kafka.set("queue.buffering.max.messages", "10");
    let lines = file(&[r#"{"data":[{"p":1,"s":"A:X"}]}"#; 2_000]);
    run(replay(lines.path()), &config, &metrics).await.unwrap();
    assert_eq!(broker.read_all().len(), 2_000);
    assert!(metrics.counts().queue_full > 0);
}

#[tokio::test]
async fn a_message_that_kafka_cannot_take_is_counted_and_told() {
    let broker = TestBroker::start(1);
    let metrics = ProducerMetrics::default();
    let mut config = delivery(&broker);
    config.kafka.set("message.max.bytes", "2000");
    let long = format!(
        r#"{{"data":[{{"p":1,"s":"A:X","note":"{}"}}]}}"#,
        "x".repeat(3_000)
    );
    let lines = file(&[
        r#"{"data":[{"p":1,"s":"A:X"}]}"#,
        &long,
        r#"{"data":[{"p":2,"s":"A:X"}]}"#,
    ]);
    let ended = run(replay(lines.path()), &config, &metrics).await;
    assert!(
        matches!(&ended, Err(ProducerError::Failed(text)) if text.contains("1 messages")),
        "{ended:?}"
    );
    assert_eq!(broker.read_all().len(), 2);
    let counts = metrics.counts();
    assert_eq!(
        (
            counts.messages_delivered,
            counts.messages_failed,
            counts.ticks_failed
        ),
        (2, 1, 1)
    );
}

/// The demo's way: some market from the past as fast as possible, then live, until stopped.
#[tokio::test]
async fn a_stop_delivers_what_was_accepted() {
    const NOW_MS: i64 = 1_750_000_060_000;
    let broker = TestBroker::start(4);
    let metrics = ProducerMetrics::default();
    let market = Market::new(&[], 1, 200.0, NOW_MS - 60_000);
    let feed: Box<dyn Feed> = Box::new(Simulated::new(market, || NOW_MS));
    let (stop, stopping) = watch::channel(false);
    let (config, counting) = (delivery(&broker), metrics.clone());
    let running = tokio::spawn(async move {
        producer::run(vec![feed], &config, &quick(), &counting, stopping).await
    });
    until(|| metrics.counts().ticks_delivered > 2_000).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();

    let counts = metrics.counts();
    assert_eq!(counts.messages_delivered, counts.messages_accepted);
    let stored = broker.read_all();
    assert_eq!(stored.len() as u64, counts.messages_delivered);
    let mut partition_of = BTreeMap::new();
    for message in stored {
        let key = message.key.unwrap();
        let partition = *partition_of.entry(key.clone()).or_insert(message.partition);
        assert_eq!(partition, message.partition, "{key} is in two partitions");
        let frame: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        let ticks = frame["data"].as_array().unwrap();
        assert!(!ticks.is_empty() && ticks.iter().all(|tick| tick["s"] == key.as_str()));
    }
    assert!(partition_of.len() > 20, "{} symbols", partition_of.len());
}

/// A broker that goes away for a while loses nothing; the embedded one does so on demand.
#[tokio::test]
async fn a_broker_that_goes_away_gets_everything_when_it_is_back() {
    const NOW_MS: i64 = 1_750_000_060_000;
    let broker = EmbeddedBroker::start("raw_ticks", 1, None).unwrap();
    let kafka = stockpulse::config::kafka::KafkaProperties::new(broker.address());
    let mut config = DeliveryConfig::new(kafka, "raw_ticks");
    config.kafka.set("reconnect.backoff.max.ms", "200");
    let metrics = ProducerMetrics::default();
    let (frames, feed) = by_hand();
    let (stop, stopping) = watch::channel(false);
    let counting = metrics.clone();
    let running = tokio::spawn(async move {
        producer::run(vec![Box::new(feed)], &config, &quick(), &counting, stopping).await
    });
    let mut market = Market::new(&[], 1, 200.0, NOW_MS);
    let mut ticks = 0;
    for (round, reachable) in [true, false, true].into_iter().enumerate() {
        broker.set_reachable(reachable).unwrap();
        for _ in 0..100 {
            let frame = market.next_frame();
            ticks += u64::from(frame.ticks);
            let payload = bytes::Bytes::copy_from_slice(frame.text.as_bytes());
            frames.send(Frame::new(payload)).await.unwrap();
        }
        let received = (round as u64 + 1) * 100;
        until(|| metrics.counts().frames_received == received).await;
        if round == 0 {
            until(|| metrics.counts().ticks_delivered == ticks).await;
        }
    }
    until(|| metrics.counts().ticks_delivered == ticks).await;
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(metrics.counts().messages_failed, 0);
}

#[tokio::test]
async fn what_a_stop_cannot_deliver_in_time_is_counted_and_told() {
    let broker = EmbeddedBroker::start("raw_ticks", 1, None).unwrap();
    let kafka = stockpulse::config::kafka::KafkaProperties::new(broker.address());
    let flush_wait = Duration::from_millis(100);
    let config = DeliveryConfig {
        flush_wait,
        ..DeliveryConfig::new(kafka, "raw_ticks")
    };
    let metrics = ProducerMetrics::default();
    let (frames, feed) = by_hand();
    let (stop, stopping) = watch::channel(false);
    let counting = metrics.clone();
    let running = tokio::spawn(async move {
        producer::run(vec![Box::new(feed)], &config, &quick(), &counting, stopping).await
    });
    let payload = bytes::Bytes::from_static(br#"{"data":[{"p":1,"s":"A:X"}]}"#);
    frames.send(Frame::new(payload.clone())).await.unwrap();
    until(|| metrics.counts().messages_delivered == 1).await;
    broker.set_reachable(false).unwrap();
    frames.send(Frame::new(payload)).await.unwrap();
    until(|| metrics.counts().messages_accepted == 2).await;
    stop.send(true).unwrap();
    let ended = running.await.unwrap().unwrap_err();
    assert_eq!(ended.exit(), Exit::KafkaUnreachable);
    assert!(
        ended.to_string().starts_with("1 messages were accepted"),
        "{ended}"
    );
}

#[tokio::test]
async fn a_feed_whose_file_is_damaged_delivers_what_comes_before() {
    let broker = TestBroker::start(1);
    let mut packed = std::fs::read(TICKS).unwrap();
    packed.truncate(packed.len() / 2);
    let mut damaged = NamedTempFile::new().unwrap();
    damaged.write_all(&packed).unwrap();
    let metrics = ProducerMetrics::default();
    let ended = run(replay(damaged.path()), &delivery(&broker), &metrics).await;
    assert!(
        matches!(&ended, Err(ProducerError::Failed(text)) if text.contains("line ")),
        "{ended:?}"
    );
    let delivered = metrics.counts().messages_delivered;
    assert!(delivered > 1_000);
    assert_eq!(broker.read_all().len() as u64, delivered);
}

/// Waits until `met`, which something else makes true.
async fn until(met: impl Fn() -> bool) {
    let waiting = async {
        let mut look = tokio::time::interval(Duration::from_millis(2));
        while !met() {
            look.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("it did not come to pass in time");
}

/// A feed that hands on what the test gives it.
struct ByHand(tokio::sync::mpsc::Receiver<Frame>);

fn by_hand() -> (tokio::sync::mpsc::Sender<Frame>, ByHand) {
    let (frames, taken) = tokio::sync::mpsc::channel(16);
    (frames, ByHand(taken))
}

impl Feed for ByHand {
    fn name(&self) -> &'static str {
        "by hand"
    }

    fn run<'a>(
        &'a mut self,
        outlet: &'a Outlet,
    ) -> futures::future::BoxFuture<'a, Result<(), FeedError>> {
        Box::pin(async move {
            while let Some(frame) = self.0.recv().await {
                if !outlet.frame(frame).await {
                    break;
                }
            }
            Ok(())
        })
    }
}
