//! Gaps → log, metrics and the side topic. What is dropped while the queue is full becomes one gap a symbol,
//! and no record is lost to a full queue before there are very many of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::delivery::Delivery;
use crate::feed::gap::{Gap, GapKind, QUEUE_FULL};
use crate::feed::log_limit::LogLimit;
use crate::metrics::feed::FeedMetrics;
use crate::metrics::producer::ProducerMetrics;

/// Records that wait for room in the queue at the most.
const WAITING_MAX: usize = 10_000;

/// Pause between two looks whether there is room.
const ROOM_PAUSE: Duration = Duration::from_millis(20);

/// The gaps of all feeds.
#[derive(Default)]
pub(super) struct Gaps {
    /// What is being dropped, a gap a feed and symbol.
    open: Vec<(Arc<FeedMetrics>, Gap)>,
    /// The queue was full when it was asked last.
    full: bool,
    waiting: VecDeque<Gap>,
    gap_log: LogLimit,
    drop_log: LogLimit,
}

impl Gaps {
    /// Ticks were dropped, because the queue was full.
    pub(super) fn dropped(&mut self, metrics: &Arc<FeedMetrics>, ticks: u64, gap: Gap) {
        metrics.ticks_dropped(ticks);
        if let Some(kept_back) = self.drop_log.due(Instant::now()) {
            error!(
                feed = gap.feed, symbol = %gap.symbol, kept_back,
                "The queue to Kafka is full: the newest ticks are dropped and counted until there is room."
            );
        }
        self.full = true;
        let same = |(_, open): &&mut (Arc<FeedMetrics>, Gap)| {
            open.feed == gap.feed && open.symbol == gap.symbol
        };
        match self.open.iter_mut().find(same) {
            Some((_, open)) => open.extend(&gap),
            None => self.open.push((Arc::clone(metrics), gap)),
        }
    }

    /// There was room for a message.
    pub(super) fn has_room(&mut self) {
        self.full = false;
    }

    /// Counts, logs and records a gap.
    pub(super) fn record(&mut self, delivery: &Delivery, metrics: &FeedMetrics, gap: Gap) {
        let trades = gap.missing.unwrap_or(0);
        match gap.kind {
            GapKind::Recovered => metrics.trades_recovered(trades),
            // What was dropped or not taken has counters of its own; the rest never came.
            GapKind::Gap if gap.first_id.is_none() || is_ours(&gap) => metrics.gap(gap.reason, 0),
            GapKind::Gap => metrics.gap(gap.reason, trades),
        }
        self.log(&gap);
        self.waiting.push_back(gap);
        if self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
            metrics.all().gap_records_failed(1);
        }
        self.send(delivery);
    }

    /// What was dropped becomes gaps once there is room again, and what waits is sent. To be called every second.
    pub(super) fn look(&mut self, delivery: &Delivery) {
        if !self.full {
            self.close(delivery);
        }
        self.send(delivery);
    }

    /// At the end: everything is recorded, waiting for room for `patience` at the most, or counted.
    pub(super) async fn end(
        &mut self,
        delivery: &Delivery,
        metrics: &ProducerMetrics,
        patience: Duration,
    ) {
        self.close(delivery);
        let waited_until = tokio::time::Instant::now() + patience;
        while !self.waiting.is_empty() && tokio::time::Instant::now() < waited_until {
            tokio::time::sleep(ROOM_PAUSE).await;
            self.send(delivery);
        }
        if !self.waiting.is_empty() {
            let records = self.waiting.len();
            metrics.gap_records_failed(records as u64);
            error!(
                records,
                "Records of gaps found no room in the queue to Kafka and are lost."
            );
        }
    }

    fn close(&mut self, delivery: &Delivery) {
        for (metrics, gap) in std::mem::take(&mut self.open) {
            self.record(delivery, &metrics, gap);
        }
    }

    fn send(&mut self, delivery: &Delivery) {
        while let Some(gap) = self.waiting.front() {
            if !delivery.try_send_gap(&gap.symbol, &gap.to_json()) {
                return;
            }
            self.waiting.pop_front();
        }
    }

    fn log(&mut self, gap: &Gap) {
        let Gap {
            feed,
            symbol,
            from,
            to,
            reason,
            missing,
            ..
        } = gap;
        if gap.kind == GapKind::Recovered {
            info!(feed, %symbol, reason, "A trade that was told as missing has come.");
        } else if let Some(kept_back) = self.gap_log.due(Instant::now()) {
            warn!(feed, %symbol, from, to, reason, missing, kept_back, "Trades are missing.");
        }
    }
}

/// Whether the loss is between us and Kafka.
fn is_ours(gap: &Gap) -> bool {
    [QUEUE_FULL, crate::feed::gap::NOT_TAKEN].contains(&gap.reason)
}
