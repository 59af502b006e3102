//! The command line of `stockpulse-ingest`.

use std::path::PathBuf;

use clap::Parser;

use super::reference;
use super::spark::Unneeded;

/// Deliberately no doc comment: its brackets would be links.
const CORES_HELP: &str = "Worker threads where --master is local[*] or not given, which local[N] beats; on Arroyo the parallelism";

/// As above.
const MASTER_HELP: &str = "local[N]: N worker threads, local[*]: one for each CPU, local: one; arroyo://HOST:PORT: an Arroyo cluster [default: local[*]]";

const JOB: &str = "What is run";
const STARTED: &str = "How it is started, as by spark-submit";
const RUNNING: &str = "A job that runs";
const OURS: &str = "StockPulse's own";

/// Runs a SQL file as a streaming job: Kafka in, Parquet out.
///
/// A flag beats --conf, which beats the properties file. What spark-submit has beside these options is accepted, and
/// docs/SPARK.md says what to do instead.
// Deliberately without Debug: a property may be a password.
#[derive(Clone, Parser)]
#[command(
    name = "stockpulse-ingest",
    version,
    max_term_width = reference::LINE_LETTERS,
    args_override_self = true,
    after_help = reference::help(),
    next_help_heading = STARTED
)]
pub struct IngestArgs {
    /// The SQL file, such as sql/ohlc.sql
    #[arg(value_name = "SQL_FILE", help_heading = JOB)]
    pub sql: Option<PathBuf>,

    /// Values of the file's variables; the options below may stand behind the file too
    #[arg(value_name = "NAME=VALUE", help_heading = JOB)]
    pub variables: Vec<String>,

    /// Where it runs, and on how many threads.
    #[arg(long, value_name = "MASTER", help = MASTER_HELP)]
    pub master: Option<String>,

    /// With a cluster: client stays until the job ends and stops it with Ctrl-C, cluster returns when it runs
    #[arg(long, value_name = "MODE")]
    pub deploy_mode: Option<String>,

    /// The job's name, also of its consumer group; the SQL file's name without .sql if not given
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// A property, see below; can be repeated, the last one of a name wins
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub conf: Vec<String>,

    /// A file of properties as spark-defaults.conf: name value, or name=value, # begins a comment
    #[arg(long, value_name = "FILE")]
    pub properties_file: Option<PathBuf>,

    /// Read SPARK_CONF_DIR/spark-defaults.conf, else SPARK_HOME/conf/spark-defaults.conf, before the properties
    /// file; not without this option, since it was written for Spark
    #[arg(long)]
    pub load_spark_defaults: bool,

    /// Tables to join with: each FILE.csv, .parquet or .json (a line an object), with commas between them, is a table
    /// of its own name, unless the SQL declares that one; FILE#NAME gives another name
    #[arg(long, value_name = "FILES")]
    pub files: Option<String>,

    /// Memory of open windows and of what is computed when they close, such as 512m or 2g; the job ends with an error
    /// when it takes more [default: no limit]
    #[arg(long, value_name = "MEM")]
    pub driver_memory: Option<String>,

    /// As --driver-memory, which beats it: job and executor are one process
    #[arg(long, value_name = "MEM")]
    pub executor_memory: Option<String>,

    /// Worker threads, by spark-submit's name for them.
    #[arg(long, value_name = "NUM", help = CORES_HELP)]
    pub total_executor_cores: Option<String>,

    /// As --total-executor-cores, which beats it: there is one executor
    #[arg(long, value_name = "NUM")]
    pub executor_cores: Option<String>,

    /// Start the job again when it failed, after 1 second to a minute; not when that cannot help (exit codes 2, 3, 5
    /// and 6)
    #[arg(long)]
    pub supervise: bool,

    /// Say what the configuration amounts to, and log more
    #[arg(long, short)]
    pub verbose: bool,

    /// Say how a job gets on, then end: its name, or the number of its process; of one that does not run too, if
    /// its SQL file is given
    #[arg(long, value_name = "ID", help_heading = RUNNING)]
    pub status: Option<String>,

    /// Stop a job of this machine or the cluster after a last commit, then end
    #[arg(long, value_name = "ID", help_heading = RUNNING)]
    pub kill: Option<String>,

    /// Read what the topic holds now, then end: --conf spark.stockpulse.trigger=availableNow
    #[arg(long, help_heading = OURS)]
    pub available_now: bool,

    /// Compute everything that Kafka retains again by the SQL as it is now, into a new generation beside the
    /// table, then swap it in; readers go on meanwhile, the old generation is kept aside
    #[arg(long, help_heading = OURS)]
    pub rebuild: bool,

    /// Make tables of PostgreSQL that are not there, as the SQL declares them; one that is there is never changed
    #[arg(long, help_heading = OURS)]
    pub create_tables: bool,

    /// Check the SQL file and the options as a start would, then end: no Kafka, nothing written
    #[arg(long, help_heading = OURS)]
    pub dry_run: bool,

    /// Say what the job reads, computes, holds in memory and writes, then end; as --dry-run otherwise
    #[arg(long, help_heading = OURS)]
    pub explain: bool,

    /// What spark-submit has, and nothing here needs.
    #[command(flatten)]
    pub unneeded: Unneeded,
}
