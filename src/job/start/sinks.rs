//! The sink of each output: opened, and what an earlier run left there finished or undone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{REBUILD_DOES, checkpoint_dir, postgres};
use crate::checkpoint::{Checkpoint, Location};
use crate::job::{JobError, JobSpec};
use crate::objects::Owner;
use crate::query::sql::{
    CommitMode, DecimalEncoding, DeltaSinkOptions, FilesystemSinkOptions, KafkaSinkOptions,
    ParquetCompression, StoreOptions, TimestampFormat,
};
use crate::query::{Output, SinkOptions};
use crate::sink::kafka::{self, TopicAddress, TopicOptions};
use crate::sink::outbox::Outbox;
use crate::sink::{
    Compression, ConsoleSink, DeltaOptions, DeltaSink, LOG_CHECKPOINT_EVERY, ObjectsSink,
    ParquetOptions, ParquetSink, PrintFormat, Sink, SinkError, TableObjects,
};

/// For how long a sink that is away is tried when a job starts.
const REACH_LIMIT: Duration = Duration::from_secs(30);
/// Between two attempts.
const REACH_PAUSE: Duration = Duration::from_millis(500);
/// How often the stop flag is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Opens every output's sink, and finishes or undoes what an earlier run left. `None`: the job was told to
/// stop before all were there.
pub fn open_sinks(
    spec: &JobSpec,
    checkpoint: Option<&Checkpoint>,
    owner: Option<Owner>,
) -> Result<Option<Vec<Sink>>, JobError> {
    let outputs = spec.plan.outputs.iter();
    let previews = outputs.clone().filter(|output| output.sink.is_preview());
    let previews = previews.count();
    let committed = checkpoint.map_or(&[][..], |checkpoint| &checkpoint.files);
    let sinks = outputs.map(|output| {
        patiently(spec, &mut || {
            let mut sink = open_sink(spec, output, checkpoint, owner, previews)?;
            sink.recover(committed)?;
            Ok(sink)
        })
    });
    sinks.collect()
}

fn open_sink(
    spec: &JobSpec,
    output: &Output,
    checkpoint: Option<&Checkpoint>,
    owner: Option<Owner>,
    previews: usize,
) -> Result<Sink, JobError> {
    let print = |format| ConsoleSink::new(spec.console.clone(), format, Arc::clone(&output.schema));
    Ok(match &output.sink {
        SinkOptions::Filesystem(options) => match &options.store {
            None => Sink::Parquet(Box::new(open_files(spec, output, options, checkpoint)?)),
            Some(store) => {
                let store = Storing { store, owner };
                let sink = open_objects(spec, output, options, checkpoint, store)?;
                Sink::Objects(Box::new(sink))
            }
        },
        SinkOptions::Postgres(options) => {
            Sink::Outbox(Box::new(postgres::open(spec, output, options, checkpoint)?))
        }
        SinkOptions::Delta(options) => {
            Sink::Delta(Box::new(open_delta(spec, output, options, checkpoint)?))
        }
        SinkOptions::Kafka(options) => Sink::Outbox(Box::new(open_topic(spec, output, options)?)),
        SinkOptions::Stdout(options) => Sink::Console(print(PrintFormat::Json {
            unix_millis: options.timestamps == TimestampFormat::UnixMillis,
            decimals_as_text: options.decimals == DecimalEncoding::String,
        })?),
        SinkOptions::Preview { line } => {
            let heading = (previews > 1).then(|| format!("-- query at line {line}"));
            Sink::Console(print(PrintFormat::Table { heading })?)
        }
    })
}

/// Tries again while what rows go to is away, for half a minute: a wrong address must not hang. `None`: the
/// job was told to stop.
pub fn patiently<T>(
    spec: &JobSpec,
    open: &mut dyn FnMut() -> Result<T, JobError>,
) -> Result<Option<T>, JobError> {
    let begun = spec.clock.steady();
    let mut is_said = false;
    loop {
        match open() {
            Err(JobError::Away { why, .. }) if spec.clock.since(begun) < REACH_LIMIT => {
                if !is_said {
                    tracing::warn!("{why}; it is tried again for {REACH_LIMIT:.0?}");
                    is_said = true;
                }
            }
            opened => return opened.map(Some),
        }
        let pause = spec.clock.steady() + REACH_PAUSE;
        while spec.clock.steady() < pause {
            if spec.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            spec.clock.pause(LOOK_EVERY);
        }
    }
}

fn open_files(
    spec: &JobSpec,
    output: &Output,
    sink: &FilesystemSinkOptions,
    checkpoint: Option<&Checkpoint>,
) -> Result<ParquetSink, JobError> {
    let options = files(spec, output, sink);
    if checkpoint.is_some_and(|checkpoint| checkpoint.emitted.contains_key(&output.table)) {
        ParquetSink::check_there(&sink.path)?;
    }
    let opened = ParquetSink::open(options, Arc::clone(&output.schema))?;
    if checkpoint.is_none() && opened.has_published()? {
        return Err(unknown_files(
            spec,
            sink,
            &format!(", or add --rebuild: {REBUILD_DOES}"),
        ));
    }
    Ok(opened)
}

