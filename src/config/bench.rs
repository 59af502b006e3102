//! The command line of `stockpulse bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::kafka::KafkaProperties;
use super::secret::Secret;

/// What `stockpulse bench` measures, and where.
///
/// `KAFKA_PROPERTIES` reaches the broker here as in the other commands.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Broker to measure on
    #[arg(
        long,
        env = "KAFKA_BROKER",
        value_name = "HOST:PORT",
        default_value = "localhost:9092"
    )]
    pub broker: String,

    /// Topic of the generated ticks; filled if it is empty, made if the broker has none of this name,
    /// and then deleted again at the end. The default name says what is in it, and begins with
    /// stockpulse-bench
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,

    /// Ticks in the topic; a multiple of --ticks-per-frame
    #[arg(long, value_name = "COUNT", default_value_t = 10_000_000,
          value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub ticks: u64,

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

    /// Rounds; each is one run of the bare consumer and one of the ingest job
    #[arg(long, value_name = "COUNT", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,

    /// The job to measure. Unless its candles have a column `trades`, nothing checks that no tick
    /// was lost
    #[arg(long, value_name = "FILE", default_value = "sql/ohlc.sql")]
    pub sql: PathBuf,

    /// Threads of the job, as stockpulse-ingest takes them
    #[arg(long, value_name = "MASTER", default_value = "local[*]")]
    pub master: String,

    /// Property handed on to stockpulse-ingest; may be given several times
    #[arg(long = "conf", value_name = "NAME=VALUE")]
    pub conf: Vec<Secret>,

    /// Measure what compaction does to queries instead: candles of --symbols as a job writes them that
    /// commits every minute, asked before and after; needs no Kafka
    #[arg(long)]
    pub compaction: bool,

    /// Days of those candles
    #[arg(long, value_name = "COUNT", default_value_t = 31, requires = "compaction",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub days: u32,

    /// Folder for the job's checkpoint and candles, emptied after each round [default: the system's
    /// folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    pub work_dir: Option<PathBuf>,

    /// Leave the topic, for the next run, and the last round's candles
    #[arg(long)]
    pub keep: bool,

    /// Report as JSON instead of a table
    #[arg(long)]
    pub json: bool,

    /// Only read the topic with a bare consumer and say what was there: the bench runs itself so
    #[arg(long, hide = true)]
    pub bare: bool,

    /// librdkafka properties, from the environment only
    #[arg(long, hide = true, env = "KAFKA_PROPERTIES", hide_env_values = true)]
    pub kafka_properties: Option<Secret>,
}

/// Codecs of the generated messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchCompression {
    /// As stockpulse-producer does
    Lz4,
    /// Not at all
    None,
}

impl BenchCompression {
    /// librdkafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            BenchCompression::Lz4 => "lz4",
            BenchCompression::None => "none",
        }
    }
}

impl BenchArgs {
    /// Name of the topic: the one given, or one that says what the messages are.
    pub fn topic_name(&self) -> String {
        self.topic.clone().unwrap_or_else(|| {
            let (ticks, symbols, partitions) = (self.ticks, self.symbols, self.partitions);
            let (per_frame, codec) = (self.ticks_per_frame, self.compression.name());
            format!("stockpulse-bench-{ticks}t-{per_frame}f-{symbols}s-{partitions}p-{codec}")
        })
    }

    /// Messages in the topic.
    ///
    /// # Errors
    /// The ticks do not fill their last frame.
    pub fn frames(&self) -> Result<u64, String> {
        let per_frame = u64::from(self.ticks_per_frame);
        match self.ticks % per_frame {
            0 => Ok(self.ticks / per_frame),
            _ => Err(format!(
                "--ticks {} is no multiple of --ticks-per-frame {per_frame}",
                self.ticks
            )),
        }
    }

    /// How the broker is reached.
    ///
    /// # Errors
    /// `KAFKA_PROPERTIES` cannot be read; the message holds no value of it.
    pub fn kafka(&self) -> Result<KafkaProperties, String> {
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

    fn parse(args: &[&str]) -> Result<BenchArgs, String> {
        let args = ["bench"].iter().chain(args);
        Bench::try_parse_from(args)
            .map(|b| b.args)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn the_topic_is_named_after_what_it_holds() {
        let args = parse(&[]).unwrap();
        assert_eq!(
            args.topic_name(),
            "stockpulse-bench-10000000t-5f-50s-4p-lz4"
        );
        assert_eq!(args.frames(), Ok(2_000_000));
        let args = parse(&["--topic", "t", "--ticks", "7", "--ticks-per-frame", "7"]).unwrap();
        assert_eq!((args.topic_name().as_str(), args.frames()), ("t", Ok(1)));
    }

    #[test]
    fn counts_that_make_no_topic_are_refused() {
        assert!(parse(&["--ticks", "7"]).unwrap().frames().is_err());
        assert!(parse(&["--ticks", "0"]).unwrap_err().contains("--ticks"));
        assert!(parse(&["--partitions", "0"]).is_err());
    }
}
