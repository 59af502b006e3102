//! The command line of `stockpulse bench`: what it measures is a word, and each word has its own options.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::kafka::KafkaProperties;
use super::secret::Secret;

/// What `stockpulse bench` measures, and where.
///
/// `KAFKA_PROPERTIES` reaches the broker here as in the other commands.
#[derive(Debug, Clone, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_value_name = "WHAT",
    subcommand_help_heading = "What is measured (backlog if nothing is said; the options below are its own)"
)]
pub struct BenchArgs {
    /// What is measured.
    #[command(subcommand)]
    what: Option<BenchWhat>,

    /// Options of a backlog.
    #[command(flatten)]
    backlog: BacklogArgs,
}

impl BenchArgs {
    /// What is to be measured: a backlog if nothing else was said.
    pub fn what(&self) -> BenchWhat {
        let backlog = || BenchWhat::Backlog(Box::new(self.backlog.clone()));
        self.what.clone().unwrap_or_else(backlog)
    }
}

/// What can be measured.
#[derive(Debug, Clone, Subcommand)]
pub enum BenchWhat {
    /// The job over a full topic beside a bare consumer, in turn: time, CPU, memory, and their ratios
    Backlog(Box<BacklogArgs>),
    /// The job at a steady rate of ticks: how soon candles are readable, CPU, memory, starts, restarts
    ///
    /// It makes its topics, fills them as it goes, and deletes them at the end. Where the broker makes no
    /// topics, those of --topic must be there, empty.
    Live(Box<LiveArgs>),
    /// How cost grows with symbols, partitions, threads, open windows, frames, compression and INSERTs
    ///
    /// One of them is varied at a time; the table is Markdown.
    Scale(ScaleArgs),
    /// What an aggregate adds to the job, beside what it adds to a query of DataFusion over the same ticks
    Aggregates(AggregatesArgs),
    /// Queries over candles before and after a compaction; needs no Kafka
    Compaction(CompactionArgs),
    /// Only read a topic with a bare consumer and say what was there: the bench runs itself so
    #[command(hide = true)]
    BareConsumer(BareArgs),
    /// Only run a query over a folder of Parquet files: the bench runs itself so
    #[command(hide = true)]
    Query(QueryArgs),
}

/// Where Kafka is.
#[derive(Debug, Clone, Args)]
pub struct BrokerArgs {
    /// Broker to measure on
    #[arg(
        long,
        env = "KAFKA_BROKER",
        value_name = "HOST:PORT",
        default_value = "localhost:9092"
    )]
    pub broker: String,

    /// librdkafka properties, from the environment only
    #[arg(long, hide = true, env = "KAFKA_PROPERTIES", hide_env_values = true)]
    pub kafka_properties: Option<Secret>,
}

/// What the messages of a topic are like.
#[derive(Debug, Clone, Args)]
pub struct MarketArgs {
    /// Partitions of the topic
    #[arg(long, value_name = "COUNT", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub partitions: u32,

    /// Symbols that trade; a message's key is its symbol
    #[arg(long, value_name = "COUNT", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub symbols: u32,

    /// Ticks in each message
    #[arg(long, value_name = "COUNT", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub ticks_per_frame: u32,

    /// How the messages are compressed
    #[arg(long, value_enum, default_value_t = BenchCompression::Lz4)]
    pub compression: BenchCompression,
}

/// How the measured job runs.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// Threads of the job, as stockpulse-ingest takes them
    #[arg(long, value_name = "MASTER", default_value = "local[*]")]
    pub master: String,

    /// Property handed on to stockpulse-ingest; may be given several times
    #[arg(long = "conf", value_name = "NAME=VALUE")]
    pub conf: Vec<Secret>,
}

/// Where it writes meanwhile, and how it reports.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// Folder for the job's checkpoint and candles, emptied after each round [default: the system's
    /// folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    pub work_dir: Option<PathBuf>,

    /// Report as JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `stockpulse bench backlog`.
#[derive(Debug, Clone, Args)]
pub struct BacklogArgs {
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: BrokerArgs,

    /// Topic of the generated ticks; filled if it is empty, made if the broker has none of this name,
    /// and then deleted again at the end. The default name says what is in it, and begins with
    /// stockpulse-bench
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,

