//! The made-up market itself: random walks, bursts, stragglers, frames of several ticks and symbols,
//! pings. Pure: the same seed, symbols, rate and start give the same frames.

use std::fmt::Write;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::symbols::{LISTINGS, Listing, find};

/// Ticks in a frame at the most.
const FRAME_TICKS_MAX: u32 = 8;
/// Chance of one more tick in a frame.
const ONE_MORE_TICK: f64 = 0.45;
/// Chance that a frame may hold several symbols.
const SEVERAL_SYMBOLS: f64 = 0.06;
/// In a burst the market trades this many times as often as outside.
const BURST_FACTOR: f64 = 8.0;
/// Mean lengths of calm and of bursts, milliseconds.
const CALM_MS: f64 = 38_000.0;
const BURST_MS: f64 = 2_000.0;
/// In a burst this much of the trading is in one symbol.
const BURST_SHARE: f64 = 0.7;
/// From the trade to the frame's sending, milliseconds: usually, and for a straggler.
const DELAY_MS: std::ops::Range<i64> = 15..120;
const STRAGGLER_DELAY_MS: std::ops::Range<i64> = 400..5_000;
/// Chance that a tick is a straggler.
const STRAGGLER: f64 = 0.02;
/// A ping is sent this often, milliseconds.
const PING_MS: i64 = 20_000;
/// How far a price moves with a tick: standard deviation relative to the price.
const VOLATILITY: f64 = 0.000_12;
/// How strongly a price is drawn to where it began, so that it stays in sight for days.
const PULL: f64 = 0.000_01;
/// A usual trade, in the quote currency.
const NOTIONAL: f64 = 250.0;

/// A frame of the made-up market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulatedFrame<'a> {
    /// When it is sent, milliseconds since 1970 UTC; never before the frame that preceded it.
    pub sent_ms: i64,
    /// Ticks in it; 0 is a ping.
    pub ticks: u32,
    /// The JSON text.
    pub text: &'a str,
}

/// A made-up market at one moment.
#[derive(Debug)]
pub struct Market {
    random: Xoshiro256PlusPlus,
    coins: Vec<Coin>,
    /// Sums of the coins' weights up to each.
    weights: Vec<u32>,
    /// Frames per millisecond outside of bursts.
    calm_frames_per_ms: f64,
    now_ms: f64,
    turn_ms: f64,
    /// The coin in which the burst is, if there is one.
    burst: Option<usize>,
    ping_ms: i64,
    text: String,
}

#[derive(Debug)]
struct Coin {
    symbol_json: String,
    listing: Listing,
    /// In units of the last digit.
    price: f64,
}

impl Market {
    /// A market of `symbols` (none: all fifty) that trades `ticks_per_second` (above 0) on average,
    /// from `start_ms` on (milliseconds since 1970 UTC).
    pub fn new(symbols: &[String], seed: u64, ticks_per_second: f64, start_ms: i64) -> Market {
        let listed = || {
            LISTINGS
                .iter()
                .map(|listing| (listing.name.to_string(), *listing))
                .collect()
        };
        let listings: Vec<(String, Listing)> = match symbols {
            [] => listed(),
            _ => symbols.iter().map(|symbol| find(symbol)).collect(),
        };
        let coins: Vec<Coin> = listings.into_iter().map(Coin::new).collect();
        let weights = coins.iter().scan(0, |sum, coin| {
            *sum += coin.listing.weight;
            Some(*sum)
        });
        let burst_part = BURST_MS / (CALM_MS + BURST_MS);
        let mean_factor = 1.0 - burst_part + burst_part * BURST_FACTOR;
        let frames_per_ms = ticks_per_second / 1e3 / mean_frame_ticks();
        Market {
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            weights: weights.collect(),
            coins,
            calm_frames_per_ms: frames_per_ms / mean_factor,
            now_ms: start_ms as f64,
            turn_ms: start_ms as f64 + CALM_MS,
            burst: None,
            ping_ms: start_ms.saturating_add(PING_MS),
            text: String::new(),
        }
    }

