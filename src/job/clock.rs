//! The times of a job: handed to it, so that a test's time is the test's.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a job reads its times from. Clones are the same clock.
#[derive(Clone)]
pub struct Clock {
    wall: Arc<dyn Fn() -> i64 + Send + Sync>,
    steady: Arc<dyn Fn() -> Duration + Send + Sync>,
    pause: Arc<dyn Fn(Duration) + Send + Sync>,
}

impl Clock {
    /// The system's.
    pub fn system() -> Clock {
        Clock::showing(wall_clock)
    }

    /// A wall clock of one's own, nanoseconds since 1970 UTC, beside the system's steady one.
    pub fn showing(wall: impl Fn() -> i64 + Send + Sync + 'static) -> Clock {
        let start = Instant::now();
        Clock {
            wall: Arc::new(wall),
            steady: Arc::new(move || start.elapsed()),
            pause: Arc::new(std::thread::sleep),
        }
    }

    /// A clock that is all one's own: `steady` never goes back, `pause` lets it go on by so much.
    pub fn simulated(
        wall: impl Fn() -> i64 + Send + Sync + 'static,
        steady: impl Fn() -> Duration + Send + Sync + 'static,
        pause: impl Fn(Duration) + Send + Sync + 'static,
    ) -> Clock {
        Clock {
            wall: Arc::new(wall),
            steady: Arc::new(steady),
            pause: Arc::new(pause),
        }
    }

    /// The wall clock, nanoseconds since 1970 UTC; it can be set, forwards and back.
    pub fn wall(&self) -> i64 {
        (self.wall)()
    }

    /// Time since some moment before; it never goes back.
    pub fn steady(&self) -> Duration {
        (self.steady)()
    }

    /// Time since [`Clock::steady`] showed `moment`.
    pub fn since(&self, moment: Duration) -> Duration {
        self.steady().saturating_sub(moment)
    }

    /// Waits.
    pub fn pause(&self, time: Duration) {
        (self.pause)(time);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The system's wall clock, nanoseconds since 1970 UTC.
pub fn wall_clock() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}
