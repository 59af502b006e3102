//! Event time: nanoseconds since 1970 UTC, as Arroyo's TIMESTAMP has it.

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
