//! The command line of `stockpulse-api`.

use clap::Parser;

/// Watched when `SYMBOL_LIST` says nothing.
pub const DEFAULT_SYMBOL_LIST: &str = "BINANCE:ETHUSDT,BINANCE:BTCUSDT";
/// Used when `KAFKA_BROKER` says nothing.
pub const DEFAULT_KAFKA_BROKER: &str = "localhost:9092";
/// Where the API listens unless told otherwise: this machine only.
pub const DEFAULT_API_HOST: &str = "127.0.0.1";
/// The port the API listens on unless told otherwise.
pub const DEFAULT_API_PORT: u16 = 8080;

/// Serves what StockPulse knows over HTTP.
///
/// GET /api/v1/ping says that it is up; GET /api/v1/status says which symbols are watched, through
/// which Kafka. It stops on Ctrl-C or SIGTERM, after the requests under way.
#[derive(Debug, Clone, Parser)]
#[command(name = "stockpulse-api", version, max_term_width = 100)]
pub struct ApiArgs {
    /// Address to listen on; 0.0.0.0 makes it reachable from other machines, as a container needs
    #[arg(long, env = "API_HOST", default_value = DEFAULT_API_HOST, value_name = "ADDRESS")]
    pub host: String,

    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "API_PORT", default_value_t = DEFAULT_API_PORT, value_name = "PORT")]
    pub port: u16,

    /// Symbols that are watched, with commas between; /api/v1/status shows them
    #[arg(long, env = "SYMBOL_LIST", default_value = DEFAULT_SYMBOL_LIST, value_name = "SYMBOLS")]
    pub symbol_list: String,

    /// Kafka's address, host:port[,host:port…]; /api/v1/status shows it
    #[arg(long, env = "KAFKA_BROKER", default_value = DEFAULT_KAFKA_BROKER, value_name = "ADDRESS")]
    pub kafka_broker: String,

    /// Log more
    #[arg(long, short)]
    pub verbose: bool,
}

/// What the API serves, and where.
///
/// Deliberately: no token is in here, so none can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiOptions {
    /// Address to listen on: a name or an IP address.
    pub host: String,
    /// Port to listen on; 0: any free one.
    pub port: u16,
    /// Symbols that are watched, as the feed names them.
    pub monitored_symbols: Vec<String>,
    /// Kafka's address, `host:port[,host:port…]`.
    pub kafka_broker: String,
}

impl Default for ApiOptions {
    fn default() -> ApiOptions {
        ApiOptions {
            host: DEFAULT_API_HOST.to_string(),
            port: DEFAULT_API_PORT,
            monitored_symbols: split_symbols(DEFAULT_SYMBOL_LIST),
            kafka_broker: DEFAULT_KAFKA_BROKER.to_string(),
        }
    }
}

impl From<ApiArgs> for ApiOptions {
    fn from(args: ApiArgs) -> ApiOptions {
        ApiOptions {
            host: args.host,
            port: args.port,
            monitored_symbols: split_symbols(&args.symbol_list),
            kafka_broker: args.kafka_broker,
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
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        ApiArgs::command().debug_assert();
    }
}
