//! The durable record of what has happened, one small JSON document an epoch; and the lock that
//! keeps a second job off it.
//!
//! [`CheckpointStore`] is the directory, [`ChainStore`] the same on an object store; the newest document in it is the truth. State itself is
//! never written: a start re-reads the open windows from Kafka, from the replay points on. [`Generation`] and
//! [`Swap`] are the documents of a rebuild.

mod chain;
mod document;
mod instant;
mod location;
mod presence;
mod store;
mod swap;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Counts, Epoch, Partition, Watermark};

pub use chain::ChainStore;
pub use location::{Checkpoints, Location};
pub use presence::{Presence, Present, present};
pub use store::CheckpointStore;
pub use swap::{Generation, GenerationTable, Swap, SwapTable};

/// Where one partition stands at a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Next offset to read.
    pub next: i64,
    /// The partition's watermark after the frame before `next`.
    #[serde(with = "instant")]
    pub watermark: Watermark,
    /// Where reading must start again so that every open window is rebuilt.
    pub replay: ReplayPoint,
    /// The last frame before `next`, by which a topic that was deleted and created again is told from the one
    /// that was read; `None`: none was read, or a version of before did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastFrame>,
}

/// What a frame is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFrame {
    /// Its offset.
    pub offset: i64,
    /// Kafka's timestamp, milliseconds since 1970 UTC.
    pub timestamp_ms: Option<i64>,
    /// Bytes of its payload; `None`: it has none.
    pub bytes: Option<u64>,
}

/// An offset, and the partition's watermark just before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayPoint {
    /// First offset to read again; at most the partition's `next`.
    pub offset: i64,
    /// Watermark before that frame.
    #[serde(with = "instant")]
    pub watermark: Watermark,
}

/// End of the last window that was emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Emitted(#[serde(with = "instant")] pub Watermark);

/// A file that a commit makes visible: staged under one name, published under another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The sink's table name in the SQL.
    pub table: String,
    /// Path below the staging directory.
    pub staged: String,
    /// Path below the table's directory.
    pub published: String,
    /// Rows in the file.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
}

/// The durable record of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The job's name.
    pub job: String,
    /// Number of this commit.
    pub epoch: Epoch,
    /// The topic that was read.
    pub topic: String,
    /// Per table of the SQL: windows that end at or before this have been emitted.
    pub emitted: BTreeMap<String, Emitted>,
    /// Per partition where reading stands.
    pub partitions: BTreeMap<Partition, PartitionState>,
    /// Per partition the first offset that the job ever read; a partition is missing where that is not known.
    #[serde(default)]
    pub since: BTreeMap<Partition, i64>,
    /// Files that this commit publishes.
    pub files: Vec<FileEntry>,
    /// What became of the ticks up to the partitions' `next`.
    pub counts: Counts,
    /// Where rejects and late ticks are kept, as the job calls it; `None`: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<String>,
    /// The number of the start that wrote it, where starts have numbers: on an object store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<u64>,
    /// What the SQL meant when this was written, statement by statement (see `query`).
    pub query: BTreeMap<String, String>,
}

/// What reading or writing a checkpoint failed with.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Another process holds the lock.
    #[error("{0}")]
    Locked(String),
    /// Damaged, or of a version that this program does not know.
    #[error("{0}")]
    Damaged(String),
    /// The disk or the store refused.
    #[error("{0}")]
    Io(String),
    /// Not now: the store does not answer, or is too busy. Whether a commit was made is not known.
    #[error("{0}")]
    Away(String),
}
