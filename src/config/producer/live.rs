//! The live feeds' flags and variables, and which symbol comes from which feed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::seconds;
use super::settings::{FeedConfig, LiveConfig, VenueConfig};
use crate::config::secret::Secret;

/// Finnhub's WebSocket.
pub const DEFAULT_FINNHUB_URL: &str = "wss://ws.finnhub.io";
/// Binance's streams, and its address that has market data only and is served in more countries.
pub const DEFAULT_BINANCE_URL: &str =
    "wss://stream.binance.com:9443,wss://data-stream.binance.vision";
/// Coinbase Exchange's WebSocket.
pub const DEFAULT_COINBASE_URL: &str = "wss://ws-feed.exchange.coinbase.com";
/// Kraken's WebSocket, version 2.
pub const DEFAULT_KRAKEN_URL: &str = "wss://ws.kraken.com/v2";
/// Streams of one connection to Binance at the most.
const BINANCE_STREAMS_MAX: usize = 1024;

/// The feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FeedName {
    /// Finnhub if FINNHUB_TOKEN is set, else the exchange that each symbol's prefix names.
    Auto,
    /// Finnhub's WebSocket; needs a token.
    Finnhub,
    /// Binance's trades, for symbols such as BINANCE:BTCUSDT; needs no token.
    Binance,
    /// Coinbase Exchange's trades, for symbols such as COINBASE:BTC-USD; needs no token.
    Coinbase,
    /// Kraken's trades, for symbols such as KRAKEN:BTC/USD; needs no token.
    Kraken,
    /// A made-up market; needs nothing.
    Simulated,
    /// Frames from a file.
    Replay,
}

impl FeedName {
    /// The exchanges that need no token.
    const EXCHANGES: [FeedName; 3] = [FeedName::Binance, FeedName::Coinbase, FeedName::Kraken];

    /// As it is written on the command line.
    pub(super) fn word(self) -> String {
        let value = self.to_possible_value().expect("no variant is skipped");
        value.get_name().to_string()
    }

    /// The exchange that a symbol's prefix names.
    fn of_prefix(symbol: &str) -> Option<FeedName> {
        let (prefix, _) = symbol.split_once(':')?;
        let named = |feed: &FeedName| feed.word().eq_ignore_ascii_case(prefix);
        FeedName::EXCHANGES.into_iter().find(named)
    }
}

/// What the live feeds have in common, and what each needs.
#[derive(Debug, Args)]
pub struct LiveArgs {
    /// Token of the finnhub feed; better given by the variable, a command line is public.
    #[arg(
        long,
        env = "FINNHUB_TOKEN",
        value_name = "TOKEN",
        default_value = "",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub finnhub_token: Secret,

    /// Address of the finnhub feed.
    #[arg(long, env = "FINNHUB_URL", value_name = "URL", default_value = DEFAULT_FINNHUB_URL)]
    pub finnhub_url: String,

    /// Addresses of the binance feed: where the first does not serve your country, the next is tried.
    #[arg(long, env = "BINANCE_URL", value_name = "URLS", default_value = DEFAULT_BINANCE_URL)]
    pub binance_url: String,

    /// Address of the coinbase feed.
    #[arg(long, env = "COINBASE_URL", value_name = "URL", default_value = DEFAULT_COINBASE_URL)]
    pub coinbase_url: String,

    /// Address of the kraken feed.
    #[arg(long, env = "KRAKEN_URL", value_name = "URL", default_value = DEFAULT_KRAKEN_URL)]
    pub kraken_url: String,

    /// File of certificate authorities (PEM) to trust beside the system's, as behind a proxy.
    #[arg(long, env = "STOCKPULSE_CA_FILE", value_name = "PATH")]
    pub ca_file: Option<PathBuf>,

    /// Seconds of silence after which a connection is made anew [default: 150 finnhub, 65 binance, 15 others].
    #[arg(long, env = "FEED_IDLE_TIMEOUT", value_name = "SECONDS", value_parser = seconds)]
    pub idle_timeout: Option<Duration>,

    /// Seconds without a tick after which a symbol is subscribed again [default: 300].
    #[arg(long, env = "SYMBOL_IDLE_TIMEOUT", value_name = "SECONDS", value_parser = seconds)]
    pub symbol_idle_timeout: Option<Duration>,
}

