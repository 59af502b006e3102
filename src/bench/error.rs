//! Why a bench ended early.

use std::fmt::Display;
use std::path::Path;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::model::Exit;

/// Why a bench ended early; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum BenchError {
    /// An option or a file that it names is wrong.
    #[error("{0}")]
    Usage(String),
    /// No broker answers.
    #[error("{0}")]
    Unreachable(String),
    /// A signal said so.
    #[error("stopped by a signal; what was measured until then is not reported")]
    Stopped,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl BenchError {
    /// Says what Kafka was asked for when it failed.
    pub(super) fn kafka(doing: &str, broker: &str, error: &KafkaError) -> BenchError {
        use RDKafkaErrorCode::{
            AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve,
        };
        match error.rdkafka_error_code() {
            Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve) => {
                BenchError::Unreachable(format!(
                    "no Kafka broker answers at {broker} ({doing}); start one there, or say where \
                     one is with --broker HOST:PORT"
                ))
            }
            _ => BenchError::Failed(format!("{doing} at {broker}: {error}")),
        }
    }

    /// Says what was to be done with a file or folder.
    pub(super) fn file(doing: &str, path: &Path, error: impl Display) -> BenchError {
        BenchError::Failed(format!("{doing} {}: {error}", path.display()))
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            BenchError::Usage(_) => Exit::Usage,
            BenchError::Unreachable(_) => Exit::KafkaUnreachable,
            BenchError::Stopped | BenchError::Failed(_) => Exit::Failed,
        }
    }
}
