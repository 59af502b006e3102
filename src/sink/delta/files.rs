//! A Delta table's data files: written at their final place, where no reader looks before the log names them, and
//! what the log says of each.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::array::{
    ArrayRef, Int64Array, MapBuilder, MapFieldNames, RecordBatch, StringArray, StringBuilder,
    StructArray,
};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use delta_kernel::engine::arrow_conversion::TryFromArrow;
use delta_kernel::expressions::ColumnName;
use delta_kernel::schema::StructType;
use delta_kernel::{KernelError, KernelResult};
use delta_kernel_default_engine::stats::FileStatsAccumulator;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use url::Url;

use super::super::file::{FileFormat, Instants};
use super::super::layout::{self, OwnFile};
use super::super::partition::Partitioning;
use super::super::place::{entries, inside, not_writable, not_written, sync_dir};
use super::{ParquetOptions, SinkError, SinkRows};
use crate::checkpoint::FileEntry;
use crate::disk::{Disk, parent_of};
use crate::model::Epoch;

/// Writes a table's files.
#[derive(Debug)]
pub(super) struct Files {
    table: String,
    dir: PathBuf,
    disk: Disk,
    /// What the names of this job's files begin with, and those of no other.
    stem: String,
    partitioning: Partitioning,
    partition_names: Vec<String>,
    format: FileFormat,
    /// The columns of the files, and those of them that the log has statistics of.
    schema: StructType,
    statistics: Vec<ColumnName>,
    /// Statistics of files that this process has staged.
    known: HashMap<String, StructArray>,
}

impl Files {
    /// `app` tells this job's files from those of another whose name is nearly the same.
    pub(super) fn new(
        options: &ParquetOptions,
        declared: &SchemaRef,
        dir: &Path,
        app: &str,
    ) -> Result<Files, SinkError> {
        let partitioning = Partitioning::new(options, declared)?;
        let format = FileFormat::new(
            options,
            declared,
            partitioning.in_files(),
            Instants::MicrosUtc,
        );
        let schema = StructType::try_from_arrow(format.schema().as_ref());
        let stem = layout::file_stem(options.filename_prefix.as_deref(), &options.job);
        let names = options.partition_columns.iter();
        Ok(Files {
            table: options.table.clone(),
            dir: dir.to_path_buf(),
            disk: options.disk.clone(),
            stem: format!("{stem}-{:08x}", crc32fast::hash(app.as_bytes())),
            partition_names: names
                .map(|&column| declared.field(column).name().clone())
                .collect(),
            partitioning,
            schema: schema.map_err(|error| SinkError::Options(error.to_string()))?,
            format,
            statistics: Vec::new(),
            known: HashMap::new(),
        })
    }

    /// Columns that are directories.
    pub(super) fn partition_names(&self) -> &[String] {
        &self.partition_names
    }

    /// From now on the log has statistics of these columns.
    pub(super) fn have_statistics(&mut self, of: Vec<ColumnName>) {
        self.statistics = of;
    }

    /// As [`Sink::stage`](crate::sink::Sink::stage).
    pub(super) fn stage(
        &mut self,
        epoch: Epoch,
        rows: Vec<SinkRows>,
    ) -> Result<Vec<FileEntry>, SinkError> {
        let mut staged: Vec<FileEntry> = Vec::new();
        self.known.clear();
        for (dir, rows) in self.partitioning.by_directory(rows)? {
            let folder = self.dir.join(&dir);
            (self.disk)
                .create_dirs(&folder)
                .map_err(|error| not_writable("create directory", &folder, &error))?;
            let mut rows = self.format.sorted(&rows);
            while rows.num_rows() > 0 {
                let name = layout::file_name(&self.stem, epoch, staged.len());
                let path = folder.join(&name);
                let written = self
                    .format
                    .write(&self.disk, &path, &rows)
                    .map_err(|error| {
                        // Best effort: on a full disk the half file is in the way, and a restart removes it too.
                        let _ = self.disk.remove_file(&path);
                        not_written(&path, &error)
                    })?;
                let mut statistics = FileStatsAccumulator::new(&self.statistics, &self.schema);
                let of_file = rows.slice(0, written.rows);
                let statistics = statistics
                    .merge(&of_file)
                    .and_then(|()| statistics.finish())
                    .map_err(|error| no_statistics(&path, &error))?;
                rows = rows.slice(written.rows, rows.num_rows() - written.rows);
                let place = layout::place_of(&dir, &name);
                if let Some(statistics) = statistics {
                    self.known.insert(place.clone(), statistics);
                }
                staged.push(FileEntry {
                    table: self.table.clone(),
                    staged: place.clone(),
                    published: place,
                    rows: written.rows as u64,
                    bytes: written.bytes,
                });
            }
            sync_dir(&self.disk, &folder)?;
        }
        Ok(staged)
    }