    /// Makes the next frame.
    pub fn next_frame(&mut self) -> SimulatedFrame<'_> {
        let next_ms = self.next_frame_ms();
        self.text.clear();
        if self.ping_ms as f64 <= next_ms {
            let sent_ms = self.ping_ms;
            self.ping_ms += PING_MS;
            self.now_ms = sent_ms as f64;
            self.text.push_str(r#"{"type":"ping"}"#);
            return SimulatedFrame {
                sent_ms,
                ticks: 0,
                text: &self.text,
            };
        }
        self.now_ms = next_ms;
        self.turn();
        let sent_ms = self.now_ms as i64;
        let ticks = self.write_frame(sent_ms);
        SimulatedFrame {
            sent_ms,
            ticks,
            text: &self.text,
        }
    }

    /// When the next frame of ticks comes: frames are independent of each other.
    fn next_frame_ms(&mut self) -> f64 {
        let factor = if self.burst.is_some() {
            BURST_FACTOR
        } else {
            1.0
        };
        self.now_ms + self.exponential() / (self.calm_frames_per_ms * factor)
    }

    /// From calm to burst, or back, when it is time.
    fn turn(&mut self) {
        if self.now_ms < self.turn_ms {
            return;
        }
        let (burst, mean_ms) = match self.burst {
            None => (Some(self.pick_coin()), BURST_MS),
            Some(_) => (None, CALM_MS),
        };
        self.burst = burst;
        self.turn_ms = self.now_ms + mean_ms * self.exponential();
    }