    /// Ticks in the topic; a multiple of --ticks-per-frame
    #[arg(long, value_name = "COUNT", default_value_t = 10_000_000,
          value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub ticks: u64,

    /// What is in it.
    #[command(flatten)]
    pub market: MarketArgs,

    /// Rounds; each is one run of the bare consumer and one of the ingest job
    #[arg(long, value_name = "COUNT", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,

    /// The job to measure. Unless its candles have a column `trades`, nothing checks that no tick
    /// was lost
    #[arg(long, value_name = "FILE", default_value = "sql/ohlc.sql")]
    pub sql: PathBuf,

    /// How it runs.
    #[command(flatten)]
    pub job: JobArgs,

    /// Where to, and how.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Leave the topic, for the next run, and the last round's candles
    #[arg(long)]
    pub keep: bool,
}

/// `stockpulse bench live`.
#[derive(Debug, Clone, Args)]
pub struct LiveArgs {
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: BrokerArgs,

    /// How its topics' names begin [default: stockpulse-bench-live and the process's number]
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,

    /// Ticks a second, for latency and restarts
    #[arg(long, value_name = "COUNT", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,

    /// Ticks a second, for CPU and memory
    #[arg(long, value_name = "COUNT", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub quiet_rate: u32,

    /// Seconds that latency is measured for, as CPU is; the idle jobs are looked at for a third of it
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(3..=3_600))]
    pub seconds: u32,

    /// Times that the job is started, and that it is killed and started again, for each figure
    #[arg(long, value_name = "COUNT", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub kills: u32,

    /// Seconds of ticks that a restart reads again, as the job of sql/ohlc.sql does: a window and its watermark's
    /// delay
    #[arg(long, value_name = "SECONDS", default_value_t = 120,
          value_parser = clap::value_parser!(u32).range(2..=600))]
    pub replay_seconds: u32,

    /// What is in the topics.
    #[command(flatten)]
    pub market: MarketArgs,

    /// How the job runs.
    #[command(flatten)]
    pub job: JobArgs,

    /// Where to, and how.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `stockpulse bench scale`.
#[derive(Debug, Clone, Args)]
pub struct ScaleArgs {
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: BrokerArgs,

    /// Ticks in each topic; a multiple of 100
    #[arg(long, value_name = "COUNT", default_value_t = 2_000_000,
          value_parser = clap::value_parser!(u64).range(100..=10_000_000_000))]
    pub ticks: u64,

    /// Rounds for each row; each is one run of the bare consumer and one of the ingest job
    #[arg(long, value_name = "COUNT", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,

    /// What is varied; may be given several times, or with commas between [default: all]
    #[arg(long, value_enum, value_name = "AXIS", value_delimiter = ',')]
    pub axis: Vec<BenchAxis>,

    /// Where to, and how.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `stockpulse bench aggregates`.
#[derive(Debug, Clone, Args)]
pub struct AggregatesArgs {
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: BrokerArgs,

    /// Topic of the generated ticks, as of a backlog
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,

    /// Ticks in the topic; a multiple of --ticks-per-frame
    #[arg(long, value_name = "COUNT", default_value_t = 10_000_000,
          value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub ticks: u64,

    /// What is in it.
    #[command(flatten)]
    pub market: MarketArgs,

    /// Rounds; in each the job and the query run without an aggregate, and once with each
    #[arg(long, value_name = "COUNT", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,

    /// An aggregate over price and volume that is a number; may be given several times
    /// [default: avg, stddev, count(DISTINCT) and a median by approx_percentile_cont in both its forms]
    #[arg(long, value_name = "SQL")]
    pub aggregate: Vec<String>,

    /// Threads of the job, and of DataFusion
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub threads: u32,

    /// Where to, and how.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Leave the topic, for the next run
    #[arg(long)]
    pub keep: bool,
}

/// `stockpulse bench compaction`.
#[derive(Debug, Clone, Args)]
pub struct CompactionArgs {
    /// Symbols that have candles
    #[arg(long, value_name = "COUNT", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub symbols: u32,

    /// Days of candles, written as a job does that commits every minute
    #[arg(long, value_name = "COUNT", default_value_t = 31,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub days: u32,

    /// Times that each query is asked
    #[arg(long, value_name = "COUNT", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,

    /// Where to, and how.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Leave the candles
    #[arg(long)]
    pub keep: bool,
}

