//! The configuration of `stockpulse-ingest`, in spark-submit's shape.
//!
//! A flag beats `--conf`, which beats the properties file, which beats the default. [`args`] is the command
//! line, `spark` what else spark-submit has, `known` which properties there are, and `reference` tells people of all
//! three; `properties` reads names and values; `values`, `starting`, `resources` and `master` what each value means.

pub mod args;
mod arroyo;
mod describe;
mod known;
mod master;
mod old_line;
mod properties;
pub mod reference;
mod resources;
pub mod spark;
mod starting;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use args::IngestArgs;
pub use arroyo::ArroyoSettings;
pub use known::CHECKPOINT_LOCATION;
pub use master::{Cluster, Master};
pub use properties::read_properties_files;
use properties::{Properties, is_variable_name};
pub use resources::TableFile;
pub use starting::{Absent, StartingOffsets};
pub use values::{Codec, DeadLetters, Place, Trigger};

use super::kafka::KafkaProperties;
use super::secret::Secret;

/// Log lines and files carry the job's name; it is at most this long.
pub(crate) const LONGEST_NAME: usize = 100;
/// How far an event time may be in the future of its Kafka timestamp, unless told otherwise.
pub const DEFAULT_MAX_FUTURE_SKEW: Duration = Duration::from_secs(10 * 60);
/// How long ago the youngest file of a folder was published before the folder is compacted, unless told otherwise.
const DEFAULT_COMPACTION_GRACE: Duration = Duration::from_secs(60 * 60);
/// Least time between two micro-batches' commits, unless told otherwise.
/// The time between commits where nothing was said, but for windows that can be closed.
pub const DEFAULT_TRIGGER: Duration = Duration::from_secs(1);
/// A list of librdkafka properties for every binary.
pub const KAFKA_PROPERTIES: &str = "KAFKA_PROPERTIES";
/// The token that the job's page asks for; from the environment only, since a command line is public.
const JOB_TOKEN: &str = "STOCKPULSE_JOB_TOKEN";
/// The password for PostgreSQL, by libpq's name for it; from the environment only, as every password.
const POSTGRES_PASSWORD: &str = "PGPASSWORD";
/// Where the job's page is, unless told otherwise: on this machine only.
pub const DEFAULT_UI_HOST: &str = "127.0.0.1";
/// The port of the job's page that is tried first.
pub const DEFAULT_UI_PORT: u16 = 8086;

/// A wrong command line or configuration value: what is wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Where the job's page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UiOptions {
    /// Address to listen on.
    pub host: String,
    /// The first port that is tried; 0: any free one.
    pub port: u16,
    /// What every request but `/`, `/healthz` and `/readyz` has to bring; `None`: nothing.
    pub token: Option<Secret>,
}

/// Whether the process that submits a job to a cluster stays until it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeployMode {
    /// It stays, shows how the job gets on, and stops it when it is stopped.
    Client,
    /// It ends when the job runs.
    Cluster,
}

/// What is to be done with a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run the SQL file.
    Run,
    /// Say how the job of this id gets on.
    Status(String),
    /// Stop the job of this id.
    Kill(String),
}