/// An object store, and whose turn it is there.
struct Storing<'a> {
    store: &'a StoreOptions,
    /// See [`TableObjects::owner`].
    owner: Option<Owner>,
}

fn open_objects(
    spec: &JobSpec,
    output: &Output,
    sink: &FilesystemSinkOptions,
    checkpoint: Option<&Checkpoint>,
    Storing { store, owner }: Storing<'_>,
) -> Result<ObjectsSink, JobError> {
    let objects = spec.stores.open(&store.address, &store.options);
    let table = TableObjects {
        objects: objects.map_err(SinkError::from)?,
        address: store.address.clone(),
        owner,
        is_first: checkpoint.is_none(),
    };
    let options = files(spec, output, sink);
    let opened = ObjectsSink::open(options, table, Arc::clone(&output.schema))?;
    if checkpoint.is_none() && opened.has_published()? {
        return Err(unknown_files(spec, sink, ""));
    }
    Ok(opened)
}

/// Files that no checkpoint knows of.
fn unknown_files(spec: &JobSpec, sink: &FilesystemSinkOptions, or: &str) -> JobError {
    JobError::Mismatch(format!(
        "{} holds Parquet files, but {} holds no checkpoint that knows of them; give the table another path (CANDLES_PATH), or the job the checkpoint location that it had{or}",
        sink.path.display(),
        checkpoint_dir(spec)
    ))
}

fn open_delta(
    spec: &JobSpec,
    output: &Output,
    sink: &DeltaSinkOptions,
    checkpoint: Option<&Checkpoint>,
) -> Result<DeltaSink, JobError> {
    let options = DeltaOptions {
        files: files(spec, output, &sink.files),
        committed: checkpoint.map(|checkpoint| checkpoint.epoch),
        log_checkpoint_every: LOG_CHECKPOINT_EVERY,
    };
    if checkpoint.is_some_and(|checkpoint| checkpoint.emitted.contains_key(&output.table)) {
        DeltaSink::check_there(&sink.files.path)?;
    }
    Ok(DeltaSink::open(options, Arc::clone(&output.schema))?)
}

/// How a table's files are written.
fn files(spec: &JobSpec, output: &Output, sink: &FilesystemSinkOptions) -> ParquetOptions {
    ParquetOptions {
        table: output.table.clone(),
        job: spec.name.clone(),
        path: sink.path.clone(),
        time_pattern: sink.time_pattern.clone(),
        partition_columns: sink
            .partition_names()
            .into_iter()
            .filter_map(|name| output.schema.index_of(name).ok())
            .collect(),
        file_bytes: sink.rolling_bytes,
        compression: compression(sink.compression.unwrap_or_default()),
        row_group_bytes: sink.row_group_bytes,
        filename_prefix: sink.filename_prefix.clone(),
        sort_columns: output.sort_columns.clone(),
        disk: spec.disk.clone(),
    }
}

fn open_topic(
    spec: &JobSpec,
    output: &Output,
    sink: &KafkaSinkOptions,
) -> Result<Outbox, JobError> {
    let column = |name: Option<&str>| output.schema.index_of(name?).ok();
    let options = TopicOptions {
        table: output.table.clone(),
        to: TopicAddress {
            topic: sink.topic.clone(),
            kafka: sink.kafka.clone(),
        },
        job: spec.name.clone(),
        stage: outbox_dir(spec, &output.table)?,
        exactly_once: sink.commit_mode == CommitMode::ExactlyOnce,
        key: column(sink.key()),
        time: column(sink.time()),
        unix_millis: sink.timestamps == TimestampFormat::UnixMillis,
        decimals_as_text: sink.decimals == DecimalEncoding::String,
        sort_columns: output.sort_columns.clone(),
        // Without windows rows stay in the order in which they were read.
        time_first: output.pipeline.windows().is_some(),
        disk: spec.disk.clone(),
    };
    Ok(kafka::rows(&options, &output.schema)?)
}

/// Where a table's rows wait that are sent: beside the checkpoint, in a folder of the table's name, whatever
/// characters that has.
pub(super) fn outbox_dir(spec: &JobSpec, table: &str) -> Result<PathBuf, JobError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let folder: String = table
        .bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect();
    let dir = spec.checkpoint_dir.as_ref().and_then(Location::folder);
    let dir = dir.map(|dir| dir.join("outbox").join(folder));
    dir.ok_or_else(|| {
        let why = format!("table {table}: the job has no checkpoint in a folder");
        JobError::Usage(why)
    })
}

fn compression(named: ParquetCompression) -> Compression {
    use ParquetCompression::*;
    match named {
        Uncompressed => Compression::Uncompressed,
        Snappy => Compression::Snappy,
        Gzip => Compression::Gzip,
        Zstd => Compression::Zstd,
        Lz4 => Compression::Lz4,
    }
}
