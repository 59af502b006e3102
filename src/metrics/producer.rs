//! What the producer did: frames in, messages and ticks out. What one feed did is in [`super::feed`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::feed::{FeedFamilies, FeedMetrics, lag_histogram};

/// The producer's metrics. A clone counts into the same ones.
#[derive(Debug, Clone)]
pub struct ProducerMetrics {
    families: FeedFamilies,
    feeds: Arc<Mutex<Vec<Arc<FeedMetrics>>>>,
    kafka_reachable: Gauge,
    queue_messages: Gauge,
    ack_lag_seconds: Histogram,
    gap_records_failed: Counter,
    // Sums over the feeds; the text format has them by feed.
    reconnects: Counter,
    ticks_received: Counter,
    ticks_dropped: Counter,
    duplicates: Counter,
    gaps: Counter,
    trades_missing: Counter,
    trades_recovered: Counter,
    frames_received: Counter,
    frames_ping: Counter,
    frames_error: Counter,
    frames_malformed: Counter,
    frames_other: Counter,
    messages_accepted: Counter,
    messages_delivered: Counter,
    messages_failed: Counter,
    ticks_delivered: Counter,
    ticks_failed: Counter,
    queue_full: Counter,
}

impl Default for ProducerMetrics {
    fn default() -> ProducerMetrics {
        ProducerMetrics {
            families: FeedFamilies::default(),
            feeds: Arc::default(),
            kafka_reachable: Gauge::default(),
            queue_messages: Gauge::default(),
            ack_lag_seconds: lag_histogram(),
            gap_records_failed: Counter::default(),
            reconnects: Counter::default(),
            ticks_received: Counter::default(),
            ticks_dropped: Counter::default(),
            duplicates: Counter::default(),
            gaps: Counter::default(),
            trades_missing: Counter::default(),
            trades_recovered: Counter::default(),
            frames_received: Counter::default(),
            frames_ping: Counter::default(),
            frames_error: Counter::default(),
            frames_malformed: Counter::default(),
            frames_other: Counter::default(),
            messages_accepted: Counter::default(),
            messages_delivered: Counter::default(),
            messages_failed: Counter::default(),
            ticks_delivered: Counter::default(),
            ticks_failed: Counter::default(),
            queue_full: Counter::default(),
        }
    }
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProducerCounts {
    /// Frames that the feeds handed on, of every kind.
    pub frames_received: u64,
    /// Pings among them.
    pub frames_ping: u64,
    /// Error frames among them.
    pub frames_error: u64,
    /// Frames among them that are not JSON objects with a `data` array.
    pub frames_malformed: u64,
    /// Frames among them of another `type`.
    pub frames_other: u64,
    /// Messages that the delivery queue took.
    pub messages_accepted: u64,
    /// Messages that Kafka acknowledged.
    pub messages_delivered: u64,
    /// Messages that were given up.
    pub messages_failed: u64,
    /// Ticks in the acknowledged messages.
    pub ticks_delivered: u64,
    /// Ticks in the messages that were given up.
    pub ticks_failed: u64,
    /// Times that the delivery queue was full and the feed had to wait.
    pub queue_full: u64,
    /// Times that a feed was lost and tried again.
    pub reconnects: u64,
    /// Ticks that live feeds sent, each once.
    pub ticks_received: u64,
    /// Ticks among them that were dropped because the queue was full.
    pub ticks_dropped: u64,
    /// Trades that came again and were dropped by their id.
    pub duplicates: u64,
    /// Gaps recorded.
    pub gaps: u64,
    /// Trades that never came, by their ids.
    pub trades_missing: u64,
    /// Trades counted as missing that came after all.
    pub trades_recovered: u64,
    /// Gap records that could not be written; their gaps are counted and logged.
    pub gap_records_failed: u64,
}

impl ProducerCounts {
    /// Messages that wait for their acknowledgement.
    pub fn messages_waiting(&self) -> u64 {
        let over = self.messages_delivered + self.messages_failed;
        self.messages_accepted.saturating_sub(over)
    }
}

impl ProducerMetrics {
    /// A feed handed on a frame.
    pub fn frame_received(&self) {
        self.frames_received.inc();
    }

    /// It was a ping.
    pub fn frame_ping(&self) {
        self.frames_ping.inc();
    }

    /// It was an error frame.
    pub fn frame_error(&self) {
        self.frames_error.inc();
    }

    /// It was not a JSON object with a `data` array.
    pub fn frame_malformed(&self) {
        self.frames_malformed.inc();
    }

    /// It was of a `type` that holds no ticks.
    pub fn frame_other(&self) {
        self.frames_other.inc();
    }

    /// The delivery queue took a message.
    pub fn message_accepted(&self) {
        self.messages_accepted.inc();
    }

    /// Kafka acknowledged a message of `ticks` ticks.
    pub fn message_delivered(&self, ticks: u64) {
        self.messages_delivered.inc();
        self.ticks_delivered.inc_by(ticks);
    }

    /// A message of `ticks` ticks was given up.
    pub fn message_failed(&self, ticks: u64) {
        self.messages_failed.inc();
        self.ticks_failed.inc_by(ticks);
    }

    /// The delivery queue was full.
    pub fn queue_full(&self) {
        self.queue_full.inc();
    }

    /// From a frame's arrival to Kafka's acknowledgement of its message.
    pub fn ack_lag(&self, lag: Duration) {
        self.ack_lag_seconds.observe(lag.as_secs_f64());
    }

    /// Kafka is reached, or not any more.
    pub fn kafka_reachable(&self, reachable: bool) {
        self.kafka_reachable.set(i64::from(reachable));
    }

