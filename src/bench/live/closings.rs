//! When windows could close: a window's end is passed once the slowest partition's watermark is there. Pure.

use std::collections::BTreeMap;
use std::time::Instant;

/// Follows what the broker has taken, and notes when it was enough to close a window.
pub(super) struct Closings {
    /// Width of the windows, milliseconds.
    width_ms: i64,
    /// How far a watermark is behind its partition's last tick, milliseconds.
    delay_ms: i64,
    /// Per partition the latest event time that the broker has.
    latest: Vec<Option<i64>>,
    /// The least of the watermarks, once there are all.
    watermark: Option<i64>,
    /// Ends of windows, milliseconds since 1970, and when they were passed.
    passed: BTreeMap<i64, Instant>,
}

impl Closings {
    pub(super) fn new(partitions: u32, width_ms: i64, delay_ms: i64) -> Closings {
        Closings {
            width_ms,
            delay_ms,
            latest: vec![None; partitions as usize],
            watermark: None,
            passed: BTreeMap::new(),
        }
    }

    /// The broker has taken a frame of this event time, and said so at `at`.
    pub(super) fn taken(&mut self, partition: usize, event_ms: i64, at: Instant) {
        let Some(latest) = self.latest.get_mut(partition) else {
            return;
        };
        *latest = (*latest).max(Some(event_ms));
        let least = self.latest.iter().copied().min().flatten();
        let Some(watermark) = least.map(|least| least - self.delay_ms) else {
            return;
        };
        // The first one passes windows that hold nothing, or not all.
        let before = self.watermark.replace(watermark).unwrap_or(watermark);
        let mut end = before.div_euclid(self.width_ms) * self.width_ms + self.width_ms;
        while end <= watermark {
            self.passed.insert(end, at);
            end += self.width_ms;
        }
    }

    /// Ends of windows that were passed, and when.
    pub(super) fn passed(&self) -> &BTreeMap<i64, Instant> {
        &self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_slowest_partition_closes_a_window() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut closings = Closings::new(2, 1_000, 1_000);
        closings.taken(0, 10_500, at(0));
        closings.taken(0, 12_100, at(1));
        assert!(closings.passed().is_empty(), "one has not spoken");
        closings.taken(1, 10_900, at(2));
        closings.taken(1, 10_999, at(3));
        assert!(closings.passed().is_empty());
        closings.taken(1, 11_000, at(4));
        closings.taken(1, 11_000, at(5));
        assert_eq!(closings.passed(), &BTreeMap::from([(10_000, at(4))]));
        closings.taken(1, 15_000, at(6));
        assert_eq!(closings.passed().len(), 2, "{:?}", closings.passed());
        closings.taken(0, 13_000, at(7));
        closings.taken(0, 9_000, at(8));
        closings.taken(7, 9_000, at(8));
        let passed: Vec<_> = closings.passed().iter().skip(1).collect();
        assert_eq!(passed, [(&11_000, &at(6)), (&12_000, &at(7))]);
    }
}
