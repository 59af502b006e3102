//! `--rebuild`: everything that Kafka retains is computed again by the SQL as it is now, into a new
//! generation beside the old, which then takes its place; readers go on with the old one until it does.
//!
//! The new generation is a bounded run of the same job into other folders, with a checkpoint of its own:
//! [`rebuild`] prepares it, `history` sees to it that no candles are lost by it, `swap` swaps it in.

mod history;
mod swap;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::dead_letters::{self, DEAD_LETTERS, DeadLetters};
use super::progress::RebuildPhase;
use super::{Console, JobError, JobSpec, ProgressReport, StartAt, Summary};
use crate::checkpoint::{
    Checkpoint, CheckpointError, CheckpointStore, FileEntry, Generation, GenerationTable, Location,
    Swap,
};
use crate::model::{Counts, Epoch, Partition};
use crate::query::{JobPlan, Output, SinkOptions, folder_of};
use crate::sink::SinkError;
use crate::sink::generation::{self, Rebuilding};
use crate::source::{Bounds, Topic};

pub(super) use swap::finish;

/// How a rebuild ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebuild {
    /// It was stopped before it was whole: the old generation stands, and the next rebuild goes on.
    Stopped,
    /// The new generation has taken the tables' places.
    Swapped {
        /// Rows of the new generation.
        rows: u64,
        /// Where the old generation is kept.
        kept: Vec<PathBuf>,
    },
}

/// Computes the tables of a job anew from what the topic holds now, and swaps them in. The job itself is
/// not run on; whether it is bounded makes no difference. The rebuild can be stopped, and be given again.
///
/// # Errors
/// See [`JobError`]. [`JobError::DataLoss`] where candles would be lost that Kafka no longer has the ticks
/// of, unless the job may go on without them. Whatever it is, the old generation stands.
pub fn rebuild(
    mut spec: JobSpec,
    topic: &dyn Topic,
    on_progress: &mut dyn FnMut(&ProgressReport),
) -> Result<Summary, JobError> {
    check_rebuild(&spec.plan)?;
    let written =
        |output: &Output| Some((output.table.clone(), output.sink.folder()?.to_path_buf()));
    let written: Vec<(String, PathBuf)> = spec.plan.outputs.iter().filter_map(written).collect();
    let dir = spec.checkpoint_dir.as_ref().and_then(Location::folder);
    let Some(dir) = dir.map(Path::to_path_buf).filter(|_| !written.is_empty()) else {
        let why =
            "--rebuild: the SQL writes no table of files, so there is nothing to compute again";
        return Err(JobError::Usage(why.to_string()));
    };
    let mut store = CheckpointStore::open(&dir, &spec.disk)?;
    if let Some((checkpoint, rebuild)) = finish(&mut store, on_progress)?
        && checkpoint.query == spec.plan.meaning
    {
        return Ok(summary(&checkpoint, Summary::default(), rebuild));
    }
    let old = old_checkpoint(&store)?;
    if let Some(old) = &old {
        publish_old(&spec, old)?;
    }
    // Dead letters are computed again as the tables are, and take the old ones' place with them.
    let letters = match &spec.dead_letters {
        None => None,
        Some(DeadLetters::Folder(path)) => Some((DEAD_LETTERS.to_owned(), path.clone())),
        Some(DeadLetters::Topic(_)) => {
            let why = "--rebuild: what is in a topic cannot be replaced, so dead letters cannot go to one";
            return Err(JobError::Usage(why.to_string()));
        }
    };
    let tables = (written.iter().chain(&letters))
        .map(|(table, path)| Rebuilding::open(&spec.disk, table, path))
        .collect::<Result<Vec<_>, SinkError>>()?;
    let folders: Vec<GenerationTable> = tables.iter().map(|table| table.folders.clone()).collect();
    let place = dead_letters::place(&spec)?;
    let bounds = topic.bounds()?;
    let unfinished = unfinished(&store, &spec, &folders, &bounds)?;
    let reach = reach(bounds, unfinished.as_ref());
    let history = history::look_back(old.as_ref(), topic, &reach, &folders[..written.len()])?;
    history.check_before(&spec, topic.name())?;
    let after = match unfinished {
        Some((after, checkpoint)) => {
            tracing::info!(epoch = %checkpoint.epoch, "the rebuild goes on where it stopped");
            after
        }
        None => begin(&store, &spec, topic.name(), &folders)?,
    };

    let may_lose = !spec.fail_on_data_loss;
    let stop = spec.stop.clone();
    let rebuilt_dirs: BTreeMap<&str, &Path> = (folders.iter())
        .map(|folder| (folder.table.as_str(), folder.rebuilt.as_path()))
        .collect();
    for output in &mut spec.plan.outputs {
        if let SinkOptions::Filesystem(files) = &mut output.sink {
            files.path = rebuilt_dirs[output.table.as_str()].to_path_buf();
        }
    }
    if let Some(DeadLetters::Folder(path)) = &mut spec.dead_letters {
        *path = rebuilt_dirs[DEAD_LETTERS].to_path_buf();
    }
    // What is printed was printed before. Its windows are followed all the same, so that the job goes on
    // with whole ones.
    spec.console = Console::new(Box::new(std::io::sink()));
    spec.checkpoint_dir = Some(store.rebuild_dir().into());
    spec.bounded = true;
    // The job compacts what it has become, when its grace is over.
    spec.compaction = None;
    spec.start = StartAt::Earliest;
    let run = super::run(spec, topic, &mut |report| {
        on_progress(&ProgressReport {
            rebuild: Some(RebuildPhase::Reading),
            ..report.clone()
        });
    })?;
    if stop.load(Ordering::Relaxed) {
        return Ok(Summary {
            rebuild: Some(Rebuild::Stopped),
            rows_printed: 0,
            ..run
        });
    }
    if let Err(lost) = history.check_after(&folders, may_lose) {
        discard(&store, &folders)?;
        return Err(lost);
    }
    let rebuilt = CheckpointStore::open(&store.rebuild_dir(), store.disk())?.load()?;
    let Some(mut checkpoint) = rebuilt else {
        return Err(JobError::Failed(
            "the rebuild has left no checkpoint".to_string(),
        ));
    };
    checkpoint.dead_letters = place;
    let tables = folders.iter().map(|table| generation::plan(table, after));
    store.begin_swap(&Swap {
        tables: tables.collect::<Result<_, _>>()?,
        checkpoint: checkpoint.clone(),
    })?;
    match finish(&mut store, on_progress)? {
        Some((_, rebuild)) => Ok(summary(&checkpoint, run, rebuild)),
        None => Err(JobError::Failed("the swap is gone".to_string())),
    }
}