/// How a job is run. What it computes is in the SQL file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestOptions {
    /// The job's name: letters, digits, `-`, `_`, `.`; it begins with a letter or digit.
    pub name: String,
    /// Worker threads, 1 and more.
    pub threads: usize,
    /// Threads that were asked for beside the master, by spark-submit's options for cores.
    pub cores: Option<usize>,
    /// Bytes that open windows, and what is computed when they close, may take; `None`: no limit.
    pub memory_limit: Option<u64>,
    /// Where it runs.
    pub master: Master,
    /// Whether this process stays until the job ends; a local one always does.
    pub deploy_mode: DeployMode,
    /// What is to be done with it.
    pub action: Action,
    /// Whether a job that failed is started again.
    pub supervise: bool,
    /// The SQL file; empty where none is needed.
    pub sql_path: PathBuf,
    /// Files that are tables, unless the SQL declares them.
    pub files: Vec<TableFile>,
    /// The codec of Parquet files where the SQL names none.
    pub codec: Option<Codec>,
    /// Where checkpoints are kept; `None`: beside the data.
    pub checkpoint_location: Option<Place>,
    /// When micro-batches are committed, and whether the run ends.
    pub trigger: Trigger,
    /// Where reading starts when there is no checkpoint.
    pub starting_offsets: Option<StartingOffsets>,
    /// Messages that one trigger reads at most; `None`: no limit.
    pub max_offsets_per_trigger: Option<u64>,
    /// Whether the job refuses to start when offsets that it needs are gone.
    pub fail_on_data_loss: bool,
    /// An event time further in the future of its Kafka timestamp than this is rejected.
    pub max_future_skew: Duration,
    /// How long a sink that is away is waited for; `None`: until it is back, and 5 minutes in a run that ends.
    pub sink_patience: Option<Duration>,
    /// Where rejects and late ticks are kept; `None`: they are counted only.
    pub dead_letters: Option<DeadLetters>,
    /// Whether the files of days that are over become one, and how long after the youngest was published.
    pub compaction: Option<Duration>,
    /// Whether the tables are computed again from all that Kafka retains before the job goes on.
    pub rebuild: bool,
    /// Whether tables of PostgreSQL that are not there are made.
    pub create_tables: bool,
    /// The password for PostgreSQL where the SQL has none, from `PGPASSWORD`.
    pub postgres_password: Option<Secret>,
    /// Where the job's page is; `None`: it has none.
    pub ui: Option<UiOptions>,
    /// Values of the SQL file's variables, from what stands behind the file, else `spark.stockpulse.var.NAME`.
    pub vars: BTreeMap<String, String>,
    /// librdkafka properties from `KAFKA_PROPERTIES`: the SQL file's options beat them.
    pub kafka_environment: Vec<(String, Secret)>,
    /// librdkafka properties from `spark.kafka.*`: they beat the SQL file's options.
    pub kafka_conf: Vec<(String, Secret)>,
    /// Whether to say more.
    pub verbose: bool,
}

impl IngestOptions {
    /// Makes the options of a command line.
    ///
    /// `texts` are those of properties files, each with what messages call it; a later one beats an earlier one.
    /// `environment` gives environment variables, `cpus` is what `local[*]` means. Also returns what has no effect, a
    /// sentence each.
    ///
    /// # Errors
    /// The first value that is wrong.
    pub fn resolve(
        args: IngestArgs,
        texts: &[(PathBuf, String)],
        environment: &dyn Fn(&str) -> Option<String>,
        cpus: usize,
    ) -> Result<(IngestOptions, Vec<String>), UsageError> {
        old_line::refuse_program(&args)?;
        let mut properties = Properties::default();
        for (path, text) in texts {
            properties.add_file(path, text);
        }
        properties.add_conf(&args.conf)?;
        let mut warnings: Vec<String> = args.unneeded.warnings().collect();
        warnings.extend(properties.check_names()?);
        properties.read(known::TIME_ZONE, values::time_zone)?;
        let name = values::job_name(
            args.name.as_deref(),
            &properties,
            args.sql.as_deref().unwrap_or(Path::new("")),
        )?;
        let cores = resources::cores(&args, &properties, &mut warnings)?;
        let master = master::master(
            args.master.as_deref(),
            &properties,
            environment,
            cpus,
            cores.as_ref(),
            &mut warnings,
        )?;
        let cores = cores.map(|cores| cores.threads);
        let memory_limit = resources::memory(&args, &properties, &mut warnings)?;
        let supervise = args.supervise || flag(&properties, known::SUPERVISE)?;
        let files = resources::files(args.files.as_deref(), &properties)?;
        if matches!(master, Master::Arroyo(_)) {
            for (flag, is_given) in [
                ("--driver-memory", memory_limit.is_some()),
                ("--supervise", supervise),
                ("--files", !files.is_empty()),
            ] {
                if is_given {
                    warnings.push(format!(
                        "{flag} has no effect with --master {}: it is for jobs of this process",
                        args.master.as_deref().unwrap_or("arroyo")
                    ));
                }
            }
        }
        let deploy_mode = deploy_mode(args.deploy_mode.as_deref(), &properties, &master)?;
        let action = action(&args)?;
        let vars = variables(&args, &properties)?;
        let trigger = match (args.available_now, properties.get(known::TRIGGER)) {
            (true, _) => Trigger::AvailableNow,
            (false, Some(property)) => values::trigger(&property)?,
            (false, None) => Trigger::AtOnce,
        };
        let options = IngestOptions {
            name,
            threads: master.threads(),
            cores,
            memory_limit,
            master,
            deploy_mode,
            action,
            supervise,
            files,
            codec: properties.read(known::COMPRESSION, values::codec)?,
            sql_path: args.sql.unwrap_or_default(),
            checkpoint_location: properties.read(known::CHECKPOINT_LOCATION, values::place)?,
            trigger,
            starting_offsets: starting::starting(&properties, &mut warnings)?,
            max_offsets_per_trigger: properties.read(known::MAX_OFFSETS, values::positive)?,
            fail_on_data_loss: properties
                .read(known::FAIL_ON_DATA_LOSS, values::boolean)?
                .unwrap_or(true),
            max_future_skew: properties
                .read(known::MAX_FUTURE_SKEW, values::duration)?
                .unwrap_or(DEFAULT_MAX_FUTURE_SKEW),
            sink_patience: properties.read(known::SINK_PATIENCE, values::duration)?,
            dead_letters: properties.read(known::DEAD_LETTERS, values::dead_letters)?,
            compaction: compaction(&properties)?,
            rebuild: args.rebuild || flag(&properties, known::REBUILD)?,
            create_tables: args.create_tables || flag(&properties, known::CREATE_TABLES)?,
            postgres_password: environment(POSTGRES_PASSWORD)
                .filter(|password| !password.is_empty())
                .map(Secret::new),
            ui: ui(&properties, environment)?,
            vars,
            kafka_environment: kafka_environment(environment)?,
            kafka_conf: properties
                .below(known::KAFKA_PREFIX)
                .map(|(name, value)| (name, Secret::new(value)))
                .collect(),
            verbose: args.verbose,
        };
        Ok((options, warnings))
    }