    /// The epoch that wrote a file.
    pub(super) fn epoch_of(&self, entry: &FileEntry) -> Result<Epoch, SinkError> {
        let name = entry.published.rsplit('/').next().unwrap_or_default();
        let own = layout::own_file(&self.stem, name);
        own.map(|file| file.epoch).ok_or_else(|| {
            SinkError::Foreign(format!(
                "the checkpoint names {:?} for table {}, which is no file of this job",
                entry.published, self.table
            ))
        })
    }

    /// What the log is to say of a file that is in no version yet.
    pub(super) fn add(&self, entry: &FileEntry, table: &Url) -> Result<RecordBatch, SinkError> {
        let path = inside(&self.dir, &entry.published)?;
        let modified_ms = self.check(entry, &path)?;
        let statistics = match self.known.get(&entry.published) {
            Some(statistics) => statistics.clone(),
            None => self.read(&path)?,
        };
        let (dir, _) = entry.published.rsplit_once('/').unwrap_or(("", ""));
        let values = self.partitioning.values(dir).ok_or_else(|| {
            SinkError::Foreign(format!(
                "the checkpoint names {:?}, which is in no partition directory of table {}",
                entry.published, self.table
            ))
        })?;
        let values: Vec<_> = self.partition_names.iter().zip(values).collect();
        let bytes = i64::try_from(entry.bytes).unwrap_or(i64::MAX);
        let added = add(
            &in_log(&entry.published, table),
            &values,
            [bytes, modified_ms],
            statistics,
        );
        added.map_err(|error| no_statistics(&path, &KernelError::from(error)))
    }

    /// Refuses a file that is not the one that was committed; when it was written, milliseconds since 1970 UTC.
    fn check(&self, entry: &FileEntry, path: &Path) -> Result<i64, SinkError> {
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SinkError::Foreign(format!(
                    "{} was committed, is in no version of the table yet, and is gone: it was removed by hand, or by a VACUUM that ran while the job was stopped for longer than it keeps files. Put it back; or start over with another path and another checkpoint location, for which the rows are computed again from Kafka",
                    path.display()
                )));
            }
            metadata => metadata.map_err(|error| not_writable("look at", path, &error))?,
        };
        if metadata.len() != entry.bytes {
            return Err(SinkError::Foreign(format!(
                "{} has {} bytes, and the checkpoint says {}: it was changed or damaged. Put it back from a backup; or start over with another path and another checkpoint location",
                path.display(),
                metadata.len(),
                entry.bytes
            )));
        }
        let modified = metadata.modified().ok();
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0)))
    }

    /// Statistics of a file that an earlier process has staged.
    fn read(&self, path: &Path) -> Result<StructArray, SinkError> {
        let statistics = || -> KernelResult<Option<StructArray>> {
            let file = File::open(path)?;
            let rows = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
            let mut statistics = FileStatsAccumulator::new(&self.statistics, &self.schema);
            for rows in rows {
                statistics.merge(&rows?)?;
            }
            statistics.finish()
        };
        let found = statistics().map_err(|error| no_statistics(path, &error))?;
        found.ok_or_else(|| no_statistics(path, &KernelError::missing_data("rows")))
    }

    /// This job's files of epochs after `last`, which only one that was not committed can have staged.
    ///
    /// # Errors
    /// [`SinkError::Foreign`] for a file of an epoch later than that: the checkpoint is older than the table.
    pub(super) fn uncommitted(&self, last: Option<Epoch>) -> Result<Vec<String>, SinkError> {
        let next = last.map_or(Epoch::FIRST, Epoch::next);
        let mut found = Vec::new();
        self.own_files(&self.dir, self.partition_names.len(), &mut found)?;
        let mut left = Vec::new();
        for (path, file) in found {
            if file.epoch < next {
                continue;
            }
            if file.epoch > next {
                return Err(SinkError::Foreign(format!(
                    "{} is of epoch {}, and the checkpoint ends before epoch {next}: it is older than the table, restored from a backup, or another one. Give the job the checkpoint location that it had; or the table another path",
                    path.display(),
                    file.epoch
                )));
            }
            let place = path.strip_prefix(&self.dir).ok().and_then(Path::to_str);
            left.extend(place.map(str::to_owned));
        }
        Ok(left)
    }

    /// Removes files that were staged and not committed. Those that are in the `table` all the same stay.
    ///
    /// # Errors
    /// [`SinkError::Foreign`] for such a file: the table has forgotten of which epoch it was.
    pub(super) fn remove(
        &self,
        places: &[String],
        table: &BTreeSet<String>,
        url: &Url,
    ) -> Result<(), SinkError> {
        let mut changed = BTreeSet::new();
        for place in places {
            let path = inside(&self.dir, place)?;
            if table.contains(&in_log(place, url)) {
                return Err(SinkError::Foreign(format!(
                    "{} is in the Delta table, and the checkpoint knows nothing of its epoch: it is another one than the table was written with. Give the job the checkpoint location that it had; or the table another path",
                    path.display()
                )));
            }
            (self.disk)
                .remove_file(&path)
                .map_err(|error| not_writable("remove staged file", &path, &error))?;
            changed.insert(parent_of(&path).to_path_buf());
        }
        changed.iter().try_for_each(|dir| sync_dir(&self.disk, dir))
    }

    /// This job's files so many folders below `dir`.
    fn own_files(
        &self,
        dir: &Path,
        depth: usize,
        found: &mut Vec<(PathBuf, OwnFile)>,
    ) -> Result<(), SinkError> {
        for path in entries(dir)? {
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.unwrap_or_default();
            if depth == 0 {
                let own = layout::own_file(&self.stem, name);
                found.extend(own.map(|own| (path, own)));
            } else if !name.starts_with(['_', '.']) && path.is_dir() {
                self.own_files(&path, depth - 1, found)?;
            }
        }
        Ok(())
    }
}

