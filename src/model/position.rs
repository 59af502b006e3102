//! Where we are in a topic.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Number of a topic partition, as Kafka has it (0 and up).
pub type Partition = i32;

/// Number of a commit: from 1, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The first commit of a job.
    pub const FIRST: Epoch = Epoch(1);

    /// The commit after this one.
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Per partition the NEXT offset to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offsets(pub BTreeMap<Partition, i64>);

/// One message of a topic, borrowed from the consumer.
#[derive(Debug, Clone, Copy)]
pub struct FrameRef<'a> {
    /// Topic partition it was read from.
    pub partition: Partition,
    /// Its own offset (the next one to read is this plus one).
    pub offset: i64,
    /// Kafka's timestamp, milliseconds since 1970 UTC; `None` when the message has none.
    pub timestamp_ms: Option<i64>,
    /// The message key.
    pub key: Option<&'a [u8]>,
    /// The message value; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
}
