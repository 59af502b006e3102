//! What the demo shows: where things are, then one status line.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::job::{ProgressReport, Summary};
use crate::model::Watermark;

/// A terminal that is gone is no reason to stop the job.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// Where the output is no terminal, the status line comes this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The demo's terminal.
pub struct Screen {
    broker: String,
    table: String,
    api: String,
    job: Option<String>,
    terminal: bool,
    shown: Option<Instant>,
}

impl Screen {
    /// A screen that says where broker, candles, API and the job's page are.
    pub fn new(broker: &str, table: &Path, api: Option<SocketAddr>, job: Option<String>) -> Screen {
        Screen {
            broker: broker.to_string(),
            table: table.display().to_string(),
            api: api.map_or_else(
                || "http://unknown/".to_string(),
                |at| format!("http://{at}/"),
            ),
            job,
            terminal: std::io::stdout().is_terminal(),
            shown: None,
        }
    }

    /// Says where things are.
    pub fn welcome(&self) {
        let Screen {
            broker,
            table,
            api,
            job,
            ..
        } = self;
        say!("StockPulse demo: feed, Kafka, SQL, Parquet and API in this process.");
        say!("  Kafka     {broker}  topic raw_ticks");
        say!("  candles   {table}/  (Parquet)");
        say!("  chart     {api}");
        if let Some(job) = job {
            say!("  job       {job}/");
        }
        say!("  API       {api}api/v1/status");
        say!("  read      stockpulse read {table} --format table --limit 10");
        say!(
            "  query     datafusion-cli -c \"SET datafusion.runtime.list_files_cache_limit = '0'; CREATE EXTERNAL TABLE ohlc STORED AS PARQUET LOCATION '{table}/'; SELECT * FROM ohlc ORDER BY window_start DESC LIMIT 10;\""
        );
        say!("Ctrl-C stops it.");
    }

    /// Shows how far the job is.
    pub fn show(&mut self, report: &ProgressReport) {
        if !self.terminal && self.shown.is_some_and(|at| at.elapsed() < LINE_EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        let line = format!(
            "{:.0} ticks/s · {} ticks · watermark {} · {} windows open · {} candles written",
            report.ticks_per_second,
            report.ticks_total,
            time_of_day(report.watermark),
            report.open_windows,
            report.rows_written_total
        );
        match self.terminal {
            true => {
                let _ = write!(std::io::stdout(), "\r\x1b[2K{line}");
                let _ = std::io::stdout().flush();
            }
            false => say!("{line}"),
        }
    }

    /// Says what was done.
    pub fn goodbye(&self, summary: Option<&Summary>) {
        if self.terminal {
            say!();
        }
        match summary {
            Some(summary) => say!(
                "Stopped after a last commit: {} ticks read, {} candles in {}, {} windows were still open.",
                summary.counts.read,
                summary.rows,
                self.table,
                summary.open_windows
            ),
            None => say!("Stopped before the first tick."),
        }
    }
}

fn time_of_day(watermark: Watermark) -> String {
    if watermark == Watermark::NONE {
        return "none yet".to_string();
    }
    let time = chrono::DateTime::from_timestamp_nanos(watermark.0);
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
