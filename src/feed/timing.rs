//! How long what may take in a live feed; tests take milliseconds.

use std::time::Duration;

/// How long what may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A connection that is not there after this long is given up.
    pub connect: Duration,
    /// A connection that says nothing for so long is lost; `None`: as is right for the venue.
    pub idle: Option<Duration>,
    /// A symbol without a tick for so long is subscribed again; if all are silent twice as long, where
    /// markets never close, the connection counts as lost.
    pub symbol_idle: Duration,
    /// How often silence and gaps are looked at.
    pub look: Duration,
    /// What is missing for so long is recorded as a gap; until then it may be out of order only.
    pub patience: Duration,
    /// Age at which a connection is replaced; `None`: as is right for the venue.
    pub renew: Option<Duration>,
    /// How long old and new connection overlap.
    pub overlap: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            connect: Duration::from_secs(15),
            idle: None,
            symbol_idle: Duration::from_secs(300),
            look: Duration::from_secs(1),
            patience: Duration::from_secs(3),
            renew: None,
            overlap: Duration::from_secs(1),
        }
    }
}

impl Timing {
    /// With the time-outs that a user chose.
    pub(super) fn with(mut self, idle: Option<Duration>, symbol_idle: Option<Duration>) -> Timing {
        self.idle = idle.or(self.idle);
        self.symbol_idle = symbol_idle.unwrap_or(self.symbol_idle);
        self
    }
}
