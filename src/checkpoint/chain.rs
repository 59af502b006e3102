//! Checkpoints on an object store: a chain of documents, each put only if it is new.
//!
//! A lock cannot be the safety there: its holder may sleep, and wake up after others have gone on. What is exact is
//! the chain ([`0046`](../../docs/decisions/0046-the-checkpoint-chain.md)), by three rules, each of them needed:
//! - *takeover*: a start puts the newest document again, as the next one and with its own number; from then on no
//!   earlier start can commit, since the name that it would use is taken;
//! - *look behind*: whoever has put a document lists what comes after it; old ones are removed, so one who slept long
//!   enough could put his where a removed one was;
//! - *order*: an earlier start never takes over from a later one, which removes what earlier ones have staged.

use bytes::Bytes;

use super::store::{KEPT, checked, epoch_of, file_name};
use super::{Checkpoint, CheckpointError, document};
use crate::model::Epoch;
use crate::objects::{Objects, Owner, StoreError};

/// Times that another start may get in between at the most, before this one gives up.
const TRIES: usize = 5;

/// A job's checkpoints on an object store.
///
/// Invariant: a document is put once and never changed; the newest one is never removed.
#[derive(Debug)]
pub struct ChainStore {
    objects: Objects,
    /// What the keys begin with.
    prefix: String,
    owner: Owner,
    /// Epochs whose documents are there, as far as this start knows, ascending.
    epochs: Vec<Epoch>,
    newest: Option<Checkpoint>,
}

impl ChainStore {
    /// Takes the next number of a start, and takes over from who was before, if there was one.
    ///
    /// # Errors
    /// [`CheckpointError::Locked`]: a later start has taken over already. [`CheckpointError::Damaged`]: the newest
    /// document cannot be read. [`CheckpointError::Away`], [`CheckpointError::Io`]: the store does not answer, or
    /// refuses.
    pub fn open(objects: Objects, prefix: &str) -> Result<ChainStore, CheckpointError> {
        let owner = Owner::claim(&objects, prefix)?;
        let mut chain = ChainStore {
            objects,
            prefix: prefix.to_owned(),
            owner,
            epochs: Vec::new(),
            newest: None,
        };
        for _ in 0..TRIES {
            chain.epochs = epochs(&chain.objects, prefix)?;
            let Some(&epoch) = chain.epochs.last() else {
                return Ok(chain);
            };
            // Gone meanwhile: others have gone on.
            let Some(found) = read(&chain.objects, prefix, epoch)? else {
                continue;
            };
            if found.owner.is_some_and(|number| number > owner.0) {
                return Err(chain.overtaken());
            }
            let mut taken = found;
            taken.epoch = epoch.next();
            if chain.put(&mut taken)? {
                chain.look_behind(taken.epoch)?;
                chain.epochs.push(taken.epoch);
                chain.newest = Some(taken);
                return Ok(chain);
            }
        }
        Err(CheckpointError::Away(format!(
            "others start with the checkpoints in {} all the while",
            chain.place()
        )))
    }

