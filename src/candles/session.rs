//! SQL over a folder of candles, as datafusion-cli runs it.

use std::path::{Path, PathBuf};

use datafusion::prelude::SessionContext;

use super::CandlesError;

/// A session of DataFusion with one table, `candles`. It keeps the listing of the folder's files, as
/// datafusion-cli does.
pub struct Session {
    path: PathBuf,
    context: SessionContext,
}

impl Session {
    /// Creates the table over the files at and below `path`, a folder.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub async fn open(path: &Path) -> Result<Session, CandlesError> {
        let session = Session {
            path: path.to_path_buf(),
            context: SessionContext::new(),
        };
        let location = path.display().to_string().replace('\'', "''");
        let create =
            format!("CREATE EXTERNAL TABLE candles STORED AS PARQUET LOCATION '{location}/'");
        session.rows(&create).await?;
        Ok(session)
    }

    /// Runs a statement to its end: the number of its rows.
    ///
    /// # Errors
    /// What is wrong with it, and a file that cannot be read or was removed meanwhile.
    pub async fn rows(&self, statement: &str) -> Result<usize, CandlesError> {
        let rows = async { self.context.sql(statement).await?.collect().await };
        let rows = rows.await;
        let rows = rows.map_err(|error| CandlesError::reading(&self.path, &error))?;
        Ok(rows.iter().map(|batch| batch.num_rows()).sum())
    }
}
