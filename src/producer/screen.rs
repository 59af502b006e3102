//! The status line on a terminal: what comes, what goes, and what does not.

use std::fmt::Write;
use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::config::log;
use crate::metrics::producer::{ProducerCounts, ProducerMetrics};

/// The line is drawn this often.
const EVERY: Duration = Duration::from_secs(1);
/// A feed that was silent for longer is said to be, seconds.
const SILENT_SECONDS: i64 = 5;

/// Draws the line again and again; it does not end.
pub(super) async fn show(metrics: &ProducerMetrics, now_ms: fn() -> i64) {
    let mut every = interval(EVERY);
    let mut before = (Instant::now(), metrics.counts());
    loop {
        every.tick().await;
        let now = (Instant::now(), metrics.counts());
        let seconds = (now.0 - before.0).as_secs_f64().max(1e-3);
        let ticks = now.1.ticks_delivered - before.1.ticks_delivered;
        log::status_line(&line(metrics, &now.1, ticks as f64 / seconds, now_ms()));
        before = now;
    }
}

fn line(metrics: &ProducerMetrics, counts: &ProducerCounts, rate: f64, now_ms: i64) -> String {
    let mut line = format!("{rate:.0} ticks/s · {} ticks", counts.ticks_delivered);
    // Writing to a String cannot fail.
    for feed in metrics.feeds() {
        let name = feed.feed();
        let silent_s = feed.message_age_ms(now_ms).map(|ms| ms / 1000);
        let _ = match (feed.is_connected(), silent_s) {
            (true, Some(s)) if s > SILENT_SECONDS => write!(line, " · {name} silent {s} s"),
            (true, _) => write!(line, " · {name}"),
            (false, Some(s)) => write!(line, " · {name} AWAY {s} s"),
            (false, None) => write!(line, " · {name} not connected"),
        };
    }
    let waiting = counts.messages_waiting();
    if !metrics.is_kafka_reachable() {
        line += " · Kafka AWAY";
    }
    let _ = write!(line, " · {waiting} waiting");
    let lost = counts.ticks_dropped + counts.ticks_failed;
    let missing = counts
        .trades_missing
        .saturating_sub(counts.trades_recovered);
    if lost + missing > 0 {
        let _ = write!(line, " · {missing} missing, {lost} lost");
    }
    if counts.reconnects > 0 {
        let _ = write!(line, " · {} reconnects", counts.reconnects);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_wrong_and_nothing_else() {
        let metrics = ProducerMetrics::default();
        let (binance, kraken) = (metrics.feed("binance"), metrics.feed("kraken"));
        binance.connected(true);
        binance.heard(10_000);
        metrics.kafka_reachable(true);
        let shown = |now_ms| line(&metrics, &metrics.counts(), 12.4, now_ms);
        expect_test::expect!["12 ticks/s · 0 ticks · binance · kraken not connected · 0 waiting"]
            .assert_eq(&shown(11_000));
        kraken.heard(1_000);
        kraken.reconnect("closed");
        kraken.gap("closed", 3);
        binance.ticks_dropped(2);
        metrics.kafka_reachable(false);
        metrics.message_accepted();
        expect_test::expect!["12 ticks/s · 0 ticks · binance silent 10 s · kraken AWAY 19 s · Kafka AWAY · 1 waiting · 3 missing, 2 lost · 1 reconnects"]
            .assert_eq(&shown(20_000));
    }
}
