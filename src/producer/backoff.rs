//! How long to wait before a lost feed is tried again.

use std::time::Duration;

/// Exponential backoff with jitter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// Shortest wait.
    pub min: Duration,
    /// Longest wait.
    pub max: Duration,
    /// A session that held this long begins the waits anew.
    pub healthy_after: Duration,
    /// Wait where trying again soon makes it worse.
    pub long: Duration,
}

impl Default for Backoff {
    /// 0.5 to 30 s; a minute is healthy; a minute is long.
    fn default() -> Backoff {
        Backoff {
            min: Duration::from_millis(500),
            max: Duration::from_secs(30),
            healthy_after: Duration::from_secs(60),
            long: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// The wait after `failures` failures in a row (1 and up): between the shortest and twice that,
    /// doubled with every failure; `random` (0 to 1) says where between.
    pub fn wait(&self, failures: u32, random: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures);
        let longest = self.min.saturating_mul(doubled).min(self.max).max(self.min);
        self.min + (longest - self.min).mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff::default();
        let longest: Vec<f64> = [1, 2, 3, 6, 1_000]
            .map(|failures| backoff.wait(failures, 1.0).as_secs_f64())
            .to_vec();
        assert_eq!(longest, [1.0, 2.0, 4.0, 30.0, 30.0]);
        assert_eq!(backoff.wait(5, 0.0), backoff.min);
        let fixed = Backoff {
            max: Duration::ZERO,
            ..backoff
        };
        assert_eq!(fixed.wait(9, 1.0), fixed.min);
    }
}
