//! What one feed did: whether it is connected, what it heard, what is missing.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::producer::ProducerMetrics;

/// Label: which feed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    feed: &'static str,
}

/// Labels: which feed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    feed: &'static str,
    reason: &'static str,
}

/// The families of every feed's metrics. A clone counts into the same ones.
#[derive(Debug, Clone)]
pub(super) struct FeedFamilies {
    connected: Family<Of, Gauge>,
    message_age_seconds: Family<Of, Gauge>,
    reconnects: Family<OfReason, Counter>,
    ticks_received: Family<Of, Counter>,
    ticks_dropped: Family<Of, Counter>,
    duplicates: Family<Of, Counter>,
    price_updates: Family<Of, Counter>,
    gaps: Family<OfReason, Counter>,
    trades_missing: Family<Of, Counter>,
    trades_recovered: Family<Of, Counter>,
    symbols_silent: Family<Of, Gauge>,
    symbols_refused: Family<Of, Counter>,
    subscribed_again: Family<Of, Counter>,
    exchange_lag_seconds: Family<Of, Histogram, fn() -> Histogram>,
}

/// Buckets of lags, seconds: milliseconds up to minutes.
const LAG_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0,
];

pub(super) fn lag_histogram() -> Histogram {
    Histogram::new(LAG_BUCKETS)
}

impl Default for FeedFamilies {
    fn default() -> FeedFamilies {
        FeedFamilies {
            connected: Family::default(),
            message_age_seconds: Family::default(),
            reconnects: Family::default(),
            ticks_received: Family::default(),
            ticks_dropped: Family::default(),
            duplicates: Family::default(),
            price_updates: Family::default(),
            gaps: Family::default(),
            trades_missing: Family::default(),
            trades_recovered: Family::default(),
            symbols_silent: Family::default(),
            symbols_refused: Family::default(),
            subscribed_again: Family::default(),
            exchange_lag_seconds: Family::new_with_constructor(lag_histogram),
        }
    }
}

