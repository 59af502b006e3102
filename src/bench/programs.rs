//! The programs that are measured: the shipped stockpulse-ingest, and this one's bare consumer and queries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use arrow::array::{Array, Int64Array};
use tokio::runtime::Runtime;

use super::bare::Counted;
use super::error::BenchError;
use super::process::{Cost, succeed};
use super::scratch::create;
use super::stop::Stop;
use super::topic::Topic;
use crate::candles::{CandlesError, Session};
use crate::config::bench::{BrokerArgs, JobArgs, QueryArgs};

/// Lines of a failed program's log that are shown.
const LAST_LINES: usize = 10;

/// Where they are.
pub(super) struct Programs {
    /// This one.
    stockpulse: PathBuf,
    /// Its sibling.
    ingest: PathBuf,
}

/// A job to measure.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) sql: &'a Path,
    pub(super) broker: &'a str,
    pub(super) topic: &'a str,
    pub(super) args: &'a JobArgs,
    /// Where its checkpoint and its candles go.
    pub(super) folder: &'a Path,
}

impl Job<'_> {
    /// The folder of its first table.
    pub(super) fn table(&self) -> PathBuf {
        self.folder.join("candles")
    }
}

impl Programs {
    /// The running executable and its sibling `stockpulse-ingest`.
    pub(super) fn find() -> Result<Programs, BenchError> {
        let stockpulse = std::env::current_exe()
            .map_err(|e| BenchError::Failed(format!("this program's own path is unknown: {e}")))?;
        let name = format!("stockpulse-ingest{}", std::env::consts::EXE_SUFFIX);
        let ingest = stockpulse.with_file_name(name);
        if !ingest.is_file() {
            let (ingest, how) = (ingest.display(), "cargo build --release --bins");
            return Err(BenchError::Usage(format!(
                "{ingest} is missing: it is what the bench measures; `{how}` builds it"
            )));
        }
        Ok(Programs { stockpulse, ingest })
    }

    /// Counts the topic's messages in a process of their own.
    pub(super) fn bare(
        &self,
        kafka: &BrokerArgs,
        topic: &Topic,
        folder: &Path,
        stop: &Stop,
    ) -> Result<(Counted, Cost), BenchError> {
        let output = folder.join("bare.json");
        let mut command = Command::new(&self.stockpulse);
        command
            .args(["bench", "bare-consumer", "--broker", &kafka.broker])
            .args(["--topic", &topic.name])
            .stdin(Stdio::null())
            .stdout(create(&output)?);
        let cost = succeed("the bare consumer", &mut command, stop)?;
        let text =
            fs::read_to_string(&output).map_err(|e| BenchError::file("reading", &output, e))?;
        let counted: Counted = serde_json::from_str(&text)
            .map_err(|e| BenchError::Failed(format!("the bare consumer said {text:?}: {e}")))?;
        if counted.messages != topic.frames {
            return Err(BenchError::Failed(format!(
                "the bare consumer read {} messages of topic {}, which had {}",
                counted.messages, topic.name, topic.frames
            )));
        }
        Ok((counted, cost))
    }

    /// The job's command line; what it says is not yet led anywhere.
    pub(super) fn ingest(&self, job: &Job<'_>) -> Command {
        let mut command = Command::new(&self.ingest);
        command
            .args(["--master", &job.args.master, "--name", "stockpulse-bench"])
            .stdin(Stdio::null())
            .env("KAFKA_BROKER", job.broker)
            .env("KAFKA_TOPIC", job.topic);
        let checkpoint = job.folder.join("checkpoint");
        let properties = [
            (
                "spark.sql.streaming.checkpointLocation",
                checkpoint.display().to_string(),
            ),
            (
                "spark.stockpulse.var.CANDLES_PATH",
                job.table().display().to_string(),
            ),
            ("spark.stockpulse.var.KAFKA_TOPIC", job.topic.to_owned()),
            ("spark.stockpulse.var.KAFKA_BROKER", job.broker.to_owned()),
        ];
        for (name, value) in properties {
            command.arg("--conf").arg(format!("{name}={value}"));
        }
        for pair in &job.args.conf {
            command.arg("--conf").arg(pair.reveal());
        }
        command.arg(job.sql);
        command
    }

    /// Runs the job over all that the topic holds.
    pub(super) fn backlog(&self, job: &Job<'_>, stop: &Stop) -> Result<Cost, BenchError> {
        let log = job.folder.join("ingest.err");
        let mut command = self.ingest(job);
        command
            .arg("--available-now")
            .stdout(create(&job.folder.join("ingest.log"))?)
            .stderr(create(&log)?);
        succeed("stockpulse-ingest", &mut command, stop).map_err(|error| match error {
            BenchError::Failed(text) => {
                let log = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
                BenchError::Failed(format!("{text}; the last it said:\n{last}"))
            }
            other => other,
        })
    }

    /// Runs a query of DataFusion over a folder of Parquet files, in a process of its own.
    pub(super) fn query(
        &self,
        folder: &Path,
        threads: u32,
        statement: &str,
        stop: &Stop,
    ) -> Result<Cost, BenchError> {
        let mut command = Command::new(&self.stockpulse);
        command
            .args(["bench", "query", "--threads", &threads.to_string()])
            .arg("--folder")
            .arg(folder)
            .arg(statement)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        succeed("the query", &mut command, stop)
    }
}

/// `stockpulse bench query`: what [`Programs::query`] starts.
pub(super) fn run_query(args: &QueryArgs) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.threads.max(1) as usize)
        .build()
        .map_err(|e| BenchError::Failed(format!("no runtime: {e}")))?;
    let rows = runtime.block_on(async {
        let session = Session::open_on(&args.folder, args.threads.max(1) as usize).await?;
        session.rows(&args.statement).await
    })?;
    println!("{rows}");
    Ok(())
}

/// Candles of a table, and the trades they hold where they have a column `trades`.
pub(super) fn written(table: &Path) -> Result<(u64, Option<u64>), BenchError> {
    if !table.is_dir() {
        return Ok((0, Some(0)));
    }
    let runtime = Runtime::new().map_err(|e| BenchError::Failed(format!("no runtime: {e}")))?;
    let sum = runtime.block_on(async {
        let session = Session::open(table).await?;
        let counted = "SELECT count(*), CAST(sum(trades) AS BIGINT) FROM candles";
        match session.batches(counted).await {
            Ok(batches) => Ok(batches),
            Err(_) => session.batches("SELECT count(*) FROM candles").await,
        }
    });
    let batches = sum.map_err(|error: CandlesError| BenchError::from(error))?;
    let number = |column: usize| {
        let batch = batches.iter().find(|batch| batch.num_rows() > 0)?;
        let numbers = batch.columns().get(column)?.as_any();
        let numbers = numbers.downcast_ref::<Int64Array>()?;
        (!numbers.is_null(0)).then(|| numbers.value(0) as u64)
    };
    Ok((number(0).unwrap_or(0), number(1)))
}