fn no_statistics(path: &Path, error: &KernelError) -> SinkError {
    SinkError::Foreign(format!(
        "what {} holds cannot be said in the table's log: {error}",
        path.display()
    ))
}

/// A file as the log names it: a relative URL.
fn in_log(place: &str, table: &Url) -> String {
    let mut url = table.clone();
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.pop_if_empty().extend(place.split('/'));
    }
    let relative = url.as_str().strip_prefix(table.as_str());
    // What stands before a colon would be taken for a scheme.
    relative.unwrap_or(place).replace(':', "%3A")
}

/// One row of what `Transaction::add_files` takes.
fn add(
    path: &str,
    values: &[(&String, Option<String>)],
    [bytes, modified_ms]: [i64; 2],
    statistics: StructArray,
) -> Result<RecordBatch, ArrowError> {
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for (name, value) in values {
        map.keys().append_value(name);
        map.values().append_option(value.as_deref());
    }
    map.append(true)?;
    let columns: [(&str, ArrayRef); 5] = [
        ("path", Arc::new(StringArray::from(vec![path]))),
        ("partitionValues", Arc::new(map.finish())),
        ("size", Arc::new(Int64Array::from(vec![bytes]))),
        (
            "modificationTime",
            Arc::new(Int64Array::from(vec![modified_ms])),
        ),
        ("stats", Arc::new(statistics)),
    ];
    RecordBatch::try_from_iter(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_in_the_log_by_a_relative_url() {
        let table = Url::parse("file:///data/a%20table/").unwrap();
        for (place, expected) in [
            ("ohlc-1.parquet", "ohlc-1.parquet"),
            ("date=2026-11-22/x.parquet", "date=2026-11-22/x.parquet"),
            ("s=BINANCE:BTC/x.parquet", "s=BINANCE%3ABTC/x.parquet"),
            ("s=a%7Eb c/x.parquet", "s=a%257Eb%20c/x.parquet"),
            ("s=ü/x.parquet", "s=%C3%BC/x.parquet"),
        ] {
            let named = in_log(place, &table);
            assert_eq!(named, expected);
            let found = table.join(&named).unwrap().to_file_path().unwrap();
            assert_eq!(found, Path::new("/data/a table").join(place));
        }
    }
}