    /// Whether Kafka is reached.
    pub fn is_kafka_reachable(&self) -> bool {
        self.kafka_reachable.get() != 0
    }

    /// So many gap records could not be written.
    pub fn gap_records_failed(&self, records: u64) {
        self.gap_records_failed.inc_by(records);
    }

    /// One feed's metrics; the same ones for the same name.
    pub fn feed(&self, name: &'static str) -> Arc<FeedMetrics> {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = feeds.iter().find(|feed| feed.feed() == name) {
            return Arc::clone(known);
        }
        let made = Arc::new(FeedMetrics::new(name, self));
        feeds.push(Arc::clone(&made));
        made
    }

    /// The feeds, in the order in which they began.
    pub fn feeds(&self) -> Vec<Arc<FeedMetrics>> {
        let feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.clone()
    }

    pub(super) fn feed_families(&self) -> &FeedFamilies {
        &self.families
    }

    pub(super) fn reconnect(&self) {
        self.reconnects.inc();
    }

    pub(super) fn ticks_received(&self, ticks: u64) {
        self.ticks_received.inc_by(ticks);
    }

    pub(super) fn ticks_dropped(&self, ticks: u64) {
        self.ticks_dropped.inc_by(ticks);
    }

    pub(super) fn duplicate(&self) {
        self.duplicates.inc();
    }

    pub(super) fn gap(&self, missing: u64) {
        self.gaps.inc();
        self.trades_missing.inc_by(missing);
    }

    pub(super) fn trades_recovered(&self, trades: u64) {
        self.trades_recovered.inc_by(trades);
    }

    /// Sets what depends on the time of asking, milliseconds since 1970 UTC.
    pub fn refresh(&self, now_ms: i64) {
        let counts = self.counts();
        self.queue_messages
            .set(i64::try_from(counts.messages_waiting()).unwrap_or(i64::MAX));
        for feed in self.feeds() {
            feed.refresh(now_ms);
        }
    }

    /// The counters now.
    pub fn counts(&self) -> ProducerCounts {
        ProducerCounts {
            frames_received: self.frames_received.get(),
            frames_ping: self.frames_ping.get(),
            frames_error: self.frames_error.get(),
            frames_malformed: self.frames_malformed.get(),
            frames_other: self.frames_other.get(),
            messages_accepted: self.messages_accepted.get(),
            messages_delivered: self.messages_delivered.get(),
            messages_failed: self.messages_failed.get(),
            ticks_delivered: self.ticks_delivered.get(),
            ticks_failed: self.ticks_failed.get(),
            queue_full: self.queue_full.get(),
            reconnects: self.reconnects.get(),
            ticks_received: self.ticks_received.get(),
            ticks_dropped: self.ticks_dropped.get(),
            duplicates: self.duplicates.get(),
            gaps: self.gaps.get(),
            trades_missing: self.trades_missing.get(),
            trades_recovered: self.trades_recovered.get(),
            gap_records_failed: self.gap_records_failed.get(),
        }
    }

    /// Puts the counters into the registry that the text format is made from, which adds `_total`.
    pub fn register(&self, registry: &mut Registry) {
        let counters = [
            (
                "frames_received",
                "Frames that the feeds handed on",
                &self.frames_received,
            ),
            ("frames_ping", "Pings among the frames", &self.frames_ping),
            (
                "frames_error",
                "Error frames among the frames",
                &self.frames_error,
            ),
            (
                "frames_malformed",
                "Frames without a data array",
                &self.frames_malformed,
            ),
            (
                "frames_other",
                "Frames of a type that holds no ticks",
                &self.frames_other,
            ),
            (
                "messages_accepted",
                "Messages that the delivery queue took",
                &self.messages_accepted,
            ),
            (
                "messages_delivered",
                "Messages that Kafka acknowledged",
                &self.messages_delivered,
            ),
            (
                "messages_failed",
                "Messages that were given up",
                &self.messages_failed,
            ),
            (
                "ticks_delivered",
                "Ticks that Kafka acknowledged",
                &self.ticks_delivered,
            ),
            (
                "ticks_failed",
                "Ticks that were given up",
                &self.ticks_failed,
            ),
            (
                "queue_full",
                "Times that the delivery queue was full",
                &self.queue_full,
            ),
            (
                "gap_records_failed",
                "Gap records that could not be written",
                &self.gap_records_failed,
            ),
        ];
        let registry = registry.sub_registry_with_prefix("stockpulse_producer");
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let gauges = [
            (
                "kafka_reachable",
                "Whether Kafka is reached",
                &self.kafka_reachable,
            ),
            (
                "queue_messages",
                "Messages that wait for their acknowledgement",
                &self.queue_messages,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "ack_lag_seconds",
            "From a frame's arrival to Kafka's acknowledgement",
            self.ack_lag_seconds.clone(),
        );
        self.families.register(registry);
    }

    /// Everything in the text format of Prometheus, as it is at `now_ms` (milliseconds since 1970 UTC).
    pub fn text(&self, now_ms: i64) -> String {
        self.refresh(now_ms);
        let (mut registry, mut text) = (Registry::default(), String::new());
        self.register(&mut registry);
        prometheus_client::encoding::text::encode(&mut text, &registry)
            .expect("writing to a String cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_format_has_the_conventional_names() {
        let (metrics, mut registry) = (ProducerMetrics::default(), Registry::default());
        metrics.register(&mut registry);
        metrics.message_delivered(3);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(
            text.contains("\nstockpulse_producer_ticks_delivered_total 3\n"),
            "{text}"
        );
    }
}
