//! Items → messages: takes each frame apart, unless its feed has, and queues what it becomes; what holds no
//! ticks is counted and, now and then, logged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::interval_at;
use tracing::{error, info, warn};

use super::ProducerError;
use super::delivery::{Delivery, Fate, Outgoing};
use super::gaps::Gaps;
use super::split::{Parts, event_times, split};
use crate::feed::gap::{Gap, GapKind, NOT_TAKEN, QUEUE_FULL};
use crate::feed::log_limit::LogLimit;
use crate::feed::{Content, Frame, Item, Items, What, WhenFull};
use crate::metrics::feed::FeedMetrics;
use crate::metrics::producer::ProducerMetrics;

/// A line about what was delivered is logged this often.
const STATUS_EVERY: Duration = Duration::from_secs(60);
/// Gaps and the queue are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes frames apart and queues their messages until the feeds have ended; then records of gaps may wait for room
/// for `patience`.
pub(super) async fn forward(
    delivery: &Delivery,
    items: &mut Items,
    metrics: &ProducerMetrics,
    patience: Duration,
) -> Result<(), ProducerError> {
    let mut forward = Forward {
        delivery,
        metrics,
        gaps: Gaps::default(),
        complaints: Complaints::default(),
    };
    let now = tokio::time::Instant::now();
    let mut status = interval_at(now + STATUS_EVERY, STATUS_EVERY);
    let mut look = interval_at(now + LOOK_EVERY, LOOK_EVERY);
    loop {
        tokio::select! {
            item = items.recv() => match item {
                Some(item) => forward.take(item).await?,
                None => break,
            },
            _ = look.tick() => forward.gaps.look(delivery),
            _ = status.tick() => log_status(metrics, delivery.pending()),
        }
    }
    forward.gaps.end(delivery, metrics, patience).await;
    Ok(())
}

struct Forward<'a> {
    delivery: &'a Delivery,
    metrics: &'a ProducerMetrics,
    gaps: Gaps,
    complaints: Complaints,
}

/// One message of a frame.
struct Part<'a> {
    key: Option<&'a str>,
    payload: &'a [u8],
    ticks: u32,
    /// `None`: its feed does not know.
    content: Option<&'a Content>,
}

impl Forward<'_> {
    async fn take(&mut self, item: Item) -> Result<(), ProducerError> {
        let Item {
            what,
            metrics,
            when_full,
            ..
        } = item;
        let frame = match what {
            What::Frame(frame) => frame,
            What::Gap(gap) => {
                self.gaps.record(self.delivery, &metrics, gap);
                return Ok(());
            }
            What::SymbolRefused { symbol, why } => {
                metrics.symbol_refused();
                error!(feed = metrics.feed(), %symbol, why,
                    "The venue does not have this symbol; correct SYMBOL_LIST or --symbols. The others go on.");
                return Ok(());
            }
        };
        if let Some(content) = &frame.content {
            let part = Part {
                key: Some(&content.symbol),
                payload: &frame.payload,
                ticks: content.ticks,
                content: Some(content),
            };
            return self.send(part, &frame, &metrics, when_full).await;
        }
        self.metrics.frame_received();
        match split(&frame.payload) {
            Parts::Ticks(messages) => {
                if messages.is_empty() {
                    self.metrics.frame_other();
                }
                for message in &messages {
                    let part = Part {
                        key: message.key.as_deref(),
                        payload: &message.payload,
                        ticks: message.ticks,
                        content: None,
                    };
                    self.send(part, &frame, &metrics, when_full).await?;
                }
            }
            odd => self.complaints.log(&odd, self.metrics),
        }
        Ok(())
    }

    async fn send(
        &mut self,
        part: Part<'_>,
        frame: &Frame,
        metrics: &Arc<FeedMetrics>,
        when_full: WhenFull,
    ) -> Result<(), ProducerError> {
        let outgoing = Outgoing {
            key: part.key,
            payload: part.payload,
            ticks: part.ticks,
            received: frame.received,
        };
        match self.delivery.send(&outgoing, when_full).await? {
            Fate::Queued => self.gaps.has_room(),
            Fate::Dropped => {
                let gap = part.gap(metrics.feed(), QUEUE_FULL);
                self.gaps.dropped(metrics, u64::from(part.ticks), gap);
            }
            Fate::NotTaken => {
                let gap = part.gap(metrics.feed(), NOT_TAKEN);
                self.gaps.record(self.delivery, metrics, gap);
            }
        }
        Ok(())
    }
}

impl Part<'_> {
    /// What is missing without it.
    fn gap(&self, feed: &'static str, reason: &'static str) -> Gap {
        let (event_ms, ids) = match self.content {
            Some(content) => (Some(content.event_ms), content.ids),
            None => (event_times(self.payload), None),
        };

        Gap {
            kind: GapKind::Gap,
            feed,
            symbol: Arc::from(self.key.unwrap_or_default()),
            from: event_ms.map(|(from, _)| from),
            to: event_ms.map(|(_, to)| to),
            reason,
            missing: Some(u64::from(self.ticks)),
            first_id: ids.map(|(first, _)| first),
            last_id: ids.map(|(_, last)| last),
        }
    }
}

fn log_status(metrics: &ProducerMetrics, pending: u64) {
    let counts = metrics.counts();
    info!(
        ticks_delivered = counts.ticks_delivered,
        ticks_dropped = counts.ticks_dropped,
        trades_missing = counts.trades_missing,
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
