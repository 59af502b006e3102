//! A made-up market that looks like Finnhub: for the demo, for trying things out, and for loads.
//!
//! [`Market`] makes the frames, purely: a seed and a start time in, frames with the time of their
//! sending out. [`Simulated`] sends them when that time has come. A market that begins in the past is
//! therefore made up for as fast as frames are taken, and then goes on live from the same state.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::sleep;

mod market;
mod symbols;

pub use market::{Market, SimulatedFrame};
pub use symbols::SYMBOLS;

use super::{Feed, FeedError, Frame, Outlet};

/// The feed of a [`Market`]; it does not end.
pub struct Simulated {
    market: Market,
    now_ms: fn() -> i64,
}

impl Simulated {
    /// `now_ms` is the clock that frames are sent by, milliseconds since 1970 UTC.
    pub fn new(market: Market, now_ms: fn() -> i64) -> Simulated {
        Simulated { market, now_ms }
    }

    async fn send(&mut self, outlet: &Outlet) -> Result<(), FeedError> {
        loop {
            let (sent_ms, payload) = {
                let frame = self.market.next_frame();
                (frame.sent_ms, Bytes::copy_from_slice(frame.text.as_bytes()))
            };
            let early_ms = sent_ms.saturating_sub((self.now_ms)());
            if let Ok(early_ms @ 1..) = u64::try_from(early_ms) {
                sleep(Duration::from_millis(early_ms)).await;
            }
            if !outlet.frame(Frame::new(payload)).await {
                return Ok(());
            }
        }
    }
}

impl Feed for Simulated {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn run<'a>(&'a mut self, outlet: &'a Outlet) -> BoxFuture<'a, Result<(), FeedError>> {
        Box::pin(self.send(outlet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{Queue, What, WhenFull};
    use crate::metrics::producer::ProducerMetrics;

    const START_MS: i64 = 1_750_000_000_000;
    const NOW_MS: i64 = START_MS + 60_000;

    fn market() -> Market {
        Market::new(&[], 1, 200.0, START_MS)
    }

    /// What is past comes at once and is what the market alone would have made.
    #[tokio::test]
    async fn the_past_is_made_up_for() {
        let mut expected = vec![];
        let mut market_alone = market();
        loop {
            let frame = market_alone.next_frame();
            if frame.sent_ms > NOW_MS {
                break;
            }
            expected.push(frame.text.to_string());
        }
        let (queue, mut items) = Queue::new();
        let outlet = queue.outlet(ProducerMetrics::default().feed("simulated"), WhenFull::Wait);
        let mut feed = Simulated::new(market(), || NOW_MS);
        let feeding = tokio::spawn(async move { feed.run(&outlet).await });
        for expected in &expected {
            let What::Frame(frame) = items.recv().await.unwrap().what else {
                panic!("no frame");
            };
            assert_eq!(frame.payload, expected.as_bytes());
        }
        drop(items);
        feeding.await.unwrap().unwrap();
        assert!(expected.len() > 1_000);
    }
}
