//! How long a candle lasts, and where such candles begin.

use std::fmt;
use std::str::FromStr;

const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = 60 * SECOND_NS;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const DAY_NS: i64 = 24 * HOUR_NS;
const WEEK_NS: i64 = 7 * DAY_NS;
/// 1970-01-05, a Monday.
const FIRST_MONDAY_NS: i64 = 4 * DAY_NS;
/// The longest one: what is longer is a calendar's matter.
const LONGEST_NS: i64 = 366 * DAY_NS;

/// A candle's width: 1 ms to 366 days.
///
/// Candles begin at whole multiples of it since 1970 (UTC); weeks begin on Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resolution(i64);

impl Resolution {
    /// One of so many nanoseconds; none if that is no whole number of milliseconds, or too short or too long.
    pub fn from_nanos(nanos: i64) -> Option<Resolution> {
        let is_whole = nanos % 1_000_000 == 0;
        (is_whole && (1..=LONGEST_NS).contains(&nanos)).then_some(Resolution(nanos))
    }

    /// Its length in nanoseconds.
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// A point in time at which a candle begins; all others are whole lengths away.
    pub fn origin(self) -> i64 {
        match self.0 % WEEK_NS {
            0 => FIRST_MONDAY_NS,
            _ => 0,
        }
    }

    /// Where the candle that holds this time begins, nanoseconds since 1970 UTC.
    pub fn floor(self, nanos: i64) -> i64 {
        let into = nanos.wrapping_sub(self.origin()).rem_euclid(self.0);
        nanos.saturating_sub(into)
    }

    /// Where the first candle begins that begins at this time or later.
    pub fn ceil(self, nanos: i64) -> i64 {
        match self.floor(nanos) {
            floor if floor == nanos => nanos,
            floor => floor.saturating_add(self.0),
        }
    }

    /// Whether each of these candles is made of whole ones of `smaller`.
    pub fn is_multiple_of(self, smaller: Resolution) -> bool {
        self.0 % smaller.0 == 0 && (self.origin() - smaller.origin()) % smaller.0 == 0
    }

    /// Reads TradingView's form: `1`, `60` (minutes), `30S`, `1D`, `D`, `1W`.
    pub fn from_tradingview(text: &str) -> Option<Resolution> {
        let digits = text.find(|c: char| !c.is_ascii_digit());
        let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
        let number = match number {
            "" if !unit.is_empty() => 1,
            number => number.parse().ok()?,
        };
        let unit = match unit {
            "" => MINUTE_NS,
            "S" => SECOND_NS,
            "D" => DAY_NS,
            "W" => WEEK_NS,
            _ => return None,
        };
        Resolution::from_nanos(unit.checked_mul(number)?)
    }

    /// TradingView's form, where it has one.
    pub fn to_tradingview(self) -> Option<String> {
        let units = [
            (WEEK_NS, "W"),
            (DAY_NS, "D"),
            (MINUTE_NS, ""),
            (SECOND_NS, "S"),
        ];
        let (unit, letter) = units.into_iter().find(|(unit, _)| self.0 % unit == 0)?;
        Some(format!("{}{letter}", self.0 / unit))
    }
}

impl FromStr for Resolution {
    type Err = String;

    /// Reads `30s`, `1m`, `15m`, `1h`, `1d` or `1w`.
    fn from_str(text: &str) -> Result<Resolution, String> {
        let refuse = || {
            format!("{text:?} is not a resolution: write 30s, 1m, 15m, 1h, 1d or 1w; at most 366d")
        };
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(refuse)?;
        let (number, unit) = text.split_at(digits);
        let unit = match unit {
            "ms" => 1_000_000,
            "s" => SECOND_NS,
            "m" => MINUTE_NS,
            "h" => HOUR_NS,
            "d" => DAY_NS,
            "w" => WEEK_NS,
            _ => return Err(refuse()),
        };
        (number.parse::<i64>().ok())
            .and_then(|number| number.checked_mul(unit))
            .and_then(Resolution::from_nanos)
            .ok_or_else(refuse)
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (WEEK_NS, "w"),
            (DAY_NS, "d"),
            (HOUR_NS, "h"),
            (MINUTE_NS, "m"),
            (SECOND_NS, "s"),
            (1_000_000, "ms"),
        ];
        let unit = units.into_iter().find(|(unit, _)| self.0 % unit == 0);
        let (unit, letter) = unit.unwrap_or((1_000_000, "ms"));
        write!(f, "{}{letter}", self.0 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolution(text: &str) -> Resolution {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "250ms", "30s", "1m", "15m", "1h", "4h", "1d", "1w", "52w", "366d",
        ] {
            assert_eq!(resolution(text).to_string(), text);
        }
        assert_eq!(resolution("60m").to_string(), "1h");
        for text in [
            "",
            "1",
            "m",
            "0m",
            "-1m",
            "1.5h",
            "367d",
            "1M",
            "9999999999999999999s",
        ] {
            assert!(text.parse::<Resolution>().is_err(), "{text}");
        }
    }

    #[test]
    fn tradingviews_forms() {
        for (theirs, ours) in [
            ("1", "1m"),
            ("60", "1h"),
            ("30S", "30s"),
            ("D", "1d"),
            ("1D", "1d"),
            ("1W", "1w"),
        ] {
            assert_eq!(
                Resolution::from_tradingview(theirs),
                Some(resolution(ours)),
                "{theirs}"
            );
        }
        for text in ["", "M", "1M", "x", "0", "1Dx"] {
            assert_eq!(Resolution::from_tradingview(text), None, "{text}");
        }
        assert_eq!(resolution("1h").to_tradingview().unwrap(), "60");
        assert_eq!(resolution("1w").to_tradingview().unwrap(), "1W");
        assert_eq!(resolution("250ms").to_tradingview(), None);
    }

    #[test]
    fn candles_begin_at_multiples_and_weeks_on_monday() {
        let hour = resolution("1h");
        assert_eq!(hour.floor(HOUR_NS + 1), HOUR_NS);
        assert_eq!(hour.ceil(HOUR_NS + 1), 2 * HOUR_NS);
        assert_eq!(hour.ceil(HOUR_NS), HOUR_NS);
        assert_eq!(hour.floor(-1), -HOUR_NS);
        // 1970-01-01 was a Thursday.
        assert_eq!(resolution("1w").floor(0), FIRST_MONDAY_NS - WEEK_NS);
        assert!(resolution("1w").is_multiple_of(resolution("1d")));
        assert!(resolution("1h").is_multiple_of(resolution("15m")));
        assert!(!resolution("1h").is_multiple_of(resolution("7m")));
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for text in ["1ms", "1m", "1w"] {
            let _ = resolution(text).ceil(i64::MAX);
            let _ = resolution(text).floor(i64::MIN);
        }
    }
}
