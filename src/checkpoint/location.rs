//! Where a job's checkpoints are: in a folder, or on an object store.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{ChainStore, Checkpoint, CheckpointError, CheckpointStore};
use crate::disk::Disk;
use crate::model::Epoch;
use crate::objects::{Address, Owner, StorageOptions, Stores};

/// Where checkpoints are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine.
    Folder(PathBuf),
    /// An object store.
    Store {
        /// Where there.
        address: Address,
        /// How it is reached.
        options: StorageOptions,
    },
}

impl Location {
    /// The folder; `None`: it is on a store.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Location::Folder(dir) => Some(dir),
            Location::Store { .. } => None,
        }
    }
}

impl From<PathBuf> for Location {
    fn from(dir: PathBuf) -> Location {
        Location::Folder(dir)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Folder(dir) => write!(f, "{}", dir.display()),
            Location::Store { address, .. } => write!(f, "{address}"),
        }
    }
}

/// A job's checkpoints, opened.
#[derive(Debug)]
pub enum Checkpoints {
    /// In a folder.
    Folder(CheckpointStore),
    /// On an object store.
    Chain(Box<ChainStore>),
}

impl Checkpoints {
    /// Opens them: nobody else of this job commits from then on.
    ///
    /// # Errors
    /// As [`CheckpointStore::open`] and [`ChainStore::open`].
    pub fn open(
        location: &Location,
        disk: &Disk,
        stores: &Stores,
    ) -> Result<Checkpoints, CheckpointError> {
        match location {
            Location::Folder(dir) => CheckpointStore::open(dir, disk).map(Checkpoints::Folder),
            Location::Store { address, options } => {
                let objects = stores.open(address, options)?;
                let chain = ChainStore::open(objects, address.prefix())?;
                Ok(Checkpoints::Chain(Box::new(chain)))
            }
        }
    }

    /// As [`CheckpointStore::load`].
    ///
    /// # Errors
    /// As [`CheckpointStore::load`].
    pub fn load(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        match self {
            Checkpoints::Folder(store) => store.load(),
            Checkpoints::Chain(chain) => Ok(chain.newest().cloned()),
        }
    }

    /// Makes `checkpoint` the newest, durably.
    ///
    /// # Errors
    /// As [`CheckpointStore::commit`] and [`ChainStore::commit`].
    pub fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        match self {
            Checkpoints::Folder(store) => store.commit(checkpoint),
            Checkpoints::Chain(chain) => chain.commit(checkpoint),
        }
    }

    /// The folder's; `None`: they are on a store.
    pub fn folder(&self) -> Option<&CheckpointStore> {
        match self {
            Checkpoints::Folder(store) => Some(store),
            Checkpoints::Chain(_) => None,
        }
    }

    /// The number of this start, where starts have numbers: on a store.
    pub fn owner(&self) -> Option<Owner> {
        match self {
            Checkpoints::Folder(_) => None,
            Checkpoints::Chain(chain) => Some(chain.owner()),
        }
    }

    /// The newest one's epoch.
    pub fn newest(&self) -> Option<Epoch> {
        match self {
            Checkpoints::Folder(store) => store.newest(),
            Checkpoints::Chain(chain) => chain.newest().map(|newest| newest.epoch),
        }
    }
}