fn summary(checkpoint: &Checkpoint, run: Summary, rebuild: Rebuild) -> Summary {
    Summary {
        epoch: Some(checkpoint.epoch),
        counts: checkpoint.counts.clone(),
        rebuild: Some(rebuild),
        rows_printed: 0,
        ..run
    }
}

/// A rebuild is also the way out of a checkpoint that cannot be read.
fn old_checkpoint(store: &CheckpointStore) -> Result<Option<Checkpoint>, JobError> {
    match store.load() {
        Err(CheckpointError::Damaged(why)) => {
            tracing::warn!("the rebuild goes on without it: {why}");
            Ok(None)
        }
        loaded => Ok(loaded?),
    }
}

/// Whether a job's tables can be computed again: a folder is swapped for a new one; what is in another system is
/// not ours to replace.
///
/// # Errors
/// [`JobError::Usage`]: which cannot.
pub fn check_rebuild(plan: &JobPlan) -> Result<(), JobError> {
    let outputs = plan.outputs.iter();
    let remote = outputs.filter(|output| output.sink.remote().is_some());
    let remote: Vec<String> = remote
        .map(|output| format!("{} ({})", output.table, output.sink.place()))
        .collect();
    if remote.is_empty() {
        return Ok(());
    }
    Err(JobError::Usage(format!(
        "--rebuild computes folders of files again; what stands in another system it cannot replace: {}. Give these tables another place and the job another checkpoint location, or take them out of the SQL for the rebuild",
        remote.join(", ")
    )))
}

/// What the last commit could not publish is part of the old generation, wherever its tables were. One
/// that was changed by hand is no reason not to compute it again.
fn publish_old(spec: &JobSpec, old: &Checkpoint) -> Result<(), JobError> {
    match dead_letters::finish_elsewhere(spec, old) {
        Err(JobError::Mismatch(why)) => tracing::warn!("the rebuild goes on: {why}"),
        published => published?,
    }
    let mut by_table: BTreeMap<&str, Vec<&FileEntry>> = BTreeMap::new();
    for file in &old.files {
        by_table.entry(&file.table).or_default().push(file);
    }
    for (table, files) in by_table {
        let Some(path) = folder_of(&old.query, table) else {
            continue;
        };
        match generation::publish_committed(&spec.disk, path, &files) {
            Err(SinkError::Foreign(why)) => tracing::warn!("the rebuild goes on: {why}"),
            published => published?,
        }
    }
    Ok(())
}

