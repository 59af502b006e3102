//! The command line of `stockpulse-api`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::instant::parse_duration;
use super::secret::Secret;

/// Watched when `SYMBOL_LIST` says nothing.
pub const DEFAULT_SYMBOL_LIST: &str = "BINANCE:ETHUSDT,BINANCE:BTCUSDT";
/// Used when `KAFKA_BROKER` says nothing.
pub const DEFAULT_KAFKA_BROKER: &str = "localhost:9092";
/// Where the API listens unless told otherwise: this machine only.
pub const DEFAULT_API_HOST: &str = "127.0.0.1";
/// The port the API listens on unless told otherwise.
pub const DEFAULT_API_PORT: u16 = 8080;

/// Where candles lie unless told otherwise.
pub const DEFAULT_CANDLES_PATH: &str = "data/ohlc";
/// Where the ingest job's page is unless told otherwise.
pub const DEFAULT_JOB_URL: &str = "http://127.0.0.1:8086";
/// Connections at a time unless told otherwise; each listener of the live stream is one.
pub const DEFAULT_CONNECTIONS: usize = 1024;
/// Rows of a SQL answer unless told otherwise.
pub const DEFAULT_SQL_ROWS: usize = 10_000;

/// Serves candles over HTTP, and a chart of them.
///
/// The dashboard is at /, the description of all paths at /api/v1/openapi.json. It stops on Ctrl-C or
/// SIGTERM, after the requests under way.
#[derive(Debug, Clone, Parser)]
#[command(name = "stockpulse-api", version, max_term_width = 100)]
pub struct ApiArgs {
    /// Address to listen on; 0.0.0.0 makes it reachable from other machines, as a container needs
    #[arg(long, env = "API_HOST", default_value = DEFAULT_API_HOST, value_name = "ADDRESS")]
    pub host: String,

    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "API_PORT", default_value_t = DEFAULT_API_PORT, value_name = "PORT")]
    pub port: u16,

    /// Folder of the candles, with or without date= folders in it
    #[arg(long, env = "CANDLES_PATH", default_value = DEFAULT_CANDLES_PATH, value_name = "FOLDER")]
    pub candles: PathBuf,

    /// Symbols that are watched, with commas between; /api/v1/status shows them
    #[arg(long, env = "SYMBOL_LIST", default_value = DEFAULT_SYMBOL_LIST, value_name = "SYMBOLS")]
    pub symbol_list: String,

    /// Kafka's address, host:port[,host:port…]; /api/v1/status shows it
    #[arg(long, env = "KAFKA_BROKER", default_value = DEFAULT_KAFKA_BROKER, value_name = "ADDRESS")]
    pub kafka_broker: String,

    /// The ingest job, which knows the candle of the running minute; none: only stored candles are served
    #[arg(
        long,
        env = "STOCKPULSE_JOB_URL",
        default_value = DEFAULT_JOB_URL,
        value_parser = parse_job_url,
        value_name = "URL"
    )]
    pub job_url: JobUrl,

    /// Which of the job's tables is served; without it, the one that has the candles' folder's name, or its only one
    #[arg(long, env = "STOCKPULSE_JOB_OUTPUT", value_name = "TABLE")]
    pub job_output: Option<String>,

    /// Token that the job asks for; better given by the variable, a command line is public
    #[arg(
        long,
        env = "STOCKPULSE_JOB_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub job_token: Option<Secret>,

    /// Token that clients must send (Authorization: Bearer …); better given by the variable
    #[arg(long, env = "API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<Secret>,

    /// Origins whose web pages may ask, as a charting library's page, with commas between
    #[arg(
        long,
        env = "API_ALLOW_ORIGIN",
        value_name = "ORIGINS",
        value_delimiter = ','
    )]
    pub allow_origin: Vec<String>,

    /// Connections at a time; further ones wait
    #[arg(
        long,
        env = "API_MAX_CONNECTIONS",
        default_value_t = DEFAULT_CONNECTIONS,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000),
        value_name = "N"
    )]
    pub max_connections: usize,

    /// Answer SELECTs over the candles at POST /api/v1/sql
    #[arg(long, env = "API_SQL", value_parser = clap::builder::FalseyValueParser::new())]
    pub sql: bool,

    /// Longest time that a SELECT may take
    #[arg(long, default_value = "10s", value_parser = parse_duration, value_name = "TIME")]
    pub sql_timeout: Duration,

    /// Rows of a SELECT's answer at the most
    #[arg(long, default_value_t = DEFAULT_SQL_ROWS, value_name = "ROWS")]
    pub sql_rows: usize,

    /// Memory that all SELECTs together may hold, in MB
    #[arg(long, default_value_t = 256, value_name = "MB")]
    pub sql_memory: usize,

    /// Log more
    #[arg(long, short)]
    pub verbose: bool,
}

/// Where the ingest job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobUrl {
    /// Nowhere: it is never asked.
    None,
    /// `http://` or `https://`, without a slash at its end.
    At(String),
}

