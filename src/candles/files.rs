//! The files of a table's folder, by the folder they lie in: what is new since the last look.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use super::table::{Span, day_of_folder, is_parquet, is_partition_folder};

/// Partition folders in partition folders at the most.
const DEPTH_MAX: usize = 8;

/// File names by their folder. A folder without a file is none.
pub(super) type Listing = BTreeMap<PathBuf, BTreeSet<String>>;

/// The files of a table: those of its newest `days`, and whatever lies in no `date=` folder. An
/// absent table has none.
pub(super) fn list(root: &Path, days: usize) -> io::Result<Listing> {
    listed(root, |dated| {
        dated.sort();
        dated.drain(..dated.len().saturating_sub(days));
    })
}

/// The files of a table in the folders of a span, and whatever lies in no `date=` folder.
pub(super) fn list_span(root: &Path, span: Span) -> io::Result<Listing> {
    listed(root, |dated| dated.retain(|(day, _)| span.has(*day)))
}

fn listed(root: &Path, choose: impl FnOnce(&mut Vec<(NaiveDate, PathBuf)>)) -> io::Result<Listing> {
    let mut listing = Listing::new();
    match std::fs::symlink_metadata(root) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
        Err(error) => return Err(error),
    }
    let mut dated = Vec::new();
    for folder in look_into(root, &mut listing)? {
        match folder.file_name().and_then(day_of_folder) {
            Some(day) => dated.push((day, folder)),
            None => list_below(&folder, DEPTH_MAX, &mut listing)?,
        }
    }
    choose(&mut dated);
    for (_, folder) in &dated {
        list_below(folder, DEPTH_MAX, &mut listing)?;
    }
    Ok(listing)
}

fn list_below(folder: &Path, depth: usize, listing: &mut Listing) -> io::Result<()> {
    let inside = match look_into(folder, listing) {
        // Compaction exchanges folders, and a rebuild the whole table.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    match depth.checked_sub(1) {
        Some(depth) => (inside.iter()).try_for_each(|folder| list_below(folder, depth, listing)),
        None => Ok(()),
    }
}

/// Adds a folder's files to the listing; its partition folders are returned.
fn look_into(folder: &Path, listing: &mut Listing) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_partition_folder(&name) && entry.path().is_dir() {
            folders.push(entry.path());
        } else if is_parquet(&name) {
            files.extend(name.into_string());
        }
    }
    if !files.is_empty() {
        listing.insert(folder.to_path_buf(), files);
    }
    Ok(folders)
}

/// The files of a folder that were not there before; `None` if one that was there is gone.
pub(super) fn new_files(before: &BTreeSet<String>, now: &BTreeSet<String>) -> Option<Vec<String>> {
    if !before.is_subset(now) {
        return None;
    }
    Some(now.difference(before).cloned().collect())
}
