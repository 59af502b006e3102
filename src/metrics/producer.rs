//! What the producer did: frames in, messages and ticks out.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// The producer's counters. A clone counts into the same ones.
#[derive(Debug, Clone, Default)]
pub struct ProducerMetrics {
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
    reconnects: Counter,
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

    /// A feed was lost and is tried again.
    pub fn reconnect(&self) {
        self.reconnects.inc();
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
                "reconnects",
                "Times that a feed was lost and tried again",
                &self.reconnects,
            ),
        ];
        let registry = registry.sub_registry_with_prefix("stockpulse_producer");
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
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
