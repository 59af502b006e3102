//! Numbers and times as words.

use std::time::Duration;

use crate::model::{NANOS_PER_MILLI, NANOS_PER_SECOND};

/// Units that are written out, in nanoseconds, the longest first.
const UNITS: [(&str, u128); 7] = [
    ("day", 86_400 * NANOS_PER_SECOND as u128),
    ("hour", 3_600 * NANOS_PER_SECOND as u128),
    ("minute", 60 * NANOS_PER_SECOND as u128),
    ("second", NANOS_PER_SECOND as u128),
    ("millisecond", NANOS_PER_MILLI as u128),
    ("microsecond", 1_000),
    ("nanosecond", 1),
];

/// A length of time as SQL intervals have it: `1 minute 30 seconds`, `0 seconds`.
pub fn duration_words(time: Duration) -> String {
    let mut left = time.as_nanos();
    let mut words = Vec::new();
    for (unit, nanos) in UNITS {
        if left >= nanos {
            words.push(counted(left / nanos, unit));
            left %= nanos;
        }
    }
    match words.is_empty() {
        true => "0 seconds".to_owned(),
        false => words.join(" "),
    }
}

/// The same of nanoseconds; below 0 counts as 0.
pub(super) fn nanos_words(nanos: i64) -> String {
    duration_words(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

/// A number of bytes in the largest unit that it is a whole number of, powers of 1024: `128 MB`.
pub fn size_words(bytes: u64) -> String {
    let mut left = bytes;
    let mut units = ["bytes", "KB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next();
    while let (true, Some(larger)) = (left > 0 && left.is_multiple_of(1024), units.next()) {
        left /= 1024;
        unit = Some(larger);
    }
    format!("{left} {}", unit.unwrap_or_default())
}

/// `1 column`, `2 columns`.
pub(super) fn counted(count: u128, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// A name that somebody chose and can be read as it is: no expression, and not one of ours.
pub(super) fn is_plain_name(name: &str) -> bool {
    let mut letters = name.chars();
    let begins = letters
        .next()
        .is_some_and(|first| first.is_alphabetic() || first == '_');
    begins && !name.starts_with("__") && letters.all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_intervals_are() {
        for (millis, words) in [
            (0, "0 seconds"),
            (1, "1 millisecond"),
            (60_000, "1 minute"),
            (90_000, "1 minute 30 seconds"),
            (172_800_000, "2 days"),
        ] {
            assert_eq!(duration_words(Duration::from_millis(millis)), words);
        }
        assert_eq!(nanos_words(-1), "0 seconds");
    }

    #[test]
    fn sizes_are_written_in_their_largest_whole_unit() {
        let words = [0, 1000, 1536, 2048, 128 << 20].map(size_words);
        assert_eq!(
            words,
            ["0 bytes", "1000 bytes", "1536 bytes", "2 KB", "128 MB"]
        );
    }

    #[test]
    fn names_of_ours_and_expressions_are_no_plain_names() {
        for name in ["symbol", "_timestamp", "größe", "a1"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", "__c1", "1a", "sum(price)", "a b", "a.b"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
