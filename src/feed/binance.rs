//! Binance's spot market: the symbols are in the address, prices and sizes are texts, each symbol's trade ids
//! count up by one.
//! Protocol: <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams>.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tracing::warn;

use super::loss::{FeedError, Loss};
use super::ticks::is_number;
use super::venue::{Said, Trade, Venue};
use crate::config::secret::Secret;

/// The server pings every 20 s; three missed ones mean that it is gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(65);
/// The server cuts a connection after 24 hours.
const RENEW_AFTER: Duration = Duration::from_secs(23 * 3600 + 45 * 60);
/// Streams of one message that subscribes; the limit is five messages a second, pongs included.
const STREAMS_PER_MESSAGE: usize = 400;

/// The feed of Binance's trades.
#[derive(Debug)]
pub struct Binance {
    urls: Vec<String>,
    /// Which of the addresses is used.
    at: usize,
    messages: u64,
}

impl Binance {
    /// `urls` without path; the next one is taken where one does not serve the user's country.
    pub fn new(urls: &[String]) -> Binance {
        Binance {
            urls: urls.to_vec(),
            at: 0,
            messages: 0,
        }
    }
}

impl Venue for Binance {
    fn name(&self) -> &'static str {
        "binance"
    }

    fn url(&self, symbols: &[&str]) -> Secret {
        let base = self.urls.get(self.at).map_or("", String::as_str);
        let streams: Vec<String> = symbols.iter().map(|symbol| stream(symbol)).collect();
        Secret::new(format!(
            "{}/stream?streams={}",
            base.trim_end_matches('/'),
            streams.join("/")
        ))
    }

    fn subscribe(&mut self, _symbols: &[&str]) -> Vec<String> {
        Vec::new()
    }

    fn subscribe_again(&mut self, symbols: &[&str]) -> Vec<String> {
        let message = |symbols: &[&str]| {
            self.messages += 1;
            let streams: Vec<String> = symbols.iter().map(|symbol| stream(symbol)).collect();
            serde_json::json!({ "method": "SUBSCRIBE", "params": streams, "id": self.messages })
                .to_string()
        };
        symbols.chunks(STREAMS_PER_MESSAGE).map(message).collect()
    }

    fn idle_timeout(&self) -> Duration {
        IDLE_TIMEOUT
    }

    fn renew_after(&self) -> Option<Duration> {
        Some(RENEW_AFTER)
    }

    fn hear<'a>(&mut self, message: &'a Bytes) -> Said<'a> {
        let message: Message<'a> = match serde_json::from_slice(message) {
            Ok(message) => message,
            Err(error) => return Said::Malformed(super::malformed(&error)),
        };
        if let Some(error) = message.error {
            return Said::Error(super::shown(&error.msg));
        }
        match (message.data, message.e) {
            (Some(event), _) => event.into_said(),
            (None, Some(kind)) => of_kind(&kind),
            // The answer to a subscription: {"result":null,"id":1}.
            (None, None) => Said::Alive,
        }
    }

    fn refused(&mut self, loss: Loss) -> FeedError {
        if loss.status != Some(451) {
            return FeedError::Lost(loss);
        }
        self.at += 1;
        if self.at < self.urls.len() {
            warn!(
                "Binance does not serve this country from its first address (451); its market-data address is tried."
            );
            return FeedError::Lost(loss);
        }
        self.at = 0;
        FeedError::Refused(
            "Binance does not serve the country that you are in (451 Unavailable For Legal Reasons); take symbols \
             of another exchange, such as COINBASE:BTC-USD or KRAKEN:BTC/USD, or name another address in BINANCE_URL"
                .to_string(),
        )
    }
}

fn of_kind(kind: &str) -> Said<'static> {
    match kind {
        "serverShutdown" => Said::Leaving,
        other => Said::Other(super::shown(other)),
    }
}

