//! Keeps a repeated complaint from filling the log.

use std::time::{Duration, Instant};

/// A complaint is logged this often at the most.
const EVERY: Duration = Duration::from_secs(10);

/// Says when one kind of complaint may be logged again.
#[derive(Debug, Default)]
pub struct LogLimit {
    last: Option<Instant>,
    kept_back: u64,
}

impl LogLimit {
    /// Whether to log now, and if so how many were kept back since the last time.
    pub fn due(&mut self, now: Instant) -> Option<u64> {
        if self
            .last
            .is_some_and(|last| now.duration_since(last) < EVERY)
        {
            self.kept_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.kept_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_in_between_are_counted() {
        let (mut limit, start) = (LogLimit::default(), Instant::now());
        assert_eq!(limit.due(start), Some(0));
        assert_eq!(limit.due(start + EVERY / 2), None);
        assert_eq!(limit.due(start + EVERY / 2), None);
        assert_eq!(limit.due(start + EVERY), Some(2));
        assert_eq!(limit.due(start + EVERY * 2), Some(0));
    }
}
