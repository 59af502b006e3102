//! A rebuild's documents beside the checkpoint: which folders it fills, and, once it is whole, that these
//! take the tables' places.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::store::{io_error, write_document};
use super::{Checkpoint, CheckpointError, CheckpointStore, document};
use crate::model::Epoch;

/// The folder of a rebuild's own checkpoints, below the job's.
const REBUILD: &str = "rebuild";
const GENERATION: &str = "generation.json";
const SWAP: &str = "swap.json";

/// What a rebuild fills: written before its first folder is made, so that whoever starts next knows what
/// an unfinished one has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its epochs come after this one, which is the last of the generation before; file names hold the
    /// epoch, so that none is ever used for two files.
    pub after: Epoch,
    /// The tables that it computes again.
    pub tables: Vec<GenerationTable>,
}

/// A table of a [`Generation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationTable {
    /// The sink's table name in the SQL.
    pub table: String,
    /// The folder that readers see.
    pub dir: PathBuf,
    /// The folder beside it that the rebuild fills.
    pub rebuilt: PathBuf,
}

/// That a rebuild is whole and takes the tables' places. Written durably before the first folder is moved:
/// from then on whoever starts next finishes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// The folders that change places.
    pub tables: Vec<SwapTable>,
    /// The job's checkpoint after that.
    pub checkpoint: Checkpoint,
}

/// A table of a [`Swap`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapTable {
    /// The sink's table name in the SQL.
    pub table: String,
    /// The folder that readers see.
    pub dir: PathBuf,
    /// The folder beside it that the rebuild has filled; after the exchange it holds the old generation.
    pub rebuilt: PathBuf,
    /// Where the old generation is kept in the end.
    pub kept: PathBuf,
    /// Inode number of the new generation's folder, by which it is known wherever it stands.
    pub inode: u64,
}

impl CheckpointStore {
    /// Where a rebuild of this job keeps its own checkpoints.
    pub fn rebuild_dir(&self) -> PathBuf {
        self.dir().join(REBUILD)
    }

    /// The rebuild that has begun and not ended, if there is one.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`], [`CheckpointError::Io`].
    pub fn generation(&self) -> Result<Option<Generation>, CheckpointError> {
        read_document(&self.rebuild_dir().join(GENERATION))
    }

    /// Says durably that a rebuild begins.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub fn begin_rebuild(&self, generation: &Generation) -> Result<(), CheckpointError> {
        let dir = self.rebuild_dir();
        self.disk()
            .create_dirs(&dir)
            .map_err(|error| io_error("create directory", &dir, &error))?;
        write_document(self.disk(), &dir, GENERATION, generation)
    }

    /// Removes a rebuild's checkpoints, so that nobody goes on with it; what it has filled is still known.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub fn void_rebuild(&self) -> Result<(), CheckpointError> {
        let dir = self.rebuild_dir();
        for path in files(&dir).map_err(|error| io_error("read directory", &dir, &error))? {
            if !path.ends_with(GENERATION) {
                self.disk()
                    .remove_file(&path)
                    .map_err(|error| io_error("remove", &path, &error))?;
            }
        }
        self.disk()
            .sync_dir(&dir)
            .map_err(|error| io_error("fsync", &dir, &error))
    }

    /// Forgets a rebuild; its folders were removed before, or took the tables' places.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub fn end_rebuild(&self) -> Result<(), CheckpointError> {
        let dir = self.rebuild_dir();
        self.disk()
            .remove_dirs(&dir)
            .map_err(|error| io_error("remove directory", &dir, &error))?;
        self.disk()
            .sync_dir(self.dir())
            .map_err(|error| io_error("fsync", self.dir(), &error))
    }

    /// The swap that is under way, if there is one.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`], [`CheckpointError::Io`].
    pub fn swap(&self) -> Result<Option<Swap>, CheckpointError> {
        read_document(&self.dir().join(SWAP))
    }

    /// Says durably that a swap begins.
    ///
    /// # Errors
    /// [`CheckpointError::Io`]: only a restart can tell whether it has begun.
    pub fn begin_swap(&self, swap: &Swap) -> Result<(), CheckpointError> {
        write_document(self.disk(), self.dir(), SWAP, swap)
    }

    /// Forgets a swap that is finished.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub fn end_swap(&self) -> Result<(), CheckpointError> {
        let path = self.dir().join(SWAP);
        self.disk()
            .remove_file(&path)
            .map_err(|error| io_error("remove", &path, &error))?;
        self.disk()
            .sync_dir(self.dir())
            .map_err(|error| io_error("fsync", self.dir(), &error))
    }
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect()
}

/// `None`: it is not there.
fn read_document<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, CheckpointError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| io_error("read", path, &error))?,
    };
    document::decode(&bytes).map(Some).map_err(|why| {
        CheckpointError::Damaged(format!(
            "{}, which a rebuild has left, cannot be used: {why}. Put the file back from a backup, or \
             move the table's folder and the checkpoint away and start anew: the candles are computed \
             again from Kafka",
            path.display()
        ))
    })
}
