//! A librdkafka consumer that ends within a bounded time.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::reports::Reports;

/// How long closing may take. It takes milliseconds, and longer when the broker is away.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A consumer of a topic.
///
/// librdkafka closes one only after its last commit was answered, and can wait for ever when the
/// broker goes away in between (2.12.1: `wait_commit_cnt` stays 1). A job must end all the same, so
/// closing is left to a thread of its own, which is waited for only so long. It takes a tenth of a second
/// at the least; a reader's, which has nothing to commit, is therefore waited for together with that of the
/// client that asks and commits.
pub(super) struct Client {
    consumer: Option<BaseConsumer<Reports>>,
    closing: Closing,
    /// It waits for all others.
    is_last: bool,
}

/// Clients of a topic that are being closed.
#[derive(Clone, Default)]
pub(super) struct Closing(Arc<Mutex<Vec<mpsc::Receiver<()>>>>);

impl Client {
    /// The client that asks and commits; whoever drops it waits until all clients of the topic are closed.
    pub(super) fn new(consumer: BaseConsumer<Reports>) -> Client {
        Client {
            consumer: Some(consumer),
            closing: Closing::default(),
            is_last: true,
        }
    }

    /// A reader of the same topic.
    pub(super) fn reader(&self, consumer: BaseConsumer<Reports>) -> Client {
        Client {
            consumer: Some(consumer),
            closing: self.closing.clone(),
            is_last: false,
        }
    }
}

impl Deref for Client {
    type Target = BaseConsumer<Reports>;

    fn deref(&self) -> &BaseConsumer<Reports> {
        self.consumer.as_ref().expect("only drop takes it")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else {
            return;
        };
        let reports = Reports::clone(consumer.context());
        let (closed, is_closed) = mpsc::sync_channel::<()>(1);
        // Without a thread to be had, the consumer is closed here and now.
        let spawned = thread::Builder::new()
            .name("kafka-close".to_owned())
            .spawn(move || {
                drop(consumer);
                drop(closed);
            });
        let mut closing = self
            .closing
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if spawned.is_ok() {
            closing.push(is_closed);
        }
        if !self.is_last {
            return;
        }
        let until = Instant::now() + CLOSE_TIMEOUT;
        for is_closed in closing.drain(..) {
            let left = until.saturating_duration_since(Instant::now());
            if let Err(mpsc::RecvTimeoutError::Timeout) = is_closed.recv_timeout(left) {
                reports.commit_failed("the broker did not answer before the client was closed");
            }
        }
    }
}
