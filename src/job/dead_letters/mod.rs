//! Where late, bad and poisoned data goes: every reject and every late tick of a job, once, as part of the
//! epoch that counts it.
//!
//! A lane collects them, `rows` makes them rows; they wait for the next commit as the rows of queries without
//! windows do, and their files are staged, named in the checkpoint and published with the tables' own.

mod rows;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::array::TimestampNanosecondArray;

pub(super) use self::rows::{Letter, Raw, Rows};
use super::{JobError, JobSpec};
use crate::checkpoint::{Checkpoint, FileEntry};
use crate::model::Epoch;
use crate::sink::generation::{last_epoch, publish_committed};
use crate::sink::kafka::{self, LetterOptions, TopicAddress};
use crate::sink::{Compression, ParquetOptions, ParquetSink, RowTimes, Sink, SinkError, SinkRows};

/// The property, which is also what their files go by in the checkpoint: no table may have this name.
pub const DEAD_LETTERS: &str = "spark.stockpulse.deadLetters";

/// Days of Kafka timestamps that one epoch's letters are put under. With more the timestamps are noise, and
/// all are put where those without one are: a folder each would cost more than it helps.
const DAYS_MAX: usize = 1_000;
const NANOS_PER_DAY: i64 = 86_400 * crate::model::NANOS_PER_SECOND;

/// What the place of a topic begins with in the checkpoint; a folder's is a whole path.
const TOPIC: &str = "kafka:";

/// Where dead letters go.
#[derive(Debug, Clone)]
pub enum DeadLetters {
    /// A folder of Parquet files.
    Folder(PathBuf),
    /// A topic, as JSON.
    Topic(Box<TopicAddress>),
}

impl DeadLetters {
    /// What the checkpoint says of it, so that a later run knows where the last commit's letters belong.
    fn place(&self) -> Result<String, JobError> {
        match self {
            DeadLetters::Topic(to) => Ok(format!("{TOPIC}{}", to.topic)),
            DeadLetters::Folder(path) => {
                let whole = std::path::absolute(path).ok();
                let whole = whole.as_deref().and_then(Path::to_str).map(str::to_owned);
                whole.ok_or_else(|| {
                    let why =
                        "is not UTF-8, so that a checkpoint cannot note it; give another folder";
                    JobError::Usage(format!("{DEAD_LETTERS}: {} {why}", path.display()))
                })
            }
        }
    }
}

/// Takes a job's dead letters.
pub(super) struct Outlet {
    sink: Sink,
    /// See [`Checkpoint::dead_letters`].
    pub place: String,
    /// What no commit has yet.
    waiting: Vec<SinkRows>,
}

