//! A librdkafka consumer that ends within a bounded time.

use std::ops::Deref;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::reports::Reports;

/// How long closing may take. It takes milliseconds, and longer when the broker is away.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A consumer of a topic.
///
/// librdkafka closes one only after its last commit was answered, and can wait for ever when the
/// broker goes away in between (2.12.1: `wait_commit_cnt` stays 1). A job must end all the same, so
/// closing is left to a thread of its own, which is waited for only so long.
pub(super) struct Client(Option<BaseConsumer<Reports>>);

impl Client {
    pub(super) fn new(consumer: BaseConsumer<Reports>) -> Client {
        Client(Some(consumer))
    }
}

impl Deref for Client {
    type Target = BaseConsumer<Reports>;

    fn deref(&self) -> &BaseConsumer<Reports> {
        self.0.as_ref().expect("only drop takes it")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let Some(consumer) = self.0.take() else {
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
        let waited = spawned.map(|_| is_closed.recv_timeout(CLOSE_TIMEOUT));
        if let Ok(Err(mpsc::RecvTimeoutError::Timeout)) = waited {
            reports.commit_failed("the broker did not answer before the client was closed");
        }
    }
}
