//! spark-submit's command line: reads the configuration and the SQL file, then starts the job.
//!
//! [`run`] is `stockpulse-ingest`; [`progress`] shows how a job gets on; `explain` looks at one without a start;
//! `local` finds jobs that run, and `supervise` starts one again that failed.

mod arroyo;
mod begin;
mod explain;
pub mod launch;
mod letters;
mod local;
pub mod page;
pub mod progress;
mod signals;
mod supervise;
mod tables;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use tracing::{debug, info, warn};

use crate::config::env::load_dotenv;
use crate::config::ingest::args::IngestArgs;
use crate::config::ingest::{
    Action, Codec, IngestOptions, Master, Trigger, UsageError, read_properties_files,
};
use crate::config::log::init_logging;
use crate::job::{Rebuild, Summary};
use crate::metrics::ingest::IngestMetrics;
use crate::model::Exit;
use crate::query::sql::{ParquetCompression, SqlFile};
use progress::{Progress, ProgressKind};
use signals::Signals;

/// `stockpulse-ingest`: runs the SQL file that the command line names, and returns how it ended.
pub fn run() -> ExitCode {
    if let Err(message) = load_dotenv() {
        return refuse(Exit::Usage, &message);
    }
    let args = match IngestArgs::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Deliberately: nothing can be done when standard error is gone.
            let _ = error.print();
            return match error.use_stderr() {
                true => Exit::Usage.into(),
                false => Exit::Done.into(),
            };
        }
    };
    let look = explain::Look::of(&args);
    let (options, warnings) = match resolve(args) {
        Ok(resolved) => resolved,
        Err(error) => {
            let help = "for more information, try '--help'";
            return refuse(Exit::Usage, &format!("{error}\n\n{help}"));
        }
    };
    init_logging(options.verbose);
    let is_local = matches!(options.master, Master::Local { .. });
    if is_local
        && options.supervise
        && options.action == Action::Run
        && look.is_none()
        && !supervise::is_supervised()
    {
        // The job says what there is to be said.
        return supervise::supervise(&options);
    }
    for warning in warnings {
        warn!("{warning}");
    }
    if options.verbose {
        eprintln!("{}", options.describe());
    }
    match &options.action {
        Action::Status(id) if is_local => return local::status(id, &options),
        Action::Kill(id) if is_local => return local::kill(id),
        _ => {}
    }
    if let Master::Arroyo(cluster) = &options.master {
        return arroyo::run(&options, cluster, look);
    }
    match read_sql(&options) {
        Ok(sql) => {
            for name in options.unused_vars(&sql.variables) {
                warn!(
                    "the value of {name} has no effect: {} has no {{{{ {name} }}}}",
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
            match look {
                None => start(options, sql),
                Some(look) => explain::look(look, &options, &sql),
            }
        }
        Err(message) => refuse(Exit::SqlRefused, &message),
    }
}

fn resolve(args: IngestArgs) -> Result<(IngestOptions, Vec<String>), UsageError> {
    let files = read_properties_files(&args, &environment)?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let resolved = IngestOptions::resolve(args, &files, &environment, cpus)?;
    tables::check(&resolved.0.files)?;
    Ok(resolved)
}

/// An environment variable; one that is not UTF-8 counts as not set.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads and parses the SQL file, and adds what the command line says of it; the error says where and what.
fn read_sql(options: &IngestOptions) -> Result<SqlFile, String> {
    let path: &Path = &options.sql_path;
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("the SQL file {} cannot be read: {error}", path.display()))?;
    let lookup = |name: &str| options.variable(name, &environment);
    let mut sql = SqlFile::parse(&path.display().to_string(), &text, &lookup)
        .map_err(|faults| faults.to_string())?;
    if let Some(codec) = options.codec {
        sql.set_compression(compression(codec));
    }
    sql.set_postgres(options.postgres_password.as_ref(), options.create_tables);
    tables::add(&mut sql, &options.files)?;
    Ok(sql)
}

fn compression(codec: Codec) -> ParquetCompression {
    match codec {
        Codec::Uncompressed => ParquetCompression::Uncompressed,
        Codec::Snappy => ParquetCompression::Snappy,
        Codec::Gzip => ParquetCompression::Gzip,
        Codec::Zstd => ParquetCompression::Zstd,
        Codec::Lz4 => ParquetCompression::Lz4,
    }
}

