//! What the venues say, in frames as they were recorded or are documented.

/// Which venue's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    Finnhub,
    Binance,
    Coinbase,
    Kraken,
}

/// A trade to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// Which of [`Speech::SYMBOLS`].
    pub symbol: usize,
    pub id: u64,
}

/// When trades begin, milliseconds since 1970 UTC.
const START_MS: i64 = 1_750_000_000_000;

impl Speech {
    pub const ALL: [Speech; 4] = [
        Speech::Finnhub,
        Speech::Binance,
        Speech::Coinbase,
        Speech::Kraken,
    ];

    /// As configured.
    pub fn symbols(self) -> [&'static str; 2] {
        match self {
            Speech::Finnhub => ["BINANCE:BTCUSDT", "AAPL"],
            Speech::Binance => ["BINANCE:BTCUSDT", "BINANCE:ETHUSDT"],
            Speech::Coinbase => ["COINBASE:BTC-USD", "COINBASE:ETH-USD"],
            Speech::Kraken => ["KRAKEN:BTC/USD", "KRAKEN:ETH/USD"],
        }
    }

    /// As the venue names it.
    pub fn name(self, symbol: usize) -> &'static str {
        let symbol = self.symbols()[symbol];
        match self {
            Speech::Finnhub => symbol,
            _ => symbol.split_once(':').unwrap().1,
        }
    }

    pub fn has_ids(self) -> bool {
        self != Speech::Finnhub
    }

    /// What the server says before it is asked.
    pub fn greeting(self) -> Vec<String> {
        match self {
            Speech::Kraken => vec![
                r#"{"channel":"status","data":[{"api_version":"v2","connection_id":12345678,"system":"online","version":"2.0.0"}],"type":"update"}"#.to_string(),
            ],
            _ => Vec::new(),
        }
    }

    /// How many messages subscribe.
    pub fn subscriptions(self, _path: &str) -> usize {
        match self {
            Speech::Finnhub => 2,
            Speech::Binance => 0,
            Speech::Coinbase | Speech::Kraken => 1,
        }
    }

    /// What the server answers to them.
    pub fn answers(self, _subscribed: &[String]) -> Vec<String> {
        let each =
            |text: &dyn Fn(&str) -> String| (0..2).map(|symbol| text(self.name(symbol))).collect();
        match self {
            Speech::Finnhub | Speech::Binance => Vec::new(),
            Speech::Coinbase => vec![format!(
                r#"{{"type":"subscriptions","channels":[{{"name":"matches","product_ids":["{0}","{1}"],"account_ids":null}},{{"name":"heartbeat","product_ids":["{0}","{1}"],"account_ids":null}}]}}"#,
                self.name(0),
                self.name(1)
            )],
            Speech::Kraken => each(&|name| {
                format!(
                    r#"{{"method":"subscribe","result":{{"channel":"trade","snapshot":false,"symbol":"{name}"}},"success":true,"time_in":"2023-09-25T09:04:31.742599Z","time_out":"2023-09-25T09:04:31.742648Z","req_id":1}}"#
                )
            }),
        }
    }

    /// A sign of life; `None`: the protocol's ping.
    pub fn beat(self) -> Option<String> {
        match self {
            Speech::Finnhub => Some(r#"{"type":"ping"}"#.to_string()),
            Speech::Binance => None,
            Speech::Coinbase => Some(
                r#"{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"XXX-YYY","time":"2014-11-07T08:19:28.464459Z"}"#
                    .to_string(),
            ),
            Speech::Kraken => Some(r#"{"channel":"heartbeat"}"#.to_string()),
        }
    }

    /// A trade, with digits that a float would lose.
    pub fn trade(self, told: Told) -> String {
        let (name, id, t) = (self.name(told.symbol), told.id, event_ms(told));
        let price = price(told);
        match self {
            Speech::Finnhub => format!(
                r#"{{"data":[{{"c":null,"p":{price},"s":"{name}","t":{t},"v":0.010}}],"type":"trade"}}"#
            ),
            Speech::Binance => format!(
                r#"{{"stream":"{}@trade","data":{{"e":"trade","E":{},"s":"{name}","t":{id},"p":"{price}","q":"0.010","T":{t},"m":true,"M":true}}}}"#,
                name.to_lowercase(),
                t + 1
            ),
            Speech::Coinbase => self.coinbase(told, "match"),
            Speech::Kraken => format!(
                r#"{{"channel":"trade","type":"update","data":[{{"symbol":"{name}","side":"sell","price":{price},"qty":0.010,"ord_type":"market","trade_id":{id},"timestamp":"{}"}}]}}"#,
                time(told)
            ),
        }
    }

    /// Coinbase's word for the latest trade at a subscription.
    pub fn last_match(self, told: Told) -> String {
        assert_eq!(self, Speech::Coinbase);
        self.coinbase(told, "last_match")
    }

    fn coinbase(self, told: Told, kind: &str) -> String {
        format!(
            r#"{{"type":"{kind}","trade_id":{},"maker_order_id":"ac928c66-ca53-498f-9c13-a110027a60e8","taker_order_id":"132fb6ae-456b-4654-b4e0-d681ac05cea1","side":"sell","size":"0.010","price":"{}","product_id":"{}","sequence":50,"time":"{}"}}"#,
            told.id,
            price(told),
            self.name(told.symbol),
            time(told)
        )
    }

    /// What should be in the topic for a trade.
    pub fn tick(self, told: Told) -> String {
        let (symbol, t, price) = (self.symbols()[told.symbol], event_ms(told), price(told));
        match self {
            Speech::Finnhub => self.trade(told),
            _ => format!(
                r#"{{"data":[{{"c":null,"p":{price},"s":"{symbol}","t":{t},"v":0.010,"i":"{}"}}],"type":"trade"}}"#,
                told.id
            ),
        }
    }
}

/// The id is in the price, so that a tick without id can be told from others.
fn price(told: Told) -> String {
    format!("{}.000000000000000010", told.id)
}

fn event_ms(told: Told) -> i64 {
    START_MS + told.id as i64
}

fn time(told: Told) -> String {
    let time = chrono::DateTime::from_timestamp_millis(event_ms(told)).unwrap();
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
