//! What a venue says that is no trade and no sign of life.

use std::time::Instant;

use tracing::{info, warn};

use super::log_limit::LogLimit;
use super::venue::Said;
use crate::metrics::feed::FeedMetrics;

/// Messages without trades: counted, and logged now and then.
#[derive(Default)]
pub(super) struct Complaints {
    error: LogLimit,
    malformed: LogLimit,
    other: LogLimit,
}

impl Complaints {
    pub(super) fn log(&mut self, feed: &'static str, said: &Said<'_>, metrics: &FeedMetrics) {
        let now = Instant::now();
        match said {
            Said::Error(message) => {
                metrics.all().frame_error();
                if let Some(kept_back) = self.error.due(now) {
                    warn!(feed, message, kept_back, "The feed sent an error.");
                }
            }
            Said::Malformed(what) => {
                metrics.all().frame_malformed();
                if let Some(kept_back) = self.malformed.due(now) {
                    warn!(
                        feed,
                        what, kept_back, "A message cannot be read and is left out."
                    );
                }
            }
            Said::Other(kind) => {
                metrics.all().frame_other();
                if let Some(kept_back) = self.other.due(now) {
                    info!(
                        feed,
                        kind, kept_back, "A message holds no trades and is left out."
                    );
                }
            }
            _ => {}
        }
    }
}