/// Runs the job until it is done, or a signal stops it after a last commit; a second signal ends the
/// process at once.
fn start(options: IngestOptions, sql: SqlFile) -> ExitCode {
    let prepared = match launch::prepare(&options, &sql) {
        Ok(prepared) => prepared,
        Err(error) => return refuse(error.exit(), &error.to_string()),
    };
    let stop = Arc::new(AtomicBool::new(false));
    if let Err(error) = stop_on_signals(&stop) {
        return refuse(Exit::Failed, &format!("cannot listen for signals: {error}"));
    }
    let kind = match options.trigger {
        Trigger::AvailableNow => ProgressKind::AvailableNow,
        Trigger::AtOnce | Trigger::ProcessingTime(_) => ProgressKind::Continuous,
    };
    let mut progress = Progress::new(kind, std::io::stderr().is_terminal());
    let metrics = IngestMetrics::default();
    let console = progress.console();
    let page = page::open(&options, &sql, &metrics);
    let board = page.as_ref().map(|page| &page.board);
    let address = page.as_ref().map(|page| page.address().to_string());
    let listed = local::enter(&options, prepared.checkpoint_dir.as_ref(), address, false);
    let ended = launch::launch(
        prepared,
        &options,
        &stop,
        &metrics,
        console,
        board,
        &mut |report| {
            if let Some(page) = &page {
                page.update(report);
            }
            progress.update(report);
        },
    );
    drop((page, listed));
    progress.finish();
    match ended {
        Ok(Some(summary)) => {
            info!("{}", farewell(&summary));
            Exit::Done.into()
        }
        Ok(None) => {
            info!("stopped before the topic was there");
            Exit::Done.into()
        }
        Err(error) => refuse(error.exit(), &error.to_string()),
    }
}

/// What a run did, with what it left open.
fn farewell(summary: &Summary) -> String {
    let counts = &summary.counts;
    let rejected: Vec<String> = counts
        .rejected
        .iter()
        .map(|(reason, ticks)| format!("{ticks} {}", reason.label()))
        .collect();
    let rejected = match rejected.is_empty() {
        true => "0 rejected".to_owned(),
        false => format!("{} rejected ({})", counts.rejected(), rejected.join(", ")),
    };
    let open = match summary.open_since {
        None => "no window is open".to_owned(),
        Some(since) => format!(
            "{} windows {}, the first since {}",
            summary.open_windows,
            match summary.is_preview {
                true => "are still open",
                false => "stay open for the next run",
            },
            chrono::DateTime::from_timestamp_nanos(since).format("%Y-%m-%d %H:%M:%S UTC")
        ),
    };
    let rebuilt = match &summary.rebuild {
        None => String::new(),
        Some(Rebuild::Stopped) => "the rebuild is not finished: the candles of before stand, and --rebuild goes on with it; ".to_owned(),
        Some(Rebuild::Swapped { rows, kept }) if kept.is_empty() => format!("rebuilt: {rows} rows; "),
        Some(Rebuild::Swapped { rows, kept }) => {
            let kept: Vec<String> = kept.iter().map(|path| path.display().to_string()).collect();
            format!(
                "rebuilt and swapped in: {rows} rows; what was there before is kept in {} and can be deleted; ",
                kept.join(", ")
            )
        }
    };
    let letters = match summary.dead_letters {
        0 => String::new(),
        letters => format!(", and {letters} dead letters"),
    };
    let printed = format!("{} rows printed", summary.rows_printed);
    let written = format!("{} rows in {} files written", summary.rows, summary.files);
    let rows = match (summary.is_preview, summary.rows_printed) {
        (true, _) => printed,
        (false, 0) => written + &letters,
        (false, _) => format!("{printed}, {written}{letters}"),
    };
    let compacted = match summary.compacted_folders {
        0 => String::new(),
        folders => format!(
            ", {} files in {folders} folders compacted",
            summary.compacted_files
        ),
    };
    format!(
        "{rebuilt}done: {rows} by this run{compacted}; since the job began {} ticks read, {} in windows, {} filtered, {} late, {rejected}; {open}",
        counts.read, counts.in_windows, counts.filtered, counts.late
    )
}

fn stop_on_signals(stop: &Arc<AtomicBool>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::listen()?
    };
    let stop = Arc::clone(stop);
    let listen = move || {
        runtime.block_on(async move {
            loop {
                signals.next().await;
                if stop.swap(true, Ordering::Relaxed) {
                    eprintln!("stopped at once; the next run goes on from the last commit");
                    std::process::exit(i32::from(Exit::Failed.code()));
                }
                info!("stopping after a last commit; once more stops at once");
            }
        });
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listen)?;
    Ok(())
}

fn refuse(exit: Exit, message: &str) -> ExitCode {
    eprintln!("error: {message}");
    exit.into()
}
