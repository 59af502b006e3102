//! A table's generations: a new one is computed in a folder beside the table and then takes its place in
//! one step, while readers go on reading; the one before is kept. Every step can be done twice.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;

use super::place::{
    check_same_file_system, directories, entries, lock, not_writable, not_written, sync_dir,
};
use super::{SinkError, layout, parquet as table_files};
use crate::checkpoint::{FileEntry, GenerationTable, SwapTable};
use crate::disk::{self, Disk};
use crate::model::Epoch;

/// A table that is to be computed again; no other job of its folder runs while this lives.
#[derive(Debug)]
pub struct Rebuilding {
    /// Its folders.
    pub folders: GenerationTable,
    /// Held, never read.
    _lock: File,
}

/// What the files of a table hold, by their footers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Survey {
    /// Files.
    pub files: usize,
    /// Rows.
    pub rows: u64,
    /// The earliest instant in any TIMESTAMP column, nanoseconds since 1970 UTC: of candles the first
    /// window's start. `None`: there is no such column, or no row.
    pub oldest: Option<i64>,
}

impl Rebuilding {
    /// Finds (makes) the table's folder, as a job's start does, and says where its new generation goes.
    ///
    /// # Errors
    /// [`SinkError::Foreign`] while another job writes the table; [`SinkError::NotWritable`].
    pub fn open(disk: &Disk, table: &str, path: &Path) -> Result<Rebuilding, SinkError> {
        let (dir, stage) = directories(disk, path)?;
        let rebuilt = layout::rebuilt_dir(&dir)
            .filter(|rebuilt| rebuilt.to_str().is_some())
            .ok_or_else(|| {
                let why =
                    "is not UTF-8, so that a rebuild cannot note it; give the table another path";
                SinkError::Options(format!("the name of {} {why}", dir.display()))
            })?;
        let lock = lock(disk, &dir, &stage)?;
        let folders = GenerationTable {
            table: table.to_owned(),
            dir,
            rebuilt,
        };
        Ok(Rebuilding {
            folders,
            _lock: lock,
        })
    }
}

/// Makes visible what an earlier run committed into `table` and could not publish.
///
/// # Errors
/// As [`ParquetSink::publish`](super::ParquetSink::publish).
pub fn publish_committed(disk: &Disk, table: &Path, files: &[&FileEntry]) -> Result<(), SinkError> {
    if files.is_empty() {
        return Ok(());
    }
    let (dir, stage) = directories(disk, table)?;
    table_files::publish(disk, &dir, &stage, files.iter().copied())
}

/// The highest epoch in the names of the files of `dir`, whichever job wrote them.
pub fn last_epoch(dir: &Path) -> Result<Option<Epoch>, SinkError> {
    let files = files(dir)?;
    let names = files.iter().filter_map(|file| file.file_name()?.to_str());
    Ok(names.filter_map(layout::epoch_of).max())
}

/// Whether `dir` is there and holds any file.
pub fn holds_files(dir: &Path) -> Result<bool, SinkError> {
    Ok(!files(dir)?.is_empty())
}

/// What the files of `dir` hold.
///
/// # Errors
/// [`SinkError::NotWritable`] for one that cannot be read.
pub fn survey(dir: &Path) -> Result<Survey, SinkError> {
    let mut survey = Survey::default();
    for path in parquet_files(dir)? {
        let file = File::open(&path).map_err(|error| not_writable("read", &path, &error))?;
        let reader = SerializedFileReader::new(file).map_err(|error| not_written(&path, &error))?;
        let metadata = reader.metadata();
        survey.files += 1;
        survey.rows += u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
        let oldest = [survey.oldest, oldest(metadata)];
        survey.oldest = oldest.into_iter().flatten().min();
    }
    Ok(survey)
}

fn oldest(metadata: &ParquetMetaData) -> Option<i64> {
    let columns = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns());
    columns.filter_map(first_instant).min()
}

fn first_instant(column: &ColumnChunkMetaData) -> Option<i64> {
    let Some(LogicalType::Timestamp(of)) = column.column_descr().logical_type_ref() else {
        return None;
    };
    let nanos = match of.unit {
        TimeUnit::MILLIS => 1_000_000,
        TimeUnit::MICROS => 1_000,
        TimeUnit::NANOS => 1,
    };
    match column.statistics()? {
        Statistics::Int64(values) => values.min_opt()?.checked_mul(nanos),
        _ => None,
    }
}