impl LiveArgs {
    /// A configuration a feed, each with its symbols: a symbol goes to the exchange that its prefix names if
    /// that is among `names`, else to finnhub if that is.
    pub(super) fn feeds(
        &self,
        names: &[FeedName],
        symbols: &[String],
    ) -> Result<Vec<FeedConfig>, String> {
        let has_token = !self.finnhub_token.reveal().trim().is_empty();
        let names = match names {
            [FeedName::Auto] if has_token => &[FeedName::Finnhub],
            [FeedName::Auto] => FeedName::EXCHANGES.as_slice(),
            names => names,
        };
        let mut feeds: Vec<(FeedName, Vec<String>)> = Vec::new();
        for symbol in symbols {
            let feed = feed_of(symbol, names, has_token)?;
            check_symbol(symbol, feed)?;
            let same = |known: &String| {
                // Exchanges do not tell capitals from small letters.
                feed != FeedName::Finnhub && known.eq_ignore_ascii_case(symbol)
            };
            match feeds.iter_mut().find(|(name, _)| *name == feed) {
                Some((_, symbols)) if symbols.iter().any(same) => {}
                Some((_, symbols)) => symbols.push(symbol.clone()),
                None => feeds.push((feed, vec![symbol.clone()])),
            }
        }
        let unused = names
            .iter()
            .find(|name| !feeds.iter().any(|(feed, _)| feed == *name));
        if let (Some(unused), false) = (unused, names == FeedName::EXCHANGES) {
            let word = unused.word();
            return Err(format!(
                "--feed {word}: none of the symbols (SYMBOL_LIST or --symbols) comes from there"
            ));
        }
        let live = |(name, symbols): (FeedName, Vec<String>)| {
            for timeout in [self.idle_timeout, self.symbol_idle_timeout] {
                if timeout == Some(Duration::ZERO) {
                    return Err(
                        "--idle-timeout and --symbol-idle-timeout: write seconds above 0"
                            .to_string(),
                    );
                }
            }
            Ok(FeedConfig::Live(LiveConfig {
                venue: self.venue(name, symbols.len())?,
                symbols,
                ca_file: self.ca_file.clone(),
                idle_timeout: self.idle_timeout,
                symbol_idle_timeout: self.symbol_idle_timeout,
            }))
        };
        feeds.into_iter().map(live).collect()
    }

    fn venue(&self, name: FeedName, symbols: usize) -> Result<VenueConfig, String> {
        Ok(match name {
            FeedName::Binance => {
                if symbols > BINANCE_STREAMS_MAX {
                    return Err(format!(
                        "SYMBOL_LIST or --symbols: {symbols} symbols of Binance are more than the {BINANCE_STREAMS_MAX} \
                         of a connection; divide them among several producers"
                    ));
                }
                let urls = self.binance_url.split(',');
                let urls: Result<_, _> = urls.map(|url| web_socket("BINANCE", url)).collect();
                VenueConfig::Binance { urls: urls? }
            }
            FeedName::Coinbase => VenueConfig::Coinbase {
                url: web_socket("COINBASE", &self.coinbase_url)?,
            },
            FeedName::Kraken => VenueConfig::Kraken {
                url: web_socket("KRAKEN", &self.kraken_url)?,
            },
            _ => VenueConfig::Finnhub {
                url: web_socket("FINNHUB", &self.finnhub_url)?,
                token: self.token()?,
            },
        })
    }

    fn token(&self) -> Result<Secret, String> {
        let token = self.finnhub_token.reveal().trim();
        if token.is_empty() {
            return Err(
                "the finnhub feed needs a token: set FINNHUB_TOKEN (free at https://finnhub.io), or take --feed \
                 binance, coinbase, kraken or simulated, which need none"
                    .to_string(),
            );
        }
        Ok(Secret::new(token))
    }
}

fn feed_of(symbol: &str, names: &[FeedName], has_token: bool) -> Result<FeedName, String> {
    let of_prefix = FeedName::of_prefix(symbol).filter(|feed| names.contains(feed));
    let finnhub = names
        .contains(&FeedName::Finnhub)
        .then_some(FeedName::Finnhub);
    of_prefix.or(finnhub).ok_or_else(|| {
        let words: Vec<String> = names.iter().map(|name| name.word()).collect();
        let token = if has_token { "" } else { ", or set FINNHUB_TOKEN (free at https://finnhub.io)" };
        format!(
            "symbol {symbol} is none of {}: write BINANCE:BTCUSDT, COINBASE:BTC-USD or KRAKEN:BTC/USD{token}",
            words.join(", ")
        )
    })
}

/// Each exchange writes its symbols in its own way; one that cannot be is not sent there.
fn check_symbol(symbol: &str, feed: FeedName) -> Result<(), String> {
    let name = symbol.split_once(':').map_or(symbol, |(_, name)| name);
    let legal = |more: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let (fine, example) = match feed {
        FeedName::Binance => (legal("_"), "BINANCE:BTCUSDT"),
        FeedName::Coinbase => (legal("-") && name.contains('-'), "COINBASE:BTC-USD"),
        FeedName::Kraken => (legal("/.-") && name.contains('/'), "KRAKEN:BTC/USD"),
        _ => (true, ""),
    };
    if fine {
        return Ok(());
    }
    Err(format!(
        "symbol {symbol} is not written as {} writes its symbols: {example}",
        feed.word()
    ))
}

fn web_socket(venue: &str, url: &str) -> Result<String, String> {
    let (url, flag) = (url.trim(), venue.to_ascii_lowercase());
    let has_host = ["ws://", "wss://"].iter().any(|scheme| {
        url.strip_prefix(scheme)
            .is_some_and(|host| !host.is_empty())
    });
    if has_host {
        Ok(url.to_string())
    } else {
        Err(format!(
            "{venue}_URL or --{flag}-url: write ws://host… or wss://host…"
        ))
    }
}
