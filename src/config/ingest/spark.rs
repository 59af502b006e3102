//! The options of spark-submit, as data: the command line is read with it, an old one is explained with it, and the
//! table in `docs/SPARK.md` is made of it.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// An option of spark-submit.
#[derive(Debug, PartialEq, Eq)]
pub struct SparkOption {
    /// Without the dashes.
    pub name: &'static str,
    /// What it takes, as `spark-submit --help` calls it; empty: nothing.
    pub value: &'static str,
    /// `None`: it means something here, and `--help` says what. Else why it is not needed, or what to do instead.
    pub instead: Option<&'static str>,
}

const fn meant(name: &'static str, value: &'static str) -> SparkOption {
    SparkOption {
        name,
        value,
        instead: None,
    }
}

const fn unneeded(name: &'static str, value: &'static str, instead: &'static str) -> SparkOption {
    SparkOption {
        name,
        value,
        instead: Some(instead),
    }
}

const NO_JVM: &str = "there is no JVM";
const NO_KERBEROS: &str = "Kafka's login is spark.kafka.sasl.*, or client_configs in the SQL";

/// All that `spark-submit --help` of Spark 4.1 prints, in its order.
pub const SPARK_OPTIONS: [SparkOption; 34] = [
    meant("master", "MASTER_URL"),
    meant("deploy-mode", "DEPLOY_MODE"),
    unneeded(
        "class",
        "CLASS_NAME",
        "the job is the SQL file, there is no main class",
    ),
    meant("name", "NAME"),
    unneeded(
        "jars",
        "JARS",
        "Kafka and Parquet are built in; functions are DataFusion's",
    ),
    unneeded("packages", "PACKAGES", "Kafka and Parquet are built in"),
    unneeded("exclude-packages", "PACKAGES", "nothing is downloaded"),
    unneeded("repositories", "REPOSITORIES", "nothing is downloaded"),
    unneeded("py-files", "PY_FILES", "the job is SQL, there is no Python"),
    meant("files", "FILES"),
    unneeded(
        "archives",
        "ARCHIVES",
        "unpack it, and name its CSV, Parquet or JSON files by --files",
    ),
    meant("conf", "PROP=VALUE"),
    meant("properties-file", "FILE"),
    meant("load-spark-defaults", ""),
    meant("driver-memory", "MEM"),
    unneeded("driver-java-options", "OPTIONS", NO_JVM),
    unneeded("driver-library-path", "PATH", NO_JVM),
    unneeded("driver-class-path", "PATH", NO_JVM),
    meant("executor-memory", "MEM"),
    unneeded(
        "proxy-user",
        "NAME",
        "the job runs as the user who starts it",
    ),
    meant("help", ""),
    meant("verbose", ""),
    meant("version", ""),
    unneeded(
        "remote",
        "CONNECT_URL",
        "there is no Spark Connect; a cluster is --master arroyo://HOST:PORT",
    ),
    unneeded(
        "driver-cores",
        "NUM",
        "there is no driver beside the job; threads are --master local[N]",
    ),
    meant("supervise", ""),
    meant("kill", "SUBMISSION_ID"),
    meant("status", "SUBMISSION_ID"),
    meant("total-executor-cores", "NUM"),
    meant("executor-cores", "NUM"),
    unneeded(
        "num-executors",
        "NUM",
        "there is one process; threads are --master local[N]",
    ),
    unneeded("principal", "PRINCIPAL", NO_KERBEROS),
    unneeded("keytab", "KEYTAB", NO_KERBEROS),
    unneeded(
        "queue",
        "QUEUE_NAME",
        "there is no YARN; a cluster is --master arroyo://HOST:PORT",
    ),
];

/// Options of spark-submit that were given, and mean nothing here.
#[derive(Debug, Clone, Default)]
pub struct Unneeded(pub Vec<&'static SparkOption>);

impl Unneeded {
    /// A warning each.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        let with_hint = (self.0.iter()).filter_map(|option| Some((option.name, option.instead?)));
        with_hint.map(|(name, instead)| format!("--{name} has no effect here: {instead}"))
    }
}

fn all_unneeded() -> impl Iterator<Item = &'static SparkOption> {
    SPARK_OPTIONS
        .iter()
        .filter(|option| option.instead.is_some())
}

impl FromArgMatches for Unneeded {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Unneeded, clap::Error> {
        let is_given = |option: &&SparkOption| {
            matches.value_source(option.name) == Some(ValueSource::CommandLine)
        };
        Ok(Unneeded(all_unneeded().filter(is_given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Unneeded::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Unneeded {
    fn augment_args(command: Command) -> Command {
        // Hidden: --help has what means something, and one line that says where the others are.
        command.args(all_unneeded().map(|option| {
            Arg::new(option.name)
                .long(option.name)
                .value_name(option.value)
                .allow_hyphen_values(true)
                .hide(true)
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Unneeded::augment_args(command)
    }
}
