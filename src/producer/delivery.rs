//! Messages → Kafka, by librdkafka's idempotent producer: what it accepts is acknowledged by every
//! in-sync replica, once and in order per partition, or counted as failed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::ProducerError;
use super::properties::client_config;
use crate::config::producer::DeliveryConfig;
use crate::feed::WhenFull;
use crate::feed::log_limit::LogLimit;
use crate::metrics::producer::ProducerMetrics;

/// One look at the broker's metadata takes this long at the most.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause between two looks.
const METADATA_PAUSE: Duration = Duration::from_millis(200);
/// After waiting this long at the start, say so.
const SAY_WAITING_AFTER: Duration = Duration::from_secs(2);
/// With a full queue: longest wait for a delivery before looking whether the client still lives.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(100);
/// Pause between two looks whether everything was delivered.
const FLUSH_PAUSE: Duration = Duration::from_millis(100);

/// The way into the topic, and into that of the gaps.
pub(super) struct Delivery {
    producer: ThreadedProducer<Reports>,
    reports: Arc<Shared>,
    topic: String,
    gap_topic: Option<String>,
    /// The topic of the gaps was found.
    gap_topic_there: AtomicBool,
    brokers: String,
}

/// A message for the topic.
pub(super) struct Outgoing<'a> {
    pub(super) key: Option<&'a str>,
    pub(super) payload: &'a [u8],
    pub(super) ticks: u32,
    /// When its frame arrived.
    pub(super) received: tokio::time::Instant,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It waits for its acknowledgement.
    Queued,
    /// The queue was full, and its feed does not wait.
    Dropped,
    /// Kafka can never take it.
    NotTaken,
}

/// What is remembered of a message until it is acknowledged.
pub(super) enum Sent {
    Ticks(u64, tokio::time::Instant),
    GapRecord,
}

impl Delivery {
    /// Makes the client; it connects by itself.
    ///
    /// # Errors
    /// [`ProducerError::Property`] if librdkafka does not take a property.
    pub(super) fn new(
        config: &DeliveryConfig,
        metrics: &ProducerMetrics,
    ) -> Result<Delivery, ProducerError> {
        let reports = Arc::new(Shared {
            metrics: metrics.clone(),
            brokers: config.kafka.brokers.clone(),
            delivered: Notify::new(),
            started: AtomicBool::new(false),
            away: AtomicBool::new(false),
            last_error: Mutex::new(String::new()),
            failures: Mutex::new(LogLimit::default()),
        });
        let client = client_config(config)?;
        let producer =
            ThreadedProducer::from_config_and_context(&client, Reports(Arc::clone(&reports)))
                .map_err(|error| super::properties::refused(&error))?;
        Ok(Delivery {
            producer,
            reports,
            topic: config.topic.clone(),
            gap_topic: config.gap_topic.clone(),
            gap_topic_there: AtomicBool::new(false),
            brokers: config.kafka.brokers.clone(),
        })
    }

    /// Waits until the topic is there, at most `wait`; a broker that creates topics by itself is asked to.
    pub(super) async fn await_topic(self: Arc<Self>, wait: Duration) -> Result<(), ProducerError> {
        let started = Instant::now();
        let mut said = false;
        loop {
            let this = Arc::clone(&self);
            let missing = match spawn_blocking(move || this.missing(&this.topic)).await {
                Ok(None) => {
                    self.reports.started.store(true, Ordering::Relaxed);
                    self.reports.metrics.kafka_reachable(true);
                    self.look_for_gap_topic().await;
                    return Ok(());
                }
                Ok(Some(missing)) => missing,
                Err(error) => {
                    return Err(ProducerError::Failed(format!(
                        "asking Kafka broke off: {error}"
                    )));
                }
            };
            if started.elapsed() >= wait {
                return Err(ProducerError::Unreachable(self.give_up(&missing, wait)));
            }
            if !said && started.elapsed() >= SAY_WAITING_AFTER {
                said = true;
                warn!(broker = %self.brokers, topic = %self.topic, reason = %missing.reason(),
                    "Waiting for Kafka, {} s at the most.", wait.as_secs());
            }
            sleep(METADATA_PAUSE).await;
        }
    }