/// The bench's own consumer, in a process of its own.
#[derive(Debug, Clone, Args)]
pub struct BareArgs {
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: BrokerArgs,

    /// Topic to read
    #[arg(long, value_name = "NAME")]
    pub topic: String,
}

/// DataFusion, in a process of its own.
#[derive(Debug, Clone, Args)]
pub struct QueryArgs {
    /// Folder of Parquet files, the table `candles`
    #[arg(long, value_name = "FOLDER")]
    pub folder: PathBuf,

    /// Threads, and partitions of the plan
    #[arg(long, value_name = "COUNT")]
    pub threads: u32,

    /// The query
    #[arg(value_name = "SQL")]
    pub statement: String,
}

/// What `stockpulse bench scale` varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum BenchAxis {
    /// 1 to 10,000
    Symbols,
    /// 1 to 64
    Partitions,
    /// 1 to 4, as --master gives them to the job
    Threads,
    /// 1 to 500
    OpenWindows,
    /// What an open window and symbol costs, with 1 to 500 windows of 1,000 symbols
    Memory,
    /// 1 to 50
    TicksPerFrame,
    /// Each codec
    Compression,
    /// 1 to 4 in the file
    Inserts,
}

/// Codecs of the generated messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchCompression {
    /// As stockpulse-producer does
    Lz4,
    /// Not at all
    None,
    /// Zstandard
    Zstd,
    /// As gzip does
    Gzip,
    /// Snappy
    Snappy,
}

impl BenchAxis {
    /// All of them, in the order of a report.
    pub fn all() -> &'static [BenchAxis] {
        BenchAxis::value_variants()
    }

    /// As the option has it.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl BenchCompression {
    /// All of them.
    pub fn all() -> &'static [BenchCompression] {
        BenchCompression::value_variants()
    }

    /// librdkafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            BenchCompression::Lz4 => "lz4",
            BenchCompression::None => "none",
            BenchCompression::Zstd => "zstd",
            BenchCompression::Gzip => "gzip",
            BenchCompression::Snappy => "snappy",
        }
    }
}

impl BrokerArgs {
    /// How the broker is reached.
    ///
    /// # Errors
    /// `KAFKA_PROPERTIES` cannot be read; the message holds no value of it.
    pub fn properties(&self) -> Result<KafkaProperties, String> {
        let mut kafka = KafkaProperties::new(&self.broker);
        let list = self.kafka_properties.as_ref().map_or("", Secret::reveal);
        let pairs =
            KafkaProperties::parse_list(list).map_err(|e| format!("KAFKA_PROPERTIES: {e}"))?;
        for (key, value) in pairs {
            kafka.set(key, value);
        }
        Ok(kafka)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Bench {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn parse(line: &str) -> Result<BenchWhat, String> {
        Bench::try_parse_from(["bench"].into_iter().chain(line.split_whitespace()))
            .map(|bench| bench.args.what())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_backlog_is_measured_if_nothing_else_is_said() {
        for line in ["--ticks 50 --rounds 1", "backlog --ticks 50 --rounds 1"] {
            let BenchWhat::Backlog(args) = parse(line).unwrap() else {
                panic!("{line}");
            };
            assert_eq!((args.ticks, args.rounds, args.market.symbols), (50, 1, 50));
        }
        assert!(matches!(parse("live").unwrap(), BenchWhat::Live(_)));
        assert!(matches!(parse("scale").unwrap(), BenchWhat::Scale(_)));
        let BenchWhat::Compaction(args) = parse("compaction --days 2").unwrap() else {
            panic!("not compaction");
        };
        assert_eq!(args.days, 2);
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        for (line, named) in [
            ("compaction --broker localhost:1", "--broker"),
            ("live --ticks 10", "--ticks"),
            ("live --keep", "--keep"),
            ("scale --symbols 3", "--symbols"),
            ("scale --axis colour", "colour"),
            ("--days 3", "--days"),
            ("--rounds 3 live", "live"),
            ("sideways", "sideways"),
            ("--compaction", "--compaction"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }

    #[test]
    fn counts_that_make_no_topic_are_refused() {
        assert!(parse("--ticks 0").unwrap_err().contains("--ticks"));
        assert!(parse("backlog --partitions 0").is_err());
        assert!(parse("live --rate 0").is_err());
    }
}
