//! Where an outbox's files wait until they are sent: beside the checkpoint, so that whoever has the one has the
//! other.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::SinkError;
use super::place::{entries, inside, not_writable, sync_dir};
use crate::disk::{Disk, DiskFile};

/// Takes the bytes of a file that is being staged, piece by piece.
pub type Put<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), SinkError>;

/// A place for staged files, each under a name without folders.
#[derive(Debug)]
pub enum Staging {
    /// A folder of the local disk.
    Folder {
        /// It.
        dir: PathBuf,
        /// The way to it.
        disk: Disk,
    },
}

impl Staging {
    /// A folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`SinkError::NotWritable`].
    pub fn folder(dir: &Path, disk: &Disk) -> Result<Staging, SinkError> {
        disk.create_dirs(dir)
            .map_err(|error| not_writable("create directory", dir, &error))?;
        Ok(Staging::Folder {
            dir: dir.to_path_buf(),
            disk: disk.clone(),
        })
    }

    /// Writes a file: what `fill` puts. Its bytes are durable on return, its name after [`Staging::sync`].
    /// Returns its size in bytes.
    ///
    /// # Errors
    /// `fill`'s, and [`SinkError::NotWritable`]; no half file stays then, if it can be helped.
    pub fn write(
        &self,
        name: &str,
        fill: &mut dyn FnMut(Put<'_>) -> Result<(), SinkError>,
    ) -> Result<u64, SinkError> {
        let Staging::Folder { dir, disk } = self;
        let path = inside(dir, name)?;
        let failed = |error: io::Error| not_writable("write", &path, &error);
        let write = || {
            let mut file = BufWriter::new(disk.create(&path).map_err(failed)?);
            let mut bytes = 0;
            fill(&mut |piece| {
                bytes += piece.len() as u64;
                file.write_all(piece).map_err(failed)
            })?;
            let file = file.into_inner();
            let file: DiskFile = file.map_err(|error| failed(error.into_error()))?;
            file.sync().map_err(failed)?;
            Ok(bytes)
        };
        let mut write = write;
        write().inspect_err(|_| {
            // Best effort: on a full disk the half file is in the way, and a restart removes it too.
            let _ = disk.remove_file(&path);
        })
    }

    /// A file, from its beginning; `None`: there is none of that name.
    ///
    /// # Errors
    /// [`SinkError::NotWritable`]; [`SinkError::Foreign`] for a name that leads elsewhere.
    pub fn open(&self, name: &str) -> Result<Option<Box<dyn BufRead>>, SinkError> {
        let Staging::Folder { dir, .. } = self;
        let path = inside(dir, name)?;
        match File::open(&path) {
            Ok(file) => Ok(Some(Box::new(BufReader::with_capacity(1 << 16, file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(not_writable("read", &path, &error)),
        }
    }

    /// Removes a file; one that is already gone is fine.
    ///
    /// # Errors
    /// As [`Staging::open`].
    pub fn remove(&self, name: &str) -> Result<(), SinkError> {
        let Staging::Folder { dir, disk } = self;
        let path = inside(dir, name)?;
        let removed = disk.remove_file(&path);
        removed.map_err(|error| not_writable("remove", &path, &error))
    }

    /// The files that are there.
    ///
    /// # Errors
    /// [`SinkError::NotWritable`].
    pub fn names(&self) -> Result<Vec<String>, SinkError> {
        let Staging::Folder { dir, .. } = self;
        let paths = entries(dir)?;
        let name = |path: &PathBuf| path.file_name()?.to_str().map(str::to_owned);
        Ok(paths.iter().filter_map(name).collect())
    }

    /// Makes durable which files are there and which are gone.
    ///
    /// # Errors
    /// [`SinkError::NotWritable`].
    pub fn sync(&self) -> Result<(), SinkError> {
        let Staging::Folder { dir, disk } = self;
        sync_dir(disk, dir)
    }

    /// A file's place, for people.
    pub fn shown(&self, name: &str) -> String {
        let Staging::Folder { dir, .. } = self;
        dir.join(name).display().to_string()
    }
}