fn parse_job_url(text: &str) -> Result<JobUrl, String> {
    let text = text.trim().trim_end_matches('/');
    if text == "none" {
        return Ok(JobUrl::None);
    }
    let host = (text.strip_prefix("http://")).or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['?', '#', '@', ' ']) => {
            Ok(JobUrl::At(text.to_string()))
        }
        _ => Err(format!(
            "write http://host:port or https://host:port, such as {DEFAULT_JOB_URL}, or none"
        )),
    }
}

/// What the API serves, and where. Its tokens are never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiOptions {
    /// Address to listen on: a name or an IP address.
    pub host: String,
    /// Port to listen on; 0: any free one.
    pub port: u16,
    /// Folder of the candles; it need not be there yet.
    pub candles: PathBuf,
    /// Symbols that are watched, as the feed names them.
    pub monitored_symbols: Vec<String>,
    /// Kafka's address, `host:port[,host:port…]`.
    pub kafka_broker: String,
    /// Where the ingest job is, for the candle of the running minute.
    pub job_url: JobUrl,
    /// Which of its tables is served.
    pub job_output: Option<String>,
    /// What the job asks for.
    pub job_token: Option<Secret>,
    /// What clients must send; none: nothing.
    pub token: Option<Secret>,
    /// Origins whose pages may ask.
    pub allow_origin: Vec<String>,
    /// Connections at a time, 1 and up.
    pub max_connections: usize,
    /// How SELECTs are limited; none: they are not answered.
    pub sql: Option<SqlLimits>,
}

/// The limits of one SELECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlLimits {
    /// Longest time.
    pub timeout: Duration,
    /// Rows of its answer at the most.
    pub rows: usize,
    /// Memory of all that run, in bytes.
    pub memory_bytes: usize,
}

impl Default for ApiOptions {
    fn default() -> ApiOptions {
        ApiOptions {
            host: DEFAULT_API_HOST.to_string(),
            port: DEFAULT_API_PORT,
            candles: PathBuf::from(DEFAULT_CANDLES_PATH),
            monitored_symbols: split_symbols(DEFAULT_SYMBOL_LIST),
            kafka_broker: DEFAULT_KAFKA_BROKER.to_string(),
            job_url: JobUrl::At(DEFAULT_JOB_URL.to_string()),
            job_output: None,
            job_token: None,
            token: None,
            allow_origin: Vec::new(),
            max_connections: DEFAULT_CONNECTIONS,
            sql: None,
        }
    }
}

impl From<ApiArgs> for ApiOptions {
    fn from(args: ApiArgs) -> ApiOptions {
        let limits = SqlLimits {
            timeout: args.sql_timeout,
            rows: args.sql_rows,
            memory_bytes: args.sql_memory.saturating_mul(1 << 20),
        };
        let not_empty = |secret: Secret| Some(secret).filter(|secret| !secret.reveal().is_empty());
        ApiOptions {
            host: args.host,
            port: args.port,
            candles: args.candles,
            monitored_symbols: split_symbols(&args.symbol_list),
            kafka_broker: args.kafka_broker,
            job_url: args.job_url,
            job_output: args.job_output,
            job_token: args.job_token.and_then(not_empty),
            token: args.token.and_then(not_empty),
            allow_origin: args.allow_origin,
            max_connections: args.max_connections,
            sql: args.sql.then_some(limits),
        }
    }
}

/// The symbols of a list with commas between, trimmed; empty entries are dropped.
pub fn split_symbols(list: &str) -> Vec<String> {
    list.split(',')
        .map(str::trim)
        .filter(|symbol| !symbol.is_empty())
        .map(str::to_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_trimmed() {
        assert_eq!(split_symbols(" A , B:C ,,"), ["A", "B:C"]);
    }

    #[test]
    fn a_job_is_at_an_address_or_nowhere() {
        let at = |url: &str| Ok(JobUrl::At(url.to_string()));
        assert_eq!(parse_job_url("http://a:1/"), at("http://a:1"));
        assert_eq!(parse_job_url("https://a/job"), at("https://a/job"));
        assert_eq!(parse_job_url("none"), Ok(JobUrl::None));
        for url in [
            "",
            "a:1",
            "file:///x",
            "http://",
            "http://me:secret@a",
            "http://a?x",
        ] {
            assert!(parse_job_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn tokens_are_not_shown() {
        let args = "stockpulse-api --token hunter1 --job-token hunter2 --sql";
        let args = ApiArgs::try_parse_from(args.split(' ')).unwrap();
        let options = ApiOptions::from(args.clone());
        assert!(!format!("{args:?} {options:?}").contains("hunter"));
        assert_eq!(options.token.unwrap().reveal(), "hunter1");
        assert_eq!(options.sql.unwrap().rows, DEFAULT_SQL_ROWS);
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        ApiArgs::command().debug_assert();
    }
}
