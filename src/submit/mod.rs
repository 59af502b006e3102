//! spark-submit's command line: reads the configuration and the SQL file, then starts the job.
//!
//! [`run`] is `stockpulse-ingest`; [`launch`] plans the SQL and runs it; [`progress`] shows how it gets on.

pub mod launch;
pub mod progress;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::DateTime;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{debug, info, warn};

use crate::config::command_line;
use crate::config::env::load_dotenv;
use crate::config::ingest::args::IngestArgs;
use crate::config::ingest::{IngestOptions, Trigger, UsageError, read_properties_file};
use crate::config::log::init_logging;
use crate::job::{ProgressReport, Summary};
use crate::metrics::ingest::IngestMetrics;
use crate::model::Exit;
use crate::query::sql::SqlFile;
use progress::{Progress, ProgressKind};

/// `stockpulse-ingest`: runs the SQL file that the command line names, and returns how it ended.
pub fn run() -> ExitCode {
    if let Err(message) = load_dotenv() {
        return refuse(Exit::Usage, &message);
    }
    let args = command_line::parse::<IngestArgs>();
    let (options, warnings) = match resolve(args) {
        Ok(resolved) => resolved,
        Err(error) => {
            let help = "for more information, try '--help'";
            return refuse(Exit::Usage, &format!("{error}\n\n{help}"));
        }
    };
    init_logging(options.verbose);
    for warning in warnings {
        warn!("{warning}");
    }
    if options.verbose {
        eprintln!("{}", options.describe());
    }
    match read_sql(&options) {
        Ok(sql) => {
            for name in options.unused_vars(&sql.variables) {
                warn!(
                    "spark.stockpulse.var.{name} has no effect: {} has no {{{{ {name} }}}}",
                    options.sql_path.display()
                );
            }
            for statement in &sql.statements {
                debug!(
                    "{} at line {}",
                    statement.label(),
                    statement.span().start.line
                );
            }
            start(&options, &sql)
        }
        Err(message) => refuse(Exit::SqlRefused, &message),
    }
}

fn resolve(args: IngestArgs) -> Result<(IngestOptions, Vec<String>), UsageError> {
    let properties = read_properties_file(args.properties_file.as_deref())?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    IngestOptions::resolve(args, properties.as_deref(), &environment, cpus)
}

/// An environment variable; one that is not UTF-8 counts as not set.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads and parses the SQL file; the error says where and what.
fn read_sql(options: &IngestOptions) -> Result<SqlFile, String> {
    let path: &Path = &options.sql_path;
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("the SQL file {} cannot be read: {error}", path.display()))?;
    let lookup = |name: &str| options.variable(name, &environment);
    SqlFile::parse(&path.display().to_string(), &text, &lookup).map_err(|faults| faults.to_string())
}

/// Runs the job until it is done or a signal stops it, and shows how it gets on.
fn start(options: &IngestOptions, sql: &SqlFile) -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    if let Err(error) = stop_on_signal(Arc::clone(&stop)) {
        return refuse(Exit::Failed, &format!("cannot listen to signals: {error}"));
    }
    let kind = match options.trigger {
        Trigger::AvailableNow => ProgressKind::AvailableNow,
        Trigger::ProcessingTime(_) => ProgressKind::Continuous,
    };
    let mut progress = Progress::new(kind, std::io::stderr().is_terminal());
    let mut show = |report: &ProgressReport| progress.update(report);
    let metrics = IngestMetrics::default();
    let ended = launch::launch(options, sql, &stop, &metrics, &mut show);
    progress.finish();
    match ended {
        Ok(Some(summary)) => {
            info!("{}", summary_line(&summary));
            Exit::Done.into()
        }
        Ok(None) => {
            info!("stopped before there was a topic to read");
            Exit::Done.into()
        }
        Err(error) => refuse(error.exit(), &error.to_string()),
    }
}

/// SIGINT or SIGTERM sets `stop`, for a last commit; a second one ends the process at once, which loses
/// nothing: the next start goes on from the last commit.
fn stop_on_signal(stop: Arc<AtomicBool>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let wait = async move || {
        tokio::select! {
            _ = signals.0.recv() => {}
            _ = signals.1.recv() => {}
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut wait = wait;
        runtime.block_on(wait());
        info!("stopping after a last commit; a second signal stops at once");
        stop.store(true, Ordering::Relaxed);
        runtime.block_on(wait());
        std::process::exit(Exit::Failed.code().into());
    })?;
    Ok(())
}

fn summary_line(summary: &Summary) -> String {
    let counts = &summary.counts;
    let open = match summary.open_since {
        Some(since) => format!(
            "{} windows are still open, the first since {} UTC",
            summary.open_windows,
            DateTime::from_timestamp_nanos(since).format("%Y-%m-%d %H:%M:%S")
        ),
        None => "no window is open".to_owned(),
    };
    format!(
        "{} rows written in {} epochs; since the first epoch {} ticks were read: {} in windows, {} filtered, \
         {} late, {} rejected; {open}",
        summary.rows,
        summary.epochs,
        counts.read,
        counts.in_windows,
        counts.filtered,
        counts.late,
        counts.rejected()
    )
}

fn refuse(exit: Exit, message: &str) -> ExitCode {
    eprintln!("error: {message}");
    exit.into()
}
