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
use super::log_limit::LogLimit;
use super::properties::client_config;
use super::split::Message;
use crate::config::producer::DeliveryConfig;
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

/// The way into one topic.
pub(super) struct Delivery {
    producer: ThreadedProducer<Reports>,
    reports: Arc<Shared>,
    topic: String,
    brokers: String,
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
            brokers: config.kafka.brokers.clone(),
        })
    }

    /// Waits until the topic is there, at most `wait`; a broker that creates topics by itself is asked to.
    pub(super) async fn await_topic(self: Arc<Self>, wait: Duration) -> Result<(), ProducerError> {
        let started = Instant::now();
        let mut said = false;
        loop {
            let this = Arc::clone(&self);
            let missing = match spawn_blocking(move || this.missing()).await {
                Ok(None) => {
                    self.reports.started.store(true, Ordering::Relaxed);
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

    /// What is missing for sending; blocks for [`METADATA_TIMEOUT`] at the most.
    fn missing(&self) -> Option<Missing> {
        let metadata = match self
            .producer
            .client()
            .fetch_metadata(Some(&self.topic), METADATA_TIMEOUT)
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
        let topic = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == self.topic);
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
                "Kafka at {brokers} could not be reached within {seconds} s ({reason}); start it, or name \
                 another with KAFKA_BROKER or --kafka-broker"
            ),
            Missing::Topic(reason) => format!(
                "topic {topic} of Kafka at {brokers} could not be used within {seconds} s ({reason}); create \
                 it with kafka-topics.sh --create --topic {topic}, or name another with KAFKA_TOPIC or \
                 --kafka-topic"
            ),
        }
    }

    /// Queues a message, waiting while the queue is full. A message that Kafka can never take is counted
    /// as failed.
    ///
    /// # Errors
    /// [`ProducerError::Failed`] when the client cannot go on.
    pub(super) async fn send(&self, message: &Message<'_>) -> Result<(), ProducerError> {
        loop {
            let delivered = self.reports.delivered.notified();
            match self.try_send(message) {
                Ok(()) => {
                    self.reports.metrics.message_accepted();
                    return Ok(());
                }
                Err(RDKafkaErrorCode::QueueFull) => {
                    self.reports.metrics.queue_full();
                    self.check_alive()?;
                    // Elapsed or delivered: either way the queue is tried again.
                    let _ = timeout(QUEUE_FULL_PAUSE, delivered).await;
                }
                Err(reason) => {
                    self.check_alive()?;
                    self.reports.failed(u64::from(message.ticks), &reason);
                    return Ok(());
                }
            }
        }
    }

    fn try_send(&self, message: &Message<'_>) -> Result<(), RDKafkaErrorCode> {
        let mut record =
            BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.topic, message.ticks as usize)
                .payload(&message.payload);
        if let Some(key) = &message.key {
            record = record.key(key.as_bytes());
        }
        self.producer
            .send(record)
            .map_err(|(error, _)| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
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
            warn!(broker = %self.0.brokers, "Kafka cannot be reached; trying on, messages are kept queued.");
        } else {
            debug!(reason, "Kafka: {}", code(&error));
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticks: usize) {
        let ticks = ticks as u64;
        match result {
            Ok(_) => {
                self.0.metrics.message_delivered(ticks);
                if self.0.away.swap(false, Ordering::Relaxed) {
                    info!(broker = %self.0.brokers, "Kafka is reached again.");
                }
            }
            Err((error, _)) => {
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
