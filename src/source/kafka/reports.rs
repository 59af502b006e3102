//! What librdkafka tells us beside frames: log lines, errors of its connections, failed commits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// Least time between two warnings of one client.
const WARN_EVERY: Duration = Duration::from_secs(30);

/// The context of a client; clones share what they know.
#[derive(Clone)]
pub(super) struct Reports {
    topic: Arc<str>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    trouble: Mutex<Trouble>,
    commit_warned: AtomicBool,
}

#[derive(Default)]
struct Trouble {
    /// librdkafka's words for the newest error of a connection.
    reason: Option<String>,
    /// Since when a reader has had no answer.
    silent: Option<Instant>,
    /// When the last warning was logged, and what has been left out since.
    warned: Option<Instant>,
    left_out: u64,
}

impl Reports {
    pub(super) fn new(topic: &str) -> Reports {
        Reports {
            topic: topic.into(),
            shared: Arc::default(),
        }
    }

    /// librdkafka's words for the newest error.
    pub(super) fn reason(&self) -> Option<String> {
        self.trouble().reason.clone()
    }

    /// The group was not told where we are: said once, for it only concerns Kafka's own tools.
    pub(super) fn commit_failed(&self, reason: &str) {
        let topic = &self.topic;
        if self.shared.commit_warned.swap(true, Ordering::AcqRel) {
            tracing::debug!(%topic, reason, "the consumer group's offsets were not committed");
        } else {
            tracing::warn!(
                %topic, reason,
                "the consumer group's offsets were not committed; only Kafka's own tools miss them, \
                 and more such lines are at level debug"
            );
        }
    }

    /// The broker does not answer a reader: said if nothing was said of it.
    pub(super) fn silent(&self) {
        let before = {
            let mut trouble = self.trouble();
            let before = trouble.silent;
            trouble.silent = before.or_else(|| Some(Instant::now()));
            before
        };
        if before.is_none() {
            self.warn("the broker does not answer");
        }
    }

    /// It answers: said once.
    pub(super) fn answered(&self) {
        if let Some(since) = self.trouble().silent.take() {
            let (topic, seconds) = (&self.topic, since.elapsed().as_secs());
            tracing::info!(%topic, seconds, "Kafka answers again; reading on");
        }
    }

    /// A warning, unless there was one a short while ago.
    fn warn(&self, reason: &str) {
        let mut trouble = self.trouble();
        let topic = &self.topic;
        if trouble.warned.is_some_and(|at| at.elapsed() < WARN_EVERY) {
            trouble.left_out += 1;
            tracing::debug!(%topic, reason, "Kafka client");
            return;
        }
        let left_out = std::mem::take(&mut trouble.left_out);
        trouble.warned = Some(Instant::now());
        tracing::warn!(%topic, reason, left_out, "trouble with Kafka; trying on");
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Trouble> {
        let trouble = self.shared.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    /// Errors of connections come through [`ClientContext::error`] as well, so they are not repeated.
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        let topic = &self.topic;
        match level {
            RDKafkaLogLevel::Debug => tracing::trace!(%topic, fac, message, "librdkafka"),
            RDKafkaLogLevel::Warning if fac == "COMMITFAIL" => self.commit_failed(message),
            RDKafkaLogLevel::Warning if fac != "CONFWARN" => self.warn(message),
            _ => tracing::debug!(%topic, fac, message, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // An event like any other; the reader hands it on.
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            // Says less than the error of the connection before it.
            Some(RDKafkaErrorCode::AllBrokersDown) => self.warn(reason),
            _ => {
                self.trouble().reason = Some(reason.to_owned());
                self.warn(reason);
            }
        }
    }
}

impl ConsumerContext for Reports {}
