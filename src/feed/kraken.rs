//! Kraken's spot market, version 2 of its protocol: channel `trade`, prices and sizes are JSON numbers, each
//! symbol's trade ids count up by one, and a heartbeat comes about every second.
//! Protocol: <https://docs.kraken.com/api/docs/websocket-v2/trade>.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ticks::is_number;
use super::venue::{Said, Trade, Venue};
use crate::config::secret::Secret;

/// A heartbeat comes about every second when nothing else does.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// The feed of Kraken's trades.
#[derive(Debug)]
pub struct Kraken {
    url: String,
    requests: u64,
}

impl Kraken {
    /// `url` is the whole address.
    pub fn new(url: &str) -> Kraken {
        Kraken {
            url: url.to_string(),
            requests: 0,
        }
    }

    fn request(&mut self, method: &str, symbols: &[&str]) -> String {
        self.requests += 1;
        let mut params = serde_json::json!({ "channel": "trade", "symbol": symbols });
        if method == "subscribe" {
            params["snapshot"] = false.into();
        }
        serde_json::json!({ "method": method, "params": params, "req_id": self.requests })
            .to_string()
    }
}

impl Venue for Kraken {
    fn name(&self) -> &'static str {
        "kraken"
    }

    fn url(&self, _symbols: &[&str]) -> Secret {
        Secret::new(&self.url)
    }

    fn subscribe(&mut self, symbols: &[&str]) -> Vec<String> {
        vec![self.request("subscribe", symbols)]
    }

    /// A subscription that is there is not made again, so it is ended first.
    fn subscribe_again(&mut self, symbols: &[&str]) -> Vec<String> {
        ["unsubscribe", "subscribe"]
            .map(|method| self.request(method, symbols))
            .to_vec()
    }

    fn idle_timeout(&self) -> Duration {
        IDLE_TIMEOUT
    }

    fn hear<'a>(&mut self, message: &'a Bytes) -> Said<'a> {
        let message: Message<'a> = match serde_json::from_slice(message) {
            Ok(message) => message,
            Err(error) => return Said::Malformed(super::malformed(&error)),
        };
        if message.success == Some(false) {
            return message.into_refusal();
        }
        match (message.channel.as_deref(), message.data) {
            (Some("trade"), Some(data)) => trades(&data),
            (Some("trade"), None) => Said::Malformed("a trade message without data".to_string()),
            (Some("heartbeat" | "status"), _) => Said::Alive,
            (Some(other), _) => Said::Other(super::shown(other)),
            (None, _) if message.method.is_some() => Said::Alive,
            (None, _) => Said::Malformed("neither a channel nor an answer".to_string()),
        }
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default, borrow)]
    channel: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    data: Option<Vec<&'a RawValue>>,
    #[serde(default, borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(default)]
    success: Option<bool>,
    #[serde(default, borrow)]
    error: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    symbol: Option<Cow<'a, str>>,
}

impl<'a> Message<'a> {
    /// `{"error":"Currency pair not supported FOO/BAR","method":"subscribe","success":false,"symbol":"FOO/BAR",…}`
    fn into_refusal(self) -> Said<'a> {
        let why = super::shown(self.error.as_deref().unwrap_or("no reason is given"));
        let method = self.method.as_deref().unwrap_or_default();
        match self.symbol {
            Some(_) if method != "subscribe" || why.contains("Already subscribed") => Said::Alive,
            Some(symbol) => Said::SymbolRefused {
                symbol: symbol.into_owned(),
                why,
                all: false,
            },
            None => Said::Error(why),
        }
    }
}

#[derive(Deserialize)]
struct Element<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    qty: &'a RawValue,
    trade_id: u64,
    timestamp: &'a str,
}

/// The trades of a message; if one of them cannot be read, the message is malformed only when none can: an id
/// that does not come is missing, and told as such.
fn trades<'a>(data: &[&'a RawValue]) -> Said<'a> {
    let trades: Vec<Trade<'a>> = data.iter().filter_map(|element| trade(element)).collect();
    if trades.is_empty() && !data.is_empty() {
        return Said::Malformed("a trade without symbol, price, qty, id or time".to_string());
    }
    Said::Trades(trades)
}

fn trade<'a>(element: &'a RawValue) -> Option<Trade<'a>> {
    let element: Element<'a> = serde_json::from_str(element.get()).ok()?;
    let (price, size) = (element.price.get(), element.qty.get());
    let time = DateTime::parse_from_rfc3339(element.timestamp).ok()?;
    (is_number(price) && is_number(size)).then_some(Trade {
        symbol: element.symbol,
        price,
        size,
        event_ms: time.timestamp_millis(),
        id: element.trade_id,
        repeated: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(message: &'static str) -> Said<'static> {
        let message = Box::leak(Box::new(Bytes::from_static(message.as_bytes())));
        Kraken::new("wss://x/v2").hear(message)
    }

    #[test]
    fn trades_keep_their_digits_and_a_bad_one_spoils_only_itself() {
        let said = hear(
            r#"{"channel":"trade","type":"update","data":[{"symbol":"MATIC\/USD","side":"sell","price":0.5117000,"qty":1e-5,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"},{"symbol":"MATIC/USD"},{"symbol":"BTC/USD","price":7,"qty":2.50,"trade_id":1,"timestamp":"2023-09-25T07:49:37Z"}]}"#,
        );
        let trade = |symbol: &'static str, price, size, event_ms, id| Trade {
            symbol: symbol.into(),
            price,
            size,
            event_ms,
            id,
            repeated: false,
        };
        let expected = vec![
            trade(
                "MATIC/USD",
                "0.5117000",
                "1e-5",
                1_695_628_177_708,
                4_665_906,
            ),
            trade("BTC/USD", "7", "2.50", 1_695_628_177_000, 1),
        ];
        assert_eq!(said, Said::Trades(expected));
    }

    #[test]
    fn what_is_no_trade_is_told_apart() {
        for alive in [
            r#"{"channel":"heartbeat"}"#,
            r#"{"channel":"status","data":[{"api_version":"v2","connection_id":12345,"system":"online","version":"2.0.0"}],"type":"update"}"#,
            r#"{"method":"subscribe","result":{"channel":"trade","snapshot":false,"symbol":"BTC/USD"},"success":true,"time_in":"2023-09-25T09:04:31.742599Z","time_out":"2023-09-25T09:04:31.742648Z","req_id":1}"#,
            r#"{"error":"Already subscribed to one ore more symbols","method":"subscribe","success":false,"symbol":"BTC/USD"}"#,
        ] {
            assert_eq!(hear(alive), Said::Alive, "{alive}");
        }
        assert_eq!(
            hear(
                r#"{"error":"Currency pair not supported FOO/BAR","method":"subscribe","req_id":1,"success":false,"symbol":"FOO/BAR"}"#
            ),
            Said::SymbolRefused {
                symbol: "FOO/BAR".to_string(),
                why: "Currency pair not supported FOO/BAR".to_string(),
                all: false,
            }
        );
        assert_eq!(
            hear(r#"{"channel":"book","data":[]}"#),
            Said::Other("book".to_string())
        );
        for wrong in [
            "{}",
            r#"{"channel":"trade"}"#,
            r#"{"channel":"trade","data":[{"price":1}]}"#,
            r#"{"channel":"trade","data":[{"symbol":"A/B","price":"1","qty":1,"trade_id":1,"timestamp":"2023-09-25T07:49:37Z"}]}"#,
            r#"{"channel":"trade","data":{}}"#,
        ] {
            assert!(matches!(hear(wrong), Said::Malformed(_)), "{wrong}");
        }
    }
}
