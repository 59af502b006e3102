//! Rows → a Kafka topic, each once for whoever reads committed messages.
//!
//! *stage*: a file of JSON lines beside the checkpoint. *publish*: one transaction with a message for every
//! line and, as an offset of a consumer group of its own, a marker that names the file; then the file goes.
//! *recover*: a file that is still there was published if the marker names it, and is published otherwise.

mod client;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::compute::SortColumn;
use arrow::compute::{concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::Deserialize;

use self::client::Client;
use super::json_lines::JsonLines;
use super::place::{entries, inside, not_writable, sync_dir};
use super::{SinkError, SinkRows};
use crate::checkpoint::FileEntry;
use crate::config::kafka::KafkaProperties;
use crate::disk::Disk;
use crate::model::{Epoch, Partition};

/// Rows that are written down together: their text is in memory.
const PIECE_ROWS: usize = 64;
/// The column of raw bytes that are shown as text, too, where they are text.
const VALUE: &str = "value";
/// That text.
const VALUE_TEXT: &str = "value_text";
/// Staged files end in this.
const ENDING: &str = ".jsonl";

/// A topic, and how its brokers are reached.
#[derive(Debug, Clone)]
pub struct TopicAddress {
    /// The topic.
    pub topic: String,
    /// How Kafka is reached.
    pub kafka: KafkaProperties,
}

/// Where and how rows are sent.
#[derive(Debug)]
pub struct TopicOptions {
    /// What its files go by in the checkpoint.
    pub table: String,
    /// Where they go.
    pub to: TopicAddress,
    /// The job's name: its transactions and its marker carry it.
    pub job: String,
    /// Where files are staged.
    pub stage: PathBuf,
    /// Columns that an epoch's rows are sorted by, ascending, nulls first.
    pub sort_columns: Vec<usize>,
    /// The way to the disk.
    pub disk: Disk,
}

/// Sends rows to one topic. Rows have columns `partition` and `offset`, which are the messages' keys.
#[derive(Debug)]
pub struct TopicSink {
    table: String,
    topic: String,
    stage: PathBuf,
    sort_columns: Vec<usize>,
    schema: SchemaRef,
    lines: JsonLines,
    client: Client,
    disk: Disk,
}

/// What a line is keyed by.
#[derive(Deserialize)]
struct Keyed {
    partition: Partition,
    offset: i64,
}

impl TopicSink {
    /// Connects, ends what an earlier process of this job has begun, and shuts it out.
    ///
    /// # Errors
    /// [`SinkError::Away`] for a broker that does not answer, a topic that is not there and cannot be
    /// made, and a right that is missing; [`SinkError::Options`] for a property that librdkafka does not
    /// take; [`SinkError::NotWritable`] for the folder.
    pub fn open(options: TopicOptions, schema: SchemaRef) -> Result<TopicSink, SinkError> {
        let stage = &options.stage;
        (options.disk)
            .create_dirs(stage)
            .map_err(|error| not_writable("create directory", stage, &error))?;
        let text = Field::new(VALUE_TEXT, DataType::Utf8View, true);
        let fields = schema.fields().iter().map(|field| field.as_ref().clone());
        let with_text = Schema::new(fields.chain([text]).collect::<Vec<_>>());
        Ok(TopicSink {
            lines: JsonLines::new(Arc::new(with_text), false, false)?,
            client: Client::connect(&options.to, &options.job)?,
            table: options.table,
            topic: options.to.topic,
            stage: options.stage,
            sort_columns: options.sort_columns,
            schema,
            disk: options.disk,
        })
    }

    /// The table's name in the checkpoint.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// As [`Sink::place`](super::Sink::place).
    pub fn place(&self) -> String {
        format!("kafka topic {}", self.topic)
    }

    /// As [`Sink::recover`](super::Sink::recover).
    pub fn recover(&self, committed: &[FileEntry]) -> Result<(), SinkError> {
        for entry in self.own(committed) {
            let path = inside(&self.stage, &entry.staged)?;
            if path.exists() && self.client.marker()? == Some(marker(&path, entry)?) {
                self.remove(&path)?;
            }
        }
        self.publish(committed)?;
        for path in entries(&self.stage)? {
            if path.to_str().is_some_and(|path| path.ends_with(ENDING)) {
                self.remove(&path)?;
            }
        }
        sync_dir(&self.disk, &self.stage)
    }

    /// As [`Sink::stage`](super::Sink::stage).
    pub fn stage(
        &mut self,
        epoch: Epoch,
        rows: Vec<SinkRows>,
    ) -> Result<Vec<FileEntry>, SinkError> {
        let rows: Vec<RecordBatch> = rows.into_iter().map(|rows| rows.rows).collect();
        let rows = self
            .sorted(&rows)
            .map_err(|error| SinkError::Options(format!("rows cannot be sorted: {error}")))?;
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let staged = format!("{:010}{ENDING}", epoch.0);
        let path = self.stage.join(&staged);
        let bytes = self.write(&path, &rows).inspect_err(|_| {
            // Best effort: on a full disk the half file is in the way, and a restart removes it too.
            let _ = self.disk.remove_file(&path);
        })?;
        sync_dir(&self.disk, &self.stage)?;
        Ok(vec![FileEntry {
            table: self.table.clone(),
            staged,
            published: self.topic.clone(),
            rows: rows.num_rows() as u64,
            bytes,
        }])
    }

    /// Sends what is staged and was not sent. Entries of other tables are passed over.
    ///
    /// # Errors
    /// [`SinkError::Away`] when the broker stays away: the next start sends it.
    /// [`SinkError::Foreign`] when the staged file is not the one that was committed, or another process of
    /// this job has taken over. [`SinkError::NotWritable`] for a row that the topic does not take.
    pub fn publish(&self, files: &[FileEntry]) -> Result<(), SinkError> {
        for entry in self.own(files) {
            let path = inside(&self.stage, &entry.staged)?;
            // One that is gone was sent: it is removed after that.
            if path.exists() {
                let marker = marker(&path, entry)?;
                self.client
                    .transact(&marker, &mut |send| send_lines(&path, send))?;
                self.remove(&path)?;
                sync_dir(&self.disk, &self.stage)?;
            }
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), SinkError> {
        let removed = self.disk.remove_file(path);
        removed.map_err(|error| not_writable("remove", path, &error))
    }

    fn own<'a>(&self, files: &'a [FileEntry]) -> impl Iterator<Item = &'a FileEntry> {
        let own = |file: &&FileEntry| file.table == self.table && file.published == self.topic;
        files.iter().filter(own).collect::<Vec<_>>().into_iter()
    }

    /// The rows in one batch, in order; bytes that are views are not copied.
    fn sorted(&self, rows: &[RecordBatch]) -> Result<RecordBatch, arrow::error::ArrowError> {
        let rows = concat_batches(&self.schema, rows)?;
        let by = self.sort_columns.iter().map(|&column| SortColumn {
            values: Arc::clone(rows.column(column)),
            options: None,
        });
        let order = lexsort_to_indices(&by.collect::<Vec<_>>(), None)?;
        take_record_batch(&rows, &order)
    }

    fn write(&self, path: &Path, rows: &RecordBatch) -> Result<u64, SinkError> {
        let failed = |error: io::Error| not_writable("write", path, &error);
        let mut file = BufWriter::new(self.disk.create(path).map_err(failed)?);
        let mut bytes = 0;
        for from in (0..rows.num_rows()).step_by(PIECE_ROWS) {
            let piece = rows.slice(from, PIECE_ROWS.min(rows.num_rows() - from));
            let text = self.lines.columns(with_text(&piece))?;
            bytes += text.len() as u64;
            file.write_all(&text).map_err(failed)?;
        }
        let file = file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.sync().map_err(failed)?;
        Ok(bytes)
    }
}

