//! Where `stockpulse read` writes to: standard output, or a file that appears whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Standard output or a file being written.
pub(super) enum Output {
    Stdout,
    /// Written beside its place and renamed into it at the end.
    New(NewFile),
    /// A device or a pipe (`/dev/null`), written in place: renaming would replace it.
    Special(File),
}

/// Removes what was written so far unless it was finished.
pub(super) struct NewFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    is_finished: bool,
}

impl Output {
    /// `None` is standard output. A file's folder must exist.
    pub(super) fn open(target: Option<&Path>) -> io::Result<Output> {
        let Some(target) = target else {
            return Ok(Output::Stdout);
        };
        match fs::metadata(target) {
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => {
                let file = OpenOptions::new().write(true).open(target)?;
                Ok(Output::Special(file))
            }
            // A link is followed, so that it stays one and its target is replaced.
            Ok(_) => NewFile::create(target.canonicalize()?).map(Output::New),
            Err(_) => NewFile::create(target.to_path_buf()).map(Output::New),
        }
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Output::Stdout => io::stdout().write_all(bytes),
            Output::New(new) => new.file.write_all(bytes),
            Output::Special(file) => file.write_all(bytes),
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Output::Stdout => io::stdout().flush(),
            Output::New(new) => new.finish(),
            Output::Special(_) => Ok(()),
        }
    }
}

impl NewFile {
    fn create(target: PathBuf) -> io::Result<NewFile> {
        let Some(name) = target.file_name() else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.tmp", std::process::id()));
        let temporary = target.with_file_name(hidden);
        Ok(NewFile {
            file: File::create(&temporary)?,
            temporary,
            target,
            is_finished: false,
        })
    }

    fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.target)?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_finished {
            // Nothing more can be done about it here, and the error that led here matters more.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