fn stream(symbol: &str) -> String {
    format!("{}@trade", symbol.to_ascii_lowercase())
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default, borrow)]
    data: Option<Event<'a>>,
    #[serde(default, borrow)]
    error: Option<Complaint<'a>>,
    /// The kind of an event that is not wrapped.
    #[serde(default, borrow)]
    e: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Complaint<'a> {
    #[serde(default, borrow)]
    msg: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    e: Cow<'a, str>,
    #[serde(default, borrow)]
    s: Option<Cow<'a, str>>,
    #[serde(default)]
    t: Option<u64>,
    #[serde(default)]
    p: Option<&'a str>,
    #[serde(default)]
    q: Option<&'a str>,
    #[serde(default, rename = "T")]
    traded_ms: Option<i64>,
}

impl<'a> Event<'a> {
    fn into_said(self) -> Said<'a> {
        if self.e != "trade" {
            return of_kind(&self.e);
        }
        match (self.s, self.t, self.p, self.q, self.traded_ms) {
            (Some(symbol), Some(id), Some(price), Some(size), Some(event_ms))
                if is_number(price) && is_number(size) =>
            {
                Said::Trades(vec![Trade {
                    symbol,
                    price,
                    size,
                    event_ms,
                    id,
                    repeated: false,
                }])
            }
            _ => Said::Malformed("a trade without price, size, id or time".to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::loss::LossReason;

    fn binance() -> Binance {
        Binance::new(&["wss://one:9443".to_string(), "wss://two/".to_string()])
    }

    fn hear(message: &'static str) -> String {
        format!(
            "{:?}",
            binance().hear(&Bytes::from_static(message.as_bytes()))
        )
    }

    #[test]
    fn a_trade_keeps_its_digits() {
        let message = Bytes::from_static(
            br#"{"stream":"bnbbtc@trade","data":{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.00100000","q":"100.00000000","T":1672515782135,"m":true,"M":true}}"#,
        );
        let trade = Trade {
            symbol: "BNBBTC".into(),
            price: "0.00100000",
            size: "100.00000000",
            event_ms: 1_672_515_782_135,
            id: 12_345,
            repeated: false,
        };
        assert_eq!(binance().hear(&message), Said::Trades(vec![trade]));
    }

    #[test]
    fn what_is_no_trade_is_told_apart() {
        assert_eq!(hear(r#"{"result":null,"id":1}"#), "Alive");
        assert_eq!(
            hear(r#"{"error":{"code":2,"msg":"Invalid request"},"id":1}"#),
            r#"Error("Invalid request")"#
        );
        assert_eq!(
            hear(r#"{"stream":"x","data":{"e":"serverShutdown","E":1}}"#),
            "Leaving"
        );
        assert_eq!(hear(r#"{"e":"serverShutdown","E":1}"#), "Leaving");
        assert_eq!(
            hear(r#"{"stream":"x","data":{"e":"kline"}}"#),
            r#"Other("kline")"#
        );
        for wrong in [
            r#"{"data":{"e":"trade","s":"A","t":1,"p":"x","q":"1","T":1}}"#,
            r#"{"data":{"e":"trade","s":"A","t":1,"p":"1","q":"1"}}"#,
            r#"{"data":{"e":"trade","s":"A","t":-1,"p":"1","q":"1","T":1}}"#,
            "[",
            "",
        ] {
            assert!(hear(wrong).starts_with("Malformed"), "{wrong}");
        }
    }

    #[test]
    fn symbols_are_streams_of_the_address() {
        let mut binance = binance();
        assert_eq!(binance.venues_name("BINANCE:btcusdt"), "BTCUSDT");
        let url = |binance: &Binance| binance.url(&["BTCUSDT", "ETHUSDT"]).reveal().to_string();
        assert_eq!(
            url(&binance),
            "wss://one:9443/stream?streams=btcusdt@trade/ethusdt@trade"
        );
        assert_eq!(
            binance.subscribe_again(&["BTCUSDT"]),
            [r#"{"id":1,"method":"SUBSCRIBE","params":["btcusdt@trade"]}"#]
        );
        let blocked = || Loss {
            status: Some(451),
            ..Loss::new(LossReason::Blocked, "451")
        };
        assert!(matches!(binance.refused(blocked()), FeedError::Lost(_)));
        assert!(url(&binance).starts_with("wss://two/stream?"));
        let FeedError::Refused(text) = binance.refused(blocked()) else {
            panic!("tried for ever");
        };
        assert!(
            text.contains("COINBASE:BTC-USD") && text.contains("451"),
            "{text}"
        );
    }
}