/// The rows with their raw value as text beside it, where it is text.
fn with_text(rows: &RecordBatch) -> Vec<ArrayRef> {
    let mut columns = rows.columns().to_vec();
    let texts = rows.column_by_name(VALUE).map(|values| {
        let values = values.as_binary_view();
        let text = |value: Option<&[u8]>| std::str::from_utf8(value?).ok().map(str::to_owned);
        StringViewArray::from_iter(values.iter().map(text))
    });
    let none = || StringViewArray::new_null(rows.num_rows());
    columns.push(Arc::new(texts.unwrap_or_else(none)));
    columns
}

/// What names a staged file: whoever finds it in the group's offset knows that this very file was sent.
fn marker(path: &Path, entry: &FileEntry) -> Result<Marker, SinkError> {
    let failed = |error: io::Error| not_writable("read", path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut checksum = crc32fast::Hasher::new();
    let (mut bytes, mut piece) = (0, vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => break,
            read => {
                checksum.update(&piece[..read]);
                bytes += read as u64;
            }
        }
    }
    if bytes != entry.bytes {
        return Err(SinkError::Foreign(format!(
            "{} has {bytes} bytes, and the checkpoint says {}: it was changed or damaged. Put it back from a backup; or remove it, and the rows in it are in no topic",
            path.display(),
            entry.bytes
        )));
    }
    let epoch = entry
        .staged
        .strip_suffix(ENDING)
        .and_then(|epoch| epoch.parse().ok());
    Ok(Marker {
        epoch: epoch.unwrap_or(0),
        file: format!("{} {bytes} {:08x}", entry.staged, checksum.finalize()),
    })
}

/// What was sent last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Marker {
    epoch: i64,
    /// Name, size and checksum of the file.
    file: String,
}

type Send<'a> = &'a mut dyn FnMut(&str, &[u8]) -> Result<(), SinkError>;

fn send_lines(path: &Path, send: Send<'_>) -> Result<(), SinkError> {
    let failed = |error: io::Error| not_writable("read", path, &error);
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        let text = line.trim_ascii_end();
        let keyed: Keyed = serde_json::from_slice(text).map_err(|error| failed(error.into()))?;
        send(&format!("{}/{}", keyed.partition, keyed.offset), text)?;
        line.clear();
    }
    Ok(())
}
