//! Which partition directories can be compacted, judged by their names and by what stands in them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::Compactor;
use crate::model::{Epoch, NANOS_PER_SECOND, Watermark};
use crate::sink::SinkError;
use crate::sink::layout::{self, OwnFile, TimePattern};
use crate::sink::place::{entries, not_writable};

/// Nanoseconds of a day.
const DAY: i64 = 86_400 * NANOS_PER_SECOND;

/// What a folder must keep to, to be compacted.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The wall clock, nanoseconds since 1970 UTC. The current and the previous day are left alone.
    pub now: i64,
    /// The youngest file of the folder was published at least so long ago.
    pub grace: Duration,
    /// The end of the table's last window of which the rows are committed: no earlier day gets any more.
    /// `None`: its rows have no window.
    pub emitted: Option<Watermark>,
    /// Files that the newest checkpoint names, below the table's directory.
    pub named: BTreeSet<String>,
}

/// A partition directory that can be compacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Below the table's directory.
    pub(super) relative: String,
    /// In the order in which their rows came; at least two.
    pub(super) files: Vec<Held>,
}

/// A file as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    own: OwnFile,
    name: String,
    bytes: u64,
    inode: u64,
    /// Nanoseconds since 1970 UTC.
    modified: i64,
}

impl Folder {
    /// Its path below the table's directory.
    pub fn path(&self) -> &str {
        &self.relative
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.name.as_str())
    }

    /// The name of the file that its files become, or of one of those that they become.
    pub(super) fn merged_name(&self, stem: &str, ordinal: usize) -> String {
        let own = || self.files.iter().map(|file| file.own);
        let epoch = own().map(|own| own.epoch).max().unwrap_or(Epoch::FIRST);
        let times = own().map(|own| own.times).max().unwrap_or(0);
        layout::merged_name(stem, epoch, ordinal, times.saturating_add(1))
    }

    /// Whether any of its files is among these.
    pub(super) fn is_named(&self, named: &BTreeSet<String>) -> bool {
        self.names()
            .any(|name| named.contains(&format!("{}/{name}", self.relative)))
    }

    /// Whether it holds nothing but what one compaction has made of it, in files of the size they may have.
    fn is_compacted(&self) -> bool {
        let mut made = self
            .files
            .iter()
            .map(|file| (file.own.epoch, file.own.times));
        let first = made.next();
        first.is_some_and(|(_, times)| times > 0) && made.all(|other| Some(other) == first)
    }
}

impl Compactor {
    /// The folders that can be compacted now, the oldest names first.
    ///
    /// # Errors
    /// [`SinkError::NotWritable`]: the table cannot be listed.
    pub fn folders(&self, terms: &Terms) -> Result<Vec<Folder>, SinkError> {
        let Some(pattern) = &self.pattern else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let mut unread = vec![(String::new(), 0)];
        while let Some((relative, depth)) = unread.pop() {
            if depth == pattern.depth() && !is_over(pattern, &relative, terms) {
                continue;
            }
            if depth == pattern.depth() + self.columns.len() {
                found.extend(self.folder(relative, terms)?);
                continue;
            }
            let column = depth.checked_sub(pattern.depth());
            let prefix = column.map_or("", |column| self.columns[column].as_str());
            for path in entries(&self.dir.join(&relative))? {
                let name = path.file_name().and_then(|name| name.to_str());
                let Some(name) = name.filter(|name| name.starts_with(prefix)) else {
                    continue;
                };
                // What a link leads to is not ours.
                if path.is_dir() && !path.is_symlink() {
                    unread.push((layout::place_of(&relative, name), depth + 1));
                }
            }
        }
        found.sort_by(|a, b| a.relative.cmp(&b.relative));
        Ok(found)
    }

    fn folder(&self, relative: String, terms: &Terms) -> Result<Option<Folder>, SinkError> {
        let Some(files) = held(&self.dir.join(&relative), &self.stem)? else {
            return Ok(None);
        };
        let youngest = files.iter().map(|file| file.modified).max();
        let folder = Folder { relative, files };
        let is_due = folder.files.len() > 1
            && !folder.is_compacted()
            && !folder.is_named(&terms.named)
            && youngest.is_some_and(|youngest| terms.grace_is_over(youngest));
        Ok(is_due.then_some(folder))
    }
}

/// Whether the days of a directory are before yesterday, and nothing is written for them any more.
fn is_over(pattern: &TimePattern, dir: &str, terms: &Terms) -> bool {
    let Some(end) = pattern.end(dir) else {
        return false;
    };
    let yesterday = (terms.now.div_euclid(DAY)).saturating_sub(1);
    end <= yesterday.saturating_mul(DAY) && terms.emitted.is_none_or(|emitted| end <= emitted.0)
}

/// The files of a folder, if there is nothing in it but files of this job. `None` also: it is not there.
pub(super) fn held(dir: &Path, stem: &str) -> Result<Option<Vec<Held>>, SinkError> {
    let failed = |error: io::Error| not_writable("list", dir, &error);
    let listed = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        listed => listed.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in listed {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().into_string().ok();
        let own = name.and_then(|name| Some((layout::own_file(stem, &name)?, name)));
        let Some((own, name)) = own else {
            return Ok(None);
        };
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(failed)?,
        };
        if !metadata.is_file() {
            return Ok(None);
        }
        let seconds = metadata.mtime().saturating_mul(NANOS_PER_SECOND);
        files.push(Held {
            own,
            name,
            bytes: metadata.size(),
            inode: metadata.ino(),
            modified: seconds.saturating_add(metadata.mtime_nsec()),
        });
    }
    files.sort_by_key(|file| file.own);
    Ok(Some(files))
}
