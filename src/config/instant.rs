//! A point in time, or a length of it, as a person writes it on a command line.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use crate::model::NANOS_PER_MILLI;

/// Forms of a date and time without a zone; it is read as UTC.
const WITHOUT_ZONE: [&str; 4] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
];

/// Reads an event time; nanoseconds since 1970 UTC.
///
/// Forms: RFC 3339 (`2019-10-11T00:00:00Z`, `2019-10-11T02:00:00+02:00`), the same without a zone
/// (UTC), a date (its midnight UTC), or a whole number: milliseconds since 1970 UTC.
///
/// # Errors
/// Another form, or a time outside of the years that nanoseconds can express (1677 to 2262).
pub fn parse_instant(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let outside = || format!("{text} is outside of the years 1677 to 2262");
    if let Ok(milliseconds) = text.parse::<i64>() {
        return milliseconds
            .checked_mul(NANOS_PER_MILLI)
            .ok_or_else(outside);
    }
    let instant = DateTime::parse_from_rfc3339(text)
        .map(|with_zone| with_zone.to_utc())
        .ok()
        .or_else(|| without_zone(text).map(|naive| naive.and_utc()))
        .ok_or_else(|| {
            format!(
                "{text:?} is not a time: write 2019-10-11, 2019-10-11T14:30:00Z or milliseconds since 1970"
            )
        })?;
    instant.timestamp_nanos_opt().ok_or_else(outside)
}

fn without_zone(text: &str) -> Option<NaiveDateTime> {
    let date = || {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(0, 0, 0)
    };
    WITHOUT_ZONE
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .or_else(date)
}

/// Reads a length of time: a whole number and a unit, `500ms`, `30s`, `5m`, `1h` or `2d`; at least 1 ms.
///
/// # Errors
/// Another form, zero, or more than fits 64 bits of milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let refuse = || format!("{text:?} is not a length of time: write 30s, 5m or 1h");
    let digits = text
        .find(|char: char| !char.is_ascii_digit())
        .ok_or_else(refuse)?;
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit.trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(refuse()),
    };
    match number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit_ms))
    {
        None => Err(refuse()),
        Some(0) => Err(format!("{text:?} is no time at all: write 30s, 5m or 1h")),
        Some(milliseconds) => Ok(Duration::from_millis(milliseconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDNIGHT: i64 = 1_570_752_000_000_000_000;

    #[test]
    fn every_form_of_an_instant_is_utc() {
        for text in [
            "2019-10-11",
            "2019-10-11T00:00:00Z",
            "2019-10-11T02:00:00+02:00",
            "2019-10-11T00:00",
            "2019-10-11 00:00:00",
            " 1570752000000 ",
        ] {
            assert_eq!(parse_instant(text), Ok(MIDNIGHT), "{text}");
        }
        assert_eq!(
            parse_instant("2019-10-11T00:00:00.000000001Z"),
            Ok(MIDNIGHT + 1)
        );
        assert_eq!(parse_instant("-1"), Ok(-1_000_000));
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in ["", "yesterday", "2019-13-01", "11.10.2019", "2019-10-11T"] {
            assert!(
                parse_instant(text).unwrap_err().contains("not a time"),
                "{text}"
            );
        }
        for text in ["9223372036854775807", "1600-01-01", "2300-01-01T00:00:00Z"] {
            assert!(
                parse_instant(text).unwrap_err().contains("outside"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("5 m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        for text in [
            "",
            "30",
            "s",
            "0s",
            "-1s",
            "1.5h",
            "99999999999999999999s",
            "1w",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
