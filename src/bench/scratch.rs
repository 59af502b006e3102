//! A folder of the bench's own, for what the measured programs write.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::error::BenchError;

/// A folder that is removed with everything in it.
pub(super) struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// In `work_dir`, or where the system has such folders.
    pub(super) fn new(work_dir: Option<&Path>, keep: bool) -> Result<Scratch, BenchError> {
        let parent = work_dir.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let path = parent.join(format!("stockpulse-bench-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|e| {
            BenchError::Usage(format!(
                "{} cannot be made: {e}; see --work-dir",
                path.display()
            ))
        })?;
        Ok(Scratch { path, keep })
    }

    /// A folder of this name, empty.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, BenchError> {
        let path = self.path.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|e| BenchError::file("emptying", &path, e))?;
        }
        fs::create_dir_all(&path).map_err(|e| BenchError::file("making", &path, e))?;
        Ok(path)
    }

    /// A file of this name with this text.
    pub(super) fn file(&self, name: &str, text: &str) -> Result<PathBuf, BenchError> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(|e| BenchError::file("writing", &path, e))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        match self.keep {
            true => eprintln!("the last round is left in {}", self.path.display()),
            false => drop(fs::remove_dir_all(&self.path)),
        }
    }
}

/// A new file, open for writing.
pub(super) fn create(path: &Path) -> Result<File, BenchError> {
    File::create(path).map_err(|e| BenchError::file("making", path, e))
}