impl Outlet {
    /// Opens what the job keeps its dead letters in, and finishes or undoes what an earlier run left; what it
    /// left elsewhere is finished there. `None`: they are not kept.
    pub fn open(
        spec: &JobSpec,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Option<Outlet>, JobError> {
        let place = place(spec)?;
        let before = checkpoint.and_then(|checkpoint| checkpoint.dead_letters.as_ref());
        if let Some(checkpoint) = checkpoint
            && before != place.as_ref()
        {
            finish_elsewhere(spec, checkpoint)?;
        }
        let (Some(letters), Some(place)) = (&spec.dead_letters, place) else {
            return Ok(None);
        };
        if spec.plan.outputs.iter().any(|o| o.table == DEAD_LETTERS) {
            return Err(JobError::Usage(format!(
                "a table cannot be named \"{DEAD_LETTERS}\" where dead letters are kept"
            )));
        }
        let goes_on = before == Some(&place);
        let mut sink = match letters {
            DeadLetters::Folder(path) => {
                let last = checkpoint.map(|checkpoint| checkpoint.epoch);
                Sink::Parquet(Box::new(folder(spec, path, goes_on, last)?))
            }
            DeadLetters::Topic(to) => {
                let options = LetterOptions {
                    table: DEAD_LETTERS.to_owned(),
                    to: to.as_ref().clone(),
                    job: spec.name.clone(),
                    stage: staged_dir(spec)?,
                    sort_columns: rows::SORT_COLUMNS.to_vec(),
                    disk: spec.disk.clone(),
                };
                Sink::Outbox(Box::new(kafka::letters(&options, &rows::schema())?))
            }
        };
        sink.recover(match (goes_on, checkpoint) {
            (true, Some(checkpoint)) => &checkpoint.files,
            _ => &[],
        })?;
        Ok(Some(Outlet {
            sink,
            place,
            waiting: Vec::new(),
        }))
    }

    /// Where they go.
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// As [`Sink::concerns`].
    pub fn concerns(&self, files: &[FileEntry]) -> bool {
        self.sink.concerns(files)
    }

    /// Rows that wait for the next commit.
    pub fn push(&mut self, rows: SinkRows) {
        self.waiting.push(rows);
    }

    /// As [`Sink::stage`], of what waits.
    pub fn stage(&mut self, epoch: Epoch) -> Result<Vec<FileEntry>, JobError> {
        let rows = in_few_days(std::mem::take(&mut self.waiting));
        Ok(self.sink.stage(epoch, rows)?)
    }

    /// As [`Sink::publish`].
    pub fn publish(&mut self, files: &[FileEntry]) -> Result<(), SinkError> {
        self.sink.publish(files)
    }
}

/// What the checkpoint says of where a job's dead letters go; see [`Checkpoint::dead_letters`].
pub(super) fn place(spec: &JobSpec) -> Result<Option<String>, JobError> {
    spec.dead_letters
        .as_ref()
        .map(DeadLetters::place)
        .transpose()
}

/// Whether a file of a checkpoint holds dead letters.
pub(super) fn is_letters(file: &FileEntry) -> bool {
    file.table == DEAD_LETTERS
}

/// Makes visible what the last commit could not publish, where that is not what the job now writes to. What
/// was to go to a topic is sent by a start that has the topic.
pub(super) fn finish_elsewhere(spec: &JobSpec, checkpoint: &Checkpoint) -> Result<(), JobError> {
    let Some(place) = &checkpoint.dead_letters else {
        return Ok(());
    };
    let files: Vec<&FileEntry> = checkpoint.files.iter().filter(|f| is_letters(f)).collect();
    if !place.starts_with(TOPIC) {
        return Ok(publish_committed(&spec.disk, Path::new(place), &files)?);
    }
    let stage = staged_dir(spec)?;
    match files.iter().any(|file| stage.join(&file.staged).exists()) {
        false => Ok(()),
        true => Err(JobError::Mismatch(format!(
            "the last commit's dead letters are still to be sent to {place}: start once with --conf {DEAD_LETTERS}={place} (and --available-now, to have it end), then without or with another. They are in {}; remove that folder to do without them",
            stage.display()
        ))),
    }
}

/// Where dead letters wait for their topic: beside the checkpoint, whatever becomes of the tables.
fn staged_dir(spec: &JobSpec) -> Result<PathBuf, JobError> {
    let dir = spec.checkpoint_dir.as_ref();
    let dir = dir.map(|dir| dir.join("dead_letters"));
    dir.ok_or_else(|| JobError::Usage(format!("{DEAD_LETTERS}: the job has no checkpoint")))
}

fn folder(
    spec: &JobSpec,
    path: &Path,
    goes_on: bool,
    last: Option<Epoch>,
) -> Result<ParquetSink, JobError> {
    let options = ParquetOptions {
        table: DEAD_LETTERS.to_owned(),
        job: spec.name.clone(),
        path: path.to_path_buf(),
        // By Kafka's timestamp: of all that is known of a letter it is what is nearly always there.
        time_pattern: Some("date=%Y-%m-%d".to_owned()),
        partition_columns: Vec::new(),
        file_bytes: None,
        compression: Compression::Zstd,
        row_group_bytes: None,
        filename_prefix: None,
        sort_columns: rows::SORT_COLUMNS.to_vec(),
        disk: spec.disk.clone(),
    };
    let sink = ParquetSink::open(options, rows::schema())?;
    // A file of a later epoch would be in the way of that epoch's own.
    let foreign = match last {
        None => sink.has_published()?,
        Some(last) => !goes_on && last_epoch(path)?.is_some_and(|epoch| epoch > last),
    };
    if foreign {
        return Err(JobError::Mismatch(format!(
            "{} holds files that this job's checkpoint does not know of; give {DEAD_LETTERS} an empty folder, or the job the checkpoint location that it had",
            path.display()
        )));
    }
    Ok(sink)
}

fn in_few_days(mut rows: Vec<SinkRows>) -> Vec<SinkRows> {
    let mut days = BTreeSet::new();
    for SinkRows { times, .. } in &rows {
        if let RowTimes::Each(times) = times {
            days.extend(
                times
                    .values()
                    .iter()
                    .map(|time| time.div_euclid(NANOS_PER_DAY)),
            );
        }
    }
    if days.len() > DAYS_MAX {
        for SinkRows { times, rows } in &mut rows {
            let zero = TimestampNanosecondArray::from_value(0, rows.num_rows());
            *times = RowTimes::Each(zero);
        }
    }
    rows
}