impl FeedFamilies {
    pub(super) fn register(&self, registry: &mut Registry) {
        let counters = [
            (
                "ticks_received",
                "Ticks that the feed sent, each once",
                &self.ticks_received,
            ),
            (
                "ticks_dropped",
                "Ticks dropped because the queue to Kafka was full",
                &self.ticks_dropped,
            ),
            (
                "duplicates",
                "Trades that came again and were dropped by their id",
                &self.duplicates,
            ),
            (
                "price_updates",
                "Elements without volume, which are no trades",
                &self.price_updates,
            ),
            (
                "trades_missing",
                "Trades that never came, by their ids",
                &self.trades_missing,
            ),
            (
                "trades_recovered",
                "Trades counted as missing that came after all",
                &self.trades_recovered,
            ),
            (
                "symbols_refused",
                "Symbols that the venue does not have",
                &self.symbols_refused,
            ),
            (
                "subscribed_again",
                "Silent symbols that were subscribed again",
                &self.subscribed_again,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let by_reason = [
            (
                "reconnects",
                "Times that a feed was lost and tried again",
                &self.reconnects,
            ),
            ("gaps", "Gaps recorded", &self.gaps),
        ];
        for (name, help, counter) in by_reason {
            registry.register(name, help, counter.clone());
        }
        let gauges = [
            (
                "connected",
                "Whether the feed is connected and subscribed",
                &self.connected,
            ),
            (
                "message_age_seconds",
                "How long ago the feed sent anything; -1: not yet",
                &self.message_age_seconds,
            ),
            (
                "symbols_silent",
                "Symbols without a tick for long",
                &self.symbols_silent,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "exchange_lag_seconds",
            "From the trade, by the venue's clock, to its arrival, by ours",
            self.exchange_lag_seconds.clone(),
        );
    }
}

/// One feed's metrics.
#[derive(Debug)]
pub struct FeedMetrics {
    feed: &'static str,
    all: ProducerMetrics,
    is_connected: AtomicBool,
    heard_ms: AtomicI64,
    connected: Gauge,
    message_age_seconds: Gauge,
    ticks_received: Counter,
    ticks_dropped: Counter,
    duplicates: Counter,
    price_updates: Counter,
    trades_missing: Counter,
    trades_recovered: Counter,
    symbols_silent: Gauge,
    symbols_refused: Counter,
    subscribed_again: Counter,
    exchange_lag_seconds: Histogram,
}

/// When nothing was heard yet.
const NOT_YET: i64 = i64::MIN;

impl FeedMetrics {
    pub(super) fn new(feed: &'static str, all: &ProducerMetrics) -> FeedMetrics {
        let (families, of) = (all.feed_families(), Of { feed });
        let made = FeedMetrics {
            feed,
            is_connected: AtomicBool::new(false),
            heard_ms: AtomicI64::new(NOT_YET),
            connected: families.connected.get_or_create(&of).clone(),
            message_age_seconds: families.message_age_seconds.get_or_create(&of).clone(),
            ticks_received: families.ticks_received.get_or_create(&of).clone(),
            ticks_dropped: families.ticks_dropped.get_or_create(&of).clone(),
            duplicates: families.duplicates.get_or_create(&of).clone(),
            price_updates: families.price_updates.get_or_create(&of).clone(),
            trades_missing: families.trades_missing.get_or_create(&of).clone(),
            trades_recovered: families.trades_recovered.get_or_create(&of).clone(),
            symbols_silent: families.symbols_silent.get_or_create(&of).clone(),
            symbols_refused: families.symbols_refused.get_or_create(&of).clone(),
            subscribed_again: families.subscribed_again.get_or_create(&of).clone(),
            exchange_lag_seconds: families.exchange_lag_seconds.get_or_create(&of).clone(),
            all: all.clone(),
        };
        made.message_age_seconds.set(-1);
        made
    }

    /// The feed's name.
    pub fn feed(&self) -> &'static str {
        self.feed
    }

    /// The metrics of all feeds together.
    pub fn all(&self) -> &ProducerMetrics {
        &self.all
    }

    /// It is connected and subscribed, or no more.
    pub fn connected(&self, connected: bool) {
        self.is_connected.store(connected, Ordering::Relaxed);
        self.connected.set(i64::from(connected));
    }

    /// Whether it is connected and subscribed.
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// It sent a message, at this time of the wall clock.
    pub fn heard(&self, now_ms: i64) {
        self.heard_ms.store(now_ms, Ordering::Relaxed);
    }

    /// How long ago it sent a message, milliseconds; `None`: not yet.
    pub fn message_age_ms(&self, now_ms: i64) -> Option<i64> {
        let heard_ms = self.heard_ms.load(Ordering::Relaxed);
        (heard_ms != NOT_YET).then(|| now_ms.saturating_sub(heard_ms).max(0))
    }

    /// Sets what depends on the time of asking.
    pub(super) fn refresh(&self, now_ms: i64) {
        let age_ms = self.message_age_ms(now_ms);
        self.message_age_seconds
            .set(age_ms.map_or(-1, |ms| ms / 1000));
    }

    /// It sent so many ticks, each for the first time.
    pub fn ticks_received(&self, ticks: u64) {
        self.ticks_received.inc_by(ticks);
        self.all.ticks_received(ticks);
    }

    /// So many of them were dropped, because the queue to Kafka was full.
    pub fn ticks_dropped(&self, ticks: u64) {
        self.ticks_dropped.inc_by(ticks);
        self.all.ticks_dropped(ticks);
    }

    /// It sent a trade again.
    pub fn duplicate(&self) {
        self.duplicates.inc();
        self.all.duplicate();
    }

    /// It sent so many price updates.
    pub fn price_updates(&self, updates: u64) {
        self.price_updates.inc_by(updates);
    }

    /// A gap was recorded; `missing` trades of it never came.
    pub fn gap(&self, reason: &'static str, missing: u64) {
        let feed = self.feed;
        let families = self.all.feed_families();
        families
            .gaps
            .get_or_create(&OfReason { feed, reason })
            .inc();
        self.trades_missing.inc_by(missing);
        self.all.gap(missing);
    }

    /// Trades that were counted as missing came.
    pub fn trades_recovered(&self, trades: u64) {
        self.trades_recovered.inc_by(trades);
        self.all.trades_recovered(trades);
    }

    /// It was lost and is tried again.
    pub fn reconnect(&self, reason: &'static str) {
        let feed = self.feed;
        let families = self.all.feed_families();
        families
            .reconnects
            .get_or_create(&OfReason { feed, reason })
            .inc();
        self.all.reconnect();
    }

    /// So many symbols are silent.
    pub fn symbols_silent(&self, symbols: usize) {
        self.symbols_silent
            .set(i64::try_from(symbols).unwrap_or(i64::MAX));
    }

    /// The venue does not have a symbol.
    pub fn symbol_refused(&self) {
        self.symbols_refused.inc();
    }

    /// So many silent symbols were subscribed again.
    pub fn subscribed_again(&self, symbols: usize) {
        self.subscribed_again.inc_by(symbols as u64);
    }

    /// From the trade to its arrival; clocks differ, so it may be below 0, which counts as 0.
    pub fn exchange_lag_ms(&self, lag_ms: i64) {
        self.exchange_lag_seconds
            .observe(lag_ms.max(0) as f64 / 1e3);
    }
}
