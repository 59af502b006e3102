//! The command line of `stockpulse-ingest`.

use std::path::PathBuf;

use clap::Parser;

/// Deliberately no doc comment: its brackets would be links.
const MASTER_HELP: &str = "local[N]: N worker threads, local[*]: one for each CPU, local: one; arroyo://HOST:PORT: an Arroyo cluster [default: local[*]]";

const AFTER_HELP: &str = "\
Properties (--conf, or the properties file):
  spark.sql.streaming.checkpointLocation   where checkpoints are kept (default: beside the data)
  spark.stockpulse.trigger                 availableNow, or the least time between commits, such as
                                           10 seconds (default: windows as soon as they can be
                                           closed, all else every second)
  spark.stockpulse.startingOffsets         earliest (default), latest, or {\"topic\":{\"0\":23,\"1\":-2}};
                                           -2 is earliest, -1 latest; without a checkpoint only
  spark.stockpulse.maxOffsetsPerTrigger    messages that one trigger reads at most (default: no limit)
  spark.stockpulse.failOnDataLoss          refuse to start when needed offsets are gone, and a rebuild that
                                           would lose candles (default: true)
  spark.stockpulse.maxFutureSkew           event times further than this in the future of their Kafka
                                           timestamp are rejected (default: 10 minutes)
  spark.stockpulse.deadLetters             keep what is in no candle, rejects and late ticks, with its reason and
                                           bytes: a folder (Parquet), or kafka:TOPIC (default: counted only)
  spark.stockpulse.compaction              false: the files of a day stay as they were written; by default
                                           they become one, never those of today and yesterday (UTC)
  spark.stockpulse.compactionGrace         how long ago the last of them was published (default: 1 hour)
  spark.stockpulse.rebuild                 true: as --rebuild (default: false)
  spark.ui.enabled                         false: no page of the job (default: true)
  spark.ui.port                            the page's port; the next free one of 16 is taken (default: 8086)
  spark.stockpulse.ui.host                 address it listens on (default: 127.0.0.1); STOCKPULSE_JOB_TOKEN in
                                           the environment is the token that it then asks for
  spark.stockpulse.arroyo.parallelism      subtasks of a pipeline on Arroyo (default: the partitions of its topic)
  spark.stockpulse.arroyo.checkpointInterval  time between its checkpoints, 1 second to a day (default: the
                                           trigger's, else the cluster's own); ARROYO_TOKEN in the environment
                                           is the token that the cluster asks for
  spark.stockpulse.var.NAME                value of {{ NAME }} in the SQL file; it beats the environment,
                                           which beats .env, which beats the default in the file
  spark.kafka.PROPERTY                     any librdkafka property; it beats the SQL file's options
  spark.master, spark.app.name             as --master and --name

--rebuild is for an edit that is refused otherwise: another window or key, a column renamed or removed. It is
given once: stopped or killed, it goes on when it is given again, and without it the old candles stand. Afterwards
the job goes on, or ends with --available-now. What was in the table before is in _old/ beside it, to be deleted by you.

Exit codes: 0 done, or stopped by a signal after a last commit; 1 anything else; 2 usage;
3 SQL refused; 4 Kafka or the cluster unreachable; 5 checkpoint or output belongs to another query;
6 data loss; 7 output not writable.";

/// Runs a SQL file as a streaming job: Kafka in, Parquet out.
///
/// A flag beats --conf, which beats the properties file.
// Deliberately without Debug: a property may be a password.
#[derive(Clone, Parser)]
#[command(name = "stockpulse-ingest", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct IngestArgs {
    /// The SQL file, such as sql/ohlc.sql
    #[arg(value_name = "SQL_FILE")]
    pub sql: Option<PathBuf>,

    /// Where it runs, and on how many threads.
    #[arg(long, value_name = "MASTER", help = MASTER_HELP)]
    pub master: Option<String>,

    /// With a cluster: client stays until the job ends and stops it with Ctrl-C, cluster returns when it runs
    #[arg(long, value_name = "MODE")]
    pub deploy_mode: Option<String>,

    /// Say how the job of this id gets on, then end
    #[arg(long, value_name = "ID")]
    pub status: Option<String>,

    /// Stop the job of this id, then end
    #[arg(long, value_name = "ID")]
    pub kill: Option<String>,

    /// The job's name, also of its consumer group; the SQL file's name without .sql if not given
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// A property, see below; can be repeated, the last one of a name wins
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub conf: Vec<String>,

    /// A file of properties as spark-defaults.conf: name value, or name=value, # begins a comment
    #[arg(long, value_name = "FILE")]
    pub properties_file: Option<PathBuf>,

    /// Read what the topic holds now, then end: --conf spark.stockpulse.trigger=availableNow
    #[arg(long)]
    pub available_now: bool,

    /// Compute everything that Kafka retains again by the SQL as it is now, into a new generation beside the
    /// table, then swap it in; readers go on meanwhile, the old generation is kept aside
    #[arg(long)]
    pub rebuild: bool,

    /// Check the SQL file and the options as a start would, then end: no Kafka, nothing written
    #[arg(long)]
    pub dry_run: bool,

    /// Say what the job reads, computes, holds in memory and writes, then end; as --dry-run otherwise
    #[arg(long)]
    pub explain: bool,

    /// Say what the configuration amounts to, and log more
    #[arg(long, short)]
    pub verbose: bool,
}