    /// The options of a job that has no command line.
    pub fn plain(name: &str, threads: usize, trigger: Trigger) -> IngestOptions {
        IngestOptions {
            name: name.to_owned(),
            threads,
            cores: None,
            memory_limit: None,
            master: Master::Local { threads },
            deploy_mode: DeployMode::Client,
            action: Action::Run,
            supervise: false,
            sql_path: PathBuf::new(),
            files: Vec::new(),
            codec: None,
            checkpoint_location: None,
            trigger,
            starting_offsets: None,
            max_offsets_per_trigger: None,
            fail_on_data_loss: true,
            max_future_skew: DEFAULT_MAX_FUTURE_SKEW,
            sink_patience: None,
            dead_letters: None,
            compaction: Some(DEFAULT_COMPACTION_GRACE),
            rebuild: false,
            create_tables: false,
            postgres_password: None,
            ui: None,
            vars: BTreeMap::new(),
            kafka_environment: Vec::new(),
            kafka_conf: Vec::new(),
            verbose: false,
        }
    }

    /// The value of a variable of the SQL file: what was given for it, else the environment, in which `.env` is; a variable that is set to nothing there counts as not set.
    pub fn variable(
        &self,
        name: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Option<String> {
        let from_environment = || environment(name).filter(|value| !value.is_empty());
        self.vars.get(name).cloned().or_else(from_environment)
    }

    /// Variables that were given and that the SQL file does not have.
    pub fn unused_vars<'a>(&'a self, used: &BTreeSet<String>) -> Vec<&'a str> {
        self.vars
            .keys()
            .filter(|name| !used.contains(*name))
            .map(String::as_str)
            .collect()
    }

    /// How Kafka is reached: `KAFKA_PROPERTIES`, then the SQL file's options, then `spark.kafka.*`; the
    /// later beats the earlier. `brokers` is the SQL file's `bootstrap_servers`.
    pub fn kafka(&self, brokers: &str, sql: &[(String, Secret)]) -> KafkaProperties {
        let mut kafka = KafkaProperties::new(brokers);
        for (name, value) in &self.kafka_environment {
            kafka.set(name.as_str(), value.reveal());
        }
        // The environment's brokers reach the SQL file as a variable, if the file wants them.
        kafka.brokers = brokers.to_owned();
        for (name, value) in sql.iter().chain(&self.kafka_conf) {
            kafka.set(name.as_str(), value.reveal());
        }
        kafka
    }
}

/// `--status`, `--kill`, or the SQL file.
fn action(args: &IngestArgs) -> Result<Action, UsageError> {
    match (&args.sql, &args.status, &args.kill) {
        (_, Some(id), None) => Ok(Action::Status(id.clone())),
        (_, None, Some(id)) => Ok(Action::Kill(id.clone())),
        (_, Some(_), Some(_)) => Err(UsageError(
            "--status and --kill exclude each other".to_owned(),
        )),
        (Some(_), None, None) => Ok(Action::Run),
        (None, None, None) => Err(UsageError(
            "the SQL file is missing, such as sql/ohlc.sql".to_owned(),
        )),
    }
}