    /// Looks whether the topic of the gaps is there, unless that is known, and says if not.
    async fn look_for_gap_topic(self: &Arc<Self>) {
        let Some(topic) = self.gap_topic.clone() else {
            return;
        };
        let (this, asked) = (Arc::clone(self), topic.clone());
        let missing = spawn_blocking(move || this.missing(&asked)).await;
        match missing {
            Ok(None) => self.gap_topic_there.store(true, Ordering::Relaxed),
            Ok(Some(missing)) => warn!(
                topic, reason = %missing.reason(),
                "The topic of the gaps cannot be used: gaps are logged and counted only. Create it with \
                 kafka-topics.sh --create --topic {topic}, or set GAP_TOPIC (--gap-topic), none for no topic."
            ),
            Err(error) => debug!(%error, "Asking for the topic of the gaps broke off."),
        }
    }

    /// The topic, and whether the one of the gaps is named and there.
    pub(super) fn topics(&self) -> (&str, Option<(&str, bool)>) {
        let there = self.gap_topic_there.load(Ordering::Relaxed);
        let gap_topic = self.gap_topic.as_deref();
        (&self.topic, gap_topic.map(|topic| (topic, there)))
    }

    /// What is missing for sending; blocks for [`METADATA_TIMEOUT`] at the most.
    fn missing(&self, name: &str) -> Option<Missing> {
        let metadata = match self
            .producer
            .client()
            .fetch_metadata(Some(name), METADATA_TIMEOUT)
        {
            Ok(metadata) => metadata,
            Err(error) => {
                let last = lock(&self.reports.last_error).clone();
                return Some(Missing::Broker(if last.is_empty() {
                    code(&error)
                } else {
                    last
                }));
            }
        };
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        match topic {
            Some(topic) if topic.error().is_none() && !topic.partitions().is_empty() => None,
            Some(topic) => Some(Missing::Topic(topic.error().map_or_else(
                || "it has no partitions yet".to_string(),
                |error| RDKafkaErrorCode::from(error).to_string(),
            ))),
            None => Some(Missing::Topic("it does not exist".to_string())),
        }
    }

    fn give_up(&self, missing: &Missing, wait: Duration) -> String {
        let (brokers, topic, seconds) = (&self.brokers, &self.topic, wait.as_secs_f64());
        match missing {
            Missing::Broker(reason) => format!(
                "Kafka at {brokers} could not be reached within {seconds} s ({reason}); start it, name \
                 another with KAFKA_BROKER or --kafka-broker, or check KAFKA_PROPERTIES"
            ),
            Missing::Topic(reason) => format!(
                "topic {topic} of Kafka at {brokers} could not be used within {seconds} s ({reason}); create \
                 it with kafka-topics.sh --create --topic {topic}, or name another with KAFKA_TOPIC or \
                 --kafka-topic"
            ),
        }
    }

    /// Queues a message. While the queue is full this waits, or drops the message, as `when_full` says. A
    /// message that Kafka can never take is counted as failed.
    ///
    /// # Errors
    /// [`ProducerError::Failed`] when the client cannot go on.
    pub(super) async fn send(
        &self,
        message: &Outgoing<'_>,
        when_full: WhenFull,
    ) -> Result<Fate, ProducerError> {
        loop {
            let delivered = self.reports.delivered.notified();
            match self.try_send(message) {
                Ok(()) => {
                    self.reports.metrics.message_accepted();
                    return Ok(Fate::Queued);
                }
                Err(RDKafkaErrorCode::QueueFull) => {
                    self.reports.metrics.queue_full();
                    self.check_alive()?;
                    if when_full == WhenFull::Drop {
                        return Ok(Fate::Dropped);
                    }
                    // Elapsed or delivered: either way the queue is tried again.
                    let _ = timeout(QUEUE_FULL_PAUSE, delivered).await;
                }
                Err(reason) => {
                    self.check_alive()?;
                    self.reports.failed(u64::from(message.ticks), &reason);
                    return Ok(Fate::NotTaken);
                }
            }
        }
    }

    fn try_send(&self, message: &Outgoing<'_>) -> Result<(), RDKafkaErrorCode> {
        let sent = Box::new(Sent::Ticks(u64::from(message.ticks), message.received));
        let mut record = BaseRecord::<[u8], [u8], Box<Sent>>::with_opaque_to(&self.topic, sent)
            .payload(message.payload);
        if let Some(key) = message.key {
            record = record.key(key.as_bytes());
        }
        self.enqueue(record)
    }

