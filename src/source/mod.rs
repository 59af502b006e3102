//! Topic → frames with exact offsets.
//!
//! [`Topic`] is what the job needs to know about a topic; [`Source`] reads some of its partitions.
//! Two implementations: [`kafka`] (librdkafka) and [`replay`] (frames in memory, for tests).

pub mod kafka;
pub mod replay;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{FrameRef, Offsets, Partition};

/// What a topic partition retains: offsets `low..high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First retained offset.
    pub low: i64,
    /// Next offset to be written.
    pub high: i64,
}

/// What reading failed with.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Offsets that are needed are gone.
    #[error("{0}")]
    DataLoss(String),
    /// The broker cannot be reached or refuses us.
    #[error("{0}")]
    Unreachable(String),
    /// A property that librdkafka does not take.
    #[error("{0}")]
    Property(String),
    /// Anything else that reading cannot go on after.
    #[error("{0}")]
    Failed(String),
}

/// What a poll hands on.
#[derive(Debug)]
pub enum Event<'a> {
    /// The next frame of its partition.
    Frame(FrameRef<'a>),
    /// Everything that `partition` held was handed on; the next offset to read is `offset`.
    CaughtUp {
        /// Which partition.
        partition: Partition,
        /// Next offset to read.
        offset: i64,
    },
    /// The broker does not answer, so what `partition` holds is not known: it does not count as caught up
    /// until it is again.
    OutOfSight {
        /// Which partition.
        partition: Partition,
    },
}

/// A topic of a broker.
pub trait Topic: Send + Sync {
    /// The topic's name.
    fn name(&self) -> &str;
    /// What every partition retains now.
    fn bounds(&self) -> Result<BTreeMap<Partition, Bounds>, SourceError>;
    /// Reads the partitions of `start`, each from its offset.
    fn open(&self, start: &Offsets) -> Result<Box<dyn Source>, SourceError>;
    /// How many partitions it has now; they only become more. `None`: nobody says so at the moment, and it is
    /// not worth waiting for.
    fn partition_count(&self) -> Option<usize>;
    /// Tells the consumer group where we are, for Kafka's own tools; best effort. It is read back only
    /// where a job without a checkpoint is told to begin there.
    fn commit(&self, offsets: &Offsets);
    /// Where the consumer group stands, of the partitions where it stands anywhere.
    fn group_offsets(&self) -> Result<Offsets, SourceError>;
    /// Per partition the first offset whose message Kafka stamped at the time that is asked for or later; of the
    /// partitions that have such a message. Times are milliseconds since 1970 UTC.
    fn offsets_since(&self, times_ms: &BTreeMap<Partition, i64>) -> Result<Offsets, SourceError>;
}

impl<T: Topic + ?Sized> Topic for Arc<T> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn bounds(&self) -> Result<BTreeMap<Partition, Bounds>, SourceError> {
        (**self).bounds()
    }

    fn open(&self, start: &Offsets) -> Result<Box<dyn Source>, SourceError> {
        (**self).open(start)
    }

    fn partition_count(&self) -> Option<usize> {
        (**self).partition_count()
    }

    fn commit(&self, offsets: &Offsets) {
        (**self).commit(offsets);
    }

    fn group_offsets(&self) -> Result<Offsets, SourceError> {
        (**self).group_offsets()
    }

    fn offsets_since(&self, times_ms: &BTreeMap<Partition, i64>) -> Result<Offsets, SourceError> {
        (**self).offsets_since(times_ms)
    }
}

/// A reader of some partitions; owned by one thread.
pub trait Source: Send {
    /// Waits at most `timeout` for the first event, then hands on what is there,
    /// `max_frames` at the most, in offset order within a partition. Returns the number of frames.
    /// Transient errors are retried inside.
    fn poll(
        &mut self,
        max_frames: usize,
        timeout: Duration,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, SourceError>;
}

/// Checks that every offset of `start` is retained, or the next one to be written.
fn check_retained(
    topic: &str,
    start: &Offsets,
    bounds: &BTreeMap<Partition, Bounds>,
) -> Result<(), SourceError> {
    for (&partition, &wanted) in &start.0 {
        let retained = match bounds.get(&partition) {
            Some(bounds) if (bounds.low..=bounds.high).contains(&wanted) => continue,
            Some(Bounds { low, high }) if low == high => format!("is empty, its next is {high}"),
            Some(Bounds { low, high }) => format!("retains {low} to {}", high - 1),
            None => "does not exist".to_owned(),
        };
        return Err(SourceError::DataLoss(format!(
            "topic {topic}, partition {partition}: offset {wanted} is needed, but the partition \
             {retained}"
        )));
    }
    Ok(())
}