/// An unfinished rebuild of the same SQL that can go on: the last epoch of the old generation, and where it
/// stands.
fn unfinished(
    store: &CheckpointStore,
    spec: &JobSpec,
    folders: &[GenerationTable],
    bounds: &BTreeMap<Partition, Bounds>,
) -> Result<Option<(Epoch, Checkpoint)>, JobError> {
    let Some(begun) = store.generation()? else {
        return Ok(None);
    };
    let checkpoint = CheckpointStore::open(&store.rebuild_dir(), store.disk())?.load()?;
    let goes_on = checkpoint.filter(|checkpoint| {
        checkpoint.query == spec.plan.meaning
            && checkpoint.job == spec.name
            && begun.tables == folders
            && store.newest().is_none_or(|newest| newest <= begun.after)
            && folders.iter().all(|folder| folder.rebuilt.is_dir())
            && is_retained(checkpoint, bounds)
    });
    Ok(goes_on.map(|checkpoint| (begun.after, checkpoint)))
}

/// What the new generation will be made of: what the topic holds, and what an unfinished rebuild has read
/// of it before it was forgotten.
fn reach(
    mut bounds: BTreeMap<Partition, Bounds>,
    unfinished: Option<&(Epoch, Checkpoint)>,
) -> BTreeMap<Partition, Bounds> {
    let since = unfinished
        .iter()
        .flat_map(|(_, checkpoint)| &checkpoint.since);
    for (partition, &since) in since {
        if let Some(bounds) = bounds.get_mut(partition) {
            bounds.low = bounds.low.min(since);
        }
    }
    bounds
}

/// Begins a new generation. Returns the last epoch of the old one.
fn begin(
    store: &CheckpointStore,
    spec: &JobSpec,
    topic: &str,
    folders: &[GenerationTable],
) -> Result<Epoch, JobError> {
    let newest = store.newest().unwrap_or(Epoch::FIRST);
    if let Some(begun) = store.generation()? {
        tracing::info!(
            "an unfinished rebuild is not of this SQL, or not of what Kafka now holds: it begins anew"
        );
        discard(store, &begun.tables)?;
    }
    let named = (folders.iter())
        .map(|folder| generation::last_epoch(&folder.dir))
        .collect::<Result<Vec<_>, SinkError>>()?;
    let after = named.into_iter().flatten().fold(newest, Epoch::max);
    store.begin_rebuild(&Generation {
        after,
        tables: folders.to_vec(),
    })?;
    folders
        .iter()
        .try_for_each(|folder| generation::create(store.disk(), folder))?;
    // It has read nothing, so every partition is one that was added since: read from its beginning.
    let nothing = Checkpoint {
        job: spec.name.clone(),
        epoch: after,
        topic: topic.to_string(),
        emitted: BTreeMap::new(),
        partitions: BTreeMap::new(),
        since: BTreeMap::new(),
        files: Vec::new(),
        counts: Counts::default(),
        dead_letters: None,
        owner: None,
        query: spec.plan.meaning.clone(),
    };
    CheckpointStore::open(&store.rebuild_dir(), store.disk())?.commit(&nothing)?;
    tracing::info!(
        "rebuild: everything that topic {topic} holds is computed again, into {}; readers go on with {}",
        paths(folders.iter().map(|folder| folder.rebuilt.as_path())),
        paths(folders.iter().map(|folder| folder.dir.as_path()))
    );
    Ok(after)
}

/// Whether Kafka still has what an unfinished rebuild has yet to read.
fn is_retained(checkpoint: &Checkpoint, bounds: &BTreeMap<Partition, Bounds>) -> bool {
    checkpoint.partitions.iter().all(|(partition, state)| {
        bounds
            .get(partition)
            .is_some_and(|bounds| state.replay.offset >= bounds.low && state.next <= bounds.high)
    })
}

/// Removes a rebuild that is not to be finished: its checkpoints first, since they vouch for its files, and
/// what names its folders last.
fn discard(store: &CheckpointStore, tables: &[GenerationTable]) -> Result<(), JobError> {
    store.void_rebuild()?;
    for table in tables {
        generation::remove(store.disk(), &table.rebuilt)?;
    }
    Ok(store.end_rebuild()?)
}

/// A job that goes on without `--rebuild` gives up one that is not finished: it would not fit any more.
pub(super) fn give_up(store: &CheckpointStore) -> Result<(), JobError> {
    let Some(begun) = store.generation()? else {
        return Ok(());
    };
    discard(store, &begun.tables)?;
    tracing::warn!(
        "an unfinished rebuild was removed ({}), the job goes on with the candles that were there; --rebuild begins it again",
        paths(begun.tables.iter().map(|table| table.rebuilt.as_path()))
    );
    Ok(())
}

fn paths<'a>(all: impl Iterator<Item = &'a Path>) -> String {
    let texts: Vec<String> = all.map(|path| path.display().to_string()).collect();
    texts.join(", ")
}
