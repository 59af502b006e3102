//! What reading candles fails with, in words that say which files and what to do.

use std::error::Error;
use std::path::Path;

use datafusion::common::DataFusionError;

/// What reading candles failed with.
#[derive(Debug, thiserror::Error)]
pub enum CandlesError {
    /// The folder is missing or holds no Parquet file.
    #[error("{0}")]
    NoFiles(String),
    /// A filter needs a column that the table does not have, or has with another type.
    #[error("{0}")]
    Filter(String),
    /// A file that was listed is gone: it was removed or replaced meanwhile.
    #[error("{0}")]
    Vanished(String),
    /// A file cannot be read, or the files do not go together.
    #[error("{0}")]
    Unreadable(String),
}

impl CandlesError {
    /// Sorts what DataFusion failed with while reading `path`.
    pub(super) fn reading(path: &Path, error: &DataFusionError) -> CandlesError {
        let path = path.display();
        match missing_file(error) {
            Some(file) => CandlesError::Vanished(format!(
                "reading {path}: /{file} was removed or replaced while it was read; run this again"
            )),
            None => CandlesError::Unreadable(format!(
                "reading {path}: {}",
                error.find_root().strip_backtrace()
            )),
        }
    }
}

fn missing_file(error: &DataFusionError) -> Option<&str> {
    let mut error: &(dyn Error + 'static) = error;
    loop {
        if let Some(object_store::Error::NotFound { path, .. }) = error.downcast_ref() {
            return Some(path);
        }
        error = error.source()?;
    }
}
