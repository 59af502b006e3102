//! spark-submit's command line: reads the configuration and the SQL file, then starts the job.
//!
//! [`run`] is `stockpulse-ingest`; [`progress`] shows how a job gets on.

pub mod progress;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use tracing::{debug, warn};

use crate::config::env::load_dotenv;
use crate::config::ingest::args::IngestArgs;
use crate::config::ingest::{IngestOptions, UsageError, read_properties_file};
use crate::config::log::init_logging;
use crate::model::Exit;
use crate::query::sql::SqlFile;

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
            start(options, sql)
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

/// Hands the job over.
fn start(options: IngestOptions, sql: SqlFile) -> ExitCode {
    let message = format!(
        "{}: {} statements were read, but running them is not there yet",
        options.sql_path.display(),
        sql.statements.len()
    );
    refuse(Exit::Failed, &message)
}

fn refuse(exit: Exit, message: &str) -> ExitCode {
    eprintln!("error: {message}");
    exit.into()
}
