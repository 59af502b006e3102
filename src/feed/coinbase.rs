//! Coinbase Exchange: channels `matches` and `heartbeat`, prices and sizes are texts, each product's trade ids
//! count up by one, and a heartbeat a second names the latest.
//! Protocol: <https://docs.cdp.coinbase.com/exchange/websocket-feed/overview>.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use serde::Deserialize;

use super::ticks::is_number;
use super::venue::{Said, Trade, Venue};
use crate::config::secret::Secret;

/// A heartbeat comes each second for each product.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// The feed of Coinbase Exchange's trades.
#[derive(Debug)]
pub struct Coinbase {
    url: String,
}

impl Coinbase {
    /// `url` is the whole address.
    pub fn new(url: &str) -> Coinbase {
        Coinbase {
            url: url.to_string(),
        }
    }
}

impl Venue for Coinbase {
    fn name(&self) -> &'static str {
        "coinbase"
    }

    fn url(&self, _symbols: &[&str]) -> Secret {
        Secret::new(&self.url)
    }

    /// It must come within 5 s.
    fn subscribe(&mut self, symbols: &[&str]) -> Vec<String> {
        let message = serde_json::json!({
            "type": "subscribe",
            "product_ids": symbols,
            "channels": ["matches", "heartbeat"],
        });
        vec![message.to_string()]
    }

    fn idle_timeout(&self) -> Duration {
        IDLE_TIMEOUT
    }

    fn hear<'a>(&mut self, message: &'a Bytes) -> Said<'a> {
        let message: Message<'a> = match serde_json::from_slice(message) {
            Ok(message) => message,
            Err(error) => return Said::Malformed(super::malformed(&error)),
        };
        match message.kind.as_ref() {
            "match" => message.into_trade(false),
            "last_match" => message.into_trade(true),
            "heartbeat" => match (message.product_id, message.last_trade_id, ms(message.time)) {
                (Some(symbol), Some(id), Some(said_ms)) => Said::LatestTrade(symbol, id, said_ms),
                _ => Said::Malformed("a heartbeat without product, trade or time".to_string()),
            },
            "subscriptions" => Said::Alive,
            "error" => message.into_error(),
            other => Said::Other(super::shown(other)),
        }
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(default)]
    trade_id: Option<u64>,
    #[serde(default, borrow)]
    product_id: Option<Cow<'a, str>>,
    #[serde(default)]
    price: Option<&'a str>,
    #[serde(default)]
    size: Option<&'a str>,
    #[serde(default)]
    time: Option<&'a str>,
    #[serde(default)]
    last_trade_id: Option<u64>,
    #[serde(default, borrow)]
    message: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    reason: Option<Cow<'a, str>>,
}

impl<'a> Message<'a> {
    fn into_trade(self, repeated: bool) -> Said<'a> {
        match (
            self.product_id,
            self.trade_id,
            self.price,
            self.size,
            ms(self.time),
        ) {
            (Some(symbol), Some(id), Some(price), Some(size), Some(event_ms))
                if is_number(price) && is_number(size) =>
            {
                Said::Trades(vec![Trade {
                    symbol,
                    price,
                    size,
                    event_ms,
                    id,
                    repeated,
                }])
            }
            _ => Said::Malformed("a match without product, price, size, id or time".to_string()),
        }
    }

    /// `{"type":"error","message":"Failed to subscribe","reason":"FOO-BAR is not a valid product"}`: then
    /// nothing of that message is subscribed.
    fn into_error(self) -> Said<'a> {
        let reason = self.reason.unwrap_or_default();
        let text = match self.message {
            Some(message) if reason.is_empty() => super::shown(&message),
            Some(message) => super::shown(&format!("{message}: {reason}")),
            None => super::shown(&reason),
        };
        match reason.split_once(" is not a valid product") {
            Some((symbol, _)) => Said::SymbolRefused {
                symbol: symbol.to_string(),
                why: text,
                all: true,
            },
            None => Said::Error(text),
        }
    }
}

/// Milliseconds since 1970 UTC.
fn ms(time: Option<&str>) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(time?).ok()?;
    Some(time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(message: &'static str) -> Said<'static> {
        let message = Box::leak(Box::new(Bytes::from_static(message.as_bytes())));
        Coinbase::new("wss://x").hear(message)
    }

    #[test]
    fn a_match_is_a_trade_and_a_last_match_a_repeated_one() {
        const MATCH: &str = r#"{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66-ca53-498f-9c13-a110027a60e8","taker_order_id":"132fb6ae-456b-4654-b4e0-d681ac05cea1","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}"#;
        let trade = Trade {
            symbol: "BTC-USD".into(),
            price: "400.23",
            size: "5.23512",
            event_ms: 1_415_348_367_028,
            id: 10,
            repeated: false,
        };
        assert_eq!(hear(MATCH), Said::Trades(vec![trade.clone()]));
        let repeated = Trade {
            repeated: true,
            ..trade
        };
        let last = MATCH.replace("match", "last_match");
        assert_eq!(hear(last.leak()), Said::Trades(vec![repeated]));
    }

    #[test]
    fn what_is_no_match_is_told_apart() {
        assert_eq!(
            hear(
                r#"{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"2014-11-07T08:19:28.464459Z"}"#
            ),
            Said::LatestTrade("BTC-USD".into(), 20, 1_415_348_368_464)
        );
        assert_eq!(
            hear(
                r#"{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"],"account_ids":null}]}"#
            ),
            Said::Alive
        );
        assert_eq!(
            hear(
                r#"{"type":"error","message":"Failed to subscribe","reason":"FOO-BAR is not a valid product"}"#
            ),
            Said::SymbolRefused {
                symbol: "FOO-BAR".to_string(),
                why: "Failed to subscribe: FOO-BAR is not a valid product".to_string(),
                all: true,
            }
        );
        assert_eq!(
            hear(r#"{"type":"error","message":"Malformed JSON"}"#),
            Said::Error("Malformed JSON".to_string())
        );
        for wrong in [
            r#"{"type":"match","trade_id":10}"#,
            r#"{"type":"match","trade_id":10,"product_id":"A","size":"1","price":"1","time":"noon"}"#,
            r#"{"type":"heartbeat"}"#,
            "{}",
        ] {
            assert!(matches!(hear(wrong), Said::Malformed(_)), "{wrong}");
        }
    }
}
