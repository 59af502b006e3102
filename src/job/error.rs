//! Why a job ended before its time, and the exit code that says so.

use datafusion::common::DataFusionError;

use crate::checkpoint::CheckpointError;
use crate::model::Exit;
use crate::sink::{Peer, SinkError};
use crate::source::SourceError;

/// Why a job stopped.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The checkpoint or the output belongs to something else, is damaged or in use.
    #[error("{0}")]
    Mismatch(String),
    /// Kafka no longer retains what is needed.
    #[error("{0}")]
    DataLoss(String),
    /// Kafka cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// A configuration value is wrong.
    #[error("{0}")]
    Usage(String),
    /// The output or the checkpoint cannot be written.
    #[error("{0}")]
    NotWritable(String),
    /// A frame that cannot be decoded, where the table says `bad_data = 'fail'`.
    #[error("{0}")]
    BadData(String),
    /// What rows are written to is away.
    #[error("{why}")]
    Away {
        /// What it is.
        peer: Peer,
        /// See [`SinkError::Away`].
        why: String,
    },
    /// Nobody reads the printed rows any more: the job ends well.
    #[error("standard output was closed")]
    ReaderGone,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl JobError {
    /// The exit code that says so.
    pub fn exit(&self) -> Exit {
        match self {
            JobError::ReaderGone => Exit::Done,
            JobError::Mismatch(_) => Exit::Mismatch,
            JobError::DataLoss(_) => Exit::DataLoss,
            JobError::Unreachable(_) => Exit::KafkaUnreachable,
            JobError::Usage(_) => Exit::Usage,
            JobError::NotWritable(_)
            | JobError::Away {
                peer: Peer::Other, ..
            } => Exit::NotWritable,
            JobError::Away {
                peer: Peer::Kafka, ..
            } => Exit::KafkaUnreachable,
            JobError::BadData(_) | JobError::Failed(_) => Exit::Failed,
        }
    }
}

impl From<SourceError> for JobError {
    fn from(error: SourceError) -> JobError {
        match error {
            SourceError::DataLoss(text) => JobError::DataLoss(text),
            SourceError::Unreachable(text) => JobError::Unreachable(text),
            SourceError::Property(text) => JobError::Usage(text),
            SourceError::Failed(text) => JobError::Failed(text),
        }
    }
}

impl From<SinkError> for JobError {
    fn from(error: SinkError) -> JobError {
        match error {
            SinkError::NotWritable(text) => JobError::NotWritable(text),
            SinkError::Foreign(text) => JobError::Mismatch(text),
            SinkError::Options(text) => JobError::Usage(text),
            SinkError::Away { peer, why } => JobError::Away { peer, why },
            SinkError::Closed => JobError::ReaderGone,
        }
    }
}

impl From<CheckpointError> for JobError {
    fn from(error: CheckpointError) -> JobError {
        match error {
            CheckpointError::Locked(text) | CheckpointError::Damaged(text) => {
                JobError::Mismatch(text)
            }
            CheckpointError::Io(text) => JobError::NotWritable(text),
        }
    }
}

impl From<DataFusionError> for JobError {
    fn from(error: DataFusionError) -> JobError {
        JobError::Failed(format!("the query failed: {}", error.strip_backtrace()))
    }
}
