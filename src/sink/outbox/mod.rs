//! Rows that are sent to where no file can be renamed into: a topic, a database.
//!
//! *stage*: files of rows, in the form that is sent, beside the checkpoint. *publish*: for each file one
//! transaction at the remote, with its rows and a *marker* that names the file; then the file goes.
//! *recover*: a file that is still there was sent if the marker names it, and is sent otherwise.
//!
//! Invariant: files are sent in the order of the checkpoint, and a file that was sent is gone before the next is
//! sent, so the last marker says enough. After a failed attempt, which may have been done all the same, the
//! marker is asked before the next.

mod rows;

use std::fmt;
use std::io::{self, BufRead};

use arrow::datatypes::SchemaRef;

use self::rows::in_order;
use super::staging::{Put, Staging};
use super::{SinkError, SinkRows};
use crate::checkpoint::FileEntry;
use crate::model::Epoch;

/// Rows that are written down together: their text is in memory.
const PIECE_ROWS: usize = 64;

/// Where rows are sent, and in which form.
pub trait Remote: Send + fmt::Debug {
    /// Writes rows to the end of `text`, in the form that [`send`](Remote::send) reads: the text of several calls one
    /// after the other is that of all their rows.
    ///
    /// # Errors
    /// [`SinkError::NotWritable`] for a row that the remote will not take: better now than after the commit.
    fn encode(&self, rows: &SinkRows, text: &mut Vec<u8>) -> Result<(), SinkError>;

    /// What the names of staged files end in: `.jsonl`. Other files in their place are left alone.
    fn ending(&self) -> &'static str;

    /// What was sent last, once nothing that was begun is open any more; `None`: nothing, or it is not known.
    /// `epoch` is the one that is to be sent. One attempt.
    ///
    /// # Errors
    /// [`SinkError::Away`]; [`SinkError::Foreign`] for a remote that is ahead of the checkpoint.
    fn marker(&mut self, epoch: Epoch) -> Result<Option<Marker>, SinkError>;

    /// Sends a staged file's rows and the marker, all or nothing. One attempt.
    ///
    /// # Errors
    /// [`SinkError::Away`], after which it may have been done all the same; others are final.
    fn send(&mut self, marker: &Marker, staged: &mut dyn BufRead) -> Result<(), SinkError>;

    /// Whether the marker lasts as long as the rows do, so that a staged file that is gone is known to have been
    /// sent, or known to be lost.
    fn remembers(&self) -> bool;
}

/// What names a staged file: whoever finds it at the remote knows that this very file was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The commit that names the file.
    pub epoch: Epoch,
    /// Name, size and checksum of the file.
    pub file: String,
}

/// What an outbox is made with.
#[derive(Debug)]
pub struct OutboxOptions {
    /// What its files go by in the checkpoint: the SQL's table.
    pub table: String,
    /// What the checkpoint says of where they go.
    pub published: String,
    /// Where they go, for people; without secrets.
    pub place: String,
    /// The connector, as the SQL names it.
    pub connector: &'static str,
    /// Where files wait.
    pub staging: Staging,
    /// The rows' columns.
    pub schema: SchemaRef,
    /// Columns that an epoch's rows are sorted by, ascending, nulls first; rows that are equal stay as they came.
    pub sort_columns: Vec<usize>,
    /// Whether they are sorted by their event time before that.
    pub time_first: bool,
    /// A file that has grown to this many bytes is closed, and the next one begun; `None`: one file an epoch.
    pub file_bytes_max: Option<u64>,
}

/// Sends a table's rows.
#[derive(Debug)]
pub struct Outbox {
    options: OutboxOptions,
    remote: Box<dyn Remote>,
    /// The staged file that an attempt was made to send, which may have been sent.
    tried: Option<String>,
}

impl Outbox {
    /// An outbox of files in `options.staging` for `remote`.
    pub fn new(options: OutboxOptions, remote: Box<dyn Remote>) -> Outbox {
        Outbox {
            options,
            remote,
            tried: None,
        }
    }

    /// What its files go by in the checkpoint.
    pub fn table(&self) -> &str {
        &self.options.table
    }

    /// As [`Sink::place`](super::Sink::place).
    pub fn place(&self) -> String {
        self.options.place.clone()
    }

