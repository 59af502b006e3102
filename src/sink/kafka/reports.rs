//! What librdkafka tells of itself, and what its errors mean for us.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

/// What librdkafka tells us; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Reports(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    /// librdkafka's words for the newest error of a connection.
    reason: Option<String>,
    /// Why a message of this attempt was not taken.
    undelivered: Option<Code>,
    /// Messages of this attempt that were taken.
    delivered: u64,
}

impl Reports {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// librdkafka's words for the newest error of a connection.
    pub(super) fn reason(&self) -> Option<String> {
        self.told().reason.clone()
    }

    /// Why a message of this attempt was not taken.
    pub(super) fn undelivered(&self) -> Option<Code> {
        self.told().undelivered
    }

    /// Messages of this attempt that were taken.
    pub(super) fn delivered(&self) -> u64 {
        self.told().delivered
    }

    /// Another attempt begins.
    pub(super) fn forget(&self) {
        *self.told() = Told::default();
    }
}

impl ClientContext for Reports {
    fn log(&self, _: RDKafkaLogLevel, fac: &str, message: &str) {
        tracing::debug!(fac, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client of a sink");
        if error.rdkafka_error_code() != Some(Code::AllBrokersDown) {
            self.told().reason = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut told = self.told();
        match result {
            Ok(_) => told.delivered += 1,
            Err((error, _)) => {
                told.undelivered = told.undelivered.or(error.rdkafka_error_code());
            }
        }
    }
}

/// The same step is to be tried again, and no other instead.
pub(super) fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        // Of the flush before a commit.
        error => error.rdkafka_error_code() == Some(Code::OperationTimedOut),
    }
}

/// The message is at fault, not the way to the broker.
pub(super) fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTimestamp
    )
}

/// The user may not do it.
pub(super) fn is_denial(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}

/// Another producer has our transactional id; or the broker has given ours up, since a transaction was open for too
/// long.
pub(super) fn is_fencing(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch
    )
}
