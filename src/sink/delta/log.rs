//! A Delta table's log: its newest state, and one commit of an epoch's files with the epoch itself, so that
//! whoever reads the log knows whether the epoch is in the table.

use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::expressions::ColumnName;
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::transaction::{CommitResult, Transaction, UpdateTableOperation};
use delta_kernel::{Engine, KernelError, KernelResult, Snapshot};
use delta_kernel_default_engine::executor::tokio::TokioMultiThreadExecutor;
use delta_kernel_default_engine::{DefaultEngine, DefaultEngineBuilder};
use object_store::ObjectStore;
use url::Url;

use super::super::place::not_writable;
use super::SinkError;
use crate::model::Epoch;
use crate::runtime::Runtime;

/// The folder of a table's log.
pub(super) const LOG: &str = "_delta_log";
/// Who wrote a commit, for whoever reads the table's history.
pub(super) const ENGINE: &str = concat!("StockPulse/", env!("CARGO_PKG_VERSION"));
/// Digits that the name of a version's file begins with.
const VERSION_DIGITS: usize = 20;

/// How a commit ended.
pub(super) enum Ended {
    /// It is the table's newest version; so many commits came since the last checkpoint of the log.
    Committed {
        snapshot: Option<SnapshotRef>,
        since_checkpoint: u64,
    },
    /// Another writer has made that version.
    Conflict,
}

/// The way to a table's log.
#[derive(Debug)]
pub(super) struct Log {
    engine: DefaultEngine<TokioMultiThreadExecutor>,
    /// The table's folder; it ends with `/`.
    url: Url,
    /// The same, for messages.
    dir: PathBuf,
    /// What its commits of epochs are known by.
    app: String,
}

