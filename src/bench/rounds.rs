//! The rounds: a bare consumer, then the job, on the same topic.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::bare::Counted;
use super::error::BenchError;
use super::process::{Cost, measure};
use super::report::{Report, Round};
use super::topic::Topic;
use crate::config::bench::BenchArgs;

/// The programs that are measured.
pub(super) struct Programs {
    /// This one; its bare consumer and its reader of candles.
    stockpulse: PathBuf,
    /// Its sibling.
    ingest: PathBuf,
}

impl Programs {
    /// The running executable and its sibling `stockpulse-ingest`; the job's file is there too.
    pub(super) fn find(args: &BenchArgs) -> Result<Programs, BenchError> {
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
        if !args.sql.is_file() {
            let text = format!(
                "{} is no file; say which job with --sql",
                args.sql.display()
            );
            return Err(BenchError::Usage(text));
        }
        Ok(Programs { stockpulse, ingest })
    }
}

/// A folder that is removed with everything in it.
pub(super) struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    pub(super) fn new(args: &BenchArgs) -> Result<Scratch, BenchError> {
        let parent = args.work_dir.clone().unwrap_or_else(std::env::temp_dir);
        let path = parent.join(format!("stockpulse-bench-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|e| {
            BenchError::Usage(format!(
                "{} cannot be made: {e}; see --work-dir",
                path.display()
            ))
        })?;
        Ok(Scratch {
            path,
            keep: args.keep,
        })
    }

    /// The folder of one round, empty.
    pub(super) fn round(&self) -> Result<PathBuf, BenchError> {
        let path = self.path.join("round");
        if path.exists() {
            fs::remove_dir_all(&path)
                .map_err(|e| BenchError::Failed(format!("emptying {}: {e}", path.display())))?;
        }
        fs::create_dir_all(&path)
            .map_err(|e| BenchError::Failed(format!("making {}: {e}", path.display())))?;
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

/// Measures every round. A first run of the bare consumer is not counted: it warms the page cache.
pub(super) fn run(
    args: &BenchArgs,
    programs: &Programs,
    topic: &Topic,
) -> Result<Report, BenchError> {
    let scratch = Scratch::new(args)?;
    let folder = scratch.round()?;
    let (counted, _) = bare(args, programs, topic, &folder)?;
    let mut report = Report::new(args, topic, counted);
    for number in 1..=args.rounds {
        let folder = scratch.round()?;
        let (_, bare) = bare(args, programs, topic, &folder)?;
        let ingest = ingest(args, programs, topic, &folder)?;
        let (candles, trades) = candles(programs, &folder)?;
        if trades.is_some_and(|trades| trades != args.ticks) {
            return Err(BenchError::Failed(format!(
                "round {number}: the candles hold {} trades, the topic {} ticks",
                trades.unwrap_or(0),
                args.ticks
            )));
        }
        eprintln!(
            "round {number} of {}: bare {:.2} s, stockpulse {:.2} s, {candles} candles",
            args.rounds, bare.wall_s, ingest.wall_s
        );
        report.rounds.push(Round { bare, ingest });
        report.candles = candles;
    }
    Ok(report)
}

fn bare(
    args: &BenchArgs,
    programs: &Programs,
    topic: &Topic,
    folder: &Path,
) -> Result<(Counted, Cost), BenchError> {
    let output = folder.join("bare.json");
    let mut command = Command::new(&programs.stockpulse);
    command
        .args([
            "bench",
            "--bare",
            "--broker",
            &args.broker,
            "--topic",
            &topic.name,
        ])
        .stdin(Stdio::null())
        .stdout(create(&output)?);
    let cost = succeed("the bare consumer", &mut command)?;
    let text = fs::read_to_string(&output)
        .map_err(|e| BenchError::Failed(format!("reading {}: {e}", output.display())))?;
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

fn ingest(
    args: &BenchArgs,
    programs: &Programs,
    topic: &Topic,
    folder: &Path,
) -> Result<Cost, BenchError> {
    let conf = |name: &str, value: &Path| format!("{name}={}", value.display());
    let checkpoint = folder.join("checkpoint");
    let mut command = Command::new(&programs.ingest);
    command
        .args([
            "--master",
            &args.master,
            "--name",
            "stockpulse-bench",
            "--available-now",
        ])
        .arg("--conf")
        .arg(conf("spark.sql.streaming.checkpointLocation", &checkpoint))
        .arg("--conf")
        .arg(conf(
            "spark.stockpulse.var.CANDLES_PATH",
            &candles_folder(folder),
        ))
        .arg("--conf")
        .arg(format!("spark.stockpulse.var.KAFKA_TOPIC={}", topic.name))
        .arg("--conf")
        .arg(format!("spark.stockpulse.var.KAFKA_BROKER={}", args.broker))
        .env("KAFKA_BROKER", &args.broker)
        .env("KAFKA_TOPIC", &topic.name)
        .stdin(Stdio::null())
        .stdout(create(&folder.join("ingest.log"))?)
        .stderr(create(&folder.join("ingest.err"))?);
    for pair in &args.conf {
        command.arg("--conf").arg(pair.reveal());
    }
    command.arg(&args.sql);
    succeed("stockpulse-ingest", &mut command).map_err(|error| match error {
        BenchError::Failed(text) => {
            let log = fs::read_to_string(folder.join("ingest.err")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(10)..].join("\n");
            BenchError::Failed(format!("{text}; the last it said:\n{last}"))
        }
        other => other,
    })
}

/// Candles written and the trades they hold, as `stockpulse read` shows them.
fn candles(programs: &Programs, folder: &Path) -> Result<(u64, Option<u64>), BenchError> {
    let shown = folder.join("candles.ndjson");
    let mut command = Command::new(&programs.stockpulse);
    command
        .args(["read", "--format", "ndjson"])
        .arg(candles_folder(folder))
        .stdin(Stdio::null())
        .stdout(create(&shown)?);
    succeed("stockpulse read", &mut command)?;
    let failed = |e: String| BenchError::Failed(format!("reading {}: {e}", shown.display()));
    let file = File::open(&shown).map_err(|e| failed(e.to_string()))?;
    let (mut candles, mut trades) = (0, Some(0));
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|e| failed(e.to_string()))?;
        let candle: serde_json::Value =
            serde_json::from_str(&line).map_err(|e| failed(e.to_string()))?;
        candles += 1;
        trades = trades
            .zip(candle["trades"].as_u64())
            .map(|(sum, more)| sum + more);
    }
    Ok((candles, trades))
}

fn candles_folder(folder: &Path) -> PathBuf {
    folder.join("candles")
}

fn create(path: &Path) -> Result<File, BenchError> {
    File::create(path).map_err(|e| BenchError::Failed(format!("making {}: {e}", path.display())))
}

fn succeed(what: &str, command: &mut Command) -> Result<Cost, BenchError> {
    let (status, cost) = measure(command)
        .map_err(|e| BenchError::Failed(format!("{what} could not be started: {e}")))?;
    match status.success() {
        true => Ok(cost),
        false => Err(BenchError::Failed(format!("{what} failed: {status}"))),
    }
}
