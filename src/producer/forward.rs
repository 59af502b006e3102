//! Frames → messages: takes each frame apart and queues what it becomes; what holds no ticks is counted
//! and, now and then, logged.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::interval_at;
use tracing::{info, warn};

use super::ProducerError;
use super::delivery::Delivery;
use super::log_limit::LogLimit;
use super::split::{Parts, split};
use crate::feed::Frame;
use crate::metrics::producer::ProducerMetrics;

/// A line about what was delivered is logged this often.
const STATUS_EVERY: Duration = Duration::from_secs(60);

/// Takes frames apart and queues their messages until the feeds have ended.
pub(super) async fn forward(
    delivery: &Delivery,
    frames: &mut mpsc::Receiver<Frame>,
    metrics: &ProducerMetrics,
) -> Result<(), ProducerError> {
    let mut complaints = Complaints::default();
    let mut status = interval_at(tokio::time::Instant::now() + STATUS_EVERY, STATUS_EVERY);
    loop {
        let frame = tokio::select! {
            frame = frames.recv() => match frame {
                Some(frame) => frame,
                None => return Ok(()),
            },
            _ = status.tick() => {
                log_status(metrics, delivery.pending());
                continue;
            }
        };
        metrics.frame_received();
        match split(&frame.payload) {
            Parts::Ticks(messages) => {
                if messages.is_empty() {
                    metrics.frame_other();
                }
                for message in &messages {
                    delivery.send(message).await?;
                }
            }
            odd => complaints.log(&odd, metrics),
        }
    }
}

fn log_status(metrics: &ProducerMetrics, pending: u64) {
    let counts = metrics.counts();
    info!(
        ticks_delivered = counts.ticks_delivered,
        messages_failed = counts.messages_failed,
        pending,
        frames_malformed = counts.frames_malformed,
        reconnects = counts.reconnects,
        "Ticks go to Kafka."
    );
}

/// Frames without ticks: counted, and logged now and then.
#[derive(Default)]
struct Complaints {
    error: LogLimit,
    malformed: LogLimit,
    other: LogLimit,
}

impl Complaints {
    fn log(&mut self, parts: &Parts<'_>, metrics: &ProducerMetrics) {
        let now = Instant::now();
        match parts {
            Parts::Ticks(_) => {}
            Parts::Ping => metrics.frame_ping(),
            Parts::Error(text) => {
                metrics.frame_error();
                if let Some(kept_back) = self.error.due(now) {
                    warn!(message = text, kept_back, "The feed sent an error.");
                }
            }
            Parts::Malformed(what) => {
                metrics.frame_malformed();
                if let Some(kept_back) = self.malformed.due(now) {
                    warn!(what, kept_back, "A frame cannot be read and is left out.");
                }
            }
            Parts::Other(kind) => {
                metrics.frame_other();
                if let Some(kept_back) = self.other.due(now) {
                    info!(kind, kept_back, "A frame holds no ticks and is left out.");
                }
            }
        }
    }
}