/// Makes the empty folder of a new generation.
///
/// # Errors
/// [`SinkError::Foreign`] where a folder stands that no rebuild knows of.
pub fn create(disk: &Disk, table: &GenerationTable) -> Result<(), SinkError> {
    let rebuilt = &table.rebuilt;
    if holds_files(rebuilt)? {
        return Err(SinkError::Foreign(format!(
            "{} holds files that no rebuild of this job knows of, perhaps candles of before; move it \
             away, or delete it",
            rebuilt.display()
        )));
    }
    disk.create_dirs(rebuilt)
        .map_err(|error| not_writable("create directory", rebuilt, &error))?;
    check_same_file_system(&table.dir, rebuilt)?;
    // Readers that could read the table can read what takes its place. Best effort: its owner may differ.
    if let Ok(metadata) = fs::metadata(&table.dir) {
        let _ = fs::set_permissions(rebuilt, metadata.permissions());
    }
    Ok(())
}

/// Removes a new generation that is not to be, and the folders around it.
pub fn remove(disk: &Disk, rebuilt: &Path) -> Result<(), SinkError> {
    disk.remove_dirs(rebuilt)
        .map_err(|error| not_writable("remove directory", rebuilt, &error))?;
    tidy_up(disk, rebuilt)
}

/// How the new generation of a table takes its place. `last` is the old one's last epoch.
pub fn plan(table: &GenerationTable, last: Epoch) -> Result<SwapTable, SinkError> {
    let missing =
        |path: &Path| not_writable("find directory", path, &io::ErrorKind::NotFound.into());
    let inode = inode(&table.rebuilt)?.ok_or_else(|| missing(&table.rebuilt))?;
    // A number that was used before: the checkpoint was removed since.
    let kept = (0..)
        .filter_map(|more| {
            let mut kept = layout::kept_dir(&table.dir, last)?.into_os_string();
            if more > 0 {
                kept.push(format!("-{more}"));
            }
            Some(PathBuf::from(kept))
        })
        .find(|kept| !kept.exists());
    Ok(SwapTable {
        table: table.table.clone(),
        dir: table.dir.clone(),
        rebuilt: table.rebuilt.clone(),
        kept: kept.ok_or_else(|| missing(&table.dir))?,
        inode,
    })
}

/// The new generation takes the table's place, the old one its. Idempotent.
///
/// # Errors
/// [`SinkError::Foreign`] when the folders are not those that the swap was planned for.
pub fn take_place(disk: &Disk, table: &SwapTable) -> Result<(), SinkError> {
    let SwapTable { dir, rebuilt, .. } = table;
    if inode(dir)? != Some(table.inode) {
        if inode(rebuilt)? != Some(table.inode) {
            return Err(SinkError::Foreign(format!(
                "a rebuild is half swapped in, and neither {} nor {} is its folder: they were moved or \
                 copied by hand. Move them back, or move both and the checkpoint away and start anew: the \
                 candles are computed again from Kafka",
                dir.display(),
                rebuilt.display()
            )));
        }
        let exchanged = inode(dir)?.is_some()
            && disk
                .exchange(dir, rebuilt)
                .map_err(|error| not_writable("swap in", rebuilt, &error))?;
        if !exchanged {
            move_in(disk, table)?;
        }
    }
    sync_dir(disk, disk::parent_of(dir))?;
    sync_parent(disk, rebuilt)
}

/// Where two folders cannot be exchanged: the old generation goes, then the new one comes.
fn move_in(disk: &Disk, table: &SwapTable) -> Result<(), SinkError> {
    let SwapTable { dir, rebuilt, .. } = table;
    if inode(dir)?.is_some() {
        tracing::warn!(
            table = %dir.display(),
            "this file system cannot exchange two folders: for a moment readers find no table"
        );
        keep(disk, dir, &table.kept)?;
    }
    disk.rename(rebuilt, dir)
        .map_err(|error| not_writable("swap in", rebuilt, &error))
}

fn keep(disk: &Disk, old: &Path, kept: &Path) -> Result<(), SinkError> {
    let parent = disk::parent_of(kept);
    disk.create_dirs(parent)
        .map_err(|error| not_writable("create directory", parent, &error))?;
    disk.rename(old, kept)
        .map_err(|error| not_writable("move to", kept, &error))?;
    sync_dir(disk, parent)
}

/// The old generation goes to where it is kept; one without a file is removed. Whether there is one.
/// Idempotent.
pub fn put_away(disk: &Disk, table: &SwapTable) -> Result<bool, SinkError> {
    let SwapTable { rebuilt, kept, .. } = table;
    if inode(rebuilt)?.is_some_and(|inode| inode != table.inode) {
        match holds_files(rebuilt)? {
            true => keep(disk, rebuilt, kept)?,
            false => disk
                .remove_dirs(rebuilt)
                .map_err(|error| not_writable("remove directory", rebuilt, &error))?,
        }
        sync_parent(disk, rebuilt)?;
    }
    tidy_up(disk, rebuilt)?;
    holds_files(kept)
}

