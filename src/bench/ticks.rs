//! The generated ticks: Finnhub's frames of a made-up market, quickly.
//!
//! Pure: the same counts give the same bytes everywhere. The feed room's simulated market is the
//! realistic one; this one has frames of a fixed size and costs well under a microsecond a tick.

use std::fmt::Write as _;

/// Event time of the first tick: 2025-01-06T00:00:00Z, milliseconds. Fixed, and well in the past,
/// so that the quiet market at the end of the topic closes every window.
const START_MS: u64 = 1_736_121_600_000;
/// Event time from the first to the last tick, milliseconds: six hours.
pub(super) const SPAN_MS: u64 = 6 * 3_600 * 1_000;
/// Ticks are out of order by at most this much, milliseconds; far below the watermark's delay.
const DISORDER_MS: u64 = 2_000;

/// The frames of a topic, one after the other.
pub struct Frames {
    frames: u64,
    ticks_per_frame: u32,
    next: u64,
    random: u64,
    /// Price of each symbol, in hundredths.
    cents: Vec<u64>,
    key: String,
    payload: String,
}

impl Frames {
    /// So many frames of so many ticks each (at least 1), of so many symbols (at least 1).
    pub fn new(frames: u64, ticks_per_frame: u32, symbols: u32) -> Frames {
        Frames {
            frames,
            ticks_per_frame,
            next: 0,
            random: 0x5EED,
            cents: (0..u64::from(symbols))
                .map(|s| 100_000 + s * 137_911)
                .collect(),
            key: String::new(),
            payload: String::new(),
        }
    }

    /// The next frame: its symbol, which is the message's key, and its JSON.
    pub fn next_frame(&mut self) -> Option<(&str, &str)> {
        if self.next == self.frames {
            return None;
        }
        let frame_ms = START_MS + DISORDER_MS + self.next * SPAN_MS / self.frames;
        self.fill(frame_ms, DISORDER_MS);
        self.next += 1;
        Some((&self.key, &self.payload))
    }

    /// A frame whose ticks are all of this time, in milliseconds since 1970, as one that comes live: the number
    /// of its symbol, the symbol and its JSON. There is no end to them.
    pub(super) fn frame_at(&mut self, event_ms: u64) -> (usize, &str, &str) {
        let symbol = self.fill(event_ms, 1);
        (symbol, &self.key, &self.payload)
    }

    /// Writes a frame of a random symbol, whose ticks are less than `disorder_ms` before `frame_ms`.
    fn fill(&mut self, frame_ms: u64, disorder_ms: u64) -> usize {
        let symbol = self.random() % self.cents.len() as u64;
        self.key.clear();
        let _ = write!(self.key, "BINANCE:SP{symbol:03}USDT");
        self.payload.clear();
        self.payload.push_str("{\"data\":[");
        for tick in 0..self.ticks_per_frame {
            if tick > 0 {
                self.payload.push(',');
            }
            self.tick(symbol as usize, frame_ms, disorder_ms);
        }
        self.payload.push_str("],\"type\":\"trade\"}");
        symbol as usize
    }

    fn tick(&mut self, symbol: usize, frame_ms: u64, disorder_ms: u64) {
        let random = self.random();
        // A random walk of a few hundredths, held above 10.
        let cents = (self.cents[symbol] + random % 15)
            .saturating_sub(7)
            .max(1_000);
        self.cents[symbol] = cents;
        let event_time = frame_ms - (random >> 8) % disorder_ms;
        let volume = 1 + (random >> 24) % 500_000;
        let _ = write!(
            self.payload,
            "{{\"c\":null,\"p\":{}.{:02},\"s\":\"{}\",\"t\":{event_time},\"v\":{}.{:05}}}",
            cents / 100,
            cents % 100,
            self.key,
            volume / 100_000,
            volume % 100_000,
        );
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::Value;

    #[test]
    fn frames_are_the_same_everywhere() {
        let mut frames = Frames::new(2, 2, 50);
        let mut shown = String::new();
        while let Some((key, payload)) = frames.next_frame() {
            let _ = writeln!(shown, "{key} {payload}");
        }
        expect![[r#"
            BINANCE:SP002USDT {"data":[{"c":null,"p":3758.20,"s":"BINANCE:SP002USDT","t":1736121601852,"v":1.88796},{"c":null,"p":3758.24,"s":"BINANCE:SP002USDT","t":1736121600173,"v":4.41527}],"type":"trade"}
            BINANCE:SP047USDT {"data":[{"c":null,"p":65818.13,"s":"BINANCE:SP047USDT","t":1736132401404,"v":2.25498},{"c":null,"p":65818.11,"s":"BINANCE:SP047USDT","t":1736132401012,"v":4.85974}],"type":"trade"}
        "#]].assert_eq(&shown);
    }

    #[test]
    fn live_frames_are_of_the_time_they_are_asked_for() {
        let mut frames = Frames::new(0, 3, 50);
        let (symbol, key, payload) = frames.frame_at(1_736_121_600_123);
        assert_eq!(key, format!("BINANCE:SP{symbol:03}USDT"));
        assert_eq!(payload.matches("\"t\":1736121600123,").count(), 3);
    }

    #[test]
    fn ticks_are_of_one_symbol_a_frame_and_nearly_in_order() {
        let mut frames = Frames::new(2_000, 5, 50);
        let (mut ticks, mut latest, mut keys) = (0, 0, std::collections::BTreeSet::new());
        while let Some((key, payload)) = frames.next_frame() {
            let frame: Value = serde_json::from_str(payload).unwrap();
            assert_eq!(frame["type"], "trade");
            for tick in frame["data"].as_array().unwrap() {
                assert_eq!(tick["s"], key);
                assert!(tick["p"].as_f64().unwrap() >= 10.0);
                assert!(tick["v"].as_f64().unwrap() > 0.0);
                let time = tick["t"].as_u64().unwrap();
                assert!(time + DISORDER_MS > latest && time >= START_MS);
                latest = latest.max(time);
                ticks += 1;
            }
            keys.insert(key.to_owned());
        }
        assert_eq!((ticks, keys.len()), (10_000, 50));
        assert!(latest < START_MS + SPAN_MS + DISORDER_MS);
    }
}
