//! The checkpoint directory: which documents are in it, and who may write there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::document;
use super::{Checkpoint, CheckpointError};
use crate::disk::{self, Disk, LockError};
use crate::model::Epoch;

const LOCK: &str = "lock";
const TEMP: &str = "checkpoint.tmp";
/// Documents that stay after a commit: the newest, and the one before it for a person to look at.
pub(super) const KEPT: usize = 2;

/// A job's checkpoint directory, locked for as long as this lives.
///
/// Invariant: a document appears whole, by rename; the newest one is never changed.
#[derive(Debug)]
pub struct CheckpointStore {
    dir: PathBuf,
    disk: Disk,
    /// Epochs whose documents are there, ascending.
    epochs: Vec<Epoch>,
    /// Held, never read.
    _lock: File,
}

impl CheckpointStore {
    /// Opens (creates) the directory, takes the lock and removes what a crash left half-written.
    ///
    /// # Errors
    /// [`CheckpointError::Locked`] while another job uses the directory, [`CheckpointError::Io`]
    /// when it cannot be created or read.
    pub fn open(dir: &Path, disk: &Disk) -> Result<CheckpointStore, CheckpointError> {
        disk.create_dirs(dir)
            .map_err(|error| io_error("create directory", dir, &error))?;
        let lock_path = dir.join(LOCK);
        let lock = disk
            .lock(&lock_path)
            .map_err(|error| locked(dir, &lock_path, error))?;
        let temp = dir.join(TEMP);
        disk.remove_file(&temp)
            .map_err(|error| io_error("remove", &temp, &error))?;
        let epochs = epochs_in(dir).map_err(|error| io_error("read directory", dir, &error))?;
        Ok(CheckpointStore {
            dir: dir.to_path_buf(),
            disk: disk.clone(),
            epochs,
            _lock: lock,
        })
    }

    /// The newest checkpoint of a directory, and when it was written, without the lock: another process may be writing
    /// there. `None`: there is none, or no such directory.
    ///
    /// # Errors
    /// As [`CheckpointStore::load`].
    pub fn peek(dir: &Path) -> Result<Option<(Checkpoint, Option<SystemTime>)>, CheckpointError> {
        if !dir.is_dir() {
            return Ok(None);
        }
        let epochs = epochs_in(dir).map_err(|error| io_error("read directory", dir, &error))?;
        let Some(&epoch) = epochs.last() else {
            return Ok(None);
        };
        let path = dir.join(file_name(epoch));
        let written = fs::metadata(&path).and_then(|metadata| metadata.modified());
        let checkpoint = read(&path, epoch)?;
        Ok(Some((checkpoint, written.ok())))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The way to the disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The number of the newest checkpoint, whether or not it can be read.
    pub fn newest(&self) -> Option<Epoch> {
        self.epochs.last().copied()
    }

    /// The newest checkpoint; `None` on a first start.
    ///
    /// Deliberately without falling back to the one before: what the newest one names may already be
    /// published, and going on from an older one would publish it twice.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] when the newest one is truncated, edited or of another version.
    pub fn load(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        let Some(&epoch) = self.epochs.last() else {
            return Ok(None);
        };
        read(&self.path(epoch), epoch).map(Some)
    }

    /// Makes `checkpoint` the newest, durably (temp file, fsync, rename, fsync of the directory),
    /// then removes all but the one before it. Its epoch comes after the newest one's.
    ///
    /// # Errors
    /// [`CheckpointError::Io`]: whether the commit happened is not known, only a restart can tell.
    pub fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let epoch = checkpoint.epoch;
        assert!(
            self.epochs.last().is_none_or(|&newest| newest < epoch),
            "epochs only go forward, and the lock keeps other writers away"
        );
        write_document(&self.disk, &self.dir, &file_name(epoch), checkpoint)?;
        self.epochs.push(epoch);
        self.remove_old();
        Ok(())
    }

