//! SQL over a folder of candles, as datafusion-cli runs it.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use datafusion::prelude::{SessionConfig, SessionContext};

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
        Session::with(path, SessionConfig::new()).await
    }

    /// As [`Session::open`], for plans of so many partitions, 1 and up.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn open_on(path: &Path, partitions: usize) -> Result<Session, CandlesError> {
        Session::with(
            path,
            SessionConfig::new().with_target_partitions(partitions),
        )
        .await
    }

    async fn with(path: &Path, config: SessionConfig) -> Result<Session, CandlesError> {
        let session = Session {
            path: path.to_path_buf(),
            context: SessionContext::new_with_config(config),
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
        let batches = self.batches(statement).await?;
        Ok(batches.iter().map(|batch| batch.num_rows()).sum())
    }

    /// Runs a statement to its end: its rows.
    ///
    /// # Errors
    /// As [`Session::rows`].
    pub async fn batches(&self, statement: &str) -> Result<Vec<RecordBatch>, CandlesError> {
        let rows = async { self.context.sql(statement).await?.collect().await };
        let rows = rows.await;
        rows.map_err(|error| CandlesError::reading(&self.path, &error))
    }
}
