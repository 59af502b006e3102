//! A job's checkpoints, opened: in a folder by its lock, on an object store by taking over from who was before.

use std::time::Duration;

use super::{check_meaning, patiently};
use crate::checkpoint::{
    ChainStore, CheckpointError, Checkpoints, Location, Presence, Present, present,
};
use crate::job::{JobError, JobSpec};
use crate::objects::{Address, Objects, StorageOptions};
use crate::sink::Peer;

/// Who is on another machine is watched for so long: twice as long as one that runs is silent, and half again.
const WATCH: Duration = Duration::from_secs(25);

/// A job's checkpoints, and the word that it is this process's turn, where it is to be said.
pub struct Opened {
    pub checkpoints: Checkpoints,
    pub presence: Option<Presence>,
}

/// Opens the job's checkpoints; nobody else commits from then on. `None` in it: it has none. `None`: it was told to
/// stop before they were there.
pub fn open_checkpoints(spec: &JobSpec) -> Result<Option<Option<Opened>>, JobError> {
    let Some(location) = &spec.checkpoint_dir else {
        return Ok(Some(None));
    };
    let mut watched = None;
    let opened = patiently(spec, &mut || {
        let presence = match location {
            Location::Folder(_) => None,
            Location::Store { address, options } => {
                Some(before_taking_over(spec, address, options, &mut watched)?)
            }
        };
        let checkpoints = Checkpoints::open(location, &spec.disk, &spec.stores)?;
        let presence = match (presence, location) {
            (Some(objects), Location::Store { address, .. }) => {
                Some(Presence::begin(objects, address.prefix()))
            }
            _ => None,
        };
        Ok(Opened {
            checkpoints,
            presence,
        })
    })?;
    Ok(opened.map(Some))
}

/// Who cannot go on, or was started by mistake, must not stop who can: so it is looked at before it is taken over.
fn before_taking_over(
    spec: &JobSpec,
    address: &Address,
    options: &StorageOptions,
    watched: &mut Option<(bytes::Bytes, Duration)>,
) -> Result<Objects, JobError> {
    let objects = spec.stores.open(address, options);
    let objects = objects.map_err(CheckpointError::from)?;
    let runs = |who: &str| {
        JobError::Mismatch(format!(
            "{who} runs the job whose checkpoints are in {address}: one job per checkpoint; stop that job, or give this one its own checkpoint location and output path"
        ))
    };
    match present(&objects, address.prefix())? {
        Present::Nobody => {}
        Present::Here(pid) => return Err(runs(&format!("process {pid}"))),
        Present::Elsewhere { who, said } => {
            let now = spec.clock.steady();
            let (first, since) = watched.get_or_insert_with(|| (said.clone(), now));
            if *first != said {
                return Err(runs(&who));
            }
            if now.saturating_sub(*since) < WATCH {
                return Err(JobError::Away {
                    peer: Peer::Other,
                    why: format!(
                        "{who} has run the job whose checkpoints are in {address}, and may be gone: it is watched for {WATCH:?}"
                    ),
                });
            }
            tracing::warn!("{who} has said nothing for {WATCH:?}, so this process takes over");
        }
    }
    if let Some(newest) = ChainStore::peek(&objects, address.prefix())? {
        check_meaning(spec, &newest)?;
    }
    Ok(objects)
}