/// Removes the staging folder of a generation, and what stands around it and is empty.
fn tidy_up(disk: &Disk, rebuilt: &Path) -> Result<(), SinkError> {
    if let Some(stage) = layout::staging_dir(rebuilt) {
        disk.remove_dirs(&stage)
            .map_err(|error| not_writable("remove directory", &stage, &error))?;
        disk.remove_empty_dir(disk::parent_of(&stage));
    }
    let around = disk::parent_of(rebuilt);
    disk.remove_empty_dir(around);
    sync_parent(disk, around)
}

/// A parent that is gone has nothing to be made durable.
fn sync_parent(disk: &Disk, path: &Path) -> Result<(), SinkError> {
    let parent = disk::parent_of(path);
    match parent.is_dir() {
        true => sync_dir(disk, parent),
        false => Ok(()),
    }
}

/// Every file below `dir`; none if it is not there.
fn files(dir: &Path) -> Result<Vec<PathBuf>, SinkError> {
    let mut files = Vec::new();
    let mut unread = vec![dir.to_path_buf()];
    unread.retain(|dir| dir.is_dir());
    while let Some(dir) = unread.pop() {
        for entry in entries(&dir)? {
            match entry.is_dir() {
                true => unread.push(entry),
                false => files.push(entry),
            }
        }
    }
    Ok(files)
}

/// The `*.parquet` at and below `dir`; none where it is not there.
pub(super) fn parquet_files(dir: &Path) -> Result<Vec<PathBuf>, SinkError> {
    let mut files = files(dir)?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "parquet"));
    Ok(files)
}

/// `None`: there is no such folder.
fn inode(dir: &Path) -> Result<Option<u64>, SinkError> {
    use std::os::unix::fs::MetadataExt;
    match fs::symlink_metadata(dir) {
        Ok(metadata) => Ok(Some(metadata.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(not_writable("look at", dir, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(folder: &Path) -> GenerationTable {
        GenerationTable {
            table: "ohlc".to_owned(),
            dir: folder.join("ohlc"),
            rebuilt: folder.join("_rebuild/ohlc"),
        }
    }

    fn write(dir: &Path, text: &str) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("file"), text).unwrap();
    }

    fn read(dir: &Path) -> String {
        fs::read_to_string(dir.join("file")).unwrap()
    }

    fn planned(folder: &Path) -> SwapTable {
        let table = table(folder);
        write(&table.dir, "old");
        create(&Disk::default(), &table).unwrap();
        write(&table.rebuilt, "new");
        plan(&table, Epoch(7)).unwrap()
    }

    #[test]
    fn two_folders_change_places_in_one_step() {
        let folder = tempfile::tempdir().unwrap();
        let swap = planned(folder.path());
        for _ in 0..2 {
            take_place(&Disk::default(), &swap).unwrap();
            assert_eq!(
                (read(&swap.dir), read(&swap.rebuilt)),
                ("new".into(), "old".into())
            );
        }
        for _ in 0..2 {
            assert!(put_away(&Disk::default(), &swap).unwrap());
            assert_eq!(
                (read(&swap.dir), read(&swap.kept)),
                ("new".into(), "old".into())
            );
        }
        assert_eq!(swap.kept, folder.path().join("_old/ohlc-7"));
        assert!(!folder.path().join("_rebuild").exists());
    }

    #[test]
    fn without_an_exchange_two_renames_do_it_and_each_can_be_the_last() {
        for stopped_between in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let swap = planned(folder.path());
            match stopped_between {
                false => move_in(&Disk::default(), &swap).unwrap(),
                true => keep(&Disk::default(), &swap.dir, &swap.kept).unwrap(),
            }
            take_place(&Disk::default(), &swap).unwrap();
            assert!(put_away(&Disk::default(), &swap).unwrap());
            assert_eq!(
                (read(&swap.dir), read(&swap.kept)),
                ("new".into(), "old".into())
            );
        }
    }

    #[test]
    fn folders_that_were_copied_are_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let swap = planned(folder.path());
        let copy = folder.path().join("copy");
        write(&copy, "new");
        fs::rename(&swap.rebuilt, folder.path().join("away")).unwrap();
        fs::rename(&copy, &swap.rebuilt).unwrap();
        let error = take_place(&Disk::default(), &swap).unwrap_err().to_string();
        assert!(error.contains("half swapped in"), "{error}");
        assert_eq!(read(&swap.dir), "old");
    }

    #[test]
    fn what_no_rebuild_knows_of_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let table = table(folder.path());
        write(&table.rebuilt, "precious");
        let error = create(&Disk::default(), &table).unwrap_err().to_string();
        assert!(error.contains("no rebuild of this job knows of"), "{error}");
        assert_eq!(read(&table.rebuilt), "precious");
    }

    #[test]
    fn an_old_generation_of_the_same_number_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("_old/ohlc-7"), "older");
        let swap = planned(folder.path());
        assert_eq!(swap.kept, folder.path().join("_old/ohlc-7-1"));
    }
}