    /// The newest checkpoint of a chain, whoever may be writing there; `None`: there is none.
    ///
    /// # Errors
    /// As [`ChainStore::open`].
    pub fn peek(objects: &Objects, prefix: &str) -> Result<Option<Checkpoint>, CheckpointError> {
        for _ in 0..TRIES {
            let Some(&epoch) = epochs(objects, prefix)?.last() else {
                return Ok(None);
            };
            if let Some(found) = read(objects, prefix, epoch)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The number of this start.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The checkpoint that this start has taken over, or written last; `None`: there was none.
    pub fn newest(&self) -> Option<&Checkpoint> {
        self.newest.as_ref()
    }

    /// Makes `checkpoint` the newest. May be asked again after [`CheckpointError::Away`], with the same one.
    ///
    /// # Errors
    /// [`CheckpointError::Locked`]: another start has taken over; nothing of the epoch was committed.
    /// [`CheckpointError::Away`]: whether it was committed is not known.
    pub fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let mut committed = checkpoint.clone();
        if !self.put(&mut committed)? {
            return Err(self.overtaken());
        }
        self.look_behind(committed.epoch)?;
        self.epochs.push(committed.epoch);
        self.newest = Some(committed);
        self.remove_old();
        Ok(())
    }

    /// Forgets earlier starts, whose staged files are removed by now.
    ///
    /// # Errors
    /// As [`ChainStore::open`].
    pub fn forget_earlier(&self) -> Result<(), CheckpointError> {
        if self.newest.is_some() {
            self.owner.forget_earlier(&self.objects, &self.prefix)?;
        }
        Ok(())
    }

    /// Puts a document as this start's, if none is there; whether it stands there now.
    fn put(&self, checkpoint: &mut Checkpoint) -> Result<bool, CheckpointError> {
        checkpoint.owner = Some(self.owner.0);
        let bytes = Bytes::from(document::encode(checkpoint));
        let key = key(&self.prefix, checkpoint.epoch);
        match self.objects.put_new(&key, bytes.clone()) {
            Ok(()) => Ok(true),
            // It may be this very one, whose answer was lost: it holds the number, which nobody else has.
            Err(StoreError::Exists(_)) => Ok(self.objects.get(&key)? == Some(bytes)),
            Err(error) => Err(error.into()),
        }
    }

    fn look_behind(&self, epoch: Epoch) -> Result<(), CheckpointError> {
        let after = key(&self.prefix, epoch);
        let listed = self.objects.list(&self.prefix, Some(&after))?;
        let mut later = listed
            .iter()
            .filter_map(|object| epoch_in(&self.prefix, &object.key));
        match later.any(|later| later > epoch) {
            true => Err(self.overtaken()),
            false => Ok(()),
        }
    }

    /// One that cannot be removed costs some bytes, not the job; the next start tries again.
    fn remove_old(&mut self) {
        let surplus = self.epochs.len().saturating_sub(KEPT);
        for epoch in self.epochs.drain(..surplus) {
            let key = key(&self.prefix, epoch);
            if let Err(error) = self.objects.delete(&key) {
                tracing::warn!(%error, "an old checkpoint cannot be removed");
            }
        }
    }

    fn place(&self) -> String {
        self.objects.shown(&self.prefix)
    }

    fn overtaken(&self) -> CheckpointError {
        CheckpointError::Locked(format!(
            "another process has taken over the job whose checkpoints are in {}: it was started after this one, which has published nothing since. One job per checkpoint: stop one of them, or give it its own checkpoint location and output path",
            self.place()
        ))
    }
}

fn key(prefix: &str, epoch: Epoch) -> String {
    format!("{prefix}/{}", file_name(epoch))
}

fn epoch_in(prefix: &str, key: &str) -> Option<Epoch> {
    epoch_of(key.strip_prefix(prefix)?.strip_prefix('/')?)
}

/// Epochs of the documents, ascending.
fn epochs(objects: &Objects, prefix: &str) -> Result<Vec<Epoch>, CheckpointError> {
    let listed = objects.list(prefix, None)?;
    let epochs = listed
        .iter()
        .filter_map(|object| epoch_in(prefix, &object.key));
    let mut epochs: Vec<Epoch> = epochs.collect();
    epochs.sort_unstable();
    Ok(epochs)
}

/// The document of an epoch; `None`: it is gone.
fn read(
    objects: &Objects,
    prefix: &str,
    epoch: Epoch,
) -> Result<Option<Checkpoint>, CheckpointError> {
    let key = key(prefix, epoch);
    let bytes = objects.get(&key)?;
    bytes
        .map(|bytes| checked(&bytes, epoch, &objects.shown(&key)))
        .transpose()
}

impl From<StoreError> for CheckpointError {
    fn from(error: StoreError) -> CheckpointError {
        match error {
            StoreError::Away(why) => CheckpointError::Away(format!("checkpoint: {why}")),
            error @ (StoreError::Exists(_) | StoreError::NotFound(_) | StoreError::Refused(_)) => {
                CheckpointError::Io(format!("checkpoint: {error}"))
            }
        }
    }
}
