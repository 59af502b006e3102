//! Event time: nanoseconds since 1970 UTC, as Arroyo's TIMESTAMP has it.

use std::time::Duration;

use arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;
use serde::{Deserialize, Serialize};

/// Nanoseconds in a millisecond.
pub const NANOS_PER_MILLI: i64 = 1_000_000;
/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// No tick earlier than this is still expected; nanoseconds since 1970 UTC.
///
/// Invariant: it never moves back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Watermark(pub i64);

impl Watermark {
    /// Nothing is known yet: every tick is still expected.
    pub const NONE: Watermark = Watermark(i64::MIN);

    /// Moves forward to `candidate`, or stays.
    pub fn advance(&mut self, candidate: Watermark) {
        *self = (*self).max(candidate);
    }
}

/// A half-open event-time interval `[start, end)`, nanoseconds since 1970 UTC.
///
/// Ordered by end, then start: the order in which windows close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First instant of the window.
    pub start: i64,
    /// First instant after the window.
    pub end: i64,
}

impl PartialOrd for Window {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Window {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.end, self.start).cmp(&(other.end, other.start))
    }
}

impl Window {
    /// The event time that the rows of this window leave with: its last nanosecond,
    /// so that the 23:59 candle lands in its own day (Arroyo's rule).
    pub fn row_time(self) -> i64 {
        self.end - 1
    }
}

/// A length of time as SQL intervals and Spark's triggers have it: `1 second`, `500 milliseconds`,
/// `1 minute 30 seconds`. `None` when it is not one, is negative, or has months, whose length varies.
pub fn parse_duration(text: &str) -> Option<Duration> {
    const SECONDS_PER_DAY: u64 = 86_400;
    let interval = parse_interval_month_day_nano(text.trim()).ok()?;
    if interval.months != 0 || text.trim().is_empty() {
        return None;
    }
    let days = Duration::from_secs(u64::try_from(interval.days).ok()? * SECONDS_PER_DAY);
    days.checked_add(Duration::from_nanos(
        u64::try_from(interval.nanoseconds).ok()?,
    ))
}
