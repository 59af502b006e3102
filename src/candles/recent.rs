//! The rows of folders with many small files, kept in memory: the day that the job writes to has a file a minute, and
//! each costs a query more than its rows do. Files never change, so only new ones are read.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use super::CandlesError;
use super::files;
use super::store::Store;

/// Folders with more files than this are kept.
pub(super) const FILES_MIN: usize = 16;
/// What is kept of one folder at the most; a larger one is read from its files each time.
const FOLDER_BYTES_MAX: usize = 96 << 20;
/// What is kept of all folders at the most; those that were not asked for longest are dropped.
const BYTES_MAX: usize = 256 << 20;
/// Batches of a folder, before they are put into one.
const BATCHES_MAX: usize = 32;

/// What is kept.
#[derive(Default)]
pub(super) struct Recent {
    folders: HashMap<PathBuf, Kept>,
    asked: u64,
}

#[derive(Default)]
struct Kept {
    files: BTreeSet<String>,
    batches: Vec<RecordBatch>,
    bytes: usize,
    is_too_large: bool,
    asked: u64,
}

impl Store {
    /// The rows of all of a folder's files; none if they are too many to be kept.
    pub(super) async fn kept(
        &self,
        folder: &Path,
        now: &BTreeSet<String>,
    ) -> Result<Option<Vec<RecordBatch>>, CandlesError> {
        // Held while files are read, so that many who ask at once read them once.
        let mut recent = self.recent.lock().await;
        recent.asked += 1;
        let asked = recent.asked;
        let kept = recent.folders.entry(folder.to_path_buf()).or_default();
        kept.asked = asked;
        let mut new = match files::new_files(&kept.files, now) {
            Some(new) => new,
            None => {
                *kept = Kept {
                    asked,
                    ..Kept::default()
                };
                now.iter().cloned().collect()
            }
        };
        if kept.is_too_large {
            return Ok(None);
        }
        if !new.is_empty() {
            let mut read = self.read(folder, &new).await?;
            if let (Some(old), Some(first)) = (kept.batches.first(), read.first())
                && old.schema() != first.schema()
            {
                // A column was added: all are read anew, under the columns of all.
                new = now.iter().cloned().collect();
                read = self.read(folder, &new).await?;
                kept.batches.clear();
            }
            kept.batches.extend(read);
            if kept.batches.len() > BATCHES_MAX {
                let schema = kept.batches[0].schema();
                let whole = concat_batches(&schema, &kept.batches).map_err(|error| {
                    CandlesError::Unreadable(format!("{}: {error}", folder.display()))
                })?;
                kept.batches = vec![whole];
            }
            kept.files.clone_from(now);
            kept.bytes = kept
                .batches
                .iter()
                .map(RecordBatch::get_array_memory_size)
                .sum();
            if kept.bytes > FOLDER_BYTES_MAX {
                kept.is_too_large = true;
                kept.batches = Vec::new();
                kept.bytes = 0;
                return Ok(None);
            }
        }
        let batches = kept.batches.clone();
        recent.drop_oldest();
        Ok(Some(batches))
    }

    async fn read(
        &self,
        folder: &Path,
        names: &[String],
    ) -> Result<Vec<RecordBatch>, CandlesError> {
        let files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
        let rows = self.rows_of_files(&files).await?;
        let schema = Arc::clone(rows.schema().inner());
        let batches = rows.collect().await.map_err(|error| self.failed(&error))?;
        // One batch, however many files: what is kept is looked through again and again.
        let whole = concat_batches(&schema, &batches);
        let whole = whole
            .map_err(|error| CandlesError::Unreadable(format!("{}: {error}", folder.display())))?;
        Ok(vec![whole])
    }
}

impl Recent {
    fn drop_oldest(&mut self) {
        let mut bytes: usize = self.folders.values().map(|kept| kept.bytes).sum();
        while bytes > BYTES_MAX {
            let oldest = (self.folders.iter())
                .min_by_key(|(_, kept)| kept.asked)
                .map(|(folder, _)| folder.clone());
            let dropped = oldest.and_then(|folder| self.folders.remove(&folder));
            bytes -= dropped.map_or(bytes, |kept| kept.bytes);
        }
    }
}