impl Log {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        runtime: &Runtime,
        dir: &Path,
        app: String,
    ) -> Result<Log, SinkError> {
        let url = Url::from_directory_path(dir).map_err(|()| {
            let why = "cannot be written as a URL, as Delta's readers need it";
            SinkError::Options(format!("{} {why}", dir.display()))
        })?;
        let executor = TokioMultiThreadExecutor::new(runtime.handle().clone());
        let engine = DefaultEngineBuilder::new(store).with_task_executor(Arc::new(executor));
        Ok(Log {
            engine: engine.build(),
            url,
            dir: dir.to_path_buf(),
            app,
        })
    }

    /// The id that this job's commits carry.
    pub(super) fn app(&self) -> &str {
        &self.app
    }

    /// The table's folder as a URL; it ends with `/`.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    fn in_log(&self, name: &str) -> KernelResult<Url> {
        Ok(self.url.join(&format!("{LOG}/{name}"))?)
    }

    fn has_versions(&self) -> KernelResult<bool> {
        let folder = self.in_log("")?;
        let mut names = match self.engine.storage_handler().list_from(&folder) {
            Err(KernelError::FileNotFound(_)) => return Ok(false),
            names => names?,
        };
        let is_version = |file: &Url| {
            let name = file.path_segments().and_then(|mut parts| parts.next_back());
            let digits = name.and_then(|name| name.get(..VERSION_DIGITS));
            digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        names.try_fold(false, |found, file| match file {
            Err(KernelError::FileNotFound(_)) => Ok(found),
            file => Ok(found || is_version(&file?.location)),
        })
    }

    /// The table as it stands; `None`: there is none.
    pub(super) fn newest(&self) -> Result<Option<SnapshotRef>, SinkError> {
        let found = self.has_versions().and_then(|found| match found {
            true => Snapshot::builder_for(self.url.as_str())
                .build(&self.engine)
                .map(Some),
            false => Ok(None),
        });
        found.map_err(|error| self.failed("read the log of", &error))
    }

    /// The table as it stands, when it stood so; `None`: its newest version of then is gone, and with it the table.
    pub(super) fn newer(&self, than: &SnapshotRef) -> Result<Option<SnapshotRef>, SinkError> {
        let newer = Snapshot::builder_from(Arc::clone(than)).build(&self.engine);
        let newer = newer.and_then(|newer| {
            let version = self.in_log(&format!("{:020}.json", newer.version()))?;
            match self.engine.storage_handler().head(&version) {
                Err(KernelError::FileNotFound(_)) => Ok(None),
                found => found.map(|_| Some(newer)),
            }
        });
        newer.map_err(|error| self.failed("read the log of", &error))
    }

    /// Writes the first version; that there is one already is fine.
    pub(super) fn create(&self, actions: &[u8]) -> Result<(), SinkError> {
        let first = self.in_log(&format!("{:020}.json", 0));
        let put = first.and_then(|first| {
            let handler = self.engine.storage_handler();
            handler.put(&first, actions.to_vec().into(), false)
        });
        match put {
            Err(KernelError::FileAlreadyExists(_)) => Ok(()),
            put => put.map_err(|error| self.failed("create the table", &error)),
        }
    }

    /// The last epoch that this job has committed to the table.
    pub(super) fn epoch(&self, at: &SnapshotRef) -> Result<Option<Epoch>, SinkError> {
        let version = at.get_app_id_version(&self.app, &self.engine);
        let version = version.map_err(|error| self.failed("read the log of", &error))?;
        version
            .map(|version| {
                u64::try_from(version).map(Epoch).map_err(|_| {
                    let place = self.dir.display();
                    let app = &self.app;
                    SinkError::Foreign(format!(
                        "{place}: the table says that {app:?} has committed {version}, which is no epoch: another program uses this name"
                    ))
                })
            })
            .transpose()
    }

    /// The files of a version, as the log names them.
    pub(super) fn files(&self, at: &SnapshotRef) -> Result<BTreeSet<String>, SinkError> {
        let files = || -> KernelResult<BTreeSet<String>> {
            let scan = Arc::clone(at).scan_builder().build()?;
            let mut found = BTreeSet::new();
            for piece in scan.scan_metadata(&self.engine)? {
                found = piece?.visit_scan_files(found, |found, file| {
                    found.insert(file.path);
                })?;
            }
            Ok(found)
        };
        files().map_err(|error| self.failed("read the log of", &error))
    }

    fn transaction(&self, at: &SnapshotRef) -> KernelResult<Transaction> {
        Arc::clone(at)
            .update_table(UpdateTableOperation::StreamingUpdate, ENGINE, true)
            .with_blind_append()
            .build(&self.engine, Box::new(FileSystemCommitter::new()))
    }

    /// Columns that the table wants statistics of; an error if Delta's crates cannot write to the table.
    pub(super) fn statistics(&self, at: &SnapshotRef) -> Result<Vec<ColumnName>, SinkError> {
        let transaction = self.transaction(at);
        let columns = transaction.map(|transaction| transaction.stats_columns());
        columns.map_err(|error| self.failed("write to", &error))
    }

    /// Appends an epoch's files as the version after `at`, all of them or none.
    pub(super) fn commit(
        &self,
        at: &SnapshotRef,
        epoch: Epoch,
        adds: &[RecordBatch],
    ) -> Result<Ended, SinkError> {
        let version = i64::try_from(epoch.0).unwrap_or(i64::MAX);
        let committed = self.transaction(at).and_then(|transaction| {
            let mut transaction = transaction.with_transaction_id(self.app.clone(), version);
            for add in adds {
                transaction.add_files(Box::new(ArrowEngineData::new(add.clone())));
            }
            match transaction.commit(&self.engine)? {
                CommitResult::Committed(committed) => Ok(Ended::Committed {
                    snapshot: committed.post_commit_snapshot().cloned(),
                    since_checkpoint: committed.post_commit_stats().commits_since_checkpoint,
                }),
                CommitResult::Conflicted(_) => Ok(Ended::Conflict),
                CommitResult::Retryable(again) => Err(again.error),
            }
        });
        committed.map_err(|error| self.failed("commit to", &error))
    }

    /// Writes all that the log says until `at` into one file, so that readers need not read every commit.
    pub(super) fn write_checkpoint(&self, at: &SnapshotRef) -> Result<SnapshotRef, SinkError> {
        let written = at.checkpoint(&self.engine, None);
        let written = written.map(|(_, snapshot)| snapshot);
        written.map_err(|error| self.failed("write a checkpoint of the log of", &error))
    }

    /// What the disk says is the disk's matter; all else is the table's, which is not as we can use it.
    pub(super) fn failed(&self, doing: &str, error: &KernelError) -> SinkError {
        match io_error(error) {
            Some(io_error) => not_writable(doing, &self.dir, io_error),
            None => SinkError::Foreign(format!(
                "cannot {doing} {}, a Delta table: {error}",
                self.dir.display()
            )),
        }
    }
}

/// The error of the disk behind one of the log.
fn io_error(error: &KernelError) -> Option<&io::Error> {
    match error {
        KernelError::Backtraced { source, .. } => io_error(source),
        KernelError::IOError(error) => Some(error),
        KernelError::ObjectStore(error) => behind(error),
        KernelError::GenericError { source } => behind(source.as_ref()),
        other => behind(other),
    }
}

fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut error = Some(error);
    while let Some(at) = error {
        if let Some(found) = at.downcast_ref::<io::Error>() {
            return Some(found);
        }
        error = at.source();
    }
    None
}
