//! The sink of each output: opened, and what an earlier run left there finished or undone.

use std::sync::Arc;

use super::{REBUILD_DOES, checkpoint_dir, postgres};
use crate::checkpoint::Checkpoint;
use crate::job::{JobError, JobSpec};
use crate::query::sql::{
    DecimalEncoding, FilesystemSinkOptions, ParquetCompression, TimestampFormat,
};
use crate::query::{Output, SinkOptions};
use crate::sink::{Compression, ConsoleSink, ParquetOptions, ParquetSink, PrintFormat, Sink};

/// Opens every output's sink, and finishes or undoes what an earlier run left.
pub fn open_sinks(spec: &JobSpec, checkpoint: Option<&Checkpoint>) -> Result<Vec<Sink>, JobError> {
    let outputs = spec.plan.outputs.iter();
    let previews = outputs.clone().filter(|output| output.sink.is_preview());
    let previews = previews.count();
    let sinks = outputs.map(|output| {
        let print =
            |format| ConsoleSink::new(spec.console.clone(), format, Arc::clone(&output.schema));
        let mut sink = match &output.sink {
            SinkOptions::Filesystem(options) => {
                Sink::Parquet(Box::new(open_files(spec, output, options, checkpoint)?))
            }
            SinkOptions::Postgres(options) => {
                Sink::Outbox(Box::new(postgres::open(spec, output, options, checkpoint)?))
            }
            SinkOptions::Stdout(options) => Sink::Console(print(PrintFormat::Json {
                unix_millis: options.timestamps == TimestampFormat::UnixMillis,
                decimals_as_text: options.decimals == DecimalEncoding::String,
            })?),
            SinkOptions::Preview { line } => {
                let heading = (previews > 1).then(|| format!("-- query at line {line}"));
                Sink::Console(print(PrintFormat::Table { heading })?)
            }
        };
        sink.recover(checkpoint.map_or(&[], |checkpoint| &checkpoint.files))?;
        Ok(sink)
    });
    sinks.collect()
}

fn open_files(
    spec: &JobSpec,
    output: &Output,
    sink: &FilesystemSinkOptions,
    checkpoint: Option<&Checkpoint>,
) -> Result<ParquetSink, JobError> {
    let options = ParquetOptions {
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
    };
    if checkpoint.is_some_and(|checkpoint| checkpoint.emitted.contains_key(&output.table)) {
        ParquetSink::check_there(&sink.path)?;
    }
    let opened = ParquetSink::open(options, Arc::clone(&output.schema))?;
    if checkpoint.is_none() && opened.has_published()? {
        return Err(JobError::Mismatch(format!(
            "{} holds Parquet files, but {} holds no checkpoint that knows of them; give the table another path (CANDLES_PATH), or the job the checkpoint location that it had, or add --rebuild: {REBUILD_DOES}",
            sink.path.display(),
            checkpoint_dir(spec)
        )));
    }
    Ok(opened)
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
