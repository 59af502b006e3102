//! The bounded way from the feeds to the delivery: frames, gaps and refused symbols, in one order.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{Frame, Gap, WhenFull};
use crate::metrics::feed::FeedMetrics;

/// Items between the feeds and the delivery queue at the most; then the feeds wait, and their peers.
const ITEMS_MAX: usize = 4096;
/// Bytes of frames among them at the most.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a feed hands on.
#[derive(Debug)]
pub struct Item {
    /// What it is.
    pub what: What,
    /// The feed's counters.
    pub metrics: Arc<FeedMetrics>,
    /// What becomes of it while the queue to Kafka is full.
    pub when_full: WhenFull,
    _room: Option<OwnedSemaphorePermit>,
}

/// The kinds of items.
#[derive(Debug)]
pub enum What {
    /// A message that holds ticks.
    Frame(Frame),
    /// Trades that are missing, or that came after all.
    Gap(Gap),
    /// The venue does not have a symbol; the others go on.
    SymbolRefused {
        /// The symbol, as configured.
        symbol: Arc<str>,
        /// What the venue says.
        why: String,
    },
}

/// The way's end at the delivery.
pub type Items = mpsc::Receiver<Item>;

/// The way as a whole: it is made once, and each feed gets an [`Outlet`] of it.
#[derive(Debug, Clone)]
pub struct Queue {
    items: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
}

impl Queue {
    /// An empty queue. [`Items`] ends when the queue and every outlet of it are dropped.
    pub fn new() -> (Queue, Items) {
        let (items, taken) = mpsc::channel(ITEMS_MAX);
        let room = Arc::new(Semaphore::new(BYTES_MAX));
        (Queue { items, room }, taken)
    }

    /// A feed's way in.
    pub fn outlet(&self, metrics: Arc<FeedMetrics>, when_full: WhenFull) -> Outlet {
        Outlet {
            queue: self.clone(),
            metrics,
            when_full,
        }
    }
}

/// One feed's way in.
#[derive(Debug, Clone)]
pub struct Outlet {
    queue: Queue,
    metrics: Arc<FeedMetrics>,
    when_full: WhenFull,
}

impl Outlet {
    /// The feed's counters.
    pub fn metrics(&self) -> &FeedMetrics {
        &self.metrics
    }

    /// Hands on a frame, waiting for room. False: nobody takes frames any more.
    pub async fn frame(&self, frame: Frame) -> bool {
        let bytes = u32::try_from(frame.payload.len().clamp(1, BYTES_MAX)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.queue.room).acquire_many_owned(bytes).await else {
            return false;
        };
        self.hand_on(What::Frame(frame), Some(room)).await
    }

    /// Hands on a gap; it is counted by whoever records it. False: nobody takes gaps any more.
    pub async fn gap(&self, gap: Gap) -> bool {
        self.hand_on(What::Gap(gap), None).await
    }

    /// Hands on that the venue does not have a symbol.
    pub async fn symbol_refused(&self, symbol: Arc<str>, why: String) -> bool {
        self.hand_on(What::SymbolRefused { symbol, why }, None)
            .await
    }

    async fn hand_on(&self, what: What, room: Option<OwnedSemaphorePermit>) -> bool {
        let item = Item {
            what,
            metrics: Arc::clone(&self.metrics),
            when_full: self.when_full,
            _room: room,
        };
        self.queue.items.send(item).await.is_ok()
    }
}