    /// The connector, as the SQL names it.
    pub fn connector(&self) -> &'static str {
        self.options.connector
    }

    /// As [`Sink::recover`](super::Sink::recover). It may be tried again after [`SinkError::Away`].
    ///
    /// # Errors
    /// As [`Outbox::publish`].
    pub fn recover(&mut self, committed: &[FileEntry]) -> Result<(), SinkError> {
        // Of an earlier process every file may have been sent.
        for entry in committed {
            if self.is_own(entry) && self.staging().open(&entry.staged)?.is_some() {
                let marker = self.marker_of(entry)?;
                if self.remote.marker(marker.epoch)? == Some(marker) {
                    self.forget(entry)?;
                }
            }
        }
        self.publish(committed)?;
        let ending = self.remote.ending();
        for name in self.staging().names()? {
            if name.ends_with(ending) {
                self.staging().remove(&name)?;
            }
        }
        self.staging().sync()
    }

    /// As [`Sink::stage`](super::Sink::stage).
    ///
    /// # Errors
    /// [`SinkError::NotWritable`] for the disk and for rows that the remote will not take;
    /// [`SinkError::Options`] for columns that cannot be sorted by.
    pub fn stage(
        &mut self,
        epoch: Epoch,
        rows: Vec<SinkRows>,
    ) -> Result<Vec<FileEntry>, SinkError> {
        let OutboxOptions {
            schema,
            sort_columns,
            time_first,
            ..
        } = &self.options;
        let rows = in_order(schema, &rows, sort_columns, *time_first)
            .map_err(|error| SinkError::Options(format!("rows cannot be sorted: {error}")))?;
        let mut files = Vec::new();
        let mut staged_rows = 0;
        while staged_rows < rows.rows.num_rows() {
            let staged = self.file_name(epoch, files.len());
            let from = staged_rows;
            let bytes = self.staging().write(&staged, &mut |put| {
                staged_rows = self.fill(&rows, from, put)?;
                Ok(())
            })?;
            files.push(FileEntry {
                table: self.options.table.clone(),
                staged,
                published: self.options.published.clone(),
                rows: (staged_rows - from) as u64,
                bytes,
            });
        }
        if !files.is_empty() {
            self.staging().sync()?;
        }
        Ok(files)
    }

    /// Sends what is staged and was not sent. Entries of other tables are passed over. One attempt; it may be
    /// repeated.
    ///
    /// # Errors
    /// [`SinkError::Away`] when the remote does not answer: again, or the next start. [`SinkError::Foreign`] when
    /// the staged file is not the one that was committed, or another process of this job has taken over.
    /// [`SinkError::NotWritable`] for a row that the remote does not take.
    pub fn publish(&mut self, files: &[FileEntry]) -> Result<(), SinkError> {
        for entry in files {
            if self.is_own(entry) {
                self.send(entry)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, entry: &FileEntry) -> Result<(), SinkError> {
        let Some(mut staged) = self.staging().open(&entry.staged)? else {
            return self.check_sent(entry);
        };
        let marker = self.marker_of(entry)?;
        let was_tried = self.tried.as_ref() == Some(&entry.staged);
        if !was_tried || self.remote.marker(marker.epoch)?.as_ref() != Some(&marker) {
            self.tried = Some(entry.staged.clone());
            self.remote.send(&marker, &mut staged)?;
        }
        self.tried = None;
        self.forget(entry)
    }

    /// A staged file that is gone was sent: it is removed after that.
    fn check_sent(&mut self, entry: &FileEntry) -> Result<(), SinkError> {
        if !self.remote.remembers() {
            return Ok(());
        }
        let epoch = self.epoch_of(entry);
        match self.remote.marker(epoch)? {
            Some(marker) if marker.epoch >= epoch => Ok(()),
            _ => Err(SinkError::Foreign(format!(
                "{} rows of epoch {epoch} of table {} were committed, but {} has not got them, and the file they waited in is gone ({}): it was removed by hand, or the remote went back to an earlier state. Put the file back; or start over with another checkpoint location, for which the rows are computed again from Kafka",
                entry.rows,
                entry.table,
                self.options.place,
                self.staging().shown(&entry.staged)
            ))),
        }
    }

    /// The file has been sent.
    fn forget(&self, entry: &FileEntry) -> Result<(), SinkError> {
        self.staging().remove(&entry.staged)?;
        self.staging().sync()
    }

    /// Writes rows into a file until it is full; how many are written then.
    fn fill(&self, rows: &SinkRows, from: usize, put: Put<'_>) -> Result<usize, SinkError> {
        let (mut written, mut bytes) = (from, 0);
        let mut text = Vec::new();
        while written < rows.rows.num_rows() {
            let piece = PIECE_ROWS.min(rows.rows.num_rows() - written);
            text.clear();
            self.remote
                .encode(&rows::slice(rows, written, piece), &mut text)?;
            put(&text)?;
            written += piece;
            bytes += text.len() as u64;
            if self.options.file_bytes_max.is_some_and(|max| bytes >= max) {
                break;
            }
        }
        Ok(written)
    }

    fn staging(&self) -> &Staging {
        &self.options.staging
    }

    fn is_own(&self, file: &FileEntry) -> bool {
        file.table == self.options.table && file.published == self.options.published
    }

    fn file_name(&self, epoch: Epoch, ordinal: usize) -> String {
        let ending = self.remote.ending();
        match self.options.file_bytes_max {
            None => format!("{:010}{ending}", epoch.0),
            Some(_) => format!("{:010}-{ordinal:03}{ending}", epoch.0),
        }
    }

    fn epoch_of(&self, entry: &FileEntry) -> Epoch {
        let digits = entry.staged.split(|char: char| !char.is_ascii_digit());
        let epoch = digits.into_iter().next().and_then(|text| text.parse().ok());
        Epoch(epoch.unwrap_or(0))
    }

    fn marker_of(&self, entry: &FileEntry) -> Result<Marker, SinkError> {
        let shown = || self.staging().shown(&entry.staged);
        let mut checksum = crc32fast::Hasher::new();
        let mut bytes = 0;
        let mut file = self.staging().open(&entry.staged)?;
        while let Some(file) = &mut file {
            let piece = file
                .fill_buf()
                .map_err(|error| not_read(&shown(), &error))?;
            if piece.is_empty() {
                break;
            }
            checksum.update(piece);
            let read = piece.len();
            bytes += read as u64;
            file.consume(read);
        }
        if bytes != entry.bytes {
            return Err(SinkError::Foreign(format!(
                "{} has {bytes} bytes, and the checkpoint says {}: it was changed or damaged. Put it back from a backup; or remove it, and the rows in it are not in {}",
                shown(),
                entry.bytes,
                self.options.place
            )));
        }
        Ok(Marker {
            epoch: self.epoch_of(entry),
            file: format!("{} {bytes} {:08x}", entry.staged, checksum.finalize()),
        })
    }
}

/// A staged file that cannot be read.
pub(super) fn not_read(file: &str, error: &io::Error) -> SinkError {
    SinkError::NotWritable(format!(
        "cannot read {file}: {error}; {}",
        crate::disk::advice(error)
    ))
}