/// `--deploy-mode`, else `spark.submit.deployMode`, else client; a job of this process has no other.
fn deploy_mode(
    flag: Option<&str>,
    properties: &Properties,
    master: &Master,
) -> Result<DeployMode, UsageError> {
    let Some(said) = properties.flag_or(flag, "--deploy-mode", known::DEPLOY_MODE) else {
        return Ok(DeployMode::Client);
    };
    match (said.value, master) {
        ("client", _) => Ok(DeployMode::Client),
        ("cluster", Master::Arroyo(_)) => Ok(DeployMode::Cluster),
        ("cluster", Master::Local { .. }) => Err(UsageError(format!(
            "{said} cluster: a local job runs in this process, so its mode is client; a cluster is --master arroyo://HOST:PORT, and a job that outlives the terminal is one of systemd's or Docker's"
        ))),
        _ => Err(said.wrong("client or cluster")),
    }
}

/// `NAME=VALUE` behind the SQL file, else `spark.stockpulse.var.NAME`.
fn variables(
    args: &IngestArgs,
    properties: &Properties,
) -> Result<BTreeMap<String, String>, UsageError> {
    let mut variables: BTreeMap<String, String> = properties.below(known::VAR_PREFIX).collect();
    if let Some(sql) = &args.sql
        && let Some((name, _)) = sql.to_string_lossy().split_once('=')
        && is_variable_name(name)
    {
        return Err(UsageError(format!(
            "{name}=… stands where the SQL file belongs: the file comes first, what sets its variables after it"
        )));
    }
    for (number, argument) in (1..).zip(&args.variables) {
        match argument.split_once('=') {
            Some((name, value)) if is_variable_name(name) => {
                variables.insert(name.to_owned(), value.to_owned());
            }
            // Deliberately without the value, which may be a password.
            Some((name, _)) => {
                return Err(UsageError(format!(
                    "argument {number} after the SQL file sets \"{name}\", which is no name of a variable: letters, digits and _, no digit first; a property is --conf NAME=VALUE"
                )));
            }
            None if argument.ends_with(".sql") => {
                return Err(UsageError(format!(
                    "{argument}: a job is one SQL file, which may have several INSERTs; a second one is a second job"
                )));
            }
            None => {
                return Err(UsageError(format!(
                    "argument {number} after the SQL file is not NAME=VALUE, which sets {{{{ NAME }}}} in it; options of StockPulse begin with --, and --help lists them"
                )));
            }
        }
    }
    Ok(variables)
}

/// A property that is a flag.
fn flag(properties: &Properties, name: &str) -> Result<bool, UsageError> {
    Ok(properties.read(name, values::boolean)?.unwrap_or(false))
}

/// The grace of compaction; `None`: nothing is compacted. A wrong grace is wrong also then.
fn compaction(properties: &Properties) -> Result<Option<Duration>, UsageError> {
    let is_on = properties.read(known::COMPACTION, values::boolean)?;
    let grace = properties.read(known::COMPACTION_GRACE, values::duration)?;
    let grace = grace.unwrap_or(DEFAULT_COMPACTION_GRACE);
    Ok(is_on.unwrap_or(true).then_some(grace))
}

/// Where the job's page is; a wrong place is wrong also where there is none.
fn ui(
    properties: &Properties,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<UiOptions>, UsageError> {
    let is_on = properties.read(known::UI_ENABLED, values::boolean)?;
    let port = properties.read(known::UI_PORT, values::port)?;
    let host = properties.read(known::UI_HOST, values::host)?;
    let token = environment(JOB_TOKEN).filter(|token| !token.is_empty());
    let options = UiOptions {
        host: host.unwrap_or_else(|| DEFAULT_UI_HOST.to_owned()),
        port: port.unwrap_or(DEFAULT_UI_PORT),
        token: token.map(Secret::new),
    };
    Ok(is_on.unwrap_or(true).then_some(options))
}

fn kafka_environment(
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, Secret)>, UsageError> {
    let list = environment(KAFKA_PROPERTIES).unwrap_or_default();
    let pairs = KafkaProperties::parse_list(&list)
        .map_err(|error| UsageError(format!("{KAFKA_PROPERTIES}: {error}")))?;
    Ok(pairs
        .into_iter()
        .map(|(name, value)| (name, Secret::new(value)))
        .collect())
}

#[cfg(test)]
mod tests;