    fn enqueue(
        &self,
        record: BaseRecord<'_, [u8], [u8], Box<Sent>>,
    ) -> Result<(), RDKafkaErrorCode> {
        self.producer
            .send(record)
            .map_err(|(error, _)| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
    }

    /// Queues a gap's record, if there is a topic for it. False: the queue is full.
    pub(super) fn try_send_gap(&self, symbol: &str, record: &str) -> bool {
        let (_, Some((topic, true))) = self.topics() else {
            return true;
        };
        let record =
            BaseRecord::<[u8], [u8], Box<Sent>>::with_opaque_to(topic, Box::new(Sent::GapRecord))
                .key(symbol.as_bytes())
                .payload(record.as_bytes());
        match self.enqueue(record) {
            Ok(()) => true,
            Err(RDKafkaErrorCode::QueueFull) => false,
            Err(reason) => {
                debug!(%reason, "A gap's record is not taken.");
                self.reports.metrics.gap_records_failed(1);
                true
            }
        }
    }

    fn check_alive(&self) -> Result<(), ProducerError> {
        match self.producer.client().fatal_error() {
            None => Ok(()),
            Some((code, reason)) => Err(ProducerError::Failed(format!(
                "Kafka at {} has ended the producer ({code}: {reason}); start it again",
                self.brokers
            ))),
        }
    }

    /// Messages accepted and neither acknowledged nor given up.
    pub(super) fn pending(&self) -> u64 {
        u64::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// Waits until everything accepted is delivered or given up; stops waiting when there was no progress
    /// for `patience`. Returns how many messages are left.
    pub(super) async fn flush(&self, patience: Duration) -> u64 {
        let (mut least, mut since) = (self.pending(), Instant::now());
        loop {
            // A zero wait only tells librdkafka not to linger; deliveries are reported by its thread.
            let _ = self.producer.flush(Duration::ZERO);
            let pending = self.pending();
            if pending < least {
                (least, since) = (pending, Instant::now());
            }
            if pending == 0 || since.elapsed() >= patience {
                return pending;
            }
            let _ = timeout(FLUSH_PAUSE, self.reports.delivered.notified()).await;
        }
    }
}

enum Missing {
    Broker(String),
    Topic(String),
}

impl Missing {
    fn reason(&self) -> &str {
        match self {
            Missing::Broker(reason) | Missing::Topic(reason) => reason,
        }
    }
}

/// What librdkafka's callbacks tell, shared with [`Delivery`].
struct Shared {
    metrics: ProducerMetrics,
    brokers: String,
    /// Something was delivered or given up: there is room in the queue.
    delivered: Notify,
    /// The topic was found; before that [`Delivery::await_topic`] says what is missing.
    started: AtomicBool,
    /// No broker can be reached.
    away: AtomicBool,
    last_error: Mutex<String>,
    failures: Mutex<LogLimit>,
}

impl Shared {
    fn failed(&self, ticks: u64, reason: &RDKafkaErrorCode) {
        self.metrics.message_failed(ticks);
        if let Some(kept_back) = lock(&self.failures).due(Instant::now()) {
            error!(broker = %self.brokers, %reason, kept_back,
                "A message was not delivered and is lost; see the failed counters for how many.");
        }
    }
}

struct Reports(Arc<Shared>);

impl ClientContext for Reports {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let all_down = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if !all_down {
            // librdkafka adds in brackets how often and in which state; the log has that.
            let reason = reason.split(" (after ").next().unwrap_or(reason);
            *lock(&self.0.last_error) = reason.to_string();
        }
        let started = self.0.started.load(Ordering::Relaxed);
        if all_down && started && !self.0.away.swap(true, Ordering::Relaxed) {
            self.0.metrics.kafka_reachable(false);
            warn!(broker = %self.0.brokers, "Kafka cannot be reached; trying on, messages are kept queued.");
        } else {
            debug!(reason, "Kafka: {}", code(&error));
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        let metrics = &self.0.metrics;
        match (result, *sent) {
            (Ok(_), sent) => {
                if let Sent::Ticks(ticks, received) = sent {
                    metrics.message_delivered(ticks);
                    metrics.ack_lag(received.elapsed());
                }
                if self.0.away.swap(false, Ordering::Relaxed) {
                    metrics.kafka_reachable(true);
                    info!(broker = %self.0.brokers, "Kafka is reached again.");
                }
            }
            (Err(_), Sent::GapRecord) => metrics.gap_records_failed(1),
            (Err((error, _)), Sent::Ticks(ticks, _)) => {
                let reason = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                self.0.failed(ticks, &reason);
            }
        }
        self.0.delivered.notify_waiters();
    }
}

fn code(error: &KafkaError) -> String {
    error
        .rdkafka_error_code()
        .map_or_else(|| "unknown reason".to_string(), |code| code.to_string())
}

/// The data behind these locks stays whole whatever panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
