//! Random choices from a seed that is printed; `STOCKPULSE_TEST_SEED` runs a test again with that one.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// A seed, and what comes of it.
pub struct Seeded {
    pub seed: u64,
    pub random: Xoshiro256PlusPlus,
}

impl Seeded {
    pub fn new() -> Seeded {
        let named = std::env::var("STOCKPULSE_TEST_SEED").ok();
        let seed = named.map_or_else(rand::random, |seed| seed.parse().unwrap());
        eprintln!("STOCKPULSE_TEST_SEED={seed}");
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Seeded { seed, random }
    }

    /// A time to wait.
    pub fn moment(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_micros(self.random.random_range(from_ms * 1000..to_ms * 1000))
    }

    pub fn one_in(&mut self, times: u32) -> bool {
        self.below(times as usize) == 0
    }

    /// A number from 0 to `end` − 1.
    pub fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }
}