    /// One that cannot be removed costs some bytes, not the job; the next start tries again.
    fn remove_old(&mut self) {
        let surplus = self.epochs.len().saturating_sub(KEPT);
        for epoch in self.epochs.drain(..surplus).collect::<Vec<_>>() {
            let path = self.path(epoch);
            if let Err(error) = self.disk.remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "an old checkpoint cannot be removed");
            }
        }
    }

    fn path(&self, epoch: Epoch) -> PathBuf {
        self.dir.join(file_name(epoch))
    }
}

/// The document of an epoch.
fn read(path: &Path, epoch: Epoch) -> Result<Checkpoint, CheckpointError> {
    let bytes = fs::read(path).map_err(|error| io_error("read checkpoint", path, &error))?;
    checked(&bytes, epoch, &path.display().to_string())
}

/// The checkpoint in the document of an epoch, which stands at `place`.
pub(super) fn checked(
    bytes: &[u8],
    epoch: Epoch,
    place: &str,
) -> Result<Checkpoint, CheckpointError> {
    let checkpoint = document::decode::<Checkpoint>(bytes).and_then(|checkpoint| {
        if checkpoint.epoch == epoch {
            Ok(checkpoint)
        } else {
            Err(format!("it holds epoch {}", checkpoint.epoch))
        }
    });
    checkpoint.map_err(|why| damaged(place, &why))
}

/// Writes a document so that it appears whole and stays: temp file, fsync, rename, fsync of the directory.
pub(super) fn write_document<T: Serialize>(
    disk: &Disk,
    dir: &Path,
    name: &str,
    body: &T,
) -> Result<(), CheckpointError> {
    let (temp, path) = (dir.join(TEMP), dir.join(name));
    disk.write_file(&temp, document::encode(body).as_bytes())
        .map_err(|error| io_error("write", &temp, &error))?;
    disk.rename(&temp, &path)
        .map_err(|error| io_error("rename to", &path, &error))?;
    disk.sync_dir(dir)
        .map_err(|error| io_error("fsync", dir, &error))
}

pub(super) fn file_name(epoch: Epoch) -> String {
    format!("checkpoint-{:09}.json", epoch.0)
}

/// Epochs of the documents in `dir`, ascending; everything else there is left alone.
fn epochs_in(dir: &Path) -> io::Result<Vec<Epoch>> {
    let mut epochs = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        epochs.extend(epoch_of(name));
    }
    epochs.sort_unstable();
    Ok(epochs)
}

/// The epoch of a document of this name.
pub(super) fn epoch_of(name: &str) -> Option<Epoch> {
    let digits = name.strip_prefix("checkpoint-")?.strip_suffix(".json")?;
    let epoch = Epoch(digits.parse().ok()?);
    (file_name(epoch) == name).then_some(epoch)
}

fn damaged(place: &str, why: &str) -> CheckpointError {
    CheckpointError::Damaged(format!(
        "checkpoint {place} cannot be used: {why}. An older one is not used instead, because what this \
         one committed may be published. Put the file back from a backup (or run the version of \
         StockPulse that wrote it), or start over: another checkpoint location and another output \
         path, for which the candles are computed again from Kafka"
    ))
}

fn locked(dir: &Path, lock_path: &Path, error: LockError) -> CheckpointError {
    match error {
        LockError::Held(pid) => {
            let holder = pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
            CheckpointError::Locked(format!(
                "checkpoint directory {} is in use by {holder}: one job per checkpoint; stop that \
                 job, or give this one its own checkpoint location and output path",
                dir.display()
            ))
        }
        LockError::Io(error) => io_error("lock", lock_path, &error),
    }
}

pub(super) fn io_error(doing: &str, path: &Path, error: &io::Error) -> CheckpointError {
    CheckpointError::Io(format!(
        "checkpoint: cannot {doing} {}: {error}; {}",
        path.display(),
        disk::advice(error)
    ))
}