    fn write_frame(&mut self, sent_ms: i64) -> u32 {
        let several_symbols = self.random.random_bool(SEVERAL_SYMBOLS);
        let mut coin = self.pick_coin();
        let mut ticks = 0;
        self.text.push_str(r#"{"data":["#);
        loop {
            self.write_tick(coin, sent_ms);
            ticks += 1;
            if ticks == FRAME_TICKS_MAX || !self.random.random_bool(ONE_MORE_TICK) {
                break;
            }
            self.text.push(',');
            if several_symbols {
                coin = self.pick_coin();
            }
        }
        self.text.push_str(r#"],"type":"trade"}"#);
        ticks
    }

    fn write_tick(&mut self, coin: usize, sent_ms: i64) {
        let straggler = self.random.random_bool(STRAGGLER);
        let delay_ms = if straggler {
            STRAGGLER_DELAY_MS
        } else {
            DELAY_MS
        };
        let event_time_ms = sent_ms - self.random.random_range(delay_ms);
        let (step, size) = (self.gauss(), self.gauss());
        let coin = &mut self.coins[coin];
        let price = coin.walk(step);
        let volume = coin.volume(size);
        let text = &mut self.text;
        text.push_str(r#"{"c":null,"p":"#);
        write_decimal(text, price, coin.listing.price_decimals);
        text.push_str(r#","s":"#);
        text.push_str(&coin.symbol_json);
        write!(text, r#","t":{event_time_ms},"v":"#).expect("writing to a String cannot fail");
        write_decimal(text, volume, coin.listing.size_decimals);
        text.push('}');
    }

    fn pick_coin(&mut self) -> usize {
        if let Some(coin) = self.burst
            && self.random.random_bool(BURST_SHARE)
        {
            return coin;
        }
        let total = self.weights.last().copied().unwrap_or(1);
        let at = self.random.random_range(0..total);
        self.weights.partition_point(|&weight| weight <= at)
    }

    /// Exponentially distributed, mean 1.
    fn exponential(&mut self) -> f64 {
        -(1.0 - self.random.random::<f64>()).ln()
    }

    /// Nearly normally distributed, mean 0, standard deviation 1, within ±3.5.
    fn gauss(&mut self) -> f64 {
        let sum: f64 = (0..4).map(|_| self.random.random::<f64>()).sum();
        (sum - 2.0) * 3.0_f64.sqrt()
    }
}

impl Coin {
    fn new((symbol, listing): (String, Listing)) -> Coin {
        let symbol_json = serde_json::Value::from(symbol).to_string();
        Coin {
            symbol_json,
            listing,
            price: listing.price as f64,
        }
    }

    /// The next price, in units of the last digit, at least 1.
    fn walk(&mut self, step: f64) -> i64 {
        let start = self.listing.price as f64;
        self.price += self.price * VOLATILITY * step + (start - self.price) * PULL;
        self.price = self.price.max(1.0);
        self.price.round() as i64
    }

    /// The size of a trade, in units of its last digit, at least 1: many small ones, few big ones.
    fn volume(&self, size: f64) -> i64 {
        let price = self.price / 10_f64.powi(i32::from(self.listing.price_decimals));
        let volume = NOTIONAL * (1.3 * size).exp() / price;
        let units = volume * 10_f64.powi(i32::from(self.listing.size_decimals));
        (units.round() as i64).max(1)
    }
}

fn mean_frame_ticks() -> f64 {
    (1.0 - ONE_MORE_TICK.powi(FRAME_TICKS_MAX as i32)) / (1.0 - ONE_MORE_TICK)
}

/// Writes `units` of the last of `decimals` digits as a JSON number, without closing zeros.
fn write_decimal(text: &mut String, units: i64, decimals: u8) {
    let (mut units, mut decimals) = (units, usize::from(decimals));
    while decimals > 0 && units % 10 == 0 {
        units /= 10;
        decimals -= 1;
    }
    let scale = 10_i64.pow(u32::try_from(decimals).unwrap_or(0));
    let (whole, part) = (units / scale, units % scale);
    match decimals {
        0 => write!(text, "{whole}"),
        _ => write!(text, "{whole}.{part:0decimals$}"),
    }
    .expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const START_MS: i64 = 1_750_000_000_000;

    fn market(seed: u64) -> Market {
        Market::new(&[], seed, 1_000.0, START_MS)
    }

    #[test]
    fn the_same_seed_gives_the_same_frames() {
        let (mut one, mut two, mut other) = (market(7), market(7), market(8));
        let mut differs = false;
        for _ in 0..2_000 {
            let frame = one.next_frame();
            assert_eq!(frame, two.next_frame());
            differs |= frame != other.next_frame();
        }
        assert!(differs);
    }

    #[test]
    fn decimals_are_exact() {
        let decimal = |units, decimals| {
            let mut text = String::new();
            write_decimal(&mut text, units, decimals);
            text
        };
        assert_eq!(decimal(6_425_000, 2), "64250");
        assert_eq!(decimal(6_425_010, 2), "64250.1");
        assert_eq!(decimal(1_734, 8), "0.00001734");
        assert_eq!(decimal(5, 0), "5");
        assert_eq!(decimal(120, 0), "120");
    }

    /// Ten minutes of market have everything that a real feed surprises with.
    #[test]
    fn it_is_realistic() {
        let mut market = market(1);
        let (mut ticks, mut pings, mut mixed, mut out_of_order_ms) = (0_u32, 0, 0, 0);
        let (mut symbols, mut last_sent_ms) = (BTreeSet::new(), START_MS);
        let mut newest_ms = 0;
        while last_sent_ms < START_MS + 600_000 {
            let frame = market.next_frame();
            assert!(frame.sent_ms >= last_sent_ms);
            last_sent_ms = frame.sent_ms;
            ticks += frame.ticks;
            let json: serde_json::Value = serde_json::from_str(frame.text).unwrap();
            if frame.ticks == 0 {
                assert_eq!(frame.text, r#"{"type":"ping"}"#);
                pings += 1;
                continue;
            }
            let data = json["data"].as_array().unwrap();
            assert_eq!(data.len(), frame.ticks as usize);
            let mut in_frame = BTreeSet::new();
            for tick in data {
                let event_time_ms = tick["t"].as_i64().unwrap();
                assert!((frame.sent_ms - 5_000..frame.sent_ms).contains(&event_time_ms));
                out_of_order_ms = out_of_order_ms.max(newest_ms - event_time_ms);
                newest_ms = newest_ms.max(event_time_ms);
                assert!(tick["p"].as_f64().unwrap() > 0.0 && tick["v"].as_f64().unwrap() > 0.0);
                assert!(tick["c"].is_null());
                in_frame.insert(tick["s"].as_str().unwrap().to_string());
            }
            mixed += u32::from(in_frame.len() > 1);
            symbols.extend(in_frame);
        }
        assert!(
            (450_000..750_000).contains(&ticks),
            "{ticks} ticks in 600 s at 1000 a second"
        );
        assert!((29..=30).contains(&pings), "{pings} pings in 600 s");
        assert!(mixed > 1_000, "{mixed} frames of several symbols");
        assert!(
            (3_000..5_000).contains(&out_of_order_ms),
            "{out_of_order_ms} ms out of order"
        );
        assert_eq!(symbols.len(), 50);
    }

    #[test]
    fn any_symbol_can_be_made_up() {
        let mut market = Market::new(&["X:\"Y\"".to_string()], 1, 10.0, START_MS);
        let json: serde_json::Value = serde_json::from_str(market.next_frame().text).unwrap();
        assert_eq!(json["data"][0]["s"], "X:\"Y\"");
    }
}
